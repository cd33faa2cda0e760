"""Every account and why it is paid so much: a row an account, and below it its positions and corrections, which add up to it.

The formulas stand above the table once, and their terms are columns. So each line can be computed again from the page alone.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
from msgspec import Struct

from perpcomp import arithmetic, entitlement, fixed, payouts
from perpcomp.eip55 import checksummed
from perpcomp.number_text import counted, exact, in_full
from perpcomp.publish.facts import ranked
from perpcomp.publish.links import of_transaction
from perpcomp.publish.report.columns import Columns, header
from perpcomp.publish.report.parts import FIRST, MOST_ROWS, Accounts, Line, Part, Text
from perpcomp.run import Run
from perpcomp.totals import entitled, total_of

NAME = "Every account, exact"
FEW = 60  # up to so many accounts have their full steps, links to transactions, and amounts with separators whose last digits are set back
UNKNOWN = "unknown"


def accounts(run: Run, made: Columns) -> list[Part]:
    """The table; where it is very long, of the largest accounts, with a sentence that says so."""
    order = _everybody(run)
    shown = order if len(order) + _below(run) <= MOST_ROWS else order[:FIRST]
    few = len(order) <= FEW
    rows = _Lines(run, made, few, shown).lines()
    paid = [in_full(total_of(run.payouts, "amount", leg.token)) for leg in run.incident.settlement]
    total = Line("Total", _beside(paid, made), in_full(entitled(run.payouts)), "", [""] * made.behind)
    notes = any(line.note or line.steps for line in rows)
    table = Accounts(NAME, [*header(run, made), *(["note"] if notes else [])], rows, total, few, notes)
    if len(shown) == len(order):
        return [table]
    more = f"The table shows the {FIRST} largest of {len(order):,} accounts; the last row is the total of all. All are in 3-payouts.csv."
    return [Text(more, "notice"), table]


def _below(run: Run) -> int:
    """How many lines stand below accounts with several positions."""
    own = run.liquidations.filter("eligible").group_by("trader").len().get_column("len")
    return int(own.filter(own > 1).sum())


def _everybody(run: Run) -> list[str]:
    """Who is paid or gets 0, the largest entitlement first; then who has an entitlement that others are paid for."""
    paid = [one.address for one in ranked(run)]
    begun = {trader for one in run.due.outcomes for trader in one.begin.traders}
    return paid + sorted({*run.due.owed, *begun} - {*paid})


def _beside(paid: Sequence[str], made: Columns, values: Sequence[str] = ()) -> list[str]:
    """What is paid in each token, and its value beside it where there are several."""
    if not made.values:
        return list(paid)
    return [cell for pair in zip(paid, values or [""] * len(paid), strict=True) for cell in pair]


class _Position(Struct, frozen=True):
    """A compensated position: what it is, the link of its transaction, its terms, and what each formula gives it (1e-18)."""

    label: str
    link: str
    terms: list[str]
    given: list[int | None]


class _Lines:
    """Makes the lines of accounts: what they need of the run is looked up once."""

    def __init__(self, run: Run, made: Columns, few: bool, shown: Sequence[str]) -> None:
        self.run, self.made, self.few, self.shown, self.legs = run, made, few, shown, run.incident.settlement
        self.text = in_full if few else exact
        self.is_shown, self.nothing = pl.col("trader").is_in(shown), _beside([""] * len(self.legs), made)
        self.stopped = any(problem.stops for problem in run.problems)
        paid = run.payouts.filter(self.is_shown)
        rows = zip(paid.select("trader", "token").iter_rows(), paid.iter_rows(named=True), strict=True)
        self.paid: dict[tuple[str, str], dict[str, Any]] = dict(rows)
        self.values = payouts.leg_values(run.due) if made.values and not self.stopped else {}
        self.worth = fixed.to_integer(run.incident.quote_price)
        self.positions: dict[str, list[_Position]] = {}
        for trader, position in self._positions():
            self.positions.setdefault(trader, []).append(position)
        self.after: dict[str, list[str]] = {}
        if made.steps:
            standing = run.rule_steps.filter(self.is_shown, rule=run.formula.name).select("trader", "step", "after")
            for trader, step, after in standing.iter_rows():
                self.after.setdefault(trader, [""] * len(made.steps))[step] = self.text(after)
        self.corrected: dict[str, list[tuple[str, int]]] = {}
        for trader, label, change in self._corrections():
            self.corrected.setdefault(trader, []).append((label, change))

    def lines(self) -> list[Line]:
        """The lines of the accounts that are shown."""
        return [line for account in self.shown for line in self._account(account)]

    def _positions(self) -> Iterator[tuple[str, _Position]]:
        """Each compensated position with its trader."""
        eligible = self.run.liquidations.filter("eligible", self.is_shown)
        terms = [[self._shown(value) for value in arithmetic.terms(eligible.get_column(name))] for name in self.made.terms]
        given = [entitlement.given(one, eligible).to_list() for one in self.made.given]
        rows = eligible.select("trader", "market_name", "side", "partial", "chain_id", "transaction_hash").iter_rows()
        for at, (trader, market, side, partial, chain, transaction) in enumerate(rows):
            label = f"{'' if self.made.market else f'{market} '}{side}{', in part' if partial else ''}"
            link = of_transaction(chain, transaction) if self.few else ""
            yield trader, _Position(label, link, [column[at] for column in terms], [column[at] for column in given])

    def _corrections(self) -> Iterator[tuple[str, str, int]]:
        """Account -> what changes its entitlement after the formula or rule, and by how much (1e-18, cut)."""
        run = self.run
        for trader, own in run.due.owed.items():
            if own.taken_off and (before := run.due.before_received(trader)) is not None:
                yield trader, "already received", int(before - own.taken_off) - int(before)
        for number, trader, kind, change in run.adjusted.select("number", "trader", "kind", "change").iter_rows():
            yield trader, f"ruling {number}: {kind}", fixed.to_integer(change)
        if run.due.moved:  # the rule's own step gave it to others
            return
        for trader, payee, amount in run.redirected.select("trader", "payee", "entitlement").iter_rows():
            if trader != payee:
                yield trader, f"paid to {checksummed(payee)}", -fixed.to_integer(amount)
                yield payee, f"for {checksummed(trader)}", fixed.to_integer(amount)

    def _account(self, account: str) -> Iterator[Line]:
        own, extra, made = self.positions.get(account, []), list(self.corrected.get(account, ())), self.made
        first = self.paid.get((account, self.legs[0].token))
        owed = 0 if first is None else fixed.to_integer(first["entitlement"])
        begun = self._begun(account, own)
        if rest := owed - begun - sum(change for _, change in extra):
            extra.append(("payment is stopped by a finding" if self.stopped else "fractions of 1e-18, added up", rest))
        paid, note = self._tokens(account)
        steps = self.after.get(account, [""] * len(made.steps))
        anchor = f"why-{account}" if self.few else ""
        if len(own) == 1 and not extra:
            behind = [*own[0].terms, *(self._amounts(own[0].given) if made.steps else []), *steps]
            yield Line(account, paid, self.text(owed), own[0].label, behind, note, own[0].link, anchor)
            return
        sums = [self.text(sum(one.given[k] or 0 for one in own)) for k in range(len(made.given))] if made.steps else []
        label = counted(len(own), "position") if own else ""
        yield Line(account, paid, self.text(owed), label, [*[""] * len(made.terms), *sums, *steps], note, "", anchor)
        for one in own:
            given = self._amounts(one.given)
            behind = [*one.terms, *given, *[""] * len(made.steps)] if made.steps else one.terms
            yield Line("", self.nothing, "" if made.steps else given[0], one.label, behind, link=one.link)
        if made.steps and extra and (own or begun):
            extra.insert(0, (f"by {self.run.formula.name}", begun))
        for label, change in extra:
            yield Line("", self.nothing, self.text(change), label, [""] * made.behind)

    def _begun(self, account: str, own: Sequence[_Position]) -> int:
        """What the formula or rule gives an account before corrections, in 1e-18, cut."""
        if not self.made.steps:
            return sum(one.given[0] or 0 for one in own)
        if account not in self.run.due.owed:
            return 0
        before, known = self.run.due.before_received(account), self.run.due.owed[account]
        return int(known.known - (known.adjusted or 0) if before is None else before)

    def _tokens(self, account: str) -> tuple[list[str], str]:
        """The cells of what an account is paid in each token, and a note on them."""
        if (account, self.legs[0].token) not in self.paid:
            return self.nothing, "paid to others"
        rows = [self.paid[account, leg.token] for leg in self.legs]
        values = [fixed.to_integer(rows[0]["entitlement"])]
        if self.made.values:
            units_of = {row["token"]: int(row["amount_base_units"]) for row in rows}
            found = payouts.less_paid(self.values[account], self.run.due, units_of) if self.values else [0] * len(rows)
            values = [int(value) for value in found]
        notes = []
        for leg, row, value in zip(self.legs, rows, values, strict=True):
            if row["reason"]:
                notes.append(row["reason"].partition(": ")[0])
            elif more := int(row["amount_base_units"]) - payouts.base_units(value, leg, self.worth):
                notes.append(f"{more:+} base unit of {leg.token}")
        cells = _beside([self.text(row["amount"]) for row in rows], self.made, [self.text(value) for value in values])
        return cells, "; ".join(dict.fromkeys(notes))

    def _amounts(self, values: Sequence[int | None]) -> list[str]:
        return [UNKNOWN if value is None else self.text(value) for value in values]

    def _shown(self, value: arithmetic.Value) -> str:
        """A term of a formula: an amount with every digit, a text as it is."""
        if value is None:
            return UNKNOWN
        if isinstance(value, bool):
            return "yes" if value else "no"
        return value if isinstance(value, str) else self.text(value)
