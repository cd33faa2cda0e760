"""Which historical liquidations the guards would have held back: each at its own state in history, nothing about what would have followed.

Guarded liquidation flags an account first, and executes it only while two ratios are below their limits: the price impact of this
close, and the premium of the market's price over the index just before it (curve.py). Three effects are kept apart: `flaggable` says
whether the oracle price would have flagged the account at all, `verdict_of_limits` what the two limits do to those that history
flagged by V1's own margin ratio, `verdict` the two together, by the incident's flag rule.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from perpcomp.curve import Reserves
from perpcomp.findings import Finding
from perpcomp.fixed import AMOUNT
from perpcomp.guards.curve import premium, price_impact, ratio_at_index
from perpcomp.guards.index_prices import Index, Place, indices
from perpcomp.guards.limits import BY_LIMITS, Limit, limits
from perpcomp.guards.perps_v2 import ORACLE, judged
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1.events import LIQUIDITY_CHANGED, RESERVE_SNAPSHOTTED, SYSTEM
from perpcomp.systems.perpetual_v1.replay.in_order import integers
from perpcomp.systems.perpetual_v1.replay.market_replay import PULL
from perpcomp.systems.perpetual_v1.replay.replay import maintenance_ratios, ratio_at
from perpcomp.systems.perpetual_v1.replay.valued import to_frame
from perpcomp.tables.guards import VERDICTS
from perpcomp.tables.schema import check

MEANING = {
    "LIQUIDATED": "liquidated as in history: both ratios were below their limits",
    "FLAG_ONLY_DELTA": "only flagged: this close would have moved the price too much",
    "FLAG_ONLY_PD": "only flagged: the market's price was too far from the index",
    "FLAG_ONLY_BOTH": "only flagged: it would have moved the price too much, and the market was too far from the index",
    "NOT_FLAGGABLE_AT_INDEX": "not even flagged: at the index price its margin ratio was not below maintenance",
    "NO_INDEX": "not judged: no index price was known before it",
    "UNKNOWN": "not judged: the logs do not tell the pool or the position before it",
}
IDENTITY = ["chain_id", "transaction_hash", "log_index"]
RATIOS = ("price_impact", "slack_delta", "premium", "slack_pd")


@dataclass(frozen=True)
class Screen:
    """The verdicts, what they rest on, and what could not be judged."""

    verdicts: pl.DataFrame
    limits: Mapping[str, Limit]
    indices: Mapping[str, Index]
    findings: tuple[Finding, ...]


def screen(liquidations: pl.DataFrame, events: pl.DataFrame, tables: Mapping[str, pl.DataFrame], incident: Incident) -> Screen:
    """A verdict for every liquidation of the published table; `events` is the events table, `tables` the other events by name.

    InputError where limits or index prices are not to be had.
    """
    if incident.system != SYSTEM:
        return _of_perps_v2(liquidations, tables, incident)
    markets = sorted(set(liquidations.get_column("market")))
    allowed, known = limits(markets, events, incident), indices(markets, tables, incident)
    pools, maintenance = _pools(tables), maintenance_ratios(tables)
    rows, findings = [], []
    columns = liquidations.with_columns(pl.col("block_time").dt.epoch("s").alias("time"))
    wei = {name: integers(columns.get_column(name)) for name in columns.columns if name not in ("block_time", "opened_at")}
    for values in zip(*wei.values(), strict=True):
        row = dict(zip(wei, values, strict=True))
        pool = _before(pools.get(row["market"], []), row)
        at_index = known[row["market"]].at((row["block_number"], row["log_index"]), row["time"])
        judged = _judge(row, pool, at_index, allowed[row["market"]], ratio_at(maintenance, row["block_number"]), incident.guards.flag_rule)
        rows.append(judged)
        if judged[-4] == "UNKNOWN":
            missing = "its open notional" if pool is not None else "the pool before it (ReserveSnapshotted, LiquidityChanged)"
            where = f"tx {row['transaction_hash']} log {row['log_index']}"
            findings.append(Finding("warning", where, f"No verdict: {missing} is not in the logs.", PULL))
    return Screen(check(to_frame(rows, VERDICTS), VERDICTS), allowed, known, tuple(findings))


def _of_perps_v2(liquidations: pl.DataFrame, tables: Mapping[str, pl.DataFrame], incident: Incident) -> Screen:
    rows, allowed, findings = [], dict[str, Limit](), []
    identity = ("chain_id", "block_number", "time", "transaction_hash", "log_index", "trader", "market", "market_name")
    columns = liquidations.with_columns(pl.col("block_time").dt.epoch("s").alias("time")).select(identity)
    for where, (limit, found) in zip(columns.iter_rows(), judged(liquidations, tables, incident), strict=True):
        impact, above = found["price_impact"], found["premium"]
        of_limits = {
            "max_liquidation_delta": limit.delta,
            "slack_delta": None if impact is None or limit.delta is None else limit.delta - impact,
            "max_pd": limit.pd,
            "slack_pd": None if above is None or limit.pd is None else limit.pd - above,
            "reason": MEANING[found["verdict"]],
            "parameters_source": limit.source,
        }
        row = found | of_limits | dict(zip(identity, where, strict=True))
        rows.append(tuple(row["time" if name == "block_time" else name] for name in VERDICTS.schema))
        allowed[row["market"]] = limit
        if found["verdict"] == "UNKNOWN":
            place, what = (
                f"tx {row['transaction_hash']} log {row['log_index']}",
                "No verdict: no log before it gives the market's skew scale.",
            )
            findings.append(
                Finding("warning", place, what, "Pull ParameterUpdated of PerpsV2MarketSettings from the market's beginning on.")
            )
    verdicts = check(to_frame(rows, VERDICTS), VERDICTS)
    return Screen(verdicts, allowed, dict.fromkeys(allowed, ORACLE), tuple(findings))


def beside(liquidations: pl.DataFrame, verdicts: pl.DataFrame | None) -> pl.DataFrame:
    """Adds what formulas and eligibility may ask of the verdicts to a liquidations table, row by row; None: nulls."""
    if verdicts is None:
        return liquidations.with_columns(
            pl.lit(None, dtype=pl.String).alias("guard_verdict"), *(pl.lit(None, dtype=AMOUNT).alias(name) for name in RATIOS)
        )
    asked = verdicts.select(*IDENTITY, pl.col("verdict").alias("guard_verdict"), *RATIOS)
    return liquidations.join(asked, on=IDENTITY, how="left", maintain_order="left", validate="1:1")


def _judge(
    row: Mapping[str, Any], pool: Reserves | None, at_index: tuple[int, int] | None, limit: Limit, maintenance: int, flag_rule: str
) -> tuple[Any, ...]:
    """A row of VERDICTS."""
    closed = row["size"] - row["size_after"]
    index, age = at_index or (None, None)
    ratio = impact = above = None
    if index is not None and row["open_notional"] is not None:
        ratio = ratio_at_index(row["size"], row["margin"], row["open_notional"], row["funding_payment"], index)
    if index is not None and pool is not None:
        impact, above = price_impact(pool, closed, index), premium(pool, index)
    flaggable = None if ratio is None else ratio < maintenance
    fails = limit.blocks(impact, above)
    by_limits = BY_LIMITS[fails] if fails is not None else "NO_INDEX" if index is None else "UNKNOWN"
    verdict = by_limits
    if flag_rule == "index" and flaggable is not True:
        verdict = "NO_INDEX" if index is None else "UNKNOWN" if flaggable is None else "NOT_FLAGGABLE_AT_INDEX"
    return (
        *(row[name] for name in ("chain_id", "block_number", "time", "transaction_hash", "log_index", "trader", "market", "market_name")),
        *(closed, row["position_notional"], row["remaining_margin"], None if pool is None else pool.spot, index, age, ratio, flaggable),
        *(impact, limit.delta, None if impact is None or limit.delta is None else limit.delta - impact),
        *(above, limit.pd, None if above is None or limit.pd is None else limit.pd - above),
        *(verdict, by_limits, MEANING[verdict], limit.source),
    )


Pool = tuple[Place, str, Reserves]  # of the log that states it


def _pools(tables: Mapping[str, pl.DataFrame]) -> dict[str, list[Pool]]:
    """Every state of each market's pool, in order of the logs."""
    found: dict[str, list[Pool]] = {}
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


def _before(states: list[Pool], row: Mapping[str, Any]) -> Reserves | None:
    """The pool just before a liquidation's swap; None unless the logs show one that this swap leads from.

    The swap's own snapshot is the last before PositionChanged, the one before that is the pool it met: several liquidations may share a block, and a
    transaction too.
    """
    n = bisect_left(states, (row["block_number"], row["log_index"]), key=lambda state: state[0])
    if n < 2:
        return None
    (_, _, before), (_, transaction, after) = states[n - 2 : n]
    fits = transaction == row["transaction_hash"] and after.base - before.base == row["size"] - row["size_after"]
    return before if fits else None
