"""How far each market's index fell over the window: this separates a crash of the platform from a crash of the asset."""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1.events import FUNDING_RATE_UPDATED


def index_drawdowns(tables: Mapping[str, pl.LazyFrame], incident: Incident) -> dict[str, int]:
    """Market -> the largest fall of its index over the window, from the highest value so far, as an integer of 1e-18 of that value.

    The index is what funding payments took as the underlying's price: a feed's hourly average, stated once a funding period. It
    counts from the last one before the window. A market with fewer than two such prices is not in the result: its drawdown is unknown.
    """
    rules = incident.eligibility
    if FUNDING_RATE_UPDATED.name not in tables or (rules.minimum_index_drawdown is None and rules.maximum_index_drawdown is None):
        return {}
    stated = tables[FUNDING_RATE_UPDATED.name].filter(pl.col("block_time") < rules.end).sort("block_number", "log_index")
    drawdowns = {}
    for (market,), rows in stated.select("market", "block_time", "underlying_price").collect().group_by("market"):
        inside = rows.filter(pl.col("block_time") >= rules.start)
        path = pl.concat([rows.filter(pl.col("block_time") < rules.start).tail(1), inside]).get_column("underlying_price")
        prices = [fixed.to_integer(price) for price in path]
        if len(prices) < 2:
            continue
        highest = worst = 0
        for price in prices:
            highest = max(highest, price)
            worst = max(worst, fixed.div_integers(highest - price, highest))
        drawdowns[str(market)] = worst
    return drawdowns
