"""What each trader is entitled to: one rule for liquidations that cannot be valued, and the same amount in every view."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from perpcomp import fixed, totals
from perpcomp.decide import compare
from perpcomp.entitlement import Entitlement, are_incomplete, each_per_trader, incomplete, net, of_traders, part_of, per_trader
from perpcomp.explain.explain import explain
from perpcomp.findings import Finding
from perpcomp.fixed import ONE, to_integer
from perpcomp.formulas.restore_position import restore_position
from perpcomp.incident.funds import FUND
from perpcomp.number_text import in_full
from perpcomp.publish.summary import summary
from perpcomp.run import Run
from tests import build
from tests.build import address, position

pytestmark = pytest.mark.money

OTHER = "0x" + "dd" * 20


def test_what_was_received_is_taken_off_as_far_as_it_is_owed() -> None:
    owed = {address(n): Entitlement(known, 0, 1) for n, known in ((1, 10), (2, 0), (3, 3), (4, -5), (5, 7))}
    after = net(owed, {address(n): 4 for n in (1, 2, 3, 4, 6)})
    assert [(own.known, own.taken_off) for own in after.values()] == [(6, 4), (0, 0), (0, 3), (-5, 0), (7, 0)]
    assert net(owed, {}) == owed


# Opening 1 BTC moves 50,000,000 / 999 USDC, rounded up. Opening 3 ETH is impossible: the pool holds 2.
CHANGES = {
    "\n[eligibility]": f'\n[[market]]\nname = "ETHUSDC"\namm = "{OTHER}"\naffected = true\nreference_price = 50_000\nsource = "test"\n\n[eligibility]',
    '[formula]\nname = "margin-only"': """
[restore]
order = "each-alone"
spread = 0
source = "test"

[[restore.pool]]
market = "BTCUSDC"
quote_reserve = 50_000_000
base_reserve = 1_000

[[restore.pool]]
market = "ETHUSDC"
quote_reserve = 50_000_000
base_reserve = 2

[formula]
name = "restore-position\"""",
}
KNOWN = 50_000_000 * ONE // 999 + 1 - 30_000 * ONE + 10_000 * ONE


def elsewhere(rows: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """The same events in the market whose pool is too small."""
    return [row | {"market": OTHER} for row in rows]


def half_known(folder: Path, money: int = 1_000_000) -> Run:
    """One trader with one liquidation that can be valued and one that cannot; a fund and a budget of so many USDC."""
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000) + elsewhere(position(2, address(1), 3, 30_000, 10_000, 42_000))
    fund = f'[insurance_fund]\nbalance = {money}\nsource = "test"\n\n[[budget]]\nname = "b"\ntoken = "USDC"\namount = {money}\nsource = "test"\n\n[sources]'
    return build.run(folder, rows, CHANGES | {"[sources]": fund})


def found(run: Run, code: str) -> Finding:
    (finding,) = (problem for problem in run.problems if problem.code == code)
    return finding


def test_one_known_and_one_unknown_liquidation_give_the_same_amount_in_every_view(tmp_path: Path) -> None:
    run = half_known(tmp_path)
    assert run.liquidations["restore_notional"].null_count() == 1
    name, shown = run.formula.name, in_full(KNOWN)
    assert [to_integer(e) for e in run.payouts["entitlement"]] == [KNOWN]
    assert totals.entitled(run.payouts) == KNOWN
    assert [to_integer(a) for a in run.comparison.filter(formula=name)["amount"]] == [KNOWN]
    assert {n: total for n, total, *_ in compare.totals(run.comparison)}[name] == KNOWN
    for row in run.capacity.filter(formula=name).iter_rows(named=True):
        assert (to_integer(row["total"]), to_integer(row["to_cover"]), row["unknown"]) == (KNOWN, KNOWN, 1)
    assert sum(to_integer(e) for e in run.restore_orders.filter("chosen")["entitlement"]) == KNOWN
    assert f"Entitlements of at least {shown} USDC" in found(run, "budget-not-comparable").what
    assert f"{name} needs at least {shown} USDC" in found(run, "fund-cover-unknown").what
    explained = "\n".join(explain(run, address(1)))
    assert f"= {fixed.from_integer(KNOWN)} USDC" in explained
    assert "1 of its 2 liquidations cannot be valued" in explained
    assert any(line.label == "Sum of entitlements" and line.value.startswith(f"{shown} USDC") for line in summary(run))


def test_an_incomplete_entitlement_is_an_error_that_names_trader_and_liquidations(tmp_path: Path) -> None:
    finding = found(half_known(tmp_path), "unpaid-liquidation")
    assert (finding.level, finding.where) == ("error", "3-payouts.csv")
    assert finding.what == (
        "restore-position cannot value 1 liquidation of 1 trader, because a value that it reads is null, and pays nothing for it: "
        f"{address(1)} (1 of 2)."
    )


