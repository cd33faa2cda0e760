"""A table of amounts by address that somebody else published, as exact integers with the rows that they stand in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from perpcomp import text_file
from perpcomp.findings import Finding, refusal
from perpcomp.incident.kinds import address
from perpcomp.number_text import counted
from perpcomp.sheet_file import read_sheet

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
NUMBER = re.compile(r"-?(?:[0-9]{1,99}|[0-9]{1,3}(?:,[0-9]{3}){1,33})(?:\.[0-9]{1,99})?%?", re.ASCII)
EXPONENT = re.compile(r"(-?[0-9](?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,2})", re.ASCII)
TOTAL = re.compile(r"\s*(grand |sub)?(total|sum)\b.*", re.IGNORECASE)
TOKEN = ("token", "asset", "symbol", "token_address")
PART_OF_KEY = (*TOKEN, "tranche", "market", "market_name", "chain", "week")  # beside the address, such a column tells rows apart
PREFERRED = ("payee", "receiver", "recipient", "address", "user", "account", "trader", "holder", "wallet")
MOST = 20  # so many bad cells are named


@dataclass(frozen=True)
class Column:
    """A column of numbers: integers of 10**-places, None where a cell is empty."""

    name: str
    places: int
    values: Sequence[int | None]

    @property
    def known(self) -> list[int]:
        return [value for value in self.values if value is not None]


@dataclass(frozen=True)
class Listing:
    """A published table. `numbers` are the rows' numbers in the file, `keys` their addresses (lower case) with what tells rows apart.

    `stated` are the rows of totals: (row number, column -> integer as in the column).
    """

    name: str
    address_column: str
    numbers: Sequence[int]
    keys: Sequence[tuple[str, ...]]
    tokens: Sequence[str]
    columns: dict[str, Column]
    stated: Sequence[tuple[int, dict[str, int]]]
    problems: Sequence[Finding]

    def of_token(self, token: str | None) -> list[int]:
        """The places of the rows of a token; of all where the table has no column of tokens or None is given."""
        return [n for n, one in enumerate(self.tokens) if token is None or not one or one == token]


def read_listing(path: Path, sheet: str | None = None) -> Listing:
    """A .csv (any separator, UTF-8 or UTF-16) or .xlsx file. InputError where it cannot be read or lists no addresses."""
    problems: list[Finding] = []
    if path.suffix.lower() == ".xlsx":
        read = read_sheet(path, sheet)
        problems += read.remarks
        rows = [(number, list(cells)) for number, cells in read.rows if any(cells)]
    elif sheet is not None:
        raise refusal("--sheet", f"{path.name} is no workbook, so it has no sheets.", "Leave --sheet out.")
    else:
        rows = _csv(path)
    first = next((n for n, (_, cells) in enumerate(rows) if any(ADDRESS.fullmatch(cell) for cell in cells)), None)
    if first is None:
        raise refusal(str(path), "No cell of the table is an address.", "Give a table with a column of addresses, 0x and 40 hex digits.")
    header = rows[first - 1][1] if first else []
    body = rows[first:]
    width = max(len(cells) for _, cells in body)
    names = [(header[n] if n < len(header) else "") or f"column {n + 1}" for n in range(width)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise refusal(str(path), f"Two columns are called {twice[0]!r}.", "Rename one of them.")
    return _listing(path.name, names, [(number, [*cells, *[""] * (width - len(cells))]) for number, cells in body], problems)


def _csv(path: Path) -> list[tuple[int, list[str]]]:
    try:
        frame = text_file.read_csv(path)
    except text_file.UNREADABLE as error:
        raise refusal(str(path), f"The file cannot be read ({text_file.reason(error)}).", "Give a .csv or .xlsx file.") from None
    cells = [[(cell or "").strip() for cell in row] for row in frame.iter_rows()]
    return [(1, [name.strip() for name in frame.columns]), *((n, row) for n, row in enumerate(cells, 2) if any(row))]


def _listing(name: str, names: list[str], body: list[tuple[int, list[str]]], problems: list[Finding]) -> Listing:
    with_addresses = [n for n in range(len(names)) if sum(bool(ADDRESS.fullmatch(cells[n])) for _, cells in body) * 2 > len(body)]
    if not with_addresses:
        raise refusal(name, "No column holds an address in most of its rows.", "Give a table with one row for each address.")
    at = min(with_addresses, key=lambda n: PREFERRED.index(low) if (low := names[n].lower()) in PREFERRED else len(PREFERRED))
    keyed = [n for n, one in enumerate(names) if one.lower() in PART_OF_KEY and n != at]
    tokens = [n for n in keyed if names[n].lower() in TOKEN]
    rows, totals, seen = [], [], dict[tuple[str, ...], int]()
    for number, cells in body:
        if not cells[at] or TOTAL.fullmatch(cells[at]):
            totals.append((number, cells))
            continue
        try:
            key = (address(cells[at]), *(cells[n] for n in keyed))
        except ValueError as error:
            what, advice = error.args
            problems.append(Finding("error", f"{name} row {number}", f"{names[at]} {what}", advice, code="bad-address"))
            key = (cells[at].lower(), *(cells[n] for n in keyed))
        if key in seen:
            what = f"{', '.join(filter(None, key))} is in row {seen[key]} too."
            advice = "One of the two is paid twice, or the second overwrites the first: find out which is right."
            problems.append(Finding("error", f"{name} row {number}", what, advice, code="duplicate"))
        seen.setdefault(key, number)
        rows.append((number, key, cells))
    columns = {}
    for n, column in enumerate(names):
        cells = [row[n] for _, _, row in rows]
        if n != at and n not in keyed:
            cells = _without_exponents(name, column, [number for number, _, _ in rows], cells, problems)
        filled = [cell for cell in cells if cell]
        good = [cell for cell in filled if NUMBER.fullmatch(cell)]
        if n != at and n not in keyed and len(good) * 2 > len(filled):
            columns[column] = _column(name, column, [number for number, _, _ in rows], cells, good, problems)
    if not columns:
        raise refusal(name, "No column beside the addresses holds numbers.", "Give a table with amounts.")
    stated = [
        (number, {c: value for c, column in columns.items() if (value := _integer(cells[names.index(c)], column.places)) is not None})
        for number, cells in totals
    ]
    return Listing(
        name,
        names[at],
        [number for number, _, _ in rows],
        [key for _, key, _ in rows],
        [cells[tokens[0]] if tokens else "" for _, _, cells in rows],
        columns,
        [(number, values) for number, values in stated if values],
        problems,
    )


def _without_exponents(file: str, name: str, numbers: list[int], cells: list[str], problems: list[Finding]) -> list[str]:
    """The cells with each exponent written out. One finding says how many there are: such a number was a float, and a large one lost digits."""
    found = [(number, cell) for number, cell in zip(numbers, cells, strict=True) if EXPONENT.fullmatch(cell)]
    if found:
        number, cell = found[0]
        large = any(int(cell.lower().partition("e")[2]) > 0 for _, cell in found)
        what = (
            f"{counted(len(found), 'number')} of {name} {'has' if len(found) == 1 else 'have'} an exponent, first {cell} in row {number}."
        )
        advice = "A float or a spreadsheet wrote it" + (", and the digits it leaves out are lost" if large else "") + ". Get plain digits."
        problems.append(Finding("error" if large else "warning", file, what, advice, code="exponent"))
    return [f"{Decimal(cell):f}" if EXPONENT.fullmatch(cell) else cell for cell in cells]


def _column(file: str, name: str, numbers: list[int], cells: list[str], good: list[str], problems: list[Finding]) -> Column:
    places = max(len(cell.rstrip("%").partition(".")[2]) for cell in good)
    bad = [(number, cell) for number, cell in zip(numbers, cells, strict=True) if cell and not NUMBER.fullmatch(cell)]
    for number, cell in bad[:MOST]:
        why = "a formula, whose stored result anybody can set" if cell.startswith("=") else "not a plain number"
        what = f"{name} is {cell[:60]!r}, {why}. The row is not counted in this column."
        problems.append(Finding("error", f"{file} row {number}", what, "Get the amount as plain digits.", code="bad-number"))
    if len(bad) > MOST:
        problems.append(Finding("error", file, f"{name} has {len(bad) - MOST} more cells that are no number.", "", code="bad-number"))
    if empty := [number for number, cell in zip(numbers, cells, strict=True) if not cell]:
        what = f"{name} is empty in {counted(len(empty), 'row')}, first in row {empty[0]}."
        problems.append(Finding("warning", file, what, "An empty cell adds nothing: find out whether it means 0.", code="empty-cell"))
    return Column(name, places, [_integer(cell, places) for cell in cells])


def _integer(cell: str, places: int) -> int | None:
    """The integer of 10**-places of a cell; None where it holds no number. A total may have fewer or more places than its column."""
    if not NUMBER.fullmatch(cell):
        return None
    whole, _, fraction = cell.rstrip("%").replace(",", "").partition(".")
    return int(whole + fraction.ljust(places, "0")[:places])
