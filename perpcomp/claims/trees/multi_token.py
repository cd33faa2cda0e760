"""multi-token: Euler's redemption contract, in which one claim pays several tokens, as half in USDC and half in PERP."""

from collections.abc import Sequence
from typing import Any

from perpcomp.claims.dialect import Dialect, Leaf, Tree, address_word, hexed
from perpcomp.claims.merkle import in_order
from perpcomp.claims.payee_list import Row
from perpcomp.eip55 import checksummed


def _leaves(rows: Sequence[Row]) -> list[Leaf]:
    """A leaf an account, in the order of the list; its tokens in that order, too.

    The tree's leaves lie in the order of their preimages, not of their hashes. A preimage begins with the leaf's number.
    """
    parts: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        parts.setdefault(row.account, []).append((row.token, row.amount))
    return [Leaf(n, account, tuple(pairs)) for n, (account, pairs) in enumerate(parts.items())]


def _preimage(leaf: Leaf) -> bytes:
    # abi.encode(uint256, address, (address, uint256)[]): the array's place, then its length and its elements
    head = leaf.number.to_bytes(32) + address_word(leaf.account) + (96).to_bytes(32) + len(leaf.parts).to_bytes(32)
    return head + b"".join(address_word(token) + amount.to_bytes(32) for token, amount in leaf.parts)


def _document(tree: Tree) -> Any:
    claims = [
        {
            "index": leaf.number,
            "account": checksummed(leaf.account),
            "tokenAmounts": [[checksummed(token), str(amount)] for token, amount in leaf.parts],
            "proof": hexed(proof),
        }
        for leaf, proof in zip(tree.leaves, tree.nodes.proofs, strict=True)
    ]
    return {"merkleRoot": tree.root, "tokenTotals": {checksummed(t): str(n) for t, n in tree.totals.items()}, "claims": claims}


MULTI_TOKEN = Dialect(
    "multi-token",
    "keccak(index, address, (token, amount)[]): Euler's redemptions",
    _preimage,
    twice=False,
    shape=in_order,
    document=_document,
    leaves=_leaves,
    tokens=True,
)
