"""Each liquidated position just before its liquidation and before the crash, from the trader's earlier logs.

A life runs from the event that opens a position to the one that brings its size to 0 (a reverse ends one life and opens the next).
Everything here is a running sum or a last value per trader and market, so it is exact and vectorised.

Open notional: let S be the open notional with the sign of the size. Whatever an event does, S changes by sign(x) * N + r, with x
the exchanged size, N the position notional and r the realized PnL: an increase adds N, a reduce takes N - r (long) or N + r (short)
away, and a reverse carries the rest over. So S is one running sum, from the last event that opened from nothing.
"""

import polars as pl

from perpcomp import fixed
from perpcomp.ingest.raw_frame import BLOCKS, LOG_ORDER, LOGS_OF_A_BLOCK
from perpcomp.systems.columns import SINCE_CRASH
from perpcomp.systems.perpetual_v1.events import MARGIN_CHANGED, POSITION_ADJUSTED, POSITION_SETTLED

POSITION = ["trader", "market"]
ORDER = ["block_number", "log_index"]
CLOSING = ["liquidation", "partial-liquidation"]
AMOUNTS = ["margin", "exchanged_position_size", "position_notional", "realized_pnl"]
# What `before_liquidations` reads of the events table, and POSITION.
EVENT = [*POSITION, *ORDER, "block_time", "kind", *AMOUNTS, "position_size_after"]

# Where a position or a life begins in the line of events, which is sorted by position and within it by ORDER.
BEGINS_POSITION = pl.col("position").ne_missing(pl.col("position").shift(1))
BEGINS_LIFE = BEGINS_POSITION | pl.col("life").ne_missing(pl.col("life").shift(1))

# Columns that `before_liquidations` gives: what a position was just before a liquidation, and before the crash.
REPLAYED = {
    "life": pl.Int64(),
    "opened_at": pl.Datetime("us", "UTC"),
    "leverage_at_open": fixed.AMOUNT,
    "open_notional_replayed": fixed.AMOUNT,
    "margin_replayed": fixed.AMOUNT,
    "continuous": pl.Boolean(),
    **dict.fromkeys(SINCE_CRASH, fixed.AMOUNT),
}


def numbered(liquidated: pl.DataFrame, migrations: pl.DataFrame | None, before_crash: pl.Expr) -> pl.DataFrame:
    """The positions (POSITION) of the liquidated rows, each with a number, `position`, and the block of its market's last liquidity migration
    before the crash, `migrated_in`. `migrations` are LiquidityChanged, where the input holds them.

    A number, because two texts would be hashed again in every window below.
    """
    positions = liquidated.select(POSITION).unique(maintain_order=True).with_row_index("position")
    if migrations is None:
        return positions.with_columns(migrated_in=pl.lit(None, dtype=pl.Int64))
    last = migrations.filter(before_crash).group_by("market").agg(pl.col("block_number").max().alias("migrated_in"))
    return positions.join(last, on="market", how="left")


