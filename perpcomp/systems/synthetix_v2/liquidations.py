"""From the decoded events of Perps V2 to its liquidations, with the position just before each (timeline.py, lives.py)."""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding, InputError
from perpcomp.incident.chain import Chain
from perpcomp.systems import continuity
from perpcomp.systems.columns import COLUMNS
from perpcomp.systems.synthetix_v2.lives import with_lives
from perpcomp.systems.synthetix_v2.timeline import ORDER, before_each
from perpcomp.systems.system import Each
from perpcomp.tables.schema import KINDS


def gaps(_: pl.LazyFrame, others: Mapping[str, pl.LazyFrame]) -> list[Finding]:
    """The events whose position starts from another size than the previous event ended at. `liquidations` checks a liquidation's own size."""
    before, gone = pl.col("size") - pl.col("trade_size"), (pl.col("size") == 0) & (pl.col("trade_size") == 0)
    sizes = others["PositionModified"].select(
        *("trader", "market", *ORDER, "transaction_hash"),
        pl.when(~gone).then(before).alias("size_before"),
        pl.col("size").alias("size_after"),
    )
    pulled_again = "A log between them is missing; it may be a liquidation: pull the logs again."
    return continuity.gaps(sizes, "error", pulled_again)


def liquidations(
    _: pl.LazyFrame, others: Mapping[str, pl.LazyFrame], chain: Chain, before_crash: pl.Expr, each: Each
) -> tuple[pl.DataFrame, list[Finding]]:
    """Every liquidation, with the position just before it, to the wei; and what does not fit. others are the decoded events by name.

    margin is what the last PositionModified stored; realized_pnl is the profit since then at the oracle's price, by which a position is
    closed. A liquidation whose last PositionModified or whose funding entries are not in the logs is an InputError: its margin is not
    known. The incident's liquidation fee ratio is not used, as the logs state every fee, nor `each`, as nothing here is heavy.
    """
    tables = {name: table.collect() for name, table in others.items()}
    lines = with_lives(before_each(tables), tables["MarginTransferred"], before_crash)
    rows = lines.filter(pl.col("liquidator").is_not_null()).sort(ORDER)
    _refuse_unknown(rows)
    size = pl.col("size_before")
    found = rows.with_columns(
        pl.when(size > 0).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        pl.lit(False).alias("partial"),
        pl.col("margin_before").alias("margin"),
        pl.col("price_before").alias("entry_price"),
        fixed.mul(size.abs(), pl.col("price_before")).alias("open_notional"),
        pl.col("remaining").clip(fixed.amount(0)).alias("remaining_margin"),
        pl.col("last_price").alias("spot_price"),
        pl.col("liquidator_fee").alias("liquidation_fee"),
        pl.lit(None, dtype=KINDS["integer"][0]).alias("era"),
        pl.lit(None, dtype=KINDS["text"][0]).alias("era_rule"),
        pl.col("size").alias("size_after"),
    ).with_columns(size.alias("size"))
    return found.select(COLUMNS), _findings(rows)


def _refuse_unknown(rows: pl.DataFrame) -> None:
    """InputError for liquidated positions of which only the end is in the logs."""
    unknown = rows.filter(pl.col("remaining").is_null()).head(20)
    problems = []
    for row in unknown.iter_rows(named=True):
        missing = "last PositionModified before it" if row["margin_before"] is None else "FundingRecomputed of its funding indexes"
        what = f"{row['trader']} was liquidated, but the {missing} is not in the logs, so the margin is unknown."
        problems.append(
            Finding("error", f"tx {row['transaction_hash']} log {row['log_index']}", what, "Pull the market's logs from the opening on.")
        )
    if problems:
        raise InputError(problems)


def _findings(rows: pl.DataFrame) -> list[Finding]:
    """Liquidations whose own event contradicts the logs before it."""
    findings = []
    for row in rows.iter_rows(named=True):
        where = f"tx {row['transaction_hash']} log {row['log_index']}"
        if row["size_expected"] != row["size_before"]:
            what = f"A size of {row['size_before']:f} was liquidated, but the previous event ended at {row['size_expected']:f}."
            advice = "An event between them is missing: pull the logs again."
            findings.append(Finding("error", where, what, advice, True, "gap-in-position"))
            continue
        remaining, pool = max(row["remaining"], 0), row["stakers_fee"]
        if pool is None:
            continue  # before SIP-2005 the event did not say what was left
        fees = row["flagger_fee"] + row["liquidator_fee"]
        if remaining != fees + pool if pool else remaining > fees:
            what = f"The remaining margin is {remaining:f} by the earlier logs, but the liquidation's event pays out {fees + pool:f}."
            advice = "A log or a term is missing: nothing may be paid until this is known."
            findings.append(Finding("error", where, what, advice, True, "remaining-margin-differs"))
    return findings
