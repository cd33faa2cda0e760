"""Histories larger than memory: events on disk and in memory give the same run."""

import random
from pathlib import Path

import polars as pl
import pytest

from perpcomp import pipeline
from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.ingest import json_lines, spill
from perpcomp.ingest.consistency import Consistency
from perpcomp.ingest.exports import read
from perpcomp.input import Input
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1.events import TOPICS
from tests.conftest import LAB
from tests.raw_logs import read_logs


@pytest.mark.parametrize("rows", [0, 1, 50])
def test_events_on_disk_give_the_same_run(rows: int, rehearsal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", 40_000)
    monkeypatch.setattr(spill.Spill.__init__, "__defaults__", (rows,))
    again = pipeline.compute(rehearsal.incident, rehearsal.input)
    assert again.events.spill is not None
    assert any(len(files) > 3 for files in again.events.spill.files.values())
    for name in ("liquidations", "payouts", "claims", "comparison", "left_out", "findings"):
        assert getattr(again, name).equals(getattr(rehearsal, name)), name
    assert again.events.table.equals(rehearsal.events.table)
    assert {n: t.sort("block_number", "log_index") for n, t in again.events.others.items()}.keys() == rehearsal.events.others.keys()


def test_pieces_out_of_order_are_sorted(rehearsal: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    lines = gzip.decompress((incident_file.shelf() / "rehearsal" / "logs.jsonl.gz").read_bytes()).splitlines()
    random.Random(1).shuffle(lines)
    (tmp_path / "logs.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", 40_000)
    monkeypatch.setattr(spill.Spill.__init__, "__defaults__", (10,))
    again = pipeline.compute(rehearsal.incident, Input(tmp_path / "logs.jsonl", None))
    assert again.events.table.equals(rehearsal.events.table)
    assert again.payouts.equals(rehearsal.payouts)


def test_a_parquet_file_is_read_piece_by_piece(large: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [large.incident.chain.clearing_house, *(m.amm for m in large.incident.markets)]
    raw = read_logs(LAB / "large" / "logs.jsonl.gz", wanted, TOPICS)
    raw.write_parquet(tmp_path / "logs.parquet", row_group_size=5_000)
    monkeypatch.setattr(read, "PART", 7_000)
    monkeypatch.setattr(spill.Spill.__init__, "__defaults__", (10_000,))
    again = pipeline.compute(large.incident, Input(tmp_path / "logs.parquet", None))
    assert again.liquidations.equals(large.liquidations)
    assert again.left_out.equals(large.left_out)


def test_a_log_in_two_pieces_is_found(rehearsal: Run) -> None:
    raw = read_logs(incident_file.shelf() / "rehearsal" / "logs.jsonl.gz", [rehearsal.incident.chain.clearing_house], TOPICS)
    consistency = Consistency("x.jsonl")
    consistency.add(raw.head(10))
    consistency.add(raw.slice(9, 10))
    with pytest.raises(InputError, match=r"x\.jsonl row .*: Log .* is listed twice"):
        consistency.check()


def test_a_block_with_two_hashes_in_two_pieces_is_found(rehearsal: Run) -> None:
    raw = read_logs(incident_file.shelf() / "rehearsal" / "logs.jsonl.gz", [rehearsal.incident.chain.clearing_house], TOPICS)
    block = raw.group_by("block_number", maintain_order=True).len().filter(pl.col("len") > 1)["block_number"][0]
    mine = raw.filter(block_number=block)
    consistency = Consistency("x.jsonl")
    consistency.add(mine.head(1))
    consistency.add(mine.slice(1).with_columns(pl.lit("0x" + "ab" * 32).alias("block_hash")))
    with pytest.raises(InputError, match=f"Block {block} has more than one timestamp or hash"):
        consistency.check()
