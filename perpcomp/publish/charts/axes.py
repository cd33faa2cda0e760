"""Axes: round numbers and round times, as texts beside light lines."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from perpcomp.number_text import in_full
from perpcomp.publish.charts.draw import LEFT, RIGHT, WIDTH, Scale, between, label, line, that_fit
from perpcomp.publish.charts.element import Element

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LARGE = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"))
DAY = 86_400
# Between two marks of a time axis, in seconds.
PERIODS = (
    *(1, 2, 5, 10, 15, 30),
    *(60 * n for n in (1, 2, 5, 10, 15, 30)),
    *(3600 * n for n in (1, 2, 3, 6, 12)),
    *(DAY * n for n in (1, 2, 7, 14, 30, 60, 90, 180, 365, 730, 3650)),
)


def power_below(value: Fraction) -> int:
    """The largest n with 10**n <= value, which is above 0."""
    assert value > 0
    n = len(str(value.numerator)) - len(str(value.denominator))
    while Fraction(10) ** n > value:
        n -= 1
    while Fraction(10) ** (n + 1) <= value:
        n += 1
    return n


def round_steps(low: Fraction, high: Fraction, most: int) -> list[Fraction]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, at most so many gaps; `low` is below `high`."""
    least = (high - low) / most
    unit = Fraction(10) ** power_below(least)
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= least)
    return [step * n for n in range(ceil(low / step), floor(high / step) + 1)]


def tick_text(value: Fraction) -> str:
    """A round number as people write it: "45,000", "0.5", "1.2 billion", "2 × 10⁻¹⁸"."""
    if not value:
        return "0"
    power = power_below(abs(value))
    if power < -8 or power > 14:
        return f"{in_full(_decimal(value / Fraction(10) ** power))} × 10{str(power).translate(RAISED)}"
    for unit, word in LARGE:
        if abs(value) >= unit and power >= 6:
            return f"{in_full(_decimal(value / unit))} {word}"
    return in_full(_decimal(value))


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / value.denominator


def numbers_left(axis: Scale, steps: Sequence[Fraction]) -> list[Element]:
    """Lines across the plot with their numbers to its left."""
    drawn: list[Element] = []
    for step in steps:
        drawn += [
            line(LEFT, axis(step), RIGHT, axis(step), "line-muted", "faint"),
            label(LEFT - 8, axis(step) + 4, tick_text(step), "quiet", "small", anchor="end"),
        ]
    return drawn


def _round_times(axis: Scale, most: int = 9) -> tuple[int, range]:
    """The period between round times, and the times."""
    low, high = ceil(axis.low), floor(axis.high)
    period = next((p for p in PERIODS if high - low < most * p), PERIODS[-1])
    return period, range(-(-low // period) * period, high + 1, period)


def time_lines(axis: Scale, top: int, bottom: int) -> list[Element]:
    """Lines down the plot at round times in UTC."""
    return [line(axis(unix), top, axis(unix), bottom, "line-muted", "faint") for unix in _round_times(axis)[1]]


def times(axis: Scale, bottom: int) -> list[Element]:
    """Round times in UTC below the plot, and below the first one of a day the day."""
    period, marks = _round_times(axis)
    pattern = "%Y-%m-%d" if period >= DAY else "%H:%M" if period >= 60 else "%H:%M:%S"
    written = [(unix, datetime.fromtimestamp(unix, UTC)) for unix in marks]
    marked = that_fit([(between(axis(unix), f"{at:{pattern}}", 0, WIDTH), f"{at:{pattern}}") for unix, at in written])
    drawn: list[Element] = [label(x, bottom + 18, text, "quiet", "small", anchor="middle") for x, text in marked]
    if period < DAY:
        first = {f"{at:%Y-%m-%d} UTC": unix for unix, at in reversed(written)}
        days = sorted((between(axis(unix), text, 0, WIDTH), text) for text, unix in first.items())
        drawn += [label(x, bottom + 33, text, "quiet", "small", anchor="middle") for (x, text) in that_fit(days)]
    return drawn


def numbers_below(axis: Scale, steps: Sequence[Fraction], top: int, bottom: int) -> list[Element]:
    """Lines down the plot with their numbers below."""
    texts = [(between(axis(step), tick_text(step), 0, WIDTH), tick_text(step)) for step in steps]
    drawn: list[Element] = [line(axis(step), top, axis(step), bottom, "line-muted", "faint") for step in steps]
    return [*drawn, *(label(x, bottom + 18, text, "quiet", "small", anchor="middle") for x, text in that_fit(texts))]
