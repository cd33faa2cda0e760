"""Raw logs of Parquet files, whole and spoilt, read at once and row by row: the same values or the same rows, and how long a whole file takes.

The peer is a reader of single rows: DuckDB, and Python's integers for each word.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import HealthCheck, Phase, given, settings

from tests import test_parquet_rows as rows
from tests.bench.measure import Line, rates

FILES, LOGS, PEER_LOGS = 200, 200_000, 5_000
PART = 200_000  # rows read at a time


def lines() -> Iterator[Line]:
    read, refused = _agreed()
    yield Line(f"{FILES} spoilt Parquet files, both readers", f"{read} read alike", f"{refused} refused by the same rows")
    with TemporaryDirectory() as folder:
        ours, peer = (_repeated(Path(folder) / str(size), size) for size in (LOGS, PEER_LOGS))
        assert rows.at_once(peer, {}, PART) == rows.by_hand(peer, {}, PART, trusted=False)
        rate = rates({
            "ours": (LOGS, lambda: rows.at_once(ours, {}, PART)),
            "peer": (PEER_LOGS, lambda: rows.by_hand(peer, {}, PART, trusted=False)),
        })  # fmt: skip
    mine, theirs = rate["ours"].steady, rate["peer"].steady
    what = f"read {LOGS:,} logs of Parquet into Python's values"
    yield Line(what, f"{mine:,.0f} rows/CPU-s", f"{theirs:,.0f} (row by row)", f"{mine / theirs:.1f} x")


def _agreed() -> tuple[int, int]:
    """How many spoilt files both readers read alike, and how many they refused by the same rows."""
    found: list[bool] = []

    @settings(max_examples=FILES, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck])
    @given(rows.exported())
    def both(made: tuple[pl.DataFrame, dict[int, int], int]) -> None:
        frame, times, part = made
        with TemporaryDirectory() as folder:
            path = Path(folder) / "logs.parquet"
            frame.write_parquet(path)
            at_once = rows.at_once(path, times, part)
            assert at_once == rows.by_hand(path, times, part, trusted=False), "the readers differ"
            found.append(isinstance(at_once, dict))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both()
    return sum(found), len(found) - sum(found)


def _repeated(folder: Path, size: int) -> Path:
    """The logs over and over, each time in later blocks and other transactions."""
    folder.mkdir()
    few, path = rows.FEW.drop("row"), folder / "logs.parquet"
    block, time = pl.col("block_number"), pl.col("block_time")
    copies = [
        few.with_columns(
            block + n * (block.max() - block.min() + 1),
            time + n * (time.max() - time.min()),
            *((pl.lit(f"0x{n:08x}") + pl.col(name).str.slice(10)).alias(name) for name in ("transaction_hash", "block_hash")),
        )
        for n in range(-(-size // few.height))
    ]
    pl.concat(copies).head(size).write_parquet(path)
    return path