def before_liquidations(events: pl.DataFrame, tables: dict[str, pl.DataFrame], before_crash: pl.Expr) -> pl.DataFrame:
    """ORDER and REPLAYED of every liquidation in the events table: the position just before it, and before the crash, from earlier
    logs alone.

    open_notional_replayed and margin_replayed are null where the life's opening (or the event before) is not in the logs. `continuous`
    is true where no event is missing since the position was last opened from nothing. leverage_at_open is null where it was not true
    at the life's opening.
    `events` are EVENT, `tables` gives MarginChanged, PositionAdjusted and PositionSettled where the input holds them; instead of POSITION all of
    them have the columns of `numbered`. `before_crash` is true of the blocks (by block_number or block_time) before the crash. SINCE_CRASH columns speak of the event's own life: what it held before
    the crash, 0 where it was opened later, and what its trader changed between then and the event.
    """
    lines = [
        _line(
            events,
            ["kind", *AMOUNTS],
            size=pl.col("position_size_after"),
            margin_moved=pl.lit(None, dtype=fixed.AMOUNT),
            moved_by_hand=pl.lit(None, dtype=fixed.AMOUNT),
        )
    ]
    if MARGIN_CHANGED.name in tables:
        lines.append(
            _line(
                tables[MARGIN_CHANGED.name], [], margin_moved=pl.col("amount") - pl.col("funding_payment"), moved_by_hand=pl.col("amount")
            )
        )
    if POSITION_ADJUSTED.name in tables:
        lines.append(_line(tables[POSITION_ADJUSTED.name], [], size=pl.col("new_position_size")))
    if POSITION_SETTLED.name in tables:
        lines.append(_line(tables[POSITION_SETTLED.name], [], size=fixed.amount(0), margin=fixed.amount(0)))

    # One number is sorted in two thirds of the time of three.
    line = pl.concat(lines, how="diagonal").sort(pl.col("position").cast(pl.Int128) * BLOCKS * LOGS_OF_A_BLOCK + LOG_ORDER)
    exchanged, notional = pl.col("exchanged_position_size"), pl.col("position_notional")
    line = line.with_row_index("row").with_columns(
        pl.when(BEGINS_POSITION).then("row").forward_fill().alias("begins"),
        pl.when(exchanged > 0).then(notional).otherwise(-notional).add(pl.col("realized_pnl")).fill_null(0).alias("signed_notional_moved"),
        pl.col("margin_moved").fill_null(0),
        pl.col("kind").is_in(["open"]).fill_null(False).alias("from_nothing"),
        pl.col("kind").is_in(["open", "reverse"]).fill_null(False).alias("opens"),
        (pl.col("kind").is_not_null()).alias("is_event"),
    )
    for summed in ("signed_notional_moved", "margin_moved"):
        fixed.check_sum(line, summed)

    opens, first_event = pl.col("opens"), pl.when("is_event").then("row").backward_fill().gather("begins")
    line = line.with_columns(
        _running(pl.col("signed_notional_moved"), BEGINS_POSITION).alias("signed_notional"),
        _running(pl.col("margin_moved"), BEGINS_POSITION).alias("margin_moved_so_far"),
        pl.col("size").gather(_last(pl.col("size").is_not_null(), before=True)).alias("size_expected"),
        # Events of a position that was open before the first log belong to life 1 too.
        (_running(opens.cast(pl.Int64), BEGINS_POSITION) + (~opens).gather(first_event).cast(pl.Int64)).alias("life"),
        _last(opens).alias("opened_in"),
    )
    line = line.with_columns(
        (pl.col("signed_notional") - pl.col("signed_notional_moved")).gather(_last(pl.col("from_nothing"))).alias("base"),
        (pl.col("margin") - pl.col("margin_moved_so_far")).gather(_last(pl.col("margin").is_not_null(), before=True)).alias("margin_base"),
    )
    size_before = pl.col("size") - exchanged
    broken = pl.col("is_event") & ~pl.col("from_nothing") & (size_before != pl.col("size_expected")).fill_null(False)
    line = line.with_columns(
        (pl.col("signed_notional") - pl.col("base")).alias("signed_after"),
        # A reverse carries the open notional over, so an event that is missing before it is missing in the next life's sums too.
        (_running(broken.cast(pl.Int64), BEGINS_POSITION | pl.col("from_nothing")) == 0).alias("continuous"),
    )
    leverage = fixed.ratio(pl.col("signed_after").abs(), pl.col("margin"))
    openings = (
        line.lazy()
        .filter("opens")
        .select(  # lazily: Polars then computes once most of what a quotient repeats
            pl.col("row").alias("opened_in"),
            pl.col("block_time").alias("opened_at"),
            pl.when(pl.col("continuous") & (leverage >= 0)).then(leverage).alias("leverage_at_open"),
        )
    )
    before = (pl.col("signed_notional") - pl.col("signed_notional_moved") - pl.col("base")).abs()
    return (
        _since_crash(line, before_crash, tables)
        .join(openings.collect(), on="opened_in", how="left", maintain_order="left")
        .with_columns(
            pl.when("continuous").then(before).alias("open_notional_replayed"),
            (pl.col("margin_base") + pl.col("margin_moved_so_far")).alias("margin_replayed"),
        )
        .select(*ORDER, *REPLAYED)
    )


