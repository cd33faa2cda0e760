"""Which rows of two published runs differ, cell by cell, by the rows' own keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from perpcomp.number_text import exact
from perpcomp.publish.files import CSV_FILES
from perpcomp.publish.read_back import Published
from perpcomp.tables.schema import CSV_TIME

# file -> the columns that name its rows, where they are not the table's key
COMPARED = {"2-liquidations.csv": ("transaction_hash", "log_index"), "3-payouts.csv": (), "4-claims.csv": (), "payee.csv": ()}


@dataclass(frozen=True)
class Cell:
    """One cell that differs; "absent" on one side where only the other run has the row."""

    file: str
    account: str
    row: str
    column: str
    before: str
    after: str


def cells(before: Published, after: Published) -> Iterator[Cell]:
    """Every cell that differs, file by file."""
    for file, named in COMPARED.items():
        attribute, table = CSV_FILES[file]
        key = named or table.key
        old, new = (_rows(getattr(run, attribute), key) for run in (before, after))
        for name in [*old, *(name for name in new if name not in old)]:
            theirs, ours = old.get(name), new.get(name)
            shown = theirs or ours or {}
            account = str(shown.get("trader") or shown.get("payee"))
            place = " ".join(str(part) for part in name)
            if theirs is None or ours is None:
                yield Cell(file, account, place, "(row)", *("absent" if side is None else "present" for side in (theirs, ours)))
                continue
            for column in theirs:
                if theirs[column] != ours[column]:
                    yield Cell(file, account, place, column, _text(theirs[column]), _text(ours[column]))


def _rows(frame: pl.DataFrame, key: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[name] for name in key): row for row in frame.iter_rows(named=True)}


def _text(value: Any) -> str:
    if value is None:
        return "(empty)"
    if isinstance(value, Decimal):
        return exact(value)
    return value.strftime(CSV_TIME) if isinstance(value, datetime) else str(value)
