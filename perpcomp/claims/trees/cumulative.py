"""cumulative: Morpho's universal rewards distributor. A leaf holds the total so far, and a claim pays what is new of it.

One root a date replaces the one before: a root that is set twice cannot pay twice, and a correction only raises totals.
"""

from typing import Any

from perpcomp.claims.dialect import Dialect, Leaf, Tree, address_word
from perpcomp.claims.merkle import heap
from perpcomp.claims.trees.dump import dump
from perpcomp.eip55 import checksummed


def _preimage(leaf: Leaf) -> bytes:
    ((token, amount),) = leaf.parts
    return address_word(leaf.account) + address_word(token) + amount.to_bytes(32)


def _value(leaf: Leaf) -> list[str]:
    ((token, amount),) = leaf.parts
    return [checksummed(leaf.account), checksummed(token), str(amount)]


def _document(tree: Tree) -> Any:
    return dump(tree, ["address", "address", "uint256"], _value)


CUMULATIVE = Dialect(
    "cumulative",
    "keccak twice of (address, token, total so far): Morpho's universal rewards distributor",
    _preimage,
    twice=True,
    shape=heap,
    document=_document,
    tokens=True,
)
