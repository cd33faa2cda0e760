"""Comparing the files of words of a run that another version of perpcomp published: the data in them must be the same.

Versions may say a finding or a line of the workbook in other words. `findings.csv` is compared by the level and the `stops` of each
finding, row by row. In the workbook each table is compared cell by cell in every column that both versions have, and each number
that the published summary or a heading states must be in the same line of the recomputed one. A workbook without formulas, as the
first version made it, is compared with the recomputed tables (static_workbook.py). Each number of `README.md` must be in the
recomputed one, and each number of an account's row of `report.html` in its recomputed row. Each number of the proposal must be in the
recomputed one. Tables in CSV and Parquet files are not compared here: verify compares them in full, whatever version made them.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from perpcomp.audit import static_workbook
from perpcomp.audit.compare import UNREADABLE, Cells, Difference, compare_json, compare_rows, csv_cells, sheets
from perpcomp.audit.static_workbook import SUMMARY, compare_tables, lines, one_sided
from perpcomp.publish.stated import parse_strictly
from perpcomp.publish.workbook.plan import HEADER_ROW
from perpcomp.publish.workbook.read_me import READ_ME

NUMBER = re.compile(r"[0-9a-f]{64}|[0-9][0-9,]*(?:\.[0-9]+)?")
ROW = re.compile(r'<tr id="(0x[0-9a-f]{40})"[^>]*>(.*?)(?=<tr|</t)', re.DOTALL)
SET_BACK, TAG = re.compile(r"</?small>"), re.compile(r"<[^>]*>")  # the first stands inside a number
DATA_OF_FINDINGS = ("level", "stops")
WORDS_OF_PROPOSAL = {"title", "body", "choices", "characters", "left_out_of_body"}
HASHES_OF_WORDS = {"description_hash", "proposal_id"}

Rows = Sequence[Sequence[Any]]
Lines = Mapping[tuple[str, int], str]


def compare_findings(name: str, published: bytes, expected: Mapping[str, bytes]) -> tuple[list[Difference], list[str]]:
    """Differences of the data in findings.csv, and notes on what is not compared."""
    theirs, ours = csv_cells(published), csv_cells(expected[name])
    lacking = [column for column in DATA_OF_FINDINGS if not theirs or column not in theirs[0]]
    if lacking:
        return [Difference(f"{name} {column}", "no such column", "a column of the table") for column in lacking], []
    differences = list(compare_rows(name, _columns(theirs, DATA_OF_FINDINGS), _columns(ours, DATA_OF_FINDINGS)))
    return differences, [f"{name}: words differ. Compared: the level and stops of each finding."]


def _columns(cells: Cells, names: Sequence[str]) -> Cells:
    """These columns of a table, by name; an empty cell where a row is too short."""
    places = [cells[0].index(name) for name in names]
    return [[row[place] if place < len(row) else "" for place in places] for row in cells]


def compare_workbooks(name: str, published: bytes, expected: Mapping[str, bytes]) -> tuple[list[Difference], list[str]]:
    """Differences of the data in two workbooks, and notes on what is not compared."""
    try:
        theirs = sheets(published)
    except UNREADABLE as error:
        return [Difference(name, f"cannot be read ({error})", "a workbook")], []
    ours = sheets(expected[name])
    notes = [f"{name}: words differ. Compared: numbers of the summary and cells of the tables."]
    if SUMMARY in theirs:
        before, now = lines(theirs[SUMMARY], static_workbook.HEADER_ROW), lines(ours[READ_ME], HEADER_ROW)
        differences, skipped = _compare_lines(f"{name} {SUMMARY}", before, now)
        found, remarks = compare_tables(name, theirs, expected)
        notes += one_sided(f"{name} {SUMMARY}", "line", skipped)
        return differences + found, notes + remarks
    differences = list[Difference]()
    notes += one_sided(name, "sheet", sorted({*theirs} ^ {*ours}))
    for sheet in theirs:
        if sheet not in ours:
            continue
        place = f"{name} {sheet}"
        differences += _compare_numbers(f"{place} heading", _head(theirs[sheet]), _head(ours[sheet]))
        if sheet == READ_ME:
            kind = "line"
            found, skipped = _compare_lines(place, lines(theirs[sheet], HEADER_ROW), lines(ours[sheet], HEADER_ROW))
        else:
            kind = "column"
            found, skipped = _compare_tables(place, theirs[sheet], ours[sheet])
        differences += found
        notes += one_sided(place, kind, skipped)
    return differences, notes


def compare_texts(name: str, published: bytes, expected: Mapping[str, bytes]) -> tuple[list[Difference], list[str]]:
    """A difference for each number of a text that the recomputed text does not state, and the note that words are not compared."""
    theirs, ours = (_numbers(data.decode("utf-8", "replace")) for data in (published, expected[name]))
    lacking = [Difference(name, number, "not stated") for number in sorted(theirs - ours)]
    return lacking, [f"{name}: words differ. Compared: its numbers."]


def compare_pages(name: str, published: bytes, expected: Mapping[str, bytes]) -> tuple[list[Difference], list[str]]:
    """A difference for each account whose row states a number that its recomputed row does not, and the note that all else is not compared."""
    theirs, ours = (_rows_by_id(data.decode("utf-8", "replace")) for data in (published, expected[name]))
    differences = [
        Difference(f"{name} #{account}", ", ".join(sorted(lacking)), "not stated")
        for account, text in theirs.items()
        if (lacking := _numbers(text) - _numbers(ours.get(account, "")))
    ]
    differences += [Difference(name, "no such row", account) for account in ours if account not in theirs]
    return differences, [f"{name}: words differ. Compared: the numbers of each account's row."]


def _rows_by_id(page: str) -> dict[str, str]:
    """Id -> the text of the row of that id, without its tags."""
    rows = ROW.findall(page)
    return {account: TAG.sub(" ", SET_BACK.sub("", row)) for account, row in rows}


def compare_proposals(name: str, published: bytes, expected: Mapping[str, bytes]) -> tuple[list[Difference], list[str]]:
    """Differences of the data in proposal.json: of everything but what its words are and how long."""
    return _compare_keys(name, published, expected, WORDS_OF_PROPOSAL, "everything but its title, its text and their lengths")


def compare_governors(name: str, published: bytes, expected: Mapping[str, bytes]) -> tuple[list[Difference], list[str]]:
    """Differences of the calls in governor.json: of everything but the hashes of the text that goes with them."""
    return _compare_keys(name, published, expected, HASHES_OF_WORDS, "everything but the hash of the text and the number made of it")


def _compare_keys(
    name: str, published: bytes, expected: Mapping[str, bytes], without: Set[str], compared: str
) -> tuple[list[Difference], list[str]]:
    try:
        theirs = parse_strictly(published.decode())
    except (ValueError, RecursionError) as error:
        return [Difference(name, f"cannot be read ({error})", "JSON")], []
    ours = json.loads(expected[name])
    if not isinstance(theirs, dict):
        return [Difference(name, "no JSON object", "a JSON object")], []
    kept = [{key: value for key, value in one.items() if key not in without} for one in (theirs, ours)]
    return compare_json(name, *kept), [f"{name}: words differ. Compared: {compared}."]


def _head(rows: Rows) -> str:
    """All that stands above the header, as one text."""
    return " ".join(_text(cell) for row in rows[: HEADER_ROW - 1] for cell in row)


def _text(cell: Any) -> str:
    return "" if cell.value is None else str(cell.value)


def _compare_numbers(place: str, published: str, recomputed: str) -> Iterator[Difference]:
    """A difference for the numbers that the published text states and the recomputed one does not."""
    if _numbers(published) - _numbers(recomputed):
        yield Difference(place, published, recomputed)


def _numbers(text: str) -> Counter[str]:
    """The numbers and hashes in a text, without separators of thousands. A bare 0 is left out: words may say it, such as "none"."""
    return Counter(plain for number in NUMBER.findall(text) if (plain := number.replace(",", "")) != "0")


def _compare_lines(place: str, theirs: Lines, ours: Lines) -> tuple[list[Difference], list[str]]:
    """Differences of numbers in the lines that both summaries have, and the labels of all other lines."""
    both = [key for key in theirs if key in ours]
    differences = [found for key in both for found in _compare_numbers(f"{place} {key[0]}", theirs[key], ours[key])]
    return differences, sorted(label for label, _ in {*theirs} ^ {*ours})


def _compare_tables(place: str, published: Rows, recomputed: Rows) -> tuple[list[Difference], list[str]]:
    """Differences of cells in the columns that both tables have, and the headers of all other columns."""
    theirs, ours = _columns_by_header(published), _columns_by_header(recomputed)
    differences = []
    for their_row, our_row in zip(published[HEADER_ROW:], recomputed[HEADER_ROW:], strict=False):
        for header, at in theirs.items():
            if header in ours and their_row[at].value != our_row[ours[header]].value:
                cell = f"{place}!{their_row[at].coordinate} {header}"
                differences.append(Difference(cell, _text(their_row[at]) or "(empty)", _text(our_row[ours[header]]) or "(empty)"))
    if len(published) != len(recomputed):
        differences.append(Difference(place, f"{len(published) - HEADER_ROW} rows", f"{len(recomputed) - HEADER_ROW} rows"))
    return differences, sorted({*theirs} ^ {*ours})


def _columns_by_header(rows: Rows) -> dict[str, int]:
    return {_text(cell): at for row in rows[HEADER_ROW - 1 : HEADER_ROW] for at, cell in enumerate(row)}
