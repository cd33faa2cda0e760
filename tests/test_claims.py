"""Claim trees: recorded trees of the real libraries, rules of each dialect, and proofs."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.claims.dialect import Tree
from perpcomp.claims.merkle import root_by
from perpcomp.claims.payee_list import Row, read_list
from perpcomp.claims.trees.dialects import DIALECTS, dialect
from perpcomp.eip55 import checksummed
from perpcomp.findings import InputError

pytestmark = pytest.mark.money

LAB = Path(__file__).parent / "lab" / "distribution"
TOKEN, OTHER = "0x" + "ab" * 20, "0x" + "cd" * 20
SINGLE = ("perp-redeem", "uniswap", "oz-standard", "sablier")


def lab(name: str) -> Any:
    return json.loads((LAB / f"{name}.json").read_text())


def five() -> list[Row]:
    return [Row(row["account"].lower(), "", int(row["amount"])) for row in lab("accounts")["rows"]]


def tree(name: str, rows: list[Row]) -> Tree:
    return DIALECTS[name].tree(rows, "list.csv")


def as_json(made: Tree) -> Any:
    return json.loads(msgspec.json.encode(made.document))


def some(count: int, seed: int = 1, token: str = "") -> list[Row]:
    chance = random.Random(seed)
    return [Row(f"0x{chance.getrandbits(160):040x}", token, chance.randrange(1, 10**24)) for _ in range(count)]


def test_recorded_trees_of_perpetuals_and_balancers_code() -> None:
    truth = lab("tree_perp_merkle_redeem")
    made = as_json(tree("perp-redeem", five()))
    assert made["merkleRoot"] == truth["root"]
    assert {who: claim["proof"] for who, claim in made["claims"].items()} == {w: c["proof"] for w, c in truth["claims"].items()}
    assert made["tokenTotal"] == lab("accounts")["total"]


def test_uniswaps_own_script_writes_the_same_file() -> None:
    made = as_json(tree("uniswap", five()))
    assert made == lab("tree_uniswap_merkle_distributor")
    assert list(made["claims"]) == list(lab("tree_uniswap_merkle_distributor")["claims"])


def test_openzeppelins_dump_is_the_same() -> None:
    assert as_json(tree("oz-standard", five())) == lab("tree_oz_address_uint256")["dump"]


def test_sabliers_dump_is_the_same_in_the_file_that_its_server_stores() -> None:
    truth, made = lab("tree_sablier_index_address_amount"), as_json(tree("sablier", five()))
    assert json.loads(made["merkle_tree"]) == truth["dump"]
    assert (made["root"], made["total_amount"], made["number_of_recipients"]) == (truth["root"], lab("accounts")["total"], 5)


@pytest.mark.parametrize("size", ["1", "2", "3", "4", "5"])
def test_recorded_roots_of_each_size(size: str) -> None:
    truth = lab("roots_by_size")["sizes"][size]
    names = lab("roots_by_size")["sizes"]["5"]
    assert set(names) == {"perp_merkle_redeem", "uniswap_merkle_distributor", "oz_address_uint256", "sablier_index_address_amount"}
    rows = [Row(row.account, "", (n + 1) * 10**18) for n, row in enumerate(five()[: int(size)])]
    for ours, theirs in zip(SINGLE, names, strict=True):
        # Sablier's server refuses a list of one row, but its leaf of one row is recorded.
        made = DIALECTS[ours].tree_of(DIALECTS[ours].leaves(rows))
        assert made.root == truth[theirs], ours


def test_the_root_in_hedgeys_documentation() -> None:
    """Its list names one address twice, and its site adds both amounts up."""
    printed = lab("hedgey_docs_example")
    amounts: dict[str, int] = {}
    for line in printed["csv_rows"]:
        who, amount = line.lower().split(",")
        amounts[who] = amounts.get(who, 0) + int(float(amount) * 10) * 10**17
    made = tree("oz-standard", [Row(who, "", amount) for who, amount in amounts.items()])
    assert (made.root, sum(made.totals.values()), len(made.leaves)) == (printed["root"], int(printed["total_raw"]), 9)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("size", [2, 3, 5, 7, 8, 9, 1000])
def test_every_proof_leads_to_the_root_and_no_other_leaf_does(name: str, size: int) -> None:
    made = tree(name, some(size, token=TOKEN if DIALECTS[name].tokens else ""))
    for leaf, proof in zip(made.leaves, made.nodes.proofs, strict=True):
        assert root_by(made.dialect.hashed(leaf), proof) == made.nodes.root
        ((token, amount),) = leaf.parts
        altered = leaf._replace(parts=((token, amount + 1),))
        assert root_by(made.dialect.hashed(altered), proof) != made.nodes.root


def test_a_multi_token_leaf_is_the_abi_encoding_of_all_its_tokens() -> None:
    a, b = five()[0].account, five()[1].account
    made = tree("multi-token", [Row(a, TOKEN, 5), Row(b, TOKEN, 6), Row(a, OTHER, 7)])
    assert made.totals == {TOKEN: 11, OTHER: 7}
    assert [leaf.account for leaf in made.leaves] == [a, b], "the order of the list, which is that of the preimages"
    leaf = made.leaves[0]
    encoded = encode(["uint256", "address", "(address,uint256)[]"], [0, a, [(TOKEN, 5), (OTHER, 7)]])
    assert made.dialect.preimage(leaf) == encoded
    assert made.dialect.hashed(leaf) == keccak(encoded)


def test_a_cumulative_leaf_names_its_token() -> None:
    a = five()[0].account
    made = tree("cumulative", [Row(a, TOKEN, 5), Row(a, OTHER, 7)])
    assert [value["value"] for value in as_json(made)["values"]] == [
        [checksummed(a), checksummed(TOKEN), "5"],
        [checksummed(a), checksummed(OTHER), "7"],
    ]
    assert as_json(made)["leafEncoding"] == ["address", "address", "uint256"]
    once = keccak(encode(["address", "address", "uint256"], [a, TOKEN, 5]))
    assert made.dialect.hashed(made.leaves[0]) == keccak(once)


def test_a_dialect_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"There is no dialect 'unisvap'.*Did you mean 'uniswap'"):
        dialect("unisvap")


@given(st.binary(min_size=20, max_size=20))
def test_checksummed_addresses_are_those_of_the_library(raw: bytes) -> None:
    assert checksummed(f"0x{raw.hex()}") == to_checksum_address(raw)


A, B = "0x" + "0a" * 20, "0x" + "0b" * 20


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("uniswap", [Row(A, "", 1), Row(B, "", 2), Row(A, "", 3)], "list.csv row 4: 0x0a0a.* is listed before, in row 2"),
        ("oz-standard", [Row(A, "", 1), Row(B, "", 0)], "list.csv row 3: 0x0b0b.* is listed with 0"),
        ("sablier", [Row(A, "", 1), Row(B, "", 2**128)], "list.csv row 3: .* which no uint128 holds"),
        ("sablier", [Row(A, "", 1)], "needs 2 or more"),
        ("perp-redeem", [Row("0x" + "00" * 20, "", 1)], "list.csv row 2: It pays the zero address"),
        ("cumulative", [Row(A, "", 1)], "list.csv: The list names no token"),
        ("cumulative", [Row(A, TOKEN, 1), Row(B, "", 1)], "list.csv row 3: It names no token"),
        ("uniswap", [], "has 0 rows, .*Add a row"),
        ("multi-token", [Row(TOKEN, TOKEN, 1)], "list.csv row 2: It pays .* the token's own contract"),
        ("perp-redeem", [Row(A, TOKEN, 1), Row(B, OTHER, 1)], "names 2 tokens"),
    ],
)
def test_a_list_that_a_contract_would_not_pay_as_it_stands_is_refused_by_row(name: str, rows: list[Row], said: str) -> None:
    with pytest.raises(InputError, match=said):
        tree(name, rows)


def test_the_same_account_may_be_owed_two_tokens_but_not_one_token_twice() -> None:
    assert len(tree("multi-token", [Row(A, TOKEN, 1), Row(A, OTHER, 1)]).leaves) == 1
    with pytest.raises(InputError, match=r"row 4: .* listed before, in row 2"):
        tree("multi-token", [Row(A, TOKEN, 1), Row(A, OTHER, 1), Row(A, TOKEN, 2)])


def test_the_largest_amount_of_each_dialect_is_taken() -> None:
    for name, one in DIALECTS.items():
        rows = [Row(A, TOKEN if one.tokens else "", one.below - 1), Row(B, TOKEN if one.tokens else "", 1)]
        assert tree(name, rows).root, name


def test_a_list_is_read_with_any_of_its_usual_heads(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text(f"\ufeffRecipient;Amount;token\n{checksummed(A)};0x10;{TOKEN}\n{B};12;{TOKEN}\n")
    assert read_list(file) == [Row(A, TOKEN, 16), Row(B, TOKEN, 12)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"address,amount\n{A},1\n{B},1.5\n", r"row 3: It has the amount '1.5'.*whole base units"),
        (f"address,amount\n{A},1e18\n", "row 2: It has the amount '1e18'"),
        (f"address,amount\n{A},-1\n", "row 2: It has the amount -1, below 0"),
        (f"address,amount\n{A},{2**256}\n", "row 2: .* no uint256"),
        (f"address,amount\n{A},\n", "row 2: It has the amount None"),
        ("address,amount\n0x123,1\n0x" + "0A" * 19 + "0b,1\n", r"(?s)row 2: It is .*not an address.*row 3: It is .*wrong checksum"),
        (f"{A},5\n", "Its columns are .* and it needs address and amount"),
        (f"address,amount\n{A},1,2\n", "Row 2 has 3 cells"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_by_row(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        read_list(file)


def test_many_rows_with_a_problem_are_counted() -> None:
    with pytest.raises(InputError) as raised:
        tree("oz-standard", [Row(f"0x{n:040x}", "", 0) for n in range(1, 101)])
    assert len(raised.value.problems) == 21
    assert "80 more rows" in str(raised.value)
