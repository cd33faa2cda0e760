"""From the plan of a workbook to its bytes: nothing hidden, no password, the same bytes for the same plan.

Cells are written by XlsxWriter's typed methods only, because `write()` turns some texts into formulas, and in reading order, because
shared texts are numbered as they come.
"""

import hashlib
import io
import zipfile
from datetime import datetime
from typing import Any

import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from perpcomp.publish.workbook.plan import FIRST_ROW, HEADER_ROW, Book, Cell, Sheet, letter

LINE_HEIGHT = 15
BOLD = 0.7  # so many fewer characters of a header fit a line, which breaks between words
SMALLER = 1.3  # so many more characters of a small text fit a line
HIGHEST = 409  # points; a spreadsheet refuses a file with a higher row
MONEY = "#,##0.00;[Red]-#,##0.00;0.00"
LOCKED = {"locked": True, "valign": "top"}
FORMS: dict[str, dict[str, object]] = {
    "text": {"quote_prefix": True, "indent": 1},
    "wrapped": {"quote_prefix": True, "indent": 1, "text_wrap": True},
    "small": {"quote_prefix": True, "indent": 1, "text_wrap": True, "font_size": 9, "font_color": "#444444"},
    "bold": {"bold": True, "text_wrap": True},
    "title": {"bold": True, "font_size": 14},
    "state": {"bold": True, "font_color": "#1F4E79"},
    "header": {"bold": True, "bg_color": "#DDE6EE", "border": 1, "text_wrap": True},
    "address": {"font_name": "Courier New", "font_size": 9},
    "link": {"font_color": "#0563C1", "underline": 1},
    "digits": {"num_format": "@", "font_name": "Courier New", "font_size": 9, "align": "right"},
    "money": {"num_format": MONEY},
    "number": {"num_format": "#,##0.00####;[Red]-#,##0.00####;0.00"},
    "plain": {"num_format": "0.00##############"},
    "token": {"num_format": "#,##0.0000"},
    "percent": {"num_format": "0.0%"},
    "whole": {"num_format": "#,##0"},
    "time": {"num_format": "yyyy-mm-dd hh:mm"},
    "total": {"num_format": MONEY, "bold": True},
    "total_token": {"num_format": "#,##0.0000", "bold": True},
    "input": {"num_format": "0.00##############", "bg_color": "#FFF2CC", "border": 1, "locked": False},
    "input_text": {"num_format": "@", "bg_color": "#FFF2CC", "border": 1, "locked": False},
}
WRAPS = {name: SMALLER if name == "small" else 1 for name, form in FORMS.items() if form.get("text_wrap")}
ALLOWED = dict.fromkeys(("sort", "autofilter", "format_columns", "format_rows", "select_locked_cells", "select_unlocked_cells"), True)


class _Worksheet(Worksheet):  # type: ignore[misc]
    """A sheet that writes formulas as they are.

    XlsxWriter looks in every formula for thirty new functions, which takes two thirds of the time of a large workbook. We use none.
    """

    def _prepare_formula(self, formula: str, expand_future_functions: bool = False) -> str:
        return formula.removeprefix("=")


def _done(code: object) -> None:
    """Check what XlsxWriter answers: it returns a code, and raises nothing, where it leaves a cell out."""
    if isinstance(code, int) and code:
        raise RuntimeError(f"XlsxWriter refused a call with the code {code}")


def written(plan: Book, created: datetime) -> bytes:
    """The workbook's bytes."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(
        buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    )
    book.set_properties({"title": plan.title, "comments": plan.notice, "created": created})
    forms = {name: book.add_format({**LOCKED, **form}) for name, form in FORMS.items()}
    for made in plan.sheets:
        _write_sheet(book.add_worksheet(made.name, _Worksheet), made, plan, forms)
    for name, place in plan.names.items():
        _done(book.define_name(name, place))
    book.close()
    return _repack(buffer.getvalue())


def _write_sheet(sheet: Any, made: Sheet, plan: Book, forms: dict[str, Any]) -> None:
    write_cell = _writer(sheet, forms)
    last = max(len(made.columns) - 1, 1)
    write_cell(0, 0, Cell(made.heading, "title"))
    write_cell(1, 0, plan.state)
    write_cell(2, 0, Cell(plan.notice, "text"))
    for at, column in enumerate(made.columns):
        if column.above is not None:
            write_cell(HEADER_ROW - 2, at, column.above)
    for at, column in enumerate(made.columns):
        write_cell(HEADER_ROW - 1, at, Cell(column.header, "header"))
        _done(sheet.set_column(at, at, column.width))
    _done(sheet.set_row(HEADER_ROW - 1, LINE_HEIGHT * max(_lines(column.header, column.width * BOLD) for column in made.columns)))
    for row, cells in enumerate(made.rows, FIRST_ROW - 1):
        lines = max(
            (_lines(str(c.value), made.columns[at].width * WRAPS[c.form]) for at, c in enumerate(cells) if c.form in WRAPS), default=1
        )
        if lines > 1:  # LibreOffice shows wrapped rows on top of each other where a row has no height of its own
            _done(sheet.set_row(row, min(LINE_HEIGHT * lines, HIGHEST)))
        for at, cell in enumerate(cells):
            write_cell(row, at, cell)
    for row, choice in made.choices.items():
        _done(sheet.data_validation(row - 1, 2, row - 1, 2, choice))
    for at in made.checks:
        where = f"{letter(at)}{FIRST_ROW}:{letter(at)}{made.last_row}"
        _done(sheet.conditional_format(where, {"type": "cell", "criteria": "==", "value": '"DIFF"', "format": forms["input_text"]}))
    if made.filtered:
        _done(sheet.autofilter(HEADER_ROW - 1, 0, made.last_row - 1, last))
    sheet.freeze_panes(HEADER_ROW, 1 if made.filtered else 0)
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.set_margins(0.4, 0.4, 0.5, 0.6)
    sheet.fit_to_pages(1, 0)
    _done(sheet.repeat_rows(HEADER_ROW - 1))
    _done(sheet.print_area(0, 0, made.last_row - 1, last))
    _done(sheet.set_footer(plan.footer))
    _done(sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"}))
    sheet.protect("", ALLOWED)


def _writer(sheet: Any, forms: dict[str, Any]) -> Any:
    def write_cell(row: int, at: int, cell: Cell) -> None:
        value, form, formula, link = cell
        if formula:
            _done(sheet.write_formula(row, at, "=" + formula, forms[form], value))
        elif link:
            _done(sheet.write_url(row, at, link, forms[form], value))
        elif isinstance(value, str):
            _done(sheet.write_string(row, at, value, forms[form]) if value else 0)
        elif value is not None:
            _done(sheet.write_number(row, at, value, forms[form]))

    return write_cell


def _lines(text: str, width: float) -> int:
    """How many lines a text takes in a column of this width."""
    return 1 + int(len(text) / width)


def _repack(data: bytes) -> bytes:
    """The same parts sorted by name, dated 1980 and uncompressed, because the output of zlib differs between machines."""
    first = ("[Content_Types].xml", "_rels/.rels")
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
        for name in sorted(source.namelist(), key=lambda n: (n not in first, n)):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o600 << 16
            out.writestr(info, source.read(name))
    return target.getvalue()


def content_digest(data: bytes) -> str:
    """sha256 of the sorted parts of a workbook as (length of name, name, length of data, data). Another compression does not change it."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        for name in sorted(book.namelist()):
            part = book.read(name)
            for piece in (name.encode(), part):
                digest.update(len(piece).to_bytes(8) + piece)
    return digest.hexdigest()
