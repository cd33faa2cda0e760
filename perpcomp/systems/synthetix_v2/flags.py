"""Who flagged each liquidated position, who got what of its margin, and the market at that moment: the flags table."""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding
from perpcomp.ingest.raw_frame import LOG_ORDER
from perpcomp.systems.synthetix_v2.timeline import ORDER, POSITION, before_each
from perpcomp.tables.events import FLAGS
from perpcomp.tables.schema import check

PARAMETERS = {"skewScale": "skew_scale", "maxLiquidationDelta": "max_liquidation_delta", "maxPD": "max_pd"}


def flags(others: Mapping[str, pl.LazyFrame], market_names: Mapping[str, str]) -> pl.DataFrame:
    """The flags table: one row a liquidation. market_names gives each proxy's market key (as "sETHPERP").

    Null is what the logs do not hold: the flag of a liquidation before SIP-2005 or before the first log, a price that the first
    PositionFlagged did not state, a parameter without an earlier ParameterUpdated.
    """
    tables = {name: table.collect() for name, table in others.items()}
    rows = before_each(tables).filter(pl.col("liquidator").is_not_null()).sort(ORDER)
    flagged = tables["PositionFlagged"].select(
        *("trader", "market", "id", "flagger", *ORDER),
        pl.col("block_time").alias("flagged_at"),
        pl.col("transaction_hash").alias("flag_transaction_hash"),
        pl.col("price").alias("flag_price"),
    )
    flagged = flagged.unique(
        ["trader", "market", "id"], keep="last", maintain_order=True
    )  # there is one a position: only a liquidation ends a flag
    flagged = _with_deposits(flagged, tables)
    rows = rows.join(flagged, on=["trader", "market", "id"], how="left", maintain_order="left")
    rows = rows.with_columns(pl.col("market").replace_strict(market_names, default=None, return_dtype=pl.String).alias("market_name"))
    for name, column in PARAMETERS.items():
        rows = _as_of(rows, tables["ParameterUpdated"].filter(parameter=name), column)
    before = pl.col("skew") + pl.col("size_before")
    remaining, zero = pl.col("remaining").clip(fixed.amount(0)), fixed.amount(0)
    fees = pl.col("flagger_fee").fill_null(0) + pl.col("liquidator_fee")
    rows = rows.with_columns(
        pl.col("id").alias("position_id"),
        pl.col("last_price").alias("price"),
        remaining.alias("trader_loss"),
        (fees - remaining).clip(zero).alias("debt_pool_loss"),
        before.alias("skew_before"),
        fixed.ratio(pl.col("size_before").abs(), pl.col("skew_scale")).alias("price_impact"),
        fixed.ratio(before.abs(), pl.col("skew_scale")).alias("premium"),
    )
    return check(rows.select(*FLAGS.schema), FLAGS)


def _with_deposits(flagged: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Adds order_deposit: of the order that the trader's last event before the flag submitted, if it is still waiting then.

    No event says that a flag removed an order. While flagged, no order can be submitted.
    """
    orders = tables["DelayedOrderSubmitted"]
    waiting = orders.select(*POSITION, *ORDER, pl.col("keeper_deposit").alias("waiting"))
    ended = pl.concat([tables["DelayedOrderRemoved"].select(*POSITION, *ORDER), flagged.select(*POSITION, *ORDER)])
    line = pl.concat([waiting, ended.with_columns(fixed.amount(0).alias("waiting"))]).sort(ORDER)
    line = line.select(*POSITION, *ORDER, pl.col("waiting").shift().over(POSITION).fill_null(fixed.amount(0)).alias("order_deposit"))
    logged = pl.col("market").is_in(orders.get_column("market").unique().implode())
    found = flagged.join(line, on=[*POSITION, *ORDER], how="left", maintain_order="left")
    return found.with_columns(pl.when(logged & pl.col("flagger").is_not_null()).then("order_deposit").alias("order_deposit")).drop(ORDER)


def parameter_missing(table: pl.DataFrame) -> list[Finding]:
    """An error for each row of the flags table that anybody could not have liquidated by the parameters in the logs.

    Who is endorsed forces a liquidation and gets no fee; whoever got one called liquidatePosition, which both limits must let pass.
    """
    findings = []
    for row in table.filter(pl.col("flagger_fee").is_not_null() & (pl.col("liquidator_fee") > 0)).iter_rows(named=True):
        for ratio, limit, name in (("price_impact", "max_liquidation_delta", "maxLiquidationDelta"), ("premium", "max_pd", "maxPD")):
            if row[ratio] is not None and row[limit] is not None and row[ratio] >= row[limit]:
                words = ratio.replace("_", " ")
                what = f"The {words} was {row[ratio]:f}, but the logged {name} lets nobody liquidate from {row[limit]:f} on."
                advice = "A ParameterUpdated is missing: pull the logs of every settings contract and list them in [chain] settings."
                where = f"tx {row['transaction_hash']} log {row['log_index']}"
                findings.append(Finding("error", where, what, advice, code="parameter-log-missing"))
    return findings


def _as_of(rows: pl.DataFrame, updates: pl.DataFrame, column: str) -> pl.DataFrame:
    """The value of one parameter that held in each row's market at its block and log index."""
    known = updates.select(pl.col("market_key").alias("market_name"), pl.col("value").alias(column), LOG_ORDER.alias("place")).sort("place")
    return (
        rows.with_columns(LOG_ORDER.alias("place"))
        .sort("place")
        .join_asof(known, on="place", by="market_name", check_sortedness=False)
        .drop("place")
    )
