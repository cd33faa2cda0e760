"""The chart of the comparison: what each formula and rule gives in all, to how many, and who gets more than under the one that pays.

Two are drawn trader by trader, joined (dumbbell.py). More are drawn by their totals and by how many traders they pay.
"""

from collections.abc import Sequence
from fractions import Fraction

from msgspec import Struct

from perpcomp.decide.compare import totals
from perpcomp.decide.preferences import Pair, pairs_of
from perpcomp.number_text import counted, in_full
from perpcomp.publish.charts.axes import numbers_below, round_steps
from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.draw import RIGHT, Scale, circle, figure, label, line, shortened, square, told, whole
from perpcomp.publish.charts.dumbbell import dumbbell
from perpcomp.publish.charts.element import Element
from perpcomp.publish.sentence import short
from perpcomp.run import Run
from perpcomp.systems.units import units

NAME, TITLE = "formulas-compared", "What each formula and rule gives"
TOP, ROW = 40, 27
NAMES, MONEY, PEOPLE = 20, (230, 440), (590, 670)  # names, and both plots from left to right; each mark's figure is to its right
NAMED = 2  # so many preferences are in the sentence


class Compared(Struct, frozen=True):
    """A formula or rule: what it gives in all (1e-18), how many it gives more than 0, and of how many an amount is not known.

    `against` is the pair with the one that pays; None of that one, and where it is not compared.
    """

    name: str
    total: int
    paid: int
    unknown: int
    pays: bool
    against: Pair | None

    @property
    def least(self) -> str:
        """What stands before a total that lacks something."""
        return "at least " if self.unknown else ""


def chart(run: Run) -> Chart | None:
    """The chart; None where fewer than two are compared, or all give nothing."""
    chosen, pairs = run.formula.name, pairs_of(run.preferences)
    exact = {option.name: int(option.total) for option in run.field.options if option.complete}  # as in fairness.csv: cut once
    every = [
        Compared(name, exact.get(name, total), paid, unknown, name == chosen, pairs.get((name, chosen)))
        for name, total, paid, _, unknown in totals(run.comparison)
    ]
    every.sort(key=lambda one: (-one.total, one.name))
    if len(every) < 2 or not any(one.total for one in every):
        return None
    quote = units(run.incident).quote
    sentence = in_words(every, quote, any(problem.stops for problem in run.problems))
    joined = dumbbell(run.field, chosen, quote) if len(every) == 2 else None
    if joined is not None:
        parts, height, header, rows = joined
        return Chart(NAME, TITLE, sentence, figure(NAME, TITLE, sentence, height, parts), header, rows)
    header = [
        "formula or rule",
        f"total ({quote})",
        "traders paid",
        "traders not known",
        "get more than under the one that pays",
        "get less",
        "get the same",
    ]
    height = TOP + len(every) * ROW + 56
    return Chart(NAME, TITLE, sentence, figure(NAME, TITLE, sentence, height, _parts(every, chosen, quote)), header, [*map(_row, every)])


def _row(one: Compared) -> list[str]:
    pair = one.against
    counts = [f"{number:,}" for number in (pair.more, pair.less, pair.same)] if pair else [""] * 3
    return [one.name, in_full(one.total), f"{one.paid:,}", f"{one.unknown:,}", *counts]


def in_words(every: Sequence[Compared], quote: str, stopped: bool) -> str:
    """The totals, largest first in `every`, and who gets more under what than under the one that pays. `stopped`: a finding stops payment."""
    first, last = every[0], every[-1]
    said = f"The totals go from {last.least}{short(last.total)} {quote} ({last.name}) to {first.least}{short(first.total)} {quote} ({first.name})."
    for one in every:
        if one.pays:
            said += f" {one.name}, which pays, gives {one.least}{short(one.total)} {quote} to {counted(one.paid, 'trader')}."
    if stopped:
        said += " Payment is stopped until a finding is resolved."
    pairs = [(one.name, one.against) for one in every if one.against is not None and one.against.more + one.against.less + one.against.same]
    better = sorted((-pair.more, name, pair) for name, pair in pairs if pair.more)
    for _, name, pair in better[:NAMED]:
        number = pair.more + pair.less + pair.same
        said += f" {pair.more:,} of {counted(number, 'trader')} {'gets' if pair.more == 1 else 'get'} more under {name}, and {pair.less:,} less."
    return f"{said} No trader gets more under another." if pairs and not better else said


def _parts(every: Sequence[Compared], chosen: str, quote: str) -> list[Element]:
    bottom, amounts = TOP + len(every) * ROW, [0, *(one.total for one in every)]
    money = Scale(whole(min(amounts)), whole(max(amounts)), *MONEY)
    people = Scale(Fraction(0), Fraction(max(1, *(one.paid for one in every))), *PEOPLE)
    parts = [label(MONEY[0], 20, f"total in {shortened(quote, 20)}", "strong"), label(PEOPLE[0], 20, "traders paid", "strong")]
    parts.append(label(RIGHT, 20, "get more, less", "strong", anchor="end"))
    grid = numbers_below(money, round_steps(money.low, money.high, 3), TOP, bottom)
    grid += numbers_below(people, [step for step in round_steps(people.low, people.high, 2) if step.denominator == 1], TOP, bottom)
    for n, one in enumerate(every):
        y = TOP + n * ROW + ROW // 2
        parts.append(label(NAMES, y + 5, shortened(one.name, 24), *(["strong"] if one.pays else [])))
        total = f"{one.name}: {one.least}{in_full(one.total)} {quote} in all"
        grid += _mark(one, money, whole(one.total), y, ("≥ " if one.unknown else "") + short(one.total), total)
        grid += _mark(one, people, Fraction(one.paid), y, f"{one.paid:,}", f"{one.name}: {counted(one.paid, 'trader')} paid")
        said = "pays" if one.pays else f"{one.against.more:,}, {one.against.less:,}" if one.against else ""
        parts.append(label(RIGHT, y + 4, said, "small", anchor="end"))
    said = f"The square is {shortened(chosen, 24)}, which pays. More, less: traders who get more, and who get less, than under it."
    return [*grid, *parts, label(NAMES, bottom + 46, said, "quiet", "small")]


def _mark(one: Compared, scale: Scale, value: Fraction, y: int, text: str, told_text: str) -> list[Element]:
    """A line from 0 to a mark, square for the one that pays, with its figure."""
    colour, at = ("rust", square) if one.pays else ("blue", circle)
    mark: Element = at(scale(value), y, f"fill-{colour}")
    place = max(scale(value), scale(0)) + 10
    return [
        line(scale(0), y, scale(value), y, f"line-{colour}", "thick"),
        told(mark, told_text),
        label(place, y + 4, text, "small", "halo"),
    ]
