"""From the decoded events of V1 to its liquidations, with the position just before each (lives.py) and its era (eras.py)."""

import functools
from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding, Level
from perpcomp.incident.chain import Chain
from perpcomp.systems import continuity
from perpcomp.systems.columns import SINCE_CRASH
from perpcomp.systems.perpetual_v1.eras import tell_eras
from perpcomp.systems.perpetual_v1.events import (
    LIQUIDATION_FEE_RATIO_CHANGED,
    LIQUIDITY_CHANGED,
    MAINTENANCE,
    MARGIN_CHANGED,
    MARGIN_RATIO_CHANGED,
    POSITION_ADJUSTED,
    POSITION_SETTLED,
    UPGRADED,
)
from perpcomp.systems.perpetual_v1.lives import CLOSING, EVENT, ORDER, POSITION, before_liquidations, numbered
from perpcomp.systems.system import Each
from perpcomp.tables.events import EVENTS

OF_POSITIONS = (MARGIN_CHANGED.name, POSITION_ADJUSTED.name, POSITION_SETTLED.name)
HASHES = ("block_hash", "transaction_hash")
OF_THE_HOUSE = (LIQUIDATION_FEE_RATIO_CHANGED.name, MARGIN_RATIO_CHANGED.name, UPGRADED.name)
PARTITION = 200_000  # events whose lives are followed at a time: what a processor's cache holds costs less, and memory stays flat
# The columns of the events table on which a liquidation or its position depends.
READ = [c.name for c in EVENTS.columns if c.name not in ("block_hash", "transaction_index", "system", "unrealized_pnl_after")]


def gaps(events: pl.LazyFrame, others: Mapping[str, pl.LazyFrame]) -> list[Finding]:
    """The events whose position starts from another size than the previous event ended at.

    PositionAdjusted changes a size without an event of the events table, so a gap is only a warning where that event was not pulled. Our
    own events table never holds it: there only another side than before is a gap, and one note says that other sizes are not judged.
    """
    keys, after, unknown = (*POSITION, *ORDER, "transaction_hash"), pl.col("position_size_after"), pl.lit(None, dtype=fixed.AMOUNT)
    sizes = [events.select(*keys, (after - pl.col("exchanged_position_size")).alias("size_before"), after.alias("size_after"))]
    for name, left in ((POSITION_ADJUSTED.name, pl.col("new_position_size")), (POSITION_SETTLED.name, fixed.amount(0))):
        if name in others:
            sizes.append(others[name].select(*keys, unknown.alias("size_before"), left.alias("size_after")))
    level: Level = "error" if POSITION_ADJUSTED.name in others else "warning"
    cause = "A log between them is missing" + (
        ", or PositionAdjusted was not pulled" if level == "warning" else "; it may be a liquidation"
    )
    found = continuity.gaps(pl.concat(sizes), level, f"{cause}: pull the logs again.")
    if others or not found:
        return found
    what = f"Positions start from other sizes than their previous events ended at (first: {found[0].where})."
    advice = "An events table holds no PositionAdjusted, which explains such steps; a log lost there shows only in a run on the logs."
    note = Finding("note", "the input", what, advice, code="adjustments-not-in-input")
    return [*continuity.gaps(pl.concat(sizes), level, f"{cause}: pull the logs again.", side_only=True), note]


def liquidations(
    events: pl.LazyFrame,
    others: Mapping[str, pl.LazyFrame],
    chain: Chain,
    before_crash: pl.Expr,
    each: Each,
) -> tuple[pl.DataFrame, list[Finding]]:
    """Every liquidation in the events table, with the position just before it, to the wei; and what does not fit.

    others are the other events by name, as far as the input holds them. Only positions that were liquidated are read, in each part of the input that `each` gives. `chain`
    states the fee ratio and the code where no log does. `before_crash` is true of the blocks before the crash, by block_number or block_time.
    A full liquidation states its own open notional: position_notional - realized_pnl (long) or + realized_pnl (short). Before a
    partial one it is replayed from the life's earlier events; it is null, with a finding, where these are not in the logs.
    """
    migrations = others[LIQUIDITY_CHANGED.name].collect() if LIQUIDITY_CHANGED.name in others else None
    rows = pl.concat(each(functools.partial(_with_positions, before_crash, migrations))).sort(ORDER)
    tables = {name: others[name].collect() for name in OF_THE_HOUSE if name in others}
    rows, findings = tell_eras(rows, tables, chain, MARGIN_CHANGED.name in others)

    size = pl.col("position_size_after") - pl.col("exchanged_position_size")
    partial = pl.col("kind") == "partial-liquidation"
    notional, realized = pl.col("position_notional"), pl.col("realized_pnl")
    stated = pl.when(size > 0).then(notional - realized).otherwise(notional + realized)
    rows = rows.with_columns(
        size.alias("size"),
        partial.alias("partial"),
        stated.alias("open_notional_stated"),
        pl.when(partial).then("open_notional_replayed").otherwise(stated).alias("open_notional"),
    )
    findings += _findings(rows) + _ratio_too_high(rows, tables.get(MARGIN_RATIO_CHANGED.name))
    left = pl.col("margin_before") + realized - pl.col("funding_payment")
    table = rows.lazy().select(
        *("chain_id", "block_number", "block_time", "transaction_hash", "log_index", "trader", "market"),
        pl.when(pl.col("size") > 0).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        "partial",
        "size",
        pl.col("position_size_after").alias("size_after"),
        pl.col("margin_before").alias("margin"),
        "open_notional",
        fixed.ratio(pl.col("open_notional"), pl.col("size").abs()).alias("entry_price"),
        *("position_notional", "realized_pnl", "funding_payment"),
        left.clip(fixed.amount(0)).alias("remaining_margin"),
        *("bad_debt", "spot_price", "liquidator", "liquidation_fee", "fee_shortfall", "era", "era_rule", "life"),
        *("opened_at", "leverage_at_open", *SINCE_CRASH),
    )
    return table.collect(), findings


