"""check-sheet finds every way in which a passed-on file stops being the run, and is silent on a file that was only saved again."""

import gzip
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
from openpyxl.formatting.rule import Rule
from openpyxl.styles import Alignment, Color, Font, PatternFill
from openpyxl.styles.differential import DifferentialStyle
from openpyxl.styles.numbers import NumberFormat
from openpyxl.workbook.defined_name import DefinedName

import perpcomp
from perpcomp.audit.sheet.check import check
from perpcomp.audit.sheet.found import SheetCheck
from perpcomp.eip55 import checksummed
from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.publish.workbook.plan import FIRST_ROW
from perpcomp.systems.perpetual_v1.events import MARGIN_CHANGED
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


def ink(**colour: Any) -> Callable[[Any], None]:
    """Another colour for an amount."""

    def edit(book: Any) -> None:
        book["Claims"][f"G{A}"].font = Font(color=Color(**colour))

    return edit


def on_condition(**dressed: Any) -> Callable[[Any], None]:
    """A format that amounts above 0 get."""

    def edit(book: Any) -> None:
        rule = Rule(type="cellIs", operator="greaterThan", formula=["0"], dxf=DifferentialStyle(**dressed))
        book["Claims"].conditional_formatting.add(f"G{A}:G{A + 4}", rule)

    return edit


def near_alike(book: Any) -> None:
    """An address with two other digits, and the right checksum."""
    whose = str(book["Claims"][f"A{A}"].value).lower()
    book["Claims"][f"A{A}"].value = checksummed(whose[:3] + "0" + whose[4:39] + "0" + whose[40:])


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
    "a format that shows another number": (lambda book: setattr(book["Claims"][f"G{A}"], "number_format", '"1,000"'), "display-differs", f"Claims!G{A}"),
    "white on white": (ink(rgb="FFFFFFFF"), "display-differs", f"Claims!G{A}"),
    "nearly white on white": (ink(rgb="FFFDFDFA"), "display-differs", f"Claims!G{A}"),
    "white by the theme": (ink(theme=0), "display-differs", f"Claims!G{A}"),
    "black by the theme, made white": (ink(theme=1, tint=0.97), "display-differs", f"Claims!G{A}"),
    "white by its number": (ink(indexed=9), "display-differs", f"Claims!G{A}"),
    "black on black": (lambda book: setattr(book["Claims"][f"G{A}"], "fill", PatternFill("solid", fgColor="FF000000")), "display-differs", f"Claims!G{A}"),
    "letters of one point": (lambda book: setattr(book["Claims"][f"G{A}"], "font", Font(sz=1)), "display-differs", f"Claims!G{A}"),
    "a text again and again": (lambda book: setattr(book["Claims"][EXACT], "alignment", Alignment(horizontal="fill")), "display-differs", f"Claims!{EXACT}"),
    "white on a condition": (on_condition(font=Font(color="FFFFFFFF")), "display-differs", f"Claims!G{A}:G{A + 4}"),
    "another number on a condition": (on_condition(numFmt=NumberFormat(numFmtId=164, formatCode='"9,999"')), "display-differs", f"Claims!G{A}:G{A + 4}"),
    "zeros not shown": (lambda book: setattr(book["Claims"].sheet_view, "showZeros", False), "display-differs", "Claims"),
    "DRAFT made FINAL on paper": (lambda book: setattr(book["Claims"].oddFooter.center, "text", "FINAL"), "display-differs", "Claims footer"),
    "a word on top of the page": (lambda book: setattr(book["Claims"].oddHeader.center, "text", "Audited"), "display-differs", "Claims oddHeader"),
    "a row that is not printed": (lambda book: setattr(book["Claims"], "print_area", f"A1:K{A + 2}"), "hidden-row", "Claims in print"),
    "a row too low to read": (lambda book: setattr(book["Claims"].row_dimensions[A + 1], "height", 2), "hidden-row", f"Claims row {A + 1}"),
    "rows too low by default": (lambda book: setattr(book["Claims"].sheet_format, "defaultRowHeight", 1), "hidden-row", "Claims"),
    "a column too narrow to read": (lambda book: setattr(book["Claims"].column_dimensions["G"], "width", 1), "hidden-column", "Claims column G"),
    "a total above another column": (put("Claims!B4", 99_999), "extra-cell", "Claims!B4"),
    "a sentence beside the heading": (put("Claims!C1", "Approved"), "extra-cell", "Claims!C1"),
    "an account two digits off": (near_alike, "unknown-recipient", f"Claims row {A}"),
    "a note where no cell is": (lambda book: setattr(book["Claims"]["M9"], "comment", Comment("it is 9", "x")), "overlay", "Claims!M9"),
    "a link that says another thing": (lambda book: setattr(book["Claims"][f"A{A}"].hyperlink, "tooltip", "0xbeef"), "link-differs", f"Claims!A{A}"),
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
    for edit in (look_alike, near_alike):
        (stranger,) = [one for one in edited(folder, edit).findings if one.code == "unknown-recipient"]
        assert re.fullmatch("It looks like 0x[0-9a-f]{40}, and is another account.", stranger.hint)


