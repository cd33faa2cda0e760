"""A price over time as points, thinned to what a drawing can show: no extreme is lost."""

from collections.abc import Iterator, Sequence
from itertools import groupby

Point = tuple[int, int]  # unix seconds, price in 1e-18


def thinned(points: Sequence[Point], columns: int) -> list[Point]:
    """At most four points of each of so many equal spans of time, in order: its first, its lowest, its highest and its last.

    A line through them covers the same area as one through all (the M4 aggregation of Jugel and others, VLDB 2014).
    """
    if len(points) <= 4 * columns:
        return [*points]
    start, length = points[0][0], points[-1][0] - points[0][0] + 1
    return [point for _, span in groupby(points, key=lambda p: (p[0] - start) * columns // length) for point in _kept([*span])]


def _kept(span: Sequence[Point]) -> Iterator[Point]:
    prices = [price for _, price in span]
    lowest, highest = (prices.index(pick(prices)) for pick in (min, max))
    for n in sorted({0, lowest, highest, len(span) - 1}):
        yield span[n]