@pytest.mark.parametrize("money", [1, 20_000, 1_000_000])
def test_nothing_is_called_enough_while_a_liquidation_is_unknown(tmp_path: Path, money: int) -> None:
    run = half_known(tmp_path, money)
    short = money * ONE < KNOWN
    for row in run.capacity.filter(formula=run.formula.name).iter_rows(named=True):
        assert (row["covered"] is None) == (not short), "the known part may be short, but never enough"
    codes = {p.code: p for p in run.problems if p.code.startswith(("budget", "fund"))}
    assert set(codes) == ({"budget-exceeded", "fund-short"} if short else {"budget-not-comparable", "fund-cover-unknown"})
    for finding in codes.values():
        assert finding.level == "warning"
        assert "enough" not in finding.what
        assert "1 trader is incomplete" in finding.what
    assert {row["source_of_funds"] for row in run.capacity.iter_rows(named=True)} == {FUND, "b"}


def test_the_comparison_marks_an_incomplete_amount_and_prefers_nothing_by_it(tmp_path: Path) -> None:
    run = half_known(tmp_path)
    comparison = run.comparison
    rows = {row["formula"]: row for row in comparison.iter_rows(named=True)}
    assert (rows["restore-position"]["rank"], rows["restore-position"]["recovery_ratio"]) == (None, None)
    assert rows["margin-only"]["rank"] == 1
    assert comparison.filter(compare.INCOMPLETE)["formula"].to_list() == ["equity-snapshot", "restore-position"]
    assert {name: lacking for name, *_, lacking in compare.totals(comparison) if lacking} == {"equity-snapshot": 1, "restore-position": 1}
    better = {(one, other): more for one, other, more, *_ in run.preferences.iter_rows()}
    assert all(count == 0 for pair, count in better.items() if "restore-position" in pair)
    assert better["margin-upl-funding", "margin-only"] == 1


def test_a_trader_without_any_known_liquidation_has_no_amount_and_is_paid_0_for_a_reason(tmp_path: Path) -> None:
    run = build.run(tmp_path, elsewhere(position(1, address(1), 3, 30_000, 10_000, 42_000)), CHANGES)
    assert run.comparison.filter(formula="restore-position").row(0)[2:] == (None, None, None)
    assert run.payouts["amount_base_units"].to_list() == ["0"]
    assert run.payouts["reason"][0].startswith("unknown:")


def test_entitlements_are_summed_per_trader_and_unknown_rows_counted() -> None:
    owed = per_trader(["b", "a", "b", "a", "c"], [1, 2, None, -5, None])
    assert owed == {"a": Entitlement(-3, 0, 2), "b": Entitlement(1, 1, 2), "c": Entitlement(0, 1, 1)}
    assert list(owed) == ["a", "b", "c"], "by address"
    assert [owed[trader].amount for trader in owed] == [-3, 1, None]
    assert [trader for trader, entitlement in incomplete(owed).items()] == ["b", "c"]
    assert per_trader([], []) == {}


def test_several_columns_are_added_up_as_each_alone() -> None:
    traders, columns = ["b", "a", "b"], {"one": [1, None, 3], "other": [-(10**30), 5, 1]}
    assert each_per_trader(traders, columns) == {name: per_trader(traders, values) for name, values in columns.items()}


def test_an_entitlement_beyond_what_a_column_sums_is_still_exact() -> None:
    """Python integers: a grouped sum of Polars would wrap. One below 0 too."""
    for most in (fixed.LIMIT - 1, 9 * fixed.LIMIT // 10, -9 * fixed.LIMIT // 10):
        assert per_trader([*"aaab"], [most] * 3 + [0])["a"].known == 3 * most


def test_a_share_of_whole_units_is_cut_and_one_of_a_fraction_is_exact() -> None:
    third = Fraction(1, 3)
    assert (part_of(8, third), part_of(9, third), part_of(Fraction(8), third)) == (2, 3, Fraction(8, 3))


def test_one_trader_is_incomplete_and_two_are() -> None:
    assert [are_incomplete(traders) for traders in (1, 2)] == ["1 trader is incomplete", "2 traders are incomplete"]


def test_only_eligible_liquidations_count(tmp_path: Path) -> None:
    run = half_known(tmp_path)
    none = run.liquidations.with_columns(pl.lit(False).alias("eligible"))
    assert of_traders(restore_position, none) == {}
    assert of_traders(restore_position, run.liquidations) == {address(1): Entitlement(KNOWN, 1, 2)}
    assert run.payouts["entitlement"].to_list() == [fixed.from_integer(KNOWN)] != [Decimal(0)]
