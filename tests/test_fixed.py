"""Amounts: products and quotients truncated as the contracts do, against Python integers; and the traps of Polars this leans on."""

from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any
from unittest import mock

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perpcomp import fixed
from perpcomp.fixed import (
    AMOUNT,
    LIMIT,
    ONE,
    amount,
    check_sum,
    div,
    div_integers,
    from_integer,
    mul,
    mul_integers,
    ratio,
    to_integer,
    truncate,
)

pytestmark = pytest.mark.money

TOP = LIMIT - 1
HALF = ONE // 2

# Values of every size, and the neighbours of round ones, where ties and near ties of a product or quotient lie.
amounts = st.one_of(
    st.integers(-TOP, TOP),
    st.integers(-(10**20), 10**20),
    st.integers(-100, 100),
    st.builds(lambda k, d: k * ONE + d, st.integers(-(10**9), 10**9), st.integers(-2, 2)),
    st.builds(lambda k, d: k * HALF + d, st.integers(-(10**9), 10**9), st.integers(-2, 2)),
    st.builds(lambda k, d: max(-TOP, min(TOP, (1 << k) + d)), st.integers(0, 126), st.integers(-1, 1)),
)


def column(*values: int | None) -> pl.Series:
    return pl.Series("x", [None if v is None else from_integer(v) for v in values], dtype=AMOUNT)


def computed(operation: Callable[[pl.Expr, pl.Expr], pl.Expr], a: int, b: int) -> int | None:
    frame = pl.DataFrame({"a": column(a), "b": column(b)})
    value = frame.select(operation(pl.col("a"), pl.col("b")).alias("v")).to_series()
    assert value.dtype == AMOUNT
    cell = value.item()
    return None if cell is None else to_integer(cell)


def half_even(value: Fraction) -> int:
    return round(value)


def agrees(operation: Callable[[pl.Expr, pl.Expr], pl.Expr], a: int, b: int, exact: Fraction) -> None:
    """The engine gives the exact value cut towards zero, or raises because it does not fit; it never wraps."""
    expected = int(exact)  # int() cuts towards zero
    if abs(half_even(exact)) >= LIMIT:
        with pytest.raises(pl.exceptions.ComputeError, match="overflow"):
            computed(operation, a, b)
    else:
        assert expected == computed(operation, a, b)


@pytest.mark.property
@given(st.lists(st.none() | amounts, max_size=5), st.sampled_from([0, fixed.SHORT]))
def test_the_integers_of_a_column_are_those_of_its_cells(integers: list[int | None], short: int) -> None:
    """Of a short column as of a long one."""
    cells = column(*integers)
    with mock.patch.object(fixed, "SHORT", short):
        assert fixed.to_integers(cells) == integers == [None if cell is None else to_integer(cell) for cell in cells]


def test_the_largest_magnitude_may_be_of_a_negative_value() -> None:
    for integers, largest in (([-5, 3], 5), ([-3, None, 5], 5), ([-5, -3], 5), ([None], 0), ([], 0)):
        assert fixed.largest(pl.Series(integers, dtype=pl.Int128)) == largest, integers


@pytest.mark.property
@given(amounts, amounts)
@example(HALF, 1)  # exactly half a unit: a tie
@example(HALF, 3)
@example(-HALF, 3)
@example(HALF + 1, 1)
@example(HALF - 1, 1)
@example(TOP, ONE + 1)
@example(TOP, -TOP)
@example(TOP, ONE)
@example(-TOP, ONE)
def test_a_product_is_the_integers_own_or_raises(a: int, b: int) -> None:
    exact = Fraction(a * b, ONE)
    assert int(exact) == mul_integers(a, b)
    agrees(mul, a, b, exact)


@pytest.mark.property
@given(amounts, amounts.filter(bool))
@example(1, 2 * ONE)  # exactly half a unit: a tie
@example(3, 2 * ONE)
@example(-3, 2 * ONE)
@example(3, -2 * ONE)
@example(1, 2 * ONE - 1)
@example(1, 2 * ONE + 1)
@example(TOP, 1)
@example(1, TOP)
@example(-TOP, TOP)
@example(TOP - 1, TOP)
def test_a_quotient_is_the_integers_own_or_raises(a: int, b: int) -> None:
    exact = Fraction(a * ONE, b)
    assert int(exact) == div_integers(a, b)
    agrees(div, a, b, exact)


