"""What a position was worth: by every moment and price of [valuation], against the recorded contract views, to the wei."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

from perpcomp import pipeline, valuation
from perpcomp.audit.verify import verify
from perpcomp.decoded import Events
from perpcomp.explain.explain import explain
from perpcomp.findings import Finding, InputError
from perpcomp.fixed import from_integer, to_integer
from perpcomp.incident import incident_file
from perpcomp.input import Input, find_input
from perpcomp.publish.summary import summary
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1.events import FUNDING_RATE_UPDATED
from perpcomp.systems.perpetual_v1.liquidations import liquidations
from perpcomp.systems.replay import VALUED
from perpcomp.tables.files import read_prices, to_csv
from perpcomp.tables.liquidations import PRICE_SERIES
from perpcomp.valuation import AT_REFERENCE, is_before_crash
from tests import build
from tests.conftest import LAB, truth
from tests.test_perpetual_v1 import LOGS, rows_of
from tests.test_replay import times
from tests.variants import NO_PRICE, computed, variant

pytestmark = pytest.mark.money

QUERY = {"february": "rehearsal", "later-contracts": str(LAB / "later-contracts.toml"), "large": str(LAB / "large.toml")}
REFERENCE = {"february": 13_500_195, "later-contracts": 16_000_026, "large": 14_001_554}
BTC = pl.col("market_name") == "BTCUSDC"


def valued(name: str, at: object, price: str, formula: str | None = None) -> Run:
    return computed(QUERY[name], f'[valuation]\nat = {at}\nprice = "{price}"\nsource = "recording"\n', NO_PRICE, formula)


def wei(value: Decimal | None) -> int | None:
    return None if value is None else to_integer(value)


def seconds(name: str, block: int) -> str:
    return datetime.fromtimestamp(times(name)[block], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_window(done: Run, name: str) -> pl.DataFrame:
    """The rows of the recording's own window, both ends inside."""
    start, end = (datetime.fromtimestamp(second, UTC) for second in truth(name)["window"])
    return done.liquidations.filter(BTC & pl.col("block_time").is_between(start, end))


# One block for all


@pytest.mark.parametrize("name", ["february", "later-contracts", "large"])
@pytest.mark.parametrize("price", ["curve", "twap"])
def test_at_the_reference_block_every_position_is_the_contracts_own_view(name: str, price: str) -> None:
    """Named by its time too, since the block itself logged nothing and the average needs a clock."""
    block = REFERENCE[name]
    assert truth(name)["reference_block"] == block
    done = valued(name, seconds(name, block), price)
    rows = {(row["transaction_hash"], row["trader"]): row for row in done.liquidations.iter_rows(named=True)}
    profit = {"curve": "spotUpl", "twap": "twapUpl"}[price]
    compared = 0
    for one in truth(name)["liquidations"]:
        view = one.get("reference")
        if not view or one["market"] != "BTCUSDC":
            continue
        row = rows[one["tx"], one["trader"]]
        same_life = one.get("label") != "twice" or row["life"] == 1
        expected = [int(view[n]) if same_life else 0 for n in ("size", "margin", "openNotional", profit)]
        found = [row[n] for n in ("size_at_reference", "margin_at_reference", "open_notional_at_reference", "unrealized_pnl_at_reference")]
        assert [wei(value) for value in found] == expected, (one.get("label"), row["trader"])
        compared += 1
    assert compared >= {"february": 31, "later-contracts": 17, "large": 63}[name]


def test_the_sums_at_the_reference_block_are_those_of_the_recording() -> None:
    rows = in_window(valued("february", REFERENCE["february"], "curve"), "february")
    sums = {
        name: sum(to_integer(v) for v in rows[name])
        for name in ("margin_at_reference", "unrealized_pnl_at_reference", "funding_at_reference")
    }
    assert sums == {
        "margin_at_reference": 46996251722642165538905,
        "unrealized_pnl_at_reference": 55600807296566642650878,
        "funding_at_reference": 1411002511869123080918,
    }
    assert rows.filter(pl.col("size_at_reference") != 0).height == 29


@pytest.mark.parametrize(("price", "total"), [(50_000, 9930862804135880558603), (56_000, 56684640891297684104603)])
def test_one_number_at_the_reference_block_is_the_mark_of_the_recording(price: int, total: int) -> None:
    tables = f'[valuation]\nat = {REFERENCE["february"]}\nprice = {price}\nsource = "recording"\n'
    rows = in_window(computed("rehearsal", tables, NO_PRICE), "february")
    assert sum(to_integer(v) for v in rows["unrealized_pnl_at_reference"]) == total
    assert set(rows["reference_price"]) == {Decimal(price)}


