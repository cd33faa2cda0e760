"""The sheet Claims: what each account is paid, live, beside the exact amount that is published."""

from collections.abc import Sequence
from fractions import Fraction

import polars as pl
from msgspec import Struct

from perpcomp import fixed, payees
from perpcomp.eip55 import checksummed
from perpcomp.incident.settlement import Leg
from perpcomp.number_text import in_full
from perpcomp.payees import Part
from perpcomp.publish.workbook.exactly import beside, same
from perpcomp.publish.workbook.inputs import in_paid, share
from perpcomp.publish.workbook.linked import accounts
from perpcomp.publish.workbook.plan import FIRST_ROW, HEADER_ROW, ROW, Cell, Cells, Column, Sheet, letter, span, total
from perpcomp.publish.workbook.rules import Given
from perpcomp.publish.workbook.series import addresses, column, floats, numbers, ratios, row_numbers, texts
from perpcomp.publish.workbook.spelled import LONGEST
from perpcomp.publish.workbook.traders import Traders
from perpcomp.run import Run
from perpcomp.sheet_limits import held, shown_rows
from perpcomp.systems.units import units
from perpcomp.totals import total_of

CLAIMS = "Claims"
FILE = "3-payouts.csv"
ENTITLED, LOST, FIRST_LEG = 2, 4, 6  # columns
LEG = 3  # columns of a token: live, exact, difference


class Claims(Struct, frozen=True):
    """The sheet, and where other sheets find its columns. `payees` are as shown; `values_only` counts those whose amounts are values."""

    sheet: Sheet
    payees: pl.Series
    trader: str
    live: dict[str, str]  # token -> span
    exact: dict[str, str]
    values_only: int


def claims(run: Run, traders: Traders, lost: Given) -> Claims:
    """One row an account that is paid or gets 0, the largest entitlement first. `lost` is what each trader's positions were worth."""
    legs = run.incident.settlement
    by_token = [run.payouts.filter(token=leg.token) for leg in legs]  # each has the same accounts in the same order
    ranked = by_token[0].with_row_index().sort(["entitlement", "trader"], descending=[True, False]).get_column("index")
    rows = [one[ranked.head(shown_rows(len(ranked)))] for one in by_token]
    payee, height = rows[0]["trader"], rows[0].height
    for_others = _paid_for_others(run)
    formula = "" if is_stopped(run) else _formula(payee, for_others, traders)
    lacking = height if not len(formula) or run.due.legs else 0 if isinstance(formula, str) else len(formula.filter(formula == ""))
    columns = _entitlements(run, rows[0], formula, len(ranked) == height)
    columns += _losses(run, traders, lost, rows[0], ~payee.is_in([*for_others]))
    for k, (leg, own) in enumerate(zip(legs, rows, strict=True)):
        columns += _paid(run, k, leg, own, len(ranked) == height)
    columns.append(same([FIRST_LEG + LEG * k + 2 for k in range(len(legs))], payee.is_not_null()))
    reason = pl.select(pl.coalesce([own["reason"] for own in rows])).to_series()
    columns.append(column("why 0", 54, texts(reason, "wrapped", FILE)))
    values = f". Amounts are values in {lacking:,} of them" if lacking else ""
    heading = f"What each account is paid, largest first: {held(len(ranked), FILE, links=True)}{values}"
    made = Sheet(CLAIMS, heading, columns, key=(0,), filtered=True, checks=(len(columns) - 2,))
    live = {leg.token: span(CLAIMS, FIRST_LEG + LEG * k, height) for k, leg in enumerate(legs)}
    exact = {leg.token: span(CLAIMS, FIRST_LEG + LEG * k + 1, height) for k, leg in enumerate(legs)}
    return Claims(made, payee, span(CLAIMS, 0, height), live, exact, lacking)


def _entitlements(run: Run, rows: pl.DataFrame, formula: str | pl.Series, whole: bool) -> list[Column]:
    """Who it is, and its entitlement. `whole`: the sheet has everybody."""
    on_chain = rows["trader"].is_in(run.liquidations["trader"].unique().to_list())
    account = accounts(run.incident.chain.id, addresses(rows["trader"]), on_chain)
    entitled, part, sum_of = (letter(ENTITLED), rows["share_of_budget"], total(ENTITLED, rows.height, run.due.total))
    everything = f"SUM({entitled}${FIRST_ROW}:{entitled}${HEADER_ROW + max(rows.height, 1)})"
    portion = Cells("percent", floats(part), None, f"IF({everything}=0,0,{entitled}{ROW}/{everything})", part.is_not_null())
    return [
        column("account", 40, account, Cell("Total", "bold")),
        column("liquidations", 10, Cells("whole", rows["liquidations"])),
        column(
            f"entitlement ({units(run.incident).quote})",
            15,
            Cells("money", floats(rows["entitlement"]), formula=formula),
            sum_of if whole else None,
        ),
        column("share of all (/1)", 9, portion),
    ]


