"""Decoded events of any number: in memory while they are few, otherwise on disk and read lazily.

An incident's history may be larger than memory, but a run needs little of it: the positions that were liquidated, and the events in
the window. So pieces are decoded one by one, and later stages read only what they need.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from perpcomp.tables.schema import rising

IN_MEMORY = 200_000  # rows of all tables together that stay in memory
SORTED = ("block_number", "log_index")


class Spill:
    """Tables that grow piece by piece. The files on disk are deleted with this object."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self.in_memory = in_memory
        self.rows = 0
        self.pieces: dict[str, list[pl.DataFrame]] = {}
        self.files: dict[str, list[Path]] = {}
        self.last: dict[str, tuple[int, int]] = {}
        self.in_order: dict[str, bool] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def add(self, tables: Mapping[str, pl.DataFrame]) -> None:
        """Add a piece to each table."""
        for name, frame in tables.items():
            piece = frame if rising(frame, SORTED) else frame.sort(SORTED)
            if piece.height:
                first, last = ((piece.item(n, SORTED[0]), piece.item(n, SORTED[1])) for n in (0, -1))
                self.in_order[name] = self.in_order.get(name, True) and self.last.get(name, (-1, -1)) < first
                self.last[name] = last
            if piece.height or name not in self.pieces:
                self.pieces.setdefault(name, []).append(piece)
            self.rows += piece.height
        if self.rows > self.in_memory:
            self._write()

    def tables(self) -> dict[str, pl.LazyFrame]:
        """Every table, lazily, sorted by block and log index."""
        found = {}
        for name, pieces in self.pieces.items():
            parts = [pl.scan_parquet(file) for file in self.files.get(name, [])] + [piece.lazy() for piece in pieces]
            table = pl.concat(parts)
            # Almost every input is in order. Another one is sorted in memory.
            found[name] = table if self.in_order.get(name, True) else table.sort(SORTED).collect().lazy()
        return found

    def _write(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="perpcomp-")
        for name, pieces in self.pieces.items():
            rows = pl.concat(pieces)
            if rows.height:
                files = self.files.setdefault(name, [])
                files.append(Path(self._folder.name) / f"{name}-{len(files):05}.parquet")
                rows.write_parquet(files[-1], compression="uncompressed", statistics=False)  # the files are read soon, and once or twice
            self.pieces[name] = [rows.clear()]
        self.rows = 0
