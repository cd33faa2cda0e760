"""The sheet Vesting: one row a payout, one column a date; each amount follows the payout and the share that unlocks at the start."""

from collections.abc import Sequence
from fractions import Fraction

import polars as pl

from perpcomp import fixed, sheet_limits
from perpcomp.number_text import counted
from perpcomp.publish.workbook.claims import Claims
from perpcomp.publish.workbook.inputs import UPFRONT
from perpcomp.publish.workbook.plan import HEADER_ROW, ROW, Cell, Cells, Column, Sheet, apart, letter, ok, total
from perpcomp.publish.workbook.series import addresses, chosen, column, floats, row_numbers
from perpcomp.run import Run
from perpcomp.tables.schema import CSV_TIME
from perpcomp.vesting.curves import curve
from perpcomp.vesting.schedule import date_in_words, schedule

VESTING = "Vesting"
FILE = "4-claims.csv"
DATES = 24  # more do not fit a page; the rest is in one column
WHOLE = 10**40  # a total that every part of is told apart
AMOUNT, FIRST = 2, 3  # columns


def sheet(run: Run, claims: Claims) -> Sheet:
    """What unlocks when, of every payout."""
    tokens, dates = [leg.token for leg in run.incident.settlement], schedule(run.incident.vesting)
    rows, shown, weights = _rows(run, claims, tokens, len(dates.rows)), dates.rows[:DATES], _weights(run)
    amounts = [rows[str(k)] for k in range(len(dates.rows))]
    paid = rows["token"].replace_strict({token: f"SUMIFS({live},{claims.trader},A" for token, live in claims.live.items()})
    columns = [
        column("account", 40, addresses(rows["trader"]), Cell("Total", "bold") if len(tokens) == 1 else None),
        column("token", 8, Cells("text", texts=rows["token"])),
        _amounts("paid in all", _sum(amounts), paid + row_numbers(rows.height) + ")", AMOUNT, tokens),
    ]
    for k, date in enumerate(shown):
        columns.append(_amounts(date_in_words(date), amounts[k], f"{letter(AMOUNT)}{ROW}*{weights[k]}", FIRST + k, tokens))
    if later := amounts[len(shown) :]:
        rest = f"{letter(AMOUNT)}{ROW}-SUM({letter(FIRST)}{ROW}:{letter(FIRST + len(shown) - 1)}{ROW})"
        columns.append(_amounts("later dates", _sum(later), rest, len(columns), tokens))
    test = f"{apart(f'{letter(AMOUNT)}{ROW}', f'SUM({letter(FIRST)}{ROW}:{letter(len(columns) - 1)}{ROW})')}=0"
    columns.append(column("adds up?", 8, Cells("text", None, chosen(rows["trader"].is_not_null(), "ok", None), ok(test))))
    return Sheet(VESTING, _heading(run, rows.height), columns, key=(0, 1), filtered=True, checks=(len(columns) - 1,))


def _heading(run: Run, rows: int) -> str:
    """What it shows, and the last day to claim."""
    cut = f": {rows:,} of {counted(run.payouts.height, 'payout')}" if rows < run.payouts.height else ""
    end = "" if run.incident.claims is None else f"; claims end {run.incident.claims.until.strftime(CSV_TIME)} (UTC, not included)"
    return f"What unlocks when{cut}{end}; the parts in base units are in {FILE}"


def _rows(run: Run, claims: Claims, tokens: list[str], dates: int) -> pl.DataFrame:
    """One row a payout, as the sheet Claims has the payees; beside account and token the amount of each date, which the table has below one another."""
    by_date = {str(k): run.claims["amount"].gather_every(dates, k) for k in range(dates)}
    payouts = pl.DataFrame(
        {"trader": run.claims["trader"].gather_every(dates), "token": run.claims["token"].gather_every(dates), **by_date}
    )
    each = {"trader": [who for who in claims.payees for _ in tokens], "token": tokens * len(claims.payees)}
    order = pl.DataFrame(each, schema={"trader": pl.String, "token": pl.String}).head(sheet_limits.ROWS - HEADER_ROW)
    return order.join(payouts, on=["trader", "token"], how="left", maintain_order="left")


def _amounts(header: str, amounts: pl.Series, formula: str | pl.Series, at: int, tokens: Sequence[str]) -> Column:
    """Amounts of a token, or of several below one another, which no total adds up."""
    above = total(at, len(amounts), sum(filter(None, fixed.to_integers(amounts))), "total_token") if len(tokens) == 1 else None
    unit = tokens[0] if len(tokens) == 1 else "token"
    return column(f"{header} ({unit})", 16, Cells("token", floats(amounts), None, formula), above)


def _sum(amounts: Sequence[pl.Series]) -> pl.Series:
    """The amounts of each row added up, exactly."""
    parts = pl.DataFrame({str(k): one.reinterpret(dtype=pl.Int128) for k, one in enumerate(amounts)})
    return parts.sum_horizontal().reinterpret(dtype=fixed.AMOUNT)


def _weights(run: Run) -> Sequence[str]:
    """What of a payout each date unlocks, as a formula: the upfront share, then parts of the rest."""
    vesting, dates = run.incident.vesting, schedule(run.incident.vesting)
    until = [curve(vesting, dates, date.step)(WHOLE) for date in dates.rows]
    parts = [now - before for now, before in zip(until, [0, *until[:-1]], strict=True)]
    if vesting.all_at_once:
        return ["1"]
    rest = WHOLE - parts[0]
    return [UPFRONT, *(f"(1-{UPFRONT})*{_short(part, rest)}" for part in parts[1:])]


def _short(part: int, whole: int) -> str:
    """part / whole as the text of a formula: a fraction of small numbers where it is one, else 15 places."""
    exact = Fraction(part, whole).limit_denominator(100_000)
    if abs(exact - Fraction(part, whole)) < Fraction(1, 10**18):
        return f"{exact.numerator}/{exact.denominator}"
    return f"{part * 10**15 // whole}/10^15"
