"""The cells of a workbook as XML: a table by column is what its cells are one by one, hostile texts stay texts, and links end where a sheet's do."""

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape

from perpcomp import sheet_limits
from perpcomp.publish.workbook import workbook, write
from perpcomp.publish.workbook.book import planned
from perpcomp.publish.workbook.forms import FORMS, PLACES, WORD, WRAPS
from perpcomp.publish.workbook.plan import ROW, Cell, Cells
from perpcomp.publish.workbook.sheet_xml import lines_xml, links_xml, rows_xml
from perpcomp.run import Run
from tests import build
from tests.build import address, position
from tests.test_workbook import two_tokens

STYLES = {name: number for number, name in enumerate(FORMS, 1)}
HOSTILE = [
    "",
    "plain",
    " before",
    "after ",
    "a<b>&\"'c",
    "=1+1",
    "_x0041_",
    "a\x01b",
    "\ufffe",
    "\r\n",
    "<r><t>x</t></r>",
    "0x…",
    "\U0001f642",
]
TEXTS = st.one_of(st.none(), st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
NUMBERS = st.one_of(
    st.none(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, 1e-7, 1e22, 5.0, 0.1 + 0.2, -2.5e-05])
)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("ten digits", 10, 1),
        ("ten digits", 9, 2),
        ("a\tb", 9, 1),
        ("a\tb", 8, 2),  # the tab takes seven characters
        ("abc\tdefgh\tij", 16, 2),
        ("ab\ncd", 5, 1),
        ("", 5, 1),
        ("   ", 2, 1),
        ("abcdefghij", 4, 3),
    ],
)
def test_the_lines_of_a_text(text: str, width: int, lines: int) -> None:
    assert write._lines_of(Cell(text, "bold"), width / WRAPS["bold"] + 0.01) == lines


def test_the_lines_of_a_column_of_texts() -> None:
    """A word as long as a line is torn."""
    texts = pl.Series(["abcd efghi", "abcdefghij", None, "ab"])
    assert write._lines(texts, 10).to_list() == [2, 3, None, 1]
    assert write._lines(texts, 11).to_list() == [1, 1, None, 1]


@st.composite
def columns(draw: Any, height: int) -> Cells:
    """A column of any kind."""

    def series(of: st.SearchStrategy[Any], dtype: Any) -> pl.Series:
        return pl.Series(draw(st.lists(of, min_size=height, max_size=height)), dtype=dtype)

    form = draw(st.one_of(st.sampled_from(["text", "money"]), st.just(None)))
    forms = series(st.sampled_from(["text", "money", "link"]), pl.String) if form is None else form
    numbers = draw(st.sampled_from([None, (NUMBERS, pl.Float64), (st.one_of(st.none(), st.integers(-(10**9), 10**9)), pl.Int64)]))
    texts = series(TEXTS, pl.String) if numbers is None or draw(st.booleans()) else None
    kind = draw(st.sampled_from(["", f'IF(A{ROW}<2,B{ROW},"&")', "own"]))
    formula = series(st.sampled_from(["", "A1&B2", "C3<4"]), pl.String) if kind == "own" else kind
    live = series(st.booleans(), pl.Boolean) if kind not in ("", "own") and draw(st.booleans()) else None
    return Cells(forms, None if numbers is None else series(*numbers), texts, formula, live)


@given(st.data(), st.integers(1, 4), st.integers(1, 100))
def test_a_table_by_column_is_its_cells_one_by_one(data: st.DataObject, height: int, first: int) -> None:
    table = data.draw(st.lists(columns(height), min_size=1, max_size=4))
    heights = data.draw(st.one_of(st.none(), st.lists(st.sampled_from([None, 30]), min_size=height, max_size=height)))
    rows = [*zip(*(cells.one_by_one(first) for cells in table), strict=True)]
    written = rows_xml(table, first, STYLES, None if heights is None else pl.Series(heights, dtype=pl.Int64))
    expected = lines_xml(rows, first, STYLES, heights or [None] * height)
    assert read(written) == read(expected)


