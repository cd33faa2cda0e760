"""check-sheet finds every way in which a passed-on file stops being the run, and is silent on a file that was only saved again."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from openpyxl.comments import Comment
from openpyxl.styles import Font
from openpyxl.workbook.defined_name import DefinedName

import perpcomp
from perpcomp.audit.sheet.check import check
from perpcomp.audit.sheet.found import SheetCheck
from perpcomp.findings import InputError
from perpcomp.publish.workbook.plan import FIRST_ROW
from tests import build, office
from tests.build import address, position
from tests.commands import call

pytestmark = pytest.mark.money

A = FIRST_ROW  # the row of the first account
EXACT = f"H{A}"  # of Claims


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published run of five traders, of whom two have nearly the same amount."""
    base = tmp_path_factory.mktemp("sheet")
    rows = [row for n in range(1, 6) for row in position(n, address(n), 1, 30_000, 10_000 + n, 42_000)]
    perpcomp.publish_run(build.run(base, rows), base / "out")
    return base / "out"


def edited(folder: Path, edit: Callable[[Any], object]) -> SheetCheck:
    """What check-sheet says of the workbook after an edit in openpyxl, which saves it without stored results."""
    book = load_workbook(folder / "vote.xlsx")
    edit(book)
    book.save(folder.parent / "edited.xlsx")
    return check(folder.parent / "edited.xlsx", folder)


def repacked(folder: Path, edit: Callable[[dict[str, bytes]], object]) -> SheetCheck:
    """What it says after an edit of the parts of the file."""
    with zipfile.ZipFile(folder / "vote.xlsx") as source:
        parts = {name: source.read(name) for name in source.namelist()}
    edit(parts)
    file = folder.parent / "repacked.xlsx"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in parts.items():
            target.writestr(name, data)
    return check(file, folder)


def put(place: str, value: object) -> Callable[[Any], None]:
    sheet, cell = place.split("!")

    def edit(book: Any) -> None:
        book[sheet][cell].value = value

    return edit


def swap(book: Any) -> None:
    one, other = book["Claims"][f"H{A}"], book["Claims"][f"H{A + 1}"]
    one.value, other.value = other.value, one.value


def look_alike(book: Any) -> None:
    whose = str(book["Claims"][f"A{A}"].value)
    for at, cell in enumerate(book["Claims"][A + 4], 1):
        book["Claims"].cell(A + 5, at).value = cell.value
    book["Claims"][f"A{A + 5}"].value = whose[:20] + "0123456789" + whose[30:]
    book["Claims"].row_dimensions[A + 5].hidden = True


def twice(book: Any) -> None:
    for at, cell in enumerate(book["Claims"][A], 1):
        book["Claims"].cell(A + 5, at).value = cell.value


def put_name(book: Any) -> None:
    book.defined_names["token_price_1"] = DefinedName("token_price_1", attr_text="Inputs!$C$6")


def white(book: Any) -> None:
    book["Claims"][f"G{A}"].font = Font(color="FFFFFFFF")


