"""Who is in, who is not, and that everybody seen in the window has one answer."""

import gzip
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from perpcomp import incident, pipeline
from perpcomp.findings import InputError
from perpcomp.pipeline import Run
from perpcomp.systems.perpetual_v1 import events as v1
from tests import build
from tests.build import KEEPER, START, address, liquidated, opened, position

DAY = timedelta(days=1)


def codes(done: Run) -> dict[str, str]:
    return dict(done.liquidations.select("trader", "reason_code").iter_rows())


def rehearsal_with(changes: dict[str, str]) -> Run:
    shelf = incident.shelf()
    text = (shelf / "rehearsal.toml").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    query = incident.parse(text.encode(), "changed", shelf)
    return pipeline.compute(query, pipeline.find_input(query, None))


def test_everybody_with_an_event_in_the_window_is_paid_or_left_out_once(rehearsal: Run) -> None:
    """Read from the raw logs themselves: every trader topic of every event of the ClearingHouse in the window."""
    rules = rehearsal.incident.eligibility
    seen = set()
    with gzip.open(incident.shelf() / "rehearsal" / "logs.jsonl.gz", "rt") as logs:
        for log in map(json.loads, logs):
            if not rules.start.timestamp() <= int(log["blockTimestamp"], 16) < rules.end.timestamp():
                continue
            topic = log["topics"][0]
            place = {v1.POSITION_CHANGED.topic0: 1, v1.MARGIN_CHANGED.topic0: 1, v1.POSITION_LIQUIDATED.topic0: 1}
            place |= {v1.POSITION_ADJUSTED.topic0: 2, v1.POSITION_SETTLED.topic0: 2}
            if topic in place and log["address"] == rehearsal.incident.chain.clearing_house:
                seen.add("0x" + log["topics"][place[topic]][26:])
    paid, left = set(rehearsal.payouts["trader"]), rehearsal.left_out["trader"].to_list()
    assert paid | set(left) == seen
    assert not paid & set(left)
    assert len(left) == len(set(left)) == 8
    assert rehearsal.left_out["reason"].str.len_chars().min() > 20  # type: ignore[operator]


def test_the_reasons_of_the_rehearsal(rehearsal: Run) -> None:
    """short_bottom, link4 and vol_close_bad by name; the second life of `twice` by a row of its own."""
    left = dict(rehearsal.left_out.select("reason_code", "trader").group_by("reason_code").len().iter_rows())
    assert left == {"short-in-rebound": 1, "other-market": 1, "closed-under-water": 1, "not-liquidated": 5}
    twice = rehearsal.liquidations.filter(pl.col("reason_code") == "second-life").row(0, named=True)
    assert twice["life"] == 2
    lives = rehearsal.liquidations.filter(trader=twice["trader"])
    assert lives["eligible"].to_list() == [True, False]


def test_the_second_life_counts_where_the_query_says_so() -> None:
    done = rehearsal_with({'second_life = "exclude"': 'second_life = "include"'})
    assert done.liquidations["eligible"].sum() == 30
    assert done.payouts.height == 29, "one trader, two lives, one row"
    assert done.payouts["liquidations"].max() == 2


def test_rebound_shorts_and_other_policies_follow_the_query() -> None:
    included = rehearsal_with(
        {'rebound_shorts = "exclude"': 'rebound_shorts = "include"', 'opened_in_window = "exclude"': 'opened_in_window = "include"'}
    )
    assert included.liquidations.filter("eligible", pl.col("side") == "short").height == 1
    opened_only = rehearsal_with({'rebound_shorts = "exclude"': 'rebound_shorts = "include"'})
    assert "opened-in-window" in set(opened_only.liquidations["reason_code"])
    no_self = rehearsal_with({'self_liquidation = "include"': 'self_liquidation = "exclude"'})
    assert no_self.liquidations.filter(pl.col("reason_code") == "self-liquidation").height == 1
    crash = rehearsal_with({"crash_below = 54_500": "crash_below = 45_000"})
    out = crash.liquidations.filter(pl.col("reason_code") == "not-by-crash")
    assert out.height > 0
    assert out["spot_price"].min() >= 45_000  # type: ignore[operator]