def test_trap_liquidated_twice_is_valued_in_the_first_life_only() -> None:
    done = valued("february", REFERENCE["february"], "curve")
    label = next(one["trader"] for one in truth("february")["liquidations"] if one["label"] == "twice")
    first, second = done.liquidations.filter(trader=label).sort("block_number").iter_rows(named=True)
    assert (first["life"], second["life"]) == (1, 2)
    assert first["margin_at_reference"] == 800
    assert [second[name] for name in (*AT_REFERENCE, "notional_at_reference", "unrealized_pnl_at_reference")] == [0] * 6
    # Joined by trader alone it would be 47,796.25.
    rows = in_window(done, "february")
    assert sum(to_integer(v) for v in rows["margin_at_reference"]) == 46996251722642165538905


def test_a_second_life_is_owed_nothing_at_the_reference_and_told_so() -> None:
    include = {'second_life = "exclude"': 'second_life = "include"', 'opened_in_window = "exclude"': 'opened_in_window = "include"'}
    tables = f'[valuation]\nat = {REFERENCE["february"]}\nprice = "curve"\nsource = "recording"\n'
    done = computed("rehearsal", tables, NO_PRICE | include | {'rebound_shorts = "exclude"': 'rebound_shorts = "include"'}, "margin-only")
    short = next(one["trader"] for one in truth("february")["liquidations"] if one["label"] == "short_bottom")
    row = done.payouts.filter(trader=short).row(0, named=True)
    assert (row["entitlement"], row["reason"]) == (0, "no-position: nothing of it was open at the moment of [valuation]")


def test_trap_funding_at_the_reference_is_not_that_of_the_liquidation() -> None:
    done = valued("february", REFERENCE["february"], "curve")
    labels = {one["label"]: one["trader"] for one in truth("february")["liquidations"]}
    expected = {"C_top": ("156.75", "184.12"), "B_relever": ("165.50", "210.20")}
    for label, (then, at_reference) in expected.items():
        row = done.liquidations.filter(trader=labels[label]).row(0, named=True)
        assert (f"{row['funding_payment']:.2f}", f"{row['funding_at_reference']:.2f}") == (then, at_reference)


def test_trap_margin_at_the_reference_is_not_that_before_the_liquidation() -> None:
    done = valued("february", REFERENCE["february"], "curve")
    labels = {one["label"]: one["trader"] for one in truth("february")["liquidations"]}
    added = done.liquidations.filter(trader=labels["added_liquidated"]).row(0, named=True)
    assert [added[n] for n in ("margin_at_reference", "margin", "margin_added", "margin_removed")] == [1_200, 1_600, 400, 0]
    reduced = done.liquidations.filter(trader=labels["L4"]).row(0, named=True)
    assert (reduced["margin_at_reference"], f"{reduced['margin']:f}"[:7]) == (2_500, "2286.37")
    assert reduced["size_reduced"] == abs(reduced["size_before_crash"]) - abs(reduced["size"]) > 0


def test_who_took_something_out_since_the_reference_is_named() -> None:
    done = valued("february", REFERENCE["february"], "curve")
    trader = next(one["trader"] for one in truth("february")["liquidations"] if one["label"] == "L4")
    said = [p for p in done.problems if "between the moment of [valuation] and the liquidation" in p.what]
    assert [p.what.split(" ")[0] for p in said] == [trader]
    assert not [p for p in computed("rehearsal").problems if "between the moment" in p.what]


# What stood before the crash, from running sums alone, against the replay


@pytest.mark.parametrize("name", ["february", "later-contracts", "large"])
def test_the_position_before_the_crash_needs_no_replay_and_equals_it(name: str, request: pytest.FixtureRequest) -> None:
    done: Run = request.getfixturevalue({"february": "rehearsal", "later-contracts": "later"}.get(name, name))
    start = done.incident.eligibility.start
    market = pipeline.replayed(done.events, done.input, done.incident, done.liquidations)
    block = market.block_at(start - timedelta(seconds=1))
    rows = done.liquidations
    then = market.at_many([(t, m, block) for t, m in rows.select("trader", "market").iter_rows()], time=start, triggers=False)
    same = (then["life"] == rows["life"]) & (then["size"] != 0)
    assert same.sum() > 0
    for ours, theirs in (("size_before_crash", "size"), ("margin_before_crash", "margin"), ("open_notional_before_crash", "open_notional")):
        assert rows.filter(same)[ours].to_list() == then.filter(same)[theirs].to_list(), ours
        assert set(rows.filter(~same)[ours]) <= {Decimal(0)}, ours


