"""The workbook for voters: every live number is the engine's, also at other inputs; nothing hidden; what cannot be live says so."""

import io
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openpyxl import load_workbook

from perpcomp import pipeline, sheet_limits
from perpcomp.findings import Finding
from perpcomp.publish.workbook import workbook
from perpcomp.publish.workbook.book import planned
from perpcomp.publish.workbook.plan import FIRST_ROW, HEADER_ROW, Book, Cell, Column, Sheet
from perpcomp.publish.workbook.write import written
from perpcomp.run import Run
from tests import build, office
from tests.build import address, position
from tests.test_adjust import computed as ruled
from tests.test_adjust import frozen, line
from tests.test_payees import made as paid_by_others
from tests.test_payees import payee
from tests.test_precedents import run_of

pytestmark = pytest.mark.money
LIVE = ("Claims", "Positions", "Vesting", "Compare", "Compare traders", "Formulas")
PRECEDENTS = Path(__file__).parent / "precedents"
SHARE = 'share = "{}"'
SETTLED_IN_TWO = """share = 0.3
price = 7
price_policy = "fixed"
source = "test"

[[settlement]]
token = "USDC"
decimals = 6
share = 0.7
price = 1.25"""


def two_tokens(folder: Path) -> Run:
    """Three traders, settled in a token of 18 decimals and in one of 6."""
    rows = [row for n in range(1, 4) for row in position(n, address(n), n, 30_000, 10_000 + n, 42_000)]
    return build.run(folder, rows, {"share = 1\nprice = 7": SETTLED_IN_TWO, '"margin-only"': '"margin-upl-funding"'})


def formulas(plan: Book) -> Iterator[tuple[Sheet, int, int, Cell]]:
    """Every cell with a formula: (sheet, row and column counted from 0, cell)."""
    for sheet in plan.sheets:
        for row, cells in enumerate([*plan.above(sheet), *sheet.rows]):
            for at, cell in enumerate(cells):
                if cell.formula:
                    yield sheet, row, at, cell


def same(found: Any, expected: Any, unit: float = 0) -> bool:
    """Whether a result is the engine's: a text, or a number within 1e-9 of it, or within a base unit of a token."""
    if isinstance(expected, str):
        return (found or "") == expected
    return isinstance(found, int | float) and abs(found - expected) <= max(unit, 1e-9 * max(1, abs(expected)))


def differing(plan: Book, results: Mapping[str, list[list[Any]]], unit: float = 0) -> list[str]:
    """The cells with a formula whose result is not the engine's."""
    wrong = [
        (sheet.name, row + 1, at, results[sheet.name][row][at], cell)
        for sheet, row, at, cell in formulas(plan)
        if not same(results[sheet.name][row][at], cell.value, unit)
    ]
    return [str(one) for one in wrong]


# Inputs that a voter may try, beside the published ones.
OTHERS = [
    {"reference_price_1": 45_000.0, "token_price_1": 5.5, "upfront_share": 0.5, "formula_name": "margin-upl-funding"},
    {"reference_price_1": 42_000.0, "token_price_1": 6.9325, "upfront_share": 0.25, "formula_name": "restore-position"},
    {"reference_price_1": 56_000.5, "token_price_1": 9.1, "upfront_share": 0.0, "formula_name": "split-50-50"},
]


def input_cells(plan: Book) -> dict[str, tuple[str, str]]:
    """Name -> the sheet and the cell that it stands for."""
    return {name: (place.partition("!")[0].lstrip("="), place.partition("!")[2].replace("$", "")) for name, place in plan.names.items()}


def by_inputs(run: Run, values: Mapping[str, Any]) -> Book:
    """The plan of the run that the engine computes with these inputs."""
    incident = run.incident
    price, token, upfront = (str(values[name]) for name in ("reference_price_1", "token_price_1", "upfront_share"))
    markets = tuple(replace(market, reference_price=Decimal(price)) if market.affected else market for market in incident.markets)
    legs = tuple(replace(leg, price=Decimal(token)) for leg in incident.settlement)
    changed = replace(incident, markets=markets, settlement=legs, vesting=replace(incident.vesting, upfront=Fraction(upfront)))
    return planned(pipeline.compute(changed, run.input, values["formula_name"]))


