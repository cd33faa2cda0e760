"""`diff`: two published runs. What the causes move adds up to each payout's change, to the unit; each folder is verified first."""

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import perpcomp
from perpcomp import pipeline
from perpcomp.audit.diff.diff import Diff, diff
from perpcomp.input import Input
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import to_csv
from tests import build
from tests.build import START, address, liquidated, made_up, opened, position
from tests.commands import call, on_terminal

ROWS = [row for n in range(1, 4) for row in position(n, address(n), 1, 40_000 + 7 * n, 10_000 + n, 38_000)]
RECEIVED = f'[[received]]\naddress = "{address(2)}"\namount = 1_000\nsource = "test"\n\n[sources]'
PAID_BY = 'name = "margin-only"'


def published(folder: Path, name: str, changes: Mapping[str, str] | None = None, rows: list[dict[str, object]] | None = None) -> Path:
    """A run in a folder of that name."""
    file = folder / "events.csv"
    file.write_bytes(to_csv(build.table(rows or ROWS), EVENTS))
    perpcomp.publish_run(pipeline.compute(made_up(folder, changes), Input(file, None)), folder / name)
    return folder / name


def adds_up(found: Diff) -> bool:
    return all(
        sum(one.by.get(key, 0) for one in found.causes) == found.after.get(key, 0) - found.before.get(key, 0)
        for key in {*found.before, *found.after}
    )


def test_each_move_has_its_causes_and_they_add_up(tmp_path: Path) -> None:
    """The price moves who is paid by it; what was received moves one trader; the vesting moves nobody; the token's price moves all."""
    first = published(tmp_path, "a", {PAID_BY: 'name = "margin-upl-funding"'})
    second = published(
        tmp_path,
        "b",
        {
            PAID_BY: 'name = "margin-upl-funding"',
            "reference_price = 50_000": "reference_price = 49_000",
            "[sources]": RECEIVED,
            "price = 7": "price = 8",
            "upfront = 0.5": "upfront = 0.25",
        },
    )
    found = diff(first, second)
    assert [(one.cause.name, one.cause.details, len(one.by)) for one in found.causes] == [
        ("[[market]]", ("BTCUSDC.reference_price: 50000 -> 49000",), 3),
        ("[[settlement]]", ("PERP.price: 7 -> 8",), 3),
        ("[[received]]", (f"{address(2)}: absent -> address {address(2)}, amount 1000, source test",), 1),
        ("[vesting]", ("upfront: 0.5 -> 0.25",), 0),
    ]  # fmt: skip
    assert adds_up(found)
    (received,) = (one.by for one in found.causes if one.cause.name == "[[received]]")
    assert received == {(address(2), "PERP"): -125 * 10**18}
    assert {one.account for one in found.cells if one.file == "2-liquidations.csv"} == {address(n) for n in (1, 2, 3)}
    moved = {(one.file, one.column) for one in found.cells}
    assert {("2-liquidations.csv", "reference_price"), ("4-claims.csv", "amount"), ("3-payouts.csv", "price")} <= moved


def test_a_formula_and_an_exclusion_are_causes_of_their_own(tmp_path: Path) -> None:
    left_out = f'\n[[eligibility.exclude]]\naddress = "{address(1)}"\nreason = "the team"\nevidence = "a list"\n\n[formula]'
    found = diff(published(tmp_path, "a"), published(tmp_path, "b", {PAID_BY: 'name = "split-50-50"', "[formula]": left_out}))
    assert [one.cause.name for one in found.causes] == ["[eligibility]", "[formula]"]
    assert {*found.causes[0].by} == {(address(1), "PERP")}
    assert {*found.causes[1].by} == {(address(2), "PERP"), (address(3), "PERP")}
    assert ("2-liquidations.csv", "eligible", "True", "False") in {(one.file, one.column, one.before, one.after) for one in found.cells}
    assert ("3-payouts.csv", "(row)", "present", "absent") in {(one.file, one.column, one.before, one.after) for one in found.cells}
    assert adds_up(found)


