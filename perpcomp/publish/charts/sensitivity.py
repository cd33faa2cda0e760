"""The chart of the sensitivity: the total payout at every reference price, exactly, with its kinks."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from math import floor

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.number_text import counted, in_full
from perpcomp.publish.charts.axes import numbers_below, numbers_left, round_steps
from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.draw import LEFT, RIGHT, Scale, between, circle, figure, label, line, shortened, square, tenths, told, trace
from perpcomp.publish.charts.element import Element
from perpcomp.publish.sentence import short
from perpcomp.run import Run
from perpcomp.systems.units import units

NAME, TITLE = "sensitivity", "The total payout at other reference prices"
HEIGHTS = {1: 240, 2: 180}
LEAST_HEIGHT, MOST_PANELS = 140, 6
HEAD, GAP, FOOT = 44, 66, 56
AROUND = Fraction(1, 4)  # at least so much of the reference price is drawn on both sides of it
FARTHEST = Fraction(1, 2)  # and at most so much
APART = 8  # places: of many kinks, those that are closer have one tick
MARKED = 200  # up to so many kinks have a mark each; the table has so many, those nearest to the reference price
TOLD = 3  # so many traders are named at a kink
STEP = Fraction(1, 10)  # the sentence says the total so much below and above it


class Piece(Struct, frozen=True):
    """The total between two prices: intercept + slope * price. `end` is None where it does not end."""

    start: Fraction
    end: Fraction | None
    intercept: Fraction
    slope: Fraction

    def at(self, price: Fraction) -> Fraction:
        """The total at a price, in the quote asset."""
        return self.intercept + self.slope * price


class Total(Struct, frozen=True, dict=True):
    """The total of all payouts as one market's reference price moves. `turns` says of a price whose amount leaves 0 there."""

    market: str
    reference: Fraction
    pieces: Sequence[Piece]
    jumps: Mapping[Fraction, Fraction]  # price -> the total at it
    turns: Mapping[Fraction, Sequence[str]]

    def at(self, price: Fraction) -> Fraction:
        """The total at a price, in the quote asset."""
        if price in self.jumps:
            return self.jumps[price]
        return self.pieces[bisect_right(self.kinks, price)].at(price)

    def kink(self, price: Fraction) -> str:
        """What happens at a kink, as far as it is known."""
        told, more = self.turns.get(price, [])[:TOLD], len(self.turns.get(price, [])) - TOLD
        return "; ".join(["kink", *told, *([f"and {counted(more, 'more trader')}"] if more > 0 else [])])

    @cached_property
    def kinks(self) -> list[Fraction]:
        """The prices at which two pieces meet."""
        return [piece.start for piece in self.pieces[1:]]


def totals_of(table: pl.DataFrame) -> list[Total]:
    """Of a sensitivity table, each market's total, where it has straight pieces and moves."""
    found = []
    for (market,), rows in table.group_by("market", maintain_order=True):
        by_kind = {str(kind): [*part.iter_rows(named=True)] for (kind,), part in rows.group_by("kind", maintain_order=True)}
        pieces = [
            Piece(Fraction(row["price"]), Fraction(row["to"]) if row["to"] else None, Fraction(row["intercept"]), Fraction(row["slope"]))
            for row in by_kind.get("segment", [])
        ]
        if pieces and (len(pieces) > 1 or pieces[0].slope):
            jumps = {Fraction(row["price"]): Fraction(row["intercept"]) for row in by_kind.get("jump", [])}
            turns: dict[Fraction, list[str]] = {}
            for row in by_kind.get("break-even", []):
                turns.setdefault(Fraction(row["price"]), []).append(f"{row['trader']} {row['text']}")
            found.append(Total(str(market), Fraction(by_kind["class"][0]["price"]), pieces, jumps, turns))
    return found


def chart(run: Run) -> Chart | None:
    """The chart; None where no total follows a reference price in straight pieces."""
    every = totals_of(run.sensitivity)
    if not every:
        return None
    drawn, quote = every[:MOST_PANELS], units(run.incident).quote
    height = HEIGHTS.get(len(drawn), LEAST_HEIGHT)
    parts, bottom = list[Element](), HEAD
    for one in drawn:
        parts += _panel(one, bottom, bottom + height, quote)
        bottom += height + GAP
    said = "Exact: straight between its kinks, which are marked. The axes do not start at 0."
    parts.append(label(LEFT, bottom - GAP + 50, said, "quiet", "small"))
    sentence = " ".join(_in_words(one, quote) for one in every[:2])
    if len(every) > len(drawn):
        sentence += f" {len(drawn)} of {len(every)} markets are drawn."
    header = ["market", "what", f"reference price ({quote})", f"total ({quote})"]
    rows = [row for one in every for row in _rows(one)]
    return Chart(NAME, TITLE, sentence, figure(NAME, TITLE, sentence, bottom - GAP + FOOT, parts), header, rows)


def _in_words(one: Total, quote: str) -> str:
    below, above = (one.at(one.reference * share) for share in (1 - STEP, 1 + STEP))
    low, high = shown_prices(one)
    drawn = sum(low <= kink <= high for kink in one.kinks)
    kinks = counted(len(one.kinks), "kink") + (
        f", of which {drawn:,} {'is' if drawn == 1 else 'are'} drawn" if drawn < len(one.kinks) else ""
    )
    return (
        f"At the reference price of {one.market}, {_text(one.reference)} {quote}, the total is {_text(one.at(one.reference))} {quote};"
        f" at a price a tenth lower it is {_text(below)}, a tenth higher {_text(above)}. The line has {kinks}."
    )


