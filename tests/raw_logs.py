"""A whole input at once, where perpcomp reads it piece by piece: the raw frame of a file of logs, and what an export holds."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import polars as pl

from perpcomp.ingest.consistency import Consistency
from perpcomp.ingest.exports.exporter import Wanted
from perpcomp.ingest.exports.read import foreign_pieces, times_of_blocks
from perpcomp.ingest.log_file import log_pieces
from perpcomp.ingest.raw_frame import Piece, no_logs


def read_logs(
    path: Path, addresses: Collection[str], topics: Collection[str], refused: tuple[str, ...] = (), blocks: Path | None = None
) -> pl.DataFrame:
    """The raw frame of a file of logs, checked as a whole and in order."""
    return _joined(path.name, log_pieces([path], addresses, topics, refused, times_of_blocks(blocks) if blocks else {}))


def read_export(paths: Sequence[Path], wanted: Wanted, blocks: Path | None = None) -> pl.DataFrame | dict[str, pl.DataFrame] | None:
    """foreign_pieces, with the pieces of raw logs as one frame, checked as a whole and in order."""
    found = foreign_pieces(paths, wanted, times_of_blocks(blocks) if blocks else {})
    name = paths[0].name if len(paths) == 1 else f"{paths[0].name} to {paths[-1].name}"
    if not isinstance(found, dict):
        return None if found is None else _joined(name, found)
    consistency = Consistency(name)
    for table in found.values():
        consistency.add(table)
    consistency.check()
    return {event: table.drop("row").sort("block_number", "log_index") for event, table in found.items()}


def _joined(name: str, pieces: Iterable[Piece]) -> pl.DataFrame:
    consistency, parts = Consistency(name), []
    for piece in pieces:
        parts.append(piece())
        consistency.add(parts[-1])
    consistency.check()
    raw = pl.concat(parts) if parts else no_logs()
    return raw.sort("block_number", "log_index")
