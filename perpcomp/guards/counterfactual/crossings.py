"""Positions in the order in which a moving price brings them below maintenance, so that only those near it are asked.

A position crosses at one quote reserve of the pool: a long where the reserve falls below it, a short where it rises above it. These reserves
only sort: what is within a billionth of the pool's own reserve is near, and whoever asks decides.
"""

from bisect import bisect_left, insort
from math import isqrt

from perpcomp.fixed import ONE

NEAR = 10**9  # so much finer than this are the reserves rounded, here and in the pool


# The quote reserve, the trader, the size, and the average spot price at which closing is below for certain: for a long here or lower, for a
# short here or higher.
Crossing = tuple[int, str, int, int]


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
        # Closing without slippage is better than any average of closing. One more or less covers what is rounded.
        average = -(-(edge - 1) * ONE // size) - 2 if size > 0 else -((edge + 2) * ONE // size)
        crossing = (self._reserve(size, edge), trader, size, average)
        insort(line, crossing)
        self.placed[trader] = (line, crossing)

    def drop(self, trader: str) -> None:
        """Forget a trader's position, if it has one."""
        if trader in self.placed:
            line, crossing = self.placed.pop(trader)
            del line[bisect_left(line, crossing)]

    def passed(self, quote: int) -> tuple[list[Crossing], list[Crossing], list[Crossing]]:
        """Where the pool's quote reserve is this: the longs and the shorts that it has passed, and those near it, of both."""
        (longs, long), (shorts, short) = (
            (line, [bisect_left(line, (reserve,)) for reserve in (quote - quote // NEAR, quote + quote // NEAR + 1)])
            for line in (self.longs, self.shorts)
        )
        return longs[long[1] :], shorts[: short[0]], longs[slice(*long)] + shorts[slice(*short)]

    def _reserve(self, size: int, edge: int) -> int:
        """The quote reserve q at which closing moves the edge, by size * q * q = edge * (product + size * q); at least 0."""
        if edge <= 0:
            return 0
        part = edge * abs(size)
        root = isqrt(part * part + 4 * part * self.product)
        return (part + root) // (2 * size) if size > 0 else 2 * edge * self.product // (part + root)