def test_what_a_trader_did_between_crash_and_liquidation_is_counted(tmp_path: Path) -> None:
    """1 long before the window; inside it 1 more, then half of it sold, then liquidated. The second trader's opening is not known."""
    start, one = build.START, Decimal(1)
    trader, other = build.address(1), build.address(2)
    rows = [
        build.opened(1, trader, start - timedelta(days=1), one, Decimal(50_000), Decimal(10_000)),
        build.event(2, trader, start, kind="increase", margin=Decimal(20_000), position_notional=Decimal(50_000),
                    exchanged_position_size=one, position_size_after=2 * one, spot_price=Decimal(50_000)),
        build.event(3, trader, start, kind="reduce", margin=Decimal(20_000), position_notional=Decimal(25_000),
                    exchanged_position_size=-one / 2, position_size_after=3 * one / 2, spot_price=Decimal(50_000)),
        build.liquidated(4, trader, start, 3 * one / 2, Decimal(75_000), Decimal(20_000), Decimal(60_000)),
        build.liquidated(5, other, start, one, Decimal(50_000), Decimal(9_000), Decimal(42_000)),
    ]  # fmt: skip
    done = build.run(tmp_path, rows)
    first, second = done.liquidations.iter_rows(named=True)
    assert [first[n] for n in ("open_notional_before_crash", "size_added", "size_reduced")] == [50_000, 1, Decimal("0.5")]
    assert first["margin_before_crash"] is None, "MarginChanged is not in the input"
    assert first["size_before_crash"] is None, "nor is PositionAdjusted"
    assert first["margin_added"] is None
    assert [second[n] for n in ("size_before_crash", "margin_before_crash", "open_notional_before_crash")] == [None] * 3


