"""Verdicts on liquidations of Synthetix Perps V2, where the guards were in force and the market's own logs state both ratios.

The price impact of a close is |size| / skewScale. The premium is |skew| / skewScale, with skew = longs - shorts just before the close,
because the market's price is the oracle price times 1 + skew / skewScale. A verdict says what anybody could have done in that state. A
liquidation that the limits block was executed by an endorsed account, or under other limits than those asked about.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl
from msgspec.structs import replace

from perpcomp.findings import Finding
from perpcomp.fixed import ONE, div_integers, mul_integers, to_integer
from perpcomp.guards.index_prices import IndexSeries
from perpcomp.guards.limits import BY_LIMITS, Limit, stated_limit
from perpcomp.guards.rules import parameters
from perpcomp.guards.verdicts import Measured, Verdicts, verdict_row
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted
from perpcomp.systems.synthetix_v2.flags import flags

BEFORE = "liquidated by the code before SIP-2005, which had no limits and logged no skew"
ORACLE = IndexSeries("oracle", [], [], [], "the oracle price of the liquidation itself")


def judge(liquidations: pl.DataFrame, tables: Mapping[str, pl.DataFrame], incident: Incident) -> Verdicts:
    """A verdict on each liquidation, UNKNOWN where no log gives the market's skew scale, and before SIP-2005.

    The limits are those of the incident file, else those that ParameterUpdated set before, else those of queries/parameters/ at that
    time. InputError where none of the three gives them.
    """
    names = {market.amm: market.name for market in incident.markets}
    stated = {one.market: one for one in incident.guards.limits}
    flagged = flags({name: table.lazy() for name, table in tables.items()}, names)
    by_log = {(flag["block_number"], flag["log_index"]): flag for flag in flagged.iter_rows(named=True)}
    rows, early, limits, findings = [], list[dict[str, Any]](), dict[str, Limit](), []
    for liquidation in liquidations.iter_rows(named=True):
        flag = by_log[liquidation["block_number"], liquidation["log_index"]]
        if flag["flagger_fee"] is None:
            early.append(_before_flags(liquidation, flag))
            continue
        one = stated.get(liquidation["market_name"], stated.get(None))
        limit = _in_force(liquidation, flag) if one is None else stated_limit(one, incident)
        measured = _measure(liquidation, flag)
        blocked = limit.blocks(measured.price_impact, measured.premium)
        verdict = "UNKNOWN" if blocked is None else BY_LIMITS[blocked]
        time = int(liquidation["block_time"].timestamp())
        rows.append(verdict_row({**liquidation, "block_time": time}, measured, limit, verdict, verdict))
        limits[liquidation["market"]] = limit
        if verdict == "UNKNOWN":
            where = f"tx {liquidation['transaction_hash']} log {liquidation['log_index']}"
            what = "No verdict: no log before it gives the market's skew scale."
            advice = "Pull ParameterUpdated of PerpsV2MarketSettings from the market's beginning on."
            findings.append(Finding("warning", where, what, advice, code="no-guard-verdict"))
    if early:
        what = f"{counted(len(early), 'liquidation', 'has', 'have')} no verdict: {BEFORE}."
        findings.append(
            Finding("note", f"{incident.name}.toml [guards]", what, "Nothing: the later ones are judged.", code="before-guards")
        )
    for row in early:
        limits.setdefault(row["market"], Limit(None, None, BEFORE))
    return Verdicts.of([*early, *rows], limits, dict.fromkeys(limits, ORACLE), findings)


def _before_flags(liquidation: Mapping[str, Any], flag: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a liquidation by the code before SIP-2005: UNKNOWN, as that code logs no skew and knows no limits."""
    dated = {**liquidation, "block_time": int(liquidation["block_time"].timestamp())}
    measured = replace(_measure(liquidation, flag), price_impact=None, premium=None)
    row = verdict_row(dated, measured, Limit(None, None, BEFORE), "UNKNOWN", "UNKNOWN")
    return {**row, "reason": f"not judged: {BEFORE}"}


def _measure(liquidation: Mapping[str, Any], flag: Mapping[str, Any]) -> Measured:
    """The state before a liquidation as the guards saw it, from its row of the flags table."""
    size, price = to_integer(liquidation["size"]), to_integer(flag["price"])
    spot = None
    if flag["skew_before"] is not None and flag["skew_scale"] is not None:
        spot = mul_integers(price, ONE + div_integers(to_integer(flag["skew_before"]), to_integer(flag["skew_scale"])))
    return Measured(
        closed_size=size,
        notional=mul_integers(abs(size), price),
        remaining_margin=to_integer(flag["trader_loss"]),
        spot_before=spot,
        index_price=price,
        index_age_seconds=0,
        margin_ratio_at_index=None,
        flaggable=True,  # it was flagged, or liquidated before there were flags
        price_impact=None if flag["price_impact"] is None else to_integer(flag["price_impact"]),
        premium=None if flag["premium"] is None else to_integer(flag["premium"]),
    )


def _in_force(liquidation: Mapping[str, Any], flag: Mapping[str, Any]) -> Limit:
    """The limits that held: as the logs set them, else as the governance documents date them."""
    delta, pd = flag["max_liquidation_delta"], flag["max_pd"]
    if delta is not None and pd is not None:
        return Limit(to_integer(delta), to_integer(pd), f"ParameterUpdated of {liquidation['market_name']}")
    no_fee = Decimal(0)  # no limit depends on the keeper fee
    dated = parameters.at(liquidation["market_name"], liquidation["block_time"], min_keeper_fee=no_fee)
    source = "; ".join(dict.fromkeys(dated.sources[name] for name in ("maxLiquidationDelta", "maxPD")))
    return Limit(dated.parameters.max_liquidation_delta, dated.parameters.max_pd, source)
