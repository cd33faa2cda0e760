"""Claim trees beside the JavaScript libraries that their users have."""

import json
import random
from typing import Any

import pytest

from perpcomp.claims.payee_list import Row
from perpcomp.claims.trees.dialects import DIALECTS
from tests.chain.javascript import ask
from tests.chain.node import NodeTools

TOKEN = "0x" + "ab" * 20


def some(count: int, token: str) -> list[Row]:
    chance = random.Random(count)
    # Amounts of all lengths: a wrong padding shows.
    return [Row(f"0x{chance.getrandbits(160):040x}", token, chance.getrandbits(chance.randrange(1, 127)) + 1) for _ in range(count)]


def as_json(document: Any) -> Any:
    return json.loads(json.dumps(document))


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 9, 1000])
def test_root_and_proofs_are_those_of_the_javascript_library(name: str, size: int, node_tools: NodeTools) -> None:
    one = DIALECTS[name]
    rows = some(size, TOKEN if one.tokens else "")
    made = one.tree_of(one.leaves(rows))
    theirs = ask("tree", dialect=name, rows=[row._asdict() | {"amount": str(row.amount)} for row in rows])
    assert made.root == theirs["root"]
    if "dump" in theirs:
        ours = as_json(made.document)
        assert (json.loads(ours["merkle_tree"]) if name == "sablier" else ours) == theirs["dump"]
    else:
        assert sorted(["0x" + node.hex() for node in proof] for proof in made.nodes.proofs) == sorted(theirs["proofs"])


@pytest.mark.parametrize("name", ["oz-standard", "cumulative"])
def test_the_javascript_library_loads_our_dump_and_gives_the_same_proofs(name: str, node_tools: NodeTools) -> None:
    made = DIALECTS[name].tree(some(9, TOKEN if DIALECTS[name].tokens else ""), "list")
    loaded = ask("load", dump=as_json(made.document))
    assert loaded["root"] == made.root
    assert loaded["proofs"] == [["0x" + node.hex() for node in proof] for proof in made.nodes.proofs]
    broken = as_json(made.document)
    broken["values"][0]["value"][-1] = "5"
    with pytest.raises(AssertionError, match="does not contain the expected value"):
        ask("load", dump=broken)
