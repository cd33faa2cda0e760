"""A vesting as one sentence."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from perpcomp.incident.claims import ClaimPeriod
from perpcomp.incident.vesting import ACCRUES, REST_FROM_CLIFF, ROUND_DOWN, Vesting
from perpcomp.number_text import counted
from perpcomp.tables.schema import CSV_TIME
from perpcomp.vesting.schedule import Schedule, date_in_words, day_in_words, duration, end_in_words, instant, later, schedule, step_at


@lru_cache(maxsize=1)  # each account of a page states it
def in_words(vesting: Vesting) -> str:
    """The schedule as a sentence that names what binds, and how a cliff is read."""
    dates = schedule(vesting)
    start = date_in_words(dates.rows[0])
    if vesting.all_at_once:
        return f"all at {start}{_lock(vesting, dates)}"
    said, over = f"{percent(vesting.upfront)} at {start}", duration(vesting)
    if vesting.binding == "line":
        each = "block" if vesting.estimated else "second"
        moves = f"per {each}" if vesting.granularity == 1 else f"in steps of {vesting.granularity:,} {each}s"
        said += f", the rest linear {moves} over {over}; the line binds, the dates in the table are points on it"
    else:
        said += f", the rest in {vesting.tranches} equal tranches over {over}"
        if not vesting.estimated:
            said += "; the tranche dates bind"
    if vesting.rounding != ROUND_DOWN:
        said += f"; the tranches are rounded by {vesting.rounding}"
    said += _cliff(vesting, dates) + _lock(vesting, dates)
    return f"{said}; blocks bind and dates are estimates: all unlocked when {end_in_words(vesting)}" if vesting.estimated else said


def at_in_words(vesting: Vesting, at: int | datetime) -> str:
    """A moment of which is said what is unlocked; a time of a schedule in blocks with its estimate."""
    if isinstance(at, int):
        return f"block {at:,}"
    said = at.astimezone(UTC).strftime(CSV_TIME)
    if vesting.start_block is None:
        return said
    return f"{said}, by estimate block {vesting.start_block + step_at(vesting, at):,} at {vesting.block_seconds:f} s a block"


def claims_end(claims: ClaimPeriod) -> str:
    """When claims end, and what happens then."""
    return f"{claims.until.strftime(CSV_TIME)} (UTC, not included); what nobody claimed: {claims.then}"


def percent(share: Fraction) -> str:
    """A share in per cent where that is a short decimal, else as a fraction: "50 %", "1/3"."""
    digits = f"{Decimal(100 * share.numerator) / share.denominator:f}"
    return f"{digits} %" if len(digits) < 8 else f"{share}"  # what is no decimal has 28 digits


def _cliff(vesting: Vesting, dates: Schedule) -> str:
    if vesting.cliff is None:
        return ""
    cliff, takes = date_in_words(instant(vesting, dates.cliff)), duration(vesting, vesting.cliff)
    if vesting.cliff_reading == ACCRUES:
        return f"; cliff ({vesting.cliff_reading}): {takes} inside the length, nothing of the rest unlocks before {cliff}, what accrued since the start unlocks then"
    end = date_in_words(dates.rows[-1])
    if vesting.cliff_reading == REST_FROM_CLIFF:
        return f"; cliff ({vesting.cliff_reading}): {takes} inside the length, nothing accrues before {cliff}, the rest unlocks from then to {end}"
    return f"; cliff ({vesting.cliff_reading}): {takes} before the length, nothing accrues before {cliff}, the {duration(vesting)} begin then and end at {end}"


def _lock(vesting: Vesting, dates: Schedule) -> str:
    if vesting.lock_weeks is None:
        return ""
    first = dates.rows[0]
    if not vesting.upfront:
        first = instant(vesting, dates.cliff) if vesting.binding == "line" else dates.rows[1]
    lock = timedelta(weeks=vesting.lock_weeks)
    free = later(vesting, lambda: first.time + lock)
    day = f"about {day_in_words(free)}" if vesting.estimated else f"{free:%Y-%m-%d %H:%M} UTC"
    return f"; claimable only into a lock of at least {counted(vesting.lock_weeks, 'week')}, so nothing can be transferred before {day}"
