"""Tranches and lines against schedules that a real contract computed, and the properties that make them safe."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.findings import InputError
from perpcomp.incident.vesting import Vesting
from perpcomp.vesting.curves import in_words, unlocked
from perpcomp.vesting.schedule import add_months, end_in_words, schedule
from perpcomp.vesting.vest import vest
from tests import build
from tests.conftest import LAB

pytestmark = pytest.mark.money

SCHEDULES = json.loads((LAB / "schedules.json").read_text())["schedules"]
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
    calendar = one["calendar"]
    kind = calendar["kind"]
    return vesting(
        upfront=Fraction(int(one["upfront"]["num"]), int(one["upfront"]["den"])),
        calendar=kind,
        length=calendar[{"calendar-months": "months", "fixed-days": "days", "seconds": "seconds"}[kind]],
        tranches=len(one["tranches"]) - 1 if one["form"] == "tranches" else 1,
        binding="tranches" if one["form"] == "tranches" else "line",
        start=datetime.fromtimestamp(one["start_unix"], UTC),
    )


def ours() -> list[dict[str, Any]]:
    """The schedules in the shapes that incidents can state: tranches, and lines per second without a cliff."""
    return [s for s in SCHEDULES if s["form"] == "tranches" or (s["granularity_s"] == 1 and s["cliff_s"] is None)]


def test_every_schedule_of_the_contract_to_the_base_unit() -> None:
    """`unlocked` as SablierLockup's streamedAmountOf returned it at each second asked."""
    points = 0
    for one in ours():
        terms, total = of(one), int(one["payout"])
        dates = schedule(terms)
        assert (dates[0].unix, dates[-1].unix) == (one["start_unix"], one["end_unix"]), one["id"]
        for moment, amount in one["unlocked"]:
            assert unlocked(terms, total, moment - one["start_unix"], dates) == int(amount), (one["id"], moment)
            points += 1
        if one["form"] == "tranches":
            cumulative = [unlocked(terms, total, date.step, dates) for date in dates]
            assert [(d.unix, c) for d, c in zip(dates, cumulative, strict=True)] == [(t[1], int(t[4])) for t in one["tranches"]], one["id"]
    assert len(ours()) > 50
    assert points > 500


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
        curve = [unlocked(terms, total, date.step, dates) for date in dates]
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
        assert len(dates) == months + 1
        assert unlocked(terms, total, 0, dates) == 0
        assert unlocked(terms, total, dates[1].step, dates) == total // months


def test_blocks_bind_where_the_calendar_counts_blocks() -> None:
    terms = vesting(calendar="blocks", length=1000, tranches=4, start_block=14_700_000, block_seconds=Decimal("5.2"))
    dates = schedule(terms)
    assert [d.block for d in dates] == [14_700_000, 14_700_250, 14_700_500, 14_700_750, 14_701_000]
    assert [d.unix - dates[0].unix for d in dates] == [0, 1300, 2600, 3900, 5200]
    assert [unlocked(terms, 8, d.step, dates) for d in dates] == [4, 5, 6, 7, 8]


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
    march = [date.unix - start for date in schedule(vesting(length=1, tranches=7))]
    assert march == [0, 382_628, 765_257, 1_147_885, 1_530_514, 1_913_142, 2_295_771, 2_678_400]
    assert [date.unix - start for date in schedule(vesting(length=3, tranches=2))] == [0, 46 * 86_400, 92 * 86_400]


def test_blocks_that_do_not_divide_are_cut_and_so_are_their_times() -> None:
    terms = vesting(calendar="blocks", length=10, tranches=4, start_block=100, block_seconds=Decimal("5.3"))
    dates = schedule(terms)
    assert [date.block for date in dates] == [100, 102, 105, 107, 110]
    assert [date.unix - dates[0].unix for date in dates] == [0, 10, 26, 37, 53]


def test_a_tranche_unlocks_at_its_date_and_not_a_second_before() -> None:
    for terms, at_start in ((vesting(), 3), (vesting(upfront=Fraction(0)), 0)):
        dates = schedule(terms)
        rest = 7 - at_start
        assert unlocked(terms, 7, -1, dates) == 0
        assert unlocked(terms, 7, 0, dates) == at_start
        for k, date in enumerate(dates[1:], 1):
            assert unlocked(terms, 7, date.step - 1, dates) == at_start + rest * (k - 1) // 3
            assert unlocked(terms, 7, date.step, dates) == at_start + rest * k // 3


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


TERMS = st.builds(
    vesting,
    upfront=st.fractions(0, 1, max_denominator=100),
    calendar=st.sampled_from(["calendar-months", "fixed-days", "seconds"]),
    length=st.integers(40, 5000),
    tranches=st.integers(1, 40),
    binding=st.sampled_from(["tranches", "line"]),
)


@pytest.mark.property
@given(TERMS, st.integers(0, 10**30))
def test_tranches_add_up_and_what_is_unlocked_never_shrinks(terms: Vesting, total: int) -> None:
    if terms.calendar == "calendar-months":
        terms = vesting(upfront=terms.upfront, length=terms.length % 120 + 1, tranches=terms.tranches, binding=terms.binding)
    dates = schedule(terms)
    curve = [unlocked(terms, total, date.step, dates) for date in dates]
    assert curve == sorted(curve)
    assert curve[-1] == total
    assert all(0 <= amount <= total for amount in curve)
    assert unlocked(terms, total, -1, dates) == 0
    assert unlocked(terms, total, dates[-1].step + 1, dates) == total
    assert [d.unix for d in dates] == sorted(d.unix for d in dates)


def test_a_line_starts_at_the_start_and_ends_at_the_end() -> None:
    """1,000 units, half upfront, the rest over 10 seconds: 50 a second from the first second on."""
    terms = vesting(binding="line", calendar="seconds", length=10, tranches=1)
    dates = schedule(terms)
    assert [unlocked(terms, 1_000, step, dates) for step in (-1, 0, 1, 2, 9, 10, 11)] == [0, 500, 550, 600, 950, 1_000, 1_000]


def test_tranches_unlock_at_their_dates_and_not_a_second_before() -> None:
    terms = vesting(calendar="seconds", length=10, tranches=2)
    dates = schedule(terms)
    assert [unlocked(terms, 1_000, step, dates) for step in (-1, 0, 4, 5, 9, 10)] == [0, 500, 500, 750, 750, 1_000]