def test_leverage_is_that_of_the_opening_trade() -> None:
    done = rehearsal_with({'surviving_life = "closed-share"': 'surviving_life = "closed-share"\nmaximum_leverage = 5'})
    high = done.liquidations.filter(pl.col("reason_code") == "leverage-too-high")
    assert high.height > 0
    assert high["leverage_at_open"].min() > 5  # type: ignore[operator]
    assert done.liquidations.filter("eligible")["leverage_at_open"].max() <= 5  # type: ignore[operator]
    low = rehearsal_with({'surviving_life = "closed-share"': 'surviving_life = "closed-share"\nminimum_leverage = 5'})
    assert low.liquidations.filter("eligible")["leverage_at_open"].min() >= 5  # type: ignore[operator]
    assert "leverage-too-low" in set(low.liquidations["reason_code"])


def test_a_leverage_that_cannot_be_known_is_not_guessed(tmp_path: Path) -> None:
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000)[1:]  # the opening is not in the input
    rows += position(2, address(2), 1, 30_000, 10_000, 42_000)
    done = build.run(tmp_path, rows, {'self_liquidation = "include"': 'self_liquidation = "include"\nmaximum_leverage = 5'})
    assert codes(done) == {address(1): "leverage-unknown", address(2): "eligible"}


def test_an_excluded_address_is_named_with_reason_and_evidence(rehearsal: Run) -> None:
    trader = rehearsal.payouts["trader"][1]
    text = f'\n[[eligibility.exclude]]\naddress = "{trader}"\nreason = "own bot"\nevidence = "post 12"\n\n[formula]'
    done = rehearsal_with({"\n[formula]": text})
    row = done.left_out.filter(trader=trader).row(0, named=True)
    assert row["reason_code"] == "excluded"
    assert row["reason"] == "excluded: own bot (evidence: post 12)"
    assert trader not in set(done.payouts["trader"])


def test_the_window_is_half_open(tmp_path: Path) -> None:
    at = {1: START - timedelta(seconds=1), 2: START, 3: START + timedelta(hours=1) - timedelta(seconds=1), 4: START + timedelta(hours=1)}
    rows = []
    for n, moment in at.items():
        rows.append(opened(n, address(n), START - DAY, Decimal(1), Decimal(50_000), Decimal(5_000)))
        rows.append(liquidated(100 + n, address(n), moment, Decimal(1), Decimal(50_000), Decimal(5_000), Decimal(45_500)))
    done = build.run(tmp_path, rows)
    assert codes(done) == {address(1): "outside-window", address(2): "eligible", address(3): "eligible", address(4): "outside-window"}
    assert done.left_out.is_empty(), "the two outside have no event inside"


def test_an_empty_window_names_the_nearest_liquidations(tmp_path: Path) -> None:
    rows = []
    for n, hours in ((1, -30), (2, -2), (3, 5), (4, 40)):
        rows.append(opened(n, address(n), START - 3 * DAY, Decimal(1), Decimal(50_000), Decimal(5_000)))
        rows.append(
            liquidated(100 + n, address(n), START + timedelta(hours=hours), Decimal(1), Decimal(50_000), Decimal(5_000), Decimal(45_500))
        )
    with pytest.raises(InputError) as error:
        build.run(tmp_path, rows)
    assert "No liquidation of BTCUSDC lies from 2021-02-20T22:45:00Z to 2021-02-20T23:45:00Z" in str(error.value)
    assert "nearest before it: 2021-02-20T20:45:00Z, block 102" in str(error.value)
    assert "nearest after it: 2021-02-21T03:45:00Z, block 103" in str(error.value)
    assert error.value.exit_code == 2


def test_a_market_that_the_query_does_not_name_is_an_error(tmp_path: Path) -> None:
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000)
    rows += [{**row, "market": "0x" + "ee" * 20} for row in position(2, address(2), 1, 30_000, 10_000, 42_000)]
    with pytest.raises(InputError, match=f"does not name the market 0x{'ee' * 20}: 1 liquidations, first in block 10002"):
        build.run(tmp_path, rows)


def test_self_liquidation_is_a_note_where_it_counts(rehearsal: Run) -> None:
    assert [p.level for p in rehearsal.problems if "their own position" in p.what] == ["note"]


def test_the_keeper_is_nobody_to_pay(rehearsal: Run) -> None:
    keepers = set(rehearsal.liquidations["liquidator"]) - set(rehearsal.liquidations["trader"])
    assert keepers
    assert not keepers & (set(rehearsal.payouts["trader"]) | set(rehearsal.left_out["trader"]))
    assert KEEPER not in keepers