@pytest.fixture
def window_alone(tmp_path: Path) -> Path:
    """The rehearsal's logs from the window's first block on."""
    rows = [row for row in rows_of(LOGS) if int(row["blockNumber"], 16) > REFERENCE["february"]]
    (tmp_path / "logs.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return tmp_path / "logs.jsonl"


def test_a_window_of_logs_alone_pays_and_leaves_what_was_before_it_empty(window_alone: Path, rehearsal: Run) -> None:
    """[restore] needs a pool inside the window only; nothing asks what stood before."""
    done = pipeline.compute(rehearsal.incident, Input(window_alone, None))
    known = done.liquidations.filter(~pl.col("partial"), "eligible")
    assert known["margin"].to_list() == rehearsal.liquidations.filter("eligible")["margin"].to_list()
    assert known["leverage_before_crash"].null_count() == known.height == 29
    assert done.payouts["entitlement"].to_list() == rehearsal.payouts["entitlement"].to_list()
    assert known["restore_notional"].to_list() == rehearsal.liquidations.filter("eligible")["restore_notional"].to_list()


def test_a_rule_on_what_was_before_the_window_pays_nobody_by_a_window_of_logs(window_alone: Path) -> None:
    changed = variant("rehearsal", changes={"surviving_life =": "liquidation_price_below = 50_000\nsurviving_life ="})
    done = pipeline.compute(changed, Input(window_alone, None))
    inside = done.liquidations.filter(market_name="BTCUSDC", reason_code="liquidation-price-unknown")
    assert inside.height >= 29
    assert not done.liquidations["eligible"].any()
    assert any("The logs begin inside the window" in p.what for p in done.problems)


def test_a_position_opened_inside_the_window_was_nothing_before_it(rehearsal: Run) -> None:
    opened = rehearsal.liquidations.filter(pl.col("opened_at") >= rehearsal.incident.eligibility.start)
    assert opened.height > 0
    for name in ("size_before_crash", "margin_before_crash", "open_notional_before_crash", "margin_added", "size_added"):
        assert set(opened[name]) == {Decimal(0)}, name


# Each at its own liquidation


def test_at_the_liquidation_the_prices_are_those_that_its_block_found() -> None:
    """Alone in its block, what closing was worth one block earlier is what the liquidation realized, by the contract's own view."""
    done = valued("february", '"liquidation"', "curve")
    rows = {row["transaction_hash"]: row for row in done.liquidations.iter_rows(named=True)}
    compared = 0
    for one in truth("february")["liquidations"]:
        row, view = rows[one["tx"]], one["block_before"]
        if one["market"] == "BTCUSDC" and not one["other_liquidations_in_block"]:
            assert wei(row["unrealized_pnl_at_reference"]) == int(view["spotUpl"]), one["label"]
            assert row["reference_price"] is None
            compared += 1
        assert row["margin_at_reference"] == row["margin"]
        assert row["funding_at_reference"] == row["funding_payment"]
    assert compared > 20


@pytest.mark.parametrize("name", ["february", "later-contracts"])
def test_the_mark_is_the_spot_price_and_the_index_the_feeds(name: str) -> None:
    mark, index = (valued(name, '"liquidation"', price) for price in ("mark", "index"))
    spot = {one["tx"]: int(one["block_before"]["spotPrice"]) for one in truth(name)["liquidations"]}
    feed = [(f["block"], f["amm"], int(f["underlyingPrice"])) for f in truth(name)["funding"]]
    for row in mark.liquidations.iter_rows(named=True):
        assert wei(row["reference_price"]) == spot[row["transaction_hash"]]
    for row in index.liquidations.iter_rows(named=True):
        known = [price for block, amm, price in feed if amm == row["market"] and block < row["block_number"]]
        assert wei(row["reference_price"]) == (known[-1] if known else None)
        if known:
            exact = int(Fraction(abs(row["size"])) * known[-1])
            assert wei(row["notional_at_reference"]) == exact


def test_a_market_without_an_index_is_named_and_nothing_is_guessed(tmp_path: Path) -> None:
    logs = [row for row in rows_of(LAB / "later-contracts" / "logs.jsonl.gz") if row["topics"][0] != FUNDING_RATE_UPDATED.topic0]
    (tmp_path / "logs.jsonl").write_text("\n".join(json.dumps(row) for row in logs))
    tables = '[valuation]\nprice = "index"\nsource = "recording"\n'
    changed = variant(QUERY["later-contracts"], tables, NO_PRICE)
    done = pipeline.compute(changed, Input(tmp_path / "logs.jsonl", None), "margin-upl-funding")
    assert done.liquidations["reference_price"].null_count() == done.liquidations.height
    assert done.payouts["entitlement"].to_list() == [0] * done.payouts.height
    assert set(done.payouts["reason"]) == {"unknown: the rule reads what the logs do not hold; see findings.csv"}
    said = [p for p in done.problems if "[valuation] price = index" in p.what]
    assert [(p.level, p.what.split(" of ")[0]) for p in said] == [("warning", "17 liquidations")]
    assert any(p.level == "error" and p.code == "unpaid-liquidation" and " of 6 traders, because " in p.what for p in done.problems)


def test_the_default_is_the_event_alone(rehearsal: Run) -> None:
    rows = rehearsal.liquidations
    assert rehearsal.incident.valuation.by_event_alone
    assert not incident_file.load(QUERY["large"]).replays
    for name, (own, _) in AT_REFERENCE.items():
        assert rows[name].to_list() == rows[own].to_list()
    written_out = computed("rehearsal", '[valuation]\nat = "liquidation"\nprice = "reference"\nsource = "recording"\n')
    assert written_out.liquidations.equals(rows)


# A series of prices


def series(folder: Path, rows: list[tuple[str, datetime, int]]) -> None:
    frame = pl.DataFrame(
        {"market_name": [r[0] for r in rows], "time": [r[1] for r in rows], "price": [Decimal(r[2]) for r in rows]},
        schema=PRICE_SERIES.schema,
    )
    (folder / "prices.csv").write_bytes(to_csv(frame, PRICE_SERIES))


def by_series(folder: Path, rows: list[dict[str, Any]], at: str = '"liquidation"') -> Run:
    changes = {"reference_price = 50_000\n": "", "[formula]": f'[valuation]\nat = {at}\nprice = "prices.csv"\nsource = "test"\n\n[formula]'}
    made = build.made_up(folder, changes)
    (folder / "events.csv").write_bytes(build.to_csv(build.table(rows), build.EVENTS))
    return pipeline.compute(made, find_input(made, folder / "events.csv"))


def test_each_liquidation_has_the_price_that_held_when_it_happened(tmp_path: Path) -> None:
    start = build.START
    series(
        tmp_path,
        [("BTCUSDC", start, 50_000), ("BTCUSDC", start + timedelta(seconds=90), 40_000), ("BTCUSDC", start + timedelta(hours=1), 45_000)],
    )
    rows = [
        build.liquidated(
            n, build.address(n), start + timedelta(seconds=60 * n), Decimal(1), Decimal(52_000), Decimal(9_000), Decimal(45_000)
        )
        for n in (1, 2)
    ]
    done = by_series(tmp_path, rows)
    assert done.liquidations["reference_price"].to_list() == [50_000, 40_000]
    assert done.liquidations["unrealized_pnl_at_reference"].to_list() == [-2_000, -12_000]


def test_a_price_holds_from_its_own_second_on_also_the_first_and_the_last(tmp_path: Path) -> None:
    """Rows in any order of the file; each liquidation but one at the very second of a row, and the last row's price holds there alone."""
    start, far = build.START, build.START + timedelta(seconds=180)
    prices = [(far, 30_000), (start, 50_000), (start + timedelta(seconds=60), 40_000)]
    series(tmp_path, [("ETHUSDC", start - timedelta(days=1), 2_000), *(("BTCUSDC", time, price) for time, price in prices)])
    rows = [
        build.liquidated(
            n, build.address(n), start + timedelta(seconds=second), Decimal(1), Decimal(52_000), Decimal(9_000), Decimal(45_000)
        )
        for n, second in enumerate((0, 59, 60, 180), 1)
    ]
    assert by_series(tmp_path, rows).liquidations["reference_price"].to_list() == [50_000, 50_000, 40_000, 30_000]


def test_a_liquidation_as_the_window_ends_needs_no_price_and_one_as_it_begins_does(tmp_path: Path) -> None:
    """Nobody pays the one, so a series need not reach it; the other is refused."""
    start, end = build.START, build.START + timedelta(hours=1)

    def of(*moments: datetime) -> list[dict[str, Any]]:
        return [
            build.liquidated(n, build.address(n), moment, Decimal(1), Decimal(52_000), Decimal(9_000), Decimal(45_000))
            for n, moment in enumerate(moments, 1)
        ]

    series(tmp_path, [("BTCUSDC", start + timedelta(seconds=1), 50_000), ("BTCUSDC", end - timedelta(seconds=1), 40_000)])
    assert by_series(tmp_path, of(start + timedelta(seconds=1), end)).liquidations["reference_price"].to_list() == [50_000, None]
    with pytest.raises(InputError, match="has no price of BTCUSDC for 2021-02-20T22:45:00Z"):
        by_series(tmp_path, of(start, start + timedelta(seconds=1)))


@pytest.mark.parametrize(("first", "last"), [(60, 3_600), (-60, 30)])
def test_a_series_with_a_gap_is_refused_by_name(tmp_path: Path, first: int, last: int) -> None:
    start = build.START
    series(tmp_path, [("BTCUSDC", start + timedelta(seconds=second), 50_000) for second in (first, last)])
    rows = [
        build.liquidated(1, build.address(1), start + timedelta(seconds=45), Decimal(1), Decimal(52_000), Decimal(9_000), Decimal(45_000))
    ]
    reach = " to ".join((start + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ") for second in (first, last))
    said = f"prices.csv: The file has no price of BTCUSDC for 2021-02-20T22:45:45Z. Its prices reach from {reach}."
    with pytest.raises(InputError, match=re.escape(said)):
        by_series(tmp_path, rows)


def test_a_series_without_the_market_is_refused(tmp_path: Path) -> None:
    series(tmp_path, [("ETHUSDC", build.START, 2_000)])
    rows = [build.liquidated(1, build.address(1), build.START, Decimal(1), Decimal(52_000), Decimal(9_000), Decimal(45_000))]
    with pytest.raises(InputError, match="holds no price of that market"):
        by_series(tmp_path, rows)


def test_a_run_by_a_series_is_published_with_it_and_verified(tmp_path: Path) -> None:
    import perpcomp

    series(tmp_path, [("BTCUSDC", build.START - timedelta(days=60), 50_000), ("BTCUSDC", build.START + timedelta(days=1), 56_000)])
    text = (incident_file.shelf() / "rehearsal.toml").read_text().replace("reference_price = 50_000\n", "")
    text = text.replace("[sources]\n", '[valuation]\nprice = "prices.csv"\nsource = "recording"\n\n[sources]\n', 1)
    (tmp_path / "mine.toml").write_text(text)
    done = perpcomp.compute(str(tmp_path / "mine.toml"), incident_file.shelf() / "rehearsal" / "logs.jsonl.gz")
    perpcomp.publish_run(done, tmp_path / "out")
    assert verify(tmp_path / "out").same
    prices = tmp_path / "out" / "inputs" / "prices.csv"
    prices.write_text(prices.read_text().replace("50000", "50001"))
    assert [d.where for d in verify(tmp_path / "out").differences] == ["inputs/prices.csv"]


# Moments that cannot be


def test_a_moment_after_a_liquidation_is_refused() -> None:
    with pytest.raises(InputError, match=r"\[valuation\] at: The moment is block 13500300, but a position was liquidated in block \d+, tx"):
        valued("february", 13_500_300, "curve")


def test_a_moment_in_the_block_of_the_first_liquidation_is_refused(rehearsal: Run) -> None:
    rules, market = rehearsal.incident.eligibility, rehearsal.incident.affected[0].amm
    inside = rehearsal.liquidations.filter(pl.col("block_time").is_between(rules.start, rules.end, closed="left"), market=market)
    first = inside["block_number"].to_list()[0]
    with pytest.raises(InputError, match=rf"at: The moment is block {first}, but a position was liquidated in block {first}, tx"):
        valued("february", first, "mark")


def test_what_happens_at_the_moment_of_valuation_is_before_the_crash_and_as_the_window_begins_is_in_it(tmp_path: Path) -> None:
    made, second = build.made_up(tmp_path), timedelta(seconds=1)
    rows = pl.DataFrame({"block_number": [4, 5, 6], "block_time": [build.START - second, build.START, build.START + second]})
    for at, before in ((None, [True, False, False]), (5, [True, True, False]), (build.START, [True, True, False])):
        asked = replace(made, valuation=replace(made.valuation, at=at))
        assert rows.select(is_before_crash(asked)).to_series().to_list() == before


def test_at_a_time_of_a_series_all_have_the_price_that_held_then(tmp_path: Path) -> None:
    start = build.START
    series(
        tmp_path,
        [
            ("BTCUSDC", start - timedelta(days=90), 50_000),
            ("BTCUSDC", start, 51_000),
            ("BTCUSDC", start + timedelta(seconds=1), 40_000),
            ("BTCUSDC", start + timedelta(days=1), 40_000),
        ],
    )
    text = '[valuation]\nat = 2021-02-20T22:45:00Z\nprice = "prices.csv"\nsource = "recording"\n'
    changed = variant("rehearsal", text, NO_PRICE, tmp_path)
    done = pipeline.compute(changed, find_input(changed, incident_file.shelf() / "rehearsal" / "logs.jsonl.gz"))
    assert set(done.liquidations.filter("eligible")["reference_price"]) == {Decimal(51_000)}


def test_a_block_outside_the_logs_is_refused() -> None:
    with pytest.raises(InputError, match="block 99: The block is outside the logs"):
        valued("february", 99, "curve")


def test_the_average_at_a_block_that_logged_nothing_needs_its_time() -> None:
    done = valued("february", REFERENCE["february"], "twap")
    assert done.liquidations.filter(pl.col("size_at_reference") != 0)["notional_at_reference"].null_count() > 0
    assert any("have no value by [valuation] price = twap" in p.what for p in done.problems)


def test_at_a_block_of_a_series_the_block_must_have_a_time(tmp_path: Path) -> None:
    series(tmp_path, [("BTCUSDC", build.START - timedelta(days=90), 50_000), ("BTCUSDC", build.START + timedelta(days=1), 50_000)])
    text = f'[valuation]\nat = {REFERENCE["february"]}\nprice = "prices.csv"\nsource = "recording"\n'
    changed = variant("rehearsal", text, NO_PRICE, tmp_path)
    source = find_input(changed, incident_file.shelf() / "rehearsal" / "logs.jsonl.gz")
    with pytest.raises(InputError, match="block 13500195: The block logged nothing, so its time is not known"):
        pipeline.compute(changed, source)


def test_a_replay_gives_the_pool_of_the_views(rehearsal: Run) -> None:
    market = pipeline.replayed(rehearsal.events, rehearsal.input, rehearsal.incident, rehearsal.liquidations)
    pool = market.pool(rehearsal.incident.affected[0].amm, REFERENCE["february"])
    views = truth("february")["reference_positions"]["BTCUSDC"].values()
    assert pool is not None
    assert {from_integer(pool.spot)} == {from_integer(int(view["spotPrice"])) for view in views}


@pytest.mark.parametrize(
    ("interval", "level", "code"),
    [("", "warning", "price-interval-unknown"), ("interval = 90\n", "note", "price-age"), ("interval = 89\n", "error", "price-too-old")],
)
def test_the_age_of_the_oldest_price_is_said_and_beyond_the_interval_an_error(tmp_path: Path, interval: str, level: str, code: str) -> None:
    start = build.START
    series(tmp_path, [("BTCUSDC", start, 50_000), ("BTCUSDC", start + timedelta(hours=1), 45_000)])
    rows = [
        build.liquidated(1, build.address(1), start + timedelta(seconds=90), Decimal(1), Decimal(52_000), Decimal(9_000), Decimal(45_000))
    ]
    done = by_series(tmp_path, rows, f'"liquidation"\n{interval}')
    (finding,) = [p for p in done.problems if p.where == "prices.csv"]
    assert (finding.level, finding.code) == (level, code)
    assert "90 s old: BTCUSDC at 2021-02-20T22:46:30Z by the row of 2021-02-20T22:45:00Z" in finding.what
    assert ("The interval is 89 s" in finding.what) == (level == "error")
    assert any("row of 2021-02-20T22:45:00Z, 90 s old at 2021-02-20T22:46:30Z" in line for line in explain(done, build.address(1)))
    assert [line.value for line in summary(done) if line.label == "Age of prices"] == [finding.what]


def test_the_oldest_of_several_prices_is_named_and_only_those_beyond_the_interval_are_late(tmp_path: Path) -> None:
    start = build.START
    series(
        tmp_path,
        [("BTCUSDC", start, 50_000), ("BTCUSDC", start + timedelta(minutes=5), 45_000), ("BTCUSDC", start + timedelta(hours=1), 1)],
    )

    def said(interval: str, *seconds: int) -> tuple[str, str]:
        rows = [
            build.liquidated(
                n, build.address(n), start + timedelta(seconds=at), Decimal(1), Decimal(52_000), Decimal(9_000), Decimal(45_000)
            )
            for n, at in enumerate(seconds, 1)
        ]
        (finding,) = [p for p in by_series(tmp_path, rows, f'"liquidation"\n{interval}').problems if p.where == "prices.csv"]
        return finding.code, finding.what

    code, what = said("interval = 90", 89, 90, 91, 92, 300)
    assert code == "price-too-old"
    assert what.startswith("The oldest price used is 92 s old: ")
    assert what.endswith("; 2 liquidations are valued by an older price.")
    assert said("interval = 92", 89, 90, 91, 92, 300)[0] == "price-age"
    assert said("", 0, 300) == (
        "price-age",
        "The oldest price used is 0 s old: BTCUSDC at 2021-02-20T22:50:00Z by the row of 2021-02-20T22:50:00Z.",
    )


def test_an_interval_without_a_file_of_prices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="interval is given, but price names no file"):
        build.made_up(
            tmp_path, {"[formula]": '[valuation]\nat = "liquidation"\nprice = "mark"\ninterval = 60\nsource = "test"\n\n[formula]'}
        )


@pytest.mark.parametrize(
    "time",
    ["2021-02-20 22:45:00 UTC", "2021-02-20 22:45:00", "2021-02-20T22:45:00.000Z", "2021-02-20 22:45:00+00:00", "1613861100"],
)
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_times_of_a_price_file_are_read_as_those_of_exports(tmp_path: Path, time: str, start: str) -> None:
    (tmp_path / "prices.csv").write_text(f"{start}market_name,time,price\nBTCUSDC,{time},50000\n")
    assert read_prices(tmp_path / "prices.csv")["time"].to_list() == [build.START]


@pytest.mark.parametrize("time", ["1613861100500", "2021-02-30 22:45:00 UTC", "2021-02-20 22:45:00 CET", "2021-02-20"])
def test_other_times_of_a_price_file_are_refused(tmp_path: Path, time: str) -> None:
    (tmp_path / "prices.csv").write_text(f"market_name,time,price\nBTCUSDC,{time},50000\n")
    with pytest.raises(InputError, match=f'row 2: time is "{time}"'):
        read_prices(tmp_path / "prices.csv")


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        (
            "snapped_at,price,market_cap,total_volume",
            "2021-02-20 22:45:00 UTC,50000,1.0,2.0",
            "but a file of prices has market_name, time, price. Rename snapped_at to time; add market_name to every row, as the incident file names the market; remove market_cap; remove total_volume.",
        ),
        (
            "Symbol,Date,Close",
            "BTCUSDC,2021-02-20 22:45:00,50000",
            "Rename Symbol to market_name; rename Date to time; rename Close to price.",
        ),
        ("market_name,time,date,price", "BTCUSDC,1613861100,1613861100,50000", "market_name, time, price. Remove date."),
        ("market_name,time,price", "BTCUSDC,1613861100,5.592352e4", 'row 2: price is "5.592352e4". An exponent may hide lost digits.'),
        ("market_name,time,price", "BTCUSDC,1613861100,-5", "The price of BTCUSDC at 2021-02-20T22:45:00Z is -5"),
        ("market_name,time,price", "BTCUSDC,1613861100,1E-7", "write all digits: 0.0000001 if these are all."),
    ],
)
def test_what_price_sites_export_is_refused_with_what_to_write(tmp_path: Path, header: str, row: str, said: str) -> None:
    (tmp_path / "prices.csv").write_text(f"{header}\n{row}\n")
    with pytest.raises(InputError) as refused:
        read_prices(tmp_path / "prices.csv")
    assert said in str(refused.value)
    assert len(refused.value.problems) == 1


