"""From the plan of a workbook to its bytes: nothing hidden, no password, the same bytes for the same plan.

XlsxWriter makes the package, its formats and names, and of each sheet all but its cells. These are put in afterwards.
"""

import hashlib
import io
import re
import textwrap
import zipfile
from datetime import datetime
from typing import Any

import polars as pl
import xlsxwriter

from perpcomp import fixed
from perpcomp.publish.workbook.forms import FORMS, LOCKED, WRAPS
from perpcomp.publish.workbook.plan import FIRST_ROW, HEADER_ROW, LINE, Book, Cell, Sheet, letter
from perpcomp.publish.workbook.sheet_xml import lines_xml, links_xml, rows_xml

LINE_HEIGHT, TITLE_HEIGHT = 15, 20
DEFAULT_WIDTH = 8  # of a column that nothing says the width of
HIGHEST = 409  # points; a spreadsheet refuses a file with a higher row
ALLOWED = dict.fromkeys(("sort", "autofilter", "format_columns", "format_rows", "select_locked_cells", "select_unlocked_cells"), True)


def _done(code: object) -> None:
    """Check what XlsxWriter answers: it returns a code, and raises nothing, where it leaves something out."""
    if isinstance(code, int) and code:
        raise RuntimeError(f"XlsxWriter refused a call with the code {code}")


def written(plan: Book, created: datetime) -> bytes:
    """The workbook's bytes."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    book.set_properties({"title": plan.title, "comments": plan.notice, "created": created})
    forms = {name: book.add_format({**LOCKED, **form}) for name, form in FORMS.items()}
    styles = {name: form._get_xf_index() for name, form in forms.items()}
    for made in plan.sheets:
        _dress(book.add_worksheet(made.name), made, plan, forms)
    for name, place in plan.names.items():
        _done(book.define_name(name, place))
    book.close()
    return _packed(buffer, plan, styles)


def _dress(sheet: Any, made: Sheet, plan: Book, forms: dict[str, Any]) -> None:
    """All of a sheet but its cells."""
    last = max(len(made.columns) - 1, 1)
    for at, column in enumerate(made.columns):
        _done(sheet.set_column(at, at, column.width))
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
    if not any(cell.form == "header" for cells in made.lines for cell in cells):  # else a part of the sheet has a header of its own
        _done(sheet.repeat_rows(HEADER_ROW - 1))
    beside = max(LINE - made.width, 0) // DEFAULT_WIDTH  # empty columns into which the lines above the header reach
    _done(sheet.print_area(0, 0, made.last_row - 1, last + beside))
    _done(sheet.set_footer(plan.footer))
    _done(sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"}))
    sheet.protect("", ALLOWED)


def _packed(made: io.BytesIO, plan: Book, styles: dict[str, int]) -> bytes:
    """The package with the cells of its sheets: parts sorted by name, dated 1980, and uncompressed, because the output of zlib differs between machines."""
    first = ("[Content_Types].xml", "_rels/.rels")
    with zipfile.ZipFile(made) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    pieces = {name: [data] for name, data in parts.items()}
    for number, sheet in enumerate(plan.sheets, 1):
        name = f"sheet{number}.xml"
        links, relations = links_xml(sheet.body, FIRST_ROW)
        pieces[f"xl/worksheets/{name}"] = _filled(parts[f"xl/worksheets/{name}"], sheet, _cells(plan, sheet, styles), links)
        if relations:
            pieces[f"xl/worksheets/_rels/{name}.rels"] = [relations]
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
        for name in sorted(pieces, key=lambda n: (n not in first, n)):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr, info.file_size = 3, 0o600 << 16, sum(map(len, pieces[name]))
            with out.open(info, "w") as part:
                for piece in pieces[name]:
                    part.write(piece)
    return target.getvalue()


def _filled(part: bytes, sheet: Sheet, rows: list[bytes], links: bytes) -> list[bytes]:
    """A sheet without cells as XlsxWriter makes it, in pieces with cells and links in their places."""
    head, found, tail = part.partition(b"<sheetData/>")
    before, margins, after = tail.partition(b"<pageMargins")  # which follow the links
    if not found or not margins:
        raise RuntimeError(f"XlsxWriter made the sheet {sheet.name} in another form than perpcomp knows")
    size = f'<dimension ref="A1:{letter(max(len(sheet.columns) - 1, 1))}{sheet.last_row}"/>'
    head = re.sub(rb'<dimension ref="[^"]*"/>', size.encode(), head)
    return [head, b"<sheetData>", *rows, b"</sheetData>", before, links, margins, after]


def _cells(plan: Book, sheet: Sheet, styles: dict[str, int]) -> list[bytes]:
    """The rows of a sheet, those above the header first."""
    heights = [TITLE_HEIGHT, *[None] * (HEADER_ROW - 2), LINE_HEIGHT * header_lines(sheet)]
    above = lines_xml(plan.above(sheet), 1, styles, heights)
    if sheet.body:
        return [above, rows_xml(sheet.body, FIRST_ROW, styles, _heights(sheet))]
    widths = [column.width for column in sheet.columns]
    lines = [max((_lines_of(cell, width) for cell, width in zip(cells, widths, strict=False)), default=1) for cells in sheet.lines]
    return [above, lines_xml(sheet.lines, FIRST_ROW, styles, [_points(count) for count in lines])]


def header_lines(sheet: Sheet) -> int:
    """How many lines the header of a sheet takes."""
    return max(_lines_of(Cell(column.header, "header"), column.width) for column in sheet.columns)


def _lines_of(cell: Cell, width: int) -> int:
    """How many lines a cell takes. A text breaks between words."""
    if cell.form not in WRAPS or not isinstance(cell.value, str):
        return 1
    most = max(int(width * WRAPS[cell.form]), 1)
    return max(1, len(textwrap.wrap(cell.value, most))) if len(cell.value.expandtabs()) > most else 1


def _points(lines: int) -> int | None:
    """The height of a row; None for one line. LibreOffice shows wrapped rows on top of each other where they have no height of their own."""
    return min(lines * LINE_HEIGHT, HIGHEST) if lines > 1 else None


def _heights(sheet: Sheet) -> pl.Series | None:
    """The height of each row of a table, null for one line; None where all are so."""
    shown = zip(sheet.body, sheet.columns, strict=True)
    lines = [
        _lines(cells.texts, column.width * WRAPS[form])
        for cells, column in shown
        if isinstance(form := cells.form, str) and form in WRAPS and cells.texts is not None
    ]
    if not lines:
        return None
    most = pl.DataFrame({str(at): found for at, found in enumerate(lines)}).max_horizontal()
    heights = most.replace_strict({n: _points(n) for n in most.unique().drop_nulls()}, default=None, return_dtype=pl.Int64)
    return heights if heights.null_count() < len(heights) else None


def _lines(texts: pl.Series, width: float) -> pl.Series:
    """About how many lines texts take. A word that is longer than a line begins on one of its own."""
    characters, most = texts.str.len_chars(), int(width)
    lines = 1 + characters // most
    if fixed.largest(characters) < most:  # Polars takes a millisecond to make the pattern of a torn word
        return lines
    return lines + texts.str.contains(rf"\S{{{most}}}").cast(pl.Int64)


def content_digest(data: bytes) -> str:
    """sha256 of the sorted parts of a workbook as (length of name, name, length of data, data). Another compression does not change it."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        for name in sorted(book.namelist()):
            part = book.read(name)
            for piece in (name.encode(), part):
                digest.update(len(piece).to_bytes(8) + piece)
    return digest.hexdigest()
