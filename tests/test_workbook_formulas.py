"""The workbook by a third engine: the package `formulas`, which reads no stored result. Slow, so in a module of its own that runs once."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perpcomp.publish.workbook import workbook
from perpcomp.publish.workbook.book import planned
from perpcomp.publish.workbook.plan import HEADER_ROW, Book, letter
from perpcomp.run import Run
from tests.test_workbook import OTHERS, by_inputs, check_what_if, differing, formulas, input_cells

INSTALLED = Path(sys.prefix) / "formulas"  # by make
PROGRAM = Path(__file__).parent / "by_formulas.py"


def test_a_third_engine_computes_what_the_engine_computed(rehearsal: Run, tmp_path: Path) -> None:
    """At the published inputs and at three others."""
    plan, file = planned(rehearsal), tmp_path / "vote.xlsx"
    file.write_bytes(workbook(rehearsal))
    published, *others = [with_results(plan, results) for results in calculated(plan, file, [{}, *OTHERS])]
    assert not differing(plan, published)
    assert {row[3] for row in published["Check"][HEADER_ROW:] if row[3]} == {"YES"}
    for values, results in zip(OTHERS, others, strict=True):
        check_what_if(plan, by_inputs(rehearsal, values), results)


def calculated(plan: Book, file: Path, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each cell gives with other values of the sheet Inputs, for each of several."""
    places = input_cells(plan)
    asked = [{key(*places[name]): value for name, value in values.items()} for values in inputs]
    environment = {**os.environ, "PYTHONPATH": str(INSTALLED)}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(file)], input=json.dumps(asked), env=environment, capture_output=True, text=True, check=True
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def with_results(plan: Book, results: Mapping[str, Any]) -> dict[str, list[list[Any]]]:
    """Sheet -> its rows with what each formula gave. Cells without a formula hold their value."""
    rows = {sheet.name: [[cell.value for cell in cells] for cells in [*plan.above(sheet), *sheet.rows]] for sheet in plan.sheets}
    for sheet, row, at, _ in formulas(plan):
        rows[sheet.name][row][at] = results[key(sheet.name, f"{letter(at)}{row + 1}")]
    return rows


def key(sheet: str, cell: str) -> str:
    """How the package names a cell."""
    return f"'[vote.xlsx]{sheet.upper()}'!{cell}"
