"""What fits a budget: the largest scale, cap, threshold or number of traders, or the fewest months, by the total of the payouts as they are cut.

Claims are what a formula gives, or a rule before its first step. Each answer is proven by its neighbour: the next answer in the
solver's own step is evaluated too, and does not fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from math import ceil

from perpcomp import fixed

SCALE, CAP, THRESHOLD, TRADERS, MONTHS = SOLVERS = ("scale", "cap", "threshold", "traders", "months")


@dataclass(frozen=True)
class Solution:
    """The largest answer (of months: the smallest) and its total, and the next one with its total; in base units of what is paid.

    `answer` is in the solver's own step: 1e-18 for a scale (of 1) and for a cap and a threshold (of the quote asset), 1 for traders and
    months. None where every claim fits without it. `exact` is the answer without a step, where it is a fraction. `left_over` is nobody's.
    """

    by: str
    answer: int | None
    total: int
    left_over: int
    following: int | None = None
    following_total: int | None = None
    exact: Fraction | None = None


@dataclass(frozen=True)
class Claims:
    """Claims (1e-18 of the quote asset, exact, not below 0), and how many base units one such unit is paid as."""

    values: Sequence[int | Fraction]
    rate: Fraction

    def paid(self, values: Sequence[int | Fraction]) -> int:
        """The base units of these values, each cut down."""
        by, of = self.rate.numerator, self.rate.denominator
        return sum(value.numerator * by // (value.denominator * of) for value in values)

    @property
    def whole(self) -> int:
        """All claims in base units, each cut down."""
        return self.paid(self.values)


def scale(claims: Claims, budget: int) -> Solution:
    """The largest k of at most 1, in steps of 1e-18, at which k * claims fit."""
    total = sum(claims.values, Fraction(0)) * claims.rate
    exact = min(Fraction(1), budget / total) if total else None
    if claims.whole <= budget:
        return Solution(SCALE, None if exact is None else fixed.ONE, claims.whole, budget - claims.whole, exact=exact)
    return _largest(SCALE, budget, fixed.ONE, lambda n: claims.paid([value * n / Fraction(fixed.ONE) for value in claims.values]), exact)


def cap(claims: Claims, budget: int) -> Solution:
    """The largest cap, in steps of 1e-18 of the quote asset, at which min(claim, cap) fit."""
    if claims.whole <= budget:
        return Solution(CAP, None, claims.whole, budget - claims.whole)
    most = ceil(max(claims.values))  # at which no claim is cut
    return _largest(CAP, budget, most, lambda c: claims.paid([min(value, c) for value in claims.values]), _level(claims, budget))


def _level(claims: Claims, budget: int) -> Fraction:
    """The cap at which the claims before any cut sum to the budget."""
    left, values = Fraction(budget) / claims.rate, sorted(claims.values)
    for n, value in enumerate(values):
        if value * (len(values) - n) >= left:
            return left / (len(values) - n)
        left -= value
    raise AssertionError("the claims fit the budget")


def threshold(claims: Claims, budget: int) -> Solution:
    """The largest threshold, in steps of 1e-18 of the quote asset, up to which all claims are paid whole and fit; larger ones get nothing."""
    if claims.whole <= budget:
        return Solution(THRESHOLD, None, claims.whole, budget - claims.whole)
    total = 0
    for step, group in groupby(sorted(claims.values), key=ceil):  # the first step at which these claims are small enough
        more = claims.paid([*group])
        if total + more > budget:
            return Solution(THRESHOLD, step - 1, total, budget - total, step, total + more)
        total += more
    raise AssertionError("the claims fit the budget")


def traders(claims: Claims, budget: int) -> Solution:
    """How many traders, the smallest claims above 0 first, can be paid whole."""
    values = sorted(value for value in claims.values if value > 0)
    total = 0
    for n, value in enumerate(values):
        more = claims.paid([value])
        if total + more > budget:
            return Solution(TRADERS, n, total, budget - total, n + 1, total + more)
        total += more
    return Solution(TRADERS, None, total, budget - total)


def months(claims: Claims, income: int, share: Fraction) -> Solution:
    """The fewest months in which a share of an income (base units a month, cut down each month) pays all claims."""
    each, total = income * share.numerator // share.denominator, claims.whole
    if each <= 0:
        raise ValueError("a share of the income is less than one base unit a month")
    answer = -(-total // each)
    exact = Fraction(total) / (income * share)
    return Solution(MONTHS, answer, total, answer * each - total, answer - 1, (answer - 1) * each, exact)


def _largest(by: str, budget: int, most: int, total_of: Callable[[int], int], exact: Fraction | None) -> Solution:
    """The largest answer below `most` whose total fits; totals never fall."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if total_of(middle) <= budget else (low, middle)
    total = total_of(low)
    return Solution(by, low, total, budget - total, high, total_of(high), exact)
