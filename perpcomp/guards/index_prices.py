"""What the underlying cost elsewhere, as far as a market knew: the index price as of a log, and its age.

From FundingRateUpdated: the underlying's price that the last funding payment took, which is the feed's average of an hour and appears
once a funding period, so in a crash it is stale and smooth. Or from a file of the incident, which must have no gap where it is asked.
A market without a price yet has none: nothing is guessed.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from perpcomp.findings import near_miss, refusal
from perpcomp.incident.guards import IndexPrices
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1.events import FUNDING_RATE_UPDATED
from perpcomp.systems.perpetual_v1.replay.in_order import integers
from perpcomp.tables.files import read
from perpcomp.tables.liquidations import PRICE_SERIES
from perpcomp.tables.schema import CSV_TIME

Place = tuple[int, int]  # block, log index


@dataclass(frozen=True)
class Index:
    """One market's index prices, in order. `interval` is the most seconds between two of a file; None: they came with logs."""

    name: str
    places: list[Place]  # of the log; empty for a file
    times: list[int]  # unix seconds
    prices: list[int]
    source: str
    interval: int | None = None

    def at(self, place: Place, time: int) -> tuple[int, int] | None:
        """(price, age in seconds) known at a log; None before the first. InputError where a file has a gap there."""
        n = bisect_right(self.times, time) if self.interval is not None else bisect_right(self.places, place)
        if n == 0 and self.interval is None:
            return None
        if self.interval is not None and (n == 0 or time - self.times[n - 1] > self.interval):
            since = "begins later" if n == 0 else f"has none since {_utc(self.times[n - 1])}, for more than {self.interval} seconds"
            what = f"A price at {_utc(time)} is needed, but the file {since}."
            raise refusal(self.name, what, "Fill the gap, or state a longer interval in [guards.index] if that is what it holds.")
        return self.prices[n - 1], time - self.times[n - 1]


def indices(markets: Iterable[str], tables: Mapping[str, pl.DataFrame], incident: Incident) -> dict[str, Index]:
    """The index of each market (address): from the file that the incident names, as far as it has the market, or its funding payments."""
    names = {market.amm: market.name for market in incident.markets}
    given = None if incident.guards.index is None else _file(incident.guards.index, incident)
    held = set() if given is None else set(given.get_column("market_name"))
    found = {}
    for market in markets:
        name = names.get(market, market)
        if given is not None and incident.guards.index is not None and name in held:
            found[market] = _of_file(given.filter(market_name=name), incident.guards.index)
        else:
            found[market] = _of_logs(market, tables)
    return found


def _of_logs(market: str, tables: Mapping[str, pl.DataFrame]) -> Index:
    name = FUNDING_RATE_UPDATED.name
    if name not in tables:
        return Index(name, [], [], [], f"none: {name} was not pulled")
    rows = tables[name].filter(pl.col("market") == market).sort("block_number", "log_index")
    places = list(rows.select("block_number", "log_index").iter_rows())
    times = rows.get_column("block_time").dt.epoch("s").to_list()
    return Index(name, places, times, integers(rows.get_column("underlying_price")), f"{name} (an hour's average, once a funding period)")


def _file(one: IndexPrices, incident: Incident) -> pl.DataFrame:
    path = incident.index_file
    if path is None or not path.is_file():
        raise refusal(one.file, "There is no such file.", f"[guards.index] of {incident.name}.toml names it, from its own folder.")
    if path.suffix != ".csv":
        raise refusal(one.file, "is no CSV file.", "Export columns market_name, time and price, e.g. BTCUSDC,2021-02-20T22:45:00Z,56000.5.")
    if not path.resolve().is_relative_to(incident.folder.resolve()):
        raise refusal(one.file, "is a link that leaves the incident file's folder.", "Put the file itself there.")
    rows = read(path, PRICE_SERIES)
    for row in rows.filter(pl.col("price") <= 0).sort("time").head(1).iter_rows(named=True):
        what = f"The price of {row['market_name']} at {row['time'].strftime(CSV_TIME)} is {row['price']:f}."
        raise refusal(one.file, what, "A price is above 0.")
    known = [market.name for market in incident.markets]
    for name in sorted(set(rows.get_column("market_name")) - set(known)):
        raise refusal(one.file, f'"{name}" is no market of this incident.', near_miss(name, known))
    return rows


def _of_file(rows: pl.DataFrame, one: IndexPrices) -> Index:
    times = rows.sort("time").get_column("time").dt.epoch("s").to_list()
    prices = integers(rows.sort("time").get_column("price"))
    return Index(one.file, [], times, prices, f"{one.file} ({', '.join(one.source)})", one.interval)


def _utc(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime(CSV_TIME)
