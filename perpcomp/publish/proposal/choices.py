"""What the vote chooses from: each compared formula or rule with its total, and no compensation."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl
from msgspec import Struct

from perpcomp.decide.compare import INCOMPLETE, totals
from perpcomp.fixed import ONE
from perpcomp.number_text import cut as cut_amount
from perpcomp.publish.markdown import in_one_line
from perpcomp.publish.proposal.limits import Limits, characters, cut
from perpcomp.publish.sentence import short
from perpcomp.run import Run
from perpcomp.systems.units import units

NOTHING = "No compensation"
SHORTEST = 12  # characters that a name keeps at least: a total that leaves it fewer is left out


class Option(NamedTuple):
    """A formula or rule: what it gives in all (1e-18 of the quote asset), to how many accounts more than 0, and of how many an amount lacks."""

    name: str
    total: int
    accounts: int
    incomplete: int


class Choice(Struct, frozen=True):
    """One choice: its text on the ballot, and the formulas and rules that it stands for, which give every account the same; none for no
    compensation."""

    label: str
    options: tuple[Option, ...]


class Ballot(Struct, frozen=True):
    """The choices in order, the last one no compensation; which one is recommended, from 0; and what is compared and stands in no choice.

    `same` are the options that give nobody anything: to choose no compensation is to choose them.
    """

    choices: tuple[Choice, ...]
    recommended: int
    same: tuple[Option, ...] = ()
    beyond: tuple[Option, ...] = ()
    unpayable: tuple[Option, ...] = ()

    @property
    def labels(self) -> list[str]:
        """The texts of the choices."""
        return [one.label for one in self.choices]


def ballot(run: Run, limits: Limits) -> Ballot:
    """The choices of a vote: first the formula or rule that pays, then the incident file's rules in its order, then formulas by total,
    the largest first, ties by name. Options that give every account the same are one choice, so that they do not share its votes.

    Where payment is stopped, no amount can be voted on, and no compensation is the only choice.
    """
    nothing = Choice(NOTHING, ())
    if any(problem.stops for problem in run.problems):
        return Ballot((nothing,), 0)
    rules = [rule.name for rule in run.incident.rules]
    negative = {one.name for one in run.compared if one.negative}
    options = _options(run)
    place = {name: n for n, name in enumerate(dict.fromkeys([run.formula.name, *rules]))}
    ordered = sorted(options, key=lambda name: (place.get(name, len(place)), -options[name].total, name))
    groups: dict[object, list[Option]] = {}
    given = _given(run)
    for name in ordered:
        if name not in negative:
            nobody = not options[name].total and not options[name].incomplete
            groups.setdefault(given.get(name, () if nobody else name), []).append(options[name])
    same = groups.pop((), [])
    chosen = list(groups.values())
    kept, beyond = chosen[: limits.choices - 1], chosen[limits.choices - 1 :]
    labels = _labels([group[0] for group in kept], units(run.incident).quote, limits.choice)
    choices = [Choice(label, tuple(group)) for label, group in zip(labels, kept, strict=True)]
    recommended = len(choices) if run.formula.name in {one.name for one in same} else 0
    return Ballot(
        (*choices, nothing),
        recommended,
        tuple(same),
        tuple(one for group in beyond for one in group),
        tuple(options[name] for name in ordered if name in negative),
    )


def _options(run: Run) -> dict[str, Option]:
    """Each of what is compared; the one that pays with the total that the run pays by."""
    found = {name: Option(name, total, above, incomplete) for name, total, above, _, incomplete in totals(run.comparison)}
    above = sum(one.known > 0 for one in run.due.owed.values())
    incomplete = sum(one.unknown > 0 for one in run.due.owed.values())
    return {**found, run.formula.name: Option(run.formula.name, run.due.total, above, incomplete)}


def _given(run: Run) -> Mapping[str, tuple[object, ...]]:
    """Name -> what is equal where each account is given the same; () where nobody is given anything. An unknown amount is like no other."""
    found, different = dict[str, tuple[object, ...]](), list[pl.DataFrame]()
    for (name,), rows in run.comparison.select("formula", "trader", "amount", "rank").group_by("formula"):
        given = rows.filter(pl.col("amount") != 0).select("trader", "amount")
        if rows.filter(INCOMPLETE).height:
            found[str(name)] = (name,)
        elif given.is_empty():
            found[str(name)] = ()
        else:
            place = next((n for n, other in enumerate(different) if given.equals(other)), len(different))
            if place == len(different):
                different.append(given)
            found[str(name)] = (place,)
    return found


def _labels(options: Sequence[Option], unit: str, most: int) -> list[str]:
    """The texts of choices, as "NAME: TOTAL UNIT": totals with two places where all texts fit, else all in whole units.

    Where a text is too long, the name is cut; where that would leave next to nothing of it, the total is left out. They are numbered
    where two would be the same.
    """
    for total in (short, _whole):
        said = [f"{'≥' if one.incomplete else ''}{total(one.total)} {in_one_line(unit)}" for one in options]
        plain = [f"{in_one_line(one.name)}: {amount}" for one, amount in zip(options, said, strict=True)]
        if all(characters(text) <= most for text in plain):
            break
    labels = [_label(in_one_line(one.name), amount, most) for one, amount in zip(options, said, strict=True)]
    if len(set(labels)) == len(labels):
        return labels
    return [_label(f"{n}. {in_one_line(one.name)}", amount, most) for n, (one, amount) in enumerate(zip(options, said, strict=True), 1)]


def _label(name: str, amount: str, most: int) -> str:
    room = most - characters(f": {amount}")
    return f"{cut(name, room)}: {amount}" if room >= min(SHORTEST, characters(name)) else cut(name, most)


def _whole(total: int) -> str:
    """A total cut to whole units; in full where that would be 0."""
    return short(total) if abs(total) < ONE else cut_amount(total, 0).removesuffix(".")
