"""The chart of the crash: the price of each affected market as a line in steps, and a triangle for every liquidation."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from operator import floordiv

from perpcomp import fixed
from perpcomp.number_text import counted, in_full
from perpcomp.publish.charts.axes import DAY, numbers_left, round_steps, time_lines, times
from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.crash import Crash, Liquidation, Path, at_time, crash, in_words, move, table
from perpcomp.publish.charts.draw import (
    LEFT,
    RIGHT,
    Scale,
    bar,
    between,
    figure,
    label,
    line,
    shortened,
    tenths,
    tenths_of,
    told,
    trace,
    triangles,
    whole,
)
from perpcomp.publish.charts.element import Element
from perpcomp.publish.charts.thinned import thinned
from perpcomp.publish.sentence import short
from perpcomp.run import Run
from perpcomp.systems.units import units

NAME, TITLE = "price-path", "The price of each affected market, and its liquidations"
HEIGHTS = {1: 300, 2: 200}  # of a panel, by how many there are
LEAST_HEIGHT, MOST_PANELS = 140, 6
HEAD, BETWEEN, FOOT = 64, 44, 64  # above, between and below the panels
ABOVE, BELOW = 34, 36  # kept free for words in a panel
CROWDED = 150  # of more liquidations the marks are smaller, and those of one kind at one place are one mark


def chart(run: Run) -> Chart | None:
    """The chart; None where no affected market has a price around the window."""
    shown = crash(run)
    if shown is None:
        return None
    most = sorted(shown.paths, key=lambda path: -len(path.liquidations))[:MOST_PANELS]
    drawn = [path for path in shown.paths if path in most]
    height, quote, sentence = HEIGHTS.get(len(drawn), LEAST_HEIGHT), units(run.incident).quote, in_words(run, shown)
    if len(drawn) < len(shown.paths):
        sentence += f" Of {len(shown.paths)} affected markets, the {len(drawn)} with the most liquidations are drawn."
    parts, bottom = _legend(drawn), HEAD
    for path in drawn:
        parts += _panel(path, shown, bottom, bottom + height, quote)
        bottom += height + BETWEEN
    parts += [*times(_across(shown), bottom - BETWEEN), label(LEFT, bottom - BETWEEN + 52, _small_print(drawn), "quiet", "small")]
    return Chart(NAME, TITLE, sentence, figure(NAME, TITLE, sentence, bottom - BETWEEN + FOOT, parts), *table(shown, quote))


def _across(shown: Crash) -> Scale:
    return Scale(Fraction(shown.start), Fraction(shown.end), LEFT, RIGHT)


def _small_print(drawn: Sequence[Path]) -> str:
    blocks = [block for path in drawn for block in (path.blocks[path.stated], path.blocks[-1])]
    return f"UTC; blocks {min(blocks):,} to {max(blocks):,}. A price holds until the next event. The axis does not start at 0."


def _legend(drawn: Sequence[Path]) -> list[Element]:
    """The marks that occur, each with its meaning."""
    kinds = {(one.long, one.compensated) for path in drawn for one in path.liquidations}
    parts: list[Element] = [label(LEFT - 8, 23, "liquidated", "small", anchor="end")] if kinds else []
    for n, (long, paid) in enumerate(sorted(kinds, reverse=True)):
        x = LEFT + 5 + n * (RIGHT - LEFT) // 4
        text = f"{'long' if long else 'short'}, {'compensated' if paid else 'not compensated'}"
        parts += [_mark([(Fraction(x), Fraction(18))], long, paid, 5), label(x + 11, 23, text, "small")]
    return parts


def _mark(places: Iterable[tuple[Fraction, Fraction]], long: bool, compensated: bool, half: int) -> Element:
    """The triangle of a liquidation around each place: it points down where a long was sold, and is filled where it is compensated."""
    tips = [(x, y + (half if long else -half)) for x, y in places]
    return triangles(tips, not long, half, "fill-rust" if compensated else "fill-ground", "line-rust")


def _panel(path: Path, shown: Crash, top: int, bottom: int, quote: str) -> list[Element]:
    low, high = min(path.prices), max(path.prices)
    reference = path.market.reference_price
    level = fixed.to_integer(reference) if reference is not None else None
    around = level is not None and 2 * low - high - low // 10 <= level <= 2 * high - low + high // 10
    if level is not None and around:
        low, high = min(low, level), max(high, level)
    unit = Fraction(high - low or high // 20 or fixed.ONE, fixed.ONE * (bottom - top - ABOVE - BELOW))  # of a price, one place up
    y = Scale(whole(low) - BELOW * unit, whole(high) + ABOVE * unit, bottom, top)
    x = _across(shown)
    begin, close = (x(time) for time in shown.window)
    parts: list[Element] = [
        told(bar(begin, top, close, bottom, "fill-blue", "tint"), f"the window, {at_time(shown.window[0])} to {at_time(shown.window[1])}")
    ]
    parts += [*numbers_left(y, round_steps(y.low, y.high, 6 if bottom - top > 200 else 4)), *time_lines(x, top, bottom)]
    parts += [label(LEFT, top - 10, f"{shortened(path.market.name, 40)}, price in {shortened(quote, 12)}", "strong")]
    parts += [label(begin + 4, top + 14, "window", "quiet", "small")]
    parts += _reference(level, quote, y if around else None, top)
    parts += [trace(_steps(path, shown, x, y), "path", "thick", "line-blue")]
    if len(path.liquidations) > CROWDED:
        parts += _crowd(path.liquidations, x, y)
    else:
        parts += [_liquidation(one, x, y, quote) for one in path.liquidations]
    return [*parts, *_farthest(path, shown, x, y)]


def _reference(level: int | None, quote: str, y: Scale | None, top: int) -> list[Element]:
    """The reference price as a dashed line; a sentence where it lies far from every price."""
    if level is None:
        return []
    text = f"reference price {short(level)}"
    if y is None:
        return [label(RIGHT, top - 10, f"{text} is off the chart", "quiet", "small", anchor="end")]
    at = y(whole(level))
    return [
        told(line(LEFT, at, RIGHT, at, "line-text", "dashed", "seen"), f"reference price {in_full(level)} {quote}"),
        label(RIGHT, at - 6, text, "small", "halo", anchor="end"),
    ]


def _steps(path: Path, shown: Crash, x: Scale, y: Scale) -> Iterator[str]:
    """The price from left to right: it holds until the next event, and the last one until the logs end."""
    first = max(path.times[0], shown.start)
    points = thinned([*zip([first, *path.times[1:]], path.prices, strict=True)], RIGHT - LEFT)
    before = None
    for time, price in points:
        place = tenths_of(*x.of(time)), tenths_of(*y.of(price, fixed.ONE))
        if before is None:
            yield f"M {place[0]} {place[1]}"
        elif place != before:
            yield f"H {place[0]}"
            yield f"V {place[1]}"
        before = place
    yield f"H {tenths(x(max(shown.until, points[-1][0])))}"


def _crowd(many: Sequence[Liquidation], x: Scale, y: Scale) -> Iterator[Element]:
    """The marks of each kind as one element: a mark for each of each kind would be heavier than the rest of the page that shows them."""
    for long, paid in sorted({(one.long, one.compensated) for one in many}, reverse=True):
        own = [one.at for one in many if (one.long, one.compensated) == (long, paid)]
        last = {(floordiv(*x.of(at.time)), floordiv(*y.of(at.price, fixed.ONE))): at for at in own}  # at each place
        mark = _mark([(x(at.time), y(whole(at.price))) for at in last.values()], long, paid, 3)
        kind = f"{'long' if long else 'short'}, {'' if paid else 'not '}compensated"
        yield told(mark, f"{counted(len(own), 'liquidation')} ({kind}), each in 2-liquidations.csv; those at one place are one mark")


def _liquidation(one: Liquidation, x: Scale, y: Scale, quote: str) -> Element:
    at = one.at
    text = (
        f"{one.trader}: {'long' if one.long else 'short'} liquidated at {at_time(at.time)}, block {at.block:,}; {in_full(at.price)} {quote} after it;"
        f" {'' if one.compensated else 'not '}compensated"
    )
    return told(_mark([(x(at.time), y(whole(at.price)))], one.long, one.compensated, 5), text)


def _farthest(path: Path, shown: Crash, x: Scale, y: Scale) -> list[Element]:
    """In words the price at which it turned, outside the line."""
    start, at = move(path, shown.window[0])
    falls = at.price <= start.price
    time = at_time(at.time) if shown.end - shown.start >= DAY else at_time(at.time)[11:19]
    text = f"{'lowest' if falls else 'highest'} {short(at.price)}, {time}, block {at.block:,}"
    place = between(x(max(at.time, shown.start)), text, LEFT, RIGHT)
    return [label(place, y(whole(at.price)) + (24 if falls else -16), text, "small", "halo", anchor="middle")]
