"""The dates of a vesting schedule. Where blocks bind, dates are estimates, and words say so."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime, timedelta

from perpcomp.incident.vesting import Vesting
from perpcomp.tables.schema import CSV_TIME


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
    """The start and the n tranche dates. With one tranche a calendar month, the dates are whole months; otherwise n equal parts."""
    start, n, length = int(vesting.start.timestamp()), vesting.tranches, vesting.length
    if n == 0:
        return [Instant(start, 0, vesting.start_block)]
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


def end_of(vesting: Vesting) -> datetime:
    """The date when everything is unlocked."""
    if vesting.all_at_once:
        return vesting.start
    return vesting.start + timedelta(seconds=schedule(vesting)[-1].unix - int(vesting.start.timestamp()))


def day_in_words(day: datetime) -> str:
    """The day of a time, as people say it: "30 October 2022"."""
    return f"{day.day} {day:%B %Y}"


def end_in_words(vesting: Vesting) -> str:
    """When everything is unlocked: an exact time; or the block that binds, with about the day."""
    if not vesting.estimated:
        return end_of(vesting).strftime(CSV_TIME)
    block = schedule(vesting)[0 if vesting.all_at_once else -1].block
    return f"block {block:,} binds; about {day_in_words(end_of(vesting))} at {vesting.block_seconds} s a block"