@pytest.mark.property
@given(st.integers(-(10**24), 10**24), st.integers(1, 10**12), st.sampled_from([-1, 0, 1]))
def test_a_quotient_next_to_a_tie_is_cut_on_the_right_side(quotient: int, divisor: int, off: int) -> None:
    """a / b that ends in exactly half a unit, and one part of it more or less."""
    b = 2 * divisor * ONE
    agrees(div, (2 * quotient + 1) * divisor + off, b, Fraction(((2 * quotient + 1) * divisor + off) * ONE, b))


@pytest.mark.property
@given(st.lists(st.tuples(st.integers(-(10**19), 10**19), st.integers(-(10**19), 10**19)), min_size=1, max_size=50))
def test_a_column_is_computed_row_by_row(rows: list[tuple[int, int]]) -> None:
    frame = pl.DataFrame({"a": column(*[a for a, _ in rows]), "b": column(*[b for _, b in rows])})
    product = frame.select(mul(pl.col("a"), pl.col("b"))).to_series()
    assert [mul_integers(a, b) for a, b in rows] == [to_integer(v) for v in product]
    safe = [(a, b) for a, b in rows if b and abs(a * ONE // b) < LIMIT - 1]
    if safe:
        frame = pl.DataFrame({"a": column(*[a for a, _ in safe]), "b": column(*[b for _, b in safe])})
        quotient = frame.select(div(pl.col("a"), pl.col("b"))).to_series()
        assert [div_integers(a, b) for a, b in safe] == [to_integer(v) for v in quotient]


@pytest.mark.property
@given(amounts, amounts)
@example(TOP, ONE)
@example(TOP - ONE, ONE)
@example(55_000 * ONE, 20)
@example(-55_000 * ONE, 20)
@example(99 * 10**36, ONE)
def test_a_ratio_is_the_integers_own_or_null_where_no_column_holds_it(a: int, b: int) -> None:
    exact = div_integers(a, b) if b else None
    assert computed(ratio, a, b) == (None if exact is None or abs(exact) >= LIMIT - ONE else exact)


def test_a_quotient_by_zero_is_null() -> None:
    """In every row where the divisor is 0, and nowhere else."""
    frame = pl.DataFrame({"a": column(ONE, 0, -ONE, ONE, None), "b": column(0, 0, 0, 2 * ONE, 0)})
    assert [None, None, None, Decimal("0.5"), None] == frame.select(div(pl.col("a"), pl.col("b"))).to_series().to_list()


def test_null_in_null_out() -> None:
    frame = pl.DataFrame({"a": column(ONE, None, None), "b": column(None, ONE, None)})
    for operation in (mul, div):
        assert frame.select(operation(pl.col("a"), pl.col("b"))).to_series().to_list() == [None] * 3


@pytest.mark.parametrize(
    ("literal", "units"),
    [
        (pl.lit(Decimal("0.5")), HALF),
        (pl.lit(Decimal("-3")), -3 * ONE),
        (pl.lit(Decimal("0.000000000000000001")), 1),
        (pl.lit(2), 2 * ONE),
        (amount("0.5"), HALF),
    ],
    ids=["0.5", "-3", "1e-18", "a whole number", "amount"],
)
def test_a_literal_of_fewer_places_is_the_same_number(literal: pl.Expr, units: int) -> None:
    """Read as an amount without scaling, the digits of Decimal('0.5') would be 5e-18."""
    frame = pl.DataFrame({"a": column(3, ONE + 1, -ONE - 1)})
    values = [3, ONE + 1, -ONE - 1]
    assert [mul_integers(v, units) for v in values] == [to_integer(v) for v in frame.select(mul(pl.col("a"), literal)).to_series()]
    assert [mul_integers(units, v) for v in values] == [to_integer(v) for v in frame.select(mul(literal, pl.col("a"))).to_series()]
    assert [div_integers(v, units) for v in values[1:]] == [to_integer(v) for v in frame[1:].select(div(pl.col("a"), literal)).to_series()]


@pytest.mark.parametrize("operation", [mul, div])
@pytest.mark.parametrize("other", [pl.lit(0.5), pl.col("a").cast(pl.Float64)], ids=["literal", "column"])
def test_a_float_raises(operation: Callable[[pl.Expr, pl.Expr], pl.Expr], other: pl.Expr) -> None:
    with pytest.raises(pl.exceptions.PolarsError):
        pl.DataFrame({"a": column(ONE)}).select(operation(pl.col("a"), other))


def test_nested_operations_truncate_each_step() -> None:
    """trunc(trunc(1 / 3) * 3) is 0.999999999999999999."""
    frame = pl.DataFrame({"a": column(ONE), "b": column(3 * ONE)})
    assert Decimal("0.999999999999999999") == frame.select(mul(div(pl.col("a"), pl.col("b")), pl.col("b"))).item()


# Python integers


@pytest.mark.property
@given(st.integers(), st.integers().filter(bool))
def test_truncate_divides_as_solidity_does(numerator: int, denominator: int) -> None:
    """Towards zero: the quotient's magnitude is the magnitudes' quotient, its sign the signs'."""
    quotient = truncate(numerator, denominator)
    rest = numerator - quotient * denominator
    assert abs(rest) < abs(denominator)
    assert rest == 0 or (rest < 0) == (numerator < 0)
    assert truncate(-numerator, denominator) == -quotient == truncate(numerator, -denominator)


@pytest.mark.parametrize(("a", "b", "quotient"), [(7, 2, 3), (-7, 2, -3), (7, -2, -3), (-7, -2, 3), (1, 2, 0), (-1, 2, 0), (0, -5, 0)])
def test_truncate_is_not_pythons_floor(a: int, b: int, quotient: int) -> None:
    assert quotient == truncate(a, b)


def test_a_division_by_zero_of_integers_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        div_integers(ONE, 0)


@pytest.mark.property
@given(st.integers(-TOP, TOP))
def test_an_integer_comes_back_from_its_decimal(value: int) -> None:
    decimal = from_integer(value)
    assert value == to_integer(decimal)
    assert decimal.as_tuple().exponent == -18
    assert value == to_integer(column(value).item())


@pytest.mark.property
@given(st.integers(-TOP, TOP))
def test_the_decimal_contexts_precision_does_not_matter(value: int) -> None:
    with localcontext(prec=5):
        assert value == to_integer(from_integer(value))


@pytest.mark.property
@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**19), max_value=10**19, places=18)
    | st.integers(-(10**19), 10**19).map(Decimal)
)
def test_a_decimal_comes_back_from_its_integer(value: Decimal) -> None:
    assert value == from_integer(to_integer(value))


