"""Tranches and lines against schedules that a real contract computed, and the properties that make them safe."""

import itertools
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from perpcomp.findings import InputError
from perpcomp.incident.claims import ClaimPeriod
from perpcomp.incident.vesting import ROUNDINGS, Vesting
from perpcomp.vesting.checks import findings, in_the_past, too_small
from perpcomp.vesting.curves import AFTER, unlocked
from perpcomp.vesting.schedule import add_months, end_in_words, schedule, step_at
from perpcomp.vesting.vest import schedule_of, unlocked_at, vest
from perpcomp.vesting.words import in_words, percent
from tests import build
from tests.conftest import LAB

pytestmark = pytest.mark.money

SCHEDULES = json.loads((LAB / "schedules.json").read_text())["schedules"]
WALLETS = json.loads((LAB / "vesting-wallet.json").read_text())["wallets"]
CLIFFS = json.loads((LAB / "vesting-wallet-cliff.json").read_text())["wallets"]
CALENDAR = json.loads((LAB / "calendar.json").read_text())["starts"]


def vesting(**changes: Any) -> Vesting:
    base: dict[str, Any] = {
        "upfront": Fraction(1, 2),
        "calendar": "calendar-months",
        "length": 3,
        "tranches": 3,
        "binding": "tranches",
        "start": datetime(2021, 3, 1, tzinfo=UTC),
        "start_block": None,
        "block_seconds": None,
        "source": (),
    }
    return Vesting(**{**base, **changes})


def of(one: dict[str, Any]) -> Vesting:
    """The terms of a schedule of the lab. A cliff of Sablier Lockup counts seconds, and so does then the calendar."""
    kind, units = one["calendar"]["kind"], {"calendar-months": "months", "fixed-days": "days", "seconds": "seconds"}
    terms = vesting(
        upfront=Fraction(int(one["upfront"]["num"]), int(one["upfront"]["den"])),
        calendar=kind,
        length=one["calendar"][units[kind]],
        tranches=len(one["tranches"]) - 1 if one["form"] == "tranches" else 1,
        binding="tranches" if one["form"] == "tranches" else "line",
        start=datetime.fromtimestamp(one["start_unix"], UTC),
    )
    if one["form"] == "tranches":
        return terms
    terms = replace(terms, granularity=one["granularity_s"])
    if one["cliff_s"] is None:
        return terms
    seconds = one["end_unix"] - one["start_unix"]
    return replace(terms, calendar="seconds", length=seconds, cliff=one["cliff_s"], cliff_reading="rest-from-cliff")


def test_every_schedule_of_the_contract_to_the_base_unit() -> None:
    """`unlocked` as SablierLockup's streamedAmountOf returned it at each second asked: tranches, lines, steps and cliffs."""
    points, shapes = 0, Counter[str]()
    for one in SCHEDULES:
        terms, total = of(one), int(one["payout"])
        dates = schedule(terms)
        assert terms.all_at_once or (dates.rows[0].unix, dates.rows[-1].unix) == (one["start_unix"], one["end_unix"]), one["id"]
        for moment, amount in one["unlocked"]:
            assert unlocked(terms, total, moment - one["start_unix"], dates) == int(amount), (one["id"], moment)
            points += 1
        shapes[f"{one['form']}, steps {terms.granularity > 1}, cliff {terms.cliff is not None}"] += 1
        if one["form"] == "tranches" and not terms.all_at_once:
            cumulative = [unlocked(terms, total, date.step, dates) for date in dates.rows]
            assert [(d.unix, c) for d, c in zip(dates.rows, cumulative, strict=True)] == [(t[1], int(t[4])) for t in one["tranches"]], one[
                "id"
            ]
    assert (len(SCHEDULES), points) == (114, 1265)
    assert len(shapes) >= 4, shapes


def test_the_line_is_that_of_vesting_wallet() -> None:
    """vestedAmount of OpenZeppelin's VestingWallet 5.3.0, as it answered."""
    answers = [(one, moment, int(amount)) for one in WALLETS for moment, amount in one["vested"]]
    for one, moment, amount in answers:
        start = datetime.fromtimestamp(one["start_unix"], UTC)
        terms = vesting(upfront=Fraction(0), calendar="seconds", length=one["duration_s"], tranches=1, binding="line", start=start)
        assert unlocked(terms, int(one["total"]), moment - one["start_unix"], schedule(terms)) == amount
    assert len(answers) == 63


