"""The largest fall of a market's price, and the window of a crash around it."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from perpcomp import fixed

SPAN = timedelta(hours=2)  # a fall that takes longer is no flash crash
PAUSE = timedelta(hours=1)  # liquidations further apart belong to different events

Price = tuple[datetime, int]  # when, in 1e-18 of the quote asset per base


@dataclass(frozen=True)
class Fall:
    """From the highest price of the SPAN before to the lowest. `begins` is when the price first left the highest one."""

    high: int
    begins: datetime
    low: int
    low_time: datetime

    @property
    def share(self) -> int:
        """By how much of the highest price it fell (1e-18)."""
        return fixed.div_integers(self.high - self.low, self.high)


def largest_fall(prices: Sequence[Price], liquidations: Sequence[datetime]) -> Fall | None:
    """The largest fall, by its share, among prices in their order; None where none fell with a liquidation less than a PAUSE away.

    A price stands until the next one: the one before the SPAN counts at its beginning.
    """
    times = sorted(liquidations)
    highest: deque[int] = deque()  # places of prices that no later one exceeds
    first = 0
    worst: Fall | None = None
    for n, (time, price) in enumerate(prices):
        while first < n and prices[first + 1][0] <= time - SPAN:
            first += 1
        while highest and prices[highest[-1]][1] <= price:
            highest.pop()
        highest.append(n)
        while highest[0] < first:
            highest.popleft()
        top, high = highest[0], prices[highest[0]][1]
        if price < high and (worst is None or (high - price) * worst.high > (worst.high - worst.low) * high):
            begins = prices[top + 1][0]
            near = bisect_left(times, begins - PAUSE)
            if near < len(times) and times[near] <= time + PAUSE:
                worst = Fall(high, begins, price, time)
    return worst


def window(fall: Fall, liquidations: Iterable[datetime]) -> tuple[datetime, datetime]:
    """[start, end) of the fall and of the liquidations around it, as long as no PAUSE lies between two."""
    start, end = fall.begins, fall.low_time
    times = sorted(liquidations)
    for time in times:
        if end < time <= end + PAUSE:
            end = time
    for time in reversed(times):
        if start - PAUSE <= time < start:
            start = time
    return start, end + timedelta(seconds=1)