def test_prices_of_a_market_that_the_incident_does_not_name_are_a_warning(tmp_path: Path) -> None:
    start = build.START
    series(tmp_path, [("BTCUSDC", start, 50_000), ("BTCUSD", start, 60_000)])
    rows = [build.liquidated(1, build.address(1), start, Decimal(1), Decimal(52_000), Decimal(9_000), Decimal(45_000))]
    (finding,) = [p for p in by_series(tmp_path, rows).problems if p.code == "price-of-no-market"]
    assert finding.level == "warning"
    assert finding.what == "The incident has no market BTCUSD, and the file has 1 price of it, which no liquidation uses."
    assert "Did you mean 'BTCUSDC'?" in finding.what_to_do


# What a replay says, made up


class States:
    """A replay that gives every point the same state: what a test names, and null for the rest."""

    findings, assumed, other = (), None, None

    def __init__(self, times: dict[int, datetime], **state: Any) -> None:
        self.times, self.state, self.asked = times, state, list[tuple[Any, ...]]()
        self.blocks = sorted(times)

    def block_at(self, time: datetime) -> int:
        return max(block for block, at in self.times.items() if at <= time)

    def time_of(self, block: int) -> datetime:
        return self.times[block]

    def assumed_at(self, block: int) -> Finding | None:
        return self.assumed

    def otherwise(self) -> "States":
        assert self.other is not None
        return self.other

    def valued(self, points: pl.DataFrame) -> pl.DataFrame:
        self.asked += points.select("block_number", "time").rows()
        amounts = {name: Decimal(value) if isinstance(value, str) else value for name, value in self.state.items()}
        given = [{name: amounts.get(name) for name in VALUED.schema}] * points.height
        return pl.DataFrame(given, schema=VALUED.schema)


