"""The store of fetched logs: segments of raw logs named by their hash, and a journal of the blocks that they cover.

A kill at any moment leaves a complete segment with its journal line, or neither: a segment is written to a temporary name, synced and
renamed, and only then its line is appended and synced. An incomplete last line is cut off, and a segment whose hash is not its name is
fetched again. Nothing is changed in place.
"""

import hashlib
import io
import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import polars as pl

from perpcomp import progress
from perpcomp.engine import LOCAL, Engine
from perpcomp.findings import NETWORK, refusal
from perpcomp.ingest.raw_frame import BLOCKS, RAW_SCHEMA, Piece
from perpcomp.tables.schema import CSV_TIME
from perpcomp.writing import replacing, write_synced, write_whole

FORMAT = "perpcomp-store-v1"
JOURNAL = "journal.jsonl"
LOGS = "logs.parquet"
RANGE = "range.json"
Block = Annotated[int, msgspec.Meta(ge=0, lt=BLOCKS)]
Seconds = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
Time = Annotated[str, msgspec.Meta(max_length=20)]
ROWS_AT_ONCE = 100_000  # rows of a row group, read at a time
# How Parquet is written. Statistics of hex text are useless and left out.
LAYOUT: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "statistics": False, "row_group_size": ROWS_AT_ONCE}


@dataclass(frozen=True)
class Subject:
    """The logs that a store holds: those of these contracts (of all, where none is listed) and topics on this chain."""

    chain_id: int
    genesis: str
    addresses: tuple[str, ...]
    topics: tuple[str, ...]


@dataclass(frozen=True)
class Segment:
    """Consecutive blocks whose logs the store holds. The hashes are those of the first block's parent and of the last block."""

    first: int
    last: int
    parent_hash: str
    last_hash: str
    rows: int
    sha256: str  # of its file, or "" where it has no rows


class Store:
    """A folder of segments, for one writer at a time. Readers see only complete segments."""

    def __init__(self, folder: Path, subject: Subject) -> None:
        self.folder, self.subject = folder, subject
        self.segments: list[Segment] = []
        self._open()

    @property
    def place(self) -> Path:
        """Where the files of segments lie."""
        return self.folder / "segments"

    def missing(self, ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The ranges among these that no segment covers."""
        held = {(s.first, s.last) for s in self.segments}
        return [r for r in ranges if r not in held]

    def add(self, first: int, last: int, parent_hash: str, last_hash: str, logs: pl.DataFrame) -> None:
        """Keep the logs of consecutive blocks as a segment."""
        digest = ""
        if logs.height:
            data = _parquet(logs)
            digest = hashlib.sha256(data).hexdigest()
            write_whole(self._file(digest), data)
        self.keep(Segment(first, last, parent_hash, last_hash, logs.height, digest))

    def keep(self, segment: Segment) -> None:
        """List a segment whose file is in the folder."""
        self._append({"segment": asdict(segment)})
        self.segments.append(segment)

    def check_seen(self, segments: list[Segment]) -> None:
        """InputError (exit 3) where this process does not see the file of a segment that another process wrote into the folder."""
        for segment in segments:
            if not self._is_whole(segment):
                what = f"The file of blocks {segment.first} to {segment.last}, which a worker wrote, is not here."
                raise refusal(str(self.place), what, "Name a folder with --store that this process and all workers see.", NETWORK)

    def drop(self, segment: Segment) -> None:
        """Remove a segment that a reorganisation changed."""
        self._append({"dropped": asdict(segment)})
        self.segments.remove(segment)

    def holding(self, ranges: list[tuple[int, int]]) -> list[Segment]:
        """The held segments of these ranges, in their order."""
        held = {(s.first, s.last): s for s in self.segments}
        return [held[r] for r in ranges if r in held]

    def logs_of(self, segment: Segment) -> pl.LazyFrame:
        """The raw frame of a held segment."""
        return pl.scan_parquet(self._file(segment.sha256), glob=False) if segment.rows else pl.LazyFrame(schema=RAW_SCHEMA)

    def logs(self, ranges: list[tuple[int, int]]) -> pl.DataFrame:
        """The raw frame of these ranges, in order. Their segments must all be held."""
        parts = [pl.read_parquet(self._file(segment.sha256)) for segment in self.holding(ranges) if segment.rows]
        whole = pl.concat([pl.DataFrame(schema=RAW_SCHEMA), *parts])
        return whole.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("row"))

    def write_range(self, ranges: list[tuple[int, int]], stated: dict[str, Any], engine: Engine = LOCAL) -> dict[str, Any]:
        """Write the logs of these ranges to one file, and the statement about it to another. Returns the statement, with the file's hash."""
        files = [self._file(segment.sha256).resolve() for segment in self.holding(ranges) if segment.rows]
        (digest,) = engine.map(partial(_write_logs, (self.folder / LOGS).resolve()), [files])
        stated = {**stated, "sha256": digest}
        write_whole(self.folder / RANGE, json.dumps(stated, sort_keys=True).encode())
        return stated

    def _open(self) -> None:
        """Make the folder, and read its journal."""
        self.place.mkdir(parents=True, exist_ok=True)
        path = self.folder / JOURNAL
        stated = {"format": FORMAT, **json.loads(json.dumps(asdict(self.subject)))}
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        entries = [entry for line in lines if (entry := _checked(line)) is not None]
        if not entries:
            if any(self.place.iterdir()) and lines:
                raise refusal(str(path), "The journal cannot be read.", "Remove the store's folder, and fetch the logs again.")
            path.unlink(missing_ok=True)
            self._append({"store": stated})
            return
        if entries[0].get("store") != stated:
            held = entries[0].get("store") or {}
            differs = [key for key in stated if held.get(key) != stated[key]]
            what = f"The store holds logs with other {', '.join(differs)}."
            raise refusal(str(self.folder), what, "Choose another folder with --store, or remove this one.")
        for entry in entries[1:]:
            if "segment" in entry:
                segment = Segment(**entry["segment"])
                if self._is_whole(segment):
                    self.segments.append(segment)
            elif "dropped" in entry:
                self.segments = [s for s in self.segments if s != Segment(**entry["dropped"])]
        whole = b"".join(line + b"\n" for line in lines if _checked(line) is not None)
        if whole != path.read_bytes():  # the last line is incomplete
            write_whole(path, whole)

    def _is_whole(self, segment: Segment) -> bool:
        if not segment.sha256:
            return segment.rows == 0
        path = self._file(segment.sha256)
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == segment.sha256

    def _file(self, sha256: str) -> Path:
        return self.place / f"{sha256}.parquet"

    def _append(self, entry: dict[str, Any]) -> None:
        body = json.dumps(entry, sort_keys=True)
        line = json.dumps({"sum": hashlib.sha256(body.encode()).hexdigest()[:16], "entry": body}) + "\n"
        write_synced(self.folder / JOURNAL, line.encode(), "ab")


class Unlisted(Store):
    """The folder of a store to a worker: it adds files of segments, and another process keeps the journal. It makes no folder: where the
    storage is missing, writing fails.
    """

    def _open(self) -> None:
        pass

    def _append(self, entry: dict[str, Any]) -> None:
        pass


def _write_logs(path: Path, segments: list[Path]) -> str:
    """Write the rows of segments, numbered again, to one file of the same bytes as `_parquet` gives them. Returns its sha256."""
    with replacing(path) as file:
        if len(segments) == 1:
            file.write(segments[0].read_bytes())
        elif segments:  # a part at a time: they may be more than memory holds
            rows = pl.scan_parquet(segments, glob=False).drop("row").with_row_index("row", 1).cast({"row": pl.Int64})
            rows.sink_parquet(file, **LAYOUT)
        else:
            file.write(_parquet(pl.DataFrame(schema=RAW_SCHEMA)))
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _parquet(logs: pl.DataFrame) -> bytes:
    """The rows, numbered, as Parquet bytes."""
    numbered = logs.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("row"))
    buffer = io.BytesIO()
    numbered.write_parquet(buffer, **LAYOUT)
    return buffer.getvalue()