TAMPERED: dict[str, tuple[Callable[[Any], object], str, str]] = {
    "an exact amount by one base unit": (lambda book: put(f"Claims!{EXACT}", str(int(book["Claims"][EXACT].value) + 1))(book), "amount-differs", f"Claims!{EXACT}"),
    "two amounts swapped": (swap, "amount-differs", f"Claims!{EXACT}"),
    "a row hidden": (lambda book: setattr(book["Claims"].row_dimensions[A + 1], "hidden", True), "hidden-row", f"Claims row {A + 1}"),
    "a column hidden": (lambda book: setattr(book["Claims"].column_dimensions["G"], "hidden", True), "hidden-column", "Claims column G"),
    "a filter set": (lambda book: book["Claims"].auto_filter.add_filter_column(0, ["x"]), "hidden-row", "Claims"),
    "a row of a look-alike": (look_alike, "unknown-recipient", f"Claims row {A + 5}"),
    "a sheet hidden": (lambda book: setattr(book["Left out"], "sheet_state", "veryHidden"), "hidden-sheet", "Left out"),
    "a sheet removed": (lambda book: book.remove(book["Check"]), "missing-sheet", "Check"),
    "a sheet added": (lambda book: book.create_sheet("Bonus"), "extra-sheet", "Bonus"),
    "a formula made a constant": (put(f"Claims!C{A}", 10_005), "formula-missing", f"Claims!C{A}"),
    "a formula of one row less": (lambda book: put(f"Claims!C{A}", str(book["Claims"][f"C{A}"].value).replace("$10", "$9"))(book), "formula-differs", f"Claims!C{A}"),
    "an input changed": (put(f"Inputs!C{A + 2}", 8.0), "parameter-differs", f"Inputs!C{A + 2}"),
    "a row twice": (twice, "duplicate-recipient", f"Claims row {A + 5}"),
    "a total of one row less": (lambda book: put("Claims!C4", "=SUM(C6:C9)")(book), "total-differs", "Claims!C4"),
    "a letter that looks like another": (lambda book: put(f"Claims!A{A}", str(book["Claims"][f"A{A}"].value).replace("A", "\u0410"))(book), "bad-address", f"Claims!A{A}"),
    "an address in another case": (lambda book: put(f"Claims!A{A}", str(book["Claims"][f"A{A}"].value).lower())(book), "bad-address", f"Claims!A{A}"),
    "a row removed": (lambda book: book["Claims"].delete_rows(A + 4), "missing-recipient", "Claims"),
    "a link elsewhere": (lambda book: setattr(next(c for c in book["Positions"][A] if c.hyperlink).hyperlink, "target", "https://gnosisscan.io/tx/0x00"), "link-differs", "Positions!"),
    "an amount made a number": (lambda book: put(f"Claims!{EXACT}", float(book["Claims"][EXACT].value))(book), "precision-lost", f"Claims!{EXACT}"),
    "a format that shows nothing": (lambda book: setattr(book["Claims"][f"G{A}"], "number_format", ";;;"), "display-differs", f"Claims!G{A}"),
    "white on white": (white, "display-differs", f"Claims!G{A}"),
    "merged cells": (lambda book: book["Claims"].merge_cells(f"B{A}:B{A + 1}"), "overlay", f"Claims!B{A}:B{A + 1}"),
    "a note over a figure": (lambda book: setattr(book["Claims"][f"G{A}"], "comment", Comment("it is 9", "x")), "overlay", f"Claims!G{A}"),
    "a name for another cell": (put_name, "name-differs", "the name token_price_1"),
    "a function of its own": (lambda book: book.defined_names.add(DefinedName("more", attr_text="LAMBDA(x,x+1)")), "active-content", "xl/workbook.xml"),
    "a text beside the table": (put("Claims!Z3", "paid twice"), "extra-cell", "Claims!Z3"),
    "another sentence": (put(f"Read me!B{A}", "Pay everybody."), "value-differs", f"Read me!B{A}"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAMPERED)
def test_every_kind_of_tampering_is_found_at_its_cell(kind: str, folder: Path) -> None:
    edit, code, place = TAMPERED[kind]
    checked = edited(folder, edit)
    assert not checked.same
    assert any(one.code == code and one.place.startswith(place) for one in checked.findings), checked.findings


def test_swapped_amounts_say_so_and_a_look_alike_is_named(folder: Path) -> None:
    assert {one.hint for one in edited(folder, swap).findings if one.code == "amount-differs"} == {
        f"It changed places with Claims!H{A + 1}.",
        f"It changed places with Claims!H{A}.",
    }
    (stranger,) = [one for one in edited(folder, look_alike).findings if one.code == "unknown-recipient"]
    assert re.fullmatch("It looks like 0x[0-9a-f]{40}, and is another account.", stranger.hint)


def sheet_of(parts: dict[str, bytes], text: bytes) -> str:
    """The part that holds a text."""
    return next(name for name, data in parts.items() if name.startswith("xl/worksheets/sheet") and text in data)


def stored_result(parts: dict[str, bytes]) -> None:
    name = sheet_of(parts, b"SUMIFS('Compare traders'")
    parts[name] = re.sub(rb"(SUMIFS\('Compare traders'[^<]*</f><v>)[^<]*", rb"\g<1>99", parts[name], count=1)


def height_of_nothing(parts: dict[str, bytes]) -> None:
    name = sheet_of(parts, b"SUMIFS('Compare traders'")
    parts[name] = parts[name].replace(f'<row r="{A + 1}" '.encode(), f'<row r="{A + 1}" ht="0" customHeight="1" '.encode())


def reaches_out(parts: dict[str, bytes]) -> None:
    name = "xl/_rels/workbook.xml.rels"
    more = b'<Relationship Id="rId99" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image" Target="https://example.org/x.png" TargetMode="External"/></Relationships>'
    parts[name] = parts[name].replace(b"</Relationships>", more)


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (stored_result, "cached-value-differs"),
        (height_of_nothing, "hidden-row"),
        (reaches_out, "active-content"),
        (lambda parts: parts.update({"xl/vbaProject.bin": b"x"}), "active-content"),
        (lambda parts: parts.update({"xl/connections.xml": b"<connections/>"}), "active-content"),
        (lambda parts: parts.update({"xl/richData/rdrichvalue.xml": b"<rvData/>"}), "active-content"),
        (lambda parts: parts.update({"xl/drawings/drawing9.xml": b"<xdr:wsDr><xdr:twoCellAnchor/></xdr:wsDr>"}), "overlay"),
        (lambda parts: parts.update({"xl/tables/table1.xml": b"<table><autoFilter><filterColumn/></autoFilter></table>"}), "hidden-row"),
    ],
)
def test_what_no_spreadsheet_library_writes_is_found_too(edit: Callable[[dict[str, bytes]], object], code: str, folder: Path) -> None:
    assert code in {one.code for one in repacked(folder, edit).findings}


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda parts: parts.update({"xl/bomb.xml": b" " * 3_000_000}), "as a bomb does"),
        (lambda parts: parts.update({"xl/styles.xml": b"<!DOCTYPE x>" + parts["xl/styles.xml"]}), "has a DOCTYPE"),
        (lambda parts: parts.update({"../evil.xml": b"<x/>"}), "A part is called"),
    ],
)
def test_an_unsafe_file_is_refused_before_it_is_opened(edit: Callable[[dict[str, bytes]], object], says: str, folder: Path) -> None:
    with pytest.raises(InputError, match=says) as refused:
        repacked(folder, edit)
    assert refused.value.exit_code == 4


