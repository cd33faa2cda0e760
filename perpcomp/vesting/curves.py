"""How much is unlocked at a date: a cumulative curve in integers."""

from decimal import Decimal

from perpcomp.incident.vesting import Vesting
from perpcomp.vesting.schedule import Instant, day_in_words, end_in_words


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
    start = f"{vesting.start:%Y-%m-%d %H:%M} UTC"
    if vesting.estimated:
        start = f"block {vesting.start_block:,}, about {day_in_words(vesting.start)}"
    if vesting.all_at_once:
        return f"all at {start}"
    units = {"calendar-months": "calendar months", "fixed-days": "days", "seconds": "seconds", "blocks": "blocks"}
    upfront = f"{Decimal(100 * vesting.upfront.numerator) / vesting.upfront.denominator:.4g} % at {start}"
    over = f"{vesting.length} {units[vesting.calendar]}"
    if vesting.binding == "line":
        each = "block" if vesting.estimated else "second"
        binds = "the line binds, the dates in the table are points on it"
        said = f"{upfront}, the rest linear per {each} over {over}; {binds}"
    elif vesting.estimated:
        said = f"{upfront}, the rest in {vesting.tranches} equal tranches over {over}"
    else:
        said = f"{upfront}, the rest in {vesting.tranches} equal tranches over {over}; the tranche dates bind"
    return f"{said}; blocks bind and dates are estimates: all unlocked when {end_in_words(vesting)}" if vesting.estimated else said