def _last(stated: pl.Expr, before: bool = False) -> pl.Expr:
    """The row of the position's last event up to this one, or `before` this one, of which `stated` is true; null where there is none.

    A value of that row is gathered by it: a third of the cost of a window for each value, which hashes every position again.
    """
    row = pl.when(stated).then("row").forward_fill().shift(int(before))
    return pl.when(row >= pl.col("begins")).then(row)


def _running(value: pl.Expr, begins: pl.Expr) -> pl.Expr:
    """A running sum that starts anew at the rows of `begins`: much cheaper than a window."""
    total = value.cum_sum()
    return total - pl.when(begins).then(total - value).forward_fill()


def _line(table: pl.DataFrame, kept: list[str], **named: pl.Expr) -> pl.DataFrame:
    return table.select("position", "migrated_in", *ORDER, "block_time", *kept, **named)


def _since_crash(line: pl.DataFrame, before_crash: pl.Expr, tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The liquidations of the line of every event of every position, with SINCE_CRASH added.

    Null where a needed event was not pulled; so is a size that a liquidity migration has changed since it was stated.
    """
    nothing, has_margin_changes = fixed.amount(0), MARGIN_CHANGED.name in tables
    changes = {
        "margin_added": pl.col("moved_by_hand"),
        "margin_removed": -pl.col("moved_by_hand"),
        "size_added": pl.when(pl.col("kind") == "increase").then(pl.col("exchanged_position_size").abs()),
        "size_reduced": pl.when(pl.col("kind") == "reduce").then(pl.col("exchanged_position_size").abs()),
    }
    since = ~before_crash
    line = line.with_columns(pl.when(since & (value > 0)).then(value).otherwise(nothing).alias(name) for name, value in changes.items())
    for summed in changes:
        fixed.check_sum(line, summed)
    told = [name for name in changes if has_margin_changes or not name.startswith("margin")]
    line = line.with_columns(
        *(_running(pl.col(name), BEGINS_LIFE).alias(name) for name in told),
        *(pl.lit(None, dtype=fixed.AMOUNT).alias(name) for name in changes if name not in told),
    )
    # What each position was at the end of its last event before the crash.
    stale = pl.lit(POSITION_ADJUSTED.name not in tables) | (pl.col("stated_in") < pl.col("migrated_in")).fill_null(False)
    margin = (pl.col("margin") - pl.col("margin_moved_so_far")).forward_fill() + pl.col("margin_moved_so_far")
    held = line.filter(before_crash).group_by("position", maintain_order=True)
    then = held.agg(
        pl.col("life").last().alias("life_then"),
        pl.col("size").drop_nulls().last().alias("size_before_crash"),
        pl.col("block_number").filter(pl.col("size").is_not_null()).last().alias("stated_in"),
        pl.col("migrated_in").last(),
        margin.last().alias("margin_before_crash"),
        pl.when("continuous").then(pl.col("signed_after").abs()).last().alias("open_notional_before_crash"),
    )
    gone = (pl.col("size_before_crash") == 0).fill_null(False)
    known = {"size": ~stale, "margin": pl.lit(has_margin_changes), "open_notional": pl.lit(True)}
    names = [f"{name}_before_crash" for name in known]
    then = then.with_columns(
        pl.when(gone).then(nothing).when(sure).then(f"{name}_before_crash").alias(f"{name}_before_crash") for name, sure in known.items()
    )
    line = line.filter(pl.col("kind").is_in(CLOSING)).join(then.select("position", "life_then", *names), on="position", how="left")
    held_then = pl.col("life_then") == pl.col("life")
    was_open = held_then.fill_null(pl.col("opened_in").is_null())  # no event before the crash, and none that opened it: open, unknown
    return line.with_columns(pl.when(was_open).then(name).otherwise(nothing).alias(name) for name in names)
