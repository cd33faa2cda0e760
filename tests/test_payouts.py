"""Entitlements to tokens: the split by value, the one rounding, budgets, and what stops."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from perpcomp import fixed, formula, payees, payouts
from perpcomp.decide import published
from perpcomp.entitlement import Entitlement, compensated, of_traders, per_trader
from perpcomp.findings import InputError
from perpcomp.fixed import ONE, to_integer
from perpcomp.incident.incident import Incident
from perpcomp.incident.settlement import Leg
from perpcomp.owed import Due
from perpcomp.run import Run
from perpcomp.totals import entitled
from perpcomp.vesting.schedule import end_of
from tests import build
from tests.build import address, position

pytestmark = pytest.mark.money

PERP = Leg("PERP", 18, None, Fraction(1), Decimal("6.93250035067212"), "fixed", ("test",))


@pytest.mark.parametrize(
    ("value", "units"),
    [(100, 14424809944698350680), (8_000, 1153984795575868054474), (22_500, 3245582237557128903209), (30_000, 4327442983409505204278)],
)
def test_the_token_amounts_of_the_formula_catalogue(value: int, units: int) -> None:
    assert payouts.base_units(value * 10**18, PERP) == units


def half_and_half() -> list[Leg]:
    half = Fraction(1, 2)
    return [Leg("PERP", 18, None, half, Decimal("6.93250035067212"), "", ()), Leg("USDC", 6, None, half, Decimal(1), "", ())]


def test_half_in_usdc_and_half_in_perp_splits_the_value_first() -> None:
    """User C of the thread: 4,000 USDC and 576.992397787934027237 PERP."""
    legs = half_and_half()
    values = payouts.split([8_000 * 10**18], legs)
    assert [payouts.base_units(v, leg) for (v,), leg in zip(values, legs, strict=True)] == [576992397787934027237, 4_000_000_000]


def test_the_last_leg_takes_what_the_others_leave() -> None:
    """100 units of 1e-18 USDC do not divide by 3."""
    legs = [Leg(token, 18, None, Fraction(1, 3), Decimal(1), "", ()) for token in ("A", "B", "C")]
    assert payouts.split([100, -100], legs) == [[33, -34], [33, -34], [34, -32]]


def test_of_equal_remainders_the_first_gets_the_missing_unit() -> None:
    """The order is that of the addresses. Of 1/2, 3/4, 1/2 and 1/4 units two are missing: the largest's, and the first half's."""
    leg = Leg("A", 18, None, Fraction(1), Decimal(1), "", ())
    quarters = [Fraction(n, 4) for n in (2, 3, 2, 1)]
    assert payouts.in_units(quarters, leg, fixed.ONE, payouts.LARGEST_REMAINDER) == [1, 1, 0, 0]


def judged(*rows: tuple[int, str | None, str | None, str]) -> pl.DataFrame:
    """Eligible longs of 1, compensated whole: (trader, size at the reference or None, margin there or None, profit there)."""
    columns: dict[str, list[Decimal | None]] = {
        "size": [Decimal(1) for _ in rows],
        "compensated_size": [Decimal(1) for _ in rows],
        "size_at_reference": [None if size is None else Decimal(size) for _, size, _, _ in rows],
        "margin_at_reference": [None if margin is None else Decimal(margin) for _, _, margin, _ in rows],
        "unrealized_pnl_at_reference": [Decimal(profit) for _, _, _, profit in rows],
        "funding_at_reference": [Decimal(0) for _ in rows],
    }
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, fixed.AMOUNT))
    return frame.with_columns(
        pl.Series("trader", [address(trader) for trader, *_ in rows]),
        pl.Series("transaction_hash", [f"0x{n:064x}" for n in range(len(rows))]),
        pl.Series("log_index", range(len(rows)), dtype=pl.Int64),
        eligible=pl.lit(True),
        market=pl.lit(build.MARKET),
    )


def paid_by(name: str, frame: pl.DataFrame, incident: Incident, stopped: bool = False) -> pl.DataFrame:
    """The payouts of the named formula."""
    chosen = formula.find(name)
    due = Due(chosen, of_traders(chosen, frame), incident)
    return payouts.pay(due, payees.unpayable(due.by_payee, payees.contracts(incident, frame)), frame, stopped)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    """A made-up incident, whose settlement an example replaces."""
    return build.made_up(tmp_path_factory.mktemp("made"))


DOLLARS = {'token = "PERP"\ndecimals = 18\nshare = 1\nprice = 7': 'token = "USDC"\ndecimals = 6\nshare = 1\nprice = 1'}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("1", None, "0"), ("1", "0", "0")], "unknown"),
        ([("0", None, "0"), ("0", "0", "0")], "unknown"),
        ([("0", "0", "0"), ("0", "0", "0")], "no-position"),
        ([("0", "0", "0"), ("1", "0", "-5")], "no-margin"),
        ([("0", "0", "0"), (None, "0", "-5")], "no-margin"),
        ([("0", "0", "0"), ("1", "5", "-5")], "under-water"),
        ([("1", "0", "-5"), ("1", "5", "-9")], "under-water"),
        ([("1", "0.000000999999999999", "0"), ("1", None, "0")], "below-one-base-unit"),
    ],
)
def test_the_reason_for_a_0_holds_for_all_liquidations_of_its_trader(
    rows: list[tuple[str | None, str | None, str]], reason: str, tmp_path: Path
) -> None:
    """What one liquidation lacks does not explain a 0 that another one shares; only `unknown` is said of any."""
    frame = judged(*((1, *row) for row in rows))
    paid = paid_by("margin-upl-funding", frame, build.made_up(tmp_path, DOLLARS))
    assert paid["amount_base_units"].to_list() == ["0"]
    assert paid["reason"][0].split(":")[0] == reason


def test_a_liquidation_that_is_not_compensated_explains_no_0(tmp_path: Path) -> None:
    frame = judged((1, "0", "0", "0"), (1, "1", "5", "9")).with_columns(eligible=pl.Series([True, False]))
    assert paid_by("margin-upl-funding", frame, build.made_up(tmp_path))["reason"][0].startswith("no-position: ")


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (Entitlement(0, 0, 1, taken_off=5 * fixed.ONE, adjusted=-3 * fixed.ONE), "adjusted: a ruling leaves nothing; see adjusted.csv"),
        (Entitlement(0, 0, 1, taken_off=5 * fixed.ONE), "already-received: 5 USDC that are owed were received already"),
        (
            Entitlement(0, 1, 2, taken_off=5 * fixed.ONE, adjusted=-3 * fixed.ONE),
            "unknown: the rule reads what the logs do not hold; see findings.csv",
        ),
        (Entitlement(0, 1, 2, taken_off=5 * fixed.ONE), "unknown: the rule reads what the logs do not hold; see findings.csv"),
        (Entitlement(0, 0, 1), "no-position: nothing of it was open at the moment of [valuation]"),
    ],
)
def test_a_0_has_the_last_reason_that_made_it_one(own: Entitlement, reason: str, tmp_path: Path) -> None:
    """A ruling comes after what was received, and neither is the reason while a part is unknown: it may be what is owed."""
    frame, incident = judged((1, "0", "0", "0")), build.made_up(tmp_path)
    paid = payouts.pay(Due(formula.find("margin-only"), {address(1): own}, incident), {}, frame, stopped=False)
    assert paid["reason"].to_list() == [reason]


@pytest.mark.parametrize(
    ("traders", "said"),
    [
        (
            1,
            f"margin-only cannot value 1 liquidation of 1 trader, because a value that it reads is null, and pays nothing for it: {address(1)} (1 of 2).",
        ),
        (
            2,
            f"margin-only cannot value 2 liquidations of 2 traders, because a value that it reads is null, and pays nothing for them: {address(1)} (1 of 2), {address(2)} (1 of 2).",
        ),
    ],
)
def test_what_cannot_be_valued_is_counted_and_its_traders_are_named(traders: int, said: str) -> None:
    owed = {address(n): Entitlement(5, 1, 2) for n in range(1, traders + 1)} | {address(99): Entitlement(5, 0, 2)}
    (finding,) = payouts.unpaid(formula.find("margin-only"), owed)
    assert finding.what == said


def test_20_traders_who_cannot_be_valued_are_named_and_the_others_counted() -> None:
    for traders, said in ((20, f"{address(20)} (1 of 2)."), (21, f"{address(20)} (1 of 2) and 1 more.")):
        (finding,) = payouts.unpaid(formula.find("margin-only"), {address(n): Entitlement(5, 1, 2) for n in range(1, traders + 1)})
        assert finding.what.count("(1 of 2)") == 20
        assert finding.what.endswith(said)


def test_an_address_that_nobody_may_pay_and_that_is_owed_nothing_has_the_reason_of_its_0(tmp_path: Path) -> None:
    frame, incident = judged((1, "0", "0", "0"), (2, "1", "7", "0")), build.made_up(tmp_path)
    chosen = formula.find("margin-only")
    paid = payouts.pay(
        Due(chosen, of_traders(chosen, frame), incident), {address(1): "a vault", address(2): "a vault"}, frame, stopped=False
    )
    assert [reason.split(":")[0] for reason in paid["reason"]] == ["no-position", "unpayable"]


def test_a_stopped_payment_pays_nobody_and_says_so(tmp_path: Path) -> None:
    frame = judged((1, "1", "7", "0"), (2, "0", "0", "0"))
    paid = paid_by("margin-only", frame, build.made_up(tmp_path), stopped=True)
    assert paid["amount_base_units"].to_list() == ["0", "0"]
    for name in ("entitlement", "value", "amount", "rounded_off"):
        assert paid[name].to_list() == [0, 0], name
    assert paid["share_of_budget"].to_list() == [None, None]
    assert set(paid["reason"]) == {payouts.STOPPED}


def test_traders_stand_by_address_with_equal_shares_rounded_down(tmp_path: Path) -> None:
    frame = judged((3, "1", "7", "0"), (1, "1", "7", "0"), (2, "1", "7", "0"))
    paid = paid_by("margin-only", frame, build.made_up(tmp_path))
    assert paid["trader"].to_list() == [address(1), address(2), address(3)]
    assert paid["share_of_budget"].to_list() == [Decimal("0.333333333333333333")] * 3


def test_a_negative_share_of_a_position_is_cut_towards_0() -> None:
    """As the contracts divide: two thirds of -1 and of -5 units are 0 and -3, not -1 and -4."""
    frame = pl.DataFrame(
        {"size": [Decimal(-3)] * 2, "compensated_size": [Decimal(2)] * 2},
        schema_overrides=dict.fromkeys(("size", "compensated_size"), fixed.AMOUNT),
    )
    assert compensated(fixed.from_integers([-1, -5]), frame).to_list() == [0, -3]
    assert compensated(fixed.from_integers([None, -5]), frame).to_list() == [None, -3], "a part of what is unknown is unknown"


def test_two_tokens_in_one_run(tmp_path: Path) -> None:
    half = 'token = "PERP"\ndecimals = 18\nshare = 0.5\nprice = 6.93250035067212\nprice_policy = "fixed"\nsource = "test"'
    usdc = '\n\n[[settlement]]\ntoken = "USDC"\ndecimals = 6\nshare = 0.5\nprice = 1\nprice_policy = "one dollar"\nsource = "test"'
    done = build.run(
        tmp_path,
        position(1, address(1), 1, 30_000, 10_000, 42_000),
        {'token = "PERP"\ndecimals = 18\nshare = 1\nprice = 7\nprice_policy = "fixed"\nsource = "test"': half + usdc},
    )
    rows = {row["token"]: row for row in done.payouts.iter_rows(named=True)}
    assert rows["USDC"]["amount"] == 5_000
    assert rows["PERP"]["amount_base_units"] == "721240497234917534046"
    assert {row["entitlement"] for row in rows.values()} == {Decimal(10_000)}
    assert sum(row["value"] for row in rows.values()) == 10_000
    assert done.claims.height == 8


@pytest.mark.property
@given(
    st.lists(st.integers(0, 10**26), min_size=1, max_size=20),
    st.integers(1, 10**24),
    st.integers(1, 18),
    st.fractions(0, 1, max_denominator=1000),
)
def test_payouts_add_up_to_the_total_to_the_base_unit(entitlements: list[int], price: int, decimals: int, share: Fraction) -> None:
    legs = [
        Leg("A", decimals, None, share, Decimal(price) / 10**18, "", ()),
        Leg("B", 6, None, 1 - share, Decimal(1), "", ()),
    ]
    for entitlement, *values in zip(entitlements, *payouts.split(entitlements, legs), strict=True):
        assert sum(values) == entitlement
        assert all(v >= 0 for v in values)
        for value, leg in zip(values, legs, strict=True):
            units = payouts.base_units(value, leg)
            cost = units * to_integer(leg.price)
            assert cost <= value * 10**leg.decimals < cost + to_integer(leg.price), "floored once, by less than one base unit"


@pytest.mark.property
@given(
    st.lists(st.integers(0, 10**26), min_size=1, max_size=12),
    st.integers(10**10, 10**24),
    st.integers(0, 18),
    st.fractions(0, 1, max_denominator=1000),
    st.sets(st.integers(0, 11)),
    st.booleans(),
)
def test_every_payout_is_the_plain_arithmetic_of_its_row(
    made: Incident, owed: list[int], price: int, decimals: int, share: Fraction, burnt: set[int], as_columns: bool
) -> None:
    """Each row alone, by plain integers: share, units, what rounding leaves, and whether there is a reason."""
    legs = (Leg("A", decimals, None, share, fixed.from_integer(price), "", ()), Leg("B", 6, None, 1 - share, Decimal(1), "", ()))
    names = [address(n) for n in range(1, len(owed) + 1)]
    sums = per_trader(names, owed) if as_columns else {name: Entitlement(one, 0, 1) for name, one in zip(names, owed, strict=True)}
    due = Due(formula.find("margin-only"), sums, replace(made, settlement=legs))
    unpayable = {name: "a vault" for n, name in enumerate(names) if n in burnt}
    paid = payouts.pay(due, unpayable, judged((1, "1", "1", "0")), stopped=False)
    assert paid.height == 2 * len(owed)
    for token, trader, value, units, off, part, reason in paid.select(
        "token", "trader", "value", "amount_base_units", "rounded_off", "share_of_budget", "reason"
    ).iter_rows():
        one = owed[names.index(trader)]
        first = one * share.numerator // share.denominator
        own, cost, unit = (first, price, 10**decimals) if token == "A" else (one - first, ONE, 10**6)
        expected = 0 if trader in unpayable else own * unit // cost
        assert (to_integer(value), int(units)) == (own, expected)
        assert to_integer(off) == (0 if trader in unpayable else own - expected * cost // unit)
        assert (part and to_integer(part)) == (one * ONE // sum(owed) if sum(owed) else None)
        assert (reason is None) == (expected > 0)
        assert (reason or "").startswith("unpayable: a vault") == (trader in unpayable and one > 0)


BLOCKS = [position(n, address(n), 1 if n % 2 else -1, 50_000 + n, 5_000 + n, 46_000 + 1_000 * n) for n in range(1, 7)]


@pytest.fixture(scope="module")
def shuffling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for runs of shuffled rows."""
    return tmp_path_factory.mktemp("order")


