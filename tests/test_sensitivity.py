"""How payouts follow a reference price: the example of the catalogue as fractions, and every formula against the run at other prices."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp import formula
from perpcomp.decide.sensitivity.pieces import Pieces, added, at_least, at_most, line
from perpcomp.decide.sensitivity.rules import of_rule
from perpcomp.decide.sensitivity.table import Interval, break_evens, elasticity, fits, sensitivity, shape_of, swaps
from perpcomp.fixed import ONE
from perpcomp.incident.rule_steps import Step
from perpcomp.incident.rules import Rule
from perpcomp.rules.apply import apply
from perpcomp.rules.population import Population
from perpcomp.rules.sources import of_liquidations
from perpcomp.run import Run
from tests import build
from tests.build import address, position

pytestmark = pytest.mark.money

F, D = Fraction, Decimal
A, B, C = (at_least(line(-base, 1), 0) for base in (20_000, 27_500, 42_000))
SHORT = at_least(line(115_000, -2), 0)


def test_the_totals_of_a_b_and_c_and_of_a_short_are_the_catalogues() -> None:
    assert added([A, B, C]).lines == ((0, 0), (-20_000, 1), (-47_500, 2), (-89_500, 3))
    total = added([A, B, C, SHORT])
    assert total.cuts == (20_000, 27_500, 42_000, 57_500)
    assert total.lines == ((115_000, -2), (95_000, -1), (67_500, 0), (25_500, 1), (-89_500, 3))
    assert (added([A, B, C]).value(50_000), total.value(50_000)) == (60_500, 75_500)


def test_budgets_elasticity_break_even_and_order_are_the_catalogues() -> None:
    assert fits(added([A, B, C]), 45_000) == [Interval(F(0), F(134_500, 3), True, True)]
    assert fits(added([A, B, C, SHORT]), 70_000) == [Interval(F(25_000), F(44_500), True, True)]
    assert fits(added([A, B, C, SHORT]), 60_000) == []
    assert elasticity(added([A, B, C]), F(50_000)) == F(300, 121)
    assert [*break_evens(A)] == [(20_000, "starts to get something above it")]
    assert [*break_evens(SHORT)] == [(57_500, "gets nothing above it")]
    assert swaps(A, SHORT) == [(45_000, True)]
    assert swaps(A, B) == [], "A always gets 7,500 more"


def test_a_total_that_jumps_has_open_ends() -> None:
    """0 up to 10, then P: at 10 itself still 0."""
    jumping = Pieces((F(10),), ((0, 0), (0, 1)), (0,))
    assert jumping.jumps() == [(10, 0, 0, 10)]
    assert fits(jumping, 5) == [Interval(F(0), F(10), True, True)]
    assert fits(jumping, 12) == [Interval(F(0), F(12), True, True)]
    falling = Pieces((F(10),), ((20, 0), (3, 0)), (20,))
    assert fits(falling, 5) == [Interval(F(10), None, False, False)]


LINES = st.tuples(st.integers(-60, 60), st.integers(-6, 6))


@pytest.mark.property
@given(st.lists(LINES, min_size=1, max_size=5), st.integers(-20, 40), st.integers(1, 400))
def test_sums_and_bounds_are_those_of_each_price(lines: list[tuple[int, int]], bound: int, tenths: int) -> None:
    price = F(tenths, 10)
    clamped = [at_least(line(a, s), 0) for a, s in lines]
    assert added(clamped).value(price) == sum(max(0, a + s * price) for a, s in lines)
    assert at_most(added(clamped), bound).value(price) == min(added(clamped).value(price), bound)
    within = any(
        (one.low < price or (one.with_low and one.low == price))
        and (one.high is None or price < one.high or (one.with_high and price == one.high))
        for one in fits(added(clamped), bound)
    )
    assert within == (added(clamped).value(price) <= bound)


def three(folder: Path, price: str = "50_000", changes: Mapping[str, str] | None = None) -> Run:
    """Users A, B and C of the thread, the short of the catalogue, and a budget in the paid token's value."""
    folder.mkdir(exist_ok=True)
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000) + position(2, address(2), 1, 30_000, 2_500, 45_000)
    rows += position(3, address(3), 1, 52_000, 10_000, 50_000) + position(4, address(4), -2, 55_000, 5_000, 58_000)
    return build.run(
        folder,
        rows,
        {
            "reference_price = 50_000": f"reference_price = {price}",
            'name = "margin-only"': 'name = "margin-upl-funding"',
            **(changes or {}),
        },
    )


def everywhere(run: Run) -> Population:
    return of_liquidations(run.liquidations, run.incident, {})


