"""What fits a budget: the solved figures of the catalogue, each proven by its neighbour."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.decide import budget
from perpcomp.decide.budget import Claims
from perpcomp.fixed import ONE

pytestmark = pytest.mark.money

F = Fraction
ABC = Claims([30_000 * ONE, 22_500 * ONE, 8_000 * ONE], F(1))


def test_a_scale_misses_the_pot_by_the_cuts_and_the_exact_share_is_90_of_121() -> None:
    found = budget.scale(ABC, 45_000 * ONE)
    assert found.exact == F(90, 121)
    assert found.answer == ONE * 90 // 121
    assert found.total <= 45_000 * ONE < (found.following_total or 0)
    assert found.total + found.left_over == 45_000 * ONE


@pytest.mark.parametrize(("pot", "level"), [(45_000, F(18_500)), (45_001, F(37_001, 2)), (50_000, F(21_000))])
def test_the_caps_of_the_catalogue(pot: int, level: Fraction) -> None:
    found = budget.cap(ABC, pot * ONE)
    assert (found.exact, found.answer, found.left_over) == (level * ONE, level * ONE, 0)
    assert (found.following_total or 0) > pot * ONE


def test_a_stream_of_17_and_a_half_percent_takes_42_months() -> None:
    total = 358_763_363 * ONE // 100
    found = budget.months(Claims([total], F(1)), 500_000 * ONE, F(175, 1000))
    assert (found.answer, found.exact) == (42, F(51_251_909, 1_250_000))
    assert (found.following_total or 0) < total == found.total


def test_an_income_of_less_than_a_unit_a_month_never_pays() -> None:
    assert budget.months(Claims([3], F(1)), 2, F(1, 2)).answer == 3
    with pytest.raises(ValueError, match="less than one base unit a month"):
        budget.months(Claims([3], F(1)), 1, F(1, 2))


def test_a_threshold_stops_one_step_below_the_first_claim_that_does_not_fit() -> None:
    found = budget.threshold(ABC, 31_000 * ONE)
    assert (found.answer, found.total, found.left_over) == (30_000 * ONE - 1, 30_500 * ONE, 500 * ONE)
    assert (found.following, found.following_total) == (30_000 * ONE, 60_500 * ONE)
    first = budget.traders(ABC, 31_000 * ONE)
    assert (first.answer, first.total, first.following_total) == (2, 30_500 * ONE, 60_500 * ONE)


def test_a_threshold_that_spends_the_budget_exactly_stops_before_the_next_claim() -> None:
    found = budget.threshold(ABC, 30_500 * ONE)
    assert (found.answer, found.total, found.left_over) == (30_000 * ONE - 1, 30_500 * ONE, 0)
    # 2.5 and 3 are both above a threshold of 2, and within one of 3.
    parts = budget.threshold(Claims([F(5, 2), 3], F(1)), 2)
    assert (parts.answer, parts.total, parts.following, parts.following_total) == (2, 0, 3, 5)


def test_who_claims_nothing_is_no_trader_who_is_paid() -> None:
    assert budget.traders(Claims([0, 5, 9, 0], F(1)), 5).answer == 1


def test_claims_that_fit_need_no_cap_and_nothing_to_share_has_no_scale() -> None:
    assert [solve(ABC, 60_500 * ONE).answer for solve in (budget.cap, budget.threshold, budget.traders)] == [None] * 3
    assert budget.scale(ABC, 60_501 * ONE).answer == ONE
    assert budget.scale(ABC, 60_501 * ONE).left_over == ONE
    nothing = budget.scale(Claims([0, 0], F(1)), 5)
    assert (nothing.answer, nothing.exact, nothing.left_over) == (None, None, 5)


CLAIMS = st.lists(st.fractions(0, 50, max_denominator=7), min_size=1, max_size=6)


@pytest.mark.property
@given(CLAIMS, st.integers(0, 200), st.fractions(F(1, 5), 5, max_denominator=6))
def test_an_answer_fits_and_the_next_one_does_not(values: list[Fraction], pot: int, rate: Fraction) -> None:
    claims = Claims(values, rate)
    for solve in (budget.scale, budget.cap, budget.threshold, budget.traders):
        found = solve(claims, pot)
        assert found.total <= pot
        assert found.left_over == pot - found.total
        if found.following_total is not None:
            assert found.following_total > pot
        else:
            assert found.total == claims.whole
    top = budget.threshold(claims, pot).answer
    if top is not None:
        assert claims.paid([value for value in values if value <= top]) == budget.threshold(claims, pot).total
