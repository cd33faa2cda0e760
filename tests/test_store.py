"""The store of fetched logs: what it writes does not depend on how the blocks were cut."""

from itertools import pairwise
from pathlib import Path

import polars as pl

from perpcomp.ingest.node.store import LOGS, ROWS_AT_ONCE, Store, Subject
from perpcomp.ingest.raw_frame import RAW_SCHEMA

SUBJECT = Subject(100, "", ("0x" + "aa" * 20,), ("0x" + "bb" * 32,))


def logs(first: int, count: int) -> pl.DataFrame:
    """Raw logs, one a block."""
    blocks = pl.DataFrame({"block_number": range(first, first + count)}, schema={"block_number": pl.Int64()})
    number = pl.col("block_number")
    text = pl.lit("0x") + number.cast(pl.String).str.zfill(64)
    return blocks.select(
        pl.lit(0).alias("row"),
        pl.lit(SUBJECT.addresses[0]).alias("address"),
        pl.lit(SUBJECT.topics[0]).alias("topic0"),
        pl.lit(b"t" * 32).alias("topic1"),
        pl.lit(b"m" * 32).alias("topic2"),
        pl.lit(3).alias("topics"),
        text.cast(pl.Binary).alias("data"),
        "block_number",
        (number * 5_000_000).alias("block_time"),
        text.alias("block_hash"),
        text.alias("transaction_hash"),
        pl.lit(0).alias("transaction_index"),
        (number % 7).alias("log_index"),
    ).cast(RAW_SCHEMA)


def test_the_file_of_a_range_has_the_same_bytes_however_the_range_was_cut(tmp_path: Path) -> None:
    """Also where a segment ends inside a row group, and where one is empty."""
    count = ROWS_AT_ONCE * 5 // 2
    for name, cuts in {"whole": [0, count], "cut": [0, 30_000, 30_001, 170_000, count]}.items():
        store, ranges = Store(tmp_path / name, SUBJECT), [*pairwise(cuts), (count, count + 1)]
        for start, end in ranges:
            store.add(start, end, "0x0", "0x0", logs(start, end - start if start < count else 0))
        store.write_range(ranges, {})
    assert (tmp_path / "cut" / LOGS).read_bytes() == (tmp_path / "whole" / LOGS).read_bytes()
    assert pl.read_parquet(tmp_path / "cut" / LOGS)["row"].to_list() == [*range(1, count + 1)]
