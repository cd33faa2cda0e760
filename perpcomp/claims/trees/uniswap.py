"""uniswap: Uniswap's MerkleDistributor, whose index is the position among the addresses sorted as mixed-case text."""

from collections.abc import Sequence
from typing import Any

from perpcomp.claims.dialect import Dialect, Leaf, Tree, hexed, one_each
from perpcomp.claims.merkle import layered
from perpcomp.claims.payee_list import Row
from perpcomp.eip55 import all_checksummed, checksummed


def _leaves(rows: Sequence[Row]) -> list[Leaf]:
    text = all_checksummed([row.account for row in rows])
    return one_each([rows[n] for n in sorted(range(len(rows)), key=text.__getitem__)])


def _preimage(leaf: Leaf) -> bytes:
    return leaf.number.to_bytes(32) + bytes.fromhex(leaf.account[2:]) + leaf.amount.to_bytes(32)


def even_hex(amount: int) -> str:
    """An amount as Uniswap's file writes it: whole bytes in hex, as 0x01."""
    digits = f"{amount:x}"
    return f"0x{'0' * (len(digits) % 2)}{digits}"


def _document(tree: Tree) -> Any:
    claims = {
        checksummed(leaf.account): {"index": leaf.number, "amount": even_hex(leaf.amount), "proof": hexed(proof)}
        for leaf, proof in zip(tree.leaves, tree.nodes.proofs, strict=True)
    }
    return {"merkleRoot": tree.root, "tokenTotal": even_hex(sum(tree.totals.values())), "claims": claims}


UNISWAP = Dialect(
    "uniswap",
    "keccak(index, address, amount), packed: Uniswap's MerkleDistributor and its many copies",
    _preimage,
    twice=False,
    shape=layered,
    document=_document,
    leaves=_leaves,
)
