"""The lives of Perps V2 positions: which one an event belongs to, how it was opened, and its state before the crash.

A life runs from the trade that opens a position to the one that brings its size to 0; a reverse ends one and opens the next. What a
trader puts in or takes out stands in MarginTransferred; the deposits of waiting orders come and go in the margin without counting here.
"""

import polars as pl

from perpcomp import fixed
from perpcomp.systems.columns import BEFORE_CRASH, CHANGES
from perpcomp.systems.synthetix_v2.timeline import ORDER, POSITION

LIFE = [*POSITION, "life"]


def with_lives(line: pl.DataFrame, transfers: pl.DataFrame, before_crash: pl.Expr) -> pl.DataFrame:
    """Adds life, opened_at, leverage_at_open and SINCE_CRASH to the timeline; transfers is the MarginTransferred table.

    `before_crash` is true of the blocks before the crash, by block_number or block_time. SINCE_CRASH speaks of the event's own life:
    what it held at the end of its last event before the crash, 0 where it was opened later, null where the logs begin after that; and
    what its trader changed between then and the event.
    """
    before, after = pl.col("size_before"), pl.col("size")
    flips = (after != 0) & ((before > 0) != (after > 0)) & (before != 0)
    opens = ((before == 0) & (after != 0)) | flips
    carried = (before.first() != 0).over(POSITION)  # the logs begin with a position already open
    line = line.with_columns(opens.alias("opens"), (opens.cum_sum().over(POSITION) + carried).cast(pl.Int64).alias("life"))
    line = line.with_columns(fixed.mul(after.abs(), pl.col("last_price")).alias("open_notional_after"))
    leverage = fixed.ratio(pl.col("open_notional_after"), pl.col("margin"))
    line = line.with_columns(
        pl.when("opens").then("block_time").forward_fill().over(LIFE).alias("opened_at"),
        pl.when("opens").then(leverage).forward_fill().over(LIFE).alias("leverage_at_open"),
    )
    return _held(_changed(line, transfers, before_crash), before_crash)


def _changed(line: pl.DataFrame, transfers: pl.DataFrame, before_crash: pl.Expr) -> pl.DataFrame:
    """Adds CHANGES: running sums over the life, from the crash on."""
    moves = transfers.select(*POSITION, *ORDER, "block_time", pl.col("margin_delta"))
    both = pl.concat([line.with_columns(pl.lit(True).alias("is_event")), moves], how="diagonal").sort(ORDER)
    both = both.with_columns(pl.col("life").forward_fill().over(POSITION))
    traded, delta = pl.col("exchanged_position_size").abs(), pl.col("margin_delta")
    within = ~pl.col("opens") & pl.col("liquidator").is_null()
    grows = pl.col("size").abs() > pl.col("size_before").abs()
    values = {
        "margin_added": delta,
        "margin_removed": fixed.amount(0) - delta,
        "size_added": pl.when(within & grows).then(traded),
        "size_reduced": pl.when(within & ~grows).then(traded),
    }
    zero = fixed.amount(0)
    both = both.with_columns(pl.when(~before_crash & (value > 0)).then(value).otherwise(zero).alias(name) for name, value in values.items())
    for name in CHANGES:
        fixed.check_sum(both, name)
    return both.with_columns(pl.col(name).cum_sum().over(LIFE) for name in CHANGES).filter("is_event").drop("is_event", "margin_delta")


def _held(line: pl.DataFrame, before_crash: pl.Expr) -> pl.DataFrame:
    """Adds BEFORE_CRASH."""
    then = (
        line.filter(before_crash)
        .group_by(POSITION, maintain_order=True)
        .agg(
            pl.col("life").last().alias("life_then"),
            pl.col("size").last().alias("size_before_crash"),
            pl.col("margin").last().alias("margin_before_crash"),
            pl.col("open_notional_after").last().alias("open_notional_before_crash"),
        )
    )
    line = line.join(then, on=POSITION, how="left", maintain_order="left")
    held_then = pl.col("life_then") == pl.col("life")
    was_open = held_then.fill_null(pl.col("opened_at").is_null())  # no event before the crash, and none that opened it: open, unknown
    return line.with_columns(pl.when(was_open).then(name).otherwise(fixed.amount(0)).alias(name) for name in BEFORE_CRASH)
