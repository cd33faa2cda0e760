"""Where fetched logs are kept: segments of raw logs named by their own hash, and a journal that says which blocks they cover.

A kill at any moment leaves either a whole segment with its journal line, or neither: a segment is written to a temporary name, synced
and renamed, and only then is its line appended and synced. A torn last line is cut off, a segment whose bytes are not its name is
fetched again. Nothing is ever changed in place.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp.findings import refusal
from perpcomp.ingest.logs import RAW_SCHEMA
from perpcomp.tables import to_parquet
from perpcomp.writing import write_synced, write_whole

FORMAT = "perpcomp-store-v1"
JOURNAL = "journal.jsonl"
LOGS = "logs.parquet"


@dataclass(frozen=True)
class Subject:
    """What a store holds: the logs of these contracts and topics on this chain."""

    chain_id: int
    genesis: str
    addresses: tuple[str, ...]
    topics: tuple[str, ...]


@dataclass(frozen=True)
class Segment:
    """A run of blocks whose logs are all here. Hashes are those of its first block's parent and its last block."""

    first: int
    last: int
    parent_hash: str
    last_hash: str
    rows: int
    sha256: str  # of its file, or "" where it has no rows


class Store:
    """A folder of segments. One writer at a time; readers see whole segments only."""

    def __init__(self, folder: Path, subject: Subject) -> None:
        self.folder, self.subject = folder, subject
        self.segments: list[Segment] = []
        (folder / "segments").mkdir(parents=True, exist_ok=True)
        self._read_journal()

    def missing(self, ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Of these ranges, those that no segment covers."""
        held = {(s.first, s.last) for s in self.segments}
        return [r for r in ranges if r not in held]

    def add(self, first: int, last: int, parent_hash: str, last_hash: str, logs: pl.DataFrame) -> None:
        """Keep the logs of a run of blocks."""
        digest = ""
        if logs.height:
            data = to_parquet(logs)
            digest = hashlib.sha256(data).hexdigest()
            write_whole(self.folder / "segments" / f"{digest}.parquet", data)
        segment = Segment(first, last, parent_hash, last_hash, logs.height, digest)
        self._append({"segment": asdict(segment)})
        self.segments.append(segment)

    def drop(self, segment: Segment) -> None:
        """Forget a segment: the chain is no longer what it was."""
        self._append({"dropped": asdict(segment)})
        self.segments.remove(segment)

    def logs(self, first: int, last: int) -> pl.DataFrame:
        """The raw frame of the blocks first to last, in order."""
        wanted = sorted((s for s in self.segments if s.last >= first and s.first <= last and s.rows), key=lambda s: s.first)
        parts = [pl.read_parquet(self.folder / "segments" / f"{s.sha256}.parquet") for s in wanted]
        whole = pl.concat(parts) if parts else pl.DataFrame(schema=RAW_SCHEMA)
        inside = whole.filter(pl.col("block_number").is_between(first, last)).sort("block_number", "log_index")
        return inside.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("row")).select(*RAW_SCHEMA)

    def _read_journal(self) -> None:
        path = self.folder / JOURNAL
        stated = {"format": FORMAT, **json.loads(json.dumps(asdict(self.subject)))}
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        entries = [entry for line in lines if (entry := _checked(line)) is not None]
        if not entries:
            if any(self.folder.joinpath("segments").iterdir()) and lines:
                raise refusal(str(path), "cannot be read.", "Remove the store's folder: it is fetched again.")
            path.unlink(missing_ok=True)
            self._append({"store": stated})
            return
        if entries[0].get("store") != stated:
            held = entries[0].get("store") or {}
            differs = [key for key in stated if held.get(key) != stated[key]]
            what = f"holds logs of another {', '.join(differs)}."
            raise refusal(str(self.folder), what, "Choose another folder with --store, or remove this one.")
        for entry in entries[1:]:
            if "segment" in entry:
                segment = Segment(**entry["segment"])
                if self._is_whole(segment):
                    self.segments.append(segment)
            elif "dropped" in entry:
                self.segments = [s for s in self.segments if s != Segment(**entry["dropped"])]
        whole = b"".join(line + b"\n" for line in lines if _checked(line) is not None)
        if whole != path.read_bytes():  # a kill tore the last line
            write_whole(path, whole)

    def _is_whole(self, segment: Segment) -> bool:
        if not segment.sha256:
            return segment.rows == 0
        path = self.folder / "segments" / f"{segment.sha256}.parquet"
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == segment.sha256

    def _append(self, entry: dict[str, Any]) -> None:
        body = json.dumps(entry, sort_keys=True)
        line = json.dumps({"sum": hashlib.sha256(body.encode()).hexdigest()[:16], "entry": body}) + "\n"
        write_synced(self.folder / JOURNAL, line.encode(), "ab")


def _checked(line: bytes) -> dict[str, Any] | None:
    """A journal line's entry, or None where the line is torn or not what its sum says."""
    try:
        outer = json.loads(line)
        if hashlib.sha256(outer["entry"].encode()).hexdigest()[:16] != outer["sum"]:
            return None
        entry: dict[str, Any] = json.loads(outer["entry"])
    except (ValueError, KeyError, TypeError):
        return None
    return entry
