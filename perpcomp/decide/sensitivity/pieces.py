"""A function of a price, made of straight pieces: exact sums, bounds and comparisons of such functions, which may jump.

A price P is above 0, in units of the quote asset; values are in 1e-18 of it. A line (a, s) is a + s * P.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from msgspec import Struct

Number = int | Fraction
Line = tuple[Number, Number]


class Pieces(Struct, frozen=True):
    """`lines[n]` holds between the prices `cuts[n - 1]` and `cuts[n]` (both left out), `at[n]` is the value at `cuts[n]`.

    `at[n]` is None where the lines on both sides meet.
    """

    cuts: tuple[Fraction, ...]
    lines: tuple[Line, ...]
    at: tuple[Number | None, ...]

    def value(self, price: Number) -> Number:
        """The value at a price."""
        n = bisect_left(self.cuts, price)
        if n < len(self.cuts) and self.cuts[n] == price:
            return self.value_at(n)
        return _of(self.lines[n], price)

    def scaled(self, price: Fraction) -> Number:
        """The value at a price, times the price's denominator: a whole number where the pieces are of whole numbers, so that many sort fast."""
        n = bisect_left(self.cuts, price)
        if n < len(self.cuts) and self.cuts[n] == price:
            return self.value_at(n) * price.denominator
        a, s = self.lines[n]
        return a * price.denominator + s * price.numerator

    def value_at(self, n: int) -> Number:
        """The value at the n-th cut."""
        value = self.at[n]
        return _of(self.lines[n], self.cuts[n]) if value is None else value

    def jumps(self) -> list[tuple[Fraction, Number, Number, Number]]:
        """(price, the limit from below, the value, the limit from above) where these are not one number."""
        found = []
        for cut, value, (before, after) in zip(self.cuts, self.at, pairwise(self.lines), strict=True):
            if value is not None:
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
    return Pieces(
        one.cuts,
        tuple((a * factor, s * factor) for a, s in one.lines),
        tuple(None if value is None else value * factor for value in one.at),
    )


def added(functions: Sequence[Pieces]) -> Pieces:
    """The sum of many, by one walk over all their cuts."""
    a: Number = sum((one.lines[0][0] for one in functions), 0)
    s: Number = sum((one.lines[0][1] for one in functions), 0)
    changes: list[tuple[Fraction, Number | None, Line]] = []  # at a cut: value less the line before it, and the line after less that before
    for one in functions:
        for cut, value, (before, after) in zip(one.cuts, one.at, pairwise(one.lines), strict=True):
            step = None if value is None else value - _of(before, cut)
            changes.append((cut, step, (after[0] - before[0], after[1] - before[1])))
    changes.sort(key=lambda change: _sorting(change[0]))
    cuts, lines, at = list[Fraction](), [(a, s)], list[Number | None]()
    n = 0
    while n < len(changes):
        cut = changes[n][0]
        before, step = (a, s), None
        while n < len(changes) and changes[n][0] == cut:
            if changes[n][1] is not None:
                step = (step or 0) + changes[n][1]  # type: ignore[operator]
            a, s = a + changes[n][2][0], s + changes[n][2][1]
            n += 1
        cuts.append(cut)
        at.append(None if step is None else _of(before, cut) + step)
        lines.append((a, s))
    return simple(Pieces(tuple(cuts), tuple(lines), tuple(at)))


def chosen(one: Pieces, other: Pieces, first: Callable[[Number, Number], bool]) -> Pieces:
    """The one where `first(its value, the other's)`, else the other: a maximum, a minimum. `first` compares the two."""
    return where(compared(one, other, first), one, other)


def compared(one: Pieces, other: Pieces, true: Callable[[Number, Number], bool]) -> "Truth":
    """Where `true(value, other value)` holds: it can change at a crossing, or at a cut of either."""
    cuts, left, right = _together(one, other, crossings=True)
    parts = [true(_of(a, inside), _of(b, inside)) for a, b, inside in zip(left.lines, right.lines, _between(cuts), strict=True)]
    return Truth(tuple(cuts), tuple(parts), tuple(true(left.value_at(n), right.value_at(n)) for n in range(len(cuts))))


class Truth(Struct, frozen=True):
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
    at = tuple(one.value_at(n) if true else other.value_at(n) for n, true in enumerate(held.at))
    return simple(Pieces(cuts, lines, at))


def at_least(one: Pieces, bound: Number) -> Pieces:
    """max(value, bound)."""
    return _bounded(one, bound, 1)


def at_most(one: Pieces, bound: Number) -> Pieces:
    """min(value, bound)."""
    return _bounded(one, bound, -1)


def _bounded(one: Pieces, bound: Number, sign: int) -> Pieces:
    """The value, or the bound where sign * value is below sign * bound: piece by piece, with a cut where a line meets the bound."""
    flat: Line = (bound, 0)
    cuts, lines, at = list[Fraction](), list[Line](), list[Number | None]()
    for n, (a, s) in enumerate(one.lines):
        low = one.cuts[n - 1] if n else 0
        high = one.cuts[n] if n < len(one.cuts) else None
        rising = s * sign
        crossing = Fraction(bound - a) / s if s else None
        if crossing is None:
            lines.append((a, s) if a * sign >= bound * sign else flat)
        elif crossing <= low:
            lines.append((a, s) if rising > 0 else flat)
        elif high is not None and crossing >= high:
            lines.append(flat if rising > 0 else (a, s))
        else:
            lines += [flat, (a, s)] if rising > 0 else [(a, s), flat]
            cuts.append(crossing)
            at.append(None)
        if high is not None:
            value = one.at[n]
            cuts.append(high)
            at.append(None if value is None else value if value * sign >= bound * sign else bound)
    return simple(Pieces(tuple(cuts), tuple(lines), tuple(at)))


def over(one: Pieces, cuts: Sequence[Fraction]) -> Pieces:
    """The same function with more cuts."""
    if len(cuts) == len(one.cuts):
        return one
    own = dict(zip(one.cuts, one.at, strict=True))
    lines = tuple(one.lines[bisect_left(one.cuts, inside)] for inside in _between(cuts))
    return Pieces(tuple(cuts), lines, tuple(own.get(cut) for cut in cuts))


def simple(one: Pieces) -> Pieces:
    """The same function without cuts at which nothing changes."""
    if all(before != after for before, after in pairwise(one.lines)):
        return one
    kept = [n for n in range(len(one.cuts)) if one.lines[n] != one.lines[n + 1] or one.value_at(n) != _of(one.lines[n], one.cuts[n])]
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
