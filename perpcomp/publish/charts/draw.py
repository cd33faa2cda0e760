"""Drawing: exact coordinates rounded to a tenth, foreign texts made inert, marks that say what they stand for."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from html import escape
from math import lcm
from typing import Literal

from msgspec import Struct

from perpcomp import fixed
from perpcomp.publish.charts.element import Element
from perpcomp.publish.markdown import in_one_line

WIDTH = 860
LEFT, RIGHT = 100, 840  # where a plot begins and ends; the numbers of its axis are to the left
SMALL, PLAIN = 12, 14  # sizes of texts

Anchor = Literal["start", "middle", "end"]
Number = Fraction | int


def tenths(value: Number) -> Decimal:
    """A coordinate rounded to one decimal, which it always shows."""
    return tenths_of(value.numerator, value.denominator)


def tenths_of(numerator: int, denominator: int) -> Decimal:
    """The same of a fraction that need not be in lowest terms."""
    return Decimal((20 * numerator + denominator) // (2 * denominator)).scaleb(-1)


def inert(text: str) -> str:
    """Any text as the text of an element: in one line, without control characters or marks of direction, `<` and `&` escaped."""
    return escape(in_one_line(text), quote=False)


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters; what is cut off shows as an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def breadth(text: str, size: int = SMALL) -> Fraction:
    """About how wide a text is, in the widest of the usual typefaces."""
    return Fraction(len(text) * size * 62, 100)


def label(x: Number, y: Number, text: str, *kinds: str, anchor: Anchor = "start") -> Element:
    """A text at a place; `kinds` are classes."""
    stated = None if anchor == "start" else anchor
    return Element("text", inert(text), text_anchor=stated, class_=" ".join(kinds) or None, x=tenths(x), y=tenths(y))


def told(mark: Element, text: str) -> Element:
    """A mark with what it stands for, which programs show and read out."""
    return Element(mark.name, str(Element("title", inert(text))), **mark.attributes)


def line(x1: Number, y1: Number, x2: Number, y2: Number, *kinds: str) -> Element:
    """A straight line."""
    return Element("line", class_=" ".join(kinds), x1=tenths(x1), y1=tenths(y1), x2=tenths(x2), y2=tenths(y2))


def bar(x1: Number, y1: Number, x2: Number, y2: Number, *kinds: str) -> Element:
    """A rectangle between two corners, the upper left one first."""
    left, top = tenths(x1), tenths(y1)
    width, height = (max(end - start, Decimal(0)) for start, end in ((left, tenths(x2)), (top, tenths(y2))))
    return Element("rect", class_=" ".join(kinds), x=left, y=top, width=width, height=height)


def circle(x: Number, y: Number, *kinds: str, radius: int = 5) -> Element:
    """A round mark."""
    return Element("circle", class_=" ".join(kinds), cx=tenths(x), cy=tenths(y), r=radius)


def square(x: Number, y: Number, *kinds: str) -> Element:
    """A square mark."""
    return Element("rect", class_=" ".join(kinds), x=tenths(x - 5), y=tenths(y - 5), width=10, height=10)


def trace(steps: Iterable[str], *kinds: str) -> Element:
    """A line of any form; each step is a letter of SVG's paths with its numbers, as "M 0 5.0"."""
    return Element("path", class_=" ".join(kinds), d=" ".join(steps))


def triangles(tips: Iterable[tuple[Number, Number]], up: bool, half: int, *kinds: str) -> Element:
    """A mark that points up or down, once at each place of a tip; `half` is half its width."""
    away = 2 * half if up else -2 * half
    return trace((f"M {tenths(x)} {tenths(y)} l {-half} {away} h {2 * half} Z " for x, y in tips), *kinds)


class Scale(Struct, frozen=True, dict=True):
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
        return Fraction(*self.of(value.numerator, value.denominator))

    def of(self, numerator: int, denominator: int = 1) -> tuple[int, int]:
        """The place of a value as a fraction that is not in lowest terms, which costs most of its time where a chart has thousands."""
        first, each, below = self._line
        return first * denominator + each * numerator, below * denominator


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


def drawing(height: int, parts: Iterable[Element], **attributes: object) -> Element:
    """The outermost element of a chart, with a view of WIDTH and this height."""
    view = f"0 0 {WIDTH} {height}"
    inside = "".join(map(str, parts))
    return Element("svg", inside, xmlns="http://www.w3.org/2000/svg", viewBox=view, class_="chart", **attributes)


def figure(name: str, title: str, sentence: str, height: int, parts: Sequence[Element]) -> str:
    """The whole chart as one element that names itself."""
    ids = [f"{name}-title", f"{name}-desc"]
    head = [Element("title", inert(title), id=ids[0]), Element("desc", inert(sentence), id=ids[1])]
    return str(drawing(height, [*head, *parts], role="img", aria_labelledby=" ".join(ids)))