def one_long(folder: Path, replayed: Any, changes: dict[str, str]) -> tuple[dict[str, Any], list[str | None]]:
    """A long of 1, bought for 50,000 and liquidated five minutes after the window began, as it is valued; and the codes of what is found."""
    rows = build.position(9, build.address(1), 1, 50_000, 5_000, 45_500)
    events = build.table(rows).lazy()
    found, _ = liquidations(events, {}, build.made_up(folder).chain, pl.lit(False), Events(events, {}).each)
    table, findings = valuation.at_reference(found, build.made_up(folder, changes), replayed, None)
    return table.row(0, named=True), [one.code for one in findings]


BY_LEVERAGE = {'second_life = "exclude"': 'second_life = "exclude"\nminimum_leverage_before_crash = 2'}
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("margin", "leverage"),
    [("150", Decimal(10)), ("100.000000000000000001", None), ("100", None), ("99", None), ("100.000000000000001", Decimal(5) * 10**17)],
)
def test_a_position_without_equity_before_the_crash_has_no_leverage(margin: str, leverage: Decimal | None, tmp_path: Path) -> None:
    """500 over what a margin holds above a loss of 95 and a funding of 5; one of 1e20 or more has no column."""
    state = {"life": 1, "margin": margin, "unrealized_pnl_curve": "-95", "funding_owed": "5", "notional_curve": "500"}
    row, _ = one_long(tmp_path, States({4: build.START - SECOND}, **state), BY_LEVERAGE)
    assert row["leverage_before_crash"] == leverage
    other, _ = one_long(tmp_path, States({4: build.START - SECOND}, **{**state, "life": 2}), BY_LEVERAGE)
    assert other["leverage_before_crash"] is None


