"""Positions in the order in which a moving price brings them below maintenance, so that only those near it are asked.

A position crosses at one quote reserve of the pool: a long where the reserve falls below it, a short where it rises above it. These reserves
only sort: what is within a billionth of the pool's own reserve is near, and whoever asks decides.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import chain
from math import isqrt

NEAR = 10**9  # so much finer than this are the reserves rounded, here and in the pool

Crossing = tuple[int, str]  # quote reserve, trader


class Crossings:
    """The crossings of a market's positions while its liquidity stays: `product` is quote * base reserve, in 1e-18 of each."""

    def __init__(self, product: int) -> None:
        self.product = product
        self.longs: list[Crossing] = []
        self.shorts: list[Crossing] = []
        self.placed: dict[str, tuple[list[Crossing], Crossing]] = {}

    def put(self, trader: str, size: int, edge: int) -> None:
        """A position of this size (+ long) that is below maintenance where closing it moves less than `edge` (short: more than it)."""
        line = self.longs if size > 0 else self.shorts
        crossing = (self._reserve(size, edge), trader)
        insort(line, crossing)
        self.placed[trader] = (line, crossing)

    def drop(self, trader: str) -> None:
        """Forget a trader's position, if it has one."""
        if trader in self.placed:
            line, crossing = self.placed.pop(trader)
            del line[bisect_left(line, crossing)]

    def near(self, quote: int) -> Iterator[str]:
        """The traders who may be below maintenance where the pool's quote reserve is this."""
        longs = self.longs[bisect_left(self.longs, quote - quote // NEAR, key=_reserve_of) :]
        shorts = self.shorts[: bisect_right(self.shorts, quote + quote // NEAR, key=_reserve_of)]
        return (trader for _, trader in chain(longs, shorts))

    def _reserve(self, size: int, edge: int) -> int:
        """The quote reserve q at which closing moves the edge, by size * q * q = edge * (product + size * q); at least 0."""
        if edge <= 0:
            return 0
        part = edge * abs(size)
        root = isqrt(part * part + 4 * part * self.product)
        return (part + root) // (2 * size) if size > 0 else 2 * edge * self.product // (part + root)


def _reserve_of(crossing: Crossing) -> int:
    return crossing[0]
