"""What shows or hides the figures: sheets, rows and columns that do not show, filters, cells merged or commented over, names, pages, properties."""

from collections.abc import Iterator
from typing import Any

from openpyxl.utils import range_boundaries

from perpcomp.audit.sheet.display import Display
from perpcomp.audit.sheet.found import ERROR, NOTE, WARNING, Found, shown
from perpcomp.publish.workbook.plan import Book, Sheet, letter

BUILT_IN = ("_xlnm.", "_FilterDatabase", "Print_Titles", "Print_Area")
MOST = 2**20  # rows, and more than columns, of a sheet
LOWEST, NARROWEST = 4, 2  # points and characters: less cannot be read


def sheets(book: Any, plan: Book) -> Iterator[Found]:
    """Sheets that are hidden, missing or added, names that stand for another cell, and what the file says of itself."""
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
    for name in (name for name in wanted if name in book.sheetnames):
        for one, value in book[name].defined_names.items():
            if not one.startswith(BUILT_IN):
                yield Found("name-differs", ERROR, f"the name {one} of the sheet {name}", str(value.attr_text), "(empty)")
    for what, found, expected in (("title", book.properties.title, plan.title), ("comments", book.properties.description, plan.notice)):
        if found and found != expected:
            yield Found("decoration-differs", NOTE, f"the file's property {what}", shown(found), shown(expected))


def of_sheet(sheet: Any, made: Sheet, plan: Book, display: Display) -> Iterator[Found]:
    """All of that kind on one sheet."""
    yield from _hidden(sheet, made)
    yield from _over(sheet, made)
    yield from _pages(sheet, made, plan)
    yield from _decoration(sheet, made, display)


def _hidden(sheet: Any, made: Sheet) -> Iterator[Found]:
    """Rows and columns that do not show, and filters that are set."""
    for number, row in sorted(sheet.row_dimensions.items()):
        if row.hidden or (row.ht is not None and row.ht < LOWEST):
            yield Found("hidden-row", ERROR, f"{made.name} row {number}", "hidden", "shown")
    for name, column in sorted(sheet.column_dimensions.items()):
        if column.hidden or (column.customWidth and column.width is not None and column.width < NARROWEST):
            yield Found("hidden-column", ERROR, f"{made.name} column {name}", "hidden", "shown")
    if sheet.auto_filter.filterColumn:
        yield Found("hidden-row", ERROR, made.name, "a filter is set", "no filter")
    usual = sheet.sheet_format
    if usual.zeroHeight or (usual.defaultRowHeight is not None and usual.defaultRowHeight < LOWEST):
        yield Found("hidden-row", ERROR, made.name, "rows are hidden by default", "shown")
    if usual.defaultColWidth is not None and usual.defaultColWidth < NARROWEST:
        yield Found("hidden-column", ERROR, made.name, "columns are hidden by default", "shown")
    for view in sheet.views.sheetView:
        if view.showZeros is False:
            yield Found("display-differs", ERROR, made.name, "amounts of 0 are not shown", "every amount shown")
        if view.showFormulas:
            yield Found("display-differs", ERROR, made.name, "formulas are shown in the place of amounts", "amounts")


def _over(sheet: Any, made: Sheet) -> Iterator[Found]:
    """Cells merged over others, notes, and cells beside the table that hold something."""
    for area in sheet.merged_cells.ranges:
        yield Found("overlay", WARNING, f"{made.name}!{area}", "merged cells", "no merged cells")
    for row in sheet.iter_rows():
        for cell in row:
            if cell.column > len(made.columns) and cell.value is not None:
                yield Found("extra-cell", ERROR, f"{made.name}!{cell.coordinate}", shown(cell.value), "(empty)")
            if getattr(cell, "comment", None) is not None:
                yield Found("overlay", WARNING, f"{made.name}!{cell.coordinate}", f"a note: {cell.comment.text}", "no note")


def _pages(sheet: Any, made: Sheet, plan: Book) -> Iterator[Found]:
    """What is printed: all rows, and the footer."""
    for area in str(sheet.print_area or "").split(","):
        if not area:
            continue
        left, top, right, bottom = range_boundaries(area.rpartition("!")[2])
        whole = f"A1:{letter(len(made.columns) - 1)}{made.last_row}"
        if (left or 1) > 1 or (top or 1) > 1 or (right or MOST) < len(made.columns) or (bottom or MOST) < made.last_row:
            yield Found("hidden-row", ERROR, f"{made.name} in print", f"only {area.replace('$', '')}", whole)
    margins = {name: _margin(getattr(sheet, name)) for name in ("oddHeader", "evenHeader", "firstHeader", "evenFooter", "firstFooter")}
    footer = _margin(sheet.oddFooter)
    for name, text in margins.items():
        if text:
            yield Found("display-differs", ERROR, f"{made.name} {name}", text, "(empty)")
    if footer and footer != plan.footer:
        yield Found("display-differs", ERROR, f"{made.name} footer", footer, plan.footer)


def _margin(item: Any) -> str:
    """A header or footer as its three parts, without fonts and sizes."""
    parts = (("L", item.left.text), ("C", item.center.text), ("R", item.right.text))
    return "".join(f"&{where}{text}" for where, text in parts if text)


def _decoration(sheet: Any, made: Sheet, display: Display) -> Iterator[Found]:
    """What a workbook may lose without a figure changing; and formats that apply on a condition, which may hide one."""
    if not sheet.protection.sheet:
        yield Found("decoration-differs", NOTE, made.name, "not protected", "protected without a password")
    stated = sorted(str(one.sqref) for one in sheet.data_validations.dataValidation)
    ours = [f"C{row}" for row in made.choices]
    if stated != sorted(ours):
        yield Found("decoration-differs", NOTE, made.name, f"lists of allowed inputs at {shown(', '.join(stated))}", shown(", ".join(ours)))
    wanted = {letter(at) for at in made.checks}
    for area in sheet.conditional_formatting:
        for rule in area.rules:
            place = f"{made.name}!{area.sqref}"
            own = rule.type == "cellIs" and rule.operator == "equal" and rule.formula == ['"DIFF"']
            if why := display.hides(rule.dxf):
                yield Found("display-differs", ERROR, place, f"a condition under which {why}", "none")
            elif own:
                wanted.discard(str(area.sqref).partition(":")[0].rstrip("0123456789"))
            else:
                yield Found("decoration-differs", NOTE, place, "a format that applies on a condition", "none")
    for at in sorted(wanted):
        yield Found("decoration-differs", NOTE, f"{made.name} column {at}", "DIFF is not marked", "a colour where it says DIFF")
