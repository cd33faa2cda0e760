"""Raw logs judged by whole columns are what the reader of single cells makes of them; what that one refuses is never accepted."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.findings import InputError
from perpcomp.ingest.exports import cryo
from perpcomp.ingest.exports.plain_logs import plain_logs
from perpcomp.ingest.exports.raw_logs import raw_frame
from perpcomp.ingest.exports.read import foreign_pieces
from perpcomp.ingest.exports.sheet import Sheet, to_sheet
from tests.test_exports import DIRECT, WANTED

OTHER = "0x" + "ab" * 20
FEW = DIRECT.drop("row", "topics").head(40)
PAST = datetime(1, 1, 1, tzinfo=UTC)
# What may stand in a cell of each column instead, right or wrong.
SPOILT: dict[str, list[Any]] = {
    "address": [None, "", OTHER, OTHER.upper(), OTHER[2:], OTHER + "0", FEW["address"][0].upper(), FEW["address"][0] + "\n"],
    "topic0": [None, "", "0x" + "1" * 64, "0x" + "A" * 64, "0x" + "1" * 63, FEW["topic0"][0][:-1] + "g", WANTED.refused[0] + "0" * 56],
    "topic1": [None, b"", bytes(31), bytes(32), b"\1" * 33],
    "topic2": [None, b"", bytes(64)],
    "data": [None, b"", b"\0"],
    "block_number": [None, -1, 0, 2**40, 2**40 - 1, 2**62],
    "block_time": [None, PAST, datetime(2021, 1, 1, 0, 0, 0, 1, UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)],
    "block_hash": [None, "", "0x" + "0" * 64, "0x" + "F" * 64, "0x" + "0" * 65],
    "transaction_hash": [None, "", "0x" + "0" * 64, "0x" + "F" * 64, "0X" + "0" * 64],
    "transaction_index": [None, -1, 10**18 - 1, 10**18],
    "log_index": [None, -1, 2**20, 2**20 - 1],
}


def sheet_of(frame: pl.DataFrame) -> Sheet:
    return to_sheet("logs.parquet", frame, 1, str)


def by_cells(frame: pl.DataFrame) -> pl.DataFrame | None:
    """What the reader of single cells makes of it; None where it refuses."""
    try:
        return raw_frame(cryo.LOGS, sheet_of(frame), WANTED, {}, 0)
    except InputError:
        return None


FAULTS = [(name, value) for name, values in SPOILT.items() for value in values]


def agree(spoilt: list[tuple[int, tuple[str, Any]]]) -> bool:
    """Whether the logs with these cells are read by whole columns; both readers then give the same."""
    frame = FEW
    for row, (name, value) in spoilt:
        cell = pl.lit(value, dtype=frame.schema[name])
        frame = frame.with_columns(pl.when(pl.int_range(pl.len()) == row).then(cell).otherwise(name).alias(name))
    plain, named = plain_logs([sheet_of(frame)], WANTED), by_cells(frame)
    if plain is None:
        return False
    assert named is not None
    assert plain.equals(named)
    assert plain.schema == named.schema
    return True


def test_both_readers_agree_on_each_spoilt_cell() -> None:
    assert agree([])
    assert 0 < sum(agree([(5, fault)]) for fault in FAULTS) < len(FAULTS)
    assert agree([(5, ("address", OTHER))]), "another contract's log is left out"
    assert 0 < sum(agree([(5, ("address", OTHER)), (5, fault)]) for fault in FAULTS) < len(FAULTS)


@pytest.mark.property
@given(st.lists(st.tuples(st.integers(0, FEW.height - 1), st.sampled_from(FAULTS)), max_size=3))
def test_both_readers_agree_on_spoilt_logs(spoilt: list[tuple[int, tuple[str, Any]]]) -> None:
    agree(spoilt)


@pytest.mark.parametrize(
    "changed",
    [
        FEW.with_columns(removed=pl.lit(True)),
        FEW.with_columns(chain_id=pl.lit(1)),
        FEW.with_columns(pl.col("block_number").cast(pl.Float64)),
        FEW.with_columns(pl.col("data").bin.encode("hex")),
        FEW.with_columns(pl.col("block_time").dt.replace_time_zone(None)),
        FEW.drop("transaction_index"),
        FEW.drop("block_hash"),
        FEW.drop("topic2"),
    ],
)
def test_other_columns_are_left_to_the_reader_of_cells(changed: pl.DataFrame) -> None:
    assert plain_logs([sheet_of(changed)], WANTED) is None


def test_a_third_topic_counts() -> None:
    plain = plain_logs([sheet_of(given := FEW.with_columns(topic3=pl.lit(bytes(32))))], WANTED)
    named = by_cells(given)
    assert plain is not None
    assert named is not None
    assert plain.equals(named)
    assert plain["topics"].max() == 4


def test_small_files_are_read_together_and_a_bad_row_is_named_in_its_file(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.parquet" for n in range(4)]
    for n, file in enumerate(files):
        DIRECT.drop("row", "topics").slice(n * 100, 100).write_parquet(file)
    pieces = foreign_pieces(files, WANTED, {})
    assert pieces is not None
    assert not isinstance(pieces, dict)
    (whole,) = [piece() for piece in pieces]
    assert whole["row"].to_list() == list(range(1, 401))
    assert whole.equals(DIRECT.head(400).with_columns(row=whole["row"]))

    bad = pl.read_parquet(files[2]).with_columns(log_index=pl.when(pl.int_range(pl.len()) == 7).then(-1).otherwise("log_index"))
    bad.write_parquet(files[2])
    pieces = foreign_pieces(files, WANTED, {})
    assert pieces is not None
    assert not isinstance(pieces, dict)
    with pytest.raises(InputError) as error:
        [piece() for piece in pieces]
    assert [one.where for one in error.value.problems] == ["2.parquet row 8"]
