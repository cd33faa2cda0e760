"""sablier: Sablier's Merkle campaigns, whose leaf holds the row's number in the list."""

from typing import Any

import msgspec

from perpcomp.claims.dialect import Dialect, Leaf, Tree, address_word
from perpcomp.claims.merkle import heap
from perpcomp.claims.trees.dump import dump
from perpcomp.eip55 import checksummed


def _preimage(leaf: Leaf) -> bytes:
    return leaf.number.to_bytes(32) + address_word(leaf.account) + leaf.amount.to_bytes(32)


def _document(tree: Tree) -> Any:
    """What Sablier's own server stores: the dump is a text in it."""
    # "uint" is how its server names the index's type; it encodes as uint256.
    inner = dump(tree, ["uint", "address", "uint256"], lambda leaf: [str(leaf.number), checksummed(leaf.account), str(leaf.amount)])
    return {
        "root": tree.root,
        "total_amount": str(sum(tree.totals.values())),
        "number_of_recipients": len(tree.leaves),
        "merkle_tree": msgspec.json.encode(inner).decode(),
        "recipients": [{"address": checksummed(leaf.account), "amount": str(leaf.amount)} for leaf in tree.leaves],
    }


SABLIER = Dialect(
    "sablier",
    "keccak twice of (index, address, amount): Sablier's Merkle campaigns",
    _preimage,
    twice=True,
    shape=heap,
    document=_document,
    below=2**128,  # Source: Sablier's contracts hold amounts as uint128
    fewest=2,  # Source: Sablier's server refuses a list of one recipient
)
