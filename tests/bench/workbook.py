"""The workbook of 5,000 traders, and XlsxWriter writing cells like its own one by one, as a program does that has no other way."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import xlsxwriter
from msgspec.structs import replace

from perpcomp.publish.workbook import workbook
from perpcomp.publish.workbook.book import planned
from perpcomp.publish.workbook.forms import FORMS, LOCKED
from perpcomp.publish.workbook.plan import Book, Cell
from perpcomp.publish.workbook.write import written
from perpcomp.run import Run
from tests import build
from tests.bench.measure import Line, rates

TRADERS, PEER_TRADERS, COLUMNS = 5_000, 500, 24
SECONDS = 0.3

Rows = Sequence[Sequence[Cell]]


def lines() -> Iterator[Line]:
    with TemporaryDirectory() as place:  # which holds the inputs, whose hashes the workbook states
        folders = [Path(place) / str(count) for count in (TRADERS, PEER_TRADERS)]
        for folder in folders:
            folder.mkdir()
        run, small = (made(folder, int(folder.name)) for folder in folders)
        plan, dated = planned(run), run.incident.eligibility.end.replace(tzinfo=None)
        assert workbook(run) == written(plan, dated), "other bytes"
        smaller = planned(small)
        few, fewer = _widest(plan), _widest(smaller)
        rows, fewer_rows = _rows(smaller), _rows(fewer)
        speed = rates({
            "table": (_cells(few), lambda: written(few, dated)),
            "its peer": (_cells(fewer), lambda: _peer(fewer_rows)),
            "book": (_cells(plan), lambda: workbook(run)),
            "the book's peer": (_cells(smaller), lambda: _peer(rows)),
        })  # fmt: skip
    for name, peer, what, book in (
        ("table", "its peer", f"a sheet of {TRADERS:,} rows x {COLUMNS} columns, written", few),
        ("book", "the book's peer", f"vote.xlsx of {TRADERS:,} traders, planned and written", plan),
    ):
        cells = _cells(book)
        ours, theirs = cells / speed[name].steady, cells / speed[peer].steady
        said = f"{theirs:.1f} CPU-s (XlsxWriter, {cells:,} cells, by {speed[peer].steady:,.0f} cells/CPU-s for {PEER_TRADERS} traders)"
        yield Line(what, f"{ours:.2f} CPU-s", said, f"{theirs / ours:.0f} x", f"< {SECONDS} CPU-s", ours < SECONDS)


def made(folder: Path, traders: int) -> Run:
    """A made-up run of so many traders, no two alike."""
    rows = [
        row
        for n in range(1, traders + 1)
        for row in build.position(n, build.address(n), 1 + n % 7, 30_000 + n % 911, 10_000 + n * 7.25, 42_000 + n % 1000)
    ]
    return build.run(folder, rows)


def _widest(plan: Book) -> Book:
    """A workbook of the sheet with the most columns alone, and of these the first ones."""
    sheet = max(plan.sheets, key=lambda sheet: len(sheet.columns))
    return replace(plan, sheets=[replace(sheet, columns=sheet.columns[:COLUMNS], checks=())], names={})


def _rows(plan: Book) -> list[tuple[str, Rows]]:
    return [(sheet.name, sheet.rows) for sheet in plan.sheets]


def _cells(plan: Book) -> int:
    return sum(sum(map(len, sheet.lines)) if sheet.lines else sheet.height * len(sheet.columns) for sheet in plan.sheets)


def _peer(sheets: Sequence[tuple[str, Rows]]) -> bytes:
    """The bytes of a workbook with these cells."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    forms = {name: book.add_format({**LOCKED, **form}) for name, form in FORMS.items()}
    for name, rows in sheets:
        sheet = book.add_worksheet(name)
        for at, row in enumerate(rows):
            for k, cell in enumerate(row):
                _write(sheet, at, k, cell, forms)
    book.close()
    return buffer.getvalue()


def _write(sheet: Any, row: int, column: int, cell: Cell, forms: dict[str, Any]) -> None:
    value, form, formula, link = cell
    if formula:
        sheet.write_formula(row, column, "=" + formula, forms[form], value)
    elif link:
        sheet.write_url(row, column, link, forms[form], value)
    elif isinstance(value, str):
        sheet.write_string(row, column, value, forms[form])
    elif value is not None:
        sheet.write_number(row, column, value, forms[form])
