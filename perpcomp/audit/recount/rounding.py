"""Which rule made a column out of another, as far as the numbers show: one factor for all rows, and one rounding.

Each row bounds the factor from below and above: d = cut(k * s) means d / s <= k < (d + 1) / s. A factor that fits every row exists
or not; nothing is fitted with a tolerance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from perpcomp.audit.recount.numbers import shown

# rounding -> where a row's exact value may lie, as (numerator below, numerator above, whether each end belongs to it) of 1/2 units
MODES = {"cut down": (0, 2, True, False), "rounded to the nearest": (-1, 1, True, True), "rounded up": (-2, 0, False, True)}
SHARP = 10**6  # a factor known less sharply than one part in a million says nothing
FEWEST = 3  # rows with different amounts that must agree


@dataclass(frozen=True)
class Rule:
    """derived = source * factor, rounded by `mode`. The factor lies between `low` and `high`; where both ends belong to it, it may be one of them."""

    mode: str
    low: Fraction
    high: Fraction

    @property
    def width(self) -> Fraction:
        """How sharply the rows say the factor, as a part of it."""
        return (self.high - self.low) / self.high

    def factor(self, power: int) -> str:
        """The factor of numbers that differ by 10**power from these integers, as the shortest text that fits every row: "/ 123.39"."""
        low, high = (end * Fraction(10) ** power for end in (self.low, self.high))
        for n in range(37):
            if low <= Fraction(1, 10**n) <= high:
                return f"/ 10**{n}" if n else ""
        times, divided = _decimal(low, high), _decimal(1 / high, 1 / low) if low else ""
        texts = [f"* {_simplest(low, high)}", *([f"* {times}"] if times else []), *([f"/ {divided}"] if divided else [])]
        return min(texts, key=len)


def recognise(derived: Sequence[int], source: Sequence[int]) -> Rule | None:
    """The rule behind two columns of integers that are not negative; None where no one factor fits all rows, or too few rows say so."""
    if any(s < 0 or d < 0 or (s == 0 and d) for d, s in zip(derived, source, strict=True)):
        return None
    rows = sorted({(d, s) for d, s in zip(derived, source, strict=True) if s}, key=lambda row: -row[1])
    if len({s for _, s in rows}) < FEWEST or len({d for d, _ in rows}) < FEWEST:
        return None
    for mode, (below, above, low_in, high_in) in MODES.items():
        low, high = Fraction(0), Fraction(rows[0][0] + 2, rows[0][1])
        for d, s in rows:
            if (2 * d + below) * low.denominator > low.numerator * 2 * s:
                low = Fraction(2 * d + below, 2 * s)
            if (2 * d + above) * high.denominator < high.numerator * 2 * s:
                high = Fraction(2 * d + above, 2 * s)
            if low > high:
                break
        else:
            if (low < high or (low_in and high_in)) and (high - low) * SHARP < high:
                return Rule(_exactly(rows, low, high) or mode, low, high)
    return None


def _exactly(rows: Sequence[tuple[int, int]], low: Fraction, high: Fraction) -> str | None:
    """ "exactly" where one factor gives every row without rounding."""
    factor = Fraction(*rows[0])
    return "exactly" if low <= factor <= high and all(d == factor * s for d, s in rows) else None


def _simplest(low: Fraction, high: Fraction) -> Fraction:
    """The fraction with the smallest denominator between two others, by its continued fraction."""
    whole = -(-low.numerator // low.denominator)
    return Fraction(whole) if whole <= high else whole - 1 + 1 / _simplest(1 / (high - whole + 1), 1 / (low - whole + 1))


def _decimal(low: Fraction, high: Fraction) -> str:
    """The decimal with the fewest places between two fractions; "" where it has more than 36."""
    for places in range(37):
        units = -(-low.numerator * 10**places // low.denominator)
        if units <= high * 10**places:
            return shown(units, places)
    return ""


def same_number(derived: Sequence[int], places: int, source: Sequence[int]) -> int | None:
    """The n for which every cell of `derived` (integers of 10**-places) is source / 10**n up to what a double cannot hold; None if there is none."""
    first = next(((d, s) for d, s in zip(derived, source, strict=True) if d > 0 and s > 0), None)
    if first is None:
        return None
    n = len(str(round(Fraction(first[1] * 10**places, first[0])))) - 1
    for power in (n, n + 1):  # a ratio a little below a power of ten has a digit less
        if all(abs(d * 10**power - s * 10**places) * 10**12 <= s * 10**places for d, s in zip(derived, source, strict=True)):
            return power
    return None


def are_doubles(amounts: Sequence[int]) -> tuple[int, int, Fraction]:
    """(how many amounts above 2**53 a binary double could hold by chance only, how many of them are exact doubles, how many would be by chance).

    An amount with 17 significant digits or fewer is passed over: it may be exact without ever having been a float.
    """
    long = [a for amount in amounts if (a := abs(amount)) > 2**53 and len(str(a).rstrip("0")) > 17]
    exact = sum(int(float(a)) == a for a in long)
    return len(long), exact, sum((Fraction(1, 2 ** (a.bit_length() - 53)) for a in long), Fraction())


def are_texts_of_doubles(values: Sequence[int], places: int) -> bool:
    """Whether every number of a column with decimals is the shortest text of a double, some of them with 16 digits or more."""
    digits = [str(abs(value)).strip("0") for value in values]
    if max(map(len, digits), default=0) not in (16, 17) or sum(len(one) >= 15 for one in digits) < FEWEST:
        return False
    return all(Fraction(repr(float(number))) == number for value in values for number in [Fraction(value, 10**places)])
