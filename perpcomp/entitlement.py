"""What a formula gives each liquidation and each trader: the only place where entitlements are added up."""

import polars as pl

from perpcomp import fixed


def compensated(values: pl.Series, liquidations: pl.DataFrame) -> list[int | None]:
    """Integers of 1e-18 USDC: each row's value, times the share of its position that is compensated, truncated. Null stays null."""
    sizes, kept = (_amounts(liquidations, name) for name in ("size", "compensated_size"))
    return [
        amount if amount is None or part == abs(whole) else fixed.truncate(amount * part, abs(whole))
        for amount, whole, part in zip(fixed.to_integers(values), sizes, kept, strict=True)
    ]


def _amounts(frame: pl.DataFrame, column: str) -> list[int]:
    """The integers of a column of amounts that is never null."""
    return [value for value in fixed.to_integers(frame.get_column(column)) if value is not None]
