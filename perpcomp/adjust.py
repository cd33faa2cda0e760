"""Adjustments of entitlements by rulings: applied in order, shown in a table, checked against the run; and whether the run is the frozen one."""

from collections.abc import Iterator, Mapping
from fractions import Fraction

import polars as pl

from perpcomp import fixed
from perpcomp.entitlement import Entitlement, part_of
from perpcomp.findings import Finding, InputError, closest
from perpcomp.incident.adjustments import ADD, DEDUCT, SCALE, SET, Adjustment
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted, in_full
from perpcomp.systems.units import units
from perpcomp.tables.files import row_hash
from perpcomp.tables.payouts import ADJUSTED, PAYOUTS
from perpcomp.tables.schema import CSV_TIME, check, frame_of


def adjust(owed: Mapping[str, Entitlement], incident: Incident) -> Mapping[str, Entitlement]:
    """What each trader is owed after every adjustment, in the order of the incident file, then of the ledger.

    What is deducted beyond the entitlement is not taken from anybody else. A ruling that sets an amount also settles what is unknown.
    """
    adjusted = dict[str, Entitlement]()
    for one in incident.adjustments:
        if one.trader in owed:
            own = owed[one.trader]
            before = adjusted.get(one.trader, own)
            known = _after(before.known, one)
            unknown = 0 if one.kind == SET else before.unknown
            adjusted[one.trader] = Entitlement(known, unknown, before.liquidations, before.taken_off, known - own.known)
    return {**owed, **adjusted} if adjusted else owed


def _after(known: int | Fraction, one: Adjustment) -> int | Fraction:
    """The entitlement (1e-18 of the quote asset) after one adjustment. What a factor leaves is cut as the entitlement is: whole, or exact."""
    if one.kind == SCALE:
        return part_of(known, one.factor or Fraction())
    amount = fixed.to_integer(one.amount or fixed.from_integer(0))
    return {ADD: known + amount, DEDUCT: max(known - amount, min(known, 0)), SET: amount}[one.kind]


def table(owed: Mapping[str, Entitlement], incident: Incident) -> pl.DataFrame:
    """The adjusted table. `owed` is what the formula that pays gives, before the adjustments. InputError names each that corrects nobody."""
    rows, at = [], dict[str, int | Fraction]()
    problems = []
    for number, one in enumerate(incident.adjustments, 1):
        if one.trader not in owed:
            problems.append(_unknown(one, owed, incident))
            continue
        before = at.get(one.trader, owed[one.trader].known)
        at[one.trader] = _after(before, one)
        rows.append(
            {
                "number": number,
                "trader": one.trader,
                "kind": one.kind,
                "stated": None if one.amount is None else fixed.to_integer(one.amount),
                "factor": None if one.factor is None else str(one.factor),
                "before": int(before),
                "change": int(at[one.trader]) - int(before),
                "after": int(at[one.trader]),
                "reason": one.reason,
                "evidence": one.evidence,
                "author": one.author,
                "ruling": one.ruling,
                "date": int(one.date.timestamp()),
                "place": one.place,
                "source": ", ".join(one.source),
            }
        )
    if problems:
        raise InputError(problems)
    return check(frame_of(rows, ADJUSTED), ADJUSTED)


def _unknown(one: Adjustment, owed: Mapping[str, Entitlement], incident: Incident) -> Finding:
    near = closest(one.trader, owed)
    what = f"{one.place} adjusts {one.trader}, which is not compensated in this run."
    advice = (
        f"Did you mean {near}? " if near else ""
    ) + "An account that a ruling lets in needs [eligibility] to say so; see left-out.csv for why it is out."
    return Finding("error", f"{incident.name}.toml", what, advice, code="adjusted-unknown")


def findings(adjusted: pl.DataFrame, paid: pl.DataFrame, incident: Incident, official: bool) -> list[Finding]:
    """What the adjustments move, which deduct more than there is, and whether these are the payouts that were frozen.

    `official`: nothing but the incident file decides; a what-if is not held against the freeze.
    """
    found, file, quote = [], f"{incident.name}.toml", units(incident).quote
    if adjusted.height:
        changes = [fixed.to_integer(change) for change in adjusted.get_column("change")]
        more, less = sum(max(0, one) for one in changes), sum(max(0, -one) for one in changes)
        adds, takes = ("adds", "takes") if adjusted.height == 1 else ("add", "take")
        what = (
            f"{counted(adjusted.height, 'adjustment')} of {counted(adjusted.get_column('trader').n_unique(), 'trader')}"
            f" {adds} {in_full(more)} {quote} to entitlements and {takes} {in_full(less)} {quote} off."
        )
        found.append(
            Finding("note", "adjusted.csv", what, "Read each reason, its evidence and its ruling in adjusted.csv.", code="adjusted")
        )
    for row in adjusted.filter(pl.col("kind") == DEDUCT, pl.col("change") + pl.col("stated") != 0).iter_rows(named=True):
        what = f"{row['place']} deducts {in_full(row['stated'])} {quote} of {row['trader']}, which is owed {in_full(row['before'])}."
        found.append(Finding("warning", file, what, "It is owed 0 now. Check the amount.", code="adjusted-more"))
    return [*found, *(_frozen(paid, incident) if official and incident.book is not None else ())]


def _frozen(paid: pl.DataFrame, incident: Incident) -> Iterator[Finding]:
    book = incident.book
    assert book is not None
    if book.undone_by:
        what = f"{book.undone_by} changed the run after it was frozen, so the freeze no longer holds and a new comment window starts."
        yield Finding(
            "warning",
            f"{incident.name}.toml [ledger]",
            what,
            "Type `perpcomp ledger freeze` once the run is published.",
            code="freeze-undone",
        )
    if book.freeze is None:
        return
    freeze, found = book.freeze, row_hash(paid, PAYOUTS)
    until = f"comments until {freeze.comment_until.strftime(CSV_TIME)}"
    if found == freeze.payouts_sha256:
        what = f"These are the payouts that {freeze.place} freezes, {freeze.by}; {until}."
        yield Finding("note", f"{incident.name}.toml [ledger]", what, "Nothing.", code="frozen")
        return
    what = (
        f"These are not the payouts that {freeze.place} freezes, {freeze.by}: their row hash is {found[:12]}…, not"
        f" {freeze.payouts_sha256[:12]}…. The input, the incident file or the formula was changed after the freeze."
    )
    advice = f"Undo that change; `perpcomp diff` of the two folders names it. Until comments end, freeze the new run instead ({until})."
    yield Finding("error", f"{incident.name}.toml [ledger]", what, advice, code="frozen-differs")
