"""How much is unlocked at a date: a cumulative curve in integers."""

from decimal import Decimal

from perpcomp.incident.vesting import Vesting
from perpcomp.vesting.schedule import Instant


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


def in_words(vesting: Vesting) -> str:
    """The schedule as a sentence that names what binds."""
    units = {"calendar-months": "calendar months", "fixed-days": "days", "seconds": "seconds", "blocks": "blocks"}
    upfront = f"{Decimal(100 * vesting.upfront.numerator) / vesting.upfront.denominator:.4g} % at {vesting.start:%Y-%m-%d %H:%M} UTC"
    over = f"{vesting.length} {units[vesting.calendar]}"
    if vesting.binding == "line":
        each = "block" if vesting.calendar == "blocks" else "second"
        return f"{upfront}, the rest linear per {each} over {over}; the line binds, the dates in the table are points on it"
    return f"{upfront}, the rest in {vesting.tranches} equal tranches over {over}; the tranche dates bind"
