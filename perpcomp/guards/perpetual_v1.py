"""Verdicts on liquidations of Perpetual Protocol V1: the two ratios measured on its curve, against the market's limits."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

import polars as pl

from perpcomp.curve import Reserves
from perpcomp.findings import Finding
from perpcomp.guards.index_prices import LogKey, index_series
from perpcomp.guards.limits import BY_LIMITS, Limit, market_limits
from perpcomp.guards.ratios import premium, price_impact, ratio_at_index
from perpcomp.guards.verdicts import Measured, Verdicts, verdict_row
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1.events import LIQUIDITY_CHANGED, RESERVE_SNAPSHOTTED
from perpcomp.systems.perpetual_v1.replay.in_order import integers
from perpcomp.systems.perpetual_v1.replay.market_replay import PULL
from perpcomp.systems.perpetual_v1.replay.replay import maintenance_ratios, ratio_at
from perpcomp.tables.liquidations import LIQUIDATION

# The columns of a liquidations table that a verdict needs beside those that say which liquidation it is.
POSITION = ("size", "size_after", "margin", "open_notional", "funding_payment", "position_notional", "remaining_margin")

PoolState = tuple[LogKey, str, Reserves]  # the log that states it, its transaction, the reserves after it


def judge(liquidations: pl.DataFrame, events: pl.DataFrame, tables: Mapping[str, pl.DataFrame], incident: Incident) -> Verdicts:
    """A verdict on each liquidation. InputError where a market's limits or a needed index price cannot be determined."""
    markets = sorted(set(liquidations.get_column("market")))
    limits, indices = market_limits(markets, events, incident), index_series(markets, tables, incident)
    pools, maintenance = _pool_states(tables), maintenance_ratios(tables)
    rows, findings = [], []
    names = [*(column.name for column in LIQUIDATION), *POSITION]
    columns = liquidations.with_columns(pl.col("block_time").dt.epoch("s"))
    for values in zip(*(integers(columns.get_column(name)) for name in names), strict=True):
        liquidation = dict(zip(names, values, strict=True))
        market, log = liquidation["market"], (liquidation["block_number"], liquidation["log_index"])
        pool = _pool_before(pools.get(market, []), liquidation)
        index = indices[market].at(log, liquidation["block_time"])
        measured = _measure(liquidation, pool, index, ratio_at(maintenance, liquidation["block_number"]))
        by_limits = _by_limits(measured, limits[market])
        verdict = by_limits if incident.guards.flag_rule == "v1" else _by_index(measured, by_limits)
        rows.append(verdict_row(liquidation, measured, limits[market], verdict, by_limits))
        findings += _unknown(liquidation, pool, verdict, by_limits)
    return Verdicts.of(rows, limits, indices, findings)


def _measure(liquidation: Mapping[str, Any], pool: Reserves | None, index: tuple[int, int] | None, maintenance: int) -> Measured:
    """The state before a liquidation as the guards see it; `index` is (price, age in seconds)."""
    closed = liquidation["size"] - liquidation["size_after"]
    price, age = index or (None, None)
    ratio = impact = above = None
    if price is not None and liquidation["open_notional"] is not None and liquidation["margin"] is not None:
        margin, owed = liquidation["margin"], liquidation["funding_payment"]
        ratio = ratio_at_index(liquidation["size"], margin, liquidation["open_notional"], owed, price)
    if price is not None and pool is not None:
        impact, above = price_impact(pool, closed, price), premium(pool, price)
    return Measured(
        closed_size=closed,
        notional=liquidation["position_notional"],
        remaining_margin=liquidation["remaining_margin"],
        spot_before=None if pool is None else pool.spot,
        index_price=price,
        index_age_seconds=age,
        margin_ratio_at_index=ratio,
        flaggable=None if ratio is None else ratio < maintenance,
        price_impact=impact,
        premium=above,
    )


def _by_limits(measured: Measured, limit: Limit) -> str:
    """The verdict by the two limits alone."""
    blocked = limit.blocks(measured.price_impact, measured.premium)
    if blocked is not None:
        return BY_LIMITS[blocked]
    return "NO_INDEX" if measured.index_price is None else "UNKNOWN"


def _by_index(measured: Measured, by_limits: str) -> str:
    """The verdict where the account is flagged by the index price."""
    if measured.flaggable:
        return by_limits
    if measured.index_price is None:
        return "NO_INDEX"
    return "UNKNOWN" if measured.flaggable is None else "NOT_FLAGGABLE_AT_INDEX"


def _unknown(liquidation: Mapping[str, Any], pool: Reserves | None, verdict: str, by_limits: str) -> list[Finding]:
    """A warning where a verdict is UNKNOWN, or where only the verdict of the limits is."""
    if "UNKNOWN" not in (verdict, by_limits):
        return []
    where = f"tx {liquidation['transaction_hash']} log {liquidation['log_index']}"
    missing = "its open notional" if pool is not None else "the pool before it (ReserveSnapshotted, LiquidityChanged)"
    if liquidation["margin"] is None:
        missing = "which of its two meanings its event has, and so its margin,"
    if verdict == "UNKNOWN":
        return [Finding("warning", where, f"No verdict: {missing} is not in the logs.", PULL, code="no-guard-verdict")]
    what = f"The verdict is {verdict}, but verdict_of_limits is UNKNOWN and the two ratios are null: {missing} is not in the logs."
    return [Finding("warning", where, what, PULL, code="no-verdict-of-limits")]


def _pool_states(tables: Mapping[str, pl.DataFrame]) -> dict[str, list[PoolState]]:
    """Every stated pool of each market, in order of the logs; nothing where one of the two events is not in the input."""
    found: dict[str, list[PoolState]] = {}
    for kind, columns in (
        (RESERVE_SNAPSHOTTED, ("quote_asset_reserve", "base_asset_reserve")),
        (LIQUIDITY_CHANGED, ("quote_reserve", "base_reserve")),
    ):
        if kind.name not in tables:
            return {}
        frame = tables[kind.name]
        names = ("market", "block_number", "log_index", "transaction_hash", *columns)
        for market, block, log, transaction, quote, base in zip(*(integers(frame.get_column(n)) for n in names), strict=True):
            found.setdefault(market, []).append(((block, log), transaction, Reserves.of(quote, base)))
    for states in found.values():
        states.sort(key=lambda state: state[0])
    return found


def _pool_before(states: list[PoolState], liquidation: Mapping[str, Any]) -> Reserves | None:
    """The pool just before a liquidation's swap; None where the logs do not hold it.

    The swap's own snapshot is the last one before PositionChanged, and the state before that snapshot is the pool that the swap met.
    Several liquidations may share a block or a transaction, so the base that the swap moved must fit.
    """
    n = bisect_left(states, (liquidation["block_number"], liquidation["log_index"]), key=lambda state: state[0])
    if n < 2:
        return None
    (_, _, before), (_, transaction, after) = states[n - 2 : n]
    fits = after.base - before.base == liquidation["size"] - liquidation["size_after"]
    return before if fits and transaction == liquidation["transaction_hash"] else None
