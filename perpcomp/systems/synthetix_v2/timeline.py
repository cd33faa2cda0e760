"""A Perps V2 position just before each of its PositionModified events: the state that the previous one stored.

Every change of a stored position logs PositionModified, so the events of a trader in a market follow each other without a gap: margin, size, price and funding
index after one event are those before the next. A liquidation is the PositionModified right before its PositionLiquidated.
"""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding, InputError

POSITION = ["trader", "market"]
ORDER = ["block_number", "log_index"]
LIQUIDATION = ("liquidator", "flagger_fee", "liquidator_fee", "stakers_fee")


def before_each(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Every PositionModified, sorted, with the position before it and what the event settled; tables by event name, as decoded.

    Added: margin_before, price_before, index_before (null where no earlier log is there), size_before, exchanged_position_size,
    position_notional, realized_pnl, funding_payment (+ the trader paid; null where a funding entry is missing), remaining (margin +
    realized_pnl - funding_payment, may be negative), bad_debt, fee_shortfall, funding_entry and funding_rate at the event; and of the
    liquidation, if it is one, LIQUIDATION. InputError where a PositionLiquidated finds no PositionModified,
    and where a market logged a liquidation or a flag, but no position.
    """
    line = tables["PositionModified"].sort(ORDER)
    _refuse_unnamed_markets(line, [tables["PositionLiquidated"], tables["PositionFlagged"]])
    line = line.with_columns(
        pl.col("margin").shift(1).over(POSITION).alias("margin_before"),
        pl.col("last_price").shift(1).over(POSITION).alias("price_before"),
        pl.col("funding_index").shift(1).over(POSITION).alias("index_before"),
        pl.col("size").shift(1).over(POSITION).alias("size_expected"),
    )
    line = _with_liquidations(line, tables["PositionLiquidated"])
    entries = (
        tables["FundingRecomputed"]
        .select("market", "funding_index", "funding", "funding_rate")
        .unique(["market", "funding_index"], keep="last")
    )
    before = entries.select("market", pl.col("funding_index").alias("index_before"), pl.col("funding").alias("entry_before"))
    line = line.join(entries, on=["market", "funding_index"], how="left", maintain_order="left")
    line = line.join(before, on=["market", "index_before"], how="left", maintain_order="left")

    liquidated = pl.col("liquidator").is_not_null()
    line = line.with_columns(
        pl.when(liquidated).then("liquidated_size").otherwise(pl.col("size") - pl.col("trade_size")).alias("size_before"),
        pl.col("funding").alias("funding_entry"),
    ).with_columns((pl.col("size") - pl.col("size_before")).alias("exchanged_position_size"))
    size, zero = pl.col("size_before"), fixed.amount(0)
    accrued = fixed.mul(size, pl.col("funding_entry") - pl.col("entry_before"))
    line = line.with_columns(
        fixed.mul(pl.col("exchanged_position_size").abs(), pl.col("last_price")).alias("position_notional"),
        pl.when(size == 0).then(zero).otherwise(fixed.mul(size, pl.col("last_price") - pl.col("price_before"))).alias("realized_pnl"),
        pl.when((size == 0) | (pl.col("index_before") == 0)).then(zero).otherwise(zero - accrued).alias("funding_payment"),
    ).with_columns((pl.col("margin_before") + pl.col("realized_pnl") - pl.col("funding_payment")).alias("remaining"))
    remaining = pl.col("remaining").clip(zero)
    to_liquidator = (remaining - pl.col("flagger_fee").fill_null(0)).clip(zero)  # the flagger's fee is taken first
    return line.with_columns(
        pl.when(liquidated).then((zero - pl.col("remaining")).clip(zero)).otherwise(zero).alias("bad_debt"),
        pl.when(liquidated).then((pl.col("liquidator_fee") - to_liquidator).clip(zero)).alias("fee_shortfall"),
    )


def _with_liquidations(line: pl.DataFrame, liquidated: pl.DataFrame) -> pl.DataFrame:
    """Each PositionLiquidated joined to the last PositionModified before it in its transaction, of its position."""
    of_one = ["transaction_hash", *POSITION, "id"]
    pairs = (
        liquidated.select(*of_one, pl.col("log_index").alias("liquidated_index"), pl.col("size").alias("liquidated_size"), *LIQUIDATION)
        .join(line.filter((pl.col("size") == 0) & (pl.col("trade_size") == 0)).select(*of_one, "log_index"), on=of_one)
        .filter(pl.col("log_index") < pl.col("liquidated_index"))
        .sort("log_index")
        .unique([*of_one, "liquidated_index"], keep="last", maintain_order=True)
    )
    alone = liquidated.join(
        pairs.select("transaction_hash", pl.col("liquidated_index").alias("log_index")), on=["transaction_hash", "log_index"], how="anti"
    )
    if alone.height:
        raise InputError(
            Finding(
                "error",
                f"tx {tx} log {log}",
                f"PositionLiquidated of {trader} has no PositionModified in the logs.",
                "Logs are missing: pull both events again.",
            )
            for tx, log, trader in alone.select("transaction_hash", "log_index", "trader").head(20).iter_rows()
        )
    joined = pairs.select("transaction_hash", "log_index", "liquidated_size", *LIQUIDATION)
    return line.join(joined, on=["transaction_hash", "log_index"], how="left", maintain_order="left")


def _refuse_unnamed_markets(line: pl.DataFrame, logged: list[pl.DataFrame]) -> None:
    """The input keeps flags and liquidations of every market, but positions only of those that the incident file names."""
    seen = pl.concat([table.select("market", "block_number") for table in logged])
    unnamed = seen.join(line, on="market", how="anti").group_by("market").agg(pl.len(), pl.col("block_number").min()).sort("market")
    if unnamed.height and line.height:
        raise InputError(
            Finding(
                "error",
                f"market {market}",
                f"The input holds {'1 flag or liquidation' if count == 1 else f'{count:,} flags or liquidations'} of this market, first in block {block}, but no PositionModified of it.",
                f'Add [[market]] with amm = "{market}"; affected = false where it did not crash. If it is named, pull its logs again.',
            )
            for market, count, block in unnamed.head(20).iter_rows()
        )