def test_a_cliff_that_accrues_is_that_of_vesting_wallet_cliff() -> None:
    """vestedAmount of OpenZeppelin's VestingWalletCliff 5.3.0 on a local chain, on both sides of start, cliff and end."""
    answers = [(one, moment, int(amount)) for one in CLIFFS for moment, amount in one["vested"]]
    for one, moment, amount in answers:
        terms = vesting(
            upfront=Fraction(0),
            calendar="seconds",
            length=one["duration_s"],
            tranches=12,
            binding="line",
            start=datetime.fromtimestamp(one["start_unix"], UTC),
            cliff=one["cliff_s"],
            cliff_reading="accrues",
        )
        assert unlocked(terms, int(one["total"]), moment - one["start_unix"], schedule(terms)) == amount, (one, moment)
    assert len(answers) == 204


@pytest.mark.parametrize("one", CALENDAR, ids=lambda s: s["start"])
def test_months_are_added_to_the_start_and_never_chained(one: dict[str, Any]) -> None:
    start = datetime.fromtimestamp(one["start_unix"], UTC)
    assert [[k, int(add_months(start, k).timestamp()), add_months(start, k).strftime("%Y-%m-%dT%H:%M:%SZ")] for k in range(1, 13)] == one[
        "plus_months"
    ]


def test_the_small_payouts_of_the_formula_catalogue() -> None:
    """7 units: 3, 1, 1, 2. One unit: 0, 0, 0, 1. And user C's 8,000 USDC in PERP."""
    terms = vesting()
    dates = schedule(terms)

    def tranches(total: int) -> list[int]:
        curve = [unlocked(terms, total, date.step, dates) for date in dates.rows]
        return [curve[0], *(b - a for a, b in itertools.pairwise(curve))]

    assert tranches(7) == [3, 1, 1, 2]
    assert tranches(1) == [0, 0, 0, 1]
    assert tranches(1153984795575868054474) == [576992397787934027237, 192330799262644675745, 192330799262644675746, 192330799262644675746]


def test_on_the_first_of_april_the_table_and_the_line_differ() -> None:
    """30,000 by the tranche table, 30,081.521739 by the second."""
    total, april = 45_000 * 10**18, 1617235200
    for binding, amount in (("tranches", 30_000 * 10**18), ("line", 30081521739130434782608)):
        terms = vesting(binding=binding)
        assert unlocked(terms, total, april - 1614556800, schedule(terms)) == amount
        assert ("tranche dates bind" if binding == "tranches" else "line binds") in in_words(terms)


def test_the_long_drips_of_the_thread() -> None:
    """No upfront part, linear for 6 or 12 months (forum F41)."""
    total = 45_000 * 10**18
    year = vesting(upfront=Fraction(0), length=12, tranches=12, binding="line")
    assert unlocked(year, total, 1630454400 - 1614556800, schedule(year)) == 22684931506849315068493
    for months in (6, 12):
        terms = vesting(upfront=Fraction(0), length=months, tranches=months)
        dates = schedule(terms)
        assert len(dates.rows) == months + 1
        assert unlocked(terms, total, 0, dates) == 0
        assert unlocked(terms, total, dates.rows[1].step, dates) == total // months


def test_blocks_bind_where_the_calendar_counts_blocks() -> None:
    terms = vesting(calendar="blocks", length=1000, tranches=4, start_block=14_700_000, block_seconds=Decimal("5.2"))
    dates = schedule(terms)
    assert [d.block for d in dates.rows] == [14_700_000, 14_700_250, 14_700_500, 14_700_750, 14_701_000]
    assert [d.unix - dates.rows[0].unix for d in dates.rows] == [0, 1300, 2600, 3900, 5200]
    assert [unlocked(terms, 8, d.step, dates) for d in dates.rows] == [4, 5, 6, 7, 8]


