"""The dump of OpenZeppelin's StandardMerkleTree, format standard-v1: every node, and every value with its place."""

from collections.abc import Callable
from typing import Any

from perpcomp.claims.dialect import Leaf, Tree

STANDARD, SIMPLE = "standard-v1", "simple-v1"


def dump(tree: Tree, encoding: list[str], value: Callable[[Leaf], list[str]]) -> dict[str, Any]:
    """The dump of a tree of the heap shape, whose leaves hold values of these types."""
    values = [{"value": value(leaf), "treeIndex": place} for leaf, place in zip(tree.leaves, tree.nodes.places, strict=True)]
    nodes = ["0x" + node.hex() for node in tree.nodes.heap]
    return {"format": STANDARD, "leafEncoding": encoding, "tree": nodes, "values": values}