PRICES = ("1", "20_000", "27_499.5", "44_833.333333333333333333", "57_500", "123_456.789")


@pytest.mark.parametrize("price", PRICES)
def test_every_formula_follows_the_price_as_the_run_does(price: str, tmp_path: Path) -> None:
    """The functions are made at 50,000, and give what a run at another price gives: up to the cut of products to 1e-18."""
    at_reference, elsewhere = three(tmp_path / "a"), three(tmp_path / "b", price)
    population = everywhere(at_reference)
    for name in formula.installed():
        shape = shape_of(formula.find(name), at_reference.liquidations.filter("eligible"), at_reference.incident, population, "BTCUSDC")
        assert shape.traders is not None, name
        given_there = elsewhere.comparison.filter(formula=name)
        for trader, one in zip(population.traders, shape.traders, strict=True):
            amount = given_there.filter(trader=trader).get_column("amount").item()
            assert (amount is None) == (shape.unknown == 4)
            assert abs(one.value(F(price.replace("_", ""))) - F(amount or 0) * ONE) < 3, (name, trader)


STEPS = [
    (Step("scale", factor=F(1, 3)),),
    (Step("flat", amount=D(50)), Step("haircut", share=F(1, 10))),
    (Step("cap-per-trader", cap=D(9_000), excess="kept"), Step("uplift", factor=F(1, 5))),
    (Step("tiers", threshold=D(1_000), share=F(1, 4)), Step("net-bad-debt")),
    (Step("drop-below", minimum=D(4_000)), Step("net-of-refund")),
    (Step("pro-rata-budget", pot=D(30_000)), Step("scale", factor=F(1, 2))),
    (Step("equal-per-address", pot=D(30_000)),),
    (Step("small-first", pot=D(30_000), threshold=D(5_000)),),
]


@pytest.mark.parametrize("price", PRICES[1:4])
@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: "+".join(step.kind for step in steps))
def test_every_rule_follows_the_price_as_the_run_does(steps: tuple[Step, ...], price: str, tmp_path: Path) -> None:
    at_reference, elsewhere = three(tmp_path / "a"), three(tmp_path / "b", price)
    rule = Rule("r", ("margin-upl-funding",), steps=steps)
    eligible = at_reference.liquidations.filter("eligible")

    def rows(name: str) -> list[Pieces | None]:
        from perpcomp.decide.sensitivity.rows import functions

        return functions(formula.find(name), eligible, at_reference.incident, "BTCUSDC")

    shape = of_rule(rule, {}, rows, everywhere(at_reference))
    done = apply(rule, everywhere(elsewhere), {})
    at = F(price.replace("_", ""))
    assert shape.total is not None
    assert abs(shape.total.value(at) - done.amounts.total) < 12
    if shape.traders is not None and not shape.scaled:
        assert all(abs(one.value(at) - done.amounts[n]) < 3 for n, one in enumerate(shape.traders))


def test_a_class_that_has_no_closed_form_says_so() -> None:
    population = Population([address(1)], {"claim": [ONE]}.__getitem__, {"claim": [ONE]}.__getitem__)
    shape = of_rule(Rule("r", ("claim",), steps=(Step("amm-unwind", rounds=10),)), {}, lambda _: [line(ONE, 0)], population)
    assert (shape.shape, shape.traders, shape.total) == ("with-jumps", None, None)
    assert shape.why == "amm-unwind closes positions on the curve, in an order that follows the price"


def test_the_table_lists_segments_budgets_break_evens_and_order(tmp_path: Path) -> None:
    budget = '[[budget]]\nname = "pot"\ntoken = "PERP"\namount = 10_000\nsource = "test"\n\n[sources]'
    run = three(tmp_path, changes={"[sources]": budget})
    table = sensitivity(run.formula, run.liquidations, run.incident, everywhere(run))
    rows = {kind: table.filter(kind=kind) for kind in table.get_column("kind").unique()}
    assert rows["class"].get_column("text").to_list() == ["linear"]
    assert rows["segment"].select("price", "to", "intercept", "slope").rows() == [
        ("0", "20000", "115000", "-2"),
        ("20000", "27500", "95000", "-1"),
        ("27500", "42000", "67500", "0"),
        ("42000", "57500", "25500", "1"),
        ("57500", None, "-89500", "3"),
    ]
    assert rows["budget"].select("price", "to", "ends", "text").rows() == [("25000", "44500", "[]", "the total fits pot")]
    assert (address(1), address(4), "45000") in rows["order-change"].select("trader", "other", "price").rows()
    assert rows["break-even"].height == 4
    assert rows["elasticity"].get_column("intercept").to_list() == [str(F(50_000, 75_500))]
