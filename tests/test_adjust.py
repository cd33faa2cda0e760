"""Adjustments by rulings: what they do to entitlements, the ledger's chain, the freeze, and every place that must say so."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openpyxl import load_workbook

import perpcomp
from perpcomp import adjust, fixed, pipeline
from perpcomp.audit.ledger import append, freeze_line, from_sheet
from perpcomp.entitlement import Entitlement
from perpcomp.explain.explain import explain
from perpcomp.findings import InputError
from perpcomp.incident.adjustments import Adjustment
from perpcomp.incident.incident import Incident
from perpcomp.incident.ledger_file import read_ledger
from perpcomp.input import Input
from perpcomp.ledger import chain
from perpcomp.publish.workbook import workbook
from perpcomp.run import Run
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import to_csv
from perpcomp.totals import entitled, total_of
from tests import build
from tests.build import address, made_up, position
from tests.commands import call

pytestmark = pytest.mark.money

ROWS = [row for n in (1, 2, 3) for row in position(n, address(n), 1, 55_000, 10_000 * n, 48_410)]
LEDGER = '[ledger]\nfile = "ledger.csv"\nsource = "test"\n\n[sources]'
BEFORE, UNTIL, AFTER = "2021-03-02T00:00:00Z", "2021-03-08T00:00:00Z", "2021-03-09T00:00:00Z"
NOW = datetime(2021, 3, 1, tzinfo=UTC)


def line(n: int = 1, kind: str = "deduct", amount: str = "4000", date: str = "2021-03-01T00:00:00Z", **more: str) -> dict[str, str]:
    texts = {"reason": "counted twice", "evidence": "forum post 51", "author": "the committee", "ruling": "vote 17"}
    return {"kind": kind, "trader": address(n), **({} if kind == "scale" else {"amount": amount}), **texts, "date": date, **more}


def with_ledger(folder: Path, lines: list[dict[str, str]], changes: Mapping[str, str] | None = None) -> Incident:
    """The made-up incident in a file with a ledger of these lines."""
    (folder / "events.csv").write_bytes(to_csv(build.table(ROWS), EVENTS))
    (folder / "ledger.csv").write_bytes(chain.to_csv(chain.extended([], lines)) if lines else b"")
    incident = made_up(folder, {"[sources]": LEDGER, "[chain]": '[input]\nfile = "events.csv"\n\n[chain]', **(changes or {})})
    (folder / "made-up.toml").write_bytes(incident.raw)
    return incident


def source(folder: Path) -> Input:
    return Input(folder / "events.csv", None)


def computed(folder: Path, lines: list[dict[str, str]], changes: Mapping[str, str] | None = None) -> Run:
    return pipeline.compute(with_ledger(folder, lines, changes), source(folder))


def refused(folder: Path, lines: list[dict[str, str]]) -> str:
    with pytest.raises(InputError) as raised:
        computed(folder, lines)
    return str(raised.value)


def owed(run: Run) -> list[Decimal]:
    return run.payouts.get_column("entitlement").to_list()


def test_each_kind_changes_what_its_trader_is_owed_and_nobody_else(tmp_path: Path) -> None:
    run = computed(tmp_path, [line(1), line(2, "scale", factor="1/3"), line(3, "set", "5"), line(3, "add", "0.5")])
    assert owed(run) == [Decimal(6_000), Decimal("6666.666666666666666666"), Decimal("5.5")]
    rows = run.adjusted.select("number", "trader", "kind", "before", "change", "after", "place").rows()
    assert rows[0] == (1, address(1), "deduct", 10_000, -4_000, 6_000, "ledger.csv row 2")
    assert rows[3] == (4, address(3), "add", 5, Decimal("0.5"), Decimal("5.5"), "ledger.csv row 5")
    assert run.adjusted.select("stated", "factor").rows() == [(4_000, None), (None, "1/3"), (5, None), (Decimal("0.5"), None)]
    said = "4 adjustments of 3 traders add 0.5 USDC to entitlements and take 47,328.333333333333333334 USDC off."
    assert run.findings.filter(code="adjusted")["what"].to_list() == [said]
    said = "1 adjustment of 1 trader adds 0 USDC to entitlements and takes 4,000 USDC off."
    assert computed(tmp_path, [line(1)]).findings.filter(code="adjusted")["what"].to_list() == [said]
    assert entitled(run.payouts) == 60_000 * fixed.ONE + total_of(run.adjusted, "change")


def test_a_deduction_of_more_than_is_owed_is_a_warning_and_takes_no_more(tmp_path: Path) -> None:
    run = computed(tmp_path, [line(1, amount="10000"), line(2, amount="20000.5")])
    assert owed(run) == [0, 0, 30_000]
    (said,) = run.findings.filter(code="adjusted-more").select("level", "what").rows()
    assert said == ("warning", f"ledger.csv row 3 deducts 20,000.5 USDC of {address(2)}, which is owed 20,000.")


@given(
    st.lists(st.integers(0, 10**24), min_size=1, max_size=4),
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["add", "deduct", "set", "scale"]), st.integers(0, 10**24), st.fractions(0, 1)),
        max_size=8,
    ),
)
def test_what_adjustments_move_is_what_entitlements_change_by(amounts: list[int], rulings: list[tuple[int, str, int, Fraction]]) -> None:
    """Conservation, to the unit: the sum after is the sum before and all changes; no entitlement is below 0."""
    before = {address(n): Entitlement(amount, 0, 1) for n, amount in enumerate(amounts)}
    words = dict.fromkeys(("reason", "evidence", "author", "ruling"), "a test")
    adjustments = tuple(
        Adjustment(
            **{**words, "trader": address(n % len(amounts)), "kind": kind, "date": NOW, "source": ("test",)},
            amount=None if kind == "scale" else fixed.from_integer(amount),
            factor=share if kind == "scale" else None,
        )
        for n, kind, amount, share in rulings
    )
    incident = replace(made_up(Path()), adjustments=adjustments)
    after = adjust.adjust(before, incident)
    moved = adjust.table(before, incident)
    assert sum(one.known for one in after.values()) == sum(amounts) + total_of(moved, "change")
    assert all(one.known >= 0 for one in after.values())
    for trader, change in moved.group_by("trader").agg(pl.col("after").last()).iter_rows():
        assert after[trader].known == fixed.to_integer(change)


def test_a_ruling_that_sets_an_amount_settles_what_is_unknown_and_no_other_does() -> None:
    owed = {address(1): Entitlement(5, 1, 2, 3)}
    words = dict.fromkeys(("reason", "evidence", "author", "ruling"), "a test")
    for kind, amount, after in (("set", 2, (2, 0, 2, 3, -3)), ("add", 2, (7, 1, 2, 3, 2)), ("deduct", 9, (0, 1, 2, 3, -5))):
        one = Adjustment(**words, trader=address(1), kind=kind, date=NOW, source=("test",), amount=fixed.from_integer(amount), factor=None)
        assert adjust.adjust(owed, replace(made_up(Path()), adjustments=(one,))) == {address(1): Entitlement(*after)}


def test_the_incident_file_adjusts_before_the_ledger(tmp_path: Path) -> None:
    entry = f"""[[adjustment]]
