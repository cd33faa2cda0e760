"""Numbers as text. An amount is an integer of 1e-18, or a Decimal from a table; no function rounds.

`exact` is for arithmetic and files, `in_full` for sentences, `cut` for tables on a terminal.
"""

from decimal import Decimal
from fractions import Fraction

import polars as pl

from perpcomp import fixed


def exact(value: int | Decimal) -> str:
    """All digits without separators and without trailing zeros: "1234.5"."""
    whole, places = _parts(value)
    return f"{whole}.{places}".rstrip("0").rstrip(".")


def in_full(value: int | Decimal) -> str:
    """All digits with separators and without trailing zeros: "1,234.5"."""
    whole, _, places = exact(value).partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}" + (f".{places}" if places else "")


def cut(value: int | Decimal, places: int) -> str:
    """With separators, cut towards zero after so many places, zeros kept: "1,234.50". What is cut to 0 has no sign."""
    whole, digits = _parts(value)
    text = f"{int(whole.lstrip('-')):,}.{digits[:places]}"
    return f"-{text}" if whole.startswith("-") and text.strip("0.,") else text


def cut_column(column: str, places: int) -> pl.Expr:
    """A column of amounts as text without separators, cut towards zero after so many places."""
    return pl.col(column).cast(pl.String).str.replace(rf"(\.[0-9]{{{places}}})[0-9]*$", "$1")


def per_cent(part: int | Fraction, whole: int | Fraction) -> str:
    """part / whole, both at least 0 and whole above it, cut to two places of a per cent: "12.34 %"; what is cut to 0 is "below 0.01 %"."""
    hundredths = int(Fraction(part) * 10_000 / whole)
    return f"{hundredths // 100:,}.{hundredths % 100:02} %" if hundredths or not part else "below 0.01 %"


def counted(number: int, noun: str, one: str = "", many: str = "") -> str:
    """A count with its noun, and the form of the verb that goes with it: "1 trader", "2 traders", "1 log has", "2 addresses have"."""
    plural = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{plural} {one if number == 1 else many}".rstrip()


def _parts(value: int | Decimal) -> tuple[str, str]:
    """The digits before the point, with the sign, and all 18 after it."""
    integer = fixed.to_integer(value) if isinstance(value, Decimal) else value
    whole, places = divmod(abs(integer), fixed.ONE)
    return f"{'-' if integer < 0 else ''}{whole}", f"{places:018}"
