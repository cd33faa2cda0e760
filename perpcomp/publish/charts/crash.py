"""What the price chart shows: of each affected market its price around the window, its liquidations, and both in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple

import polars as pl

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
LOG = ("market", "block_number", "log_index")


class At(NamedTuple):
    """A price and where it is stated: unix seconds, 1e-18 of the quote asset, block."""

    time: int
    price: int
    block: int


@dataclass(frozen=True)
class Liquidation:
    """One liquidation: the price after it, and what of it a reader is told."""

    at: At
    long: bool
    compensated: bool
    trader: str


@dataclass(frozen=True)
class Path:
    """A market's prices while it is shown, in order, and its liquidations then. `before` is the last price before, if one is known."""

    market: Market
    before: At | None
    points: Sequence[At]
    liquidations: Sequence[Liquidation]

    @property
    def all_points(self) -> list[At]:
        """Every price that held while it is shown."""
        return [*([self.before] if self.before else ()), *self.points]


@dataclass(frozen=True)
class Crash:
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
    earlier = prices.filter(second < start).group_by("market").agg(pl.all().sort_by(*LOG[1:]).last()).collect()
    first = dict(zip(earlier.get_column("market"), _points(earlier), strict=True))
    paths = []
    for address, market in markets.items():
        points = _points(inside.filter(market=address))
        if points:
            liquidated = run.liquidations.filter(market=address)
            shown = liquidated.filter(second.is_between(start, end))
            paths.append(Path(market, first.get(address), points, _liquidations(shown)))
    return Crash(start, end, (begin, close), min(until, end), paths) if paths else None


def _prices(run: Run, markets: Sequence[str]) -> pl.LazyFrame:
    """market, block_number, log_index, block_time, price of these markets, as their trades and liquidations state it."""
    prices = find(run.incident.system).prices(run.events.lazy, run.events.lazy_others)
    return prices.filter(pl.col("market").is_in(markets)).drop_nulls("price")


def _points(rows: pl.DataFrame) -> list[At]:
    times, prices = rows.get_column("block_time").dt.epoch("s"), fixed.to_integers(rows.get_column("price"))
    stated = zip(times.to_list(), prices, rows.get_column("block_number").to_list(), strict=True)
    return [At(time, price, block) for time, price, block in stated if price is not None]  # none is null


def _liquidations(rows: pl.DataFrame) -> list[Liquidation]:
    points = _points(rows.rename({"spot_price": "price"}))
    told = rows.select("side", "eligible", "trader").iter_rows()
    return [Liquidation(at, side == "long", paid, trader) for at, (side, paid, trader) in zip(points, told, strict=True)]


def at_time(unix: int) -> str:
    """A time in UTC as every table writes it."""
    return datetime.fromtimestamp(unix, UTC).strftime(CSV_TIME)


def move(path: Path, begin: int) -> tuple[At, At]:
    """From which price to which it went farthest: from the one as the window begins to the lowest or highest after it, the first of equal ones."""
    points = path.all_points
    first = max((n for n, at in enumerate(points) if at.time <= begin), default=0)
    lowest, highest = (pick(points[first:], key=lambda at: at.price) for pick in (min, max))
    start = points[first]
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
        f" {short(path.points[-1].price)}."
    )


def table(crash: Crash, quote: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows: of each market the prices that matter, then its liquidations."""
    return ["market", "what", "time (UTC)", "block", f"price ({quote})", "trader"], [row for one in crash.paths for row in _rows(one)]


def _rows(path: Path) -> Iterator[list[str]]:
    lowest, highest = (pick(path.all_points, key=lambda at: at.price) for pick in (min, max))
    for what, at in (("as the chart begins", path.all_points[0]), ("lowest", lowest), ("highest", highest), ("last", path.points[-1])):
        yield [path.market.name, what, at_time(at.time), f"{at.block:,}", in_full(at.price), ""]
    if path.market.reference_price is not None:
        yield [path.market.name, "reference price", "", "", in_full(path.market.reference_price), ""]
    for one in path.liquidations[:LISTED]:
        what = f"{'long' if one.long else 'short'} liquidated, {'compensated' if one.compensated else 'not compensated'}"
        yield [path.market.name, what, at_time(one.at.time), f"{one.at.block:,}", in_full(one.at.price), one.trader]
    if len(path.liquidations) > LISTED:
        left = len(path.liquidations) - LISTED
        yield [path.market.name, f"{counted(left, 'more liquidation')} in 2-liquidations.csv", "", "", "", ""]