trader = "{address(1)}"
kind = "scale"
factor = 0.5
reason = "half was his own"
evidence = "forum post 3"
author = "the committee"
ruling = "vote 16"
date = 2021-02-28T00:00:00Z
source = "test"

[eligibility]"""
    run = computed(tmp_path, [line(1)], {"[eligibility]": entry})
    assert run.adjusted.get_column("after").to_list() == [5_000, 1_000]
    assert run.adjusted.get_column("place").to_list() == ["[[adjustment]] 1", "ledger.csv row 2"]


def test_everything_that_shows_a_payout_says_that_it_was_adjusted(tmp_path: Path) -> None:
    run = computed(tmp_path, [line(1), line(2, "set", "0"), line(3, "deduct", "50000")])
    assert run.payouts.get_column("reason").to_list() == [None, *["adjusted: a ruling leaves nothing; see adjusted.csv"] * 2]
    (note,) = [one for one in run.problems if one.code == "adjusted"]
    assert "3 adjustments of 3 traders add 0 USDC to entitlements and take 54,000 USDC off." in note.what
    (more,) = [one for one in run.problems if one.code == "adjusted-more"]
    assert f"ledger.csv row 4 deducts 50,000 USDC of {address(3)}, which is owed 30,000." in more.what
    said = "\n".join(explain(run, address(1)))
    assert "entitlement after adjustment 1 = max(entitlement - amount, 0)" in said
    assert "max(10000 - 4000, 0)" in said
    assert "counted twice; evidence: forum post 51; ruling: vote 17, 2021-03-01; by the committee; ledger.csv row 2" in said
    perpcomp.publish_run(run, tmp_path / "out")
    assert (tmp_path / "out" / "adjusted.csv").read_text().count("counted twice") == 3
    assert "3 adjustments of 3 traders" in (tmp_path / "out" / "README.md").read_text()
    book = load_workbook(tmp_path / "out" / "vote.xlsx")
    assert str(book["Adjusted"]["B6"].value).lower() == address(1)
    assert workbook(run) == (tmp_path / "out" / "vote.xlsx").read_bytes()
    assert perpcomp.verify(tmp_path / "out").same
    back = perpcomp.published(tmp_path / "out")
    assert back.adjusted.equals(run.adjusted)
    assert back.formula.name == "margin-only"


def test_an_adjustment_of_nobody_is_named_with_its_row_and_the_nearest_trader(tmp_path: Path) -> None:
    said = refused(tmp_path, [line(1), line(9), line(2, trader=address(2)[:-2] + "f2")])
    assert f"ledger.csv row 3 adjusts {address(9)}, which is not compensated in this run." in said
    assert "ledger.csv row 4 adjusts" in said
    assert f"Did you mean {address(2)}?" in said


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"amount": "4,000"}, "row 2 amount is '4,000', not a plain amount"),
        ({"amount": "1e3"}, "row 2 amount is '1e3'"),
        ({"amount": "-5"}, "row 2 amount is '-5'"),
        ({"amount": ""}, "row 2 amount is missing"),
        ({"factor": "0.5"}, 'row 2 factor does nothing where kind = "deduct"'),
        ({"kind": "scale", "amount": "5", "factor": "1/2"}, 'row 2 amount does nothing where kind = "scale"'),
        ({"kind": "scale", "amount": "", "factor": "3/2"}, "row 2 factor is 3/2"),
        ({"kind": "deducted"}, 'row 2 kind is "deducted"'),
        ({"trader": "0x12"}, "row 2 trader is"),
        ({"reason": ""}, "row 2 reason is missing"),
        ({"evidence": "=HYPERLINK(1)"}, "row 2 evidence starts with '='"),
        ({"date": "2021-03-01"}, "row 2 date is"),
        ({"run_sha256": "0a" * 32}, "row 2 run_sha256 is unknown"),
    ],
)
def test_a_wrong_line_is_named_with_its_row_and_column(cells: dict[str, str], words: str, tmp_path: Path) -> None:
    assert words in refused(tmp_path, [{**line(1), **cells}, line(2)])


def test_a_broken_chain_is_found_wherever_it_breaks(tmp_path: Path) -> None:
    """Changed, removed, added between others, moved: each is named with its row. Only the end can be cut off unseen, hence the freeze."""
    lines = chain.extended([], [line(n) for n in (1, 2, 3)])

    def problems(of: list[chain.Line]) -> list[str]:
        found = read_ledger("ledger.csv", chain.to_csv(of), ("test",), 100)[2]
        return [f"{one.header} {one.key}" for one in found]

    assert problems(lines) == []
    changed = replace(lines[1], cells={**lines[1].cells, "amount": "4001"})
    assert problems([lines[0], changed, lines[2]]) == ["ledger.csv row 3 hash"]
    sealed = replace(changed, cells={**changed.cells, "hash": chain.digest(changed.cells)})
    assert problems([lines[0], sealed, lines[2]]) == ["ledger.csv row 4 previous"]
    assert problems([lines[0], lines[2]]) == ["ledger.csv row 3 number", "ledger.csv row 3 previous"]
    assert problems([lines[1], lines[0], lines[2]])[:2] == ["ledger.csv row 2 number", "ledger.csv row 2 previous"]
    for name in chain.COLUMNS:
        altered = replace(lines[2], cells={**lines[2].cells, name: lines[2].cells.get(name, "") + "1"})
        assert problems([*lines[:2], altered]), name
    (tmp_path / "other").mkdir()
    with_ledger(tmp_path, [])
    (tmp_path / "ledger.csv").write_text("kind;trader\n")
    with pytest.raises(InputError, match=r"ledger\.csv is no ledger: its first line is not"):
        perpcomp.compute(str(tmp_path / "made-up.toml"))


def frozen(folder: Path, lines: list[dict[str, str]], **more: str) -> dict[str, str]:
    """The line that freezes the run of these lines."""
    incident = with_ledger(folder, lines)
    perpcomp.publish_run(pipeline.compute(incident, source(folder)), folder / "out", force=True)
    return dict(freeze_line(folder / "out", incident, UNTIL, more.pop("author", "the committee"), BEFORE, **more))


def test_a_change_in_the_window_undoes_the_freeze_and_one_after_it_is_refused(tmp_path: Path) -> None:
    freeze = frozen(tmp_path, [line(1)])
    held = computed(tmp_path, [line(1), freeze])
    (note,) = [one for one in held.problems if one.code == "frozen"]
    assert (
        note.what
        == "These are the payouts that ledger.csv row 3 freezes, by the committee, not signed; comments until 2021-03-08T00:00:00Z."
    )
    inside = computed(tmp_path, [line(1), freeze, line(2, date="2021-03-07T00:00:00Z")])
    (undone,) = [one for one in inside.problems if one.code == "freeze-undone"]
    assert undone.what.startswith("ledger.csv row 4 changed the run after it was frozen")
    assert not [one for one in inside.problems if one.code == "frozen"]
    said = refused(tmp_path, [line(1), freeze, line(2, date=UNTIL)])
    assert "ledger.csv row 4 changes a frozen run: ledger.csv row 3 froze it, and comments ended at 2021-03-08T00:00:00Z." in said
    assert "row 3 date is 2021-02-01T00:00:00Z, before the 2021-03-01T00:00:00Z of the line above" in refused(
        tmp_path, [line(1), line(2, date="2021-02-01T00:00:00Z")]
    )
    assert "row 3 comment_until is 2021-03-02T00:00:00Z, not after the date" in refused(
        tmp_path, [line(1), {**freeze, "comment_until": BEFORE}]
    )


def test_a_run_that_is_not_the_frozen_one_says_so_as_an_error(tmp_path: Path) -> None:
    freeze = frozen(tmp_path, [line(1)])
    same = computed(tmp_path, [line(1), freeze])
    assert [(one.level, one.code) for one in same.problems if one.code.startswith("frozen")] == [("note", "frozen")]
    other = computed(tmp_path, [line(1), freeze], {"price = 7": "price = 8"})
    (error,) = [one for one in other.problems if one.code == "frozen-differs"]
    assert error.level == "error"
    assert "changed after the freeze" in error.what
    assert re.search(r"row hash is [0-9a-f]{12}…, not [0-9a-f]{12}…", error.what)
    what_if = pipeline.compute(with_ledger(tmp_path, [line(1), freeze]), source(tmp_path), "split-50-50")
    assert not [one for one in what_if.problems if one.code.startswith("frozen")]


def test_a_freeze_is_signed_by_its_author_or_not_said_to_be(tmp_path: Path) -> None:
    key, other = Account.create(), Account.create()
    unsigned = frozen(tmp_path, [], author=key.address)
    computed(tmp_path, [unsigned])
    message = with_ledger(tmp_path, [unsigned]).book
    assert message is not None
    assert message.freeze is not None
    text = encode_defunct(text=message.freeze.message)
    signed = computed(tmp_path, [{**unsigned, "signature": Account.sign_message(text, key.key).signature.to_0x_hex()}])
    assert f"signed by {key.address}" in next(one.what for one in signed.problems if one.code == "frozen")
    forged = {**unsigned, "signature": Account.sign_message(text, other.key).signature.to_0x_hex()}
    assert f"row 2 signature is by {other.address}, not by the author {key.address}" in refused(tmp_path, [forged])
    assert "row 2 signature cannot be read" in refused(tmp_path, [{**unsigned, "signature": "0x12"}])


def test_lines_are_appended_after_a_whole_run_and_say_what_they_move(tmp_path: Path) -> None:
    with_ledger(tmp_path, [])
    typed = ["--reason", "counted twice", "--evidence", "forum post 51", "--author", "the committee", "--ruling", "vote 17"]
    given = ["ledger", "add", "made-up.toml", "--kind", "deduct", "--amount", "4000", *typed, "--date", "2021-03-01T00:00:00Z"]
    done = call(*given, "--trader", address(1), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "-571.428571428571428572" in done.stdout or "-571.428571428571428571" in done.stdout
    assert "1 line written. 1 payout moved." in done.stderr
    written = (tmp_path / "ledger.csv").read_bytes()
    wrong = call(*given, "--trader", address(9), cwd=tmp_path)
    assert wrong.returncode == 2
    assert f"the new line adjusts {address(9)}, which is not compensated in this run" in wrong.stderr
    bad = call(*given[:-1], "yesterday", "--trader", address(2), cwd=tmp_path)
    assert "the new line date is 'yesterday'" in bad.stderr
    assert (tmp_path / "ledger.csv").read_bytes() == written
    again = call(*given, "--trader", address(1), cwd=tmp_path)
    assert "Nothing was written: 1 line stands in the ledger already." in again.stderr
    shown = call("ledger", "show", "made-up.toml", cwd=tmp_path)
    assert "deduct 4000" in shown.stdout
    assert "1 line, chain unbroken" in shown.stderr
    assert "Not frozen." in shown.stderr


def test_a_run_is_frozen_by_its_folder_and_takes_nothing_after_the_window(tmp_path: Path) -> None:
    with_ledger(tmp_path, [line(1)])
    assert call("run", "made-up.toml", "--out", "out", "--quiet", cwd=tmp_path).returncode == 0
    given = ["ledger", "freeze", "made-up.toml", "out", "--until", UNTIL, "--author", "the committee", "--date", BEFORE]
    done = call(*given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "It is not signed." in done.stderr
    assert "Frozen by ledger.csv row 3, by the committee, not signed" in call("ledger", "show", "made-up.toml", cwd=tmp_path).stderr
    assert call("run", "made-up.toml", "--out", "out", "--quiet", cwd=tmp_path).returncode == 0
    assert perpcomp.verify(tmp_path / "out").same
    typed = ["--reason", "a", "--evidence", "b", "--author", "c", "--ruling", "d", "--date", "2021-03-07T00:00:00Z"]
    late = call("ledger", "add", "made-up.toml", "--kind", "add", "--amount", "1", "--trader", address(2), *typed, cwd=tmp_path)
    assert late.returncode == 2  # by the clock, whatever date is typed
    assert "it takes no more lines" in late.stderr


def test_a_published_ledger_is_only_appended_to(tmp_path: Path) -> None:
    """A cut end is the one change that the chain cannot show."""
    perpcomp.publish_run(computed(tmp_path, [line(1), line(2)]), tmp_path / "out")
    perpcomp.publish_run(computed(tmp_path, [line(1), line(2), line(3)]), tmp_path / "out")
    cut = computed(tmp_path, [line(1), line(2)])
    with pytest.raises(InputError, match="has a ledger of 3 lines, and this ledger of 2 does not begin with them"):
        perpcomp.publish_run(cut, tmp_path / "out")
    perpcomp.publish_run(cut, tmp_path / "out", force=True)


def test_a_run_that_was_changed_since_cannot_be_frozen(tmp_path: Path) -> None:
    incident = with_ledger(tmp_path, [])
    perpcomp.publish_run(pipeline.compute(incident, source(tmp_path)), tmp_path / "out")
    changed = with_ledger(tmp_path, [], {"price = 7": "price = 8"})
    with pytest.raises(InputError, match="Publish the run again"):
        append(changed, source(tmp_path), [("the new line", freeze_line(tmp_path / "out", changed, UNTIL, "the committee", BEFORE))], NOW)
    assert (tmp_path / "ledger.csv").read_bytes() == b""


def sheet_of(folder: Path, *rows: list[Any], columns: str = "address kind amount reason evidence author ruling date") -> Path:
    made = openpyxl.Workbook()
    sheet = made.create_sheet("Adjustments")
    for row in (columns.split(), *rows):
        sheet.append(row)
    made.save(folder / "adjustments.xlsx")
    return folder / "adjustments.xlsx"


def test_a_workbook_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    texts = ["counted twice", "forum post 51", "the committee", "vote 17", "2021-03-01T00:00:00Z"]
    incident = with_ledger(tmp_path, [line(1)])
    path = sheet_of(tmp_path, [address(1), "deduct", "4000", *texts], [address(2), "add", 25, *texts])
    done = append(incident, source(tmp_path), from_sheet(path), NOW)
    assert (done.written, done.known) == (1, 1)
    assert [(who, token) for who, token, *_ in done.moved] == [(address(2), "PERP")]
    nothing = append(made_up_again(tmp_path), source(tmp_path), from_sheet(path), NOW)
    assert (nothing.written, nothing.known) == (0, 2)
    held = (tmp_path / "ledger.csv").read_bytes()
    sheet_of(tmp_path, [address(2), "add", "5", *texts], [address(3), "add", "1,5", *texts])
    with pytest.raises(InputError, match=r"adjustments\.xlsx Adjustments row 3 amount is '1,5'"):
        append(made_up_again(tmp_path), source(tmp_path), from_sheet(path), NOW)
    assert (tmp_path / "ledger.csv").read_bytes() == held
    with pytest.raises(InputError, match="Adjustments!C2: The cell is a formula"):
        from_sheet(sheet_of(tmp_path, [address(2), "add", "=1+1", *texts]))
    with pytest.raises(InputError, match=r"Adjustments!A1: The column 'who' is unknown"):
        from_sheet(sheet_of(tmp_path, [address(2), "add", "1", *texts], columns="who kind amount reason evidence author ruling date"))


def made_up_again(folder: Path) -> Incident:
    from perpcomp.incident import incident_file

    return incident_file.load(str(folder / "made-up.toml"))
