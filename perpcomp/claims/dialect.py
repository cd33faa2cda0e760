"""What a dialect of claim trees is: how a list becomes leaves, how a leaf is hashed, the tree's shape, and the file that its users read."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from msgspec import Struct
from tiny_keccak import keccak256

from perpcomp.claims.merkle import Nodes, Proof, Shape
from perpcomp.claims.payee_list import Row, check

_ZEROS = "0" * 24  # what fills an address up to a word


class Leaf(NamedTuple):
    """What one claim pays: (token, base units) pairs, one unless the dialect is multi-token. `number` counts leaves from 0, and some dialects hash it."""

    number: int
    account: str
    parts: tuple[tuple[str, int], ...]

    @property
    def amount(self) -> int:
        """The amount of a leaf that pays one token."""
        return self.parts[0][1]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's collector, which would walk a million proofs again and again and find no cycle: a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def one_each(rows: Sequence[Row]) -> list[Leaf]:
    """A leaf a row, in the order of the list."""
    return [Leaf(n, row.account, ((row.token, row.amount),)) for n, row in enumerate(rows)]


class Dialect(Struct, frozen=True):
    """One dialect. `preimage` gives the bytes that are hashed, and `twice` says that the hash is hashed again.

    `below` is the first amount that its contract cannot hold, `fewest` the rows that it needs; with `tokens` a leaf names its token.
    `document` is the file that its readers load, as JSON's values.
    """

    name: str
    meaning: str
    preimage: Callable[[Leaf], bytes]
    twice: bool
    shape: Shape
    document: "Callable[[Tree], Any]"
    leaves: Callable[[Sequence[Row]], list[Leaf]] = one_each
    below: int = 2**256
    fewest: int = 1
    tokens: bool = False

    def hashed(self, leaf: Leaf) -> bytes:
        """The leaf as it stands in the tree."""
        once = keccak256(self.preimage(leaf))
        return keccak256(once) if self.twice else once

    def tree(self, rows: Sequence[Row], where: str) -> "Tree":
        """The tree of a list. InputError names each row of `where` that breaks a rule of the dialect."""
        with _uncollected():
            check(rows, where, self.below, self.fewest, self.tokens)
            return self.tree_of(self.leaves(rows))

    def tree_of(self, leaves: list[Leaf]) -> "Tree":
        """The tree of leaves that have their indices already."""
        preimages = map(self.preimage, leaves)
        hashed = [keccak256(keccak256(one)) for one in preimages] if self.twice else [keccak256(one) for one in preimages]
        return Tree(self, leaves, self.shape(hashed))


class Tree(Struct, frozen=True):
    """A tree of one dialect: leaves, and nodes with the proofs in the order of the leaves."""

    dialect: Dialect
    leaves: list[Leaf]
    nodes: Nodes

    @property
    def root(self) -> str:
        """The root, as 0x and 64 digits."""
        return "0x" + self.nodes.root.hex()

    @property
    def totals(self) -> dict[str, int]:
        """Token -> what all leaves pay together (base units)."""
        sums: dict[str, int] = {}
        for leaf in self.leaves:
            for token, amount in leaf.parts:
                sums[token] = sums.get(token, 0) + amount
        return sums

    @property
    def document(self) -> Any:
        """The file that the dialect's readers load, as JSON's values."""
        return self.dialect.document(self)


def hexed(proof: Proof) -> list[str]:
    """A proof as JSON holds it."""
    return ["0x" + node.hex() for node in proof]


def account_bytes(account: str) -> bytes:
    """The 20 bytes of an address."""
    return bytes.fromhex(account[2:])


def address_word(account: str) -> bytes:
    """An address as the 32 bytes of the contracts' ABI."""
    return bytes.fromhex(_ZEROS + account[2:])
