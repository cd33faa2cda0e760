"""From payouts to tranches: one cumulative curve in integers per payout, whose differences are the tranches, so they add up.

Months are added to the start and clamped to the month's end, never chained. Two settings of what binds: tranches, each unlocking
whole at its date, or a line, unlocking every second (or block) between; the table then shows the line at the same dates.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl

from perpcomp import fixed
from perpcomp.incident import Incident, Vesting
from perpcomp.tables import CLAIMS, check


@dataclass(frozen=True)
class Instant:
    """A date of the schedule in unix seconds; `step` is where it lies on the curve: seconds, or blocks where those bind."""

    unix: int
    step: int
    block: int | None


def add_months(start: datetime, months: int) -> datetime:
    """The same day and time so many calendar months later, clamped to the month's last day."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))


def schedule(vesting: Vesting) -> list[Instant]:
    """The start and the n dates after it. Calendar months with one tranche a month fall on the months, all else on n equal parts."""
    start, n, length = int(vesting.start.timestamp()), vesting.tranches, vesting.length
    if vesting.calendar == "blocks":
        assert vesting.start_block is not None
        assert vesting.block_seconds is not None
        steps = [length * k // n for k in range(n + 1)]
        pace = vesting.block_seconds
        return [Instant(start + int(pace * step), step, vesting.start_block + step) for step in steps]
    if vesting.calendar == "calendar-months":
        end = int(add_months(vesting.start, length).timestamp())
    else:
        end = start + length * (86_400 if vesting.calendar == "fixed-days" else 1)
    if vesting.calendar == "calendar-months" and n == length:
        dates = [int(add_months(vesting.start, k).timestamp()) for k in range(n + 1)]
    else:
        dates = [start + (end - start) * k // n for k in range(n + 1)]
    return [Instant(date, date - start, None) for date in dates]


def unlocked(vesting: Vesting, total: int, step: int, dates: list[Instant]) -> int:
    """Base units unlocked at a step of the schedule `dates`, of a total: nothing before the start, all from the end on.

    Tranches: upfront + floor(rest * k / n) after k dates. Line: upfront + floor(rest * step / whole length).
    """
    if step < 0:
        return 0
    upfront = total * vesting.upfront.numerator // vesting.upfront.denominator
    if step >= dates[-1].step:
        return total
    if vesting.binding == "line":
        return upfront + (total - upfront) * step // dates[-1].step
    passed = sum(date.step <= step for date in dates[1:])
    return upfront + (total - upfront) * passed // vesting.tranches


def vest(payouts: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    """The claims table: for every payout its upfront tranche (0) and n more; their base units add up to the payout's."""
    vesting = incident.vesting
    dates = schedule(vesting)
    decimals = {leg.token: leg.decimals for leg in incident.settlement}
    traders, tokens, texts = (payouts.get_column(name).to_list() for name in ("trader", "token", "amount_base_units"))
    totals, scales = [int(text) for text in texts], [10 ** (18 - decimals[token]) for token in tokens]
    before = [0] * len(totals)
    claims = [CLAIMS.empty()]
    for tranche, date in enumerate(dates):
        now = [unlocked(vesting, total, date.step, dates) for total in totals]
        parts = [later - earlier for later, earlier in zip(now, before, strict=True)]
        columns = {
            "trader": traders,
            "token": tokens,
            "tranche": [tranche] * len(totals),
            "unlocks_at": [datetime.fromtimestamp(date.unix, UTC)] * len(totals),
            "unlocks_at_unix": [date.unix] * len(totals),
            "unlocks_at_block": [date.block] * len(totals),
            "amount": fixed.from_integers([part * scale for part, scale in zip(parts, scales, strict=True)]),
            "amount_base_units": [str(part) for part in parts],
            "cumulative": fixed.from_integers([total * scale for total, scale in zip(now, scales, strict=True)]),
        }
        claims.append(pl.DataFrame(columns, schema=CLAIMS.schema))
        before = now
    return check(pl.concat(claims), CLAIMS)


def in_words(vesting: Vesting) -> str:
    """The schedule in a sentence, with what binds."""
    units = {"calendar-months": "calendar months", "fixed-days": "days", "seconds": "seconds", "blocks": "blocks"}
    upfront = f"{Decimal(100 * vesting.upfront.numerator) / vesting.upfront.denominator:.4g} % at {vesting.start:%Y-%m-%d %H:%M} UTC"
    over = f"{vesting.length} {units[vesting.calendar]}"
    if vesting.binding == "line":
        each = "block" if vesting.calendar == "blocks" else "second"
        return f"{upfront}, the rest linear per {each} over {over}; the line binds, the dates in the table are points on it"
    return f"{upfront}, the rest in {vesting.tranches} equal tranches over {over}; the tranche dates bind"


def end_of(vesting: Vesting) -> datetime:
    """When all is unlocked."""
    return vesting.start + timedelta(seconds=schedule(vesting)[-1].unix - int(vesting.start.timestamp()))
