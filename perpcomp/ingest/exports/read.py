"""Exports of other tools, recognised by their columns: raw logs to the raw frame, decoded events to typed tables.

Their names and cells are made ours; what is read is then checked as if a node had sent it. Amounts must be whole base units as text:
a float has lost its last digits, and no export says so.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import polars as pl

from perpcomp.findings import refusal
from perpcomp.ingest.exports.decoded import decoded_rows, event_of, typed_tables
from perpcomp.ingest.exports.raw_logs import raw_frame
from perpcomp.ingest.exports.sheet import OURS, SHAPES, Sheet, Wanted, label, to_sheet
from perpcomp.ingest.exports.subgraph import check_pages, subgraph_answers
from perpcomp.ingest.logs import (
    Piece,
    block_times,
    whole,
)

PIECE = 200_000  # rows of a Parquet file read at a time


def read_foreign(paths: Sequence[Path], wanted: Wanted, blocks: Path | None = None) -> pl.DataFrame | dict[str, pl.DataFrame] | None:
    """foreign_pieces, with the pieces of raw logs as one frame: checked as a whole, sorted."""
    found = foreign_pieces(paths, wanted, blocks)
    return found if found is None or isinstance(found, dict) else whole(label(paths), found)


def foreign_pieces(paths: Sequence[Path], wanted: Wanted, blocks: Path | None = None) -> Iterator[Piece] | dict[str, pl.DataFrame] | None:
    """One export in one or more files: pieces of raw frames (RAW_SCHEMA), or event name -> typed table as decoding gives it.

    None where the one file is perpcomp's own events table, which tables.py reads. A decoded export gives the events that its columns
    can hold, and null where it lacks block_hash or transaction_index. `blocks` dates rows without a timestamp: a block list as for
    logs, or a .csv or .parquet with (block_)number and timestamp. Rows are counted in each file, but in the raw frame through all
    of them. InputError lists what is wrong: an unknown shape, a missing column, cells that are none, amounts that were floats, an
    answer that may be cut off; a log that stands twice is for Places to find.
    """
    assert paths
    shape = _shape(next(_sheets(paths[0])), wanted)
    times = _times(blocks) if blocks else {}
    sheets = (sheet for path in paths for sheet in _sheets(path))
    if shape == "raw logs":
        return _raw_pieces(paths, sheets, wanted, times)
    all_sheets = list(sheets)
    for sheet in all_sheets:
        _same_shape(paths, shape, _shape(sheet, wanted))
    if shape == "an events table":
        if len(paths) > 1:
            raise refusal(label(paths), "are several events tables.", "Give one.")
        return None
    check_pages(label(paths), all_sheets)
    return typed_tables(label(paths), [(event, part) for sheet in all_sheets for event, part in decoded_rows(sheet, wanted, times)], wanted)


def _raw_pieces(paths: Sequence[Path], sheets: Iterable["Sheet"], wanted: Wanted, times: dict[int, int]) -> Iterator[Piece]:
    before, name = 0, None
    counted = 0
    for sheet in sheets:
        _same_shape(paths, "raw logs", _shape(sheet, wanted))
        if sheet.name != name:  # rows count on through the files
            before, name = counted, sheet.name
        counted += sheet.frame.height
        yield partial(raw_frame, sheet, wanted, times, before)


def _same_shape(paths: Sequence[Path], one: str, other: str) -> None:
    if one != other:
        raise refusal(label(paths), f"{' and '.join(sorted({one, other}))} stand side by side.", "Give one kind; raw logs say the most.")


def _sheets(path: Path) -> Iterator[Sheet]:
    try:
        if path.suffix == ".json":
            yield from subgraph_answers(path)
        elif path.suffix == ".parquet":
            rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
            for start in range(0, max(rows, 1), PIECE):  # a file may be larger than memory
                yield to_sheet(path.name, pl.scan_parquet(path, glob=False).slice(start, PIECE).collect(), 1 + start)
        else:  # as text: a guessed schema would make floats of base units
            yield to_sheet(path.name, pl.read_csv(path, infer_schema=False, glob=False), 2)
    except (pl.exceptions.PolarsError, msgspec.MsgspecError, OSError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(path.name, f"cannot be read ({str(error).splitlines()[0]}).", "Export it again.") from None


def _times(blocks: Path) -> dict[int, int]:
    """Block number -> unix seconds."""
    if blocks.suffix not in (".parquet", ".csv"):
        return block_times(blocks)
    (sheet,) = _sheets(blocks)
    number = "block_number" if sheet.has("block_number") else "number"
    sheet.require((number, "block_time"), "a table of blocks")
    numbers, seconds = sheet.numbers(number), sheet.seconds()
    sheet.settle()
    return dict(zip(numbers.to_list(), seconds.to_list(), strict=True))


def _shape(sheet: Sheet, wanted: Wanted) -> str:
    """`an events table`, `raw logs` or `decoded events`. Anything else is an InputError that names the nearest known shape."""
    if sheet.has("data") and (sheet.has("topics") or sheet.has("topic0")):
        return "raw logs"
    if sheet.theirs.keys() & set(OURS):
        return "an events table"
    if sheet.event or sheet.has("event"):
        return "decoded events"
    if event_of(sheet, wanted):
        return "decoded events"
    missing = {shape: [n for n in names if not sheet.has(n)] for shape, names in SHAPES.items()}
    nearest = min(SHAPES, key=lambda shape: len(missing[shape]) / len(SHAPES[shape]))
    what = f"has the columns of no known export; the nearest are those of {nearest}, but {', '.join(missing[nearest])} are missing."
    raise refusal(sheet.name, what, f"Known: {'; '.join(SHAPES)}.")