def test_dates_of_a_schedule_in_blocks_are_called_estimates() -> None:
    terms = vesting(
        start=datetime(2022, 8, 1, tzinfo=UTC), calendar="blocks", length=589_091, start_block=15_253_306, block_seconds=Decimal("13.2")
    )
    assert end_in_words(terms) == "block 15,842,397 binds; about 30 October 2022 at 13.2 s a block"
    assert in_words(terms) == (
        "50 % at block 15,253,306, about 1 August 2022, the rest in 3 equal tranches over 589091 blocks;"
        " blocks bind and dates are estimates: all unlocked when block 15,842,397 binds; about 30 October 2022 at 13.2 s a block"
    )
    assert "about 30 October 2022" in in_words(replace(terms, binding="line"))
    assert end_in_words(vesting()) == "2021-06-01T00:00:00Z"
    assert "about" not in in_words(vesting())


def test_all_at_the_start_is_one_tranche(tmp_path: Path) -> None:
    """upfront = 1 needs neither calendar nor length nor tranches; given all the same, they change nothing."""
    rest = 'calendar = "calendar-months"\nlength = 3\ntranches = 3\n'
    for changes in ({f"upfront = 0.5\n{rest}": "upfront = 1\n"}, {"upfront = 0.5": "upfront = 1"}, {"upfront = 0.5": 'upfront = "3/3"'}):
        done = build.run(tmp_path, build.position(1, build.address(1), 1, 55_000, 30_000, 50_000), changes)
        assert done.claims.select("tranche", "unlocks_at_unix", "amount_base_units").rows() == [
            (0, 1614556800, done.payouts.item(0, "amount_base_units"))
        ]
        assert in_words(done.incident.vesting) == "all at 2021-03-01 00:00 UTC"
        assert end_in_words(done.incident.vesting) == "2021-03-01T00:00:00Z"
    blocks = {f"upfront = 0.5\n{rest}": 'upfront = 1\ncalendar = "blocks"\nstart_block = 15_253_306\nblock_seconds = 12\n'}
    done = build.run(tmp_path, build.position(1, build.address(1), 1, 55_000, 30_000, 50_000), blocks)
    assert in_words(done.incident.vesting) == "all at block 15,253,306, about 1 March 2021"
    assert done.claims["unlocks_at_block"].to_list() == [15_253_306]


