"""A subgraph's JSON answers as sheets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from perpcomp.findings import Finding, InputError, refusal
from perpcomp.ingest.exports.sheet import LOST, Sheet, to_sheet

PAGE = 1000  # rows of a list that a subgraph answers at most, and that the GraphQL document asks for


def subgraph_answers(path: Path) -> Iterator[Sheet]:
    """The lists of one answer of a subgraph, or of a JSON list of answers."""
    loaded = msgspec.json.decode(path.read_bytes())
    for answer in loaded if isinstance(loaded, list) else [loaded]:
        if not isinstance(answer, dict) or answer.get("errors"):
            raise refusal(path.name, "is no good answer of a subgraph.", "Save the whole answer to queries/perpetual-v1.subgraph.graphql.")
        lists = answer["data"] if isinstance(answer.get("data"), dict) else answer
        for key, rows in lists.items():
            if key != "_meta":
                yield _list(path, key, rows)


def _list(path: Path, key: str, rows: Any) -> Sheet:
    name = f"{path.name} {key}"
    if not key.endswith("Events") or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise refusal(name, "is no list of events.", "Known: positionChangedEvents, positionLiquidatedEvents, marginChangedEvents.")
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
    return to_sheet(
        name, pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String)), 1, (key[0].upper() + key[1:]).removesuffix("Events")
    )


def check_pages(label: str, sheets: list[Sheet]) -> None:
    """A subgraph gives 1000 rows of a list at most and does not say that there are more: the last page of each must be short."""
    for event in dict.fromkeys(sheet.event for sheet in sheets if sheet.event):
        pages = [sheet.frame.height for sheet in sheets if sheet.event == event]
        if all(height == PAGE for height in pages):
            what = f"every answer has {PAGE} rows of {event}, as many as a subgraph gives at once: there may be more."
            raise refusal(label, what, "Ask again behind the last id, and give all answers together, the last one too.")
