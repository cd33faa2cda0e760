"""How fair each option is, in exact figures: recovery, Gini, shares of the largest, envy pairs and violations of monotonicity.

Over all eligible traders. What a trader lost is the signed equity at the reference price, added up over positions; a recovery is
amount / loss, where there is a loss. Two traders envy if they lost the same and are paid differently. Monotonicity is violated where
one lost more than another and is paid less. Both are counted without looking at every pair.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from heapq import nsmallest
from operator import mul

import polars as pl
from msgspec import Struct

from perpcomp.decide.field import Field, Option
from perpcomp.number_text import exact
from perpcomp.tables.decide import FAIRNESS
from perpcomp.tables.schema import check, frame_of

TOP = (1, 2, 10)  # shares of so many largest payouts; no policy, only what is shown
EXAMPLES = 3  # so many are named
SHORT = 1000  # up to so many ranks are sorted by insertion


class Example(Struct, frozen=True):
    """Two traders by their places, what each lost and is paid (1e-18)."""

    first: str
    second: str
    lost: tuple[int, int]
    paid: tuple[Fraction, Fraction]

    def __str__(self) -> str:
        (lost, other_lost), (paid, other_paid) = self.lost, map(int, self.paid)
        return (
            f"{self.first} lost {exact(lost)} and gets {exact(paid)}, {self.second} lost {exact(other_lost)} and gets {exact(other_paid)}"
        )


class Pairs(Struct, frozen=True):
    """How many pairs violate, of how many that could, and the examples with the largest difference in payouts."""

    count: int
    of: int
    examples: tuple[Example, ...]


class Fairness(Struct, frozen=True):
    """The measures of one option; None where one is not defined. `why_not` says why, where an amount or a loss is not known."""

    option: str
    traders: int
    total: Fraction
    recovery: tuple[Fraction, Fraction, Fraction] | None  # smallest, median, largest
    total_recovery: Fraction | None
    above_loss: int | None
    gini: Fraction | None
    top: tuple[Fraction | None, ...]  # for each of TOP
    envy: Pairs | None
    monotonicity: Pairs | None
    why_not: str | None


class _Losses:
    """What the traders lost (1e-18, signed), with what every option's measures need of it."""

    def __init__(self, lost: Sequence[int]) -> None:
        self.lost = lost
        self.losses = [max(0, loss) for loss in lost]
        self.total = sum(self.losses)
        self.column = pl.Series(self.losses, dtype=pl.Int128)
        self.losers = [n for n, loss in enumerate(lost) if loss > 0]
        place = {loss: n for n, loss in enumerate(sorted(set(lost)))}
        self.places = pl.Series("loss", [place[loss] for loss in lost], dtype=pl.Int64)  # equal where as much was lost, larger where more
        self.equal = _pairs(self.places.value_counts().get_column("count"))  # pairs who lost the same
        self.shared = self.places.is_duplicated()  # whose loss is another trader's too


def fairness(field: Field) -> list[Fairness]:
    """The measures of each option. One that is incomplete has its total and nothing else: what is unknown could change every other."""
    known = [loss for loss in field.lost if loss is not None]
    losses = _Losses(known) if len(known) == len(field.traders) else None
    return [_of(one, field, losses) for one in field.options]


def _of(one: Option, field: Field, losses: _Losses | None) -> Fairness:
    count, total = len(field.traders), one.total
    if not one.complete:
        why = f"the amounts of {(~one.is_known).sum()} of {count} traders are not known"
        return Fairness(one.name, count, total, None, None, None, None, (None,) * len(TOP), None, None, why)
    negative = bool(one.ascending) and one.amounts.numerators[one.ascending[0]] < 0
    undefined = negative or not total
    shares = (None,) * len(TOP) if undefined else tuple(top_share(one, k) for k in TOP)
    alike = None if undefined else gini(one)
    if losses is None:
        why = "what was lost is not known for every trader"
        return Fairness(one.name, count, total, None, None, None, alike, shares, None, None, why)
    return Fairness(
        option=one.name,
        traders=count,
        total=total,
        recovery=recovery(one, losses),
        total_recovery=total / losses.total if losses.total else None,
        above_loss=paid_more(one, losses),
        gini=alike,
        top=shares,
        envy=envy(one, field, losses),
        monotonicity=monotonicity(one, field, losses),
        why_not="some amounts are below 0, so there is no Gini and no top share" if negative else None,
    )


def gini(one: Option) -> Fraction:
    """sum((2k - n - 1) * x_k) / (n * sum(x)) over the amounts x in ascending order. They are not below 0, and do not sum to 0."""
    values, n = one.amounts.numerators, len(one.ascending)
    ordered = [values[at] for at in one.ascending]
    return Fraction(sum(map(mul, range(1 - n, n, 2), ordered)), n * sum(ordered))


def top_share(one: Option, k: int) -> Fraction:
    """The share of the k largest amounts; 1 where there are no more traders."""
    values = one.amounts.numerators
    return Fraction(sum(values[at] for at in one.ascending[-k:]), sum(values))