def check_what_if(plan: Book, expected: Book, results: Mapping[str, list[list[Any]]]) -> None:
    """That the results of a workbook with changed inputs are those of `expected`, and that it says what they are."""
    assert all(rows[1][0].startswith("WHAT-IF") for rows in results.values())
    assert all("; token_price_1 6.9325003506" in rows[1][0] for rows in results.values()), "the original values"
    compared = 0
    for there, here in zip(expected.sheets, plan.sheets, strict=True):
        if here.name not in LIVE:
            continue
        places = {tuple(row[k].value for k in here.key): at for at, row in enumerate(here.rows)}
        against_published = [k for k, column in enumerate(here.columns) if column.against_published]
        above = [(HEADER_ROW - 2, [column.above or Cell() for column in there.columns])]
        for number, row in enumerate(there.rows):
            above.append((FIRST_ROW - 1 + (places[tuple(row[k].value for k in there.key)] if there.key else number), row))
        for at, row in above:
            for column, cell in enumerate(row):
                if cell.formula and column not in against_published:
                    found = results[here.name][at][column]
                    assert same(found, cell.value), (here.name, at, column, found, cell)
                    compared += 1
    assert compared > 1_400
    lines = {row[0]: row for row in results["Check"][HEADER_ROW:]}
    assert lines["PERP: the exact amounts, added up to the last base unit"][3] == "YES", "the exact amounts are the published ones"
    assert lines["Claims: accounts whose live amount is not the exact one"][3] == "what-if"