def _text(value: Fraction) -> str:
    """A number cut to two places."""
    return short(fixed.truncate(value.numerator * fixed.ONE, value.denominator))


def _rows(one: Total) -> Iterator[list[str]]:
    near = sorted(one.kinks, key=lambda price: abs(price - one.reference))[:MARKED]
    places = [(price, "kink") for price in near]
    places += [
        (one.reference, "reference price"),
        (one.reference * (1 - STEP), "a tenth lower"),
        (one.reference * (1 + STEP), "a tenth higher"),
    ]
    for price, what in sorted(places):
        yield [one.market, one.kink(price) if what == "kink" else what, _exact(price), _exact(one.at(price))]
    if len(near) < len(one.kinks):
        yield [one.market, f"{counted(len(one.kinks) - len(near), 'more kink')} in sensitivity.csv", "", ""]


def _exact(value: Fraction) -> str:
    """All 18 places."""
    return in_full(fixed.truncate(value.numerator * fixed.ONE, value.denominator))


def shown_prices(one: Total) -> tuple[Fraction, Fraction]:
    """From which price to which the total is drawn: around the reference price and its kinks, but none that is far off."""
    near, far = (one.reference * part for part in (AROUND, FARTHEST))
    low = min([one.reference - near, *(kink - near / 5 for kink in one.kinks)])
    high = max([one.reference + near, *(kink + near / 5 for kink in one.kinks)])
    return max(low, one.reference - far), min(high, one.reference + far)


def _panel(one: Total, top: int, bottom: int, quote: str) -> list[Element]:
    low, high = shown_prices(one)
    runs = [*_runs(one, low, high)]
    totals = [total for run in runs for _, total in run]
    margin = (max(totals) - min(totals)) / 8 or abs(max(totals)) / 8 or Fraction(1)
    x, y = Scale(low, high, LEFT, RIGHT), Scale(min(totals) - margin, max(totals) + margin, bottom, top)
    parts = [*numbers_left(y, round_steps(y.low, y.high, 5)), *numbers_below(x, round_steps(low, high, 7), top, bottom)]
    title = f"total in {shortened(quote, 12)} by the reference price of {shortened(one.market, 30)} ({shortened(quote, 12)})"
    parts.append(label(LEFT, top - 12, title, "strong"))
    steps = [step for run in runs for step in _line(_apart([(x(price), y(total)) for price, total in run], len(one.kinks) > MARKED))]
    parts.append(trace(steps, "path", "thick", "line-blue"))
    kinks = [price for price in one.kinks if low <= price <= high]
    if len(kinks) > MARKED:
        ticks = {floor(x(price) / APART): (tenths(x(price)), tenths(y(one.at(price)))) for price in kinks}.values()
        marks = [f"M {across} {up - 4} V {up + 4}" for across, up in ticks]
        parts.append(told(trace(marks, "path", "line-blue"), f"{counted(len(kinks), 'kink')}; each is in sensitivity.csv"))
    else:
        for price in kinks:
            text = f"price {_exact(price)}: total {_exact(one.at(price))} {quote}; {one.kink(price)}"
            mark = circle(x(price), y(one.at(price)), "fill-ground", "line-blue", "seen", radius=3)
            parts.append(told(mark, text))
    return [*parts, *_reference(one, x, y, quote)]


def _apart(corners: list[tuple[Fraction, Fraction]], many: bool) -> list[tuple[Fraction, Fraction]]:
    """The corners of a line; where there are many, without those that lie within three places of the one before: it looks the same."""
    if not many:
        return corners
    kept = corners[:1]
    for corner in corners[1:-1]:
        if max(abs(here - before) for here, before in zip(corner, kept[-1], strict=True)) >= 3:
            kept.append(corner)
    return [*kept, *corners[1:][-1:]]


def _reference(one: Total, x: Scale, y: Scale, quote: str) -> list[Element]:
    """The reference price as a dashed line down the plot, and the total there."""
    at, total = x(one.reference), one.at(one.reference)
    text = f"reference price {_text(one.reference)}: total {_text(total)}"
    mark = square(at, y(total), "fill-rust")
    return [
        line(at, y.start, at, y.end, "line-text", "dashed", "seen"),
        told(mark, f"reference price {_exact(one.reference)}: total {_exact(total)} {quote}"),
        label(between(at, text, LEFT, RIGHT), y.end + 14, text, "small", "halo", anchor="middle"),
    ]


def _runs(one: Total, low: Fraction, high: Fraction) -> Iterator[list[tuple[Fraction, Fraction]]]:
    """The total from one price to another as lines without a gap: their corners."""
    run: list[tuple[Fraction, Fraction]] = []
    for piece in one.pieces:
        start, end = max(piece.start, low), high if piece.end is None else min(piece.end, high)
        if start < end:
            if run and run[-1] != (start, piece.at(start)):
                yield run
                run = []
            run += [(price, piece.at(price)) for price in (start, end) if not run or run[-1][0] != price]
    yield run


def _line(corners: Sequence[tuple[Fraction, Fraction]]) -> list[str]:
    return [f"{'L' if n else 'M'} {tenths(x)} {tenths(y)}" for n, (x, y) in enumerate(corners)]
