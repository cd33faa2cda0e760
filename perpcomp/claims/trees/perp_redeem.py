"""perp-redeem: Perp's reward contracts and Balancer's MerkleRedeem, one root a tranche (the contract says week).

A leaf holds neither tranche, contract nor chain: the same root under two tranches pays every proof twice, so no root may be used again.
"""

from typing import Any

from perpcomp.claims.dialect import Dialect, Leaf, Tree, account_bytes, hexed
from perpcomp.claims.merkle import layered
from perpcomp.eip55 import checksummed


def _preimage(leaf: Leaf) -> bytes:
    return account_bytes(leaf.account) + leaf.amount.to_bytes(32)


def _document(tree: Tree) -> Any:
    claims = {
        checksummed(leaf.account): {"amount": str(leaf.amount), "proof": hexed(proof)}
        for leaf, proof in zip(tree.leaves, tree.nodes.proofs, strict=True)
    }
    return {"merkleRoot": tree.root, "tokenTotal": str(sum(tree.totals.values())), "claims": claims}


PERP_REDEEM = Dialect(
    "perp-redeem",
    "keccak(address, amount), packed: Perp's reward contracts, Balancer's MerkleRedeem",
    _preimage,
    twice=False,
    shape=layered,
    document=_document,
)
