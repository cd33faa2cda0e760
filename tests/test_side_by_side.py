"""compare, sensitivity and budget as commands; alarms and votes of a run."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from perpcomp.decide.votes import conflict_of, read_votes
from perpcomp.findings import InputError
from perpcomp.run import Run
from tests import build
from tests.build import address, position
from tests.commands import call

ALARMS = '[alarms]\nlargest_share = "1/2"\nsource = "test"\n\n[sources]'


def thread(folder: Path, changes: dict[str, str] | None = None) -> Run:
    """Users A, B and C of the thread, paid by their margin."""
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000) + position(2, address(2), 1, 30_000, 2_500, 45_000)
    return build.run(folder, rows + position(3, address(3), 1, 52_000, 10_000, 50_000), changes)


def test_alarms_are_raised_where_the_incident_asks_for_them(tmp_path: Path) -> None:
    assert not [problem for problem in thread(tmp_path).problems if (problem.code or "").startswith("paid-above")]
    found = {problem.code: problem for problem in thread(tmp_path, {"[sources]": ALARMS}).problems}
    assert found["paid-above-loss"].what == (
        f"1 trader gets more than was lost at the reference price: {address(3)} gets 10,000 USDC against 8,000."
    )
    assert "paid-above-share" not in found, "10,000 of 22,500 is below a half"
    third = {"[sources]": ALARMS.replace("1/2", "1/3")}
    assert (
        "2 traders get more than 1/3 of all, which is 7,500"
        in {p.code: p.what for p in thread(tmp_path, third).problems}["paid-above-share"]
    )
    large = {
        "[sources]": ALARMS,
        'name = "margin-only"': 'name = "margin-upl-funding"',
        "reference_price = 50_000": "reference_price = 99_000",
    }
    said = {p.code: p.what for p in thread(tmp_path, large).problems}["paid-above-notional"]
    assert f"3 traders get more than the open notional of the positions: {address(1)} gets 79,000 USDC against 30,000;" in said


def test_voting_power_of_who_is_paid(tmp_path: Path) -> None:
    file = tmp_path / "votes.csv"
    file.write_text(f"voter,voting_power,choice\n{address(1)},30,yes\n{address(9)},10.5,yes\n{address(8)},59.5,no\n")
    said = str(conflict_of(read_votes(file), thread(tmp_path).payouts))
    assert (
        said == "1 of 3 voters are paid by this run; they hold 30 of 100 of the voting power, 3/10 of it. no: 0 of 59.5. yes: 30 of 40.5."
    )


def test_every_wrong_row_of_votes_is_named(tmp_path: Path) -> None:
    file = tmp_path / "votes.csv"
    file.write_text(f"voter,voting_power\n0x12,1\n{address(1)},1e5\n{address(2)},3\n{address(2)},-1\n")
    with pytest.raises(InputError) as caught:
        read_votes(file)
    assert [(problem.where, problem.what) for problem in caught.value.problems] == [
        ("votes.csv row 2", "voter is '0x12'."),
        ("votes.csv row 3", "voting_power is '1e5'."),
        ("votes.csv row 5", f"{address(2)} votes in row 4, too."),
        ("votes.csv row 5", "voting_power is '-1'."),
    ]


def test_compare_prints_all_tables_as_json_without_a_float(tmp_path: Path) -> None:
    done = call("compare", "--table", "all", "--json", cwd=tmp_path)
    printed = json.loads(done.stdout, parse_float=lambda text: pytest.fail(f"a float: {text}"))
    assert set(printed) == {"comparison", "differences", "preferences", "elections", "fairness", "capacity", "condorcet"}
    assert printed["condorcet"] == {"winner": "margin-upl-haircut", "rings": []}
    fair = {row["option"]: row for row in printed["fairness"]}
    assert fair["margin-upl-funding"]["recovery_median"] == "1"
    assert (fair["realized-loss"]["monotonicity_violations"], fair["realized-loss"]["ordered_pairs"]) == (135, 406)


def test_budget_answers_with_its_neighbour(tmp_path: Path) -> None:
    done = call("budget", "--amount", "20000", "--by", "cap", "--json", cwd=tmp_path)
    (answer,) = json.loads(done.stdout)
    assert Decimal(answer["total_of_next"]) > 20_000 >= Decimal(answer["total"])
    assert Decimal(answer["total"]) + Decimal(answer["left_over"]) == 20_000
    assert done.returncode == 0
    wrong = call("budget", "--by", "months", cwd=tmp_path)
    assert (wrong.returncode, "Add --income AMOUNT" in wrong.stderr) == (2, True)
