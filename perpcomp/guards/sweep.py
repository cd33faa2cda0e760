"""The verdicts under a grid of limits: how many liquidations, and how much money, each pair of limits would have blocked.

A verdict depends on the limits through two comparisons of exact amounts. So a cell of the grid is a filter and a sum over the verdicts
table, and no price is computed twice.
"""

from collections.abc import Sequence
from decimal import Decimal

import polars as pl

from perpcomp import fixed
from perpcomp.fixed import from_integer
from perpcomp.guards.verdicts import Verdicts
from perpcomp.tables.guards import SWEEP
from perpcomp.tables.schema import check

SUMMED = ("notional", "remaining_margin")
MULTIPLES = (Decimal("0.25"), Decimal("0.5"), Decimal(1), Decimal(2), Decimal(4), Decimal(8), Decimal(16), Decimal(32), Decimal(64))


def grid(verdicts: Verdicts) -> tuple[list[Decimal], list[Decimal]]:
    """The limits to try (price impact, premium): 0, and multiples of the incident's own limit, the smallest of its markets'."""
    deltas = [limit.delta for limit in verdicts.limits.values() if limit.delta]
    pds = [limit.pd for limit in verdicts.limits.values() if limit.pd]
    delta, pd = (from_integer(min(values)) if values else Decimal("0.002") for values in (deltas, pds))
    return _multiples(delta), _multiples(pd)


def _multiples(base: Decimal) -> list[Decimal]:
    return [Decimal(0), *((base * multiple).quantize(Decimal(1).scaleb(-18)) for multiple in MULTIPLES)]


def sweep(verdicts: pl.DataFrame, deltas: Sequence[Decimal], pds: Sequence[Decimal]) -> pl.DataFrame:
    """Count, notional and remaining margin by verdict, for each flag rule and each pair of limits: a SWEEP frame."""
    for name in SUMMED:
        fixed.check_sum(verdicts, name)
    rows = verdicts.select("flaggable", "price_impact", "premium", "verdict_of_limits", *SUMMED)
    cells = pl.DataFrame({"max_liquidation_delta": list(deltas)}, schema={"max_liquidation_delta": fixed.AMOUNT}).join(
        pl.DataFrame({"max_pd": list(pds)}, schema={"max_pd": fixed.AMOUNT}), how="cross"
    )
    impact_blocked, premium_blocked = pl.col("price_impact") >= pl.col("max_liquidation_delta"), pl.col("premium") >= pl.col("max_pd")
    no_ratios = pl.col("price_impact").is_null()
    why = pl.when(pl.col("verdict_of_limits") == "UNKNOWN").then(pl.lit("UNKNOWN")).otherwise(pl.lit("NO_INDEX"))
    by_limits = (
        pl.when(no_ratios)
        .then(why)
        .when(impact_blocked & premium_blocked)
        .then(pl.lit("FLAG_ONLY_BOTH"))
        .when(impact_blocked)
        .then(pl.lit("FLAG_ONLY_DELTA"))
        .when(premium_blocked)
        .then(pl.lit("FLAG_ONLY_PD"))
        .otherwise(pl.lit("LIQUIDATED"))
    )
    flaggable = pl.col("flaggable")
    by_index = (
        pl.when(~flaggable)
        .then(pl.lit("NOT_FLAGGABLE_AT_INDEX"))
        .when(flaggable.is_null() & ~no_ratios)
        .then(pl.lit("UNKNOWN"))
        .otherwise(by_limits)
    )
    crossed = cells.lazy().join(rows.lazy(), how="cross")
    found = [
        crossed.select(pl.lit(rule).alias("flag_rule"), "max_liquidation_delta", "max_pd", verdict.alias("verdict"), *SUMMED)
        .group_by("flag_rule", "max_liquidation_delta", "max_pd", "verdict")
        .agg(pl.len().cast(pl.Int64).alias("liquidations"), *(pl.col(name).sum() for name in SUMMED))
        .collect()
        for rule, verdict in (("index", by_index), ("v1", by_limits))
    ]
    return check(pl.concat(found).select(*SWEEP.schema), SWEEP)
