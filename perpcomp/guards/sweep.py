"""The screen over a grid of limits: how many liquidations, and how much money, each pair of limits would have held back.

A verdict depends on the limits through two comparisons of exact amounts, so a cell of the grid is a filter and a sum over the
verdicts table: no price is computed twice.
"""

from collections.abc import Sequence
from decimal import Decimal

import polars as pl

from perpcomp import fixed
from perpcomp.fixed import from_integer
from perpcomp.guards.verdicts import Screen
from perpcomp.tables.guards import SWEEP
from perpcomp.tables.schema import check

SIZES = ("notional", "remaining_margin")
SHARES = (Decimal("0.25"), Decimal("0.5"), Decimal(1), Decimal(2), Decimal(4), Decimal(8), Decimal(16), Decimal(32), Decimal(64))


def grid(screen: Screen) -> tuple[list[Decimal], list[Decimal]]:
    """Limits to try: parts and multiples of the incident's own (the smallest of its markets'), 0 among them."""
    deltas = [limit.delta for limit in screen.limits.values() if limit.delta]
    pds = [limit.pd for limit in screen.limits.values() if limit.pd]
    base_delta, base_pd = (from_integer(min(values)) if values else Decimal("0.002") for values in (deltas, pds))
    return _multiples(base_delta), _multiples(base_pd)


def _multiples(base: Decimal) -> list[Decimal]:
    exact = [base * share for share in SHARES]
    return [Decimal(0), *(value.quantize(Decimal(1).scaleb(-18)) for value in exact)]


def sweep(verdicts: pl.DataFrame, deltas: Sequence[Decimal], pds: Sequence[Decimal]) -> pl.DataFrame:
    """Counts, notional and remaining margin by verdict, for each flag rule and each pair of limits: a SWEEP frame."""
    for size in SIZES:
        fixed.check_sum(verdicts, size)
    rows = verdicts.select("flaggable", "price_impact", "premium", "verdict_of_limits", *SIZES)
    cells = pl.DataFrame({"max_liquidation_delta": list(deltas)}, schema={"max_liquidation_delta": fixed.AMOUNT}).join(
        pl.DataFrame({"max_pd": list(pds)}, schema={"max_pd": fixed.AMOUNT}), how="cross"
    )
    too_much, too_far = pl.col("price_impact") >= pl.col("max_liquidation_delta"), pl.col("premium") >= pl.col("max_pd")
    unjudged = pl.col("price_impact").is_null()
    why = pl.when(pl.col("verdict_of_limits") == "UNKNOWN").then(pl.lit("UNKNOWN")).otherwise(pl.lit("NO_INDEX"))
    by_limits = (
        pl.when(unjudged)
        .then(why)
        .when(too_much & too_far)
        .then(pl.lit("FLAG_ONLY_BOTH"))
        .when(too_much)
        .then(pl.lit("FLAG_ONLY_DELTA"))
        .when(too_far)
        .then(pl.lit("FLAG_ONLY_PD"))
        .otherwise(pl.lit("LIQUIDATED"))
    )
    flaggable = pl.col("flaggable")
    by_index = (
        pl.when(~flaggable)
        .then(pl.lit("NOT_FLAGGABLE_AT_INDEX"))
        .when(flaggable.is_null() & ~unjudged)
        .then(pl.lit("UNKNOWN"))
        .otherwise(by_limits)
    )
    crossed = cells.lazy().join(rows.lazy(), how="cross")
    found = [
        crossed.select(pl.lit(rule).alias("flag_rule"), "max_liquidation_delta", "max_pd", verdict.alias("verdict"), *SIZES)
        .group_by("flag_rule", "max_liquidation_delta", "max_pd", "verdict")
        .agg(pl.len().cast(pl.Int64).alias("liquidations"), *(pl.col(size).sum() for size in SIZES))
        .collect()
        for rule, verdict in (("index", by_index), ("v1", by_limits))
    ]
    return check(pl.concat(found).select(*SWEEP.schema), SWEEP)
