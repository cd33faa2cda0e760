"""Payouts out of income: the figures of the formula catalogue, and what the contract's own comments compute."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.findings import InputError
from perpcomp.vesting.stream import MILLION, begin, buy, claim, expire, months

pytestmark = pytest.mark.money


def test_each_buyback_adds_by_shares_and_leaves_dust() -> None:
    """q = 10 in thirds: 3 + 3 + 3, and 1 that nobody gets."""
    after = buy(begin(1_000, {"a": 333_333, "b": 333_333, "c": 333_334}), 100, 10)
    assert (after.claimable, after.dust, after.left) == ({"a": 3, "b": 3, "c": 3}, 1, 900)


def test_a_stream_stops_at_its_target() -> None:
    after = buy(begin(100, {"a": MILLION}), 130, 13)
    assert (after.left, after.claimable) == (0, {"a": 13})
    with pytest.raises(InputError, match="The target of 100 is spent"):
        buy(after, 1, 1)


def test_who_expires_speeds_the_others_up_and_enlarges_nothing() -> None:
    """200 USDC, half each, 80 spent at 1 USDC a token: without the first, 20 are left, and the second ends with 40 + 40 + 20 = 100."""
    after = expire(buy(begin(200, {"a": 500_000, "b": 500_000}), 80, 80), {"a"}, {"b": MILLION})
    assert (after.left, after.claimable) == (20, {"b": 80})
    assert buy(after, 20, 20).claimable == {"b": 100}


def test_what_the_expired_claimed_before_stays_with_them() -> None:
    """The budget is cut by their whole part all the same: the contract asks nobody to give back."""
    after = expire(claim(buy(begin(200, {"a": 500_000, "b": 500_000}), 80, 80), "a"), {"a"}, {"b": MILLION})
    assert (after.left, after.claimable) == (20, {"b": 40})


def test_more_than_is_left_may_expire() -> None:
    """90 of 100 spent, and 60 % of the target expires: nothing is left, not less."""
    after = expire(buy(begin(100, {"a": 600_000, "b": 400_000}), 90, 90), {"a"}, {"b": MILLION})
    assert (after.left, after.claimable) == (0, {"b": 90})


def test_how_long_an_income_takes() -> None:
    """3,587,633.63 USDC at 17.5 % of 500,000 a month: 41.0015... months, so 42."""
    assert months(358_763_363, Fraction(175, 1000), 50_000_000) == 42
    assert months(87_500, Fraction(175, 1000), 500_000) == 1
    with pytest.raises(InputError, match="never ends"):
        months(1, Fraction(0), 500_000)


@pytest.mark.parametrize(
    ("inactive", "shares", "says"),
    [
        ({"a"}, {"b": 999_999}, "add up to 999,999 parts per million"),
        ({"x"}, {"a": 500_000, "b": 500_000}, "x has no share"),
        ({"a"}, {"b": 500_000, "c": 500_000}, "differ in c"),
        ({"a"}, {"a": 500_000, "b": 500_000}, "differ in a"),
        ({"a", "b"}, {}, "add up to 0 parts"),
        (set(), {"a": 1_000_001, "b": -1}, "b has a share of -1"),
    ],
)
def test_shares_that_do_not_fit_are_refused(inactive: set[str], shares: dict[str, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        expire(begin(200, {"a": 500_000, "b": 500_000}), inactive, shares)


@pytest.mark.property
@given(
    st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 10**24)), min_size=1, max_size=8), st.integers(0, 8), st.integers(0, MILLION)
)
def test_nothing_bought_is_lost(buybacks: list[tuple[int, int]], expires_after: int, share: int) -> None:
    """What was bought is claimable or dust, whenever somebody expires."""
    rest = (MILLION - share) // 2
    stream, bought = begin(10**15, {"a": share, "b": rest, "c": MILLION - share - rest}), 0
    for n, (income, amount) in enumerate(buybacks):
        if n == expires_after:
            stream = expire(stream, {"a"}, {"b": 333_333, "c": 666_667})
        if not stream.left:
            break
        stream, bought = buy(stream, income, amount), bought + amount
    assert sum(stream.claimable.values()) + stream.dust == bought
    assert stream.left >= 0