@pytest.mark.parametrize(
    ("value", "integer"),
    [
        ("0", 0),
        ("-0", 0),
        ("1", ONE),
        ("1E+3", 1000 * ONE),
        ("0.1000000000000000000000", ONE // 10),
        ("-0.000000000000000001", -1),
        ("99999999999999999999.999999999999999999", TOP),
    ],
)
def test_a_decimal_is_read_exactly_however_it_is_written(value: str, integer: int) -> None:
    assert integer == to_integer(Decimal(value))


@pytest.mark.parametrize(
    "value", ["NaN", "sNaN", "Infinity", "-Infinity", "0.0000000000000000001", "1.0000000000000000005", "1e20", "-1e20", "1e30"]
)
def test_a_decimal_that_is_no_amount_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number|has more than 18 decimals|is 1e20 or more"):
        to_integer(Decimal(value))
    with pytest.raises(ValueError, match=r"is not a number|has more than 18 decimals|is 1e20 or more"):
        amount(value)


@pytest.mark.parametrize("value", [0.5, 1.0, float("nan"), float("inf")])
def test_a_float_is_no_amount(value: Any) -> None:
    with pytest.raises(TypeError, match="is a float"):
        amount(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (5, "5"), ("0.5", "0.5"), (Decimal("-1.25"), "-1.25"), ("99999999999999999999.999999999999999999",) * 2],
)
def test_an_amount_is_a_literal_of_18_places(value: int | str | Decimal, expected: str) -> None:
    made = pl.select(amount(value)).to_series()
    assert made.dtype == AMOUNT
    assert Decimal(expected) == made.item()


