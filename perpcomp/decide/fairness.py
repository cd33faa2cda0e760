"""How fair each option is, in exact figures: recovery, Gini, shares of the largest, envy pairs and violations of monotonicity.

Over all eligible traders. What a trader lost is the signed equity at the reference price, added up over positions; a recovery is
amount / loss, where there is a loss. Two traders envy if they lost the same and are paid differently. Monotonicity is violated where
one lost more than another and is paid less. Both are counted without looking at every pair.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

import polars as pl

from perpcomp.decide.field import Field, Option
from perpcomp.number_text import exact
from perpcomp.tables.decide import FAIRNESS
from perpcomp.tables.schema import check, frame_of

TOP = (1, 2, 10)  # shares of so many largest payouts; no policy, only what is shown
EXAMPLES = 3  # so many are named
_SCALE = 1 << 128  # by which a ratio is enlarged before it is cut: only ratios that are then equal are compared as fractions


@dataclass(frozen=True)
class Example:
    """Two traders by their places, what each lost and is paid (1e-18)."""

    first: str
    second: str
    lost: tuple[int, int]
    paid: tuple[Fraction, Fraction]

    def __str__(self) -> str:
        (lost, other_lost), (paid, other_paid) = self.lost, map(int, self.paid)
        return f"{self.first} lost {exact(lost)} and gets {exact(paid)}, {self.second} lost {exact(other_lost)} and gets {exact(other_paid)}"


@dataclass(frozen=True)
class Pairs:
    """How many pairs violate, of how many that could, and the examples with the largest difference in payouts."""

    count: int
    of: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Fairness:
    """The measures of one option; None where one is not defined. `why_not` says why, where an amount or a loss is not known."""

    option: str
    traders: int
    total: Fraction
    recovery: tuple[Fraction, Fraction, Fraction] | None  # smallest, median, largest
    total_recovery: Fraction | None
    above_loss: int
    gini: Fraction | None
    top: tuple[Fraction | None, ...]  # for each of TOP
    envy: Pairs | None
    monotonicity: Pairs | None
    why_not: str | None


def fairness(field: Field) -> list[Fairness]:
    """The measures of each option. One that is incomplete has its total and nothing else: what is unknown could change every other."""
    lost = [loss for loss in field.lost if loss is not None]
    known = len(lost) == len(field.traders)
    by_loss = sorted(range(len(lost)), key=lost.__getitem__) if known else []
    return [_of(one, field, lost if known else None, by_loss) for one in field.options]


def _of(one: Option, field: Field, lost: Sequence[int] | None, by_loss: Sequence[int]) -> Fairness:
    count, total = len(field.traders), one.total
    if not one.complete:
        unknown = sum(not known for known in one.known)
        why = f"the amounts of {unknown} of {count} traders are not known"
        return Fairness(one.name, count, total, None, None, 0, None, (None,) * len(TOP), None, None, why)
    negative = bool(one.ascending) and one.amounts.numerators[one.ascending[0]] < 0
    shares = (None,) * len(TOP) if negative or not total else tuple(top_share(one, k) for k in TOP)
    if lost is None:
        why = "what was lost is not known for every trader"
        return Fairness(one.name, count, total, None, None, 0, None if negative else gini(one), shares, None, None, why)
    losses = sum(max(0, loss) for loss in lost)
    return Fairness(
        option=one.name,
        traders=count,
        total=total,
        recovery=recovery(one, lost),
        total_recovery=total / losses if losses else None,
        above_loss=_paid_more(one, lost),
        gini=None if negative else gini(one),
        top=shares,
        envy=envy(one, field, lost, by_loss),
        monotonicity=monotonicity(one, field, lost, by_loss),
        why_not="some amounts are below 0, so there is no Gini and no top share" if negative else None,
    )


def gini(one: Option) -> Fraction | None:
    """sum((2k - n - 1) * x_k) / (n * sum(x)) over the amounts x in ascending order; None where they sum to 0."""
    values, n = one.amounts.numerators, len(one.ascending)
    total = sum(values)
    return Fraction(sum((2 * k - n - 1) * values[at] for k, at in enumerate(one.ascending, 1)), n * total) if total else None


def top_share(one: Option, k: int) -> Fraction:
    """The share of the k largest amounts; 1 where there are no more traders."""
    values = one.amounts.numerators
    return Fraction(sum(values[at] for at in one.ascending[-k:]), sum(values))


def recovery(one: Option, lost: Sequence[int]) -> tuple[Fraction, Fraction, Fraction] | None:
    """The smallest, median and largest amount / loss of those who lost; of an even number, the median is the mean of the middle two."""
    values = one.amounts.numerators
    losers = [n for n, loss in enumerate(lost) if loss > 0]
    if not losers:
        return None
    keys = [values[n] * _SCALE // lost[n] for n in losers]
    order = sorted(range(len(losers)), key=keys.__getitem__)

    def ranked(rank: int) -> Fraction:
        """The ratio of this rank: exactly the right one also among those that are equal once cut."""
        key = keys[order[rank]]
        first = last = rank
        while first > 0 and keys[order[first - 1]] == key:
            first -= 1
        while last + 1 < len(order) and keys[order[last + 1]] == key:
            last += 1
        same = {(values[losers[at]], lost[losers[at]]) for at in order[first : last + 1]}
        if len(same) == 1:
            (value, loss), *_ = same
            return Fraction(value, loss * one.amounts.denominator)
        ratios = sorted(Fraction(values[losers[at]], lost[losers[at]] * one.amounts.denominator) for at in order[first : last + 1])
        return ratios[rank - first]

    middle = len(order) // 2
    median = ranked(middle) if len(order) % 2 else (ranked(middle - 1) + ranked(middle)) / 2
    return ranked(0), median, ranked(len(order) - 1)


def _paid_more(one: Option, lost: Sequence[int]) -> int:
    """How many are paid more than they lost."""
    denominator = one.amounts.denominator
    return sum(value > max(0, loss) * denominator for value, loss in zip(one.amounts.numerators, lost, strict=True))


def envy(one: Option, field: Field, lost: Sequence[int], by_loss: Sequence[int]) -> Pairs:
    """Pairs of traders who lost the same and are paid differently, of all pairs who lost the same."""
    values, count, equal = one.amounts.numerators, 0, 0
    worst: list[tuple[int, int, int]] = []
    for _, group in groupby(by_loss, key=lost.__getitem__):
        places = list(group)
        if len(places) < 2:
            continue
        pairs = _pairs(len(places))
        equal += pairs
        count += pairs - sum(map(_pairs, Counter(values[n] for n in places).values()))
        low, high = min(places, key=lambda n: (values[n], n)), max(places, key=lambda n: (values[n], -n))
        if values[low] != values[high]:
            worst.append((values[high] - values[low], low, high))
    return Pairs(count, equal, _examples(worst, one, field, lost))


def monotonicity(one: Option, field: Field, lost: Sequence[int], by_loss: Sequence[int]) -> Pairs:
    """Ordered pairs of which the first lost more and is paid less, of all pairs of which the first lost more."""
    values, worst = one.amounts.numerators, list[tuple[int, int, int]]()
    best: int | None = None  # who is paid most of those who lost less
    rising, sizes = True, []
    for _, group in groupby(by_loss, key=lost.__getitem__):
        places = list(group)
        sizes.append(len(places))
        if best is not None:
            below = [(values[best] - values[n], n, best) for n in places if values[n] < values[best]]
            rising = rising and not below
            worst = sorted([*worst, *below], key=lambda pair: (-pair[0], pair[1]))[:EXAMPLES] if below else worst
        top = max(places, key=lambda n: (values[n], -n))
        best = top if best is None or values[top] > values[best] else best
    ordered = _pairs(len(by_loss)) - sum(map(_pairs, sizes))
    count = 0 if rising else inversions([lost[n] for n in by_loss], [values[n] for n in by_loss])
    return Pairs(count, ordered, _examples(worst, one, field, lost))


def inversions(groups: Sequence[int], values: Sequence[int]) -> int:
    """Pairs of which one stands in a later group with a smaller value. `groups` rise. O(n log n): one column pass for each binary digit.

    Values become ranks. Within a group larger ranks stand first in line to be counted, so that no pair of one group counts. Going from
    the highest digit of the ranks down, two of equal higher digits are in the wrong order where the earlier one has the digit and the
    later one has not.
    """
    ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
    order = sorted(range(len(values)), key=lambda n: (groups[n], values[n]))
    line = pl.DataFrame({"rank": pl.Series([ranks[values[n]] for n in order], dtype=pl.Int64)})
    count = 0
    for digit in reversed(range(max(1, (len(ranks) - 1).bit_length()))):
        line = line.with_columns(
            one=pl.col("rank") // (1 << digit) % 2,
            higher=pl.col("rank") // (1 << digit + 1),
        ).sort("higher", maintain_order=True)
        seen = line.select("higher", "one", before=pl.col("one").cum_sum() - pl.col("one"))
        start = seen.group_by("higher", maintain_order=True).agg(pl.col("before").first().alias("start"))
        wrong = seen.filter(pl.col("one") == 0).join(start, on="higher", how="left", maintain_order="left")
        count += int(wrong.select((pl.col("before") - pl.col("start")).sum()).item())
    return count


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def _examples(worst: Sequence[tuple[int, int, int]], one: Option, field: Field, lost: Sequence[int]) -> tuple[Example, ...]:
    """The pairs (difference, place paid less, place paid more) with the largest differences, equal ones by address."""
    chosen = sorted(worst, key=lambda pair: (-pair[0], pair[1]))[:EXAMPLES]
    return tuple(
        Example(field.traders[low], field.traders[high], (lost[low], lost[high]), (one.amounts[low], one.amounts[high]))
        for _, low, high in chosen
    )


def table(found: Sequence[Fairness]) -> pl.DataFrame:
    """The fairness table. Fractions are text, the total is cut to whole 1e-18."""

    def text(value: Fraction | None) -> str | None:
        return None if value is None else str(value)

    def of(pairs: Pairs | None, figure: Callable[[Pairs], object]) -> object:
        return None if pairs is None else figure(pairs)

    rows = [
        {
            "option": one.option,
            "traders": one.traders,
            "total": int(one.total),
            "recovery_min": text(one.recovery and one.recovery[0]),
            "recovery_median": text(one.recovery and one.recovery[1]),
            "recovery_max": text(one.recovery and one.recovery[2]),
            "total_recovery": text(one.total_recovery),
            "paid_above_loss": None if one.why_not and one.monotonicity is None else one.above_loss,
            "gini": text(one.gini),
            **{f"top_{k}": text(share) for k, share in zip(TOP, one.top, strict=True)},
            "envy_pairs": of(one.envy, lambda pairs: pairs.count),
            "equal_pairs": of(one.envy, lambda pairs: pairs.of),
            "envy_examples": of(one.envy, lambda pairs: "; ".join(map(str, pairs.examples)) or None),
            "monotonicity_violations": of(one.monotonicity, lambda pairs: pairs.count),
            "ordered_pairs": of(one.monotonicity, lambda pairs: pairs.of),
            "monotonicity_examples": of(one.monotonicity, lambda pairs: "; ".join(map(str, pairs.examples)) or None),
            "why_not": one.why_not,
        }
        for one in sorted(found, key=lambda one: one.option)
    ]
    return check(frame_of(rows, FAIRNESS), FAIRNESS)
