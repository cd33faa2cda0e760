"""The constant-product curve by hand, where no recorded trade stands: the last unit of a pool, and both ways of rounding."""

import pytest

from perpcomp.curve import Reserves, Reverts, in_price, moved_to, out_price
from perpcomp.fixed import ONE

pytestmark = pytest.mark.money

POOL = Reserves.of(10 * ONE, 10 * ONE)


def test_quote_that_does_not_divide_moves_one_unit_less_base_in_and_one_more_out() -> None:
    """100 / 13 is 7.692307692307692307..., and 100 / 7 is 14.285714285714285714...: the contract rounds against the trader."""
    assert in_price(True, 3 * ONE, POOL) == 2_307692307692307693 - 1
    assert in_price(False, 3 * ONE, POOL) == 4_285714285714285714 + 1
    assert out_price(3 * ONE, POOL) == 2_307692307692307693 - 1
    assert out_price(-3 * ONE, POOL) == 4_285714285714285714 + 1


def test_what_divides_is_not_rounded() -> None:
    assert [in_price(True, 10 * ONE, POOL), in_price(False, 5 * ONE, POOL)] == [5 * ONE, 10 * ONE]
    assert [out_price(10 * ONE, POOL), out_price(-5 * ONE, POOL)] == [5 * ONE, 10 * ONE]


def test_all_but_the_last_unit_can_be_taken_out() -> None:
    moved = 100 * ONE * ONE - 10 * ONE
    assert out_price(-(10 * ONE - 1), POOL) == in_price(False, 10 * ONE - 1, POOL) == moved
    for last in (lambda: out_price(-10 * ONE, POOL), lambda: in_price(False, 10 * ONE, POOL)):
        with pytest.raises(Reverts):
            last()


def test_the_product_is_cut_to_18_digits_before_it_is_divided() -> None:
    """1.000000000000000001 squared is 1.000000000000000002 and a rest that the contract loses: 0.500000000000000001 stays at 2 of base."""
    pool = Reserves.of(ONE + 1, ONE + 1)
    assert pool.product == (ONE + 2) * ONE
    assert out_price(ONE - 1, pool) == ONE + 1 - (ONE + 2) // 2


def test_a_swap_to_another_reserve_moves_base_the_other_way() -> None:
    assert [moved_to(quote * ONE, POOL) for quote in (20, 10, 5)] == [
        Reserves.of(quote * ONE, base * ONE) for quote, base in ((20, 5), (10, 10), (5, 20))
    ]


def test_nothing_moves_nothing() -> None:
    assert [out_price(0, POOL), in_price(True, 0, POOL), in_price(False, 0, POOL)] == [0, 0, 0]
    odd = Reserves.of(ONE + 1, ONE + 1)
    assert [out_price(0, odd), in_price(True, 0, odd)] == [0, 0]
