"""The chart of the liquidation guards: how many liquidations have each verdict, and what they closed."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from textwrap import wrap

import polars as pl
from msgspec import Struct

from perpcomp.guards.verdicts import MEANING
from perpcomp.number_text import counted, exact, in_full
from perpcomp.publish.charts.axes import numbers_below, round_steps
from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.draw import Scale, bar, figure, label, shortened, told, whole
from perpcomp.publish.charts.element import Element
from perpcomp.publish.sentence import short
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.totals import total_of
from perpcomp.window import affected_in_window

NAME, TITLE = "guards", "What liquidation guards would have done"
TOP, ROW, THICK = 40, 34, 9
NAMES, NUMBERS, MONEY = 20, (240, 440), (530, 730)  # names, and both plots from left to right; each bar's figure is to its right
ACROSS, LINES = 110, 4  # characters of a line of small print, and how many
SAID = {
    "LIQUIDATED": "liquidated as in history",
    "FLAG_ONLY_DELTA": "waits: price impact",
    "FLAG_ONLY_PD": "waits: premium",
    "FLAG_ONLY_BOTH": "waits: impact and premium",
    "NOT_FLAGGABLE_AT_INDEX": "not flagged at the index",
    "NO_INDEX": "not judged: no index price",
    "UNKNOWN": "not judged: state unknown",
}
WAITS = ("FLAG_ONLY_DELTA", "FLAG_ONLY_PD", "FLAG_ONLY_BOTH")


class Judged(Struct, frozen=True):
    """The liquidations of one verdict, and what they closed (1e-18 of the quote asset); and of both how much is inside the window and an affected market."""

    verdict: str
    number: int
    notional: int
    inside: int
    notional_inside: int


def chart(run: Run) -> Chart | None:
    """The chart; None where the incident asks for no verdicts, or there is no liquidation."""
    if not run.incident.judges_by_guards or run.liquidations.is_empty():
        return None
    inside = affected_in_window(run.liquidations, run.incident)
    found = [one for code in MEANING if (one := _of(code, run.liquidations, inside)).number]
    quote = units(run.incident).quote
    sentence = _sentence(found, quote)
    limits = _limits(run)
    parts, height = _parts(found, limits, quote)
    header = ["verdict", "meaning", "liquidations", "in the window", f"notional ({quote})", f"in the window ({quote})"]
    rows = [
        [one.verdict, MEANING[one.verdict], f"{one.number:,}", f"{one.inside:,}", in_full(one.notional), in_full(one.notional_inside)]
        for one in found
    ]
    rows += [["limits", text, "", "", "", ""] for text in limits]
    return Chart(NAME, TITLE, sentence, figure(NAME, TITLE, sentence, height, parts), header, rows)


def _of(code: str, liquidations: pl.DataFrame, inside: pl.DataFrame) -> Judged:
    every, own = (rows.filter(guard_verdict=code) for rows in (liquidations, inside))
    return Judged(code, every.height, total_of(every, "position_notional"), own.height, total_of(own, "position_notional"))


def _limits(run: Run) -> list[str]:
    """The limits of each market with their source, as the verdicts rest on them."""
    from perpcomp.guards.judge import judge  # with the rules of every protocol's guards, which few incidents ask for

    judged = judge(run.liquidations, run.events.table, run.events.others, run.incident).table
    columns = ("market_name", "max_liquidation_delta", "max_pd", "parameters_source")
    found = judged.select(columns).unique().sort(columns, nulls_last=True)
    return [
        f"{market}: price impact below {_limit(delta)}, premium below {_limit(premium)} ({source})"
        for market, delta, premium, source in found.iter_rows()
    ]


def _limit(value: Decimal | None) -> str:
    return "any" if value is None else exact(value)


def _sentence(found: Sequence[Judged], quote: str) -> str:
    number = sum(one.inside for one in found)
    waiting = [one for one in found if one.verdict in WAITS]
    waits, closed = sum(one.inside for one in waiting), sum(one.notional_inside for one in waiting)
    said = (
        f"Of {counted(number, 'liquidation')} in the window and an affected market, {waits:,} would only have been flagged, and have waited"
    )
    said += f"; they closed {short(closed)} {quote}." if waits else "."
    for one in found:
        if one.verdict not in WAITS and one.inside:
            said += f" {SAID[one.verdict].capitalize()}: {one.inside:,}."
    others = sum(one.number for one in found) - number
    return f"{said} {counted(others, 'liquidation', 'is', 'are')} of other times or markets." if others else said


def _parts(found: Sequence[Judged], limits: Sequence[str], quote: str) -> tuple[list[Element], int]:
    bottom = TOP + len(found) * ROW
    numbers = Scale(Fraction(0), Fraction(max(one.number for one in found)), *NUMBERS)
    money = Scale(Fraction(0), whole(max(1, *(one.notional for one in found))), *MONEY)
    parts: list[Element] = [
        label(NUMBERS[0], 20, "liquidations", "strong"),
        label(MONEY[0], 20, f"notional in {shortened(quote, 20)}", "strong"),
    ]
    grid = numbers_below(numbers, [step for step in round_steps(numbers.low, numbers.high, 4) if step.denominator == 1], TOP, bottom)
    grid += numbers_below(money, round_steps(money.low, money.high, 3), TOP, bottom)
    for n, one in enumerate(found):
        y = TOP + n * ROW + ROW // 2
        parts.append(label(NAMES, y + 5, SAID[one.verdict]))
        of = "liquidated in the window and an affected market"
        parts += _bar(
            numbers,
            Fraction(one.number),
            Fraction(one.inside),
            y,
            f"{one.number:,}",
            f"{one.verdict}: {one.inside:,} {of}, {one.number:,} in all",
        )
        money_text = f"{one.verdict}: {in_full(one.notional_inside)} {quote} {of}, {in_full(one.notional)} in all"
        parts += _bar(money, whole(one.notional), whole(one.notional_inside), y, short(one.notional), money_text)
    below = bottom + 44
    if any(one.number > one.inside for one in found):
        parts += [
            bar(NAMES, below - 10, NAMES + 12, below + 2, "fill-blue"),
            label(NAMES + 18, below, "in the window and an affected market", "small"),
        ]
        parts += [
            bar(NUMBERS[0] + 60, below - 10, NUMBERS[0] + 72, below + 2, "fill-muted"),
            label(NUMBERS[0] + 78, below, "of other times or markets", "small"),
        ]
        below += 22
    lines = [line for text in limits for line in wrap(" ".join(text.split()), ACROSS)]
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], "More limits are in the table."]
    parts += [label(NAMES, below + n * 17, text, "quiet", "small") for n, text in enumerate(lines)]
    return [*grid, *parts], below + len(lines) * 17


def _bar(scale: Scale, value: Fraction, inside: Fraction, y: int, text: str, told_text: str) -> list[Element]:
    """The part inside the window and the rest after it, with the figure of both."""
    top, low = y - THICK, y + THICK
    drawn: list[Element] = []
    if inside:
        drawn.append(told(bar(scale(0), top, scale(inside), low, "fill-blue"), told_text))
    if value > inside:
        drawn.append(told(bar(scale(inside), top, scale(value), low, "fill-muted"), told_text))
    return [*drawn, label(scale(value) + 8, y + 4, text, "small", "halo")]
