"""Who flagged each liquidated position, who got what of its margin, and the market at that moment: the flags table."""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.ingest.raw_frame import LOG_ORDER
from perpcomp.systems.synthetix_v2.timeline import ORDER, before_each
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
        *("trader", "market", "id", "flagger"),
        pl.col("block_time").alias("flagged_at"),
        pl.col("transaction_hash").alias("flag_transaction_hash"),
        pl.col("price").alias("flag_price"),
    )
    flagged = flagged.unique(
        ["trader", "market", "id"], keep="last", maintain_order=True
    )  # there is one a position: only a liquidation ends a flag
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
        fixed.div(pl.col("size_before").abs(), pl.col("skew_scale")).alias("price_impact"),
        fixed.div(before.abs(), pl.col("skew_scale")).alias("premium"),
    )
    return check(rows.select(*FLAGS.schema), FLAGS)


def _as_of(rows: pl.DataFrame, updates: pl.DataFrame, column: str) -> pl.DataFrame:
    """The value of one parameter that held in each row's market at its block and log index."""
    known = updates.select(pl.col("market_key").alias("market_name"), pl.col("value").alias(column), LOG_ORDER.alias("place")).sort("place")
    return (
        rows.with_columns(LOG_ORDER.alias("place"))
        .sort("place")
        .join_asof(known, on="place", by="market_name", check_sortedness=False)
        .drop("place")
    )