def test_a_ruling_is_a_cause_with_its_words(tmp_path: Path) -> None:
    texts = "".join(f'{name} = "a test"\n' for name in ("reason", "evidence", "author", "ruling", "source")).replace(
        'source = "a test"', 'source = "test"'
    )
    ruling = f'[[adjustment]]\ntrader = "{address(3)}"\nkind = "set"\namount = 7\n{texts}date = 2021-03-01T00:00:00Z\n\n[sources]'
    found = diff(published(tmp_path, "a"), published(tmp_path, "b", {"[sources]": ruling}))
    (cause,) = found.causes
    assert cause.cause.name == "[[adjustment]]"
    assert cause.cause.details == (f"[[adjustment]] 1 added: set 7 for {address(3)}: a test; ruling: a test",)
    assert {*cause.by} == {(address(3), "PERP")}


def test_an_input_that_needs_another_table_is_one_cause_with_it(tmp_path: Path) -> None:
    """The second input has no log in the first window, so there is no run between the two."""
    windows = {"from = 2021-02-20T22:45:00Z": "from_block = {0}", "to = 2021-02-20T23:45:00Z": "to_block = {1}"}
    later = [
        opened(50_000, address(1), START - timedelta(hours=1), *(row := (Decimal(1), Decimal(40_000), Decimal(9_000)))),
        liquidated(60_000, address(1), START + timedelta(minutes=5), *row, Decimal(38_000)),
    ]
    first = published(tmp_path, "a", {old: new.format(10_001, 10_003) for old, new in windows.items()})
    second = published(tmp_path, "b", {old: new.format(60_000, 60_001) for old, new in windows.items()}, later)
    found = diff(first, second)
    assert [one.cause.name for one in found.causes] == ["input and [eligibility]"]
    assert found.causes[0].cause.details[0].startswith("events.csv: sha256 ")
    assert adds_up(found)


def test_equal_runs_are_the_same_and_an_altered_folder_is_refused(tmp_path: Path) -> None:
    first, second = published(tmp_path, "a"), published(tmp_path, "b")
    assert call("diff", "a", "b", cwd=tmp_path).returncode == 0
    payouts = second / "3-payouts.csv"
    payouts.write_text(payouts.read_text().replace("1428", "1429", 1))
    done = call("diff", "a", "b", cwd=tmp_path)
    assert done.returncode == 4
    assert "3-payouts.csv: The file has the sha256" in done.stderr
    assert call("diff", "a", "nowhere", cwd=tmp_path).returncode == 2
    assert first.is_dir()


def test_the_answer_is_complete_as_json_and_readable_at_80_columns(tmp_path: Path) -> None:
    published(tmp_path, "a")
    published(tmp_path, "b", {"[sources]": RECEIVED})
    done = call("diff", "a", "b", "--json", cwd=tmp_path)
    assert done.returncode == 1
    (payout,) = json.loads(done.stdout)["payouts"]
    assert (payout["payee"], payout["moved_by"]) == (address(2), "-142.857142857142857142")
    assert payout["because_of"] == {"[[received]]": "-142.857142857142857142"}
    words = call("diff", "a", "b", cwd=tmp_path)
    assert "1. [[received]], which moves 1 payout" in words.stderr
    assert "DIFFERENT: 1 payout moved" in words.stderr
    assert "SAME" in call("diff", "a", "a", cwd=tmp_path).stderr
    assert on_terminal(80, "diff", "a", "a", cwd=tmp_path) == ""


def test_a_list_is_compared_with_a_published_run(tmp_path: Path) -> None:
    folder = published(tmp_path, "a")
    own = call("check-published", str(folder / "3-payouts.csv"), "--against", "a", "--column", "amount", cwd=tmp_path)
    assert own.returncode == 0, own.stderr
    text = (folder / "3-payouts.csv").read_text()
    (tmp_path / "edited.csv").write_text(text.replace("428.714285714285714285,", "428.714285714285714286,"))
    edited = call("check-published", "edited.csv", "--against", "a", "--column", "amount", cwd=tmp_path)
    assert edited.returncode == 1
    assert "The largest difference is 1 units of 10**-18" in edited.stderr