def test_before_the_crash_is_the_last_block_before_the_windows_first_second(tmp_path: Path) -> None:
    replayed = States({3: build.START - 2 * SECOND, 4: build.START - SECOND, 5: build.START})
    one_long(tmp_path, replayed, BY_LEVERAGE)
    assert replayed.asked == [(4, build.START)]


def test_logs_that_begin_as_the_window_does_show_nothing_before_the_crash(tmp_path: Path) -> None:
    late = States({5: build.START})
    row, codes = one_long(tmp_path, late, BY_LEVERAGE)
    assert (row["leverage_before_crash"], codes, late.asked) == (None, ["before-crash-unknown"], [])


@pytest.mark.parametrize(
    ("one", "other", "decided"),
    [("40000", "39999.999999999999999999", False), ("40000", "40001", True), ("39999", "39998", True), ("39999", None, False)],
)
def test_a_liquidation_price_that_another_code_puts_on_the_other_side_decides_nothing(
    one: str, other: str | None, decided: bool, tmp_path: Path
) -> None:
    """At the limit itself nobody is compensated, so a price there and one below it decide differently."""
    replayed = States({4: build.START - SECOND}, life=1, liquidation_price=one)
    replayed.assumed = Finding("warning", "here", "The code is only assumed.", "State it.", code="assumed")
    replayed.other = States({4: build.START - SECOND}, life=1, liquidation_price=other)
    row, codes = one_long(tmp_path, replayed, {'second_life = "exclude"': 'second_life = "exclude"\nliquidation_price_below = 40_000'})
    expected = (Decimal(one), ["assumed"]) if decided else (None, ["assumed", "code-decides"])
    assert (row["liquidation_price_before_crash"], codes) == expected


