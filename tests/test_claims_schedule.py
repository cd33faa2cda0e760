"""`perpcomp claims`: cliffs read end to end, what is unlocked at a time, the schedule of any amount, and the end of claims."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import perpcomp
from perpcomp.findings import InputError
from perpcomp.publish.summary import summary
from perpcomp.run import Run
from tests import build
from tests.commands import call, on_terminal
from tests.conftest import LAB

pytestmark = pytest.mark.money

CASE = LAB / "no-cliff"
REST = 'upfront = 0.5\ncalendar = "calendar-months"\nlength = 3\ntranches = 3\n'
ENDS = '\n[claims]\nuntil = {}\nthen = "it returns to the treasury"\nsource = "test"\n\n[sources]\n'


def cliff(folder: Path, reading: str) -> list[Any]:
    """The rows of the case's first trader, nothing before a cliff of 3 months and a line of 12, in one reading of the cliff."""
    text = (CASE / "cliff.toml").read_text().replace("cliff = 3\n", f'cliff = 3\ncliff_reading = "{reading}"\n')
    (folder / "cliff.toml").write_text(text)
    done = call("claims", "cliff.toml", "--input", str(CASE / "logs.jsonl"), "--json", cwd=folder)
    assert done.returncode == 0
    assert f"cliff ({reading}): 3 calendar months" in done.stderr
    return [row for row in json.loads(done.stdout) if row["trader"].startswith("0x3bd1")]


