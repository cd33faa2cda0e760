"""The price paths of a crash: of which markets, from when to when, in words, and which prices are unknown."""

from datetime import timedelta

import polars as pl

from perpcomp.findings import Finding, near_miss, refusal
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted, cut
from perpcomp.systems.replay import Replay
from perpcomp.tables.liquidations import PRICES
from perpcomp.tables.schema import CSV_TIME, Table, columns

LEAD_IN = timedelta(hours=1)  # funding is paid hourly, so an hour holds a price from before the fall, and an index price
UNKNOWN = {
    "spot_price": ("spot price", "the market's pool there cannot be determined from the logs"),
    "twap_price": ("average price", "the market's pool in the 15 minutes before cannot be determined from the logs"),
    "index_price": ("index price", "the logs hold no FundingRateUpdated of the market before them"),
}


def crash_paths(replayed: Replay, incident: Incident, market: str | None) -> tuple[dict[str, pl.DataFrame], list[Finding]]:
    """Market name -> its PRICES frame, from LEAD_IN before the window to its end, of one market or of all affected ones.

    A price that cannot be determined from the logs is null, and a finding says where. InputError for an unknown name.
    """
    names = [one.name for one in incident.markets]
    if market is not None and market not in names:
        raise refusal("--market", f"'{market}' is no market of {incident.name}.toml.", near_miss(market, names))
    start, end = incident.eligibility.start - LEAD_IN, incident.eligibility.end - timedelta(seconds=1)
    paths = {}
    for one in incident.markets:
        if one.affected if market is None else one.name == market:
            logged = one.amm in replayed.markets
            paths[one.name] = replayed.price_path(one.amm, start, end) if logged else PRICES.empty()
    return paths, [finding for name, path in paths.items() for finding in _unknown(name, path)]


def by_market(paths: dict[str, pl.DataFrame]) -> tuple[pl.DataFrame, Table]:
    """The paths as one table, whose first column names the market."""
    table = Table(
        "prices by market", ("market_name", *PRICES.key), columns("market_name | text | | as the incident file names it") + PRICES.columns
    )
    named = [path.select(pl.lit(name).alias("market_name"), pl.all()) for name, path in paths.items()]
    return pl.concat([table.empty(), *named]), table


def _unknown(name: str, path: pl.DataFrame) -> list[Finding]:
    if path.is_empty():
        return [
            Finding(
                "warning",
                name,
                "The market has no log in the window or in the hour before it.",
                "There is no price to show.",
                code="no-price",
            )
        ]
    findings = []
    for column, (what, why) in UNKNOWN.items():
        if missing := path.get_column(column).null_count():
            said = f"The {what} is unknown in {missing:,} of {counted(path.height, 'block')}: {why}."
            findings.append(Finding("warning", name, said, "It is left empty.", code="price-unknown"))
    return findings


def in_words(name: str, path: pl.DataFrame, quote: str) -> str:
    """A path in two sentences: from when to when, and the first, last, lowest and highest spot price, in `quote`, cut to the cent."""
    if path.is_empty():
        return f"{name}: no block to show."
    times, spot = path.get_column("block_time"), path.drop_nulls("spot_price")
    said = f"{name}, {times[0].strftime(CSV_TIME)} to {times[-1].strftime(CSV_TIME)}: the window and the hour before it,"
    said += f" {counted(path.height, 'block')} in which the market logged something."
    if spot.is_empty():
        return said
    prices, ordered = spot.get_column("spot_price"), spot.sort("spot_price", "block_number")
    low, high = (f"{cut(ordered['spot_price'][n], 2)} at {ordered['block_time'][n].strftime(CSV_TIME)}" for n in (0, -1))
    return f"{said} Spot price, in {quote}: {cut(prices[0], 2)} first, {cut(prices[-1], 2)} last; lowest {low}, highest {high}."
