"""What the logs of a crash tell: the largest fall of a market, its window, and what each market did in it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl

from perpcomp import fixed
from perpcomp.begin.deployed import Deployed
from perpcomp.begin.fall import Fall, Price, largest_fall, window
from perpcomp.decoded import Events
from perpcomp.findings import refusal
from perpcomp.incident.incident import Incident
from perpcomp.systems.system import System


@dataclass(frozen=True)
class MarketSeen:
    """A market in the logs: its price before the window and its lowest one inside (1e-18; None without one), and its liquidations there.

    It is `affected` if it has one there, and is the market with the largest fall or fell at least half as far.
    """

    name: str
    address: str
    before: int | None
    lowest: int | None
    liquidations: int
    affected: bool

    @property
    def fell(self) -> int | None:
        """By how much of the price before the window it fell (1e-18); below 0 where it only rose."""
        if self.before is None or self.lowest is None:
            return None
        return fixed.div_integers(self.before - self.lowest, self.before)


@dataclass(frozen=True)
class Seen:
    """Who logged, which blocks, the largest fall of a market with liquidations (None where no price fell), and the window around it."""

    deployed: Deployed
    first_block: int
    last_block: int
    fall: Fall | None
    start: datetime
    end: datetime
    fee_ratio: Decimal | None
    markets: tuple[MarketSeen, ...]


def look(events: Events, incident: Incident, found: Deployed, file: str) -> Seen:
    """What the events of an input show. InputError where they hold no liquidation."""
    liquidated = events.lazy.filter(pl.col("liquidator").is_not_null()).select("market", "block_time").collect()
    if liquidated.is_empty():
        what = "The input holds no liquidation, so there is no crash to propose a window for."
        raise refusal(file, what, "Give the logs of the crash; or leave --input out, and write the window into the file.")
    prices = _prices(events, found.system)
    times = {market: liquidated.filter(market=market).get_column("block_time").to_list() for market in found.markets}
    all_times = [time for market in found.markets for time in times[market]]
    falls = [(fall, market) for market in found.markets if (fall := largest_fall(prices.get(market, []), times[market])) is not None]
    worst, deepest = max(falls, key=lambda one: one[0].share, default=(None, ""))
    start, end = (min(all_times), max(all_times) + timedelta(seconds=1)) if worst is None else window(worst, all_times)
    blocks = pl.concat([table.select("block_number") for table in events.logs])
    first, last = blocks.select(pl.col("block_number").min().alias("a"), pl.col("block_number").max().alias("b")).collect().row(0)
    markets = []
    for market in incident.markets:
        before, lowest = _before_and_lowest(prices.get(market.amm, []), start, end)
        inside = sum(start <= time < end for time in times[market.amm])
        seen = MarketSeen(market.name, market.amm, before, lowest, inside, inside > 0)
        fell = worst is None or market.amm == deepest or (seen.fell is not None and 2 * seen.fell >= worst.share)
        markets.append(replace(seen, affected=seen.affected and fell))
    return Seen(found, first, last, worst, start, end, found.system.fee_ratio(events.lazy, events.lazy_others), tuple(markets))


def _before_and_lowest(prices: list[Price], start: datetime, end: datetime) -> tuple[int | None, int | None]:
    """The price as the window begins, or else the first one in it; and the lowest one in it."""
    inside = [price for time, price in prices if start <= time < end]
    earlier = [price for time, price in prices if time < start]
    return next(iter([*earlier[-1:], *inside]), None), min(inside, default=None)


def _prices(events: Events, system: System) -> dict[str, list[Price]]:
    """Market -> its prices in the order of their logs."""
    rows = system.prices(events.lazy, events.lazy_others).sort("block_number", "log_index").collect()
    found: dict[str, list[Price]] = {}
    for (market,), part in rows.group_by("market", maintain_order=True):
        integers = [price for price in fixed.to_integers(part.get_column("price")) if price is not None]
        found[str(market)] = list(zip(part.get_column("block_time").to_list(), integers, strict=True))
    return found
