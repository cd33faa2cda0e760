"""A liquidation on Perps V2 beside the two limits: its ratios stand in the market's own logs, and the guards were in force.

There the price impact of a close is |size| / skewScale, and the premium |skew| / skewScale, skew being longs minus shorts just before:
the market's price is the oracle's times 1 + skew / skewScale. So a verdict says what anybody could have done in that state. One that the
limits hold back was executed all the same by an endorsed account, or under other limits than those asked about.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from perpcomp.fixed import ONE, div_integers, mul_integers, to_integer
from perpcomp.guards.index_prices import Index
from perpcomp.guards.limits import BY_LIMITS, Limit, stated_limit
from perpcomp.guards.rules import parameters
from perpcomp.incident.incident import Incident
from perpcomp.systems.synthetix_v2.flags import flags

ORACLE = Index("oracle", [], [], [], "the oracle price of the liquidation itself")


def judged(liquidations: pl.DataFrame, tables: Mapping[str, pl.DataFrame], incident: Incident) -> Iterator[tuple[Limit, dict[str, Any]]]:
    """Of each liquidation of the published table, in its order: the limits that are asked about, and a row of VERDICTS, amounts in wei.

    The limits are the incident's, else those that ParameterUpdated set before, else those of queries/parameters/ at that time;
    InputError where none of them tells. A ratio is null where no log gives the market's skew scale.
    """
    names = {market.amm: market.name for market in incident.markets}
    stated = {one.market: one for one in incident.guards.limits}
    of = {
        (row["block_number"], row["log_index"]): row for row in flags({n: t.lazy() for n, t in tables.items()}, names).iter_rows(named=True)
    }
    for row in liquidations.iter_rows(named=True):
        flag = of[row["block_number"], row["log_index"]]
        one = stated.get(row["market_name"], stated.get(None))
        limit = _in_force(row, flag) if one is None else stated_limit(one, incident)
        size, price = to_integer(row["size"]), to_integer(flag["price"])
        impact, premium = (None if flag[name] is None else to_integer(flag[name]) for name in ("price_impact", "premium"))
        fails = limit.blocks(impact, premium)
        verdict = "UNKNOWN" if fails is None else BY_LIMITS[fails]
        spot = None
        if flag["skew_before"] is not None and flag["skew_scale"] is not None:
            spot = mul_integers(price, ONE + div_integers(to_integer(flag["skew_before"]), to_integer(flag["skew_scale"])))
        yield (
            limit,
            {
                "closed_size": size,
                "notional": mul_integers(abs(size), price),
                "remaining_margin": to_integer(flag["trader_loss"]),
                "spot_before": spot,
                "index_price": price,
                "index_age_seconds": 0,
                "margin_ratio_at_index": None,
                "flaggable": True,  # it was flagged, or liquidated when there were no flags
                "price_impact": impact,
                "premium": premium,
                "verdict": verdict,
                "verdict_of_limits": verdict,
            },
        )


def _in_force(row: Mapping[str, Any], flag: Mapping[str, Any]) -> Limit:
    """The limits that held: as the logs set them, else as the governance documents date them."""
    delta, pd = flag["max_liquidation_delta"], flag["max_pd"]
    if delta is not None and pd is not None:
        return Limit(to_integer(delta), to_integer(pd), f"ParameterUpdated of {row['market_name']}")
    dated = parameters.at(row["market_name"], row["block_time"], min_keeper_fee=Decimal(0))  # a fee that no limit depends on
    source = "; ".join(dict.fromkeys(dated.sources[name] for name in ("maxLiquidationDelta", "maxPD")))
    return Limit(dated.parameters.max_liquidation_delta, dated.parameters.max_pd, source)
