"""Which rows happened in the incident's window, and which of those in an affected market."""

import polars as pl

from perpcomp.incident.incident import Incident


def in_window(incident: Incident) -> pl.Expr:
    """Whether a row's block_time lies in the window [start, end)."""
    window = incident.eligibility
    return (pl.col("block_time") >= window.start) & (pl.col("block_time") < window.end)


def may_be_compensated(incident: Incident) -> pl.Expr:
    """Whether a row happened in the window and in an affected market. No other liquidation is ever compensated."""
    return in_window(incident) & pl.col("market").is_in([market.amm for market in incident.affected])


def affected_in_window(liquidations: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    """The rows of affected markets inside the window, eligible or not."""
    return liquidations.filter(may_be_compensated(incident))
