"""What shows or hides the figures: hidden rows, sheets, formats that fake a value, cells merged or commented over, names."""

from collections.abc import Iterator
from typing import Any

from perpcomp.audit.sheet.found import ERROR, NOTE, WARNING, Found, shown
from perpcomp.publish.workbook.plan import Book, Sheet, letter
from perpcomp.publish.workbook.write import FORMS

BUILT_IN = ("_xlnm.", "_FilterDatabase", "Print_Titles", "Print_Area")
GENERAL = ("General", "@")


def sheets(book: Any, plan: Book) -> Iterator[Found]:
    """Sheets that are hidden, missing or added, and names that stand for another cell."""
    wanted = [sheet.name for sheet in plan.sheets]
    for name in wanted:
        if name not in book.sheetnames:
            yield Found("missing-sheet", ERROR, name, "(no such sheet)", "a sheet of the run")
    for name in book.sheetnames:
        if name not in wanted:
            yield Found("extra-sheet", ERROR, name, "a sheet", "(no such sheet)")
        if book[name].sheet_state != "visible":
            yield Found("hidden-sheet", ERROR, name, str(book[name].sheet_state), "visible")
    stated = {name: str(one.attr_text).replace("'", "") for name, one in book.defined_names.items() if not name.startswith(BUILT_IN)}
    ours = {name: place.lstrip("=") for name, place in plan.names.items()}
    for name in sorted({*stated} | {*ours}):
        if stated.get(name) != ours.get(name):
            yield Found("name-differs", ERROR, f"the name {name}", shown(stated.get(name)), shown(ours.get(name)))
    for name in wanted:
        own = (
            {one: str(value.attr_text) for one, value in book[name].defined_names.items() if not one.startswith(BUILT_IN)}
            if name in book.sheetnames
            else {}
        )
        for one, place in own.items():
            yield Found("name-differs", ERROR, f"the name {one} of the sheet {name}", place, "(empty)")


def hidden(sheet: Any, made: Sheet) -> Iterator[Found]:
    """Rows and columns that do not show, filters that are set, cells that lie over others."""
    for number, row in sorted(sheet.row_dimensions.items()):
        if row.hidden or (row.ht is not None and row.ht < 1):
            yield Found("hidden-row", ERROR, f"{made.name} row {number}", "hidden", "shown")
    for name, column in sorted(sheet.column_dimensions.items()):
        if column.hidden or (column.customWidth and column.width is not None and column.width < 0.5):
            yield Found("hidden-column", ERROR, f"{made.name} column {name}", "hidden", "shown")
    if sheet.auto_filter.filterColumn:
        yield Found("hidden-row", ERROR, made.name, "a filter is set", "no filter")
    if sheet.sheet_format.zeroHeight:
        yield Found("hidden-row", ERROR, made.name, "rows are hidden by default", "shown")
    for area in sheet.merged_cells.ranges:
        yield Found("overlay", WARNING, f"{made.name}!{area}", "merged cells", "no merged cells")
    if not sheet.protection.sheet:
        yield Found("decoration-differs", NOTE, made.name, "not protected", "protected without a password")
    if made.choices and len(sheet.data_validations.dataValidation) == 0:
        yield Found("decoration-differs", NOTE, made.name, "no list of allowed inputs", "a list")


def display(cell: Any, form: str, place: str) -> Iterator[Found]:
    """Whether a cell shows its value as the run's workbook does, and in a colour that can be seen."""
    plan = FORMS[form].get("num_format", "General")
    if _plain(cell.number_format) != _plain(str(plan)) and not (cell.number_format in GENERAL and plan in GENERAL):
        yield Found("display-differs", ERROR, place, f"the format {cell.number_format}", f"the format {plan}")
    ink, paper = _colour(cell.font.color), _colour(cell.fill.fgColor) if cell.fill.fill_type == "solid" else "FFFFFF"
    if ink is not None and ink == paper:
        yield Found("display-differs", ERROR, place, f"text in the colour of its background ({ink})", "readable text")
    if cell.comment is not None:
        yield Found("overlay", WARNING, place, "a note over the figure", "no note")


def _plain(text: str) -> str:
    """A number format without the backslashes and letter cases that programs write differently."""
    return text.replace("\\", "").upper()


def _colour(colour: Any) -> str | None:
    """RRGGBB; a theme's white is named as such."""
    if colour is None:
        return None
    if colour.type == "rgb" and isinstance(colour.rgb, str):
        return colour.rgb[-6:].upper()
    return "FFFFFF" if colour.type == "theme" and colour.theme == 0 else None


def outside(sheet: Any, made: Sheet) -> Iterator[Found]:
    """Cells beside the table that hold something."""
    if sheet.max_column <= len(made.columns):
        return
    for row in sheet.iter_rows(min_col=len(made.columns) + 1):
        for cell in row:
            if cell.value is not None:
                yield Found("extra-cell", ERROR, f"{made.name}!{letter(cell.column - 1)}{cell.row}", shown(cell.value), "(empty)")
