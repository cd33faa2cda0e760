"""A function of a price, made of straight pieces: exact sums, bounds and comparisons of such functions, which may jump.

A price P is above 0, in units of the quote asset; values are in 1e-18 of it. A line (a, s) is a + s * P.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

Number = int | Fraction
Line = tuple[Number, Number]


@dataclass(frozen=True, slots=True)
class Pieces:
    """`lines[n]` holds between the prices `cuts[n - 1]` and `cuts[n]` (both left out), `at[n]` is the value at `cuts[n]`."""

    cuts: tuple[Fraction, ...]
    lines: tuple[Line, ...]
    at: tuple[Number, ...]

    def value(self, price: Number) -> Number:
        """The value at a price."""
        n = bisect_left(self.cuts, price)
        if n < len(self.cuts) and self.cuts[n] == price:
            return self.at[n]
        return _of(self.lines[n], price)

    def jumps(self) -> list[tuple[Fraction, Number, Number, Number]]:
        """(price, the limit from below, the value, the limit from above) where these are not one number."""
        found = []
        for cut, value, (before, after) in zip(self.cuts, self.at, pairwise(self.lines), strict=True):
            low, high = _of(before, cut), _of(after, cut)
            if not low == value == high:
                found.append((cut, low, value, high))
        return found


def line(a: Number, s: Number) -> Pieces:
    """a + s * P at every price."""
    return Pieces((), ((a, s),), ())


def times(one: Pieces, factor: Number) -> Pieces:
    """Each value times a factor."""
    if factor == 1:
        return one
    return Pieces(one.cuts, tuple((a * factor, s * factor) for a, s in one.lines), tuple(value * factor for value in one.at))


def added(functions: Sequence[Pieces]) -> Pieces:
    """The sum of many, by one walk over all their cuts."""
    a: Number = sum((one.lines[0][0] for one in functions), 0)
    s: Number = sum((one.lines[0][1] for one in functions), 0)
    changes: list[tuple[Fraction, Number, Line]] = []  # at a cut: value less the line before it, and the line after less that before
    for one in functions:
        for cut, value, (before, after) in zip(one.cuts, one.at, pairwise(one.lines), strict=True):
            changes.append((cut, value - _of(before, cut), (after[0] - before[0], after[1] - before[1])))
    changes.sort(key=lambda change: _sorting(change[0]))
    cuts, lines, at = list[Fraction](), [(a, s)], list[Number]()
    n = 0
    while n < len(changes):
        cut, step = changes[n][0], Fraction(0)
        value = a + s * cut
        while n < len(changes) and changes[n][0] == cut:
            step += changes[n][1]
            a, s = a + changes[n][2][0], s + changes[n][2][1]
            n += 1
        cuts.append(cut)
        at.append(value + step)
        lines.append((a, s))
    return simple(Pieces(tuple(cuts), tuple(lines), tuple(at)))


def chosen(one: Pieces, other: Pieces, first: Callable[[Number, Number], bool]) -> Pieces:
    """The one where `first(its value, the other's)`, else the other: a maximum, a minimum. `first` compares the two."""
    return where(compared(one, other, first), one, other)


def compared(one: Pieces, other: Pieces, true: Callable[[Number, Number], bool]) -> "Truth":
    """Where `true(value, other value)` holds: it can change at a crossing, or at a cut of either."""
    cuts, left, right = _together(one, other, crossings=True)
    parts = [true(_of(a, inside), _of(b, inside)) for a, b, inside in zip(left.lines, right.lines, _between(cuts), strict=True)]
    return Truth(tuple(cuts), tuple(parts), tuple(true(a, b) for a, b in zip(left.at, right.at, strict=True)))


@dataclass(frozen=True, slots=True)
class Truth:
    """What holds at which price: between the cuts, and at each."""

    cuts: tuple[Fraction, ...]
    parts: tuple[bool, ...]
    at: tuple[bool, ...]

    def joined(self, other: "Truth", both: Callable[[bool, bool], bool]) -> "Truth":
        """The two, by `and` or `or`."""
        cuts = _merged(self.cuts, other.cuts)
        one, two = self.over(cuts), other.over(cuts)
        return Truth(cuts, tuple(map(both, one.parts, two.parts)), tuple(map(both, one.at, two.at)))

    def over(self, cuts: Sequence[Fraction]) -> "Truth":
        """The same with more cuts."""
        own = dict(zip(self.cuts, self.at, strict=True))
        at = tuple(own[cut] if cut in own else self.parts[bisect_left(self.cuts, cut)] for cut in cuts)
        return Truth(tuple(cuts), tuple(self.parts[bisect_left(self.cuts, inside)] for inside in _between(cuts)), at)


def where(condition: Truth, yes: Pieces, no: Pieces) -> Pieces:
    """One function where a condition holds, and the other elsewhere."""
    cuts = _merged(condition.cuts, yes.cuts, no.cuts)
    held, one, other = condition.over(cuts), over(yes, cuts), over(no, cuts)
    lines = tuple(a if true else b for true, a, b in zip(held.parts, one.lines, other.lines, strict=True))
    return simple(Pieces(cuts, lines, tuple(a if true else b for true, a, b in zip(held.at, one.at, other.at, strict=True))))


def at_least(one: Pieces, bound: Number) -> Pieces:
    """max(value, bound)."""
    if not one.cuts:
        (a, s) = one.lines[0]
        crossing = Fraction(bound - a) / s if s else Fraction(0)
        if crossing > 0:
            low: Line = (bound, 0)
            return Pieces((crossing,), (low, (a, s)) if s > 0 else ((a, s), low), (bound,))
        return one if (s > 0 or (s == 0 and a >= bound)) else line(bound, 0)
    return chosen(one, line(bound, 0), lambda a, b: a >= b)


def at_most(one: Pieces, bound: Number) -> Pieces:
    """min(value, bound)."""
    return times(at_least(times(one, -1), -bound), -1)


def over(one: Pieces, cuts: Sequence[Fraction]) -> Pieces:
    """The same function with more cuts."""
    if len(cuts) == len(one.cuts):
        return one
    at = tuple(one.value(cut) for cut in cuts)
    return Pieces(tuple(cuts), tuple(one.lines[bisect_left(one.cuts, inside)] for inside in _between(cuts)), at)


def simple(one: Pieces) -> Pieces:
    """The same function without cuts at which nothing changes."""
    kept = [n for n, cut in enumerate(one.cuts) if one.lines[n] != one.lines[n + 1] or one.at[n] != _of(one.lines[n], cut)]
    if len(kept) == len(one.cuts):
        return one
    lines = (one.lines[0], *(one.lines[n + 1] for n in kept))
    return Pieces(tuple(one.cuts[n] for n in kept), lines, tuple(one.at[n] for n in kept))


def crossing_of(a: Line, b: Line) -> Fraction | None:
    """The price at which two lines meet; None where they are parallel."""
    slope = a[1] - b[1]
    return Fraction(b[0] - a[0]) / slope if slope else None


def _of(part: Line, price: Number) -> Number:
    return part[0] + part[1] * price


def _together(one: Pieces, other: Pieces, crossings: bool) -> tuple[tuple[Fraction, ...], Pieces, Pieces]:
    """Both over common cuts, among them the prices at which they cross."""
    cuts = _merged(one.cuts, other.cuts)
    left, right = over(one, cuts), over(other, cuts)
    if crossings:
        ends = [Fraction(0), *cuts]
        met = [crossing_of(a, b) for a, b in zip(left.lines, right.lines, strict=True)]
        new = [x for n, x in enumerate(met) if x is not None and x > ends[n] and (n == len(cuts) or x < cuts[n])]
        if new:
            cuts = _merged(cuts, new)
            left, right = over(left, cuts), over(right, cuts)
    return cuts, left, right


def _merged(*cuts: Iterable[Fraction]) -> tuple[Fraction, ...]:
    every = {cut for several in cuts for cut in several}
    return tuple(sorted(every)) if len(every) > 1 else tuple(every)


def _between(cuts: Sequence[Fraction]) -> list[Fraction]:
    """A price inside each piece: between 0 and the first cut, between two, above the last."""
    if not cuts:
        return [Fraction(1)]
    return [cuts[0] / 2, *((a + b) / 2 for a, b in pairwise(cuts)), cuts[-1] + 1]


def _sorting(cut: Fraction) -> tuple[int, Fraction]:
    """A key that sorts prices: by integers first, as fractions only where these are equal."""
    return (cut.numerator << 64) // cut.denominator, cut
