"""Whether every log of a Perps V2 market is in the input: its logs count themselves, so a missing one leaves a hole.

What the contracts guarantee (tests/lab/perps-v2): every call that changes a market logs the next funding entry; a position that is opened
has the next id; an event's skew is the skew before it plus what it traded; a PositionModified that ends a position without a trade is a
liquidation; a trade leaves the margin before it plus profit, minus funding and fee. A transaction that is lost at the end of a market's logs leaves no hole.
"""

from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.systems.continuity import MOST
from perpcomp.systems.synthetix_v2.timeline import ORDER, POSITION, before_each

EVENT = ("market", "transaction_hash", *ORDER)
ADVICE = "A liquidation may be among the missing logs, and its trader would not be paid. Pull the market's logs again{}."
GONE = (pl.col("size") == 0) & (pl.col("trade_size") == 0) & (pl.col("id") != 0)  # a PositionModified that only a liquidation logs


def lost_logs(_: pl.LazyFrame, others: Mapping[str, pl.LazyFrame], incident: Incident) -> list[Finding]:
    """An error for each place where a log is missing, at most MOST of a kind, then how many more. `others` are the decoded events by name."""
    tables = {name: table.collect().sort(ORDER) for name, table in others.items()}
    modified, liquidated, funding = (tables[name] for name in ("PositionModified", "PositionLiquidated", "FundingRecomputed"))
    return [
        *_first(_lost_liquidations(modified, liquidated), "lost-liquidation"),
        *_first(_lost_flags(liquidated, tables["PositionFlagged"]), "lost-flag"),
        *_first(_funding_holes(funding), "hole-in-funding-index"),
        *_first(_unknown_entries(modified, funding), "hole-in-funding-index"),
        *_first(_id_holes(modified), "hole-in-position-ids"),
        *_first(_skew_jumps(modified, liquidated, funding), "skew-does-not-add-up"),
        *_first(_lost_margin_changes(modified, tables["MarginTransferred"], funding), "lost-margin-change"),
        *_first(_other_margins(before_each(tables)), "margin-does-not-add-up"),
    ]


def _first(found: Iterator[tuple[str, str, str]], code: str) -> Iterator[Finding]:
    """Findings of one kind from (place, sentence, blocks to pull again)."""
    listed = list(found)
    for where, what, blocks in listed[:MOST]:
        yield Finding("error", where, what, ADVICE.format(blocks), stops=code == "lost-liquidation", code=code)
    if len(listed) > MOST:
        yield Finding("error", "the input", f"There are {len(listed) - MOST} more such places.", ADVICE.format(""), code=code)


def _place(row: Mapping[str, object]) -> str:
    return f"tx {row['transaction_hash']} log {row['log_index']}"


def _between(row: Mapping[str, object]) -> str:
    """The blocks between an event and the one before it, whose block is `last_block` (null: none is in the input)."""
    return (
        f", blocks {row['last_block']} to {row['block_number']}"
        if row["last_block"] is not None
        else f" before block {row['block_number']}"
    )


