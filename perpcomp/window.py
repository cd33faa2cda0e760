"""Which rows lie in the incident's window, and which of them are of an affected market."""

import polars as pl

from perpcomp.incident.incident import Incident


def in_window(incident: Incident) -> pl.Expr:
    """Whether a row's block_time lies in the half-open window."""
    window = incident.eligibility
    return (pl.col("block_time") >= window.start) & (pl.col("block_time") < window.end)


def may_be_compensated(table: pl.DataFrame, incident: Incident) -> pl.Series:
    """Which rows may be compensated, as far as market and window say: the others are valued too, but nobody need hear of a gap there."""
    window = incident.eligibility
    inside = (pl.col("block_time") >= window.start) & (pl.col("block_time") < window.end)
    return table.select((inside & pl.col("market").is_in([m.amm for m in incident.affected])).alias("judged")).to_series()


def affected_in_window(liquidations: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    """The rows of affected markets inside the window, eligible or not."""
    return liquidations.filter(in_window(incident) & pl.col("market").is_in([m.amm for m in incident.affected]))
