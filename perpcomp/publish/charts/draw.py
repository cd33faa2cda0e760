"""Drawing: exact coordinates rounded to a tenth, foreign texts made inert, axes with round numbers. svg.py writes the elements."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import TypeVar

import svg

from perpcomp.number_text import in_full

WIDTH = 860
LEFT, RIGHT = 96, 840  # where a plot begins and ends; its axis is to the left

Part = TypeVar("Part", bound=svg.Element)


def tenths(value: Fraction | int) -> Decimal:
    """A coordinate rounded to one decimal, which it always shows."""
    return Decimal(floor(Fraction(value) * 10 + Fraction(1, 2))).scaleb(-1)


def inert(text: str) -> str:
    """Any text as the text of an element: in one line, without control characters or marks of direction, `<` and `&` escaped."""
    return svg.escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split())))


def label(x: Fraction | int, y: Fraction | int, text: str, kinds: str = "", anchor: str = "start") -> svg.Text:
    """A text at a place; `kinds` are classes."""
    return svg.Text(x=tenths(x), y=tenths(y), text=inert(text), class_=kinds.split() or None, text_anchor=anchor)  # type: ignore[arg-type]


def told(part: Part, text: str) -> Part:
    """A mark with what it stands for, which programs show and read out."""
    part.elements = [svg.Title(text=inert(text))]
    return part


@dataclass(frozen=True)
class Scale:
    """A straight axis: from values `low` to `high` to places `start` to `end`."""

    low: Fraction
    high: Fraction
    start: int
    end: int

    def __call__(self, value: Fraction | int) -> Fraction:
        return self.start + (value - self.low) * (self.end - self.start) / (self.high - self.low)


def round_steps(low: Fraction, high: Fraction, most: int) -> list[Fraction]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, as close as `most` of them allow."""
    step = Fraction(10) ** (len(str(floor((high - low) / most))) if high - low > most else -30)
    while (high - low) / step >= most:
        step *= 10
    for smaller in (Fraction(1, 10), Fraction(1, 5), Fraction(1, 2)):
        if (high - low) / (step * smaller) < most:
            step *= smaller
            break
    first = -floor(-low / step)
    return [step * n for n in range(first, floor(high / step) + 1)]


def tick_text(value: Fraction) -> str:
    """A round number of an axis in full."""
    return in_full(Decimal(value.numerator) / value.denominator)


def scale_left(axis: Scale, steps: Sequence[Fraction], text: Callable[[Fraction], str] = tick_text) -> list[svg.Element]:
    """The lines of the grid with their numbers to the left."""
    drawn: list[svg.Element] = []
    for step in steps:
        y = axis(step)
        drawn.append(svg.Line(x1=LEFT, x2=RIGHT, y1=tenths(y), y2=tenths(y), class_=["line-muted", "faint"]))
        drawn.append(label(LEFT - 8, y + 4, text(step), "quiet small", "end"))
    return drawn


def figure(name: str, title: str, sentence: str, height: int, parts: Sequence[svg.Element]) -> str:
    """The whole chart as one element that names itself."""
    ids = [f"{name}-title", f"{name}-desc"]
    head: list[svg.Element] = [svg.Title(id=ids[0], text=inert(title)), svg.Desc(id=ids[1], text=inert(sentence))]
    drawn = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, WIDTH, height),
        class_=["chart"],
        elements=[*head, *parts],
        extra={"role": "img", "aria-labelledby": " ".join(ids)},
    )
    return str(drawn)
