"""What the price chart shows: of each affected market its price around the window, its liquidations, and both in words."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple, cast

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.incident.market import Market
from perpcomp.number_text import counted, in_full, per_cent
from perpcomp.publish.sentence import short
from perpcomp.run import Run
from perpcomp.systems.system import find
from perpcomp.systems.units import units
from perpcomp.tables.schema import CSV_TIME

NAMED = 3  # so many markets are named in the sentence
LISTED = 200  # so many liquidations of a market are in the table
LOG = ("block_number", "log_index")


class At(NamedTuple):
    """A price and where it is stated: unix seconds, 1e-18 of the quote asset, block."""

    time: int
    price: int
    block: int


class Liquidation(Struct, frozen=True):
    """One liquidation: the price after it, and what of it a reader is told."""

    at: At
    long: bool
    compensated: bool
    trader: str


class Path(Struct, frozen=True):
    """A market's prices that held while it is shown, in order, each part of At as a list of its own; and its liquidations then.

    `stated` is the place of the first price that was stated then: 1 where the last one before is known, else 0.
    """

    market: Market
    times: list[int]
    prices: list[int]
    blocks: list[int]
    stated: int
    liquidations: Sequence[Liquidation]

    def at(self, n: int) -> At:
        """The n-th price."""
        return At(self.times[n], self.prices[n], self.blocks[n])

    def farthest(self, since: int = 0) -> tuple[At, At]:
        """The lowest and the highest price from the n-th on, the first of equal ones."""
        prices = self.prices[since:] if since else self.prices
        lowest, highest = (self.at(since + prices.index(pick(prices))) for pick in (min, max))
        return lowest, highest


class Crash(Struct, frozen=True):
    """Every affected market with an event around the window. The times are unix seconds; the logs reach `until`."""

    start: int
    end: int
    window: tuple[int, int]
    until: int
    paths: Sequence[Path]


def crash(run: Run) -> Crash | None:
    """The crash of a run, from a quarter of the window before it to a quarter after it; None where there are no logs, or none of that time."""
    if run.coverage is None:
        return None
    rules = run.incident.eligibility
    begin, close, until = (int(time.timestamp()) for time in (rules.start, rules.end, run.coverage.last_time))
    start, end = begin - (close - begin) // 4, min(close + (close - begin) // 4, max(close, until))
    markets = {market.amm: market for market in run.incident.affected}
    prices = _prices(run, [*markets])
    second = pl.col("block_time").dt.epoch("s")
    inside = prices.filter(second.is_between(start, end)).sort(*LOG).collect()
    earlier = prices.filter(second < start).group_by("market").agg(pl.all().sort_by(*LOG).last()).select(inside.columns).collect()
    liquidated = run.liquidations.filter(second.is_between(start, end))
    stated, before, liquidations = (rows.partition_by("market", as_dict=True) for rows in (inside, earlier, liquidated))
    paths = []
    for address, market in markets.items():
        if (place := (address,)) in stated:
            found = [before[place], stated[place]] if place in before else [stated[place]]
            shown = _liquidations(liquidations.get(place, liquidated.clear()))
            paths.append(Path(market, *_parts(pl.concat(found)), len(found) - 1, shown))
    return Crash(start, end, (begin, close), min(until, end), paths) if paths else None


def _prices(run: Run, markets: Sequence[str]) -> pl.LazyFrame:
    """market, block_number, log_index, block_time, price of these markets, as their trades and liquidations state it."""
    prices = find(run.incident.system).prices(run.events.lazy, run.events.lazy_others)
    return prices.filter(pl.col("market").is_in(markets)).drop_nulls("price")


def _parts(rows: pl.DataFrame) -> tuple[list[int], list[int], list[int]]:
    """The times, prices and blocks of rows whose prices are known."""
    times, prices = rows.get_column("block_time").dt.epoch("s").to_list(), fixed.to_integers(rows.get_column("price"))
    return times, cast(list[int], prices), rows.get_column("block_number").to_list()


def _liquidations(rows: pl.DataFrame) -> list[Liquidation]:
    points = map(At, *_parts(rows.rename({"spot_price": "price"})))
    told = rows.select("side", "eligible", "trader").iter_rows()
    return [Liquidation(at, side == "long", paid, trader) for at, (side, paid, trader) in zip(points, told, strict=True)]


def at_time(unix: int) -> str:
    """A time in UTC as every table writes it."""
    return datetime.fromtimestamp(unix, UTC).strftime(CSV_TIME)


def move(path: Path, begin: int) -> tuple[At, At]:
    """From which price to which it went farthest: from the one as the window begins to the lowest or highest after it, the first of equal ones."""
    first = max(bisect_right(path.times, begin) - 1, 0)
    start, (lowest, highest) = path.at(first), path.farthest(first)
    return start, lowest if start.price - lowest.price >= highest.price - start.price else highest


def in_words(run: Run, crash: Crash) -> str:
    """How far each price went and where it ended, and how many liquidations of it are compensated."""
    quote = units(run.incident).quote
    far = sorted(crash.paths, key=lambda path: -_change(*move(path, crash.window[0])))[:NAMED]
    moves = [_moved(path, quote, crash.window[0]) for path in crash.paths if path in far]
    if len(crash.paths) > len(far):
        moves.append(f"The prices of {counted(len(crash.paths) - len(far), 'other market')} move less.")
    every = [one for path in crash.paths for one in path.liquidations]
    paid, others = sum(one.compensated for one in every), run.liquidations.height - len(every)
    which = ("all " * (paid > 1)) + "compensated" if paid == len(every) else f"of which {paid:,} {'is' if paid == 1 else 'are'} compensated"
    said = [*moves, f"{_are(len(every))} shown{f', {which}' if every else ''}."]
    return " ".join([*said, f"{_are(others)} of other times or markets."] if others else said)


def _are(number: int) -> str:
    return counted(number, "liquidation", "is", "are")


def _change(start: At, far: At) -> Fraction:
    """How far a price went, in parts of where it began."""
    return Fraction(abs(far.price - start.price), start.price or 1)


def _moved(path: Path, quote: str, begin: int) -> str:
    start, far = move(path, begin)
    if far.price == start.price or not start.price:
        return f"The price of {path.market.name} stays at {short(start.price)} {quote}."
    falls = far.price < start.price
    return (
        f"The price of {path.market.name} {'falls' if falls else 'rises'} from {short(start.price)} to {short(far.price)} {quote}"
        f" ({'-' if falls else '+'}{per_cent(_change(start, far), 1)}) by {at_time(far.time)}; the last one shown is"
        f" {short(path.prices[-1])}."
    )


def table(crash: Crash, quote: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows: of each market the prices that matter, then its liquidations."""
    return ["market", "what", "time (UTC)", "block", f"price ({quote})", "trader"], [row for one in crash.paths for row in _rows(one)]


def _rows(path: Path) -> Iterator[list[str]]:
    lowest, highest = path.farthest()
    for what, at in (("as the chart begins", path.at(0)), ("lowest", lowest), ("highest", highest), ("last", path.at(-1))):
        yield [path.market.name, what, at_time(at.time), f"{at.block:,}", in_full(at.price), ""]
    if path.market.reference_price is not None:
        yield [path.market.name, "reference price", "", "", in_full(path.market.reference_price), ""]
    for one in path.liquidations[:LISTED]:
        what = f"{'long' if one.long else 'short'} liquidated, {'compensated' if one.compensated else 'not compensated'}"
        yield [path.market.name, what, at_time(one.at.time), f"{one.at.block:,}", in_full(one.at.price), one.trader]
    if len(path.liquidations) > LISTED:
        left = len(path.liquidations) - LISTED
        yield [path.market.name, f"{counted(left, 'more liquidation')} in 2-liquidations.csv", "", "", "", ""]
