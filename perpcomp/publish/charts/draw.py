"""Drawing: exact coordinates rounded to a tenth, foreign texts made inert, marks that say what they stand for. svg.py writes the elements."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Literal, TypeVar

import svg

from perpcomp import fixed
from perpcomp.publish.markdown import in_one_line

WIDTH = 860
LEFT, RIGHT = 100, 840  # where a plot begins and ends; the numbers of its axis are to the left
SMALL, PLAIN = 12, 14  # sizes of texts

Anchor = Literal["start", "middle", "end"]
Number = Fraction | int
Part = TypeVar("Part", bound=svg.Element)


def tenths(value: Number) -> Decimal:
    """A coordinate rounded to one decimal, which it always shows."""
    return Decimal((20 * value.numerator + value.denominator) // (2 * value.denominator)).scaleb(-1)


def inert(text: str) -> str:
    """Any text as the text of an element: in one line, without control characters or marks of direction, `<` and `&` escaped."""
    return svg.escape(in_one_line(text))


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters; what is cut off shows as an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def breadth(text: str, size: int = SMALL) -> Fraction:
    """About how wide a text is, in the widest of the usual typefaces."""
    return Fraction(len(text) * size * 62, 100)


def label(x: Number, y: Number, text: str, *kinds: str, anchor: Anchor = "start") -> svg.Text:
    """A text at a place; `kinds` are classes."""
    return svg.Text(x=tenths(x), y=tenths(y), text=inert(text), class_=[*kinds] or None, text_anchor=None if anchor == "start" else anchor)


def told(part: Part, text: str) -> Part:
    """A mark with what it stands for, which programs show and read out."""
    part.elements = [svg.Title(text=inert(text))]
    return part


def line(x1: Number, y1: Number, x2: Number, y2: Number, *kinds: str) -> svg.Line:
    """A straight line."""
    return svg.Line(x1=tenths(x1), y1=tenths(y1), x2=tenths(x2), y2=tenths(y2), class_=[*kinds])


def bar(x1: Number, y1: Number, x2: Number, y2: Number, *kinds: str) -> svg.Rect:
    """A rectangle between two corners, the upper left one first."""
    left, top = tenths(x1), tenths(y1)
    return svg.Rect(x=left, y=top, width=max(tenths(x2) - left, Decimal(0)), height=max(tenths(y2) - top, Decimal(0)), class_=[*kinds])


def circle(x: Number, y: Number, *kinds: str) -> svg.Circle:
    """A round mark."""
    return svg.Circle(cx=tenths(x), cy=tenths(y), r=5, class_=[*kinds])


def square(x: Number, y: Number, *kinds: str) -> svg.Rect:
    """A square mark."""
    return svg.Rect(x=tenths(x - 5), y=tenths(y - 5), width=10, height=10, class_=[*kinds])


def triangle(x: Number, y: Number, up: bool, half: int, *kinds: str) -> svg.Path:
    """A mark that points up or down, its tip at the place; `half` is half its width."""
    away = 2 * half if up else -2 * half
    points = [svg.M(tenths(x), tenths(y)), svg.LineToRel(-half, away), svg.HorizontalLineToRel(2 * half), svg.Z()]
    return svg.Path(d=points, class_=[*kinds])


@dataclass(frozen=True)
class Scale:
    """A straight axis: from values `low` to `high` to places `start` to `end`. The values are in any unit, `low` below `high`."""

    low: Fraction
    high: Fraction
    start: int
    end: int

    @cached_property
    def _line(self) -> tuple[int, int, int]:
        """Whole numbers (a, b, c): the place of v is (a + b * v) / c."""
        each = (self.end - self.start) / (self.high - self.low)
        first = self.start - each * self.low
        below = lcm(first.denominator, each.denominator)
        return int(first * below), int(each * below), below

    def __call__(self, value: Number) -> Fraction:
        first, each, below = self._line  # one fraction a place, because a chart has thousands
        return Fraction(first * value.denominator + each * value.numerator, below * value.denominator)


def whole(value: int) -> Fraction:
    """An amount of 1e-18 as a number."""
    return Fraction(value, fixed.ONE)


def between(x: Number, text: str, left: Number, right: Number, size: int = SMALL) -> Number:
    """The middle of a text that should stand around x, moved so far that it does not stick out."""
    half = breadth(text, size) / 2
    return max(min(x, right - half), left + half)


def that_fit(places: Sequence[tuple[Number, str]], size: int = SMALL) -> list[tuple[Number, str]]:
    """Those of some texts on one line, each around its place, that cover no other: the first, the last, then from left to right."""
    order = [*dict.fromkeys([0, len(places) - 1, *range(len(places))])] if places else []
    shown, taken = set[int](), list[tuple[Number, Number]]()
    for n in order:
        x, text = places[n]
        half = (breadth(text, size) + size) / 2
        if all(x - half >= end or x + half <= begin for begin, end in taken):
            shown.add(n)
            taken.append((x - half, x + half))
    return [place for n, place in enumerate(places) if n in shown]


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