def _losses(run: Run, traders: Traders, lost: Given, rows: pl.DataFrame, own: pl.Series) -> list[Column]:
    """What the account lost, and which part of it is paid; empty where it is paid for others (not `own`), or nothing was lost or is known."""
    losses = [lost.by_trader.get(trader) if alone else None for trader, alone in zip(rows["trader"], own, strict=True)]
    has_lost = pl.Series([loss is not None for loss in losses], dtype=pl.Boolean)
    worth = Cells("money", numbers(losses), None, f"SUMIFS({traders.lost},{traders.trader},A{ROW})", has_lost)
    entitled, loss = letter(ENTITLED), letter(LOST)
    recovered = f'IF({loss}{ROW}>0,{entitled}{ROW}/{loss}{ROW},"")'
    recovery = Cells("percent", ratios(fixed.to_integers(rows["entitlement"]), losses), None, recovered, has_lost)
    return [column(f"lost ({units(run.incident).quote})", 15, worth), column("recovery: entitlement / lost", 13, recovery)]


def _paid(run: Run, k: int, leg: Leg, rows: pl.DataFrame, whole: bool) -> list[Column]:
    """What is paid in the token k, and the exact amount."""
    raw = f"{letter(ENTITLED)}{ROW}*{share(k, run)}{in_paid(run)}/token_price_{k + 1}"
    if leg.decimals <= 8:  # more places than a number holds need no rounding
        raw = f"ROUNDDOWN(ROUND({raw},{leg.decimals + 4}),{leg.decimals})"
    refused = (rows["value"] > 0) & (rows["amount"] == 0) & rows["reason"].str.starts_with(payees.UNPAYABLE).fill_null(False)
    amount, live = total_of(run.payouts, "amount", leg.token), FIRST_LEG + LEG * k
    paid = Cells("token", floats(rows["amount"]), None, "" if is_stopped(run) or run.due.legs else raw, ~refused)
    exact = beside(live, leg.token, f"base units of {leg.token}, 10^-{leg.decimals}", leg.decimals, rows["amount_base_units"])
    exact[0] = exact[0]._replace(above=Cell(f"{in_full(amount)} {leg.token}", "digits"))
    return [column(f"paid ({leg.token})", 16, paid, total(live, rows.height, amount, "total_token") if whole else None), *exact]


def is_stopped(run: Run) -> bool:
    """Whether a finding stops all payments."""
    return any(problem.stops for problem in run.problems)


def _paid_for_others(run: Run) -> dict[str, list[Part]]:
    """Payee -> its parts, of those that are not just paid what they are owed themselves."""
    parts = run.due.parts if run.due.incident.payees else ()
    others = {part.payee for part in parts if part.entry is not None or part.payee != part.trader}
    found: dict[str, list[Part]] = {payee: [] for payee in others}
    for part in parts:
        if part.payee in others:
            found[part.payee].append(part)
    return found


def _formula(payee: pl.Series, for_others: dict[str, list[Part]], traders: Traders) -> str | pl.Series:
    """The formula of what each payee gets for its traders: one of all, or one each; "" where a cell cannot hold it."""
    own = f"SUMIFS({traders.chosen},{traders.trader},A{ROW})"
    if not for_others:
        return own
    rows = zip(payee, row_numbers(len(payee)), strict=True)
    return pl.Series([_sum_of(for_others[who], row, traders) if who in for_others else own.replace(ROW, row) for who, row in rows])


def _sum_of(parts: Sequence[Part], row: str, traders: Traders) -> str:
    texts = []
    for part in parts:
        who = f"A{row}" if part.trader == part.payee else f'"{checksummed(part.trader)}"'
        portion = Fraction(1) if part.entry is None else part.entry.share
        times = "" if portion == 1 else f"*{portion.numerator}/{portion.denominator}"
        texts.append(f"SUMIFS({traders.chosen},{traders.trader},{who}){times}")
    text = "+".join(texts)
    return text if len(text) <= LONGEST else ""