def recovery(one: Option, losses: _Losses) -> tuple[Fraction, Fraction, Fraction] | None:
    """The smallest, median and largest amount / loss of those who lost; of an even number, the median is the mean of the middle two.

    Ratios are sorted as integers: two different ones are at least 1 / loss / loss apart, so enlarged by more than that they stay apart.
    """
    values, lost = one.amounts.numerators, losses.losses
    if not losses.losers:
        return None
    bits = 2 * max(lost).bit_length()
    keys = [(values[n] << bits) // lost[n] for n in losses.losers]
    order = sorted(keys)

    def ranked(rank: int) -> Fraction:
        at = losses.losers[keys.index(order[rank])]
        return Fraction(values[at], lost[at] * one.amounts.denominator)

    middle = len(order) // 2
    median = ranked(middle) if len(order) % 2 else (ranked(middle - 1) + ranked(middle)) / 2
    return ranked(0), median, ranked(len(order) - 1)


def paid_more(one: Option, losses: _Losses) -> int:
    """How many are paid more than they lost."""
    same = (one.whole == losses.column).arg_true().to_list() if one.amounts.denominator != 1 else []
    above: list[bool] = [one.amounts.numerators[n] > losses.losses[n] * one.amounts.denominator for n in same]
    return int((one.whole > losses.column).sum()) + sum(above)


def envy(one: Option, field: Field, losses: _Losses) -> Pairs:
    """Pairs of traders who lost the same and are paid differently, of all pairs who lost the same."""
    if not losses.equal:
        return Pairs(0, 0, ())
    frame = _beside(one, losses).filter(losses.shared)
    same = _pairs(frame.group_by("loss", "rank").len().get_column("len"))
    ends = frame.sort("loss", "rank", "n").group_by("loss", maintain_order=True).agg(low=pl.col("n").first(), high=pl.col("n").last())
    values = one.amounts.numerators
    worst = [(values[high] - values[low], low, high) for low, high in ends.select("low", "high").iter_rows() if values[high] != values[low]]
    return Pairs(losses.equal - same, losses.equal, _examples(worst, one, field, losses.lost))


def monotonicity(one: Option, field: Field, losses: _Losses) -> Pairs:
    """Ordered pairs of which the first lost more and is paid less, of all pairs of which the first lost more."""
    frame = _beside(one, losses).sort("loss", "rank", "n")
    ordered = frame.height * (frame.height - 1) // 2 - losses.equal
    more = pl.col("loss") != pl.col("loss").shift()  # than the one before
    best = pl.when(more).then(pl.col("rank", "quarter").cum_max().shift()).forward_fill()  # of those who lost less
    below = frame.with_columns(best.name.prefix("best_")).filter(pl.col("rank") < pl.col("best_rank"))
    if below.is_empty():
        return Pairs(0, ordered, ())
    # A difference of amounts is less than 4 away from 4 differences of quarters, so that no other row can have one of the largest.
    lead = pl.col("best_quarter") - pl.col("quarter")
    near = below.filter(lead >= lead.top_k(EXAMPLES).min() - 1).select("n", "best_rank").rows()
    first = {rank: frame.filter(rank=rank).item(0, "n") for rank in {rank for _, rank in near}}
    values = one.amounts.numerators
    worst = [(values[first[rank]] - values[n], n, first[rank]) for n, rank in near]
    return Pairs(inversions(frame.get_column("rank")), ordered, _examples(worst, one, field, losses.lost))


def _beside(one: Option, losses: _Losses) -> pl.DataFrame:
    """Each trader: the place `n`, the place of the loss among all losses, the rank of the amount, and a quarter of it, cut down: no
    difference of these exceeds 128 bits.
    """
    return pl.DataFrame({"loss": losses.places, "rank": one.ranks, "quarter": one.whole // 4}).with_row_index("n")


def inversions(ranks: pl.Series) -> int:
    """Pairs of which the later one is smaller. O(n log² n), and for some twenty traders, as most runs have, hardly any time."""
    return _sorted(ranks.to_list())[1]


def _sorted(ranks: list[int]) -> tuple[list[int], int]:
    """The ranks sorted, and their inversions: those within each half, and those of which the later one is in the second."""
    if len(ranks) > SHORT:
        middle = len(ranks) // 2
        (first, within), (second, also) = _sorted(ranks[:middle]), _sorted(ranks[middle:])
        return sorted(first + second), within + also + sum(len(first) - bisect_right(first, rank) for rank in second)
    seen, count = list[int](), 0
    for rank in ranks:
        place = bisect_right(seen, rank)
        count += len(seen) - place
        seen.insert(place, rank)
    return seen, count


def _pairs(sizes: pl.Series) -> int:
    """Pairs within groups of these sizes."""
    return sum(size * (size - 1) // 2 for size in sizes.to_list())


def _examples(worst: Sequence[tuple[int, int, int]], one: Option, field: Field, lost: Sequence[int]) -> tuple[Example, ...]:
    """The pairs (difference, place paid less, place paid more) with the largest differences, equal ones by address."""
    chosen = nsmallest(EXAMPLES, worst, key=lambda pair: (-pair[0], pair[1]))
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
            "paid_above_loss": one.above_loss,
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
