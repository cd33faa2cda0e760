"""The columns that every protocol gives of a liquidation, and the kinds of changes of a position."""

import polars as pl

BEFORE_CRASH = ("size_before_crash", "margin_before_crash", "open_notional_before_crash")
CHANGES = ("margin_added", "margin_removed", "size_added", "size_reduced")
SINCE_CRASH = (*BEFORE_CRASH, *CHANGES)
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


def kind_of(before: pl.Expr, exchanged: pl.Expr, after: pl.Expr, liquidated: pl.Expr) -> pl.Expr:
    """The `kind` of the events table, from the signed sizes before and after a change, what it exchanged, and whether it liquidated."""
    return (
        pl.when(liquidated & (after == 0))
        .then(pl.lit("liquidation"))
        .when(liquidated)
        .then(pl.lit("partial-liquidation"))
        .when(before == 0)
        .then(pl.lit("open"))
        .when((before > 0) == (exchanged > 0))
        .then(pl.lit("increase"))
        .when(after == 0)
        .then(pl.lit("close"))
        .when((before > 0) == (after > 0))
        .then(pl.lit("reduce"))
        .otherwise(pl.lit("reverse"))
    )
