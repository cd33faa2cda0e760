"""Which exporter wrote a file: its columns decide, and its rows become raw frames or typed tables.

What is read is then checked as if a node had sent it. Amounts must be whole base units as text: a float has lost its last digits.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import polars as pl
from msgspec.structs import replace

from perpcomp import progress
from perpcomp.findings import refusal
from perpcomp.ingest.block_times import block_times
from perpcomp.ingest.exports import blockscout, cryo, dune, ethereum_etl, events_table, json_file, node_logs, subgraph, warehouse
from perpcomp.ingest.exports.decoded import typed_parts, typed_tables
from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.plain_logs import plain_logs
from perpcomp.ingest.exports.raw_logs import raw_frame
from perpcomp.ingest.exports.sheet import Sheet, to_sheet
from perpcomp.ingest.raw_frame import Piece
from perpcomp.parquet_file import parquet_rows, refuse_damaged
from perpcomp.text_file import UNREADABLE, read_csv, reason

PART = 200_000  # rows of a Parquet file read at a time

# The first that recognises a table reads it.
EXPORTERS: tuple[Exporter, ...] = (
    dune.LOGS,
    warehouse.LOGS,
    blockscout.CSV,
    cryo.LOGS,
    blockscout.ANSWER,
    node_logs.LOGS,
    ethereum_etl.LOGS,
    events_table.TABLE,
    dune.EVENTS,
    subgraph.EVENTS,
    cryo.EVENTS,
)
ALIASES = {theirs: ours for exporter in EXPORTERS for theirs, ours in exporter.aliases.items()}


def foreign_pieces(paths: Sequence[Path], wanted: Wanted, times: dict[int, int]) -> Iterator[Piece] | dict[str, pl.DataFrame] | None:
    """One export in one or more files: pieces of raw frames, or event name -> typed table as decoding gives it.

    None for perpcomp's own events table, which perpcomp/tables reads. A decoded export gives the events that its columns can hold,
    and null where it lacks block_hash or transaction_index. `times` dates rows without a time. Rows are numbered in each file, and in raw frames through all files. InputError
    lists what is wrong: an unknown format, a missing column, a malformed cell, an amount that was a float, an answer that may be cut
    off. Consistency finds duplicates.
    """
    assert paths
    refuse_damaged([path for path in paths if path.suffix == ".parquet"])
    first = next((_exporter(sheet, wanted) for path in paths for sheet in _sheets(path)), None)
    if first is None:
        raise refusal(_name(paths), "The answer or list holds no row.", "Is it the right file, and were the blocks and addresses right?")
    sheets = ((_exporter(sheet, wanted), sheet) for path in paths for sheet in _sheets(path))
    if first.kind == "raw logs":
        return _raw_pieces(paths, sheets, wanted, times)
    found = list(sheets)
    for exporter, _ in found:
        _same_kind(paths, first, exporter)
    if first.kind == "events table":
        if len(paths) > 1:
            raise refusal(_name(paths), f"The input has {len(paths)} events tables.", "Give one.")
        if ".json" in paths[0].name:
            raise refusal(paths[0].name, "perpcomp's events table is read from CSV and Parquet.", "Give 1-events.csv or 1-events.parquet.")
        return None
    subgraph.check_pages(_name(paths), [sheet for _, sheet in found])
    parts = (part for exporter, sheet in found for part in typed_parts(exporter, sheet, wanted, times))
    return typed_tables(_name(paths), parts, wanted)


def holds_raw_logs(wanted: Wanted, path: Path) -> bool:
    """Whether a Parquet file is an export of raw logs. InputError where its columns are no exporter's, or it holds none."""
    return _exporter(next(_sheets(path)), wanted).kind == "raw logs"


def raw_rows(wanted: Wanted, path: Path, start: int, stop: int, times: dict[int, int]) -> Iterator[pl.DataFrame]:
    """The raw frames of a Parquet file's rows from `start` to before `stop`, as the pieces of `foreign_pieces`.

    InputError where they are not raw logs; what the Parquet library raises where the file is no table.
    """
    for first in range(start, stop, PART):
        frame = parquet_rows(path).slice(first, min(PART, stop - first)).collect()
        sheet = to_sheet(path.name, frame, 1 + first, _our_name)
        _same_kind([path], cryo.LOGS, exporter := _exporter(sheet, wanted))
        yield _raw_frame([(exporter, sheet, 0)], wanted, times)