def test_nothing_is_worth_0_only_at_a_known_price(tmp_path: Path) -> None:
    closed = {"[formula]": '[valuation]\nat = 4\nprice = "curve"\nsource = "test"\n\n[formula]', "reference_price = 50_000\n": ""}
    for price, worth in (("5", 0), (None, None)):
        row, _ = one_long(tmp_path, States({4: build.START - SECOND}, life=1, size="0", spot_price=price, notional_curve="3"), closed)
        assert row["notional_at_reference"] == worth


def test_a_liquidation_in_the_first_block_of_the_logs_has_no_price_of_the_block_before(tmp_path: Path) -> None:
    """It is liquidated in block 10,009. The price that the replay gives its trader's position there is behind the liquidation."""
    by_mark = {"[formula]": '[valuation]\nprice = "mark"\nsource = "test"\n\n[formula]', "reference_price = 50_000\n": ""}
    for first, price, codes in ((10_009, None, ["no-value"]), (10_008, 5, [])):
        replayed = States({first: build.START - SECOND}, life=1, spot_price="5")
        row, found = one_long(tmp_path, replayed, by_mark)
        assert (row["reference_price"], found) == (price, codes)
        assert [block for block, _ in replayed.asked] == [first] + [10_008] * (price is not None)


@pytest.mark.parametrize(("life", "size", "margin"), [(1, "2", 7), (1, "0", 0), (2, "2", 0)])
def test_margin_without_a_position_of_the_same_life_is_nothing_at_the_reference(life: int, size: str, margin: int, tmp_path: Path) -> None:
    """Margin may be put in before a position is opened: it is no position."""
    state = States({4: build.START - SECOND}, life=life, size=size, margin="7", open_notional="9", funding_owed="1")
    row, _ = one_long(tmp_path, state, {"[formula]": '[valuation]\nat = 4\nsource = "test"\n\n[formula]'})
    assert (row["margin_at_reference"], row["size_at_reference"]) == (margin, Decimal(2) if margin else 0)
