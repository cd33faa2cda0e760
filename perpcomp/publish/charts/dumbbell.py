"""Two formulas or rules trader by trader: a square for the one, a circle for the other, joined."""

from collections.abc import Sequence
from typing import NamedTuple

from perpcomp.decide.field import Field
from perpcomp.number_text import counted, in_full
from perpcomp.publish.charts.axes import numbers_below, round_steps
from perpcomp.publish.charts.draw import RIGHT, Scale, breadth, circle, label, line, shortened, square, told, whole
from perpcomp.publish.charts.element import Element

TOP, ROW, LEFT = 64, 24, 150
TRADERS = 24  # so many are drawn: those whose amounts differ most

Drawn = tuple[list[Element], int, list[str], list[list[str]]]


class Both(NamedTuple):
    """What both give one trader, or all of them: exact, then cut once to whole 1e-18."""

    trader: str
    first: int
    second: int

    @property
    def row(self) -> list[str]:
        """The amounts and their difference as text."""
        return [self.trader, *(in_full(value) for value in (self.first, self.second, self.first - self.second))]


def dumbbell(field: Field, chosen: str, quote: str) -> Drawn | None:
    """Elements, height, header and rows of the table. The square is the one that pays, or else the first one.

    None where no trader's amounts are known and above 0.
    """
    one, other = sorted(field.options, key=lambda option: option.name != chosen)
    known = [n for n in range(len(field.traders)) if one.known[n] and other.known[n]]
    every = [Both(field.traders[n], int(one.amounts[n]), int(other.amounts[n])) for n in known]
    if not any(both.first or both.second for both in every):
        return None
    ranked = sorted(every, key=lambda both: (-abs(both.first - both.second), -both.first, both.trader))
    shown = sorted(ranked[:TRADERS], key=lambda both: (-both.first, both.trader))
    in_all = Both(f"{counted(len(every), 'trader')} in all", *(int(sum(option.amounts[n] for n in known)) for option in (one, other)))
    header = ["trader", f"{one.name} ({quote})", f"{other.name} ({quote})", f"{one.name} less {other.name} ({quote})"]
    bottom = TOP + len(shown) * ROW
    parts = [*_legend([one.name, other.name], quote), *_parts(shown, [one.name, other.name], quote, bottom)]
    if len(shown) < len(every):
        said = f"The {len(shown)} of {counted(len(every), 'trader')} whose amounts differ most."
        parts.append(label(LEFT, bottom + 44, said, "quiet", "small"))
    return parts, bottom + 56, header, [both.row for both in (in_all, *shown)]


def _legend(names: Sequence[str], quote: str) -> list[Element]:
    first, second = (shortened(name, 30) for name in names)
    x = LEFT + 40 + breadth(first, 14)
    return [
        square(LEFT + 5, 18, "fill-rust"),
        label(LEFT + 16, 23, first),
        circle(x, 18, "fill-blue"),
        label(x + 11, 23, second),
        label(LEFT, TOP - 10, f"each trader's amount in {shortened(quote, 20)}", "quiet", "small"),
    ]


def _parts(shown: Sequence[Both], names: Sequence[str], quote: str, bottom: int) -> list[Element]:
    amounts = [0, *(amount for both in shown for amount in (both.first, both.second))]
    x = Scale(whole(min(amounts)), whole(max(amounts)), LEFT, RIGHT - 20)
    parts = numbers_below(x, round_steps(x.low, x.high, 6), TOP, bottom)
    for k, (trader, first, second) in enumerate(shown):
        y = TOP + k * ROW + ROW // 2
        parts.append(label(LEFT - 16, y + 4, f"{trader[:6]}…{trader[-4:]}", "small", anchor="end"))
        parts.append(line(x(whole(first)), y, x(whole(second)), y, "line-muted", "thick"))
        for mark, amount, name in ((square, first, names[0]), (circle, second, names[1])):
            colour = "fill-rust" if mark is square else "fill-blue"
            parts.append(told(mark(x(whole(amount)), y, colour), f"{trader}: {in_full(amount)} {quote} by {name}"))
    return parts