def test_the_untouched_file_and_one_that_was_only_saved_again_pass(folder: Path) -> None:
    assert check(folder / "vote.xlsx", folder) == SheetCheck((), True)
    saved = edited(folder, lambda book: setattr(book["Claims"].column_dimensions["A"], "width", 60))
    assert saved.same
    assert [one.code for one in saved.findings] == ["cached-value-missing"]


def test_sorted_rows_pass(folder: Path) -> None:
    """As a program sorts: the formulas of a row move with it."""

    def turn(book: Any) -> None:
        sheet = book["Claims"]
        rows = [[cell.value for cell in sheet[row]] for row in range(A, A + 5)]
        for row, source in zip(range(A, A + 5), reversed(range(A, A + 5)), strict=True):
            for at, value in enumerate(rows[source - A], 1):
                moved = re.sub(rf"(?<![$0-9^])\b([A-Z]){source}\b", rf"\g<1>{row}", value) if str(value).startswith("=") else value
                sheet.cell(row, at).value = moved

    checked = edited(folder, turn)
    assert checked.same, checked.findings


@pytest.mark.office
def test_a_file_that_libreoffice_saved_again_passes(folder: Path) -> None:
    saved = folder.parent / "libreoffice.xlsx"
    saved.write_bytes(office.convert((folder / "vote.xlsx").read_bytes(), "xlsx"))
    assert check(saved, folder) == SheetCheck((), False)


def test_a_csv_file_is_compared_by_its_rows(folder: Path) -> None:
    lines = (folder / "3-payouts.csv").read_text().splitlines()
    copy = folder.parent / "copy.csv"
    copy.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert check(copy, folder).same, "sorted otherwise"
    at = lines[0].split(",").index("amount_base_units")
    cells = lines[1].split(",")
    cells[at] = str(int(cells[at]) + 1)
    copy.write_text("\n".join([lines[0], ",".join(cells), *lines[3:], lines[3]]) + "\n")
    assert sorted(one.code for one in check(copy, folder).findings) == ["amount-differs", "duplicate-recipient", "missing-recipient"]


def test_the_command_says_cell_found_and_expected_and_exits_with_1(folder: Path) -> None:
    edited(folder, put(f"Claims!{EXACT}", "7"))
    done = call("check-sheet", "edited.xlsx", "out", cwd=folder.parent)
    assert done.returncode == 1
    assert re.search(rf"amount-differs +Claims!{EXACT} +7 ", done.stdout)
    assert "FAIL: edited.xlsx is not what the run says: 1 difference." in done.stderr
    asked = call("check-sheet", "edited.xlsx", "out", "--json", cwd=folder.parent)
    assert [one["code"] for one in json.loads(asked.stdout)["findings"] if one["level"] == "error"] == ["amount-differs"]
    good = call("check-sheet", "out/vote.xlsx", "out", cwd=folder.parent)
    assert (good.returncode, good.stdout) == (0, "")
    assert "PASS: vote.xlsx is the file of the run, unchanged." in good.stderr


def test_what_is_no_workbook_or_no_run_is_refused_with_what_to_type(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_bytes(b"PK nothing")
    for file, run, says in (
        (tmp_path / "x.xlsx", folder, "The file is not an .xlsx workbook"),
        (tmp_path / "none.xlsx", folder, "There is no such file"),
        (folder / "README.md", folder, "No CSV file of the run has its columns"),
        (folder / "vote.xlsx", tmp_path, "manifest.json"),
    ):
        with pytest.raises(InputError, match=says):
            check(file, run)


def test_a_run_with_changed_inputs_checks_nothing(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "out"))
    file = copy / "inputs" / "made-up.toml"
    file.write_text(file.read_text().replace("price = 7", "price = 8"))
    with pytest.raises(InputError, match="own inputs were changed"):
        check(folder / "vote.xlsx", copy)
