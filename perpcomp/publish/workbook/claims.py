"""The sheet Claims: what each account is paid, live, beside the exact amount that is published."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from perpcomp import fixed, payees
from perpcomp.eip55 import checksummed
from perpcomp.entitlement import Entitlement
from perpcomp.number_text import in_full
from perpcomp.payees import Part
from perpcomp.publish.workbook.compare import Compared
from perpcomp.publish.workbook.inputs import QUOTE_PRICE, share
from perpcomp.publish.workbook.plan import FIRST_ROW, HEADER_ROW, Cell, Column, Sheet, letter, number, span, within
from perpcomp.publish.workbook.rules import equities
from perpcomp.publish.workbook.spelled import LONGEST
from perpcomp.run import Run
from perpcomp.sheet_limits import shown_rows, shown_text
from perpcomp.systems.units import units
from perpcomp.totals import total_of

CLAIMS = "Claims"
FILE = "3-payouts.csv"
ENTITLED, FIRST_LEG = 2, 6  # columns


@dataclass(frozen=True)
class Claims:
    """The sheet, and where other sheets find its columns. `order` are the payees as shown, `values_only` those whose amounts are values."""

    sheet: Sheet
    order: list[str]
    trader: str
    live: dict[str, str]  # token -> span
    exact: dict[str, str]
    check: int
    values_only: int


def claims(run: Run, compared: Compared) -> Claims:
    """One row an account that is paid or gets 0, the largest entitlement first."""
    incident, unit, legs = run.incident, units(run.incident), run.incident.settlement
    paid = dict(zip(run.payouts.select("trader", "token").iter_rows(), run.payouts.iter_rows(named=True), strict=True))
    ranked = run.payouts.unique("trader").sort("entitlement", "trader", descending=[True, False]).get_column("trader").to_list()
    shown = ranked[: shown_rows(len(ranked))]
    parts: dict[str, list[Part]] = {}
    for part in run.due.parts:
        parts.setdefault(part.payee, []).append(part)
    _, lost = equities(run)
    stopped = any(problem.stops for problem in run.problems)
    worth = "*" + QUOTE_PRICE if incident.quote is not None and incident.quote.price is not None else ""
    last = HEADER_ROW + max(len(shown), 1)
    rows, values_only, by_rules = [], 0, bool(run.due.legs)
    reason = FIRST_LEG + 2 * len(legs) + 1
    for at, payee in enumerate(shown, FIRST_ROW):
        lines = [paid[payee, leg.token] for leg in legs]
        formula = "" if stopped else _entitlement(parts.get(payee, []), compared, at)
        values_only += not formula or by_rules
        cells = [Cell(checksummed(payee), "address"), Cell(lines[0]["liquidations"], "whole")]
        cells.append(Cell(float(lines[0]["entitlement"]), "money", formula))
        total = f"SUM(C${FIRST_ROW}:C${last})"
        portion = lines[0]["share_of_budget"]
        cells.append(Cell("", "text") if portion is None else Cell(float(portion), "percent", f"IF({total}=0,0,C{at}/{total})"))
        cells += _recovery(payee, parts.get(payee, []), lost.get(payee), lines[0]["entitlement"], compared, at)
        for k, (leg, line) in enumerate(zip(legs, lines, strict=True)):
            raw = f"C{at}*{share(k, run)}{worth}/token_price_{k + 1}"
            if leg.decimals <= 8:  # more places than a number holds need no rounding
                raw = f"ROUNDDOWN(ROUND({raw},{leg.decimals + 4}),{leg.decimals})"
            unpayable = (
                line["reason"] is not None and line["value"] > 0 and line["amount"] == 0 and line["reason"].startswith(payees.UNPAYABLE)
            )
            cells.append(Cell(float(line["amount"]), "token", "" if unpayable or stopped or by_rules else raw))
            cells.append(Cell(line["amount_base_units"], "digits"))
        tests = [
            within(
                f"{letter(FIRST_LEG + 2 * k)}{at}", f"VALUE({letter(FIRST_LEG + 2 * k + 1)}{at})/10^{leg.decimals}", f"10^-{leg.decimals}"
            )
            for k, leg in enumerate(legs)
        ]
        joined = tests[0] if len(tests) == 1 else "IF(AND(" + ",".join(f'{one}="ok"' for one in tests) + '),"ok","DIFF")'
        cells.append(Cell("ok", "text", joined))
        cells.append(Cell(shown_text(next((line["reason"] for line in lines if line["reason"]), ""), FILE), "text"))
        rows.append(cells)
    whole = len(shown) == len(ranked)
    columns = [Column("account", 44, Cell("Total", "bold")), Column("liquidations", 13)]
    columns.append(Column(f"entitlement ({unit.quote})", 15, _sum(ENTITLED, last, run.due.total, "total") if whole else None))
    columns += [Column("share of all (/1)", 9), Column(f"lost ({unit.quote})", 15), Column("recovery: entitlement / lost", 13)]
    for k, leg in enumerate(legs):
        amount = total_of(run.payouts, "amount", leg.token)
        above = _sum(FIRST_LEG + 2 * k, last, amount, "total_token") if whole else None
        columns.append(Column(f"paid ({leg.token})", 16, above))
        columns.append(
            Column(
                f"exact, published (base units of {leg.token}, 10^-{leg.decimals})", 27, Cell(f"{in_full(amount)} {leg.token}", "digits")
            )
        )
    columns += [Column("live = exact?", 9), Column("why 0", 46)]
    held = f"{len(ranked):,}" if whole else f"{len(shown):,} of {len(ranked):,}; all are in {FILE}"
    values = "" if not values_only else f". Amounts are values in {values_only:,} of them"
    made = Sheet(CLAIMS, f"What each account is paid, largest first: {held}{values}", columns, rows, (0,), True, (reason - 1,))
    live = {leg.token: span(CLAIMS, FIRST_LEG + 2 * k, len(rows)) for k, leg in enumerate(legs)}
    exact = {leg.token: span(CLAIMS, FIRST_LEG + 2 * k + 1, len(rows)) for k, leg in enumerate(legs)}
    return Claims(made, shown, span(CLAIMS, 0, len(rows)), live, exact, reason - 1, values_only)


def _sum(column: int, last: int, value: int, form: str) -> Cell:
    name = letter(column)
    return Cell(number(value), form, f"SUM({name}{FIRST_ROW}:{name}{last})")


def _entitlement(parts: Sequence[Part], compared: Compared, at: int) -> str:
    """The formula of what a payee gets for its traders; "" where a cell cannot hold it."""
    texts = []
    for part in parts:
        who = f"A{at}" if part.trader == part.payee else f'"{checksummed(part.trader)}"'
        portion = Fraction(1) if part.entry is None else part.entry.share
        share = "" if portion == 1 else f"*{portion.numerator}/{portion.denominator}"
        texts.append(f"SUMIFS({compared.proposal},{compared.trader},{who}){share}")
    text = "+".join(texts)
    return text if len(text) <= LONGEST else ""


def _recovery(
    payee: str, parts: Sequence[Part], lost: Entitlement | None, entitlement: Decimal, compared: Compared, at: int
) -> tuple[Cell, Cell]:
    """What the account lost, and which part of it is paid; empty where it is paid for others, or nothing was lost or is known."""
    own = len(parts) == 1 and parts[0].entry is None and parts[0].trader == payee
    if not own or lost is None or lost.unknown:
        return Cell("", "text"), Cell("", "text")
    worth = Cell(number(lost.known), "money", f"SUMIFS({compared.lost},{compared.trader},A{at})")
    ratio = float(fixed.to_integer(entitlement) / Fraction(lost.known)) if lost.known > 0 else ""
    return worth, Cell(ratio, "percent", f'IF(E{at}>0,C{at}/E{at},"")')
