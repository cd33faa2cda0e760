"""Rules as data: the worked examples of the catalogue, conservation for every step and composition, and the sentence that reads back."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from perpcomp.findings import InputError
from perpcomp.fixed import ONE
from perpcomp.incident.payees import Payee
from perpcomp.incident.rule_steps import Step
from perpcomp.incident.rules import Rule
from perpcomp.rules import unwind
from perpcomp.rules.amounts import Amounts, together, with_limit
from perpcomp.rules.apply import Outcome, apply
from perpcomp.rules.population import Population
from perpcomp.rules.sentence import parse, sentence
from tests.build import address

pytestmark = pytest.mark.money

D = Decimal
FIVE = {  # facts of five traders, P = 1,000: the shutdown in small
    "size": [1, 5, 20, 50, 3_000],
    "open_notional": [900, 5_500, 20_000, 50_000, 1_800_000],
    "margin": [1_000, 2_000, 40_000, 90_000, 100_000],
    "funding": [0] * 5,
    "notional": [1_000, 5_000, 20_000, 50_000, 3_000_000],
    "claim": [1_100, 1_500, 40_000, 90_000, 1_300_000],
}
POOL = {"M": (10_000_000 * ONE, 10_000 * ONE)}


def population(columns: Mapping[str, Sequence[Any]], accounts: Sequence[str] | None = None, **more: Any) -> Population:
    """A population of these columns, in whole units of the quote asset."""
    rows = len(next(iter(columns.values())))
    units = {name: [None if value is None else int(value * ONE) for value in column] for name, column in columns.items()}
    return Population(
        accounts or [address(n) for n in range(1, rows + 1)], units.__getitem__, units.__getitem__, ["M"] * rows, pools=POOL, **more
    )


def rule(*steps: Step, base: str | tuple[str, ...] = "claim", **more: Any) -> Rule:
    return Rule("r", (base,) if isinstance(base, str) else base, steps=steps, **more)


def paid(one: Rule, of: Population, rules: Mapping[str, Rule] | None = None) -> list[Fraction]:
    """What each trader gets, in units of the quote asset, exact."""
    done = apply(one, of, rules or {})
    return [done.amounts[n] / ONE for n in range(len(done.traders))]


def largest_remainder(amounts: Sequence[Fraction], places: int = 6) -> list[Decimal]:
    """To so many places, the sum kept: the catalogue's way to print a column."""
    unit = 10**places
    cut = [amount * unit // 1 for amount in amounts]
    rest = sum(amounts) * unit // 1 - sum(cut)
    for n in sorted(range(len(amounts)), key=lambda n: (cut[n] - amounts[n] * unit, n))[:rest]:
        cut[n] += 1
    return [D(value).scaleb(-places) for value in cut]


def nearest(amount: Fraction, places: int = 6) -> Decimal:
    """The nearest decimal of so many places."""
    return D(round(amount * 10**places)).scaleb(-places)


OP = {
    "op1": rule(Step("pro-rata-budget", pot=D(600_000))),
    "op2": rule(Step("small-first", pot=D(600_000), share=Fraction(2, 5))),
    "op3": rule(Step("small-first", pot=D(600_000), threshold=D(40_000))),
    "op4": rule(Step("amm-unwind", rounds=100, pot=D(600_000))),
}
COLUMNS = {  # formulas 2.2, to 6 decimals by largest remainder
    "op1": ["460.700824", "628.228396", "16752.757225", "37693.703755", "544464.609800"],
    "op2": ["1100", "1500", "16710.489510", "37598.601399", "543090.909091"],
    "op3": ["1100", "1500", "40000", "36090.647482", "521309.352518"],
    "op4": ["733.570737", "282.793544", "29903.752463", "66294.767076", "502785.116180"],
}


@pytest.mark.parametrize("name", OP)
def test_the_four_options_of_the_shutdown(name: str) -> None:
    amounts = paid(OP[name], population(FIVE))
    assert sum(amounts) == 600_000
    assert largest_remainder(amounts) == [D(value) for value in COLUMNS[name]]


def test_99_percent_of_five_traders_are_four() -> None:
    assert paid(rule(Step("small-first", pot=D(600_000), share=Fraction(99, 100))), population(FIVE))[-1] == 467_400


def test_the_larger_of_two_options_costs_more_than_the_pot_and_the_difference_names_the_harmed() -> None:
    of = population(FIVE)
    both = paid(rule(base=("op2", "op4"), combine="max"), of, OP)
    assert [nearest(amount) for amount in both] == [D(v) for v in ("1100", "1500", "29903.752463", "66294.767076", "543090.909091")]
    difference = paid(rule(base=("op4", "op2"), combine="minus"), of, OP)
    assert [amount > 0 for amount in difference] == [False, False, True, True, False]
    assert sum(both) == 600_000 + sum(difference)
    topped_up = paid(rule(Step("pro-rata-budget", pot=D(12_000)), base=("op4", "op2"), combine="minus"), of, OP)
    assert [nearest(amount) for amount in topped_up[2:4]] == [D("3779.453686"), D("8220.546314")]
    ppm = paid(rule(Step("pro-rata-budget", pot=D(1), values="weights"), base=("op4", "op2"), combine="minus"), of, OP)
    assert largest_remainder(ppm)[2:4] == [D("0.314954"), D("0.685046")]


@pytest.mark.parametrize(("rounds", "second"), [(1, "1496.50"), (2, "876.48"), (10, "428.76"), (100, "334.17")])
def test_the_sum_of_an_unwinding_does_not_depend_on_its_rounds_and_the_distribution_does(rounds: int, second: str) -> None:
    amounts = paid(rule(Step("amm-unwind", rounds=rounds)), population(FIVE))
    assert nearest(amounts[1], 2) == D(second)
    assert nearest(sum(amounts, Fraction())) == D("709001.345977")


def test_the_claims_of_an_unwinding_are_the_catalogues() -> None:
    amounts = paid(rule(Step("amm-unwind", rounds=100)), population(FIVE))
    expected = ("866.837733", "334.168339", "35336.334576", "78338.465147", "594125.540182")
    assert [nearest(amount) for amount in amounts] == [D(value) for value in expected]


@pytest.mark.parametrize("guard", [128, 0])
def test_an_unwinding_is_exact_to_its_last_digit(guard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against plain fractions: a long and a short, of two traders, in three rounds. Without guard bits they leave every last digit open."""
    monkeypatch.setattr(unwind, "_GUARD", guard)
    columns = {"size": [7, -3], "open_notional": [6_000, 3_500], "margin": [900, 800], "funding": [-5, 11], "notional": [7_000, 3_000]}
    quote, base = Fraction(10_000_000 * ONE), Fraction(10_000 * ONE)
    k, realized = quote * base, [Fraction(0), Fraction(0)]
    for number in (1, 2, 3):
        for n in (1, 0):  # the short's notional is the smaller
            size = columns["size"][n] * ONE
            part = abs(size) * number // 3 - abs(size) * (number - 1) // 3
            after = base + part if size > 0 else base - part
            realized[n] += k / base - k / after
            base = after
    expected = [
        (900 + 5) * ONE + realized[0] - 6_000 * ONE,
        (800 - 11) * ONE + realized[1] + 3_500 * ONE,
    ]
    done = apply(rule(Step("amm-unwind", rounds=3), base="margin"), population(columns), {})
    assert [*done.amounts.numerators] == [int(value // 1) for value in expected]


def test_a_claim_that_is_exactly_whole_is_not_cut_by_the_guard_bits() -> None:
    """A pool of 10,000 takes 10,000 more: half of its quote, 5,000,000 to the unit, where the guard bits leave the last digit open."""
    columns = {"size": [10_000], "open_notional": [4_000_000], "margin": [1], "funding": [0], "notional": [1]}
    assert paid(rule(Step("amm-unwind", rounds=7), base="margin"), population(columns)) == [1_000_001]


def test_a_short_larger_than_the_pool_and_a_market_without_a_pool_are_refused() -> None:
    columns = {"size": [-10_000], "open_notional": [1], "margin": [1], "funding": [0], "notional": [1]}
    once = rule(Step("amm-unwind", rounds=1), base="margin")
    with pytest.raises(InputError, match="The shorts of M take 10000 out of a pool of 10000"):
        apply(once, population(columns), {})
    with pytest.raises(InputError, match="There is no pool of M"):
        apply(once, replace(population(columns), pools={"N": POOL["M"]}), {})


def test_equal_per_address_fills_to_one_level() -> None:
    assert paid(rule(Step("equal-per-address", pot=D(100_000))), population(FIVE)) == [1_100, 1_500, *[Fraction(97_400, 3)] * 3]


ABC = {"claim": [30_000, 22_500, 8_000]}


def test_the_order_of_a_cap_and_a_pot_is_part_of_the_rule() -> None:
    cap, pot = Step("cap-per-trader", cap=D(15_000), excess="kept"), Step("pro-rata-budget", pot=D(40_000))
    assert paid(rule(cap, pot), population(ABC)) == [15_000, 15_000, 8_000]
    k = Fraction(80, 121)
    assert paid(rule(pot, cap), population(ABC)) == [15_000, 22_500 * k, 8_000 * k]


@pytest.mark.parametrize(("pot", "level"), [(45_000, 18_500), (45_001, Fraction(37_001, 2)), (50_000, 21_000)])
def test_a_total_is_capped_by_one_level_or_in_proportion(pot: int, level: Fraction) -> None:
    filled = Step("cap-total", pot=D(pot), by="water-fill")
    assert paid(rule(filled), population(ABC)) == [level, level, 8_000]
    assert paid(rule(replace(filled, by="scale")), population(ABC)) == [w * Fraction(pot, 60_500) for w in ABC["claim"]]


@pytest.mark.parametrize(
    ("step", "value", "after"),
    [
        (Step("scale", factor=Fraction(1, 2)), 30_000, 15_000),
        (Step("haircut", share=Fraction("0.1598164862")), 1_000, Fraction("840.1835138")),
        (Step("uplift", factor=Fraction(1, 10)), D("81105.33"), Fraction("89215.863")),
        (Step("flat", amount=D(50)), 100, 150),
        (Step("flat", amount=D(50)), 0, 0),
        (Step("tiers", threshold=D(1_000), share=Fraction(1, 4)), D("5000.000000000000000004"), Fraction("2000.000000000000000001")),
        (Step("tiers", threshold=D(1_000), share=Fraction(1, 4)), 999, 999),
        (Step("drop-below", minimum=D(10)), 8, 0),
        (Step("drop-below", minimum=D(10)), 10, 10),
        (Step("cap-per-trader", cap=D(15_000), excess="kept"), 30_000, 15_000),
    ],
)
def test_a_step_does_what_the_catalogue_says(step: Step, value: Any, after: Any) -> None:
    assert paid(rule(step), population({"claim": [value]})) == [after]


def test_refunds_bad_debt_and_leverage_are_facts_of_a_trader() -> None:
    columns = {"claim": [20_000, 10_000, 2_000], "bad_debt": [550, 0, 0], "leverage_at_open": [25, 5, 2]}
    of = population(columns, [address(1), address(1), address(2)], received={address(1): 4_000 * ONE, address(2): 9_000 * ONE})
    assert paid(rule(Step("net-of-refund")), of) == [26_000, 0]
    assert [entitlement.taken_off for entitlement in apply(rule(Step("net-of-refund")), of, {}).entitlements().values()] == [
        4_000 * ONE,
        2_000 * ONE,
    ]
    assert paid(rule(Step("net-bad-debt")), of) == [29_450, 2_000]
    assert paid(rule(Step("leverage-filter", maximum=D(10), above="drop")), of) == [0, 2_000]
    assert paid(rule(Step("leverage-filter", maximum=D(10), above="scale")), of) == [12_000, 2_000]


def test_the_excess_above_a_cap_goes_to_the_others_in_proportion() -> None:
    of = population({"claim": [60, 30, 10]})
    cap = Step("cap-per-trader", cap=D(50), excess="redistribute")
    assert paid(rule(cap), of) == [50, Fraction(75, 2), Fraction(25, 2)]
    half = Step("scale", factor=Fraction(1, 2))
    up_to_claim = Step("cap-per-trader", cap=D(12), excess="up-to-claim")
    assert paid(rule(half, up_to_claim), of) == [12, 12, 10]  # 16 are left over: 10 is the third's claim
    done = apply(rule(half, up_to_claim), of, {})
    assert done.left_over == 16 * ONE


def test_payees_are_added_up_where_the_map_acts() -> None:
    owner, other = address(8), address(9)
    payees = [
        Payee(address(1), owner, Fraction(1), "its owner", "", ("s",)),
        Payee(address(2), owner, Fraction(1, 3), "its owner", "", ("s",)),
        Payee(address(2), other, Fraction(2, 3), "its owner", "", ("s",)),
    ]
    of = population({"claim": [600, 900, 50]}, payees=payees)
    cap = Step("cap-per-trader", cap=D(700), excess="kept")
    done = apply(rule(Step("address-remap"), cap), of, {})
    assert dict(zip(done.traders, (done.amounts[n] / ONE for n in range(3)), strict=True)) == {address(3): 50, owner: 700, other: 600}
    assert paid(rule(cap, Step("address-remap")), of)[1:] == [600 + Fraction(700, 3), Fraction(1_400, 3)]


def test_several_bases_are_combined_at_the_level_that_is_stated() -> None:
    of = population({"f": [10, 1], "g": [2, 5]}, [address(1)] * 2)
    at = {level: paid(rule(base=("f", "g"), combine="max", level=level), of) for level in ("liquidation", "trader")}
    assert at == {"liquidation": [15], "trader": [11]}
    assert paid(rule(base=("f", "g"), combine="blend", weights=(Fraction(1), Fraction(3)), level="trader"), of) == [8]
    half_known = population({"f": [None, 3], "g": [5, 5]})
    for combine, after in (("max", [5, 5]), ("minus", [0, 2])):
        done = apply(rule(base=("g", "f"), combine=combine, level="trader"), half_known, {})
        assert ([amount / ONE for amount in done.amounts.numerators], [*done.end.unknown]) == (after, [1, 0])
    for loss in (4, D("1e-18")):
        clamped = population({"f": [10, -loss]}, [address(1)] * 2)
        assert [paid(rule(base="f", level=level), clamped) for level in ("liquidation", "trader")] == [[10], [10 - Fraction(loss)]]


def test_a_claim_that_is_not_known_stops_a_pot_or_stands_aside() -> None:
    of = population({"claim": [10, None, 20]}, [address(1), address(1), address(2)])
    pot = Step("pro-rata-budget", pot=D(15))
    with pytest.raises(InputError) as caught:
        apply(rule(pot), of, {})
    assert address(1) in str(caught.value)
    assert paid(rule(pot, unknown="set-aside"), of) == [0, 15]
    with pytest.raises(InputError, match="is not known, and with it nobody's share"):
        apply(rule(Step("cap-per-trader", cap=D(5), excess="redistribute")), of, {})
    assert paid(rule(Step("cap-per-trader", cap=D(5), excess="kept")), of) == [5, 5]
    assert paid(rule(Step("scale", factor=Fraction(2))), of) == [20, 40]


def test_weights_that_sum_to_zero_share_nothing() -> None:
    with pytest.raises(InputError, match="sum to zero"):
        apply(rule(Step("pro-rata-budget", pot=D(15), values="weights")), population({"claim": [0, 0]}), {})
    done = apply(rule(Step("pro-rata-budget", pot=D(15))), population({"claim": [0, 0]}), {})
    assert (done.amounts.total, done.left_over) == (0, 15 * ONE)


def test_more_set_aside_than_the_pot_holds_is_refused() -> None:
    step = Step("pro-rata-budget", pot="treasury", set_aside=D(50))
    with pytest.raises(InputError, match="50 are set aside of a pot of 40"):
        apply(rule(step), population(ABC, budgets={"treasury": (40 * ONE, Fraction(7))}), {})
    kept = apply(rule(replace(step, set_aside=D(10))), population(ABC, budgets={"treasury": (40 * ONE, Fraction(7))}), {})
    assert kept.amounts.total == 30 * 7 * ONE


def test_amounts_are_whole_numbers_over_one_denominator() -> None:
    third, half = Amounts([1, 6], 3), Amounts([1, 0], 2)
    assert Amounts.of([Fraction(1, 3), Fraction(1, 2), Fraction(2)]) == Amounts([2, 3, 12], 6)
    assert (len(third), third[1], third.total) == (2, 2, Fraction(7, 3))
    assert (third.over(3), third.over(6)) == ([1, 6], [2, 12])
    assert third.times(Fraction(6, 5)) == Amounts([2, 12], 5)
    assert (Amounts([7, 5]).cut(), Amounts([7, 6, 5], 2).cut(), third.cut()) == ([7, 5], [3, 3, 2], [0, 2])
    assert together(third, half) == ([[2, 12], [3, 0]], 6)
    assert with_limit(third, Fraction(1, 2)) == ([2, 12], 3, 6)


def told(step: Step, claims: Sequence[Any], **columns: Any) -> tuple[list[Fraction], list[str | None]]:
    """What one step gives each trader, in units of the quote asset, and why, where it says so."""
    (done,) = apply(rule(step), population({"claim": claims, **columns}), {}).steps
    return [done.result.standing.amounts[n] / ONE for n in range(len(claims))], [done.result.reasons.get(n) for n in range(len(claims))]


FIRST, ENDED = "first: paid whole", "first: the money ended here"
LEVEL = "above-level: the level of all others"


@pytest.mark.parametrize(
    ("step", "claims", "after", "why"),
    [
        # At a limit nothing is taken, so nothing is said.
        (Step("cap-per-trader", cap=D(5), excess="kept"), [4, 5, 6], [4, 5, 5], [None, None, "above-cap: more than 5"]),
        (Step("cap-per-trader", cap=D(5), excess="redistribute"), [2, 5, 6], [3, 5, 5], [None, None, "above-cap: more than 5"]),
        (
            Step("tiers", threshold=D(5), share=Fraction(1, 2)),
            [4, 5, 7],
            [4, 5, 6],
            [None, None, "above-threshold: of what is above 5, a share of 1/2 is paid"],
        ),
        (Step("drop-below", minimum=D(5)), [0, 4, 5], [0, 0, 5], [None, "below-minimum: less than 5", None]),
        (
            Step("equal-per-address", pot=D(9)),
            [2, 3, 4, 5],
            [2, Fraction(7, 3), Fraction(7, 3), Fraction(7, 3)],
            [None, LEVEL, LEVEL, LEVEL],
        ),
        (Step("equal-per-address", pot=D(8)), [2, 2, 5, 0], [2, 2, 4, 0], [None, None, LEVEL, None]),
        (Step("equal-per-address", pot=D(7)), [2, 2, 3, 0], [2, 2, 3, 0], [None] * 4),
        (Step("equal-per-address", pot=D(9)), [3, 3, 4], [3, 3, 3], [None, None, LEVEL]),
        # The small ones are counted among those who claim something; of equal ones the lower address is first.
        (Step("small-first", pot=D(9), threshold=D(4)), [4, 0, 4, 5], [4, 0, 4, 1], [FIRST, None, FIRST, None]),
        (Step("small-first", pot=D(7), threshold=D(4)), [4, 0, 4, 5], [4, 0, 3, 0], [FIRST, None, ENDED, None]),
        (Step("small-first", pot=D(4), threshold=D(5)), [4, 4, 5], [4, 0, 0], [FIRST, ENDED, ENDED]),
        (Step("small-first", pot=D(6), share=Fraction(1, 2)), [3, 2, 3, 0], [2, 2, 2, 0], [None, FIRST, None, None]),
        (Step("net-of-refund", column="refund"), [6, 6, 6, 0], [6, 4, 0, 0], [None, "already-received: 2", "already-received: 7", None]),
        (Step("net-bad-debt"), [6, 6, 6, 0], [6, 4, 0, 0], [None, "bad-debt: 2", "bad-debt: 7", None]),
        (
            Step("leverage-filter", maximum=D(10), above="drop"),
            [6, 6, 6, 6],
            [6, 6, 0, 0],
            [None, None, "leverage: opened with 10.5, above 10", "leverage: opened with 20, above 10"],
        ),
    ],
)
def test_a_step_says_why_it_leaves_less(step: Step, claims: list[Any], after: list[Any], why: list[str | None]) -> None:
    facts = {"refund": [0, 2, 7, 1], "bad_debt": [0, 2, 7, 1], "leverage_at_open": [1, 10, D("10.5"), 20]}
    assert told(step, claims, **{name: column[: len(claims)] for name, column in facts.items()}) == (after, why)


def test_the_highest_leverage_of_a_trader_counts_whatever_its_order() -> None:
    for leverages in ([20, 5], [5, 20]):
        of = population({"claim": [3, 3], "leverage_at_open": leverages}, [address(1)] * 2)
        assert paid(rule(Step("leverage-filter", maximum=D(10), above="scale")), of) == [3]


def test_an_unwinding_begins_with_the_smallest_and_of_equal_ones_with_the_lower_address() -> None:
    """A short's notional counts as a long's: 10 are sold to a base of 10,000, 10 more, and then 20 bought. A base of b holds k / b of quote."""
    columns = {
        "size": [-20, 10, 10],
        "notional": [-20_000, 10_000, 10_000],
        "open_notional": [40_000, 0, 0],
        "margin": [0] * 3,
        "funding": [0] * 3,
    }
    holds = {base: Fraction(10**11, base) for base in (10_000, 10_010, 10_020)}
    fetched = [40_000 - (holds[10_000] - holds[10_020]), holds[10_000] - holds[10_010], holds[10_010] - holds[10_020]]
    unwound = paid(rule(Step("amm-unwind", rounds=1), base="margin"), population(columns))
    assert unwound == [Fraction(amount * ONE // 1, ONE) for amount in fetched]


def test_who_had_something_and_ends_with_nothing_is_told_the_step_that_took_it() -> None:
    of = population({"claim": [0, 4, 6, 8], "bad_debt": [0, 0, 6, 0]})
    steps = (Step("drop-below", minimum=D(5)), Step("net-bad-debt"), Step("pro-rata-budget", pot=D(1)))
    assert apply(rule(*steps), of, {}).why_nothing() == {
        address(2): "below-minimum: less than 5",
        address(3): "bad-debt: 6",
    }
    assert apply(rule(Step("scale", factor=Fraction(0))), of, {}).why_nothing()[address(4)] == "scale: step 1 of r leaves nothing"


def test_20_traders_of_unknown_claim_are_named_and_the_others_counted() -> None:
    for count, more in ((20, ""), (21, " and 1 more")):
        with pytest.raises(InputError) as caught:
            apply(rule(Step("pro-rata-budget", pot=D(15))), population({"claim": [None] * count}), {})
        listed = ", ".join(address(n) for n in range(1, 21))
        assert f"The claim of {count} traders on the pot is not known, and with it nobody's share: {listed}{more}." in str(caught.value)


AMOUNT = st.decimals(min_value=D("0.01"), max_value=D(10**7), places=2)
RATIO = st.fractions(min_value=0, max_value=3, max_denominator=10**6)
SHARE = st.fractions(min_value=0, max_value=1, max_denominator=1_000)
POT = {"pot": AMOUNT, "set_aside": st.none()}
EACH = st.one_of(
    st.builds(Step, st.just("scale"), factor=RATIO),
    st.builds(Step, st.just("haircut"), share=SHARE),
    st.builds(Step, st.just("uplift"), factor=RATIO),
    st.builds(Step, st.just("flat"), amount=AMOUNT),
    st.builds(Step, st.just("tiers"), threshold=AMOUNT, share=SHARE),
    st.builds(Step, st.just("drop-below"), minimum=AMOUNT),
    st.builds(Step, st.just("cap-per-trader"), cap=AMOUNT, excess=st.just("kept")),
    st.just(Step("net-of-refund")),
    st.just(Step("net-bad-debt")),
    st.builds(Step, st.just("leverage-filter"), maximum=AMOUNT, above=st.sampled_from(("drop", "scale"))),
)
REDISTRIBUTED = st.builds(Step, st.just("cap-per-trader"), cap=AMOUNT, excess=st.sampled_from(("redistribute", "up-to-claim")))
SHARED = st.one_of(
    st.builds(Step, st.just("pro-rata-budget"), values=st.sampled_from((None, "claims")), **POT),
    st.builds(Step, st.just("small-first"), share=SHARE, **POT),
    st.builds(Step, st.just("small-first"), threshold=AMOUNT, **POT),
    st.builds(Step, st.just("equal-per-address"), **POT),
    st.builds(Step, st.just("cap-total"), by=st.sampled_from(("scale", "water-fill")), **POT),
    st.builds(Step, st.just("set-aside"), pot=AMOUNT, set_aside=st.just(D("0.01"))),
)


@st.composite
def populations(draw: st.DrawFn) -> Population:
    """A handful of rows of a few accounts, many of them equal or 0."""
    rows = draw(st.integers(1, 9))
    value = st.one_of(st.sampled_from((0, 1, D("0.000000000000000001"), 1_000)), AMOUNT)
    columns = {name: draw(st.lists(value, min_size=rows, max_size=rows)) for name in ("claim", "other", "bad_debt", "leverage_at_open")}
    accounts = draw(st.lists(st.integers(1, 5).map(address), min_size=rows, max_size=rows))
    received = {account: int(draw(AMOUNT) * ONE) for account in draw(st.sets(st.sampled_from(accounts)))}
    return population(columns, accounts, received=received)


def values(done: Outcome) -> dict[str, Fraction]:
    return {trader: done.amounts[n] for n, trader in enumerate(done.traders)}


@pytest.mark.property
@given(populations(), SHARED, st.lists(EACH, max_size=3))
def test_a_shared_pot_is_spent_or_everybody_has_the_claim(of: Population, step: Step, earlier: list[Step]) -> None:
    """Paid and left over are the pot; nobody has more than before; where money is left over, everybody is whole."""
    done = apply(rule(*earlier, step), of, {}).steps[-1]
    after, assumed = done.result.standing.amounts, done.before.amounts
    assert step.pot is not None
    pot = int(step.pot * ONE) - (0 if step.set_aside is None else int(step.set_aside * ONE))
    assert done.result.left_over is not None
    assert after.total + done.result.left_over == pot
    assert done.result.left_over >= 0
    assert all(0 <= after[n] <= assumed[n] for n in range(len(after)))
    if done.result.left_over:
        assert after.total == assumed.total


@pytest.mark.property
@given(populations(), REDISTRIBUTED, st.lists(EACH, max_size=3))
def test_a_redistributed_cap_loses_nothing(of: Population, step: Step, earlier: list[Step]) -> None:
    done = apply(rule(*earlier, step), of, {}).steps[-1]
    after, total = done.result.standing.amounts, done.before.amounts.total
    assert done.result.left_over is not None
    assert after.total + done.result.left_over == total
    assert all(after[n] <= int((step.cap or 0) * ONE) for n in range(len(after)))
    if step.excess == "redistribute" and done.result.left_over:
        assert all(after[n] in (0, int((step.cap or 0) * ONE)) for n in range(len(after)))


@pytest.mark.property
@given(populations(), st.sampled_from(("max", "min", "plus", "minus", "blend")), st.sampled_from(("trader", "liquidation")))
def test_combinations_add_up(of: Population, combine: str, level: str) -> None:
    """max + min = plus, and max = g + (f - g)+, at either level."""

    def total(how: str, *bases: str) -> Fraction:
        weights = (Fraction(1), Fraction(3)) if how == "blend" else ()
        return apply(rule(base=bases, combine=how, level=level, weights=weights), of, {}).amounts.total

    f, g = "claim", "other"
    alone = {name: apply(rule(base=name), of, {}).amounts.total for name in (f, g)}
    assert total("plus", f, g) == alone[f] + alone[g] == total("max", f, g) + total("min", f, g)
    assert total("max", f, g) == alone[g] + total("minus", f, g)
    assert 4 * total("blend", f, g) == alone[f] + 3 * alone[g]
    assert total(combine, f, g) >= 0


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Any rule without an unwinding: steps of one trader around at most one pot."""
    steps = [
        *draw(st.lists(EACH, max_size=3)),
        *draw(st.lists(st.one_of(SHARED, REDISTRIBUTED), max_size=1)),
        *draw(st.lists(EACH, max_size=2)),
    ]
    combine = draw(st.sampled_from((None, "max", "min", "plus", "minus", "blend")))
    base = ("claim",) if combine is None else ("claim", "other")
    weights = tuple(draw(st.lists(st.fractions(Fraction(1, 9), 5), min_size=2, max_size=2))) if combine == "blend" else ()
    level = draw(st.sampled_from(("trader", "liquidation")))
    return Rule("r", base, combine, weights, level, draw(st.sampled_from(("refuse", "set-aside"))), None, tuple(steps), ("s",))


@pytest.mark.property
@given(populations(), rules(), st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters(of: Population, one: Rule, random: Any) -> None:
    order = list(range(len(of.accounts)))
    random.shuffle(order)
    shuffled = replace(
        of,
        accounts=[of.accounts[n] for n in order],
        base=lambda name: [of.base(name)[n] for n in order],
        term=lambda name: [of.term(name)[n] for n in order],
    )
    assert values(apply(one, of, {})) == values(apply(one, shuffled, {}))


@pytest.mark.property
@given(rules())
def test_a_printed_sentence_parses_back(one: Rule) -> None:
    assert parse(sentence(one), "r", ("s",)) == one


@pytest.mark.parametrize(
    "steps",
    [
        (Step("amm-unwind", rounds=100),),
        (Step("amm-unwind", rounds=1_000, pot="a pot, then more", set_aside=D("0.5")),),
        (Step("net-of-refund", column="paid_1"), Step("address-remap"), Step("pro-rata-budget", pot="x", values="weights")),
        (Step("drop-below", minimum=D("1e-18")), Step("flat", amount=D("1e3"))),
    ],
)
def test_a_sentence_with_names_in_it_parses_back(steps: tuple[Step, ...]) -> None:
    one = rule(*steps)
    assert parse(sentence(one), "r") == one


def test_a_sentence_reads_as_one() -> None:
    one = rule(
        Step("cap-per-trader", cap=D(15_000), excess="kept"),
        Step("pro-rata-budget", pot=D("40000.5")),
        base=("op4", "op2"),
        combine="minus",
    )
    assert sentence(one) == (
        "first op4 less op2, not below 0, then cap each trader at 15,000, the excess kept, then share a pot of 40,000.5 pro rata."
    )


def test_a_sentence_that_says_nothing_known_is_refused_with_an_example() -> None:
    with pytest.raises(InputError, match="cap everybody at 5"):
        parse("first margin-only, then cap everybody at 5.", "r")
