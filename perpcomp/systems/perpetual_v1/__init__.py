"""Perpetual Protocol V1: from its logs to the liquidations table. Event semantics: events.py; earlier state: lives.py; eras: eras.py."""

from collections.abc import Mapping
from decimal import Decimal

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding
from perpcomp.systems.perpetual_v1.eras import tell_eras
from perpcomp.systems.perpetual_v1.events import (
    LIQUIDATION_FEE_RATIO_CHANGED,
    LIQUIDITY_CHANGED,
    MARGIN_CHANGED,
    POSITION_ADJUSTED,
    POSITION_SETTLED,
    UPGRADED,
)
from perpcomp.systems.perpetual_v1.lives import ORDER, POSITION, SINCE_CRASH, before_events
from perpcomp.tables import EVENTS

OF_POSITIONS = (MARGIN_CHANGED.name, POSITION_ADJUSTED.name, POSITION_SETTLED.name)
OF_ALL = (LIQUIDATION_FEE_RATIO_CHANGED.name, UPGRADED.name, LIQUIDITY_CHANGED.name)
# What it reads of the events table: all but what neither a position nor a liquidation depends on.
READ = [c.name for c in EVENTS.columns if c.name not in ("block_hash", "transaction_index", "system", "unrealized_pnl_after")]

# What this stage gives: the liquidations table without what the incident's rules add (reference price, eligibility).
COLUMNS = (
    *(
        "chain_id",
        "block_number",
        "block_time",
        "transaction_hash",
        "log_index",
        "trader",
        "market",
        "side",
        "partial",
        "size",
        "size_after",
    ),
    *("margin", "open_notional", "entry_price", "position_notional", "realized_pnl", "funding_payment", "remaining_margin", "bad_debt"),
    *("spot_price", "liquidator", "liquidation_fee", "fee_shortfall", "era", "era_rule", "life", "opened_at", "leverage_at_open"),
    *SINCE_CRASH,
)


def liquidations(
    events: pl.LazyFrame, others: Mapping[str, pl.LazyFrame], liquidation_fee_ratio: Decimal | None, before_crash: pl.Expr
) -> tuple[pl.DataFrame, list[Finding]]:
    """Every liquidation in the events table, with the position just before it, to the wei; and what does not fit.

    others are the other events by name, as far as the input holds them. Only positions that were liquidated are read. The fee ratio
    (/1) is assumed where no log states it. `before_crash` is true of the blocks before the crash, by block_number or block_time.
    A full liquidation states its own open notional: position_notional - realized_pnl (long) or + realized_pnl (short). Before a
    partial one it is replayed from the life's earlier events; it is null, with a finding, where these are not in the logs.
    """
    closing = pl.col("kind").is_in(["liquidation", "partial-liquidation"])
    victims = events.filter(closing).select(POSITION).unique().collect(engine="streaming")
    touched = events.select(READ).join(victims.lazy(), on=POSITION, how="semi").collect(engine="streaming").sort(ORDER)
    tables = {name: others[name].join(victims.lazy(), on=POSITION, how="semi").collect() for name in OF_POSITIONS if name in others}
    tables |= {name: others[name].collect() for name in OF_ALL if name in others}
    rows = before_events(touched, tables, before_crash).filter(closing).sort(ORDER)
    ratio = pl.lit(liquidation_fee_ratio, dtype=fixed.AMOUNT)
    rows, findings = tell_eras(rows, tables, ratio, MARGIN_CHANGED.name in tables)

    size = pl.col("position_size_after") - pl.col("exchanged_position_size")
    partial = pl.col("kind") == "partial-liquidation"
    notional, realized = pl.col("position_notional"), pl.col("realized_pnl")
    stated = pl.when(size > 0).then(notional - realized).otherwise(notional + realized)
    rows = rows.with_columns(
        size.alias("size"),
        partial.alias("partial"),
        stated.alias("open_notional_stated"),
        pl.when(partial).then("open_notional_replayed").otherwise(stated).alias("open_notional"),
    )
    findings += _findings(rows)
    left = pl.col("margin_before") + realized - pl.col("funding_payment")
    return rows.select(
        *("chain_id", "block_number", "block_time", "transaction_hash", "log_index", "trader", "market"),
        pl.when(pl.col("size") > 0).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        "partial",
        "size",
        pl.col("position_size_after").alias("size_after"),
        pl.col("margin_before").alias("margin"),
        "open_notional",
        fixed.div(pl.col("open_notional"), pl.col("size").abs()).alias("entry_price"),
        *("position_notional", "realized_pnl", "funding_payment"),
        pl.when(left > 0).then(left).otherwise(fixed.amount(0)).alias("remaining_margin"),
        *("bad_debt", "spot_price", "liquidator", "liquidation_fee", "fee_shortfall", "era", "era_rule", "life"),
        *("opened_at", "leverage_at_open", *SINCE_CRASH),
    ).select(COLUMNS), findings


def _findings(rows: pl.DataFrame) -> list[Finding]:
    """Rows that contradict themselves or the logs before them."""
    findings = []
    pull = "Pull the position's PositionChanged events from its opening on."
    for row in rows.iter_rows(named=True):
        where = f"tx {row['transaction_hash']} log {row['log_index']}"
        if row["margin_before"] < 0:
            what = f"The margin before it comes out as {row['margin_before']:f}; the contract stores none below 0."
            findings.append(
                Finding("error", where, what, "The era is wrong or a term is missing. Nothing may be paid until this is known.", True)
            )
        if row["size"] == 0:
            findings.append(Finding("error", where, "A position of size 0 was liquidated, which cannot be.", "Pull the logs again.", True))
        if row["open_notional"] is None:
            what = "Its open notional is not known: it was partly liquidated, and the life's earlier events are not all in the logs."
            findings.append(Finding("error", where, what, pull + " Until then no formula that reads it pays."))
        elif row["open_notional_replayed"] not in (None, row["open_notional"]):
            what = f"Its open notional is {row['open_notional']:f}, but {row['open_notional_replayed']:f} by the events before it."
            findings.append(Finding("error", where, what, "An event between them is missing. " + pull, True))
        if row["size_expected"] not in (None, row["size"]):
            what = f"The position had a size of {row['size']:f}, but the event before it left {row['size_expected']:f}."
            findings.append(Finding("warning", where, what, "An event between them is missing, or PositionAdjusted was not pulled."))
    return findings
