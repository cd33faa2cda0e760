"""From payouts to tranches: one cumulative curve in integers per payout, whose differences are the tranches, so they add up.

Months are counted from the start and clamped to the month's last day. Either the tranches bind, each unlocking at its date, or the
line binds, unlocking every second (or block); then the table shows the line's value at the tranche dates.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import chain
from math import ceil

import polars as pl

from perpcomp import fixed
from perpcomp.findings import refusal
from perpcomp.incident.incident import Incident
from perpcomp.incident.vesting import Vesting
from perpcomp.tables.payouts import CLAIMS, SCHEDULE, UNLOCKED
from perpcomp.tables.schema import Table, check
from perpcomp.vesting.curves import curve
from perpcomp.vesting.schedule import SECOND, Schedule, schedule, step_at


def vest(payouts: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    """The claims table: for every payout its upfront tranche (0) and n more, or one where all unlocks at once. Base units add up to the payout's."""
    totals, scales = _base_units(payouts, incident)
    return _tranches(payouts.select("trader", "token"), totals, scales, incident.vesting, CLAIMS)


def schedule_of(total: int, decimals: int, vesting: Vesting) -> pl.DataFrame:
    """The schedule table of any amount, in base units of a token with so many decimals. InputError for an amount that no column holds."""
    if type(decimals) is not int or not 1 <= decimals <= 18:
        raise refusal("decimals", f"{decimals!r} is no number of decimals.", "Give a whole number from 1 to 18.")
    if type(total) is not int or not 0 <= total * 10 ** (18 - decimals) < fixed.LIMIT:
        raise refusal("base_units", f"{total!r} is no amount in base units.", f"Give a whole number from 0 to below 10**{20 + decimals}.")
    return _tranches(pl.DataFrame({"": [0]}), [total], [10 ** (18 - decimals)], vesting, SCHEDULE)


def unlocked_of(total: int, vesting: Vesting, at: int | datetime) -> int:
    """What of any amount is unlocked at a time, or at a block where those bind, in base units."""
    return curve(vesting, schedule(vesting), step_at(vesting, at))(total)


def unlocked_at(payouts: pl.DataFrame, incident: Incident, at: int | datetime) -> pl.DataFrame:
    """The unlocked table: of every payout, what is unlocked at a time, or at a block where those bind."""
    vesting, dates = incident.vesting, schedule(incident.vesting)
    totals, scales = _base_units(payouts, incident)
    step, lock = step_at(vesting, at), timedelta(weeks=vesting.lock_weeks or 0) // SECOND
    now = _curve_at(vesting, dates, step, totals)
    free = _curve_at(vesting, dates, step - ceil(lock / Fraction(vesting.block_seconds or 1)), totals)
    columns = {
        "trader": payouts.get_column("trader"),
        "token": payouts.get_column("token"),
        "unlocked": _amounts(now, scales),
        "unlocked_base_units": [str(units) for units in now],
        "locked": _amounts([total - part for total, part in zip(totals, now, strict=True)], scales),
        "transferable": _amounts(free, scales),
    }
    return check(pl.DataFrame(columns, schema=UNLOCKED.schema), UNLOCKED)


def to_read(claims: pl.DataFrame, vesting: Vesting) -> pl.DataFrame:
    """The claims table for people: where blocks bind, unlocks_at is text, "about 2022-10-30"."""
    if not vesting.estimated:
        return claims
    return claims.with_columns(pl.format("about {}", pl.col("unlocks_at").dt.strftime("%Y-%m-%d")).alias("unlocks_at"))


def _base_units(payouts: pl.DataFrame, incident: Incident) -> tuple[list[int], list[int]]:
    """Of each payout: its base units, and the 1e-18 in one of them."""
    scale = {leg.token: 10 ** (18 - leg.decimals) for leg in incident.settlement}
    return [int(text) for text in payouts.get_column("amount_base_units")], [scale[token] for token in payouts.get_column("token")]


def _tranches(payouts: pl.DataFrame, totals: Sequence[int], scales: Sequence[int], vesting: Vesting, table: Table) -> pl.DataFrame:
    """A table with one row a payout and date, the payouts' columns first."""
    dates = schedule(vesting)
    by_date = [_curve_at(vesting, dates, date.step, totals) for date in dates.rows]
    by_payout = list(chain.from_iterable(zip(*by_date, strict=True)))
    rows = pl.DataFrame(
        {
            "tranche": range(len(dates.rows)),
            "unlocks_at": [date.time for date in dates.rows],
            "unlocks_at_unix": [date.unix for date in dates.rows],
            "unlocks_at_block": [date.block for date in dates.rows],
        },
        schema={name: table.schema[name] for name in ("tranche", "unlocks_at", "unlocks_at_unix", "unlocks_at_block")},
    )
    # Plain products and differences of Int128: each is at most a payout in 1e-18, which its own column holds.
    assert all(total * scale < fixed.LIMIT for total, scale in zip(totals, scales, strict=True))
    total, scale = pl.col("_unlocked"), pl.col("_scale")
    part = total - pl.when(pl.col("tranche") > 0).then(total.shift()).otherwise(0)
    claims = (
        payouts.with_columns(pl.Series("_scale", scales, dtype=pl.Int128))
        .join(rows, how="cross", maintain_order="left_right")
        .with_columns(pl.Series("_unlocked", by_payout, dtype=pl.Int128))
        .with_columns(part.alias("_part"))
        .with_columns(
            (pl.col("_part") * scale).reinterpret(dtype=fixed.AMOUNT).alias("amount"),
            pl.col("_part").cast(pl.String).alias("amount_base_units"),
            (total * scale).reinterpret(dtype=fixed.AMOUNT).alias("cumulative"),
        )
    )
    return check(claims.select(*table.schema), table)


def _curve_at(vesting: Vesting, dates: Schedule, step: int, totals: Sequence[int]) -> list[int]:
    unlocked = curve(vesting, dates, step)
    return [unlocked(total) for total in totals]


def _amounts(units: Sequence[int], scales: Sequence[int]) -> pl.Series:
    return fixed.from_integers([part * scale for part, scale in zip(units, scales, strict=True)])
