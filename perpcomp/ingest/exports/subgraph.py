"""A subgraph: its JSON answers, or its lists of events as CSV or Parquet. An id holds the log's place.

An id is transaction hash-log index as text, or as Bytes the hash and 4 bytes of the index.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.ingest.decode import Event
from perpcomp.ingest.exports.decoded import one_event, told_by_columns
from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.sheet import LOST, Sheet, to_sheet

PAGE = 1000  # the most rows of a list that a subgraph answers, and the number that the GraphQL document asks for


def _has_events(sheet: Sheet, wanted: Wanted) -> bool:
    named_by_id = sheet.has("id", "market") and not sheet.has("transaction_hash")
    return sheet.event is not None or (named_by_id and told_by_columns(sheet, wanted) is not None)


def _one_event(sheet: Sheet, wanted: Wanted) -> Iterator[tuple[Event, Sheet]]:
    by_name = {event.name: event for event in wanted.events}
    event = by_name.get(sheet.event) if sheet.event else told_by_columns(sheet, wanted)
    if event is None:
        what = f"The list holds the event {sheet.event}, which is not read."
        raise refusal(sheet.name, what, near_miss(sheet.event or "", by_name))
    # An answer without rows names no columns.
    yield one_event(_split_id(sheet), event, wanted) if sheet.theirs else (event, sheet)


def _split_id(sheet: Sheet) -> Sheet:
    """The sheet with transaction_hash and log_index from the id."""
    if not sheet.has("id") or sheet.has("transaction_hash"):
        return sheet
    ids = sheet.cells("id", "id")
    sheet.settle()
    index = ids.str.extract("-([0-9]+)$").fill_null(_from_bytes(ids.str.extract("^.{66}([0-9a-f]{8})$")))
    split = sheet.frame.with_columns(ids.str.slice(0, 66).alias("transaction_hash"), index.alias("log_index"))
    named = sheet.theirs | dict.fromkeys(("transaction_hash", "log_index"), sheet.theirs["id"])
    return Sheet(sheet.name, split, named, sheet.event, sheet.problems)


def _from_bytes(words: pl.Series) -> pl.Series:
    """Hex of 4 bytes as a number: `concatI32` writes the lowest byte first."""
    return words.str.decode("hex").bin.reinterpret(dtype=pl.UInt32, endianness="little").cast(pl.String)


EVENTS = Exporter(
    "a subgraph's events (queries/perpetual-v1.subgraph.graphql)",
    "decoded events",
    ("id", "trader", "market", "block_number", "block_time"),
    _has_events,
    {"timestamp": "block_time"},
    event_sheets=_one_event,
)


def answers(file: str, values: Sequence[Any], our_name: Callable[[str], str]) -> Iterator[Sheet]:
    """The lists of the answers of a subgraph in a file of that name, each as a sheet."""
    for answer in values:
        if not isinstance(answer, dict) or answer.get("errors"):
            what = "This is not a complete answer of a subgraph."
            raise refusal(file, what, "Save the whole answer to queries/perpetual-v1.subgraph.graphql.")
        lists = answer["data"] if isinstance(answer.get("data"), dict) else answer
        for key, rows in lists.items():
            if key != "_meta":
                yield _list(f"{file} {key}", key, rows, our_name)


def _list(name: str, key: str, rows: Any, our_name: Callable[[str], str]) -> Sheet:
    if not key.endswith("Events") or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        known = "Known: positionChangedEvents, positionLiquidatedEvents, marginChangedEvents."
        raise refusal(name, f"{key} is not a list of events.", known)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    counts = {"blockNumber", "timestamp", "logIndex"}
    problems = [
        Finding("error", f"{name} row {n}", f"{column} is the JSON number {row[column]!r}.", LOST)
        for n, row in enumerate(rows, 1)
        for column in columns
        if isinstance(row.get(column), float) or (isinstance(row.get(column), int) and column not in counts)
    ]
    if problems:
        raise InputError(problems[:20])
    cells = {c: [None if row.get(c) is None else str(row[c]) for row in rows] for c in columns}
    frame = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String))
    return to_sheet(name, frame, 1, our_name, (key[0].upper() + key[1:]).removesuffix("Events"))


def check_pages(name: str, sheets: Sequence[Sheet]) -> None:
    """InputError where every page of a list is full: a subgraph does not say that there are more rows."""
    for event in dict.fromkeys(sheet.event for sheet in sheets if sheet.event):
        if all(sheet.frame.height == PAGE for sheet in sheets if sheet.event == event):
            what = f"Every answer has {PAGE} rows of {event}, the most that a subgraph gives at once. There may be more."
            raise refusal(name, what, "Ask again after the last id, and give all answers together, the last one too.")
