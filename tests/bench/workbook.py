"""The workbook of 5,000 traders, and XlsxWriter writing the same cells one by one, as every program does that has no other way."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import xlsxwriter

from perpcomp.publish.workbook import workbook
from perpcomp.publish.workbook.book import planned
from perpcomp.publish.workbook.forms import FORMS, LOCKED
from perpcomp.publish.workbook.plan import Cell
from perpcomp.publish.workbook.write import written
from perpcomp.run import Run
from tests import build
from tests.bench.measure import Line, rates

TRADERS, COLUMNS = 5_000, 24
SECONDS = 0.3


def lines() -> Iterator[Line]:
    with TemporaryDirectory() as place:  # which holds the input, whose hash the workbook states
        yield from _of(made(Path(place), TRADERS))


def _of(run: Run) -> Iterator[Line]:
    plan, dated = planned(run), run.incident.eligibility.end.replace(tzinfo=None)
    assert workbook(run) == written(plan, dated) == workbook(run), "other bytes"
    widest = max(plan.sheets, key=lambda sheet: len(sheet.columns))
    few = replace(plan, sheets=[replace(widest, columns=widest.columns[:COLUMNS], checks=())], names={})
    for what, book, one in (
        (f"a sheet of {TRADERS:,} rows x {COLUMNS} columns, planned", few, lambda: written(few, dated)),
        (f"vote.xlsx of {TRADERS:,} traders, planned and written", plan, lambda: workbook(run)),
    ):
        cells = [(sheet.name, sheet.rows) for sheet in book.sheets]
        count = sum(len(row) for _, rows in cells for row in rows)
        size = len(one())
        rate = rates({"ours": (1, one), "peer": (1, lambda cells=cells: _peer(cells))})
        ours, peer = 1 / rate["ours"].steady, 1 / rate["peer"].steady
        said = f"{peer:.2f} CPU-s (XlsxWriter, the same {count:,} cells: {count / peer:,.0f} cells/CPU-s)"
        yield Line(f"{what}: {size / 1e6:.1f} MB", f"{ours:.2f} CPU-s", said, f"{peer / ours:.1f} x", f"< {SECONDS} CPU-s", ours < SECONDS)


def made(folder: Path, traders: int) -> Run:
    """A made-up run of so many traders, no two alike."""
    rows = [
        row
        for n in range(1, traders + 1)
        for row in build.position(n, build.address(n), 1 + n % 7, 30_000 + n % 911, 10_000 + n * 7.25, 42_000 + n % 1000)
    ]
    return build.run(folder, rows)


def _peer(sheets: Sequence[tuple[str, Sequence[Sequence[Cell]]]]) -> bytes:
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
