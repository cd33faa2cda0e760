"""What each voting type of Snapshot would elect if every trader voted for the own payout, and nobody else voted.

Readings. Each trader has one vote. Who gets the same under every option does not vote. Single choice: the option that pays the trader
most, of equal ones the first by name. Approval: every option that pays at least the trader's own average. Ranked choice and Copeland:
all options, the largest payout first, equal ones by name, because Snapshot counts full rankings only. Weighted: in proportion to the
payouts, each part cut to whole 1e-18 of a vote.

Scores are counted as Snapshot's voting module does. Source: https://github.com/snapshot-labs/snapshot.js/tree/master/src/voting
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import polars as pl

from perpcomp import fixed
from perpcomp.decide.field import Field, Option
from perpcomp.tables.decide import ELECTIONS
from perpcomp.tables.schema import check, frame_of

SINGLE, APPROVAL, RANKED, COPELAND, WEIGHTED = TYPES = ("single-choice", "approval", "ranked-choice", "copeland", "weighted")

Ballot = tuple[int, ...]  # options by their place, from 0


@dataclass(frozen=True)
class Election:
    """The scores (votes) of each option by one voting type, and who is elected: several where the highest score is theirs together."""

    scores: Mapping[str, Fraction]

    @property
    def elected(self) -> list[str]:
        most = max(self.scores.values(), default=Fraction(0))
        return [name for name, score in self.scores.items() if score == most and most > 0]


def elections(field: Field) -> dict[str, Election]:
    """Voting type -> its result, over the options that may be paid and the traders whose amounts are all known."""
    options = [one for one in field.options if one.payable]
    names, count = [one.name for one in options], len(options)
    rankings, approvals, weights = ballots(options)
    counted = {
        SINGLE: single_choice(Counter(ballot[0] for ballot in rankings.elements()), count),
        APPROVAL: approval(approvals, count),
        RANKED: ranked_choice(rankings, count),
        COPELAND: copeland(rankings, count),
        WEIGHTED: [Fraction(weight, fixed.ONE) for weight in weights],
    }
    return {kind: Election(dict(zip(names, scores, strict=True))) for kind, scores in counted.items()}


def ballots(options: Sequence[Option]) -> tuple[Counter[Ballot], Counter[Ballot], list[int]]:
    """The traders' rankings and approvals, equal ones counted together, and the sum of their weighted votes (1e-18)."""
    rankings, approvals, weights = Counter[Ballot](), Counter[Ballot](), [0] * len(options)
    exact = [one.amounts for one in options]
    fractional = any(amounts.denominator != 1 for amounts in exact)
    places = range(len(options))
    for n, amounts in enumerate(zip(*(amounts.cut() for amounts in exact), strict=True)):
        if not all(one.known[n] for one in options):
            continue
        values: Sequence[int | Fraction] = amounts
        if fractional and len(set(amounts)) < len(amounts):  # the last digits may decide
            values = [column[n] for column in exact]
        if len(set(values)) < 2:
            continue
        total = sum(values)
        rankings[tuple(sorted(places, key=lambda k, of=values: -of[k]))] += 1
        approvals[tuple(k for k in places if values[k] * len(options) >= total)] += 1
        for k in places:
            weights[k] += int(values[k] * fixed.ONE // total)
    return rankings, approvals, weights


def single_choice(votes: Counter[int], options: int) -> list[Fraction]:
    """The votes for each option."""
    return [Fraction(votes[k]) for k in range(options)]


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
        {"voting_type": kind, "option": name, "score": int(score * fixed.ONE), "elected": name in result.elected}
        for kind, result in results.items()
        for name, score in result.scores.items()
    ]
    return check(frame_of(sorted(rows, key=lambda row: (str(row["voting_type"]), str(row["option"]))), ELECTIONS), ELECTIONS)
