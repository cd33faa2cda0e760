"""Comparing a workbook without formulas, as version 0.1.0 published it, with the tables and the summary of the recomputed run.

Its sheets were published tables, so each is compared with the table of that name, by the table's key; its first sheet was the summary,
whose lines stand on the sheet Read me now.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from perpcomp.audit.compare import Cells, Difference, csv_cells
from perpcomp.tables.liquidations import LEFT_OUT, LIQUIDATIONS
from perpcomp.tables.payouts import CLAIMS, PAYOUTS
from perpcomp.tables.schema import Table

Rows = Sequence[Sequence[Any]]
SUMMARY = "Summary"
HEADER_ROW = 4
TABLES: dict[str, tuple[str, Table]] = {
    "Payouts": ("3-payouts.csv", PAYOUTS),
    "Claims": ("4-claims.csv", CLAIMS),
    "Liquidations": ("2-liquidations.csv", LIQUIDATIONS),
    "Left out": ("left-out.csv", LEFT_OUT),
}


def one_sided(place: str, kind: str, titles: Sequence[str]) -> list[str]:
    """The note on lines, columns or sheets that only one of two workbooks has; none without any."""
    return [f"{place}: not compared, because only one of the two has it: {kind} {', '.join(titles)}."] if titles else []


def compare_tables(name: str, sheets: Mapping[str, Rows], expected: Mapping[str, bytes]) -> tuple[list[Difference], list[str]]:
    """Differences of every table that the sheets show, and the columns that are not compared."""
    differences, notes = list[Difference](), list[str]()
    for sheet, rows in sheets.items():
        if sheet == SUMMARY:
            continue
        if sheet not in TABLES:
            notes += one_sided(name, "sheet", [sheet])
            continue
        file, table = TABLES[sheet]
        found, skipped = _compare(f"{name} {sheet}", rows, csv_cells(expected[file]), table)
        differences += found
        notes += one_sided(f"{name} {sheet}", "column", skipped)
    return differences, notes


def _compare(place: str, rows: Rows, recomputed: Cells, table: Table) -> tuple[list[Difference], list[str]]:
    """Differences of a sheet from its table: the totals above the header, then each cell by the key of its row."""
    header, *lines = recomputed
    heads = [str(cell.value or "") for cell in rows[HEADER_ROW - 1]]
    columns = {at: head.partition(" (")[0].partition(",")[0] for at, head in enumerate(heads)}
    skipped = sorted({head for at, head in enumerate(heads) if columns[at] not in header})
    skipped += sorted(column.name for column in table.columns if column.name in header and column.name not in columns.values())
    places = {name: at for at, name in columns.items() if heads[at].partition(" (")[0] == name}
    differences = [*_totals(place, rows, columns, recomputed)]
    ours = {tuple(row[header.index(name)] for name in table.key): row for row in lines}
    theirs = rows[HEADER_ROW:]
    for cells in theirs:
        key = tuple(_plain(cells[places[name]].value) for name in table.key if name in places)
        row = ours.get(key)
        if row is None:
            differences.append(Difference(f"{place}!{cells[0].coordinate}", " ".join(key), "no such row"))
            continue
        for at, column in columns.items():
            if column in header and not _same(cells[at].value, row[header.index(column)], ", exact" in heads[at]):
                where = f"{place}!{cells[at].coordinate} {heads[at]}"
                differences.append(Difference(where, str(cells[at].value or "(empty)"), row[header.index(column)] or "(empty)"))
    if len(theirs) != len(lines):
        differences.append(Difference(place, f"{len(theirs)} rows", f"{len(lines)} rows"))
    return differences, skipped


def _totals(place: str, rows: Rows, columns: Mapping[int, str], recomputed: Cells) -> Iterator[Difference]:
    """The totals above the header that are not the sums of their columns."""
    header, *lines = recomputed
    for at, cell in enumerate(rows[HEADER_ROW - 2]):
        if cell.value is None or columns.get(at) not in header:
            continue
        own = sum(int(Decimal(row[header.index(columns[at])]).scaleb(18)) for row in lines if row[header.index(columns[at])])
        stated = _decimal(str(cell.value).removeprefix("Total ").partition(" ")[0].replace(",", ""))
        if stated is None or int(stated.scaleb(18)) != own:
            yield Difference(f"{place}!{cell.coordinate} {columns[at]}", str(cell.value), f"{Decimal(own).scaleb(-18):f}")


def _plain(value: Any) -> str:
    """A cell's value as a CSV file has it."""
    text = "" if value is None else str(value)
    if text in ("yes", "no"):
        return "true" if text == "yes" else "false"
    return text.lower() if text.startswith("0x") and len(text) == 42 else text


def _same(cell: Any, text: str, exact: bool) -> bool:
    """Whether a cell shows the text of a CSV file: to the last digit where it is exact, else to the 15 that a number has."""
    if _plain(cell) == text:
        return True
    ours, theirs = _decimal(text), _decimal(_plain(cell))
    if ours is None or theirs is None:
        return False
    return ours == theirs if exact or isinstance(cell, str) else abs(ours - theirs) <= abs(ours) * Decimal("1e-14")


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def lines(rows: Rows, header_row: int) -> dict[tuple[str, int], str]:
    """(label, how many lines with this label are above) -> all that stands beside it, of a sheet of lines."""
    seen, found = Counter[str](), {}
    for row in rows[header_row:]:
        label = "" if row[0].value is None else str(row[0].value)
        found[label, seen[label]] = " ".join("" if cell.value is None else str(cell.value) for cell in row[1:])
        seen[label] += 1
    return found
