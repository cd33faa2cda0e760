"""The sheet Vesting: one row a payout, one column a date; each amount follows the payout and the share that unlocks at the start."""

from collections.abc import Sequence
from fractions import Fraction

from perpcomp.eip55 import checksummed
from perpcomp.fixed import to_integers
from perpcomp.publish.workbook.claims import Claims
from perpcomp.publish.workbook.inputs import UPFRONT
from perpcomp.publish.workbook.plan import FIRST_ROW, Cell, Column, Sheet, letter, number, within
from perpcomp.run import Run
from perpcomp.sheet_limits import ROWS
from perpcomp.vesting.curves import curve
from perpcomp.vesting.schedule import date_in_words, schedule

VESTING = "Vesting"
FILE = "4-claims.csv"
DATES = 24  # more do not fit a page; the rest is in one column
WHOLE = 10**40  # a total that every part of is told apart
AMOUNT, FIRST = 2, 3  # columns


def sheet(run: Run, claims: Claims) -> Sheet:
    """What unlocks when, of every payout."""
    incident, dates = run.incident, schedule(run.incident.vesting)
    shown = dates.rows[:DATES]
    after = len(dates.rows) > len(shown)
    weights = _weights(run)
    amounts: dict[tuple[str, str], list[int]] = {}  # exact: a sum of floats differs between versions of Python
    for (trader, token), amount in zip(run.claims.select("trader", "token").iter_rows(), to_integers(run.claims["amount"]), strict=True):
        amounts.setdefault((trader, token), []).append(amount or 0)
    check = FIRST + len(shown) + after
    rows = list[list[Cell]]()
    legs = incident.settlement
    for payee in claims.order[: (ROWS - FIRST_ROW) // len(legs)]:
        for leg in legs:
            at, own = FIRST_ROW + len(rows), amounts[payee, leg.token]
            cells = [Cell(checksummed(payee), "address"), Cell(leg.token, "text")]
            cells.append(Cell(number(sum(own)), "token", f"SUMIFS({claims.live[leg.token]},{claims.trader},A{at})"))
            cells += [Cell(number(own[k]), "token", f"C{at}*{weights[k]}") for k in range(len(shown))]
            if after:
                cells.append(Cell(number(sum(own[len(shown) :])), "token", f"C{at}-SUM(D{at}:{letter(FIRST + len(shown) - 1)}{at})"))
            total = f"SUM(D{at}:{letter(check - 1)}{at})"
            cells.append(Cell("ok", "text", within(f"C{at}", total, "0")))
            rows.append(cells)
    columns = [Column("account", 44), Column("token", 8), Column("paid in all (token)", 16)]
    columns += [Column(f"{date_in_words(date)} (token)", 16) for date in shown]
    columns += [Column("later dates (token)", 16)] if after else []
    columns.append(Column("adds up?", 8))
    heading = f"What unlocks when; the parts in base units are in {FILE}"
    return Sheet(VESTING, heading, columns, rows, (0, 1), True, (check,))


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