def _exporter(sheet: Sheet, wanted: Wanted) -> Exporter:
    """The exporter that wrote a table. InputError names the nearest where the columns are none's."""
    for exporter in EXPORTERS:
        if exporter.recognises(sheet, wanted):
            return exporter
    missing = {exporter.name: [name for name in exporter.columns if not sheet.has(name)] for exporter in EXPORTERS}
    nearest = min(EXPORTERS, key=lambda exporter: len(missing[exporter.name]) / len(exporter.columns)).name
    names = list(sheet.theirs.values())
    shown = ", ".join(name[:40] for name in names[:10]) + f" and {len(names) - 10} more" * (len(names) > 10)
    what = f"The columns ({shown or 'none'}) are those of no known export. The nearest is {nearest}, but {', '.join(missing[nearest])} are missing."
    raise refusal(sheet.name, what, f"Known: {'; '.join(exporter.name for exporter in EXPORTERS)}.")


def _same_kind(paths: Sequence[Path], one: Exporter, other: Exporter) -> None:
    if one.kind != other.kind:
        what = f"The files hold {' and '.join(sorted({one.kind, other.kind}))}."
        raise refusal(_name(paths), what, "Give files of one kind; raw logs hold the most.")


def _raw_pieces(paths: Sequence[Path], sheets: Iterable[tuple[Exporter, Sheet]], wanted: Wanted, times: dict[int, int]) -> Iterator[Piece]:
    earlier, name, counted = 0, None, 0
    held, rows = list[tuple[Exporter, Sheet, int]](), 0
    for exporter, sheet in sheets:
        _same_kind(paths, cryo.LOGS, exporter)
        if sheet.name != name:
            earlier, name = counted, sheet.name
        counted += sheet.frame.height
        held.append((exporter, sheet, earlier))
        rows += sheet.frame.height
        if rows >= PART:
            yield partial(_raw_frame, held, wanted, times)
            held, rows = [], 0
    if held:
        yield partial(_raw_frame, held, wanted, times)


def _raw_frame(held: Sequence[tuple[Exporter, Sheet, int]], wanted: Wanted, times: dict[int, int]) -> pl.DataFrame:
    """Sheets, each with the count of rows in earlier files, as one raw frame. Many small files cost no more than few large ones."""
    if not times and all(exporter.plain for exporter, _, _ in held):
        numbered = [replace(sheet, frame=sheet.frame.with_columns(pl.col("row") + earlier)) for _, sheet, earlier in held]
        if (plain := plain_logs(numbered, wanted)) is not None:
            return plain
    return pl.concat([raw_frame(exporter, sheet, wanted, times, earlier) for exporter, sheet, earlier in held])


def _sheets(path: Path) -> Iterator[Sheet]:
    try:
        if ".json" in path.suffixes or ".jsonl" in path.suffixes or ".ndjson" in path.suffixes:
            yield from json_file.sheets(path, _our_name)
        elif path.suffix == ".parquet":
            rows = parquet_rows(path).select(pl.len()).collect().item()
            for start in range(0, max(rows, 1), PART):  # a file may be larger than memory
                progress.advance(path.stat().st_size * min(PART, rows - start) // max(rows, 1))
                yield to_sheet(path.name, parquet_rows(path).slice(start, PART).collect(), 1 + start, _our_name)
        else:  # as text: a guessed schema would turn base units into floats
            yield to_sheet(path.name, read_csv(path), 2, _our_name)
    except (*UNREADABLE, msgspec.MsgspecError, RecursionError) as error:
        raise refusal(path.name, f"The file cannot be read ({reason(error)}).", "Export it again.") from None


def _our_name(column: str) -> str:
    """Our name for a column of any exporter: positionNotional is position_notional, evt_index is log_index."""
    snake_case = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", cryo.argument_name(column)).lower()
    return ALIASES.get(snake_case, snake_case)


def times_of_blocks(blocks: Path) -> dict[int, int]:
    """Block number -> unix seconds, from a block list: JSON lines, or a .csv or .parquet with (block_)number and timestamp."""
    if blocks.suffix not in (".parquet", ".csv"):
        return block_times(blocks)
    refuse_damaged([blocks] if blocks.suffix == ".parquet" else [])
    (sheet,) = _sheets(blocks)
    number = "block_number" if sheet.has("block_number") else "number"
    sheet.require((number, "block_time"), "a table of blocks")
    numbers, seconds = sheet.numbers(number), sheet.seconds()
    sheet.settle()
    return dict(zip(numbers.to_list(), seconds.to_list(), strict=True))


def _name(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"{paths[0].name} to {paths[-1].name}"