def _lost_liquidations(modified: pl.DataFrame, liquidated: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """A position was liquidated, but the log that says so is missing."""
    alone = modified.filter(GONE).join(liquidated, on=["transaction_hash", *POSITION, "id"], how="anti", maintain_order="left")
    for row in alone.iter_rows(named=True):
        what = f"Position {row['id']} of {row['trader']} ends without a trade, so it was liquidated, but its PositionLiquidated is missing."
        yield _place(row), what, f", block {row['block_number']}"


def _lost_flags(liquidated: pl.DataFrame, flagged: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """A position was liquidated by the rules of SIP-2005, which need a flag, but the log of the flag is missing."""
    by_flag = liquidated.filter(pl.col("flagger_fee").is_not_null())
    for row in by_flag.join(flagged, on=[*POSITION, "id"], how="anti", maintain_order="left").iter_rows(named=True):
        what = f"Position {row['id']} of {row['trader']} was flagged before its liquidation, but its PositionFlagged is missing."
        yield _place(row), what, f" up to block {row['block_number']}"


def _funding_holes(funding: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """The index of the funding sequence does not rise by 1."""
    index, last = pl.col("funding_index"), pl.col("funding_index").shift().over("market")
    line = funding.with_columns(last.alias("last"), pl.col("block_number").shift().over("market").alias("last_block"))
    for row in line.filter(index != last + 1).iter_rows(named=True):
        what = f"FundingRecomputed of market {row['market']} has index {row['funding_index']}, but the one before it has {row['last']}."
        yield _place(row), what, _between(row)


def _unknown_entries(modified: pl.DataFrame, funding: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """A position names a funding entry after the last one in the logs before it."""
    known = funding.select("market", *ORDER, pl.col("funding_index").alias("known"))
    both = pl.concat([modified.select(*EVENT, "trader", "id", "funding_index"), known], how="diagonal").sort(ORDER)
    both = both.with_columns(pl.col("known").forward_fill().over("market"))
    for row in both.filter(pl.col("trader").is_not_null() & (pl.col("id") != 0) & (pl.col("funding_index") > pl.col("known"))).iter_rows(
        named=True
    ):
        what = f"The position of {row['trader']} is at funding index {row['funding_index']}, but the last FundingRecomputed has {row['known']}."
        yield _place(row), what, f" up to block {row['block_number']}"


def _id_holes(modified: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """A position that is opened does not have the id after the last one's, or one that goes on has another id."""
    opens = (pl.col("trade_size") != 0) & (pl.col("size") == pl.col("trade_size"))
    opened = modified.filter(opens).with_columns(
        pl.col("id").shift().over("market").alias("last"), pl.col("block_number").shift().over("market").alias("last_block")
    )
    for row in opened.filter(pl.col("id") != pl.col("last") + 1).iter_rows(named=True):
        what = f"Position {row['id']} of market {row['market']} is opened, but the one opened before it is position {row['last']}."
        yield _place(row), what, _between(row)
    held = modified.with_columns(
        pl.col("id").shift().over(POSITION).alias("last"),
        (pl.col("size").shift().over(POSITION) != 0).alias("was_open"),
        pl.col("block_number").shift().over(POSITION).alias("last_block"),
    )
    for row in held.filter(~opens & pl.col("was_open") & (pl.col("id") != pl.col("last"))).iter_rows(named=True):
        what = f"{row['trader']} has position {row['id']}, but held position {row['last']} at the event before it."
        yield _place(row), what, _between(row)


def _skew_jumps(modified: pl.DataFrame, liquidated: pl.DataFrame, funding: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """An event states another skew than the trades and liquidations in the logs make."""
    sizes = liquidated.select("transaction_hash", *POSITION, "id", pl.col("size").alias("closed"))
    line = modified.join(sizes, on=["transaction_hash", *POSITION, "id"], how="left", maintain_order="left")
    closed = pl.coalesce("closed", pl.col("size").shift().over(POSITION), "size")  # a lost PositionLiquidated is reported elsewhere
    line = line.with_columns(pl.when(GONE).then(-closed).otherwise("trade_size").alias("change"))
    line = line.with_columns(
        pl.col("change").cum_sum().over("market").alias("traded"), pl.col("block_number").shift().over("market").alias("last_block")
    )
    stated = line.filter(pl.col("skew").is_not_null()).with_columns((pl.col("skew") - pl.col("traded")).alias("start"))
    # Logs from the market's first on begin with a skew of 0; others with a skew that nothing checks.
    whole = funding.group_by("market", maintain_order=True).agg(pl.col("funding_index").first() == 1)
    start = stated.join(whole.rename({"funding_index": "whole"}), on="market", how="left", maintain_order="left").with_columns(
        pl.coalesce(pl.col("start").shift().over("market"), pl.when("whole").then(pl.lit(0))).alias("last")
    )
    for row in start.filter(pl.col("start") != pl.col("last")).iter_rows(named=True):
        made = row["skew"] - row["start"] + row["last"]
        what = f"Market {row['market']} has a skew of {row['skew']:f} after this event, but the trades in the logs make {made:f}."
        yield _place(row), what, _between(row)


def _lost_margin_changes(modified: pl.DataFrame, transferred: pl.DataFrame, funding: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Margin was moved, but one of the two logs of it is missing."""
    here = ["transaction_hash", *POSITION]
    for row in transferred.join(modified, on=here, how="anti", maintain_order="left").iter_rows(named=True):
        what = f"{row['trader']} moved {row['margin_delta']:f} of margin, but the PositionModified after it is missing."
        yield _place(row), what, f", block {row['block_number']}"
    # A move of margin logs the two one behind the other. An order, which moves margin too, logs a funding entry in the first one's place.
    before = pl.concat([frame.select("market", "block_number", pl.col("log_index") + 1) for frame in (transferred, funding)])
    moved = modified.filter((pl.col("trade_size") == 0) & ~GONE)
    for row in moved.join(before, on=before.columns, how="anti", maintain_order="left").iter_rows(named=True):
        what = f"The margin of {row['trader']} became {row['margin']:f} without a trade, but the log directly before, of what moved it, is missing."
        yield _place(row), what, f", block {row['block_number']}"


def _other_margins(line: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """A trade stores another margin than the event before it makes with profit, funding and fee."""
    made = pl.when(pl.col("size_before") == 0).then("margin_before").otherwise("remaining") - pl.col("fee")
    line = line.with_columns(made.alias("made"), pl.col("block_number").shift().over(POSITION).alias("last_block"))
    continues = pl.col("size_expected") == pl.col("size_before")  # where it does not, gaps names the place
    for row in line.filter((pl.col("trade_size") != 0) & continues & (pl.col("margin") != pl.col("made"))).iter_rows(named=True):
        what = f"The trade of {row['trader']} leaves a margin of {row['margin']:f}, but the event before it makes {row['made']:f}."
        yield _place(row), what, _between(row)
