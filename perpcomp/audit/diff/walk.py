"""From one published run to another, one cause after the other: the payouts are computed again after each.

So each payout's change is the sum of what each cause moves, to the unit. Where two causes act together, the later one has what they
do together; the order is stated.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from perpcomp import fixed, pipeline
from perpcomp.audit.diff.causes import Cause, Stated, stated_by, steps
from perpcomp.findings import InputError, refusal
from perpcomp.publish.read_back import Published

Amounts = Mapping[tuple[str, str], int]  # (payee, token) -> what is paid, in 1e-18 of the token


@dataclass(frozen=True)
class Moved:
    """A cause, and by how much it moves each (payee, token), in 1e-18 of the token."""

    cause: Cause
    by: Amounts


def walk(before: Published, after: Published) -> list[Moved]:
    """Every cause, in order, with what it moves. InputError where a run can no longer be made from its own inputs."""
    first, last = stated_by(before), stated_by(after)
    at, moved = paid(before), list[Moved]()

    def to(cause: Cause, amounts: Amounts) -> None:
        nonlocal at
        moved.append(Moved(cause, {key: by for key in sorted({*at, *amounts}) if (by := amounts.get(key, 0) - at.get(key, 0))}))
        at = amounts

    here = _computed(first, before)
    if here != at:
        to(Cause("this version of perpcomp, for the first run", _versions(before)), here)
    waiting: list[Cause] = []
    for cause, stated in steps(first, last):
        waiting.append(cause)
        try:
            amounts = _amounts(stated)
        except InputError:
            continue  # this table needs a later one: they are one cause
        to(_joined(waiting), amounts)
        waiting = []
    there = _computed(last, after)
    if waiting or there != at:
        to(_joined(waiting) if waiting else Cause("other texts of the incident file", ()), there)
    if (published := paid(after)) != at:
        to(Cause("this version of perpcomp, for the second run", _versions(after)), published)
    return moved


def paid(run: Published) -> Amounts:
    """What a published run pays."""
    return {
        (payee, token): fixed.to_integer(amount) for payee, token, amount in run.payouts.select("trader", "token", "amount").iter_rows()
    }


def _amounts(stated: Stated) -> Amounts:
    payouts = pipeline.compute(stated.incident, stated.input, stated.formula, compared=()).payouts
    return {(payee, token): fixed.to_integer(amount) for payee, token, amount in payouts.select("trader", "token", "amount").iter_rows()}


def _computed(stated: Stated, run: Published) -> Amounts:
    try:
        return _amounts(stated)
    except InputError as error:
        what = f"The run cannot be made again from its own inputs: {error.problems[0]}"
        raise refusal(str(run.folder), what, f"`perpcomp verify {run.folder}` says more.") from None


def _joined(causes: list[Cause]) -> Cause:
    return Cause(" and ".join(cause.name for cause in causes), tuple(detail for cause in causes for detail in cause.details))


def _versions(run: Published) -> tuple[str, ...]:
    return (f"the run was made by version {run.stated['tool'].get('version')}",)