def _with_positions(
    before_crash: pl.Expr, migrations: pl.DataFrame | None, events: pl.LazyFrame, others: Mapping[str, pl.LazyFrame]
) -> pl.DataFrame:
    """The liquidations of some positions (READ), each with its position just before it (REPLAYED)."""
    closed = events.filter(pl.col("kind").is_in(CLOSING)).select(READ).collect(engine="streaming").sort(ORDER)
    positions = numbered(closed, migrations, before_crash).lazy()
    touched = events.select(EVENT).join(positions, on=POSITION).drop(POSITION).collect(engine="streaming")
    lines = {name: others[name].drop(HASHES).join(positions, on=POSITION).drop(POSITION) for name in OF_POSITIONS if name in others}
    of_positions = {name: line.collect(engine="streaming") for name, line in lines.items()}
    parts = _partitions(touched, of_positions, touched.height // PARTITION + 1)
    before = pl.concat(before_liquidations(part, tables, before_crash) for part, tables in parts)
    return closed.join(before, on=ORDER, how="left", maintain_order="left")


def _partitions(
    events: pl.DataFrame, tables: dict[str, pl.DataFrame], count: int
) -> Iterator[tuple[pl.DataFrame, dict[str, pl.DataFrame]]]:
    """Events and tables in `count` parts. All rows of one position are in one part."""
    for n in range(count):
        own = pl.col("position") % count == n
        yield events.filter(own), {name: table.filter(own) for name, table in tables.items()}


def _findings(rows: pl.DataFrame) -> list[Finding]:
    """Findings of liquidations that contradict themselves or the logs before them."""
    findings = []
    pull = "Pull the position's PositionChanged events from its opening on."
    wrong = [
        pl.col("margin_before") < 0,
        pl.col("size") == 0,
        pl.col("open_notional").is_null(),
        pl.col("open_notional_replayed") != pl.col("open_notional"),
    ]
    for row in rows.filter(pl.any_horizontal(wrong)).iter_rows(named=True):
        where = f"tx {row['transaction_hash']} log {row['log_index']}"
        if row["margin_before"] is not None and row["margin_before"] < 0:
            what = f"The margin before the liquidation is computed as {row['margin_before']:f}, but the contract stores no margin below 0."
            findings.append(
                Finding(
                    "error",
                    where,
                    what,
                    "The era is wrong or a term is missing. Nothing may be paid until this is known.",
                    True,
                    "negative-margin",
                )
            )
        if row["size"] == 0:
            findings.append(
                Finding(
                    "error", where, "A position of size 0 was liquidated, which is impossible.", "Pull the logs again.", True, "size-zero"
                )
            )
        if row["open_notional"] is None:
            what = "The open notional is unknown: this is a partial liquidation, and the life's earlier events are not all in the logs."
            advice = pull + " Until then no formula that reads it pays."
            findings.append(Finding("error", where, what, advice, code="open-notional-unknown"))
        elif row["open_notional_replayed"] not in (None, row["open_notional"]):
            what = f"The open notional is {row['open_notional']:f} by its own event, but {row['open_notional_replayed']:f} by the events before it."
            findings.append(Finding("error", where, what, "An event between them is missing. " + pull, True, "open-notional-differs"))
    return findings


def _ratio_too_high(rows: pl.DataFrame, changes: pl.DataFrame | None) -> list[Finding]:
    """A warning for each full liquidation whose own event shows a margin ratio that is too high for one.

    The realized profit is that at spot, and the contracts take the better of the profits at spot and by the average. So a position
    whose ratio at spot (over the open notional, in era 2 over the position's) is maintenance or more cannot be liquidated.
    """
    ratio = pl.lit(MAINTENANCE, dtype=fixed.AMOUNT)
    if changes is not None:
        dated = changes.select(*ORDER, pl.col("margin_ratio").alias("maintenance")).sort(ORDER)
        rows = rows.sort(ORDER).join_asof(dated.drop("log_index"), on="block_number").with_columns(pl.col("maintenance").fill_null(ratio))
        ratio = pl.col("maintenance")
    equity = pl.col("margin_before") + pl.col("realized_pnl") - pl.col("funding_payment")
    denominator = pl.when(pl.col("era") == 1).then("open_notional").otherwise("position_notional")
    stood = fixed.ratio(equity, denominator)
    full = rows.lazy().filter(~pl.col("partial"))  # lazily: Polars then computes once most of what a quotient repeats
    found = full.select("transaction_hash", "log_index", stood.alias("stood"), ratio.alias("maintenance"))
    findings = []
    for transaction, log, margin_ratio, maintenance in found.filter(pl.col("stood") >= pl.col("maintenance")).collect().iter_rows():
        what = f"Margin ratio was {margin_ratio:.4f}; liquidation requires less than {maintenance:.4f}."
        advice = "These are made-up logs, or logs of other contracts: do not pay by them before that is known."
        findings.append(Finding("warning", f"tx {transaction} log {log}", what, advice, code="margin-ratio-too-high"))
    return findings
