"""Two formulas or rules trader by trader: a square for the one, a circle for the other, joined."""

from collections.abc import Sequence
from fractions import Fraction

import svg

from perpcomp.decide.field import Field, Option
from perpcomp.number_text import counted, in_full
from perpcomp.publish.charts.axes import numbers_below, round_steps
from perpcomp.publish.charts.draw import RIGHT, Scale, breadth, circle, label, line, shortened, square, told, whole

TOP, ROW, LEFT = 64, 24, 150
TRADERS = 24  # so many are drawn: those whose amounts differ most

Drawn = tuple[list[svg.Element], int, list[str], list[list[str]]]


def dumbbell(field: Field, chosen: str, quote: str) -> Drawn | None:
    """Elements, height, and the table; None where no trader's two amounts are known. The one that pays is the square, else the first one."""
    one, other = sorted(field.options, key=lambda option: option.name != chosen)
    both = [n for n in range(len(field.traders)) if one.known[n] and other.known[n]]
    if not any(one.amounts[n] or other.amounts[n] for n in both):
        return None
    ranked = sorted(both, key=lambda n: (-abs(one.amounts[n] - other.amounts[n]), -one.amounts[n], field.traders[n]))
    shown = sorted(ranked[:TRADERS], key=lambda n: (-one.amounts[n], field.traders[n]))
    rows = [[f"{counted(len(both), 'trader')} in all", *_three(sum_of(one, both), sum_of(other, both))]]
    rows += [[field.traders[n], *_three(one.amounts[n], other.amounts[n])] for n in shown]
    header = ["trader", f"{one.name} ({quote})", f"{other.name} ({quote})", f"{one.name} less {other.name} ({quote})"]
    bottom = TOP + len(shown) * ROW
    parts = _parts(field, one, other, shown, quote, bottom)
    if len(shown) < len(both):
        said = f"The {len(shown)} of {counted(len(both), 'trader')} whose amounts differ most."
        parts.append(label(LEFT, bottom + 44, said, "quiet", "small"))
    return parts, bottom + 56, header, rows


def sum_of(one: Option, places: Sequence[int]) -> Fraction:
    """What an option gives these traders."""
    return Fraction(sum(one.amounts.numerators[n] for n in places), one.amounts.denominator)


def _three(first: Fraction | int, second: Fraction | int) -> list[str]:
    """Both amounts and their difference, cut to whole 1e-18."""
    return [in_full(int(value)) for value in (first, second, first - second)]


def _parts(field: Field, one: Option, other: Option, shown: Sequence[int], quote: str, bottom: int) -> list[svg.Element]:
    amounts = [Fraction(0), *(Fraction(option.amounts[n]) for option in (one, other) for n in shown)]
    x = Scale(min(amounts) / 10**18, max(amounts) / 10**18, LEFT, RIGHT - 20)
    names = [shortened(option.name, 30) for option in (one, other)]
    parts: list[svg.Element] = [
        square(LEFT + 5, 18, "fill-rust"),
        label(LEFT + 16, 23, names[0]),
        circle(LEFT + 40 + breadth(names[0], 14), 18, "fill-blue"),
        label(LEFT + 51 + breadth(names[0], 14), 23, names[1]),
        label(LEFT, TOP - 10, f"each trader's amount in {shortened(quote, 20)}", "quiet", "small"),
    ]
    parts += numbers_below(x, round_steps(x.low, x.high, 6), TOP, bottom)
    for k, n in enumerate(shown):
        y = TOP + k * ROW + ROW // 2
        first, second = (int(option.amounts[n]) for option in (one, other))
        trader = field.traders[n]
        parts.append(label(LEFT - 16, y + 4, f"{trader[:6]}…{trader[-4:]}", "small", anchor="end"))
        parts.append(line(x(whole(first)), y, x(whole(second)), y, "line-muted", "thick"))
        parts.append(told(square(x(whole(first)), y, "fill-rust"), f"{trader}: {in_full(first)} {quote} by {one.name}"))
        parts.append(told(circle(x(whole(second)), y, "fill-blue"), f"{trader}: {in_full(second)} {quote} by {other.name}"))
    return parts
