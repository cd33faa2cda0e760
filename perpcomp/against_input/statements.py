"""Statements of the incident file that the logs, or each other, contradict: prices far off the market's, a vesting before the crash."""

from collections.abc import Iterator
from decimal import Decimal

import polars as pl

from perpcomp import fixed
from perpcomp.against_input.seen import Seen
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.number_text import in_full
from perpcomp.tables.schema import CSV_TIME
from perpcomp.window import may_be_compensated

APART = 3  # a stated price is doubted below a third of the lowest spot price in the logs, and above three times the highest


def check_statements(incident: Incident, seen: Seen, liquidations: pl.DataFrame) -> list[Finding]:
    """A warning for each, with both numbers. `liquidations` is the published table."""
    return [*_prices(incident, seen, liquidations), *_vesting(incident), *_window(incident, seen)]


def _prices(incident: Incident, seen: Seen, liquidations: pl.DataFrame) -> Iterator[Finding]:
    for market, place, price in _stated(incident, liquidations):
        lowest, highest = seen.spot_prices.get(market, (None, None))
        if lowest is None or highest is None or (lowest <= price * APART and price <= highest * APART):
            continue
        name = next(one.name for one in incident.markets if one.amm == market)
        what = f"The price {in_full(price)} is far from the spot prices of {name} in the logs, {in_full(lowest)} to {in_full(highest)}."
        advice = f"Check the number, its decimal point and its unit (quote asset per base) against its source: {place} decides amounts."
        yield Finding("warning", f"{incident.name}.toml {place}", what, advice, code="price-far-from-spot")


def _stated(incident: Incident, liquidations: pl.DataFrame) -> Iterator[tuple[str, str, Decimal]]:
    """(market, place in the file, price) of every price that the file, or a file of prices that it names, states of a market."""
    for market in incident.markets:
        if market.reference_price is not None:
            yield market.amm, f"[[market]] {market.name} reference_price", market.reference_price
        if market.crash_below is not None:
            yield market.amm, f"[[market]] {market.name} crash_below", market.crash_below
    for market in incident.affected:
        if incident.eligibility.liquidation_price_below is not None:
            yield market.amm, "[eligibility] liquidation_price_below", incident.eligibility.liquidation_price_below
        if incident.restore is not None and market.name in incident.restore.pools:
            quote, base = incident.restore.pools[market.name]
            spot = fixed.from_integer(fixed.div_integers(fixed.to_integer(quote), fixed.to_integer(base)))
            yield market.amm, f"[[restore.pool]] {market.name} quote_reserve / base_reserve", spot
    if incident.valuation.series is not None:
        priced = liquidations.filter(may_be_compensated(incident) & pl.col("reference_price").is_not_null())
        price = pl.col("reference_price")
        for market, lowest, highest in priced.group_by("market").agg(price.min().alias("a"), price.max().alias("b")).sort("market").rows():
            for one in sorted({lowest, highest}):
                yield market, f"[valuation] {incident.valuation.series}", one


def _vesting(incident: Incident) -> Iterator[Finding]:
    start, end = incident.vesting.start, incident.eligibility.end
    if start < end:
        what = f"The vesting starts at {start.strftime(CSV_TIME)}, before the window ends at {end.strftime(CSV_TIME)}."
        advice = "Check both dates: nothing can be owed before it was lost."
        yield Finding("warning", f"{incident.name}.toml [vesting] start", what, advice, code="vesting-before-window-end")


def _window(incident: Incident, seen: Seen) -> Iterator[Finding]:
    """A window in blocks begins, in time, with its first log: averages of prices up to its begin are then of another moment."""
    first = incident.eligibility.from_block
    if first is None or not incident.eligibility.by_replay:
        return
    if any(not table.filter(pl.col("block_number") == first).head(1).collect().is_empty() for table in seen.events.logs):
        return
    start = incident.eligibility.start.strftime(CSV_TIME)
    what = f"No log is in block {first}, so its time is unknown; rules on the state before the crash take the first log's time, {start}."
    advice = "State the window as from and to if averages of prices matter: the difference is the time between the two."
    yield Finding("warning", f"{incident.name}.toml [eligibility] from_block", what, advice, code="window-start-estimated")
