"""Formulas side by side: amounts, recovery, ranks, and who is better off."""

from decimal import Decimal
from pathlib import Path

from perpcomp import formula
from perpcomp.decide import compare
from perpcomp.run import Run
from perpcomp.tables.decide import COMPARISON
from perpcomp.tables.schema import frame_of
from tests import build
from tests.build import address, position

FAR_ABOVE = ("margin-only", "margin-upl-haircut", "penalty-only", "realized-loss", "split-50-50", "target-return")


def thread(folder: Path) -> Run:
    """Users A, B and C of the thread."""
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000)
    rows += position(2, address(2), 1, 30_000, 2_500, 45_000) + position(3, address(3), 1, 52_000, 10_000, 50_000)
    return build.run(folder, rows)


def test_recovery_and_rank_of_a_b_and_c(tmp_path: Path) -> None:
    """margin-only gives back 1/3, 1/9 and 5/4 of what was lost: the last one more than he lost."""
    rows = thread(tmp_path).comparison.filter(formula="margin-only").rows()
    assert [(ratio, rank) for *_, ratio, rank in rows] == [
        (Decimal("0.333333333333333333"), 1),
        (Decimal("0.111111111111111111"), 3),
        (Decimal("1.250000000000000000"), 1),
    ]


def test_who_is_better_off_under_which(tmp_path: Path) -> None:
    better = {(one, other): more for one, other, more, *_ in thread(tmp_path).preferences.iter_rows()}
    assert better["margin-upl-funding", "margin-only"] == 2, "A and B"
    assert better["margin-only", "margin-upl-funding"] == 1, "C"
    assert better["margin-upl-funding", "restore-position"] == better["restore-position", "margin-upl-funding"] == 0
    assert better["margin-only", "realized-loss"] == 3


def test_totals_are_exact_also_where_their_sum_is_no_columns() -> None:
    """38 digits hold less than 1e20; and of a formula, a loss of one 1e-18 that would be lost in a sum of halves cut towards zero."""
    most = 10**38 - 1
    amounts = {"b": [most, most, most, -1], "a": [-most, -1, None, 0]}
    rows = [
        {"trader": address(n), "formula": name, "amount": amount, "recovery_ratio": None, "rank": None if amount is None else 1}
        for name, own in amounts.items()
        for n, amount in enumerate(own)
    ]
    assert compare.totals(frame_of(rows, COMPARISON)) == [("a", -(10**38), 0, 2, 1), ("b", 3 * most - 1, 3, 1, 0)]


def test_totals_and_the_wide_table(tmp_path: Path) -> None:
    comparison = thread(tmp_path).comparison
    totals = {name: (total, paid, below) for name, total, paid, below, _ in compare.totals(comparison)}
    assert totals["margin-upl-funding"] == (60_500 * 10**18, 3, 0)
    assert totals["realized-loss"] == (-25_000 * 10**18, 1, 2)
    beside = compare.wide(comparison)
    assert beside.columns == ["trader", *formula.installed()]
    assert beside.select("margin-only", "margin-upl-funding", "realized-loss", "split-50-50").row(0) == (10_000, 30_000, -12_000, 5_000)


def test_a_trader_without_a_loss_has_no_recovery_ratio(tmp_path: Path) -> None:
    done = build.run(tmp_path, position(1, address(1), 1, 60_000, 1_000, 48_000))
    assert done.comparison["recovery_ratio"].null_count() == done.comparison.height


def test_a_ratio_that_no_column_holds_is_null_with_a_note(tmp_path: Path) -> None:
    """A loss of 1e-18 USDC beside an amount of thousands: 1e22 times the loss."""
    changes = {"reference_price = 50_000": "reference_price = 20_000.000000000000000001"}
    done = build.run(tmp_path, position(1, address(1), 1, 30_000, 10_000, 42_000), changes)
    rows = {name: (amount, ratio, rank) for _, name, amount, ratio, rank in done.comparison.rows()}
    assert rows["margin-only"] == (10_000, None, 1)
    assert rows["restore-position"][1] == 1
    notes = {problem.what.split(" is ")[0]: problem for problem in done.problems if problem.code == "recovery-ratio-too-large"}
    assert sorted(notes) == [f"The recovery ratio under {name}" for name in FAR_ABOVE]
    assert notes["The recovery ratio under margin-only"].what == (
        f"The recovery ratio under margin-only is 1e20 or more for 1 trader, so it is empty. {address(1)} lost"
        " 0.000000000000000001 USDC at the reference price, and the formula gives 10,000 USDC."
    )
    assert {problem.level for problem in notes.values()} == {"note"}
