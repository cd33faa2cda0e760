"""oz-standard: OpenZeppelin's StandardMerkleTree of (address, uint256), which Hedgey's claim campaigns read, too."""

from typing import Any

from perpcomp.claims.dialect import Dialect, Leaf, Tree, address_word
from perpcomp.claims.merkle import heap
from perpcomp.claims.trees.dump import dump
from perpcomp.eip55 import checksummed


def _preimage(leaf: Leaf) -> bytes:
    return address_word(leaf.account) + leaf.amount.to_bytes(32)


def _document(tree: Tree) -> Any:
    return dump(tree, ["address", "uint256"], lambda leaf: [checksummed(leaf.account), str(leaf.amount)])


OZ_STANDARD = Dialect(
    "oz-standard",
    "keccak twice of (address, amount): OpenZeppelin's StandardMerkleTree, Hedgey",
    _preimage,
    twice=True,
    shape=heap,
    document=_document,
)
