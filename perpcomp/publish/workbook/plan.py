"""What a workbook is before it is written: sheets of cells that know their value, formula and format. write.py writes it, check-sheet compares with it.

Cells are planned as columns, because a sheet may have many rows: a Series holds the values, and one text is the formula of every row.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache, cached_property
from textwrap import shorten
from typing import NamedTuple

import polars as pl
from msgspec import Struct, field

from perpcomp.fixed import ONE
from perpcomp.number_text import exact
from perpcomp.sheet_limits import ABOVE

HEADER_ROW = ABOVE  # counted from 1, on every sheet: the heading, the state, the notice and the totals are above it
FIRST_ROW = HEADER_ROW + 1
LINE = 130  # characters above the header that a page holds on every sheet
ROW = "\0"  # stands for the number of a row in the formula of a column

Value = str | float | int | None


class Cell(NamedTuple):
    """A cell. With a formula (without "="), `value` is what it gives for the published run. `link` makes a text a link."""

    value: Value = None
    form: str = "text"
    formula: str = ""
    link: str = ""


EMPTY = Cell()


class Cells(NamedTuple):
    """Cells below one another. Each holds its number; where that is null its text; where both are null nothing, or a formula that gives "".

    `form` is the format of all, or of each. `formula` is that of every row, with ROW for the row's number, or only of the rows that are
    `live`; or it is the text of each row's own, "" where there is none. `links` are what the texts lead to, "" for nowhere.
    """

    form: str | pl.Series
    numbers: pl.Series | None = None
    texts: pl.Series | None = None
    formula: str | pl.Series = ""
    live: pl.Series | None = None
    links: pl.Series | None = None

    @property
    def height(self) -> int:
        """How many cells."""
        given = self.numbers if self.numbers is not None else self.texts
        return 0 if given is None else len(given)

    def one_by_one(self, first: int) -> Iterator[Cell]:
        """Each cell alone. `first` is the row of the first one, counted from 1."""
        height = self.height
        numbers, texts, live = ([None] * height if part is None else part.to_list() for part in (self.numbers, self.texts, self.live))
        forms = [self.form] * height if isinstance(self.form, str) else self.form.to_list()
        links = [""] * height if self.links is None else self.links.to_list()
        formulas = [self.formula] * height if isinstance(self.formula, str) else self.formula.to_list()
        for at, (number, text) in enumerate(zip(numbers, texts, strict=True)):
            formula = "" if live[at] is False else formulas[at].replace(ROW, str(first + at))
            value = text if number is None else number
            yield Cell("" if value is None and formula else value, forms[at], formula, links[at])


class Column(NamedTuple):
    """A column of a sheet: its header with the unit, its width in characters, the cell above the header (a total), and in a table its cells.

    `against_published`: it compares live amounts with the published ones, so that its results are others in a what-if.
    """

    header: str
    width: int
    above: Cell | None = None
    cells: Cells | None = None
    against_published: bool = False


class Sheet(Struct, frozen=True, dict=True):
    """One table under a heading. Its cells stand in its columns; or a sheet of words has `lines`, whose cells differ in kind.

    `key` are the columns that identify a row, so that a reader may sort it; none: rows keep their place. `checks` are columns of "ok" or "DIFF".
    """

    name: str
    heading: str
    columns: Sequence[Column]
    lines: Sequence[Sequence[Cell]] = ()
    key: tuple[int, ...] = ()
    filtered: bool = False
    checks: tuple[int, ...] = ()
    choices: dict[int, dict[str, object]] = field(default_factory=dict)  # row -> what column C accepts there

    @property
    def body(self) -> list[Cells]:
        """The cells below the header of a table, column by column; none of a sheet of words."""
        return [column.cells for column in self.columns if column.cells is not None]

    @property
    def height(self) -> int:
        """How many rows are below the header."""
        return self.body[0].height if self.body else len(self.lines)

    @cached_property
    def rows(self) -> Sequence[Sequence[Cell]]:
        """The cells below the header, row by row."""
        return [*zip(*(cells.one_by_one(FIRST_ROW) for cells in self.body), strict=True)] if self.body else self.lines

    @property
    def width(self) -> int:
        """Its columns together, in characters."""
        return sum(column.width for column in self.columns)

    @property
    def last_row(self) -> int:
        """Its last row, counted from 1; a sheet without rows has one empty one."""
        return HEADER_ROW + max(self.height, 1)


class Book(Struct, frozen=True):
    """A workbook. `names` are its defined names, `state` the formula of each sheet's second row."""

    title: str
    notice: str
    footer: str
    sheets: Sequence[Sheet]
    names: dict[str, str]
    state: Cell

    def above(self, made: Sheet) -> list[list[Cell]]:
        """The rows of a sheet down to its header."""
        totals, header = [column.above or EMPTY for column in made.columns], [Cell(column.header, "header") for column in made.columns]
        notice = shorten(self.notice, max(made.width, LINE), placeholder=" … (all of it: Read me)")
        return [[Cell(made.heading, "title")], [self.state], [Cell(notice, "notice")], totals, header]


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


def total(column: int, rows: int, value: int | Fraction, form: str = "total") -> Cell:
    """The cell above a column's header: its sum, which is `value` (in 1e-18)."""
    name = letter(column)
    return Cell(number(value), form, f"SUM({name}{FIRST_ROW}:{name}{HEADER_ROW + max(rows, 1)})")


def number(value: int | Fraction | Decimal | None) -> float | None:
    """An amount (in 1e-18, or a Decimal) as the number of a cell."""
    return None if value is None else float(value if isinstance(value, Decimal) else value / ONE)


def literal(value: int | Decimal) -> str:
    """An amount (in 1e-18, or a Decimal) in a formula: the 15 digits that a number has, as every program saves them, and no exponent."""
    return exact(Decimal(f"{number(value):.15g}"))


def apart(live: str, other: str, least: str = "0") -> str:
    """The formula of how far a live number is from another one: 0 within 1e-9 of it or `least`, because a cell holds 15 digits."""
    return f"IF(ABS({live}-{other})<=MAX({least},10^-9*MAX(1,ABS({live}))),0,{live}-{other})"


def above_zero(cells: str, decimals: int) -> str:
    """The formula of how many amounts are above 0. A live one may be less than one unit of the last decimal, which nobody is paid.

    A criterion is a text, and 9E-19 has no decimal point, which would mean something else in another country.
    """
    return f'COUNTIF({cells},">="&9*10^-{decimals + 1})'


def below_zero(cells: str, decimals: int) -> str:
    """The formula of how many amounts are below 0, as above_zero counts."""
    return f'COUNTIF({cells},"<="&-9*10^-{decimals + 1})'


def at_zero(cells: str, decimals: int) -> str:
    """The formula of how many amounts are 0, as above_zero and below_zero count."""
    return f'COUNTIF({cells},">"&-9*10^-{decimals + 1})-{above_zero(cells, decimals)}'


def ok(test: str) -> str:
    """The formula of a check: "ok" where the test holds, else "DIFF"."""
    return f'IF({test},"ok","DIFF")'
