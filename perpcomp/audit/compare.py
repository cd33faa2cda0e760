"""Comparing one published file with the one that its inputs give: which cells differ."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import polars as pl

from perpcomp.findings import InputError
from perpcomp.publish.workbook import content_digest
from perpcomp.sheet_file import open_book
from perpcomp.sheet_parts import DAMAGED

Cells = list[list[str]]
UNREADABLE = (InputError, *DAMAGED, KeyError)  # what reading a damaged workbook raises


@dataclass(frozen=True)
class Difference:
    """One place where the published run is not what its inputs give."""

    where: str
    published: str
    recomputed: str


def compare(name: str, published: bytes, recomputed: bytes) -> list[Difference]:
    """The differences of one file whose bytes differ.

    CSV files are compared cell by cell, Parquet files by their rows, workbooks by their content digest, all else by its hash. The
    result is empty where another version of a library wrote the same rows or the same content as other bytes.
    """
    if name.endswith(".csv"):
        return list(compare_rows(name, csv_cells(published), csv_cells(recomputed))) or [
            Difference(name, "other bytes", "the same cells: line endings or quotes were changed")
        ]
    if name.endswith(".parquet"):
        return list(_compare_parquet(name, published, recomputed))
    if name.endswith(".xlsx"):
        return list(_compare_workbook(name, published, recomputed))
    return [Difference(name, f"sha256 {sha256(published).hexdigest()}", f"sha256 {sha256(recomputed).hexdigest()}")]


def csv_cells(data: bytes) -> Cells:
    """The cells of a CSV file, its header first. What is no CSV file is one cell a line."""
    text = data.decode("utf-8", "replace")
    try:
        return list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error:
        return [[line] for line in text.splitlines()]


def compare_rows(name: str, published: Cells, recomputed: Cells) -> Iterator[Difference]:
    """Each cell that differs, named by row and column; then other numbers of cells and of rows. The first row is the header."""
    header = recomputed[0]
    for row, (theirs, ours) in enumerate(zip(published, recomputed, strict=False), 1):
        for column, (their, our) in enumerate(zip(theirs, ours, strict=False)):
            if their != our:
                yield Difference(f"{name} row {row} {header[column]}", their or "(empty)", our or "(empty)")
        if len(theirs) != len(ours):
            yield Difference(f"{name} row {row}", f"{len(theirs)} cells", f"{len(ours)} cells")
    if len(published) != len(recomputed):
        yield Difference(name, f"{len(published) - 1} rows", f"{len(recomputed) - 1} rows")


def _compare_parquet(name: str, published: bytes, recomputed: bytes) -> Iterator[Difference]:
    try:
        theirs = pl.read_parquet(io.BytesIO(published))
    except (pl.exceptions.PolarsError, OSError) as error:
        yield Difference(name, f"cannot be read ({str(error).splitlines()[0]})", "a Parquet file")
        return
    ours = pl.read_parquet(io.BytesIO(recomputed))
    if theirs.equals(ours) and theirs.schema == ours.schema:
        return
    found = list(compare_rows(name, _frame_cells(theirs), _frame_cells(ours)))
    yield from found or [Difference(name, f"types {_types(theirs)}", f"types {_types(ours)}")]


def _frame_cells(frame: pl.DataFrame) -> Cells:
    return [list(frame.columns), *([str(cell) for cell in row] for row in frame.iter_rows())]


def _types(frame: pl.DataFrame) -> str:
    return ", ".join(str(dtype) for dtype in frame.dtypes)


def _compare_workbook(name: str, published: bytes, recomputed: bytes) -> Iterator[Difference]:
    try:
        if content_digest(published) == content_digest(recomputed):
            return
        theirs = _by_place(published)
    except UNREADABLE as error:
        yield Difference(name, f"cannot be read ({error})", "a workbook")
        return
    ours = _by_place(recomputed)
    differing = [place for place in {**ours, **theirs} if ours.get(place) != theirs.get(place)]
    for place in differing:
        yield Difference(f"{name} {place}", str(theirs.get(place, "(empty)")), str(ours.get(place, "(empty)")))
    if not differing:
        yield Difference(name, "another content digest", "the same cells: formats, names or properties were changed")


def sheets(data: bytes, results: bool = False) -> dict[str, Sequence[Sequence[Any]]]:
    """Sheet -> its rows of openpyxl cells: their formulas, or the stored results of these."""
    return {sheet.title: list(sheet.iter_rows()) for sheet in open_book(data, "the workbook", results)}


def _by_place(data: bytes) -> dict[str, object]:
    """Every cell of a workbook that holds something: "Sheet!B7" -> its value or formula, "Sheet!B7 result" -> what that gave."""
    found: dict[str, object] = {}
    for results, word in ((False, ""), (True, " result")):
        for name, rows in sheets(data, results).items():
            found |= {f"{name}!{cell.coordinate}{word}": cell.value for row in rows for cell in row if cell.value is not None}
    return {place: value for place, value in found.items() if found.get(place.removesuffix(" result")) != value or " result" not in place}


def compare_json(where: str, published: Any, recomputed: Any) -> list[Difference]:
    """The differences of two JSON values, key by key."""
    if isinstance(published, dict) and isinstance(recomputed, dict):
        keys = sorted({**published, **recomputed})
        return [found for key in keys for found in compare_json(f"{where} {key}", published.get(key), recomputed.get(key))]
    return [] if published == recomputed else [Difference(where, str(published), str(recomputed))]
