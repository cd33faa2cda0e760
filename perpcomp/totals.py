"""Counts and totals of checked tables, summed in Python integers."""

import polars as pl
from msgspec import Struct

from perpcomp import fixed


class Counts(Struct, frozen=True):
    """Three different counts of one crash: accounts, positions (lives) and liquidation events."""

    traders: int
    positions: int
    liquidations: int


def counts(liquidations: pl.DataFrame) -> Counts:
    """The three counts of the rows given."""
    lives = liquidations.select("trader", "market", "life").unique().height
    return Counts(liquidations.get_column("trader").n_unique(), lives, liquidations.height)


def total_of(payouts: pl.DataFrame, column: str, token: str | None = None) -> int:
    """The exact sum of an amount column of the payouts table, in 1e-18 units; of one token where it is named."""
    rows = payouts if token is None else payouts.filter(pl.col("token") == token)
    return sum(filter(None, fixed.to_integers(rows.get_column(column))))


def entitled(payouts: pl.DataFrame) -> int:
    """The sum of all entitlements in 1e-18 of the quote asset, each trader once."""
    return total_of(payouts.unique("trader"), "entitlement")
