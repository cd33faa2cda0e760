"""Whether the events of every position follow each other: each starts from the size at which the previous one ended.

This finds a log that is missing in the middle of a position, even a whole liquidation, without a header or a second node. It does not
find one that is missing at the position's end.
"""

import polars as pl

from perpcomp.findings import Finding, Level
from perpcomp.ingest.raw_frame import LOG_ORDER, increases
from perpcomp.number_text import counted

MOST = 20  # findings: a lost range breaks many positions


def gaps(sizes: pl.LazyFrame, level: Level, what_to_do: str, side_only: bool = False) -> list[Finding]:
    """The events whose position starts from another size than the previous event ended at: the first MOST by block, then how many more.

    `sizes` has a row for each event that changes a position: trader, market, block_number, log_index, transaction_hash, size_before
    (null where the event does not state it) and size_after, both in units of the base asset, with the sign of the side. With `side_only` another size of the same side is no gap: events that
    adjust sizes are known to be absent.
    """
    # Hashes are sorted instead of texts. Two positions or sizes of one hash could hide a gap, but not make one: the join below is by value.
    position = pl.struct("trader", "market").hash(0).alias("position")
    start, end = (_side(name) if side_only else pl.col(name) for name in ("size_before", "size_after"))
    before = pl.when(pl.col("size_before").is_not_null()).then(start.hash(0)).alias("before")
    rows = sizes.select(position, LOG_ORDER.alias("place"), before, end.hash(0).alias("after")).collect(engine="streaming")
    # Most inputs are in order by place. Then one stable sort does, in a fifth of the time of a sort by both.
    in_order = rows if increases(rows.get_column("place")) else rows.sort("place")
    line = in_order.lazy().sort("position", maintain_order=True)
    same = pl.col("position") == pl.col("position").shift()
    broken = line.with_columns(pl.col("place").shift().alias("last")).filter(same & (pl.col("before") != pl.col("after").shift()))
    found = broken.select("position", "place", "last").collect(engine="streaming").sort("place")
    if found.is_empty():
        return []
    ends = pl.concat([found["place"].head(MOST), found["last"].head(MOST)])
    said = sizes.with_columns(LOG_ORDER.alias("place")).filter(pl.col("place").is_in(ends.implode())).collect(engine="streaming")
    left = said.select("trader", "market", pl.col("place").alias("last"), pl.col("size_after").alias("left"))
    named = found.head(MOST).join(said, on="place").join(left, on=["last", "trader", "market"]).sort("place")
    findings = []
    for transaction, log, trader, size, was in named.select("transaction_hash", "log_index", "trader", "size_before", "left").iter_rows():
        what = f"The position of {trader} starts from size {size:f}, but the previous event ended at {was:f}."
        findings.append(Finding(level, f"tx {transaction} log {log}", what, what_to_do, code="gap-in-position"))
    if found.height > MOST:
        what = f"{counted(found.height - MOST, 'more such event', 'exists', 'exist')}; gaps are in {counted(found['position'].n_unique(), 'position')} in all."
        findings.append(Finding(level, "the input", what, what_to_do, code="gap-in-position"))
    return findings


def _side(size: str) -> pl.Expr:
    """1 for a long position, -1 for a short one, 0 for none."""
    return (pl.col(size) > 0).cast(pl.Int8) - (pl.col(size) < 0).cast(pl.Int8)
