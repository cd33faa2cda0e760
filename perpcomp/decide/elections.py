"""What each voting type of Snapshot would elect if every trader voted for the own payout, and nobody else voted.

Readings. Each trader has one vote. Who gets the same under every option does not vote. Single choice: the option that pays the trader
most, of equal ones the first by name. Approval: every option that pays at least the trader's own average. Ranked choice and Copeland:
all options, the largest payout first, equal ones by name, because Snapshot counts full rankings only; what the reverse order of equal
ones would elect stands beside it. Weighted: in proportion to the
payouts, each part cut to whole 1e-18 of a vote.

Scores are counted as Snapshot's voting module does. Source: https://github.com/snapshot-labs/snapshot.js/tree/master/src/voting
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.decide.field import Field, Option
from perpcomp.tables.decide import ELECTIONS
from perpcomp.tables.schema import check, frame_of

SINGLE, APPROVAL, RANKED, COPELAND, WEIGHTED = TYPES = ("single-choice", "approval", "ranked-choice", "copeland", "weighted")

Ballot = tuple[int, ...]  # options by their place, from 0


class Election(Struct, frozen=True):
    """The scores (votes) of each option by one voting type; and the scores where equal payouts are ranked in the reverse order of names."""

    scores: Mapping[str, Fraction]
    reverse: Mapping[str, Fraction]

    @property
    def elected(self) -> list[str]:
        """Who has the highest score: several where it is theirs together."""
        return _highest(self.scores)

    @property
    def elected_in_reverse(self) -> list[str]:
        """The same in the reverse order: another result says that equal payouts decide."""
        return _highest(self.reverse)


def _highest(scores: Mapping[str, Fraction]) -> list[str]:
    most = max(scores.values(), default=Fraction(0))
    return [name for name, score in scores.items() if score == most and most > 0]


def elections(field: Field) -> dict[str, Election]:
    """Voting type -> its result, over the options that may be paid and the traders whose amounts are all known."""
    names = [one.name for one in field.options if one.payable]
    rankings, reverse, approvals, weights = ballots(field)
    by_name, in_reverse = (_scores(one, approvals, weights, len(names)) for one in (rankings, reverse))
    return {kind: Election(dict(zip(names, by_name[kind], strict=True)), dict(zip(names, in_reverse[kind], strict=True))) for kind in TYPES}


def _scores(rankings: Counter[Ballot], approvals: Counter[Ballot], weights: Sequence[int], count: int) -> dict[str, list[Fraction]]:
    return {
        SINGLE: single_choice(rankings, count),
        APPROVAL: approval(approvals, count),
        RANKED: ranked_choice(rankings, count),
        COPELAND: copeland(rankings, count),
        WEIGHTED: [Fraction(weight, fixed.ONE) for weight in weights],
    }


def ballots(field: Field) -> tuple[Counter[Ballot], Counter[Ballot], Counter[Ballot], list[int]]:
    """The traders' rankings, those in the reverse order of names, and approvals, equal ones counted together; and the sum of their
    weighted votes (1e-18).
    """
    at = [n for n, one in enumerate(field.options) if one.payable]
    options, places = [field.options[n] for n in at], range(len(at))
    by_name, in_reverse = dict[str, pl.Series](), dict[str, pl.Series]()  # of each pair, who has the second option before the first
    differs = pl.repeat(False, len(field.traders), dtype=pl.Boolean, eager=True)
    known = pl.repeat(bool(options), len(field.traders), dtype=pl.Boolean, eager=True)
    for option in options:
        known &= option.is_known
    for k, m in combinations(places, 2):
        more, less = field.better[at[k], at[m]]
        differs |= more | less
        by_name[f"{k} {m}"], in_reverse[f"{k} {m}"] = less, ~more
    voters = differs & known
    rankings, reverse = (
        _rankings(pl.DataFrame({"voter": voters, **pairs}).filter("voter"), len(options)) for pairs in (by_name, in_reverse)
    )
    return rankings, reverse, *_parts(options, voters.arg_true().to_list())


def _rankings(pairs: pl.DataFrame, count: int) -> Counter[Ballot]:
    """The rankings of so many options by who has the second option of each pair before the first."""
    # An option's place is the number of options before it: those that pay more, and of equal ones those with an earlier name, or a later one.
    places = range(count if count > 1 else 0)
    before = [
        pl.sum_horizontal(*(pl.col(f"{k} {n}").not_() for k in places[:n]), *(pl.col(f"{n} {m}") for m in places[n + 1 :])).alias(str(n))
        for n in places
    ]
    rankings = Counter[Ballot]()
    for *positions, number in pairs.group_by(before).len().iter_rows() if before else ():
        rankings[tuple(sorted(places, key=positions.__getitem__))] += number
    return rankings


def _parts(options: Sequence[Option], voters: Sequence[int]) -> tuple[Counter[Ballot], list[int]]:
    """Who approves what, and the sum of the weighted votes: both look at an option's part of all that a trader would get."""
    columns, count = [one.amounts.cut() for one in options], len(options)
    exact = all(one.amounts.denominator == 1 for one in options)
    approvals, weights = Counter[Ballot](), [0] * count
    for n in voters:
        own = [column[n] for column in columns]
        total = sum(own)
        ahead = [value * count - total for value in own]
        if not exact and any(-count < lead < count for lead in ahead):  # the cut digits may decide
            fractions = [one.amounts[n] for one in options]
            ahead = [1 if value * count >= sum(fractions) else -1 for value in fractions]
        approvals[tuple(k for k, lead in enumerate(ahead) if lead >= 0)] += 1
        if total:
            weights = [weight + value * fixed.ONE // total for weight, value in zip(weights, own, strict=True)]
    return approvals, weights


def single_choice(votes: Counter[Ballot], options: int) -> list[Fraction]:
    """The first places of each option."""
    first = Counter[int]()
    for ballot, number in votes.items():
        first[ballot[0]] += number
    return [Fraction(first[k]) for k in range(options)]


def approval(votes: Counter[Ballot], options: int) -> list[Fraction]:
    """How many votes approve each option."""
    return [Fraction(sum(number for ballot, number in votes.items() if k in ballot)) for k in range(options)]


def ranked_choice(votes: Counter[Ballot], options: int) -> list[Fraction]:
    """The first places in the last round: whoever has the fewest, of equal ones the first by name, leaves, until one has more than half, or two are left."""
    left = [*range(options)]
    while True:
        first = Counter[int]()
        for ballot, number in votes.items():
            first[next(k for k in ballot if k in left)] += number
        if len(left) < 3 or 2 * max(first.values(), default=0) > sum(first.values()) or not votes:
            return [Fraction(first[k]) for k in range(options)]
        left.remove(min(left, key=lambda k: (first[k], k)))


def copeland(votes: Counter[Ballot], options: int) -> list[Fraction]:
    """2 for each other option that it beats by pairs, 1 for a tie, and half its average support in all pairs, which decides equal ones.

    These points share the number of votes.
    """
    before = {ballot: {k: n for n, k in enumerate(ballot)} for ballot in votes}
    points, total = [Fraction(0)] * options, sum(votes.values())
    if options < 2 or not total:
        return [Fraction(total, max(1, options))] * options
    for one, other in combinations(range(options), 2):
        ahead = sum(number for ballot, number in votes.items() if before[ballot][one] < before[ballot][other])
        for k, support in ((one, ahead), (other, total - ahead)):
            points[k] += (2 * support > total) + (2 * support >= total) + Fraction(support, 2 * (options - 1) * total)
    return [point / sum(points) * total for point in points]


def table(results: Mapping[str, Election]) -> pl.DataFrame:
    """The elections table. Scores are cut to whole 1e-18 of a vote."""
    rows = [
        {
            "voting_type": kind,
            "option": name,
            "score": int(score * fixed.ONE),
            "elected": name in result.elected,
            "elected_in_reverse": name in result.elected_in_reverse,
        }
        for kind, result in results.items()
        for name, score in result.scores.items()
    ]
    return check(frame_of(sorted(rows, key=lambda row: (str(row["voting_type"]), str(row["option"]))), ELECTIONS), ELECTIONS)


def in_words(elections: pl.DataFrame) -> str:
    """What the voting types elect, of an elections table; "" where it elects nothing."""
    elected = sorted(set(elections.filter("elected").get_column("option")))
    if not elected:
        return ""
    said = elected[0] if len(elected) == 1 else f"{', '.join(elected[:-1])} or {elected[-1]}, by the kind of vote"
    return f"If every trader voted their own payout, the vote would elect {said}."