# Sums


def test_a_sum_that_could_wrap_is_refused() -> None:
    for one, other in ((LIMIT // 2, -(LIMIT // 2)), (1, LIMIT // 2), (1, -(LIMIT // 2))):
        with pytest.raises(OverflowError, match="the sum of 2 values of v could exceed 38 digits"):
            check_sum(pl.DataFrame({"v": column(one, other)}), "v")
    check_sum(pl.DataFrame({"v": column(LIMIT // 2 - 1, -(LIMIT // 2) + 1)}), "v")
    check_sum(pl.DataFrame({"v": column()}), "v")
    check_sum(pl.DataFrame({"v": column(None)}), "v")


# What Polars does today, and this design leans on or guards against. A new Polars that differs shows here.


def wrapped(value: int) -> int:
    return (value + 2**127) % 2**128 - 2**127


@pytest.mark.property
@given(st.integers(-(2**127), 2**127 - 1), st.integers(-(2**127), 2**127 - 1))
@example(2**100, 2**27)
@example(-(2**127), -(2**127))
def test_polars_multiplies_and_subtracts_128_bit_integers_modulo_2_128(a: int, b: int) -> None:
    """`mul` and `div` are right because of this: the residual they need is small, and wraps back to itself."""
    frame = pl.DataFrame({"a": [a], "b": [b]}, schema={"a": pl.Int128, "b": pl.Int128})
    assert wrapped(a * b) == frame.select(pl.col("a") * pl.col("b")).item()
    assert wrapped(a - b) == frame.select(pl.col("a") - pl.col("b")).item()


@pytest.mark.property
@given(st.integers(-(10**28), 10**28), st.integers(-(10**27), 10**27))
@example(HALF, 1)
@example(HALF, 3)
def test_polars_rounds_a_decimal_product_half_to_even(a: int, b: int) -> None:
    frame = pl.DataFrame({"a": column(a), "b": column(b)})
    assert half_even(Fraction(a * b, ONE)) == to_integer(frame.select(pl.col("a") * pl.col("b")).item())


def test_polars_wraps_a_grouped_sum_of_decimals_without_a_word() -> None:
    """Which is why check_sum stands before every one of them."""
    frame = pl.DataFrame({"key": [1, 1], "v": column(TOP, TOP)})
    grouped = frame.group_by("key").agg(pl.col("v").sum().reinterpret(dtype=pl.Int128))["v"].item()
    over = frame.select(pl.col("v").sum().over("key").reinterpret(dtype=pl.Int128)).to_series()[0]
    assert wrapped(2 * TOP) == grouped == over
    assert grouped < 0
    with pytest.raises(OverflowError):
        check_sum(frame, "v")


def test_polars_raises_where_a_plain_sum_of_decimals_overflows() -> None:
    frame = pl.DataFrame({"a": column(TOP, TOP)})
    for sum_ in (pl.col("a").sum(), pl.col("a") + pl.col("a"), pl.sum_horizontal("a", "a")):
        with pytest.raises(pl.exceptions.ComputeError, match="overflow"):
            frame.select(sum_)


def test_polars_turns_a_decimal_times_a_float_into_a_float() -> None:
    assert pl.Float64 == pl.DataFrame({"a": column(ONE)}).select(pl.col("a") * 0.5).dtypes[0]


def test_polars_raises_where_a_decimal_has_39_digits() -> None:
    frame = pl.DataFrame({"x": [LIMIT]}, schema={"x": pl.Int128})
    with pytest.raises(pl.exceptions.PolarsError):
        frame.select(pl.col("x").reinterpret(dtype=AMOUNT))


def test_the_marks_name_the_two_operations() -> None:
    frame = pl.DataFrame({"a": column(ONE)})
    assert frame.select(mul(pl.col("a"), pl.col("a")), div(pl.col("a"), pl.col("a"))).columns == [fixed.PRODUCT, fixed.QUOTIENT]