def stored_result(parts: dict[str, bytes]) -> None:
    """Another result of the first formula of Claims; programs write the apostrophes in it in two ways."""
    of_formula = re.compile(rb"(SUMIFS\((?:'|&apos;)Compare traders[^<]*</f><v>)[^<]*")
    name = next(name for name, data in parts.items() if name.startswith("xl/worksheets/sheet") and of_formula.search(data))
    parts[name] = of_formula.sub(rb"\g<1>99", parts[name], count=1)


def height_of_nothing(parts: dict[str, bytes]) -> None:
    parts[SHEET] = parts[SHEET].replace(f'<row r="{A + 1}"'.encode(), f'<row r="{A + 1}" ht="0" customHeight="1"'.encode())


def reaches_out(parts: dict[str, bytes]) -> None:
    name = "xl/_rels/workbook.xml.rels"
    more = b'<Relationship Id="rId99" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image" Target="https://example.org/x.png" TargetMode="External"/></Relationships>'
    parts[name] = parts[name].replace(b"</Relationships>", more)


SHEET = "xl/worksheets/sheet3.xml"
SPARKLINE = (
    b'<extLst><ext uri="{05C60535-1F16-4fd2-B633-F4F36F0B64E0}" xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main">'
    b"<x14:sparklineGroups><x14:sparklineGroup/></x14:sparklineGroups></ext></extLst>"
)


def replace_in(parts: dict[str, bytes], name: str, old: bytes, new: bytes) -> None:
    assert old in parts[name]
    parts[name] = parts[name].replace(old, new, 1)


def white_theme(parts: dict[str, bytes]) -> None:
    """Black is white."""
    replace_in(parts, "xl/theme/theme1.xml", b'lastClr="000000"', b'lastClr="FFFFFF"')


def part_of_a_text(parts: dict[str, bytes]) -> None:
    """The first digit of an exact amount in white."""
    digits = re.search(rb"<is><t>([0-9]+)</t></is>", parts[SHEET])
    assert digits is not None
    white = b'<is><r><rPr><color rgb="FFFFFFFF"/></rPr><t>%s</t></r><r><t>%s</t></r></is>' % (digits[1][:1], digits[1][1:])
    parts[SHEET] = parts[SHEET].replace(digits[0], white, 1)


def macros_by_another_name(parts: dict[str, bytes]) -> None:
    parts["xl/figures.bin"] = b"x"
    kind = b"http://schemas.microsoft.com/office/2006/relationships/vbaProject"
    more = b'<Relationship Id="rId99" Type="' + kind + b'" Target="figures.bin"/></Relationships>'
    replace_in(parts, "xl/_rels/workbook.xml.rels", b"</Relationships>", more)


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
        (white_theme, "display-differs"),
        (part_of_a_text, "display-differs"),
        (lambda parts: replace_in(parts, "xl/workbook.xml", b"<calcPr ", b'<calcPr fullPrecision="0" '), "display-differs"),
        (lambda parts: replace_in(parts, "xl/workbook.xml", b"<workbookView ", b'<workbookView visibility="hidden" '), "hidden-sheet"),
        (macros_by_another_name, "active-content"),
        (lambda parts: parts.update({"xl/volatileDependencies.xml": b"<volTypes/>"}), "active-content"),
        (lambda parts: replace_in(parts, SHEET, b"</worksheet>", b'<picture r:id="rId9"/></worksheet>'), "overlay"),
        (lambda parts: replace_in(parts, SHEET, b"</worksheet>", SPARKLINE + b"</worksheet>"), "overlay"),
        (
            lambda parts: parts.update({"xl/drawings/vmlDrawing1.vml": b"<xml><v:shape><x:ClientData ObjectType='Text'/></v:shape></xml>"}),
            "overlay",
        ),
        (
            lambda parts: parts.update(
                {"xl/threadedComments/threadedComment1.xml": b"<ThreadedComments><threadedComment/></ThreadedComments>"}
            ),
            "overlay",
        ),
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


