"""Merkle trees as OpenZeppelin's MerkleProof verifies them: an inner node is the keccak of its two children, the lower one first.

Two shapes are in use. They give the same root for some numbers of leaves and another for 5, 7 or 9, so a published root is met only by
the right shape. Nodes are 32 bytes.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct
from tiny_keccak import keccak256

Proof = tuple[bytes, ...]


class Nodes(Struct, frozen=True):
    """The nodes of a tree: its root, each leaf's proof in the order of the leaves given, and the heap (empty for the layered shape).

    `places` says where in the heap each leaf stands.
    """

    root: bytes
    proofs: Sequence[Proof]
    heap: Sequence[bytes] = ()
    places: Sequence[int] = ()


Shape = Callable[[Sequence[bytes]], Nodes]


def heap(leaves: Sequence[bytes]) -> Nodes:
    """OpenZeppelin's shape: an array in which node i is the parent of 2i + 1 and 2i + 2; the sorted leaves fill it from the end."""
    count = len(leaves)
    order = sorted(range(count), key=leaves.__getitem__)
    nodes = [b""] * (count - 1) + [leaves[n] for n in reversed(order)]
    for n in range(count - 2, -1, -1):
        one, other = nodes[2 * n + 1], nodes[2 * n + 2]
        nodes[n] = keccak256(one + other if one < other else other + one)
    above: list[Proof] = [()] * len(nodes)
    for n in range(1, len(nodes), 2):
        up = above[n >> 1]
        above[n] = (nodes[n + 1], *up)
        above[n + 1] = (nodes[n], *up)
    places = [0] * count
    for rank, n in enumerate(order):
        places[n] = 2 * count - 2 - rank
    return Nodes(nodes[0], [above[place] for place in places], nodes, places)


def layered(leaves: Sequence[bytes]) -> Nodes:
    """Uniswap's and Balancer's shape: layers of sorted leaves in pairs; an odd last node goes up unchanged, and equal leaves are one."""
    ordered = sorted(set(leaves))
    nodes = in_order(ordered)
    proof = dict(zip(ordered, nodes.proofs, strict=True))
    return Nodes(nodes.root, [proof[leaf] for leaf in leaves])


def in_order(leaves: Sequence[bytes]) -> Nodes:
    """The layered shape over leaves in the order given."""
    layers = [list(leaves)]
    while len(layers[-1]) > 1:
        below = layers[-1]
        pairs = zip(below[::2], below[1::2], strict=False)
        layer = [keccak256(one + other if one < other else other + one) for one, other in pairs]
        layers.append(layer + below[-1:] if len(below) % 2 else layer)
    above: list[Proof] = [()]
    for layer in reversed(layers[:-1]):
        proofs = list[Proof]()
        for one, other, up in zip(layer[::2], layer[1::2], above, strict=False):
            proofs += ((other, *up), (one, *up))
        above = proofs + above[-1:] if len(layer) % 2 else proofs  # an odd last node has no sibling
    return Nodes(layers[-1][0], above)


def root_by(leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that a proof leads a leaf to."""
    for sibling in proof:
        leaf = keccak256(leaf + sibling if leaf < sibling else sibling + leaf)
    return leaf