@pytest.mark.parametrize("key", ['calendar = "calendar-months"\n', "length = 3\n", "tranches = 3\n"])
def test_what_unlocks_later_needs_a_length(key: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is missing\. .*It is required where upfront is below 1"):
        build.made_up(tmp_path, {key: ""})


def test_tranches_that_are_not_months_fall_on_equal_parts_cut_to_the_second() -> None:
    """March has 2,678,400 seconds: 7 parts of 382,628 and four sevenths. And three months in two parts end on June 1st, not in May."""
    start = 1614556800
    march = [date.unix - start for date in schedule(vesting(length=1, tranches=7)).rows]
    assert march == [0, 382_628, 765_257, 1_147_885, 1_530_514, 1_913_142, 2_295_771, 2_678_400]
    assert [date.unix - start for date in schedule(vesting(length=3, tranches=2)).rows] == [0, 46 * 86_400, 92 * 86_400]


def test_blocks_that_do_not_divide_are_cut_and_so_are_their_times() -> None:
    terms = vesting(calendar="blocks", length=10, tranches=4, start_block=100, block_seconds=Decimal("5.3"))
    dates = schedule(terms)
    assert [date.block for date in dates.rows] == [100, 102, 105, 107, 110]
    assert [date.unix - dates.rows[0].unix for date in dates.rows] == [0, 10, 26, 37, 53]


def test_a_time_is_in_the_block_that_has_begun() -> None:
    """At 5 s a block, 8 seconds are one block and 10 are two; before the start they count backwards."""
    terms = vesting(calendar="blocks", length=10, tranches=4, start_block=100, block_seconds=Decimal(5))
    steps = {-1: -1, 0: 0, 4: 0, 5: 1, 8: 1, 10: 2}
    assert {second: step_at(terms, terms.start + timedelta(seconds=second)) for second in steps} == steps
    assert step_at(vesting(), terms.start + timedelta(milliseconds=1_500)) == 1
    assert step_at(terms, 107) == 7


def test_a_lock_of_a_week_is_all_the_blocks_that_a_week_touches(tmp_path: Path) -> None:
    """604,800 s at 5.2 s a block are 116,307 blocks and a part of one: half of 8 is free after 116,308."""
    terms = vesting(calendar="blocks", length=10, tranches=2, start_block=100, block_seconds=Decimal("5.2"), lock_weeks=1)
    made = replace(build.made_up(tmp_path), vesting=terms)
    paid = pl.DataFrame({"trader": [build.address(1)], "token": ["PERP"], "amount_base_units": ["8"]})
    free = [unlocked_at(paid, made, block)["transferable"].item() for block in (100 + 116_307, 100 + 116_308)]
    assert [int(units.scaleb(18)) for units in free] == [0, 4]


def test_a_schedule_that_begins_now_has_begun_and_one_that_begins_a_second_later_has_not() -> None:
    terms = vesting()
    (said,) = in_the_past(terms, terms.start, "here")
    assert said.what.endswith("which is past: 1 of its 4 dates are over.")
    assert not [*in_the_past(terms, terms.start - timedelta(seconds=1), "here")]


def test_claims_may_end_a_second_after_all_is_unlocked_and_not_at_that_second(tmp_path: Path) -> None:
    """The end is not included: what unlocks at that second, a sixth of 12, can no longer be claimed."""
    made = build.made_up(tmp_path)
    paid = pl.DataFrame({"trader": [build.address(1)], "token": ["PERP"], "amount_base_units": ["12"]})
    end = datetime(2021, 6, 1, tzinfo=UTC)
    for until, lost in ((end, "0.000000000000000002 of 0.000000000000000012 PERP"), (end + timedelta(seconds=1), None)):
        claims = ClaimPeriod(until=until, then="it returns", source=("test",))
        said = [one.what for one in findings(paid, replace(made, claims=claims)) if one.code == "claims-end-before-unlock"]
        assert ([lost in what for what in said] == [True]) if lost else not said


def test_a_tranche_unlocks_at_its_date_and_not_a_second_before() -> None:
    for terms, at_start in ((vesting(), 3), (vesting(upfront=Fraction(0)), 0)):
        dates = schedule(terms)
        rest = 7 - at_start
        assert unlocked(terms, 7, -1, dates) == 0
        assert unlocked(terms, 7, 0, dates) == at_start
        for k, date in enumerate(dates.rows[1:], 1):
            assert unlocked(terms, 7, date.step - 1, dates) == at_start + rest * (k - 1) // 3
            assert unlocked(terms, 7, date.step, dates) == at_start + rest * k // 3


def test_the_schedule_of_an_amount_counts_in_the_units_of_its_token() -> None:
    found = schedule_of(6_000_001, 6, vesting())
    assert found["amount_base_units"].to_list() == ["3000000", "1000000", "1000000", "1000001"]
    assert found["amount"].to_list() == [3, 1, 1, Decimal("1.000001")]
    assert found["cumulative"].to_list() == [3, 4, 5, Decimal("6.000001")]


def test_an_amount_that_no_column_holds_has_no_schedule() -> None:
    """An amount is below 1e20: at 6 decimals below 10**26 base units."""
    assert schedule_of(10**26 - 1, 6, vesting())["cumulative"][-1] == Decimal(10**26 - 1).scaleb(-6)
    assert schedule_of(0, 1, vesting())["amount"].to_list() == [0] * 4
    for total in (-1, 10**26, 5.0, True, "5"):
        with pytest.raises(InputError, match=r"is no amount in base units. Give a whole number from 0 to below 10\*\*26"):
            schedule_of(total, 6, vesting())  # type: ignore[arg-type]
    for decimals in (0, 19, 6.0, True):
        with pytest.raises(InputError, match="is no number of decimals"):
            schedule_of(5, decimals, vesting())  # type: ignore[arg-type]


def test_a_payout_is_too_small_where_any_part_that_is_due_is_0() -> None:
    """3 of which half is upfront are 1, 0, 1, 1; 4 are 2, 0, 1, 1; 5 are 2, 1, 1, 1. Nothing is too small of a payout of 0."""
    payouts = {f" of {total}": total for total in (0, 1, 3, 4, 5, 6)}
    (finding,) = too_small(payouts, vesting(), "here")
    assert "1 base unit of 1, 3 base units of 3, 4 base units of 4." in finding.what


def test_a_claim_names_its_block_and_counts_in_its_tokens_units(tmp_path: Path) -> None:
    """7 micro-dollars: 3 at once, then 1, 1 and 2."""
    terms = vesting(calendar="blocks", length=10, tranches=3, start_block=100, block_seconds=Decimal(5))
    made = build.made_up(tmp_path, {'token = "PERP"\ndecimals = 18': 'token = "USDC"\ndecimals = 6'})
    paid = pl.DataFrame({"trader": [build.address(1)], "token": ["USDC"], "amount_base_units": ["7"]})
    claims = vest(paid, replace(made, vesting=terms))
    assert claims["amount_base_units"].to_list() == ["3", "1", "1", "2"]
    assert claims["amount"].to_list() == [Decimal(n) / 10**6 for n in (3, 1, 1, 2)]
    assert claims["cumulative"].to_list() == [Decimal(n) / 10**6 for n in (3, 4, 5, 7)]
    assert claims["unlocks_at_block"].to_list() == [100, 103, 106, 110]


OPEN_CAP = {
    "CUMULATIVE_ROUND_DOWN": [4, 5, 4, 5],
    "CUMULATIVE_ROUNDING": [5, 4, 5, 4],
    "FRONT_LOADED": [5, 5, 4, 4],
    "BACK_LOADED": [4, 4, 5, 5],
    "FRONT_LOADED_TO_SINGLE_TRANCHE": [6, 4, 4, 4],
    "BACK_LOADED_TO_SINGLE_TRANCHE": [4, 4, 4, 6],
}


@pytest.mark.parametrize(("rounding", "parts"), OPEN_CAP.items())
def test_18_in_4_as_the_open_cap_format_prints_it(rounding: str, parts: list[int]) -> None:
    """And the same with half at once: 36 are 18, then 18 in 4."""
    for upfront, total, first in ((Fraction(0), 18, 0), (Fraction(1, 2), 36, 18)):
        terms = vesting(upfront=upfront, length=4, tranches=4, rounding=rounding)
        assert [int(text) for text in schedule_of(total, 18, terms)["amount_base_units"]] == [first, *parts]
    assert OPEN_CAP.keys() == AFTER.keys() == set(ROUNDINGS)


def test_a_cliff_has_three_readings() -> None:
    """3 months in front of, or inside, 12: 1,200 units, nothing at once, in 12 tranches or per second (June 1st is day 92 of 365 or 457)."""
    june, july, march, start = 1622505600, 1625097600, 1646092800, 1614556800
    tranches, line = vesting(upfront=Fraction(0), length=12, tranches=12, cliff=3), {}
    for reading, first, at_june, at_july, end in (
        ("accrues", june, 300, 400, march),
        ("rest-from-cliff", None, 0, None, march),
        ("length-from-cliff", july, 0, 100, 1654041600),
    ):
        terms = replace(tranches, cliff_reading=reading)
        dates = schedule(terms)
        assert dates.rows[-1].unix == end
        assert unlocked(terms, 1_200, june - start, dates) == at_june
        assert unlocked(terms, 1_200, june - start - 1, dates) == 0
        if first is not None:
            assert dates.rows[1].unix == first, "what would unlock before the cliff has no row of its own"
            assert unlocked(terms, 1_200, july - start, dates) == at_july
        line[reading] = [unlocked(replace(terms, binding="line"), 1_200, at - start, dates) for at in (june, july, march)]
        assert f"cliff ({reading}): 3 calendar months" in in_words(terms)
    assert line == {
        "accrues": [1_200 * 92 // 365, 1_200 * 122 // 365, 1_200],
        "rest-from-cliff": [0, 1_200 * 30 // 273, 1_200],
        "length-from-cliff": [0, 1_200 * 30 // 365, 1_200 * 273 // 365],
    }


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (
            "accrues",
            "3 calendar months inside the length, nothing of the rest unlocks before 2021-06-01 00:00 UTC, what accrued since the start unlocks then",
        ),
        (
            "rest-from-cliff",
            "3 calendar months inside the length, nothing accrues before 2021-06-01 00:00 UTC, the rest unlocks from then to 2022-03-01 00:00 UTC",
        ),
        (
            "length-from-cliff",
            "3 calendar months before the length, nothing accrues before 2021-06-01 00:00 UTC, the 12 calendar months begin then and end at 2022-06-01 00:00 UTC",
        ),
    ],
)
def test_the_sentence_of_a_schedule_says_how_its_cliff_is_read(reading: str, said: str) -> None:
    terms = vesting(upfront=Fraction(1, 8), length=12, tranches=9, cliff=3, cliff_reading=reading)
    assert in_words(terms) == (
        "12.5 % at 2021-03-01 00:00 UTC, the rest in 9 equal tranches over 12 calendar months; the tranche dates bind"
        f"; cliff ({reading}): {said}"
    )


def test_the_sentence_of_a_schedule_says_when_what_is_claimed_can_be_transferred_first() -> None:
    """A week after the upfront part; without one, a week after the first tranche, or after the cliff of a line."""
    for changes, day in (
        ({}, "2021-03-08"),
        ({"upfront": Fraction(0)}, "2021-04-08"),
        ({"upfront": Fraction(0), "binding": "line"}, "2021-03-08"),
        ({"upfront": Fraction(0), "binding": "line", "cliff": 2, "cliff_reading": "accrues"}, "2021-05-08"),
    ):
        said = in_words(vesting(lock_weeks=1, **changes))
        assert said.endswith(f"a lock of at least 1 week, so nothing can be transferred before {day} 00:00 UTC")


def test_the_sentence_of_a_schedule_names_every_rounding_but_the_usual_one() -> None:
    for rounding in ROUNDINGS:
        said = f"; the tranches are rounded by {rounding}" in in_words(vesting(rounding=rounding))
        assert said == (rounding != "CUMULATIVE_ROUND_DOWN")


def test_a_share_is_a_short_decimal_of_per_cent_or_a_fraction() -> None:
    for share, said in (("1/2", "50 %"), ("1/3", "1/3"), ("2/3", "2/3"), ("0.123456", "12.3456 %"), ("0.1234567", "1234567/10000000")):
        assert percent(Fraction(share)) == said


def test_the_upfront_part_does_not_wait_for_the_cliff() -> None:
    terms = vesting(length=12, tranches=12, cliff=3, cliff_reading="accrues")
    assert [(row.unix, unlocked(terms, 2_400, row.step, schedule(terms))) for row in schedule(terms).rows[:3]] == [
        (1614556800, 1_200),
        (1622505600, 1_500),
        (1625097600, 1_600),
    ]


def test_the_table_of_a_line_has_a_row_where_its_cliff_ends() -> None:
    """30 of 100 days, between no two dates of a table of halves: 30 % are unlocked there at once."""
    terms = vesting(upfront=Fraction(0), calendar="fixed-days", length=100, tranches=2, binding="line", cliff=30, cliff_reading="accrues")
    found = schedule_of(1_000, 18, terms)
    assert [(at - 1614556800) // 86_400 for at in found["unlocks_at_unix"]] == [0, 30, 50, 100]
    assert found["amount_base_units"].to_list() == ["0", "300", "200", "500"]
    in_halves = schedule_of(1_000, 18, replace(terms, binding="tranches"))
    assert in_halves["amount_base_units"].to_list() == ["0", "500", "500"], "nothing unlocks where the cliff of tranches ends"


def test_a_cliff_of_the_whole_length_is_nothing_and_then_all() -> None:
    terms = vesting(upfront=Fraction(0), length=12, tranches=12, cliff=12, cliff_reading="accrues")
    assert schedule_of(7, 0 + 18, terms)["amount_base_units"].to_list() == ["0", "7"]


def test_a_line_in_steps_moves_at_each_step_alone() -> None:
    """A weekly drip: nothing within a week."""
    terms = vesting(upfront=Fraction(0), calendar="fixed-days", length=70, tranches=10, binding="line", granularity=604_800)
    assert [unlocked(terms, 1_000, step, schedule(terms)) for step in (604_799, 604_800, 1_209_599, 6_047_999, 6_048_000)] == [
        0, 100, 100, 900, 1_000,
    ]  # fmt: skip
    assert "linear in steps of 604,800 seconds over 70 days" in in_words(terms)
    waits = vesting(
        upfront=Fraction(0),
        calendar="seconds",
        length=11,
        tranches=1,
        binding="line",
        granularity=3,
        cliff=5,
        cliff_reading="rest-from-cliff",
    )
    # The steps count from the cliff, where the rest begins to accrue.
    assert [unlocked(waits, 6, step, schedule(waits)) for step in (7, 8, 10, 11)] == [0, 3, 3, 6]


def terms_of_all_kinds() -> st.SearchStrategy[Vesting]:
    @st.composite
    def build_terms(draw: st.DrawFn) -> Vesting:
        calendar = draw(st.sampled_from(["calendar-months", "fixed-days", "seconds", "blocks"]))
        length = draw(st.integers(1, 120 if calendar == "calendar-months" else 5_000))
        reading = draw(st.sampled_from([None, "accrues", "rest-from-cliff", "length-from-cliff"]))
        longest = {None: 1, "accrues": length, "rest-from-cliff": length - 1, "length-from-cliff": 100}[reading]
        if not longest:
            reading = None
        binding = draw(st.sampled_from(["tranches", "line"]))
        return vesting(
            upfront=draw(st.fractions(0, 1, max_denominator=100)),
            calendar=calendar,
            length=length,
            tranches=draw(st.integers(1, 40)),
            binding=binding,
            rounding=draw(st.sampled_from(ROUNDINGS)) if binding == "tranches" else ROUNDINGS[0],
            granularity=draw(st.sampled_from([1, 7, 86_400])) if binding == "line" else 1,
            cliff=None if reading is None else draw(st.integers(1, longest)),
            cliff_reading=reading,
            start_block=14_700_000 if calendar == "blocks" else None,
            block_seconds=Decimal("5.2") if calendar == "blocks" else None,
        )

    return build_terms()


@pytest.mark.property
@given(terms_of_all_kinds(), st.integers(0, 10**37), st.lists(st.integers(-10, 4 * 10**8), max_size=10))
def test_tranches_add_up_and_what_is_unlocked_never_shrinks(terms: Vesting, total: int, steps: list[int]) -> None:
    """For every schedule, rounding and cliff: the table adds up to the payout to the base unit, and no row is below 0."""
    dates = schedule(terms)
    parts = [int(text) for text in schedule_of(total, 18, terms)["amount_base_units"]]
    assert sum(parts) == total
    assert min(parts) >= 0
    assert list(itertools.accumulate(parts)) == [unlocked(terms, total, row.step, dates) for row in dates.rows]
    curve = [unlocked(terms, total, step, dates) for step in sorted(steps)]
    assert curve == sorted(curve)
    assert unlocked(terms, total, -1, dates) == 0
    assert unlocked(terms, total, dates.end, dates) == total
    if dates.cliff and not terms.all_at_once:
        assert unlocked(terms, total, dates.cliff - 1, dates) == total * terms.upfront.numerator // terms.upfront.denominator
    assert [row.unix for row in dates.rows] == sorted({row.unix for row in dates.rows})


def test_a_line_starts_at_the_start_and_ends_at_the_end() -> None:
    """1,000 units, half upfront, the rest over 10 seconds: 50 a second from the first second on."""
    terms = vesting(binding="line", calendar="seconds", length=10, tranches=1)
    dates = schedule(terms)
    assert [unlocked(terms, 1_000, step, dates) for step in (-1, 0, 1, 2, 9, 10, 11)] == [0, 500, 550, 600, 950, 1_000, 1_000]


def test_tranches_unlock_at_their_dates_and_not_a_second_before() -> None:
    terms = vesting(calendar="seconds", length=10, tranches=2)
    dates = schedule(terms)
    assert [unlocked(terms, 1_000, step, dates) for step in (-1, 0, 4, 5, 9, 10)] == [0, 500, 500, 750, 750, 1_000]