@pytest.fixture(scope="module")
def ordered(shuffling: Path) -> Run:
    """The run of the rows in their order, which every shuffled one must equal."""
    return build.run(shuffling, [row for block in BLOCKS for row in block])


@pytest.mark.property
@settings(max_examples=settings.default.max_examples // 4)  # each example is a whole run
@given(order=st.permutations(range(6)))
def test_the_order_of_the_rows_does_not_matter(shuffling: Path, ordered: Run, order: list[int]) -> None:
    again = build.run(shuffling, [row for n in order for row in BLOCKS[n]])
    for name in ("liquidations", "payouts", "claims", "comparison", "left_out", "findings"):
        assert getattr(ordered, name).equals(getattr(again, name))


def test_totals_shares_and_dust_of_the_rehearsal(rehearsal: Run) -> None:
    paid = rehearsal.payouts
    total = sum(map(to_integer, paid["entitlement"]))
    assert sum(map(to_integer, paid["value"])) == total == entitled(paid)
    assert 0 <= 10**18 - sum(map(to_integer, paid["share_of_budget"])) < paid.height
    price = to_integer(rehearsal.incident.settlement[0].price)
    for value, units, dust in paid.select("value", "amount_base_units", "rounded_off").iter_rows():
        assert to_integer(value) - int(units) * price // 10**18 == to_integer(dust)
        assert 0 <= to_integer(dust) <= price // 10**18 + 1
    zero = paid.filter(pl.col("amount") == 0)
    assert zero["reason"].str.starts_with("under-water").all()
    assert paid.filter(pl.col("amount") > 0)["reason"].null_count() == paid.height - zero.height


def test_a_formula_that_may_be_negative_is_never_paid(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can be compared, but never paid"):
        build.run(tmp_path, position(1, address(1), 1, 30_000, 10_000, 42_000), formula="realized-loss")


def test_everybody_owed_nothing_is_an_empty_sum_with_reasons(tmp_path: Path) -> None:
    done = build.run(tmp_path, position(1, address(1), 1, 60_000, 1_000, 48_000), formula="margin-upl-funding")
    row = done.payouts.row(0, named=True)
    assert (row["amount_base_units"], row["share_of_budget"]) == ("0", None)
    assert row["reason"].startswith("under-water")
    assert not [p for p in done.problems if p.level == "error"]


def test_budgets_are_compared_and_never_silent(tmp_path: Path) -> None:
    budgets = "".join(
        f'\n[[budget]]\nname = "{name}"\ntoken = "{token}"\namount = {amount}\nsource = "test"\n'
        for name, token, amount in (("wide", "PERP", 45_000), ("narrow", "PERP", 1_000), ("value", "USDC", 5_000), ("other", "ETH", 5_000))
    )
    done = build.run(tmp_path, position(1, address(1), 1, 30_000, 10_000, 42_000), {"\n[sources]": budgets + "\n[sources]"})
    found = [(p.level, p.what) for p in done.problems if "[[budget]]" in p.where]
    assert [level for level, _ in found] == ["note", "warning", "warning", "warning"]
    codes = [p.code for p in done.problems if p.code.startswith("budget")]
    assert codes == ["budget", "budget-exceeded", "budget-exceeded", "budget-not-comparable"]
    assert "fit the budget of 45,000 PERP (test): 43,571.428571428571428572 PERP left." in found[0][1]
    assert "exceed the budget of 1,000 PERP (test) by 428.571428571428571428 PERP." in found[1][1]
    assert "Entitlements of 10,000 USDC exceed the budget of 5,000 USDC (test) by 5,000 USDC." in found[2][1], (
        "entitlements are counted in USDC, paid in it or not"
    )
    assert "cannot be compared: nothing is paid in ETH" in found[3][1]


def test_a_budget_that_is_met_exactly_fits_and_one_unit_less_does_not(tmp_path: Path) -> None:
    for amount, level, said in (
        ("7000", "note", ": 0 USDC left."),
        ("6999.999999999999999999", "warning", " by 0.000000000000000001 USDC."),
    ):
        budget = f'[[budget]]\nname = "b"\ntoken = "USDC"\namount = {amount}\nsource = "test"\n'
        made = build.made_up(tmp_path, {"\n[sources]": f"\n{budget}\n[sources]"})
        paid = paid_by("margin-only", judged((1, "1", "3000", "0"), (2, "1", "4000", "0")), made)
        (found,) = published.check_budgets(paid, made)
        assert found.level == level
        assert said in found.what


def test_while_payment_is_stopped_no_budget_is_said_to_fit(tmp_path: Path) -> None:
    budget = '[[budget]]\nname = "b"\ntoken = "PERP"\namount = 7000\nsource = "test"\n'
    made = build.made_up(tmp_path, {"\n[sources]": f"\n{budget}\n[sources]"})
    paid = paid_by("margin-only", judged((1, "1", "3000", "0")), made, stopped=True)
    (found,) = published.check_budgets(paid, made, stopped=True)
    assert (found.level, found.code) == ("warning", "budget-not-comparable")
    assert found.what == "The budget of 7,000 PERP (test) cannot be compared: a finding stops payment, so all payouts are 0."


def test_expectations_are_compared_and_never_used(tmp_path: Path) -> None:
    expected = f'\n[[expect]]\nwhat = "traders"\nvalue = 22\nsource = "test"\n\n[[expect]]\nwhat = "eligible"\ntrader = "{address(9)}"\nsource = "test"\n'
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000)
    with_it, without = build.run(tmp_path, rows, {"\n[sources]": expected + "\n[sources]"}), build.run(tmp_path, rows)
    assert with_it.payouts.equals(without.payouts)
    found = [p.what for p in with_it.problems if "[[expect]]" in p.where]
    assert found == [
        "1 trader, but 22 was published (test).",
        f"{address(9)} is not eligible, but was published as eligible (test): it was not liquidated in this input.",
    ]


def test_the_list_in_kind_restores_size_open_notional_and_margin(rehearsal: Run, later: Run) -> None:
    assert rehearsal.in_kind.height == 29
    joined = rehearsal.in_kind.join(rehearsal.liquidations, on=["block_number", "log_index"], suffix="_before")
    assert (joined["size"] == joined["size_before"]).all()
    assert (joined["open_notional"] == joined["open_notional_before"]).all()
    less_funding = (joined["margin"] - joined["funding_payment"]).clip(0)
    assert (joined["margin_to_restore"] == less_funding).all()
    kept = later.liquidations.filter(pl.col("compensated_size") < pl.col("size").abs()).row(0, named=True)
    survivor = later.in_kind.filter(trader=kept["trader"]).row(0, named=True)
    share = Fraction(kept["compensated_size"]) / Fraction(abs(kept["size"]))
    assert survivor["size"] == -kept["compensated_size"]
    assert to_integer(survivor["margin_to_restore"]) == int(Fraction(kept["margin"] - kept["funding_payment"]) * share * 10**18)
    assert to_integer(survivor["open_notional"]) == int(Fraction(kept["open_notional"]) * share * 10**18)


def test_claims_add_up_to_the_payouts(rehearsal: Run) -> None:
    sums = dict.fromkeys(rehearsal.payouts.select("trader", "token").iter_rows(), 0)
    for trader, token, units in rehearsal.claims.select("trader", "token", "amount_base_units").iter_rows():
        sums[trader, token] += int(units)
    assert sums == {(t, k): int(u) for t, k, u in rehearsal.payouts.select("trader", "token", "amount_base_units").iter_rows()}
    assert end_of(rehearsal.incident.vesting).isoformat() == "2021-06-01T00:00:00+00:00"


TINIEST = "0.000000000000000001"
HUGE = "99_999_999_999_999_999_999"


def test_a_price_that_gives_more_tokens_than_an_amount_holds_is_refused(tmp_path: Path) -> None:
    rows = build.position(1, build.address(1), 1, 30_000, 10_000, 42_000)
    with pytest.raises(InputError) as caught:
        build.run(tmp_path, rows, {"price = 7\n": f"price = {TINIEST}\n"})
    assert str(caught.value) == (
        "made-up.toml [[settlement]] PERP price: At 0.000000000000000001 USDC one trader would be paid 10,000,000,000,000,000,000,000 PERP;"
        " an amount is less than 1e20. Correct the price: it is USDC for one token."
    )
    assert build.run(tmp_path, rows, {"reference_price = 50_000": f"reference_price = {TINIEST}"}).payouts.height == 1
    with pytest.raises(InputError, match="would be paid 100,000,000,000,000,000,000 PERP; an amount is less than 1e20"):
        build.run(tmp_path, rows, {"price = 7\n": "price = 0.0000000000000001\n"})


def test_a_reference_price_that_no_amount_holds_is_refused(tmp_path: Path) -> None:
    rows = build.position(1, build.address(1), 1000, 30_000, 10_000, 42_000)
    with pytest.raises(InputError) as caught:
        build.run(tmp_path, rows, {"reference_price = 50_000": f"reference_price = {HUGE}"})
    assert str(caught.value).startswith("made-up.toml: The value of a position is 1e20 or more. Correct the prices")
