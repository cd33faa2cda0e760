"""What a workbook is before it is written: sheets of cells that know their value, formula and format. write.py writes it, check-sheet compares with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from perpcomp.fixed import ONE
from perpcomp.number_text import exact
from perpcomp.sheet_limits import ABOVE

HEADER_ROW = ABOVE  # counted from 1, on every sheet: the heading, the state, the notice and the totals are above it
FIRST_ROW = HEADER_ROW + 1

Value = str | float | int | None


class Cell(NamedTuple):
    """A cell. With a formula (without "="), `value` is what it gives for the published run. `link` makes a text a link."""

    value: Value = None
    form: str = "text"
    formula: str = ""
    link: str = ""


class Column(NamedTuple):
    """A column of a sheet: its header with the unit, its width in characters, and the cell above the header, a total."""

    header: str
    width: int
    above: Cell | None = None


EMPTY = Cell()


@dataclass(frozen=True)
class Sheet:
    """One table under a heading. `key` are the columns that identify a row, so that a reader may sort it; none: rows keep their place.

    `held` says where all rows are, if the sheet shows fewer. `checks` are columns of "ok" or "DIFF".
    """

    name: str
    heading: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    key: tuple[int, ...] = ()
    filtered: bool = False
    checks: tuple[int, ...] = ()
    choices: dict[int, dict[str, object]] = field(default_factory=dict)  # row -> what column C accepts there

    @property
    def last_row(self) -> int:
        """Its last row, counted from 1; a sheet without rows has one empty one."""
        return HEADER_ROW + max(len(self.rows), 1)


@dataclass(frozen=True)
class Book:
    """A workbook. `names` are its defined names, `state` the formula of each sheet's second row."""

    title: str
    notice: str
    footer: str
    sheets: Sequence[Sheet]
    names: dict[str, str]
    state: Cell


@cache
def letter(column: int) -> str:
    """The letters of a column counted from 0: 0 is A, 26 is AA."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def span(sheet: str, column: int, rows: int) -> str:
    """A column's cells from the first row of a sheet with so many rows, as a formula on any sheet names them."""
    name = f"'{sheet}'" if " " in sheet else sheet  # as every program writes it
    return f"{name}!${letter(column)}${FIRST_ROW}:${letter(column)}${HEADER_ROW + max(rows, 1)}"


def number(value: int | Fraction | Decimal | None) -> float | None:
    """An amount (in 1e-18, or a Decimal) as the number of a cell."""
    return None if value is None else float(value if isinstance(value, Decimal) else value / ONE)


def literal(value: int | Decimal) -> str:
    """An amount (in 1e-18, or a Decimal) in a formula: the 15 digits that a number has, as every program saves them, and no exponent."""
    return exact(Decimal(f"{number(value):.15g}"))


def within(live: str, exact: str, least: str) -> str:
    """The formula of a check: "ok" where a live number is the exact one (base units as text), within 1e-9 of it or `least`."""
    return f'IF(ABS({live}-{exact})<=MAX({least},10^-9*MAX(1,ABS({live}))),"ok","DIFF")'