def undressed(book: Any) -> None:
    """What a workbook may lose without a figure changing."""
    for sheet in book:
        sheet.protection.sheet = False
        sheet.freeze_panes = None
        sheet.auto_filter.ref = None
        sheet.sheet_view.zoomScale = 50
    book["Inputs"].data_validations.dataValidation = []
    book["Claims"].conditional_formatting = type(book["Claims"].conditional_formatting)()
    book.properties.title = "Payouts"
    book.active = 3


def test_what_shows_every_figure_as_it_is_passes_with_notes(folder: Path) -> None:
    checked = edited(folder, undressed)
    assert checked.same, checked.findings
    assert {one.code for one in checked.findings} == {"cached-value-missing", "decoration-differs"}
    assert {"not protected", "DIFF is not marked", "Payouts", "lists of allowed inputs at (empty)"} <= {
        one.found for one in checked.findings
    }


@pytest.mark.office
def test_results_by_changed_inputs_are_compared_with_what_these_give(folder: Path) -> None:
    """A what-if that a program calculated is one; one with an amount that nothing gives is more than that."""
    changed = {("Inputs", f"C{A}"): "restore-position", ("Inputs", f"C{A + 1}"): 45_000.0, ("Inputs", f"C{A + 2}"): 6.5}
    file = folder.parent / "what-if.xlsx"
    file.write_bytes(office.convert(office.stripped((folder / "vote.xlsx").read_bytes(), changed), "xlsx"))
    checked = check(file, folder)
    assert [(one.code, one.place) for one in checked.findings if one.level == "error"] == [
        ("parameter-differs", f"Inputs!C{A + n}") for n in range(3)
    ]
    (note,) = [one for one in checked.findings if one.code == "what-if"]
    assert int(note.found.split()[0]) > 200

    with zipfile.ZipFile(file) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    stored_result(parts)
    with zipfile.ZipFile(file, "w") as target:
        for name, data in parts.items():
            target.writestr(name, data)
    (wrong,) = [one for one in check(file, folder).findings if one.code == "cached-value-differs"]
    assert (wrong.found, wrong.hint) == ("99", "It does not follow from the changed inputs.")


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
    edited(folder, lambda book: None)
    saved = call("check-sheet", "edited.xlsx", "out", cwd=folder.parent)
    assert (saved.returncode, saved.stdout) == (0, "")
    assert "PASS: edited.xlsx was re-saved, values equal: it says what the run says." in saved.stderr


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


def test_an_incomplete_or_stopped_run_checks_nothing(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "out"))
    (copy / "3-payouts.csv").unlink()
    with pytest.raises(
        InputError, match=r"The run is incomplete: its manifest lists 1 file that the folder lacks, such as 3-payouts\.csv\."
    ):
        check(folder / "vote.xlsx", copy)
    logs = gzip.decompress((incident_file.shelf() / "rehearsal" / "logs.jsonl.gz").read_bytes()).decode().splitlines(keepends=True)
    (tmp_path / "logs.jsonl").write_text("".join(line for line in logs if MARGIN_CHANGED.topic0 not in line))
    perpcomp.publish_run(perpcomp.compute("rehearsal", tmp_path / "logs.jsonl"), tmp_path / "stopped")
    with pytest.raises(InputError, match="The run stops its payments, so no file of it is one to vote on"):
        check(tmp_path / "stopped" / "vote.xlsx", tmp_path / "stopped")


def test_a_run_with_changed_inputs_checks_nothing(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "out"))
    file = copy / "inputs" / "made-up.toml"
    file.write_text(file.read_text().replace("price = 7", "price = 8"))
    with pytest.raises(InputError, match="own inputs were changed"):
        check(folder / "vote.xlsx", copy)