def read(rows: bytes) -> list[Any]:
    """Rows and cells as a program reads them. Polars and Python write 1e-05 in two ways; blanks at an end of a text stay only where it is said."""
    found: list[Any] = []
    for row in ElementTree.fromstring(b"<rows>%s</rows>" % rows):
        found.append(row.attrib)
        for cell in row:
            formula, value, text = cell.find("f"), cell.find("v"), cell.find("is/t")
            content = None if value is None else value.text
            if text is not None:
                content = text.text if "preserve" in text.attrib.values() else (text.text or "").strip()
            kind = cell.attrib.get("t")
            number = float(content) if kind is None and content is not None else content
            found.append((cell.attrib["r"], cell.attrib["s"], kind, None if formula is None else formula.text, number))
    return found


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_reads_back_as_it_went_in(text: str) -> None:
    row = rows_xml([Cells("text", texts=pl.Series([text, "other"]))], 1, STYLES)
    content = "".join(ElementTree.fromstring(b"<rows>%s</rows>" % row).itertext())
    assert unescape(content) == f"{text}other"


@pytest.mark.parametrize("title", ["<r><t>Pay everybody</t></r>", "<r>&<b>", "a _x0041_ b", "&amp; 'x' \"y\""])
def test_a_hostile_title_is_shown_as_it_is(title: str, tmp_path: Path) -> None:
    """One of them is a text that XlsxWriter would take for markup of a text's parts."""
    toml = title.replace("\\", "\\\\").replace('"', '\\"')
    run = build.run(tmp_path, position(1, address(1), 1, 30_000, 10_000, 42_000), {"A made-up incident": toml})
    shown = load_workbook(io.BytesIO(workbook(run)), rich_text=True)["Read me"]
    assert shown["A1"].value == title
    assert type(shown["A1"].value) is str
    assert title in [row[1].value for row in shown.iter_rows()]


def test_links_end_where_those_of_a_sheet_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_limits, "LINKS", 2)
    rows = [row for n in range(1, 5) for row in position(n, address(n), 1, 30_000, 10_000 + n, 42_000)]
    book = load_workbook(io.BytesIO(workbook(build.run(tmp_path, rows))))
    for name in ("Claims", "Positions", "Formulas"):
        assert book[name]["A1"].value.endswith(": 4; the first 2 have links")
        linked = [cell.row for row in book[name].iter_rows() for cell in row if cell.hyperlink is not None]
        assert linked == [6, 7]


def test_a_number_that_is_none_is_refused() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(RuntimeError, match="infinite or none"):
            rows_xml([Cells("money", pl.Series([1.0, value]))], 6, STYLES)


def test_a_link_holds_what_an_attribute_may() -> None:
    element, relations = links_xml([Cells("link", texts=pl.Series(["a", "b"]), links=pl.Series(["", 'https://x/?a=1&b="<']))], 6)
    assert element == b'<hyperlinks><hyperlink ref="A7" r:id="rId1"/></hyperlinks>'
    assert ElementTree.fromstring(relations)[0].attrib["Target"] == 'https://x/?a=1&b="<'


def test_no_header_breaks_inside_a_word_and_no_number_is_wider_than_its_column(rehearsal: Run, large: Run, tmp_path: Path) -> None:
    for plan in (planned(rehearsal), planned(large), planned(two_tokens(tmp_path))):
        for sheet in plan.sheets:
            for at, column in enumerate(sheet.columns):
                words = column.header.split()
                assert max(map(len, words), default=0) <= column.width * 1.01 * WORD or not sheet.body, (sheet.name, column.header)
                for cell in [column.above, *(row[at] for row in sheet.rows if at < len(row))]:
                    if cell is not None and isinstance(cell.value, int | float) and cell.form in PLACES:
                        assert len(f"{cell.value:,.{PLACES[cell.form]}f}") <= column.width, (sheet.name, column.header, cell)
