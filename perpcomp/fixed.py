"""18-decimal arithmetic as the contracts do it: integers, every product and quotient truncated towards zero.

Polars rounds `Decimal * Decimal` and `/` half to even, the EVM truncates: 41 % of plain products differ in the last digit. The
vectorised forms below correct the rounded result by its residual; tests compare them with the plain functions on Python integers.

A frame holds amounts as Decimal(38,18); the Python side holds the same number as an integer of 1e-18.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

import polars as pl

ONE = 10**18
AMOUNT = pl.Decimal(38, 18)
LIMIT = 10**38  # an amount's integer must stay below: Decimal(38,18) holds no more
SHORT = 100  # rows: up to so many are read one by one, because a query of Polars takes as long

# Marks that let a reader of an expression tree (arithmetic.py) recognise these two operations.
PRODUCT = "truncated product"
QUOTIENT = "truncated quotient"


def truncate(numerator: int, denominator: int) -> int:
    """Signed division as in Solidity, towards zero. Python's // floors: one unit off for negative values."""
    return numerator // denominator if (numerator < 0) == (denominator < 0) else -(-numerator // denominator)


def mul_integers(a: int, b: int) -> int:
    """a * b of two integers of 1e-18, truncated."""
    return truncate(a * b, ONE)


def div_integers(a: int, b: int) -> int:
    """a / b of two integers of 1e-18, truncated. ZeroDivisionError for b = 0."""
    return truncate(a * ONE, b)


def amount(value: int | str | Decimal) -> pl.Expr:
    """A literal amount. 19 decimals or a magnitude of 1e20 is a ValueError, a float a TypeError."""
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float; an amount is an int, a Decimal or a text of digits")
    return _literal(to_integer(Decimal(value)))


@lru_cache  # a run asks for 0 some hundred times, and Polars takes 0.05 ms to make it
def _literal(integer: int) -> pl.Expr:
    return pl.lit(from_integer(integer), dtype=AMOUNT)


def to_integer(value: Decimal) -> int:
    """The integer of 1e-18 behind a Decimal, exactly; ValueError where it has none or is out of range."""
    if not value.is_finite():
        raise ValueError(f"{value} is not a number")
    numerator, denominator = value.as_integer_ratio()
    scaled, rest = divmod(numerator * ONE, denominator)
    if rest:
        raise ValueError(f"{value} has more than 18 decimals")
    if abs(scaled) >= LIMIT:
        raise ValueError(f"{value} is 1e20 or more")
    return scaled


def from_integer(value: int) -> Decimal:
    """The Decimal with 18 places of an integer of 1e-18, independent of the decimal context's precision."""
    return Decimal(f"{value}E-18")


def to_integers(column: pl.Series) -> list[int | None]:
    """to_integer of every cell of a column of type Decimal(38,18); null stays null."""
    assert column.dtype == AMOUNT, column.dtype
    if len(column) <= SHORT:  # the text of an amount has all its 18 places, so its digits are the integer
        return [None if text is None else int(text.replace(".", "")) for text in column.cast(pl.String).to_list()]
    integers: list[int | None] = column.reinterpret(dtype=pl.Int128).to_list()
    return integers


def from_integers(values: Sequence[int | None]) -> pl.Series:
    """from_integer of every value, as a column; one of 39 or more digits raises Polars' ComputeError or OverflowError."""
    return pl.Series(values, dtype=pl.Int128).to_frame("n").select(pl.col("n").reinterpret(dtype=AMOUNT)).to_series()


def _integer(expr: pl.Expr) -> pl.Expr:
    """The integer of 1e-18. Adding 0 brings a literal of fewer places to 18, without which its digits would be read as another amount."""
    return (expr + amount(0)).reinterpret(dtype=pl.Int128)


def _towards_zero(rounded: pl.Expr, sign: pl.Expr, inwards: pl.Expr) -> pl.Expr:
    """A half-even result, one unit nearer to 0 where it lies beyond the exact value: `sign` is that of the exact value, and `inwards` is
    below 0 where the exact value is nearer to 0 than the rounded one.

    The rounded operation stands only twice in all this. An eager Polars computes it as often as it stands, a lazy one too if it divides.
    """
    return (rounded - (inwards < 0).cast(pl.Int128) * sign).reinterpret(dtype=AMOUNT)


def mul(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """a * b of two amounts, truncated towards zero. A result of 1e20 or more raises Polars' ComputeError.

    a*b overflows Int128 and so does rounded*1e18, but their difference is at most half a unit: Int128 multiplication wraps modulo
    2^128, so the wrapped difference is the true one. Holds while Polars wraps; `test_fixed.py` checks that it does.
    """
    rounded = _integer(a * b)
    residual = _integer(a) * _integer(b) - rounded * pl.lit(ONE, dtype=pl.Int128)
    sign = _integer(a).sign() * _integer(b).sign()
    return _towards_zero(rounded, sign, residual * sign).alias(PRODUCT)


def div(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """a / b of two amounts, truncated towards zero; null for b = 0. Same argument as `mul`."""
    divisor = pl.when(b != 0).then(b)  # a null: Polars raises for 0, also in the branch of a `when` that is not taken
    rounded = _integer(a / divisor)
    residual = _integer(a) * pl.lit(ONE, dtype=pl.Int128) - rounded * _integer(b)  # what b times the rounded quotient leaves of a
    sign = _integer(a).sign()
    return _towards_zero(rounded, sign * _integer(b).sign(), residual * sign).alias(QUOTIENT)


def ratio(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """`div` of two amounts; null for b = 0, and where the quotient is 1e20 - 1 or more: a column holds less than 1e20, and Polars rounds."""
    beyond = pl.lit(LIMIT // ONE - 1, dtype=pl.Int128)
    return div(a, pl.when(_integer(a).abs() // beyond < _integer(b).abs()).then(b))


def largest(integers: pl.Series) -> int:
    """The largest magnitude in a column of integers; 0 where it has none."""
    low, high = integers.min(), integers.max()
    return max(abs(low), abs(high)) if isinstance(low, int) and isinstance(high, int) else 0


def check_sum(frame: pl.DataFrame, column: str) -> None:
    """Refuse a grouped or windowed sum that could wrap: Polars' grouped Decimal sums wrap silently at 1e38."""
    largest = frame.get_column(column).abs().max()
    if isinstance(largest, Decimal) and to_integer(largest) * frame.height >= LIMIT:
        raise OverflowError(f"the sum of {frame.height} values of {column} could exceed 38 digits (largest: {largest})")
