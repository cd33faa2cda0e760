"""How much is unlocked at a date: a cumulative curve in integers, whose differences are the tranches, so they add up."""

from bisect import bisect_right
from collections.abc import Callable

from perpcomp.incident.vesting import ROUND_DOWN, Vesting
from perpcomp.vesting.schedule import Schedule

# What is unlocked of `rest` after k of n equal tranches. Source: the enumeration AllocationType of the Open Cap Format, whose example
# is 18 over 4: 4-5-4-5, 5-4-5-4, 5-5-4-4, 4-4-5-5, 6-4-4-4, 4-4-4-6.
AFTER: dict[str, Callable[[int, int, int], int]] = {
    ROUND_DOWN: lambda rest, k, n: rest * k // n,
    "CUMULATIVE_ROUNDING": lambda rest, k, n: (2 * rest * k + n) // (2 * n),
    "FRONT_LOADED": lambda rest, k, n: rest // n * k + min(k, rest % n),
    "BACK_LOADED": lambda rest, k, n: rest // n * k + max(0, k - n + rest % n),
    "FRONT_LOADED_TO_SINGLE_TRANCHE": lambda rest, k, n: rest // n * k + (rest % n if k else 0),
    "BACK_LOADED_TO_SINGLE_TRANCHE": lambda rest, k, n: rest // n * k + (rest % n if k == n else 0),
}


def unlocked(vesting: Vesting, total: int, step: int, dates: Schedule) -> int:
    """Base units of a total that are unlocked at a step of its schedule: nothing before the start, all from the end on."""
    return curve(vesting, dates, step)(total)


def curve(vesting: Vesting, dates: Schedule, step: int) -> Callable[[int], int]:
    """From a total to what of it is unlocked at a step, both in base units.

    The upfront part is floor(total * upfront). A line has unlocked floor(rest * passed / length) of the rest, as Sablier Lockup and
    VestingWallet compute it; tranches have unlocked k of n parts, rounded as the vesting says.
    """
    if step < 0:
        return lambda total: 0
    if step >= dates.end:
        return lambda total: total
    share, of = vesting.upfront.numerator, vesting.upfront.denominator
    if step < dates.cliff:
        return lambda total: total * share // of
    if vesting.binding == "line":
        passed = (step - dates.base) // vesting.granularity * vesting.granularity
        length = dates.end - dates.base
        return lambda total: (upfront := total * share // of) + (total - upfront) * passed // length
    k, n, after = bisect_right(dates.tranches, step), vesting.tranches, AFTER[vesting.rounding]
    return lambda total: (upfront := total * share // of) + after(total - upfront, k, n)