@pytest.mark.office
@pytest.mark.parametrize("name", ["rehearsal", "two tokens", "other payees", "rulings", "a rule by token", "dust"])
def test_libreoffice_computes_what_the_engine_computed(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = {
        "rehearsal": lambda: request.getfixturevalue("rehearsal"),
        "two tokens": lambda: two_tokens(tmp_path),
        "other payees": lambda: paid_by_others(
            tmp_path,
            {address(1): 5_000, address(2): 700},
            payee(address(1), address(7), SHARE.format("1/3")) + payee(address(1), address(8), SHARE.format("2/3")),
        ),
        "rulings": lambda: ruled(tmp_path, [line(1), line(2, "set", "0.5"), line(3, "deduct", "50000"), line(1, "add", "7.25")]),
        "a rule by token": lambda: run_of(PRECEDENTS / "origin-two-tokens.toml"),
        "dust": lambda: build.run(tmp_path, position(1, address(1), "0.000000000000000001", 30_000, "0.000000000000000003", 42_000)),
    }[name]()
    plan, results = planned(run), office.recalculated(workbook(run))
    assert sum(1 for _ in formulas(plan)) > 50
    assert not differing(plan, results, unit=1e-6 if name == "two tokens" else 0)
    says = [row[3] for row in results["Check"][HEADER_ROW:] if row[3]]
    assert set(says) == {"YES"}
    assert len(says) >= 7
    values = {row[0] for row in results["Check"] if row[1] == "amounts are values"} - {"Compare: the measures of fairness"}
    assert bool(values) == (name == "a rule by token")


@pytest.mark.office
@pytest.mark.parametrize("values", OTHERS, ids=lambda values: values["formula_name"])
def test_other_inputs_give_what_the_engine_gives_for_them(rehearsal: Run, values: dict[str, Any]) -> None:
    plan = planned(rehearsal)
    cells = input_cells(plan)
    results = office.recalculated(workbook(rehearsal), {cells[name]: value for name, value in values.items()})
    check_what_if(plan, by_inputs(rehearsal, values), results)


@pytest.mark.office
def test_a_program_that_trusts_stored_results_cannot_hide_a_wrong_formula(rehearsal: Run) -> None:
    """LibreOffice shows stored results without calculating, so the tests above drop them. A book of wrong results proves that they do."""
    plan = planned(rehearsal)
    poisoned = replace(
        plan,
        sheets=[
            replace(sheet, columns=[Column(one.header, one.width, one.above) for one in sheet.columns],
                    lines=[[cell._replace(value="POISON") if cell.formula else cell for cell in row] for row in sheet.rows])
            for sheet in plan.sheets
        ],
    )  # fmt: skip
    data = written(poisoned, rehearsal.incident.eligibility.end.replace(tzinfo=None))
    trusted = office.results(office.convert(data, "xlsx"))
    assert trusted["Claims"][FIRST_ROW - 1][2] == "POISON"
    assert not differing(plan, office.recalculated(data))


@pytest.mark.office
def test_a_german_reader_sees_the_same_amounts(rehearsal: Run) -> None:
    """VALUE("1.234") is 1234 there, so no formula reads a text with a point."""
    results = office.results(office.convert(office.stripped(workbook(rehearsal)), "xlsx", locale="de-DE"))
    assert not differing(planned(rehearsal), results)


def test_every_formula_uses_functions_that_every_spreadsheet_program_has(rehearsal: Run) -> None:
    common = {
        "SUM",
        "SUMIFS",
        "COUNTIF",
        "COUNTA",
        "INDEX",
        "MATCH",
        "IF",
        "AND",
        "OR",
        "NOT",
        "ROUND",
        "ROUNDDOWN",
        "INT",
        "MOD",
        "ABS",
        "MIN",
        "MAX",
        "RANK",
        "SUMPRODUCT",
        "EXACT",
        "TEXT",
        "MID",
        "RIGHT",
        "REPT",
        "VALUE",
    }
    for _, _, _, cell in formulas(planned(rehearsal)):
        used = set(re.findall(r"([A-Z]+)\(", cell.formula))
        assert used <= common, cell.formula
        assert not re.search(r"[0-9]E[+-]?[0-9]|[0-9]{16}", cell.formula), "a program that saves it again writes it otherwise"


def test_nothing_is_hidden_and_every_sheet_says_what_it_is(rehearsal: Run) -> None:
    shown = load_workbook(io.BytesIO(workbook(rehearsal)))
    assert shown.sheetnames == [
        *("Read me", "Inputs", "Claims", "Positions", "Vesting", "Compare", "Compare traders", "Formulas"),
        *("Left out", "Findings", "Check", "Provenance", "Glossary"),
    ]
    for sheet in shown:
        assert sheet.sheet_state == "visible"
        assert not any(row.hidden for row in sheet.row_dimensions.values())
        assert not any(column.hidden for column in sheet.column_dimensions.values())
        assert not sheet.auto_filter.filterColumn
        assert sheet.protection.password is None
        assert sheet.freeze_panes
        assert "DRAFT" in str(sheet.oddFooter.center.text)
        assert str(sheet["A2"].value).startswith("=IF(changed_inputs=0,")
        assert "A rehearsal, not the historical incident" in str(sheet["A3"].value)
        assert (sheet.page_setup.fitToWidth or 1, sheet.page_setup.fitToHeight) == (1, 0)
        unlocked = [cell for row in sheet.iter_rows() for cell in row if not cell.protection.locked]
        assert {cell.column_letter for cell in unlocked} <= {"C"}
        assert bool(unlocked) == (sheet.title == "Inputs")


def test_the_first_sheet_says_what_is_voted_on(rehearsal: Run) -> None:
    (read_me, *_) = planned(rehearsal).sheets
    lines = {row[0].value: row[1].value for row in read_me.rows}
    assert str(lines["What is proposed"]).startswith("Pay 8,220.33 PERP to 21 accounts for positions that were liquidated in BTCUSDC")
    assert (
        lines["Who is paid"]
        == "21 accounts are paid; 8 may be paid by the rules and get 0; 8 accounts acted in the window and are left out"
    )
    assert lines["Share of on-chain analysis"] == "18.26 % of 45,000.00 PERP"
    assert str(lines["Status"]).startswith("DRAFT")


def test_a_stopped_payment_says_that_amounts_are_values(rehearsal: Run) -> None:
    """A rule that no formula can follow is told where the amounts stand, and on Check."""
    stop = Finding("error", "logs", "Something is wrong.", "Wait.", stops=True, code="a-test")
    run = replace(rehearsal, problems=(*rehearsal.problems, stop))
    sheets = {sheet.name: sheet for sheet in planned(run).sheets}
    assert sheets["Claims"].heading.endswith("Amounts are values in 29 of them")
    assert ("Claims: accounts whose amounts are values", 29) in [(row[0].value, row[1].value) for row in sheets["Check"].rows]


def test_every_sheet_says_that_a_run_is_a_what_if_or_stopped(tmp_path: Path, rehearsal: Run) -> None:
    other = pipeline.compute(rehearsal.incident, rehearsal.input, "margin-only")
    said = "This is a what-if (formula margin-only), not the run that the incident file states. DRAFT."
    assert planned(other).state.value == said
    stop = Finding("error", "logs", "Something is wrong.", "Wait.", stops=True, code="a-test")
    stopped = planned(replace(rehearsal, problems=(*rehearsal.problems, stop)))
    assert stopped.state.value == "PAYMENT IS STOPPED by a finding, and every payout is 0. DRAFT."
    for sheet in load_workbook(io.BytesIO(workbook(other)), data_only=True):
        assert sheet["A2"].value == said


def test_what_a_sheet_of_dates_cannot_hold_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a row for each token of an account, and so more than the sheet Claims."""
    run = two_tokens(tmp_path)
    monkeypatch.setattr(sheet_limits, "ROWS", HEADER_ROW + 3)
    sheets = {sheet.name: sheet for sheet in planned(run).sheets}
    assert sheets["Claims"].heading == "What each account is paid, largest first: 3"
    assert (sheets["Vesting"].heading.partition(";")[0], sheets["Vesting"].height) == ("What unlocks when: 3 of 6 payouts", 3)


def test_a_frozen_run_is_final_and_any_other_a_draft(tmp_path: Path) -> None:
    freeze = frozen(tmp_path, [line(1)])
    assert planned(ruled(tmp_path, [line(1)])).state.value == "As published. DRAFT."
    assert planned(ruled(tmp_path, [line(1), freeze])).state.value == "As published. FINAL."