class _Stated(msgspec.Struct):
    """What a store states of its range. `asked` is {"blocks": [first, last]}, or {"window": [from, to, first block]} in times or blocks."""

    first: Block
    last: Block
    sha256: str
    asked: dict[str, list[Block | Time | None]] = {}  # msgspec copies it
    final: bool = False
    proved: dict[str, tuple[Block, str]] = {}
    from_time: Seconds | None = None
    until_time: Seconds | None = None


def read_range(folder: Path) -> dict[str, Any]:
    """The statement about the range in this folder; empty where it is absent, damaged or none."""
    try:
        stated: dict[str, Any] = json.loads((folder / RANGE).read_bytes())
        read = msgspec.convert(stated, _Stated)
        for text in (one for asked in read.asked.values() for one in asked if isinstance(one, str)):
            datetime.strptime(text, CSV_TIME)
    except (ValueError, OSError, RecursionError):
        return {}
    return stated


def own_pieces(file: Path, addresses: Collection[str] | None) -> Iterator[Piece] | None:
    """The raw frames of a file that write_range wrote, checked when it was fetched. None for any other or a changed file.

    `addresses` are the contracts whose logs are kept; None keeps all.
    """
    return _own_pieces(file, None if addresses is None else frozenset(addresses)) if states_range_of(file) else None


def states_range_of(file: Path) -> bool:
    """Whether write_range wrote this file, and the statement beside it is of these bytes."""
    if file.name != LOGS or not file.is_file():
        return False
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == read_range(file.parent).get("sha256")


def own_rows(addresses: frozenset[str], path: Path, start: int, stop: int, _: dict[int, int]) -> Iterator[pl.DataFrame]:
    """The raw frames of the rows from `start` to before `stop` of a file that write_range wrote."""
    for first in range(start, stop, ROWS_AT_ONCE):
        yield _logged_by(pl.scan_parquet(path, glob=False).slice(first, min(ROWS_AT_ONCE, stop - first)).collect(), addresses)


def _own_pieces(file: Path, addresses: frozenset[str] | None) -> Iterator[Piece]:
    lazy = pl.scan_parquet(file, glob=False)
    rows = lazy.select(pl.len()).collect().item()
    for start in range(0, rows, ROWS_AT_ONCE):
        progress.advance(file.stat().st_size * min(ROWS_AT_ONCE, rows - start) // rows)
        yield partial(_logged_by, lazy.slice(start, ROWS_AT_ONCE).collect(), addresses)


def _logged_by(raw: pl.DataFrame, addresses: frozenset[str] | None) -> pl.DataFrame:
    return raw if addresses is None else raw.filter(pl.col("address").is_in(list(addresses)))


def _checked(line: bytes) -> dict[str, Any] | None:
    """The entry of a journal line; None where the line is incomplete or contradicts its checksum."""
    try:
        outer = json.loads(line)
        if hashlib.sha256(outer["entry"].encode()).hexdigest()[:16] != outer["sum"]:
            return None
        entry: dict[str, Any] = json.loads(outer["entry"])
    except (ValueError, KeyError, TypeError):
        return None
    return entry
