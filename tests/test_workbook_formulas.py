"""The workbook by a third engine: the package `formulas`, which reads no stored result. Slow, so in a module of its own that runs once."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perpcomp.publish.workbook import workbook
from perpcomp.publish.workbook.book import planned
from perpcomp.publish.workbook.plan import HEADER_ROW, Book, letter
from perpcomp.run import Run
from tests.test_workbook import OTHERS, by_inputs, check_what_if, differing, formulas, input_cells

sys.path.append(str(Path(sys.prefix) / "formulas"))  # it stands apart: see the Makefile
from formulas import ExcelModel


def test_a_third_engine_computes_what_the_engine_computed(rehearsal: Run, tmp_path: Path) -> None:
    """At the published inputs and at three others. The book is read once: that takes longer than calculating it four times."""
    plan, file = planned(rehearsal), tmp_path / "vote.xlsx"
    file.write_bytes(workbook(rehearsal))
    model = ExcelModel().loads(str(file)).finish()
    results = calculated(model, plan, {})
    assert not differing(plan, results)
    assert {row[3] for row in results["Check"][HEADER_ROW:] if row[3]} == {"YES"}
    for values in OTHERS:
        check_what_if(plan, by_inputs(rehearsal, values), calculated(model, plan, values))


def calculated(model: ExcelModel, plan: Book, values: Mapping[str, Any]) -> dict[str, list[list[Any]]]:
    """Sheet -> its rows with what each formula gives, with other values in some cells of Inputs. Cells without a formula hold their text."""
    places = {name: key(*input_cells(plan)[name]) for name in values}
    solution = model.calculate(inputs={places[name]: value for name, value in values.items()})
    rows = {sheet.name: [[cell.value for cell in cells] for cells in [*plan.above(sheet), *sheet.rows]] for sheet in plan.sheets}
    for sheet, row, at, _ in formulas(plan):
        value = solution[key(sheet.name, f"{letter(at)}{row + 1}")].value[0, 0]
        rows[sheet.name][row][at] = value.item() if hasattr(value, "item") else value  # a number of NumPy
    return rows


def key(sheet: str, cell: str) -> str:
    """How the package names a cell."""
    return f"'[vote.xlsx]{sheet.upper()}'!{cell}"
