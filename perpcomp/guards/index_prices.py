"""The index price (the underlying's price off the market) that was known at a log, and its age.

Source: the `underlyingPrice` of FundingRateUpdated, which is the price feed's average of an hour and appears once a funding period, so it
is old and smooth in a crash; or a price file of the incident, which must have no gap where a price is needed. Before the first price
there is none: nothing is guessed.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import polars as pl
from msgspec import Struct

from perpcomp.findings import near_miss, refusal
from perpcomp.incident.guards import IndexPrices
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1.events import FUNDING_RATE_UPDATED
from perpcomp.systems.perpetual_v1.replay.in_order import integers
from perpcomp.tables.files import read_prices
from perpcomp.tables.schema import CSV_TIME

LogKey = tuple[int, int]  # block number, log index: the order of the chain


class IndexSeries(Struct, frozen=True):
    """The index prices of one market in order of time: integers of 1e-18 of the quote asset per base unit.

    Prices from a file have an `interval`, the most seconds between two of them, and no `logs`. Prices from logs have no `interval`.
    """

    name: str
    logs: list[LogKey]  # the log of each price
    times: list[int]  # unix seconds
    prices: list[int]
    source: str
    interval: int | None = None

    def at(self, log: LogKey, time: int) -> tuple[int, int] | None:
        """(price, age in seconds) known at a log; None before the first log with a price. InputError where a file has a gap."""
        if self.interval is not None:
            return self._of_file(time, self.interval)
        n = bisect_right(self.logs, log)
        return None if n == 0 else (self.prices[n - 1], time - self.times[n - 1])

    def _of_file(self, time: int, interval: int) -> tuple[int, int]:
        n = bisect_right(self.times, time)
        if n == 0 or time - self.times[n - 1] > interval:
            found = "begins later" if n == 0 else f"has no price since {_utc(self.times[n - 1])}, for more than {interval} seconds"
            what = f"A price at {_utc(time)} is needed, but the file {found}."
            raise refusal(self.name, what, "Fill the gap. If the file's prices lie farther apart, state that interval in [guards.index].")
        return self.prices[n - 1], time - self.times[n - 1]


def index_series(markets: Iterable[str], tables: Mapping[str, pl.DataFrame], incident: Incident) -> dict[str, IndexSeries]:
    """The index prices of each market, by address: from the incident's price file if the file has the market, else from the logs."""
    names = {market.amm: market.name for market in incident.markets}
    stated = incident.guards.index
    file = None if stated is None else _read_file(stated, incident)
    in_file = set() if file is None else set(file.get_column("market_name"))
    found = {}
    for market in markets:
        name = names.get(market, market)
        if stated is not None and file is not None and name in in_file:
            found[market] = _from_file(file.filter(market_name=name), stated)
        else:
            found[market] = _from_logs(market, tables)
    return found


def _from_logs(market: str, tables: Mapping[str, pl.DataFrame]) -> IndexSeries:
    name = FUNDING_RATE_UPDATED.name
    if name not in tables:
        return IndexSeries(name, [], [], [], f"none: {name} is not in the logs")
    rows = tables[name].filter(pl.col("market") == market).sort("block_number", "log_index")
    logs = list(rows.select("block_number", "log_index").iter_rows())
    times = rows.get_column("block_time").dt.epoch("s").to_list()
    prices = integers(rows.get_column("underlying_price"))
    return IndexSeries(name, logs, times, prices, f"{name} (an hour's average, once a funding period)")


def _read_file(stated: IndexPrices, incident: Incident) -> pl.DataFrame:
    """The price file as a PRICE_SERIES frame. InputError names what is wrong with it."""
    path = incident.index_file
    if path is None or not path.is_file():
        raise refusal(stated.file, "There is no such file.", f"[guards.index] of {incident.name}.toml names it, from its own folder.")
    if path.suffix != ".csv":
        advice = "Export columns market_name, time and price, e.g. BTCUSDC,2021-02-20T22:45:00Z,56000.5."
        raise refusal(stated.file, "The price file is not a CSV file.", advice)
    if not path.resolve().is_relative_to(incident.folder.resolve()):
        raise refusal(stated.file, "The price file is a link to a file outside the incident file's folder.", "Put the file itself there.")
    rows = read_prices(path)
    known = [market.name for market in incident.markets]
    for name in sorted(set(rows.get_column("market_name")) - set(known)):
        raise refusal(stated.file, f'"{name}" is not a market of this incident.', near_miss(name, known))
    return rows


def _from_file(rows: pl.DataFrame, stated: IndexPrices) -> IndexSeries:
    times = rows.sort("time").get_column("time").dt.epoch("s").to_list()
    prices = integers(rows.sort("time").get_column("price"))
    return IndexSeries(stated.file, [], times, prices, f"{stated.file} ({', '.join(stated.source)})", stated.interval)


def _utc(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime(CSV_TIME)
