"""Numbers as text: exact for files, with separators for sentences, cut for tables."""

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp import fixed
from perpcomp.number_text import counted, cut, cut_column, exact, in_full

pytestmark = pytest.mark.money


@pytest.mark.parametrize(
    ("value", "digits", "sentence", "two"),
    [
        ("0", "0", "0", "0.00"),
        ("100", "100", "100", "100.00"),
        ("1234567.5", "1234567.5", "1,234,567.5", "1,234,567.50"),
        ("-1000.019", "-1000.019", "-1,000.019", "-1,000.01"),
        ("0.000000000000000001", "0.000000000000000001", "0.000000000000000001", "0.00"),
        ("-0.009", "-0.009", "-0.009", "0.00"),
        ("-0.01", "-0.01", "-0.01", "-0.01"),
        ("9.999", "9.999", "9.999", "9.99"),
    ],
)
def test_an_amount_as_text(value: str, digits: str, sentence: str, two: str) -> None:
    for given_value in (Decimal(value), fixed.to_integer(Decimal(value))):
        assert (exact(given_value), in_full(given_value), cut(given_value, 2)) == (digits, sentence, two)


def test_a_column_is_cut_as_text_without_separators() -> None:
    frame = pl.DataFrame({"a": [Decimal("1234.567"), Decimal("-0.001"), None]}, schema={"a": fixed.AMOUNT})
    assert frame.select(cut_column("a", 2))["a"].to_list() == ["1234.56", "-0.00", None]


def test_a_count_has_its_noun() -> None:
    assert [counted(number, "trader") for number in (0, 1, 2, 1_000)] == ["0 traders", "1 trader", "2 traders", "1,000 traders"]


@pytest.mark.property
@given(st.integers(1 - fixed.LIMIT, fixed.LIMIT - 1))
def test_exact_text_reads_back_as_the_same_amount(value: int) -> None:
    assert fixed.to_integer(Decimal(exact(value))) == value
    assert fixed.to_integer(Decimal(in_full(value).replace(",", ""))) == value
    assert abs(fixed.to_integer(Decimal(cut(value, 6).replace(",", ""))) - value) < 10**12
