"""The file of prices that [valuation] names: which row values a liquidation, and how old it is."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.findings import Finding, near_miss, refusal
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted
from perpcomp.systems.replay import Replay
from perpcomp.tables.files import read_prices
from perpcomp.tables.schema import CSV_TIME
from perpcomp.window import may_be_compensated


class PriceFile(Struct, frozen=True):
    """The prices of a file by market, in order of time: each holds until the next one of its market."""

    name: str
    rows: Mapping[str, Sequence[tuple[datetime, int]]]

    def held_at(self, market: str, moment: datetime) -> tuple[datetime, int] | None:
        """The row whose price holds at a moment; None before the market's first row and after its last one."""
        rows = self.rows.get(market, [])
        n = bisect_right(rows, moment, key=lambda one: one[0])
        return rows[n - 1] if 0 < n < len(rows) or (n and rows[-1][0] == moment) else None


def price_file(path: Path) -> PriceFile:
    """The file of prices that [valuation] names. InputError says what is wrong with it."""
    rows: dict[str, list[tuple[datetime, int]]] = {}
    for market, time, price in read_prices(path).sort("time").iter_rows():
        rows.setdefault(market, []).append((time, fixed.to_integer(price)))
    return PriceFile(path.name, rows)


def priced_at(row: Mapping[str, Any], incident: Incident, replayed: Replay | None) -> datetime:
    """The moment whose price values a liquidation's position."""
    at = incident.valuation.at
    if isinstance(at, int):
        assert replayed is not None
        return replayed.time_of(at)
    return at or row["block_time"]


def prices_of(table: pl.DataFrame, incident: Incident, replayed: Replay | None, path: Path) -> tuple[pl.Series, list[Finding]]:
    """The price of each row by a file of prices, and how old the oldest of them was.

    Null where the file has no price, of a row that may not be compensated; InputError there, of one that may.
    """
    file, prices, used = price_file(path), list[int | None](), list[tuple[timedelta, str, datetime, datetime]]()
    judged = table.select(may_be_compensated(incident)).to_series()
    for row, inside in zip(table.iter_rows(named=True), judged, strict=True):
        moment = priced_at(row, incident, replayed)
        held = file.held_at(row["market_name"], moment)
        prices.append(None if held is None else held[1])
        if inside and held is None:
            rows = file.rows.get(row["market_name"])
            reach = (
                f"Its prices reach from {rows[0][0].strftime(CSV_TIME)} to {rows[-1][0].strftime(CSV_TIME)}."
                if rows
                else "It holds no price of that market."
            )
            what = f"The file has no price of {row['market_name']} for {moment.strftime(CSV_TIME)}. {reach}"
            raise refusal(file.name, what, "Add rows until the moment is between two of them.")
        if inside and held is not None:
            used.append((moment - held[0], row["market_name"], held[0], moment))
    return fixed.from_integers(prices), [*_of_no_market(file, incident), *([_oldest(file, used, incident)] if used else [])]


def _of_no_market(file: PriceFile, incident: Incident) -> Iterator[Finding]:
    """A warning for each name that no market of the incident has: its prices value nothing."""
    names = [market.name for market in incident.markets]
    for name, rows in file.rows.items():
        if name not in names:
            what = f"The incident has no market {name}, and the file has {counted(len(rows), 'price')} of it, which no liquidation uses."
            yield Finding("warning", file.name, what, near_miss(name, names), code="price-of-no-market")


def _oldest(file: PriceFile, used: Sequence[tuple[timedelta, str, datetime, datetime]], incident: Incident) -> Finding:
    """The oldest price used: an error where it is older than the interval, a warning where it has an age and no interval is stated."""
    age, market, since, moment = max(used)
    seconds, interval = int(age.total_seconds()), incident.valuation.interval
    what = f"The oldest price used is {seconds} s old: {market} at {moment.strftime(CSV_TIME)} by the row of {since.strftime(CSV_TIME)}"
    if interval is not None and seconds > interval:
        late = sum(one[0].total_seconds() > interval for one in used)
        what += f". The interval is {interval} s; {counted(late, 'liquidation', 'is', 'are')} valued by an older price."
        return Finding(
            "error", file.name, what, "Add the missing rows. State a longer interval only if the price held.", code="price-too-old"
        )
    if interval is None and seconds:
        what += ", and [valuation] states no interval, so a missing row would not be noticed."
        return Finding(
            "warning", file.name, what, "Add interval = SECONDS to [valuation]: the most between two rows.", code="price-interval-unknown"
        )
    return Finding("note", file.name, what + ".", "", code="price-age")
