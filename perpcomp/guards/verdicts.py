"""What a verdict on a historical liquidation is: its codes, its row of VERDICTS, and its columns beside a liquidations table.

SIP-2005 flags an account first, and lets anybody liquidate it only while two ratios are below their limits: the price impact of this
close, and the premium of the market's price over the index just before it. Three columns keep three effects apart:

- `flaggable`: whether the account was below maintenance at the index price;
- `verdict_of_limits`: what the two limits do, with every historical liquidation taken as flagged;
- `verdict`: both together, by the incident's flag rule.

A verdict is about the state that history had just before the liquidation. counterfactual/ asks what would have followed.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl
from msgspec import Struct
from msgspec.structs import asdict

from perpcomp.findings import Finding
from perpcomp.fixed import AMOUNT
from perpcomp.guards.index_prices import IndexSeries
from perpcomp.guards.limits import Limit
from perpcomp.tables.guards import VERDICTS
from perpcomp.tables.liquidations import LIQUIDATION
from perpcomp.tables.schema import check, frame_of

MEANING = {
    "LIQUIDATED": "liquidated as in history: both ratios were below their limits",
    "FLAG_ONLY_DELTA": "only flagged: this close would have moved the price too much",
    "FLAG_ONLY_PD": "only flagged: the market's price was too far from the index",
    "FLAG_ONLY_BOTH": "only flagged: this close would have moved the price too much, and the market's price was too far from the index",
    "NOT_FLAGGABLE_AT_INDEX": "not flagged: at the index price its margin ratio was not below maintenance",
    "NO_INDEX": "not judged: no index price was known before it",
    "UNKNOWN": "not judged: the market's or the position's state before it cannot be determined from the logs",
}
LIQUIDATION_KEY = ["chain_id", "transaction_hash", "log_index"]
RATIOS = ("price_impact", "slack_delta", "premium", "slack_pd")


class Verdicts(Struct, frozen=True):
    """A VERDICTS frame; the limits and index prices of each market, by address; and what could not be judged."""

    table: pl.DataFrame
    limits: Mapping[str, Limit]
    indices: Mapping[str, IndexSeries]
    findings: tuple[Finding, ...]

    @classmethod
    def of(
        cls,
        rows: list[dict[str, Any]],
        limits: Mapping[str, Limit],
        indices: Mapping[str, IndexSeries],
        findings: list[Finding],
    ) -> "Verdicts":
        """From the rows that `verdict_row` made."""
        return cls(check(frame_of(rows, VERDICTS), VERDICTS), limits, indices, tuple(findings))


class Measured(Struct, frozen=True):
    """What the guards look at in one liquidation, by the names and units of VERDICTS: integers of 1e-18. None: unknown."""

    closed_size: int
    notional: int
    remaining_margin: int | None
    spot_before: int | None
    index_price: int | None
    index_age_seconds: int | None
    margin_ratio_at_index: int | None
    flaggable: bool | None
    price_impact: int | None
    premium: int | None


def verdict_row(liquidation: Mapping[str, Any], measured: Measured, limit: Limit, verdict: str, by_limits: str) -> dict[str, Any]:
    """A row of VERDICTS by column name, amounts as integers of 1e-18. `block_time` of the liquidation is in unix seconds."""
    return {
        **{column.name: liquidation[column.name] for column in LIQUIDATION},
        **asdict(measured),
        "max_liquidation_delta": limit.delta,
        "slack_delta": None if limit.delta is None or measured.price_impact is None else limit.delta - measured.price_impact,
        "max_pd": limit.pd,
        "slack_pd": None if limit.pd is None or measured.premium is None else limit.pd - measured.premium,
        "verdict": verdict,
        "verdict_of_limits": by_limits,
        "reason": MEANING[verdict],
        "parameters_source": limit.source,
    }


def with_verdicts(liquidations: pl.DataFrame, verdicts: pl.DataFrame | None) -> pl.DataFrame:
    """A liquidations table with the verdict and the ratios that formulas and eligibility may ask for; nulls where verdicts is None."""
    if verdicts is None:
        return liquidations.with_columns(
            pl.lit(None, dtype=pl.String).alias("guard_verdict"), *(pl.lit(None, dtype=AMOUNT).alias(name) for name in RATIOS)
        )
    asked = verdicts.select(*LIQUIDATION_KEY, pl.col("verdict").alias("guard_verdict"), *RATIOS)
    return liquidations.join(asked, on=LIQUIDATION_KEY, how="left", maintain_order="left", validate="1:1")
