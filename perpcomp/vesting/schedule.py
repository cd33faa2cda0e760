"""The dates of a vesting schedule. Where blocks bind, dates are estimates, and words say so."""

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor

from msgspec import Struct

from perpcomp.findings import refusal
from perpcomp.incident.vesting import ACCRUES, LENGTH_FROM_CLIFF, Vesting
from perpcomp.tables.schema import CSV_TIME

SECOND = timedelta(seconds=1)


class Instant(Struct, frozen=True):
    """A date of the schedule in unix seconds; `step` is where it lies on the curve: seconds, or blocks where those bind."""

    unix: int
    step: int
    block: int | None

    @property
    def time(self) -> datetime:
        """The same in UTC."""
        return datetime.fromtimestamp(self.unix, UTC)


class Schedule(Struct, frozen=True):
    """A vesting in steps from its start: seconds, or blocks where those bind.

    The rest accrues from `base` to `end`; before `cliff` nothing of it is unlocked. `tranches` are the steps of the n equal parts.
    `rows` are the dates of the table: the start, and each date at which a part unlocks. Parts before a cliff unlock there together.
    """

    base: int
    cliff: int
    end: int
    tranches: tuple[int, ...]
    rows: tuple[Instant, ...]


def add_months(start: datetime, months: int) -> datetime:
    """The same day and time so many calendar months later, clamped to the month's last day."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))


def schedule(vesting: Vesting) -> Schedule:
    """The dates of a vesting, each counted from the start. With one tranche a unit they are whole units, as months; else n equal parts."""
    if vesting.all_at_once:
        return Schedule(0, 0, 0, (), (instant(vesting, 0),))
    steps, n, waits = _steps(vesting), vesting.tranches, vesting.cliff or 0
    first = 0 if vesting.cliff_reading == ACCRUES else waits
    last = vesting.length + (waits if vesting.cliff_reading == LENGTH_FROM_CLIFF else 0)
    base, cliff, end = steps(first), steps(waits), steps(last)
    if n == last - first:
        tranches = tuple(steps(first + k) for k in range(1, n + 1))
    else:
        tranches = tuple(base + (end - base) * k // n for k in range(1, n + 1))
    rows = {0, *(max(step, cliff) for step in tranches)}
    if vesting.binding == "line" and vesting.cliff_reading == ACCRUES:
        rows.add(cliff)
    return Schedule(base, cliff, end, tranches, tuple(instant(vesting, step) for step in sorted(rows)))


def _steps(vesting: Vesting) -> Callable[[int], int]:
    """From units of the calendar, counted from the start, to steps. InputError where the calendar ends before."""
    if vesting.calendar == "calendar-months":
        return lambda months: (later(vesting, lambda: add_months(vesting.start, months)) - vesting.start) // SECOND
    return lambda units: units * (timedelta(days=1) // SECOND if vesting.calendar == "fixed-days" else 1)


def instant(vesting: Vesting, step: int) -> Instant:
    """The date of a step. InputError where the calendar ends before."""
    seconds, block = step, None
    if vesting.estimated:
        assert vesting.start_block is not None
        assert vesting.block_seconds is not None
        seconds, block = floor(Fraction(vesting.block_seconds) * step), vesting.start_block + step
    date = later(vesting, lambda: vesting.start + timedelta(seconds=seconds))
    return Instant(int(date.timestamp()), step, block)


def later(vesting: Vesting, date: Callable[[], datetime]) -> datetime:
    """A date that follows from the vesting. InputError where the calendar ends before."""
    try:
        found = date()
    except (OverflowError, ValueError):
        found = None
    if found is None or found.year > 9998:
        what = f"The schedule ends after the year 9998: it starts at {vesting.start.strftime(CSV_TIME)} and takes {duration(vesting)}"
        what += f", before a lock of {vesting.lock_weeks} weeks." if vesting.lock_weeks else "."
        raise refusal("[vesting] length", what, "Correct start, length, lock_weeks, or the calendar that the length counts in.")
    return found


def step_at(vesting: Vesting, at: int | datetime) -> int:
    """Where a time, or a block where those bind, lies on the curve. A time of a schedule in blocks is an estimate.

    InputError for a block of a schedule that counts time.
    """
    if isinstance(at, int):
        if vesting.start_block is None:
            what = f"{at} is a block, and this vesting counts time."
            raise refusal("--at", what, "Give a time, such as 2021-04-01T00:00:00Z.")
        return at - vesting.start_block
    seconds = (at - vesting.start) // SECOND
    return seconds if vesting.block_seconds is None else floor(Fraction(seconds) / Fraction(vesting.block_seconds))


def end_of(vesting: Vesting) -> datetime:
    """The date when everything is unlocked."""
    return schedule(vesting).rows[-1].time


def duration(vesting: Vesting, units: int | None = None) -> str:
    """A number of units of the calendar in words, by default the length: "3 calendar months"."""
    names = {"calendar-months": "calendar months", "fixed-days": "days", "seconds": "seconds", "blocks": "blocks"}
    return f"{vesting.length if units is None else units} {names[vesting.calendar]}"


def day_in_words(day: datetime) -> str:
    """The day of a time, as people say it: "30 October 2022"."""
    return f"{day.day} {day:%B %Y}"


def date_in_words(instant: Instant) -> str:
    """A date of the schedule; a block with about its day."""
    return f"{instant.time:%Y-%m-%d %H:%M} UTC" if instant.block is None else f"block {instant.block:,}, about {day_in_words(instant.time)}"


def end_in_words(vesting: Vesting) -> str:
    """When everything is unlocked: an exact time; or the block that binds, with about the day."""
    end = schedule(vesting).rows[-1]
    if end.block is None:
        return end.time.strftime(CSV_TIME)
    return f"block {end.block:,} binds; about {day_in_words(end.time)} at {vesting.block_seconds:f} s a block"