def test_a_cliff_without_its_reading_is_refused_with_the_readings(tmp_path: Path) -> None:
    done = call("claims", str(CASE / "cliff.toml"), "--input", str(CASE / "logs.jsonl"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "[vesting] cliff_reading is missing." in done.stderr
    for words in ("With accrues, what has accrued", "(rest-from-cliff)", "(length-from-cliff)", 'cliff_reading = "accrues"'):
        assert words in done.stderr


def test_each_reading_of_a_cliff_from_logs_to_claims(tmp_path: Path) -> None:
    """30,000 USDC of margin at 7 USDC a PERP: floor(30,000 * 10^18 / 7) base units, by hand from June 1st, day 92 of 365 or 457, on."""
    total = 30_000 * 10**18 // 7
    rows = {reading: cliff(tmp_path, reading) for reading in ("accrues", "rest-from-cliff", "length-from-cliff")}
    for found in rows.values():
        assert sum(int(row["amount_base_units"]) for row in found) == total
        assert found[0]["amount_base_units"] == "0"
    first = {reading: (found[1]["unlocks_at"], int(found[1]["amount_base_units"])) for reading, found in rows.items()}
    assert first["accrues"] == ("2021-06-01T00:00:00Z", total * 92 // 365)
    assert first["length-from-cliff"] == ("2021-07-01T00:00:00Z", total * 30 // 365)
    assert first["rest-from-cliff"] == ("2021-06-23T18:00:00Z", total // 12)
    ends = {reading: found[-1]["unlocks_at"] for reading, found in rows.items()}
    assert ends == {
        "accrues": "2022-03-01T00:00:00Z",
        "rest-from-cliff": "2022-03-01T00:00:00Z",
        "length-from-cliff": "2022-06-01T00:00:00Z",
    }


def test_months_from_the_last_of_november_end_with_february(tmp_path: Path) -> None:
    done = call("claims", str(CASE / "twice.toml"), "--input", str(CASE / "logs.jsonl"), "--json", cwd=tmp_path)
    dates = [row["unlocks_at"][:10] for row in json.loads(done.stdout)[:4]]
    assert dates == ["2020-11-30", "2020-12-30", "2021-01-30", "2021-02-28"]
    assert "The vesting starts at 2020-11-30T00:00:00Z, before the window ends" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ('preset = "perp-3m"\nlength = 4\n', '[vesting] length is given beside preset = "perp-3m", which sets it.'),
        ('preset = "perp-6m"\n', "[vesting] preset is \"perp-6m\". Did you mean 'perp-3m'?"),
        (f'{REST}cliff = 4\ncliff_reading = "accrues"\n', "[vesting] cliff is 4, and the length is 3."),
        (f'{REST}cliff = 3\ncliff_reading = "rest-from-cliff"\n', "[vesting] cliff is 3, and the length is 3."),
        (f'{REST}cliff_reading = "accrues"\n', "[vesting] cliff_reading is given without a cliff."),
        ('upfront = 1\ncliff = 4\ncliff_reading = "accrues"\n', "[vesting] cliff is given, but all unlocks at the start."),
        (f'{REST}binding = "line"\nrounding = "FRONT_LOADED"\n', '[vesting] rounding does nothing where binding = "line".'),
        (f"{REST}granularity = 60\n", '[vesting] granularity does nothing where binding = "tranches".'),
        (REST.replace("calendar-months", "seconds").replace("length = 3", "length = 2"), "more than the 2 seconds in which they unlock."),
        (f"{REST}lock_weeks = 5201\n", "[vesting] lock_weeks is 5201. Write at most 5200, a century."),
        (f'{REST}rounding = "FRONT_LOAD"\n', "Did you mean 'FRONT_LOADED'?"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(wrong: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        build.made_up(tmp_path, {REST: wrong})
    assert says in str(refused.value)


def test_a_schedule_beyond_the_calendar_is_refused(tmp_path: Path) -> None:
    for length in ('"calendar-months"\nlength = 95_800', '"fixed-days"\nlength = 3_000_000', '"seconds"\nlength = 900_000_000_000_000'):
        with pytest.raises(InputError, match="The schedule ends after the year 9998"):
            run_of(tmp_path, {'"calendar-months"\nlength = 3': length})


def test_a_lock_beyond_the_calendar_is_refused_before_anything_is_printed(tmp_path: Path) -> None:
    words = ("--amount", "1", "--preset", "instant", "--lock-weeks", "5200", "--start", "9998-12-31T00:00:00Z")
    done = call("claims", "schedule", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ends after the year 9998: it starts at 9998-12-31T00:00:00Z and takes 0 seconds, before a lock of 5200 weeks." in done.stderr


@pytest.mark.parametrize(
    ("preset", "upfront", "months", "binding"),
    [("perp-3m", "1/2", 3, "tranches"), ("drip-6m", "0", 6, "line"), ("drip-12m", "0", 12, "line"), ("instant", "1", 0, "tranches")],
)
def test_a_preset_is_the_keys_it_stands_for(preset: str, upfront: str, months: int, binding: str, tmp_path: Path) -> None:
    vesting = build.made_up(tmp_path, {REST: f'preset = "{preset}"\n'}).vesting
    assert (vesting.upfront, vesting.length, vesting.tranches, vesting.binding) == (Fraction(upfront), months, months, binding)
    assert vesting.calendar == "calendar-months" or vesting.all_at_once


def run_of(folder: Path, changes: dict[str, str]) -> Run:
    return build.run(folder, build.position(1, build.address(1), 1, 55_000, 30_000, 50_000), changes)


def test_what_is_unlocked_at_a_time_by_trader_and_in_all(rehearsal: Run, tmp_path: Path) -> None:
    """Two of the three tranches on May 15th: the sums of the published claims' rows until then."""
    done = call("claims", "--at", "2021-05-15T08:00:00+08:00", "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    due = rehearsal.claims.filter(pl.col("unlocks_at") <= datetime(2021, 5, 15, tzinfo=UTC))
    units: dict[str, int] = {}
    for trader, text in due.select("trader", "amount_base_units").iter_rows():
        units[trader] = units.get(trader, 0) + int(text)
    assert {row["trader"]: int(row["unlocked_base_units"]) for row in answer["unlocked"]} == units
    assert Decimal(answer["totals"][0]["unlocked"]).scaleb(18) == sum(units.values())
    whole = {row["trader"]: Decimal(row["unlocked"]) + Decimal(row["locked"]) for row in answer["unlocked"]}
    assert whole == dict(rehearsal.payouts.select("trader", "amount").iter_rows())
    assert "Unlocked at 2021-05-15T00:00:00Z." in done.stderr


def test_a_moment_that_the_vesting_does_not_count_is_refused(tmp_path: Path) -> None:
    done = call("claims", "--at", "14700000", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --at: 14700000 is a block, and this vesting counts time.")


def test_where_blocks_bind_a_block_is_exact_and_a_time_is_an_estimate(tmp_path: Path) -> None:
    """1,000 blocks of 5 seconds in a line."""
    blocks = 'calendar = "blocks"\nlength = 1_000\ntranches = 4\nbinding = "line"\nstart_block = 14_700_000\nblock_seconds = 5\n'
    done = run_of(tmp_path, {REST: f"upfront = 0\n{blocks}"})
    total = 30_000 * 10**18 // 7
    for at in (14_700_250, datetime(2021, 3, 1, 0, 20, 54, tzinfo=UTC)):
        assert int(perpcomp.unlocked(done, at).item(0, "unlocked_base_units")) == total // 4
    assert int(perpcomp.unlocked(done, 14_699_999).item(0, "unlocked_base_units")) == 0


def test_what_is_locked_after_its_claim_can_be_transferred_later(tmp_path: Path) -> None:
    """Half on March 1st into a lock of 26 weeks: transferable from August 30th on, not a second before."""
    done = run_of(tmp_path, {"tranches = 3\n": "tranches = 3\nlock_weeks = 26\n"})
    half = 30_000 * 10**18 // 7 // 2
    for second, free in ((datetime(2021, 8, 29, 23, 59, 59, tzinfo=UTC), 0), (datetime(2021, 8, 30, tzinfo=UTC), half)):
        row = perpcomp.unlocked(done, second).row(0, named=True)
        assert (int(row["unlocked_base_units"]), int(Decimal(row["transferable"]).scaleb(18))) == (30_000 * 10**18 // 7, free)
    file = tmp_path / "made-up.toml"
    file.write_bytes(done.incident.raw)
    said = call("claims", "made-up.toml", "--input", "events.csv", cwd=tmp_path).stderr
    assert "claimable only into a lock of at least 26 weeks, so nothing can be transferred before 2021-08-30 00:00 UTC" in said


def test_claims_that_end_before_all_is_unlocked_are_an_error_with_the_amount(tmp_path: Path) -> None:
    """At June 1st the last third of the half unlocks; claims end at that second, which is not included."""
    for until, wrong in (("2021-06-01T00:00:00Z", True), ("2021-06-01T00:00:01Z", False)):
        done = run_of(tmp_path, {"\n[sources]\n": ENDS.format(until)})
        found = [one for one in done.problems if one.code == "claims-end-before-unlock"]
        assert bool(found) == wrong
        if wrong:
            last = int(done.claims.item(-1, "amount_base_units"))
            assert found[0].level == "error"
            assert found[0].what in [line.value for line in summary(done) if line.label == "Check"]
            assert f"{last // 10**18}.{last % 10**18:018d}".rstrip("0") in str(found[0])
    (tmp_path / "made-up.toml").write_bytes(done.incident.raw)
    explained = ("explain", build.address(1), "made-up.toml")
    for words in (("claims", "made-up.toml"), ("run", "made-up.toml", "--out", "out"), explained):
        said = call(*words, "--input", "events.csv", cwd=tmp_path, COLUMNS="400")
        assert "it returns to the treasury" in said.stdout + said.stderr, said.stderr
        assert "2021-06-01T00:00:01Z" in said.stdout + said.stderr
    over = call("claims", "made-up.toml", "--at", "2021-06-01T00:00:01Z", "--input", "events.csv", cwd=tmp_path)
    assert "Claims ended at 2021-06-01T00:00:01Z" in over.stderr


def test_the_end_of_claims_needs_a_source(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\[claims\] source is missing"):
        build.made_up(tmp_path, {"\n[sources]\n": ENDS.format("2022-06-01T00:00:00Z").replace('treasury"\nsource = "test"', 'treasury"')})


def test_a_payout_too_small_for_its_tranches_is_named(tmp_path: Path) -> None:
    """3 units in 4 parts: one part is 0. 6 units are 3, 1, 1, 1."""
    dear = {"price = 7\n": f"price = 1{'0' * 19}\n"}
    for margin, named in ((30, True), (60, False)):
        done = build.run(tmp_path, build.position(1, build.address(1), 1, 55_000, margin, 50_000), dear)
        found = [one for one in done.problems if one.code == "payout-below-tranches"]
        assert [one.level for one in found] == ["warning"] * named
        assert all(f"3 base units of PERP for {build.address(1)}" in str(one) for one in found)


def test_the_schedule_of_any_amount(tmp_path: Path) -> None:
    """User C's PERP of the formula catalogue, by a preset; and the same from the library."""
    words = ("--amount", "1153.984795575868054474", "--start", "2027-03-01T00:00:00Z", "--preset", "perp-3m")
    done = call("claims", "schedule", *words, "--json", cwd=tmp_path)
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    parts = ["576992397787934027237", "192330799262644675745", "192330799262644675746", "192330799262644675746"]
    assert [row["amount_base_units"] for row in rows] == parts
    assert [row["unlocks_at"][:10] for row in rows] == ["2027-03-01", "2027-04-01", "2027-05-01", "2027-06-01"]
    table = {"preset": "perp-3m", "start": datetime(2027, 3, 1, tzinfo=UTC)}
    assert perpcomp.schedule(1153984795575868054474, table)["amount_base_units"].to_list() == parts
    with pytest.raises(InputError, match=r"vesting start: It is missing. Add it to vesting: start = "):
        perpcomp.schedule(7, {"preset": "instant"})


@pytest.mark.parametrize(
    ("units", "decimals", "says"),
    [(-5, 18, "base_units: -5"), (10**26, 6, r"below 10\*\*26"), (5.5, 18, "base_units: 5.5"), (True, 18, "True"), (5, 30, "decimals: 30")],
)
def test_the_library_refuses_what_is_no_amount(units: Any, decimals: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        perpcomp.schedule(units, {"preset": "perp-3m", "start": datetime(2027, 1, 1, tzinfo=UTC)}, decimals)


def test_the_schedule_at_a_time(tmp_path: Path) -> None:
    """45,000 PERP, half at once: on day 45 of the calendar's 92, and of 90 fixed days."""
    line = ("claims", "schedule", "--amount", "45_000", "--start", "2021-03-01T00:00:00Z", "--upfront", "1/2", "--binding", "line")
    for calendar, length, units in (("calendar-months", "3", "33505434782608695652173"), ("fixed-days", "90", f"33750{'0' * 18}")):
        words = (*line, "--calendar", calendar, "--length", length, "--tranches", "3", "--at", "2021-04-15T00:00:00Z", "--json")
        answer = json.loads(call(*words, cwd=tmp_path).stdout)
        assert answer["unlocked_base_units"] == units
        assert int(answer["locked_base_units"]) == 45_000 * 10**18 - int(units)


def test_a_schedule_says_what_is_wrong_and_what_to_type(tmp_path: Path) -> None:
    given = ("claims", "schedule", "--amount", "7", "--decimals", "6")
    for words, says in (
        (("--start", "2021-03-01"), "error: --start: It is 2021-03-01, not a time."),
        (("--start", "2021-03-01T00:00:00Z"), "error: --upfront: It is missing. Add it to the options: --upfront 0.5."),
        (("--preset", "instant"), "error: --start: It is missing. Add it to the options: --start 2021-03-01T00:00:00Z."),
        (("--upfront", "50%"), 'error: --upfront: It is "50%".'),
        (("--preset", "instant", "--start", "2021-03-01T00:00:00"), "without a zone"),
    ):
        done = call(*given, *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr
    at_once = ("--preset", "instant", "--start", "2027-03-01T00:00:00Z")
    for amount, says in (
        ("0.0000001", "more than the 6 decimals of the token"),
        ("-1", "It is -1."),
        ("ten", 'It is "ten"'),
        ("0", "above 0"),
    ):
        done = call("claims", "schedule", "--amount", amount, "--decimals", "6", *at_once, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), amount
        assert done.stderr.startswith("error: --amount: "), done.stderr
        assert says in done.stderr


def test_a_start_in_the_past_and_an_amount_too_small_are_named(tmp_path: Path) -> None:
    given = ("claims", "schedule", "--amount", "0.000003", "--decimals", "6", "--preset", "perp-3m", "--start")
    past, later = (call(*given, start, cwd=tmp_path) for start in ("2021-03-01T00:00:00Z", "9000-03-01T00:00:00Z"))
    assert past.returncode == later.returncode == 0
    assert "warning: --start: The schedule starts at 2021-03-01T00:00:00Z, which is past: 4 of its 4 dates are over." in past.stderr
    assert "which is past" not in later.stderr
    for done in (past, later):
        assert "warning: --amount: Some of the 4 tranches are 0, since the payout is too small: 3 base units." in done.stderr


def test_a_schedule_fits_80_columns(tmp_path: Path) -> None:
    words = ("--amount", "45000", "--start", "9000-03-01T00:00:00Z", "--preset", "perp-3m")
    shown = on_terminal(80, "claims", "schedule", *words, cwd=tmp_path)
    assert max(map(len, shown.splitlines())) <= 80
    assert "22500000000000000000000" in shown
