"""The look before the vote: who prefers what, what would be elected, and how fair it is; the figures of the catalogue, exactly."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from unittest import mock

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from perpcomp.decide import elections, fairness, preferences
from perpcomp.decide.field import Field, Option, sum_where
from perpcomp.fixed import ONE
from perpcomp.rules.amounts import Amounts
from perpcomp.rules.apply import apply
from tests.build import address
from tests.test_rules import FIVE, OP, population

pytestmark = pytest.mark.money

F = Fraction
ABC_LOST = (30_000, 22_500, 8_000)


def field(options: Mapping[str, Sequence[int | Fraction]], lost: Sequence[int | None] = ABC_LOST) -> Field:
    """A field of these amounts, in whole units of the quote asset."""
    made = [Option(name, Amounts.of([Fraction(value) * ONE for value in values]), [True] * len(values)) for name, values in options.items()]
    return Field([address(n) for n in range(1, len(lost) + 1)], made, [None if loss is None else loss * ONE for loss in lost])


def shutdown(*names: str) -> Field:
    """Options op1 to op4 for the five traders of the shutdown."""
    done = {name: apply(OP[name], population(FIVE), {}) for name in names}
    options = [Option(name, one.amounts, [True] * 5) for name, one in done.items()]
    return Field(done[names[0]].traders, options, [claim * ONE for claim in FIVE["claim"]])


def measured(amounts: Sequence[int | Fraction], lost: Sequence[int] = ABC_LOST) -> fairness.Fairness:
    return fairness.fairness(field({"f": amounts}, lost))[0]


def test_the_first_rule_of_the_thread_is_not_monotone_for_2_of_3_pairs() -> None:
    sheet = measured([-12_000, -15_000, 2_000]).monotonicity
    assert sheet is not None
    assert (sheet.count, sheet.of) == (2, 3)
    assert [(one.first, one.second) for one in sheet.examples] == [(address(2), address(3)), (address(1), address(3))]
    assert [measured(amounts).monotonicity.count for amounts in ([10_000, 2_500, 10_000], ABC_LOST)] == [1, 0]  # type: ignore[union-attr]


def test_recovery_and_gini_of_a_b_and_c() -> None:
    margin = measured([10_000, 2_500, 10_000])
    assert margin.recovery == (F(1, 9), F(1, 3), F(5, 4))
    assert (margin.total_recovery, margin.above_loss) == (F(45, 121), 1)
    assert (margin.gini, measured(ABC_LOST).gini) == (F(2, 9), F(8, 33))


def test_the_shutdowns_options_have_the_figures_of_the_catalogue() -> None:
    found = {one.option: one for one in fairness.fairness(shutdown("op1", "op2", "op4"))}
    assert {one.total_recovery for one in found.values()} == {F(3000, 7163)}
    assert found["op2"].recovery == (F(2987, 7150), F(2987, 7150), 1)
    assert found["op1"].top[0] == F(500, 551)
    assert found["op4"].top[0] is not None
    shown = [round(one.gini or 0, 6) for one in found.values()]
    assert shown == [F("0.750049"), F("0.746720"), F("0.713711")]
    assert round(found["op4"].top[0], 6) == F("0.837975")
    assert found["op1"].top[2] == 1, "ten of five traders have it all"
    violated = {name: [(pair.first, pair.second) for pair in one.monotonicity.examples] for name, one in found.items() if one.monotonicity}
    assert violated == {"op1": [], "op2": [], "op4": [(address(2), address(1))]}


def test_the_same_loss_paid_differently_is_envy() -> None:
    """A margin of 15,000 without profit, and one of 1,000 with a profit of 14,000, by margin only (A6); and a third who lost more."""
    envy = measured([15_000, 1_000, 2_000], [15_000, 15_000, 16_000]).envy
    assert envy is not None
    assert (envy.count, envy.of) == (1, 1)
    assert str(envy.examples[0]) == f"{address(2)} lost 15000 and gets 1000, {address(1)} lost 15000 and gets 15000"


def test_the_shutdowns_options_beat_each_other_in_a_ring() -> None:
    pairs = preferences.matrix(shutdown("op1", "op2", "op4"))
    assert [(pairs[a, b].more, pairs[a, b].less) for a, b in (("op1", "op2"), ("op2", "op4"), ("op4", "op1"))] == [(3, 2)] * 3
    assert preferences.condorcet(pairs, ["op1", "op2", "op4"]) == preferences.Condorcet(None, (("op1", "op2", "op4"),))
    both_ways = pairs["op4", "op2"]
    assert both_ways.moved == both_ways.moved_back
    assert round(both_ways.moved / ONE, 6) == F("41889.428630")


def test_an_option_that_beats_all_others_is_named_and_a_tie_is_neither() -> None:
    three = field({"a": [1, 2, 3], "b": [0, 3, 2], "c": [0, 0, 9]})
    assert preferences.condorcet(preferences.matrix(three), ["a", "b", "c"]).winner == "a"
    tied = field({"a": [1, 2, 3], "b": [2, 1, 3]})
    assert preferences.condorcet(preferences.matrix(tied), ["a", "b"]) == preferences.Condorcet(None, ())


def test_dust_below_the_last_digit_is_a_preference_only_where_it_is_in_the_rule() -> None:
    """1/3 of a unit against 0.333...: cut to 18 places they are the same, and exactly they are not."""
    cut = F(ONE // 3, ONE)
    pair = preferences.matrix(field({"third": [F(1, 3)] * 3, "cut": [cut] * 3}))["third", "cut"]
    assert (pair.more, pair.less, pair.same, pair.moved) == (3, 0, 0, 1)


@pytest.mark.property
@given(st.lists(st.tuples(st.integers(-3, 6), st.integers(0, 6), st.integers(1, 3)), min_size=1, max_size=12))
def test_pairs_are_counted_as_if_each_were_looked_at(rows: list[tuple[int, int, int]]) -> None:
    lost, amounts = [loss for loss, _, _ in rows], [F(value, part) for _, value, part in rows]
    found = measured(amounts, lost)
    every = [(i, j) for i, j in combinations(range(len(rows)), 2)]
    wrong = sum((lost[i] - lost[j]) * (amounts[i] - amounts[j]) < 0 for i, j in every)
    envy = sum(lost[i] == lost[j] and amounts[i] != amounts[j] for i, j in every)
    assert found.monotonicity is not None
    assert found.envy is not None
    assert (found.monotonicity.count, found.monotonicity.of) == (wrong, sum(lost[i] != lost[j] for i, j in every))
    assert (found.envy.count, found.envy.of) == (envy, sum(lost[i] == lost[j] for i, j in every))
    assert len(found.monotonicity.examples) >= min(wrong, 1)
    ratios = sorted(value / loss for value, loss in zip(amounts, lost, strict=True) if loss > 0)
    if ratios:
        middle = (ratios[(len(ratios) - 1) // 2] + ratios[len(ratios) // 2]) / 2
        assert found.recovery == (ratios[0], middle, ratios[-1])
    if sum(amounts):
        apart = sum(abs(a - b) for a in amounts for b in amounts)
        assert found.gini == apart / (2 * len(rows) * sum(amounts))


@example([(0, 4, 1), (1, 3, 1), (1, 3, 1), (1, 3, 1), (2, 7, 1), (3, 4, 1)])  # the last is 3 below, and its quarter 0
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-40, 40), st.integers(1, 3)), min_size=1, max_size=12))
def test_the_examples_are_those_who_are_paid_least_below_the_best_paid_who_lost_less(rows: list[tuple[int, int, int]]) -> None:
    """Of amounts of a few 1e-18 and parts of them, the largest differences, equal ones by address."""
    lost, amounts = [loss for loss, _, _ in rows], [F(value, part) for _, value, part in rows]
    best = [max((amounts[i] for i in range(len(rows)) if lost[i] < loss), default=amounts[n]) for n, loss in enumerate(lost)]
    worst = sorted((n for n in range(len(rows)) if amounts[n] < best[n]), key=lambda n: (amounts[n] - best[n], n))
    traders = [address(n) for n in range(len(rows))]
    first = {amounts[n]: traders[n] for n in sorted(range(len(rows)), key=lambda n: (lost[n], n), reverse=True)}
    found = fairness.fairness(Field(traders, [Option("f", Amounts.of(amounts), [True] * len(rows))], lost))[0].monotonicity
    assert found is not None
    assert [(one.first, one.second) for one in found.examples] == [(traders[n], first[best[n]]) for n in worst[: fairness.EXAMPLES]]


def test_an_unknown_amount_or_loss_leaves_measures_out_with_the_reason() -> None:
    lacking = Option("f", Amounts([ONE, 0]), [True, False])
    found = fairness.fairness(Field([address(1), address(2)], [lacking], [ONE, ONE]))[0]
    assert (found.gini, found.envy, found.why_not) == (None, None, "the amounts of 1 of 2 traders are not known")
    unknown_loss = fairness.fairness(field({"f": [1, 2]}, [1, None]))[0]
    assert (unknown_loss.gini, unknown_loss.recovery, unknown_loss.why_not) == (
        F(1, 6),
        None,
        "what was lost is not known for every trader",
    )
    below = fairness.fairness(field({"f": [-1, 2]}, [1, 2]))[0]
    assert (below.gini, below.top) == (None, (None, None, None))


@given(
    st.lists(
        st.tuples(*[st.sampled_from([0, 1, -7, ONE, 10**37, -(10**37), 5 * 10**37, F(1, 3), F(-2, 7)])] * 2, st.booleans()), max_size=4
    )
)
def test_differences_are_exact_and_cut_towards_0(rows: list[tuple[int | Fraction, int | Fraction, bool]]) -> None:
    """Also where an amount is a fraction, and beyond what an integer of 128 bits holds of a difference."""
    traders, known = [address(n) for n in range(len(rows))], [row[2] for row in rows]
    amounts = {name: [row[k] for row in rows] for k, name in enumerate(("base", "other"))}
    options = [Option(name, Amounts.of([Fraction(value) for value in values]), known) for name, values in amounts.items()]
    expected = [
        ("other", trader, int(apart), str(apart))
        for trader, base, other, both in zip(traders, amounts["base"], amounts["other"], known, strict=True)
        for apart in [Fraction(other) - Fraction(base)]
        if both
    ]
    found = preferences.differences(Field(traders, options, [0] * len(rows)), "base")
    cut = found.with_columns(found["difference"].reinterpret(dtype=pl.Int128))
    assert sorted(cut.iter_rows()) == sorted(expected)


@pytest.mark.property
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=9), st.integers(1, 3))
def test_voters_rank_by_amount_and_equal_ones_by_name_or_in_reverse(rows: list[tuple[int, ...]], count: int) -> None:
    """Who gets the same from all does not vote, so one option alone has no voter and is not elected."""
    options = {"abc"[k]: [row[k] for row in rows] for k in range(count)}
    by_name, in_reverse = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
    for row in rows:
        if len(set(row[:count])) > 1:
            by_name[tuple(sorted(range(count), key=lambda k, row=row: (-row[k], k)))] += 1
            in_reverse[tuple(sorted(range(count), key=lambda k, row=row: (-row[k], -k)))] += 1
    made = field(options, [1] * len(rows))
    assert elections.ballots(made)[:2] == (by_name, in_reverse)
    assert count > 1 or not any(one.elected for one in elections.elections(made).values())


@pytest.mark.property
@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 40))
def test_inversions_are_the_pairs_of_which_the_later_is_smaller(ranks: list[int], short: int) -> None:
    """Also of so many ranks that halves of them are sorted."""
    with mock.patch.object(fairness, "SHORT", short):
        found = fairness.inversions(pl.Series(ranks, dtype=pl.Int64))
    assert found == sum(later < earlier for earlier, later in combinations(ranks, 2))


def test_a_sum_beyond_the_limit_of_a_column_is_exact() -> None:
    large = Option("large", Amounts([10**38 - 1, 10**38 - 1, 10**38 - 1]), [True] * 3)
    assert sum_where(large, pl.Series([True, True, False])) == 2 * (10**38 - 1)
    assert sum_where(replace(large, amounts=Amounts([1, 2, 4], 3)), pl.Series([True, False, True])) == F(5, 3)
