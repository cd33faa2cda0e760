"""Workbooks that somebody else made, read safely: sizes before contents, no formula's stored result, nothing hidden without a word."""

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from perpcomp.findings import Finding, near_miss, refusal
from perpcomp.number_text import counted
from perpcomp.sheet_parts import parts_of

DIGITS = 15  # that a number cell holds for certain


@dataclass(frozen=True)
class Sheet:
    """One sheet as text. `rows` has (row number, its cells); a formula is its own text, which begins with `=`. `remarks`: what a reader must know."""

    name: str
    rows: Sequence[tuple[int, Sequence[str]]]
    remarks: Sequence[Finding]


def open_book(data: bytes, file: str, results: bool = False) -> Any:
    """The workbook as openpyxl reads it: formulas, or with `results` what they gave. InputError where it is unsafe (exit code 4) or damaged."""
    import openpyxl

    parts_of(data, file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it leaves out, such as a style or a drawing
        try:
            return openpyxl.load_workbook(io.BytesIO(data), data_only=results)
        except Exception as error:  # whatever a damaged part makes it raise
            why = " ".join(str(error).split()) or type(error).__name__
            raise refusal(file, f"The workbook cannot be read ({why}).", "Save it again as .xlsx, or as CSV.") from None


def read_sheet(path: Path, wanted: str | None = None) -> Sheet:
    """The sheet of that name, or else the first one. InputError where there is none, with exit code 4 where the file is unsafe to open."""
    book = open_book(path.read_bytes(), str(path))
    names = [sheet.title for sheet in book.worksheets]
    if wanted is None and names:
        wanted = names[0]
    if wanted not in names:
        raise refusal(str(path), f"The workbook has no sheet {wanted!r}.", near_miss(str(wanted), names))
    sheet = book[wanted]
    hidden = [row for row, shape in sheet.row_dimensions.items() if shape.hidden or (shape.height is not None and shape.height < 1)]
    hidden_columns = [letter for letter, shape in sheet.column_dimensions.items() if shape.hidden or shape.width == 0]
    hidden_sheets = [one.title for one in book.worksheets if one.sheet_state != "visible"]
    rows, inexact = [], []
    for number, cells in enumerate(sheet.iter_rows(), 1):
        rows.append((number, [_text(cell.value) for cell in cells]))
        inexact += [cell.coordinate for cell in cells if isinstance(cell.value, int | float) and _long(cell.value)]
    remarks = [
        _hidden(path, sheet.title, words, found)
        for words, found in (("row", hidden), ("column", hidden_columns), ("sheet", hidden_sheets))
        if found
    ]
    if inexact:
        what = (
            f"{counted(len(inexact), 'number cell')} {'holds' if len(inexact) == 1 else 'hold'} more than {DIGITS} digits: {_few(inexact)}."
        )
        advice = "A spreadsheet keeps 15 digits of a number. Get the amounts as text, or the CSV file."
        remarks.append(Finding("warning", f"{path.name} {sheet.title}", what, advice, code="precision-lost"))
    return Sheet(sheet.title, rows, remarks)


def _hidden(path: Path, sheet: str, kind: str, found: Sequence[Any]) -> Finding:
    what = f"{counted(len(found), kind)} {'is' if len(found) == 1 else 'are'} hidden: {_few([str(one) for one in found])}."
    where = path.name if kind == "sheet" else f"{path.name} {sheet}"
    advice = "Show it, and read it: what is hidden is counted here all the same." if kind != "sheet" else "Show it, and read it."
    return Finding("error", where, what, advice, code=f"hidden-{kind}")


def _long(value: int | float) -> bool:
    return not isinstance(value, bool) and len(re.sub(r"\D", "", _text(value)).strip("0")) > DIGITS


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{Decimal(int(value)) if value.is_integer() else Decimal(repr(value)):f}"
    return str(value).strip()


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
