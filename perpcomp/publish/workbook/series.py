"""Columns of a table as a sheet shows them: amounts as numbers, addresses in mixed case, texts that fit a cell, widths that fit both."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import polars as pl

from perpcomp import fixed
from perpcomp.eip55 import all_checksummed
from perpcomp.publish.workbook.forms import PLACES, WORD
from perpcomp.publish.workbook.plan import FIRST_ROW, Cell, Cells, Column
from perpcomp.sheet_limits import CHARACTERS, shown_text

UNKNOWN = "unknown"


def floats(amounts: pl.Series) -> pl.Series:
    """Amounts, Decimal(38,18), as the nearest numbers: by their digits, because a division by 10^18 would round twice."""
    return amounts.cast(pl.String).cast(pl.Float64)


def numbers(amounts: Sequence[int | Fraction | None]) -> pl.Series:
    """Amounts in 1e-18, exact, as the nearest numbers."""
    nearest = [None if amount is None else amount.numerator / (amount.denominator * fixed.ONE) for amount in amounts]
    return pl.Series(nearest, dtype=pl.Float64)


def ratios(parts: Sequence[int | Fraction | None], wholes: Sequence[int | Fraction | None]) -> pl.Series:
    """part / whole of exact amounts, as the nearest numbers; null where one is unknown or the whole is not above 0."""
    found = [
        (part.numerator * whole.denominator) / (part.denominator * whole.numerator) if part is not None and whole and whole > 0 else None
        for part, whole in zip(parts, wholes, strict=True)
    ]
    return pl.Series(found, dtype=pl.Float64)


def or_text(values: pl.Series, form: str, instead: str = UNKNOWN) -> Cells:
    """Numbers in a format; in the place of a null a text, which no sum counts."""
    if not values.null_count():
        return Cells(form, values)
    known = values.is_not_null()
    return Cells(chosen(known, form, "text"), values, chosen(known, None, instead))


def chosen(condition: pl.Series, yes: str | None, no: str | None) -> pl.Series:
    """One text where a condition holds, another one where it does not."""
    return condition.replace_strict({True: yes, False: no}, return_dtype=pl.String)


_MIXED: dict[str, str] = {}  # addresses that were asked for, as wallets show them: every sheet shows the same ones


def addresses(column: pl.Series) -> Cells:
    """Addresses as wallets show them; nothing where one is null."""
    plain = column.to_list()
    new = [*{address for address in plain if address is not None and address not in _MIXED}]
    _MIXED.update(zip(new, all_checksummed(new), strict=True))
    return Cells("address", texts=pl.Series([_MIXED.get(address) for address in plain], dtype=pl.String))


def flags(column: pl.Series) -> Cells:
    """Yes or no; nothing where it is null."""
    return Cells("text", texts=chosen(column, "yes", "no"))


def texts(column: pl.Series, form: str, file: str) -> Cells:
    """Texts as cells hold them: a longer one is cut, and says that all of it is in the file."""
    if (column.str.len_chars() > CHARACTERS // 2).any():
        column = pl.Series([None if text is None else shown_text(text, file) for text in column], dtype=pl.String)
    return Cells(form, texts=column)


def column(header: str, width: int, cells: Cells, above: Cell | None = None) -> Column:
    """A column of a table, at least so wide, and as wide as the longest word of its header and its longest number need."""
    needed = [width, *(ceil(len(word) / WORD) for word in header.split())]
    ends = () if cells.numbers is None else (cells.numbers.min(), cells.numbers.max())
    values = [value for value in (*ends, above and above.value) if isinstance(value, int | float)]
    places = PLACES.get(cells.form if isinstance(cells.form, str) else "", 0)
    needed += [len(f"{-abs(value):,.{places}f}") + 1 for value in values]
    return Column(header, max(needed), above, cells)


def row_numbers(height: int) -> pl.Series:
    """The number of each row of a table, as a text for the formulas of single rows."""
    return pl.int_range(FIRST_ROW, FIRST_ROW + height, eager=True).cast(pl.String)
