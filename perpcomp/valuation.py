"""What each liquidated position was worth at the incident's reference price: one price for all, no slippage."""

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding, InputError
from perpcomp.incident import Incident


def at_reference(liquidations: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    """Adds market_name, reference_price and unrealized_pnl_at_reference (USDC) to a system's liquidations.

    The mark: long size * price - open_notional, short open_notional - |size| * price, the product truncated towards zero. Null
    where the market has no reference price or the open notional is not known. A market that the incident file does not name is an
    InputError: its traders would be neither paid nor left out for a reason.
    """
    markets = pl.DataFrame(
        {
            "market": [m.amm for m in incident.markets],
            "market_name": [m.name for m in incident.markets],
            "reference_price": [m.reference_price for m in incident.markets],
        },
        schema={"market": pl.String(), "market_name": pl.String(), "reference_price": fixed.AMOUNT},
    )
    priced = liquidations.join(markets, on="market", how="left", maintain_order="left")
    unknown = priced.filter(pl.col("market_name").is_null()).group_by("market").agg(pl.len(), pl.col("block_number").min()).sort("market")
    if unknown.height:
        advice = "Add [[market]] with its name and amm; affected = false where it did not crash."
        raise InputError(
            Finding(
                "error",
                f"{incident.name}.toml",
                f"does not name the market {market}: {count} liquidations, first in block {block}.",
                advice,
            )
            for market, count, block in unknown.iter_rows()
        )
    # A short's size is negative and truncation is symmetric, so one formula serves both sides.
    worth = fixed.mul(pl.col("size"), pl.col("reference_price"))
    owed = pl.when(pl.col("side") == "long").then(-pl.col("open_notional")).otherwise(pl.col("open_notional"))
    return priced.with_columns((worth + owed).alias("unrealized_pnl_at_reference"))
