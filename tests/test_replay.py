"""The replay against every contract view that was recorded, to the wei; each trap by name; and what must stay unknown."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perpcomp
from perpcomp import curve
from perpcomp.curve import Average, Reserves
from perpcomp.decoded import Events
from perpcomp.findings import InputError
from perpcomp.fixed import ONE, from_integer, to_integer
from perpcomp.incident import incident_file
from perpcomp.input import Input, find_input, read_events
from perpcomp.systems.perpetual_v1.code import BY_OPEN_NOTIONAL, Denominators
from perpcomp.systems.perpetual_v1.replay import contract
from perpcomp.systems.perpetual_v1.replay.liquidation_price import ABOVE, ALWAYS, BELOW, NEVER, liquidation_price
from perpcomp.systems.perpetual_v1.replay.replay import Replay, replay
from perpcomp.systems.replay import unknown_values
from perpcomp.tables.liquidations import POSITIONS
from perpcomp.tables.schema import check
from tests.conftest import LAB, truth
from tests.test_perpetual_v1 import LOGS, both_eras, rows_of

# Our columns and the recording's views.
VIEWS = {
    "size": "size",
    "margin": "margin",
    "open_notional": "openNotional",
    "latest_premium_fraction": "latestCPF",
    "last_premium_fraction": "lastCPF",
    "notional_curve": "spotNotional",
    "unrealized_pnl_curve": "spotUpl",
    "notional_twap": "twapNotional",
    "unrealized_pnl_twap": "twapUpl",
    "margin_ratio": "marginRatio",
    "margin_with_funding": "viewerMarginWithFunding",
    "spot_price": "spotPrice",
    "quote_reserve": "quoteReserve",
    "base_reserve": "baseReserve",
}


def _pairs(text: str) -> dict[int, int]:
    return {int(block): int(time) for block, time in (pair.split() for pair in text.split(", "))}


# Blocks that logged nothing, at which views were recorded; unix seconds, from the recordings' block lists.
EMPTY = {
    "february": _pairs(
        "13500043 1610357400, 13500056 1611133200, 13500149 1613841900, 13500195 1613861095, 13500214 1613861855, "
        "13500216 1613861925, 13500218 1613861995, 13500220 1613862065, 13500223 1613862155, 13500225 1613862225, "
        "13500229 1613862415, 13500258 1613863455, 13500260 1613863525, 13500265 1613863775, 13500268 1613863905, "
        "13500278 1613864285, 13500285 1613864655, 13500310 1613865169, 13500316 1613865479, 13500324 1613865909, "
        "13500375 1613873100"
    ),
    "later-contracts": _pairs(
        "16000065 1621398735, 16000097 1621399845, 16000099 1621399905, 16000101 1621399965, 16000103 1621400025, "
        "16000105 1621400085, 16000107 1621400145, 16000109 1621400205, 16000204 1621402950, 16000208 1621403070"
    ),
    "large": _pairs(
        "14001554 1613859460, 14001672 1613861650, 14001684 1613861710, 14001805 1613863205, 14001811 1613863375, "
        "14001817 1613863545, 14001828 1613863950"
    ),
}
QUERY = {"february": "rehearsal", "later-contracts": str(LAB / "later-contracts.toml"), "large": str(LAB / "large.toml")}
FILE = {"february": LOGS, **{name: LAB / name / "logs.jsonl.gz" for name in ("later-contracts", "large")}}
LATER: Denominators = ((0, False), (16_000_000, True))  # the later code from this block on
DENOMINATORS = {"february": BY_OPEN_NOTIONAL, "later-contracts": LATER, "large": BY_OPEN_NOTIONAL}
BTC = "0x75c35c980c0d37ef46df04d31a140b65503c0eed"
View = dict[str, Any]


def times(name: str) -> dict[int, int]:
    """Of every block that logged anything at all, and of the empty ones that are asked for."""
    return {int(row["blockNumber"], 16): int(row["blockTimestamp"], 16) for row in rows_of(FILE[name])} | EMPTY[name]


def amms(name: str) -> dict[str, str]:
    return {market.name: market.amm for market in incident_file.load(QUERY[name]).markets}


@dataclass(frozen=True)
class Recording:
    """A recorded chain: what was read of it, its replay and its views as (what, trader, market, view)."""

    name: str
    events: Events
    done: Replay

    @property
    def truth(self) -> dict[str, Any]:
        return truth(self.name)

    def views(self) -> Iterator[tuple[str, str, str, View]]:
        names = amms(self.name)
        for what in ("reference_positions", "recovery_positions"):
            for market, traders in self.truth[what].items():
                for trader, view in traders.items():
                    yield what, trader, names[market], view
        for one in self.truth["liquidations"]:
            for what in ("block_before", "after", "reference"):
                if one.get(what):
                    yield what, one["trader"], one["amm"], {"label": one["label"], **one[what]}

    def labelled(self, label: str) -> list[tuple[str, str, str, View]]:
        found = [view for view in self.views() if view[3].get("label") == label]
        assert found, label
        return found

    def trader(self, label: str) -> str:
        return self.labelled(label)[0][1]

    def row(self, label: str, block: int, market: str = BTC) -> dict[str, Any]:
        return self.done.at_many([(self.trader(label), market, block)]).row(0, named=True)


@cache
def recording(name: str) -> Recording:
    query = incident_file.load(QUERY[name])
    events = read_events(find_input(query, None), query)
    done = replay(events.others, events.table, block_times=times(name), denominators=DENOMINATORS[name])
    return Recording(name, events, done)


@pytest.fixture(scope="module")
def february() -> Recording:
    return recording("february")


@pytest.fixture(scope="module")
def later_contracts() -> Recording:
    return recording("later-contracts")


def differences(done: Replay, views: list[tuple[str, str, str, View]]) -> tuple[int, list[tuple[Any, ...]]]:
    """How many figures were compared, and those that are not the contract's."""
    frame = done.at_many((trader, market, view["block"]) for _, trader, market, view in views)
    compared, wrong = 0, []
    for row, (what, trader, _, view) in zip(frame.iter_rows(named=True), views, strict=True):
        for ours, theirs in VIEWS.items():
            compared += 1
            expected = None if view[theirs] is None else int(view[theirs])
            if wei(row[ours]) != expected:
                wrong.append((what, view.get("label", trader), view["block"], ours, row[ours], expected, row["unknown"]))
    return compared, wrong


def wei(amount: Decimal | None) -> int | None:
    return None if amount is None else to_integer(amount)


def frames_of(tmp_path: Path, rows: list[dict[str, Any]], query: str = "rehearsal") -> Events:
    file = tmp_path / "logs.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return read_events(Input(file, None), incident_file.load(query))


# Every view


@pytest.mark.parametrize(("name", "figures"), [("february", 2702), ("later-contracts", 826), ("large", 6300)])
def test_every_recorded_view_is_equal_to_the_wei(name: str, figures: int) -> None:
    chain = recording(name)
    assert chain.done.findings == ()
    assert differences(chain.done, list(chain.views())) == (figures, [])


@pytest.mark.parametrize(("name", "fundings"), [("february", 16), ("later-contracts", 1), ("large", 30)])
def test_every_funding_payment_leaves_the_contracts_premium_fraction(name: str, fundings: int) -> None:
    chain = recording(name)
    assert len(chain.truth["funding"]) == fundings
    for one in chain.truth["funding"]:
        lines = chain.done.markets[one["amm"]]
        before, after = lines.at(one["block"] - 1), lines.at(one["block"])
        assert before is not None
        assert after is not None
        assert (before.premium.value, after.premium.value) == (int(one["cpf_before"]), int(one["cpf"]))
        assert (after.premium.segment, after.index_price) == (0, int(one["underlyingPrice"]))


@pytest.mark.parametrize("name", ["february", "later-contracts", "large"])
def test_every_funding_payment_of_an_event_is_the_one_owed_just_before(name: str) -> None:
    """Where the trader's event is the first of its block in the market: then the end of the block before is just before it."""
    chain = recording(name)
    table = chain.events.table
    alone = table.filter(pl.struct("block_number", "market").is_first_distinct(), pl.col("kind") != "open")
    funded = chain.events.others["FundingRateUpdated"].select("block_number", "market")
    alone = alone.join(funded, on=["block_number", "market"], how="anti")
    points = [(t, m, b - 1) for t, m, b in alone.select("trader", "market", "block_number").iter_rows()]
    rows = chain.done.at_many(points, triggers=False)
    migrated = rows["size"] != (alone["position_size_after"] - alone["exchanged_position_size"])
    assert migrated.sum() <= 2  # an adjustment is at the reserves of its own moment
    assert rows.filter(~migrated)["funding_owed"].to_list() == alone.filter(~migrated)["funding_payment"].to_list()


@pytest.mark.parametrize("name", ["february", "later-contracts", "large"])
def test_the_open_positions_of_a_block_are_those_of_the_views_and_no_others(name: str) -> None:
    chain = recording(name)
    block, names = chain.truth["reference_block"], amms(name)
    frame = check(chain.done.positions(block), POSITIONS)
    ours = set(frame.select("trader", "market").iter_rows())
    recorded = {(t, names[m]): v for m, traders in chain.truth["reference_positions"].items() for t, v in traders.items()}
    with_size = {key for key, view in recorded.items() if int(view["size"])}
    assert with_size == ours if name != "large" else with_size < ours  # of large, a sample was recorded
    assert frame["unknown"].null_count() == frame.height
    assert not frame["size"].eq(0).any()


# The traps


def test_trap_both_eras_in_one_chain_with_the_upgrade_between(tmp_path: Path) -> None:
    """february's ClearingHouse, then the later contracts at the same address; the later market is another one."""
    other = "0x" + "ee" * 20
    rows, text = both_eras()
    for row in rows:
        if int(row["blockNumber"], 16) >= 16_000_000:
            row["address"] = other if row["address"] == BTC else row["address"]
            row["topics"] = [t.replace(BTC[2:], other[2:]) for t in row["topics"]]
    market = text[text.index("[[market]]") : text.index("[[market]]", text.index("[[market]]") + 1)]
    text = text.replace(market, market + market.replace(BTC, other).replace("BTCUSDC", "LATER"), 1)
    (tmp_path / "both.toml").write_text(text)
    events = frames_of(tmp_path, rows, str(tmp_path / "both.toml"))
    done = replay(events.others, events.table, block_times=times("february") | times("later-contracts"), denominators=LATER)
    assert done.findings == ()
    views = list(recording("february").views())
    views += [(what, "0xff" + trader[4:], other, view) for what, trader, _, view in recording("later-contracts").views()]
    assert differences(done, views) == (2702 + 826, [])


def test_trap_the_ratios_denominator_is_never_guessed(later_contracts: Recording) -> None:
    """A partial liquidation proves later code; without the caller's word ratio and price are null from there on, nothing else is."""
    events = later_contracts.events
    first = events.table.filter(pl.col("kind") == "partial-liquidation")["block_number"][0]
    done = replay(events.others, events.table, block_times=times("later-contracts"))
    (finding,) = done.findings
    assert (finding.level, finding.where) == ("error", f"block {first}")
    assert "denominators" in finding.what_to_do
    for block, known in ((first - 1, True), (first, False)):
        frame = done.positions(block)
        assert frame["margin_ratio"].is_not_null().all() == known
        assert frame["liquidation_price"].is_not_null().all() == known
        assert frame["unrealized_pnl_twap"].is_not_null().all()
        assert frame["unknown"].is_null().all() == known
        assert bool(unknown_values(frame)) != known
    told = replay(events.others, events.table, block_times=times("later-contracts"), denominators=((0, False), (first + 1, True)))
    assert [f.level for f in told.findings] == ["error"]


def test_trap_the_two_denominators_differ(later_contracts: Recording) -> None:
    """The same positions by both codes, before the first partial liquidation: other ratios, and other liquidation prices."""
    block = later_contracts.truth["reference_block"]
    early = replay(later_contracts.events.others, later_contracts.events.table, block_times=times("later-contracts"))
    by_open, by_position = early.positions(block), later_contracts.done.positions(block)
    same = [name for name in by_open.columns if name not in ("margin_ratio", "liquidation_price")]
    assert by_open.select(same).equals(by_position.select(same))
    assert (by_open["margin_ratio"] != by_position["margin_ratio"]).sum() == 5  # one has neither profit nor loss
    assert (by_open["liquidation_price"] != by_position["liquidation_price"]).all()


def test_trap_the_upgrade_from_v1_to_v2_breaks_no_life(february: Recording) -> None:
    (upgraded,) = february.events.others["Upgraded"]["block_number"]
    lived_through = [v for v in february.views() if v[0] == "reference_positions" and v[3]["positionBlock"] < upgraded]
    assert len(lived_through) == 4
    assert differences(february.done, lived_through)[1] == []
    assert february.done.markets[BTC].from_launch


@pytest.mark.parametrize(
    ("label", "adjusted"), [("migr_untouched", 0), ("migr_adjusted", 1), ("migr_reduced", 1), ("dip_v1", 1), ("A_seed", 0)]
)
def test_trap_a_liquidity_migration(february: Recording, label: str, adjusted: int) -> None:
    """Never touched, adjusted on request, adjusted lazily by a reduce, and inside a liquidation; all sizes are the views'."""
    trader, own = february.trader(label), february.events.others["PositionAdjusted"]
    assert own.filter(pl.col("trader") == trader).height == adjusted
    assert differences(february.done, february.labelled(label))[1] == []
    (migrated,) = february.events.others["LiquidityChanged"]["block_number"]
    if label != "A_seed":  # opened after it
        before, after = (february.row(label, block) for block in (migrated - 1, migrated))
        assert before["size"] != after["size"]
        assert (before["margin"], before["open_notional"]) == (after["margin"], after["open_notional"])


def test_trap_an_untouched_size_moves_with_the_pool(february: Recording) -> None:
    """Its stored size is from before the migration; the contract's answer depends on today's reserves."""
    trader, (migrated,) = february.trader("migr_untouched"), february.events.others["LiquidityChanged"]["block_number"]
    stored = {february.done.stored(trader, BTC, block).size for block in range(migrated - 1, 13_500_195)}
    shown = february.done.at_many([(trader, BTC, block) for block in range(migrated, 13_500_195)], triggers=False)["size"].unique()
    assert len(stored) == 1
    assert len(shown) > 1


def test_trap_meta_transactions_belong_to_the_trader(february: Recording) -> None:
    assert differences(february.done, february.labelled("meta"))[1] == []
    assert len(february.labelled("meta")) >= 3


def test_trap_self_liquidation_is_a_liquidation(february: Recording) -> None:
    (one,) = (t for t in february.truth["liquidations"] if t["label"] == "self_liq")
    assert one["liquidator"] == one["trader"]
    assert differences(february.done, february.labelled("self_liq"))[1] == []
    before, after = (february.row("self_liq", one["block"] - n) for n in (1, 0))
    assert before["size"] > 0
    assert (after["size"], after["margin"], after["open_notional"]) == (0, 0, 0)


def test_trap_stray_margin_is_no_position(february: Recording) -> None:
    """33 USDC put in after the liquidation: they are margin, and no row of the open positions."""
    (put_in,) = february.events.others["MarginChanged"].filter(pl.col("trader") == february.trader("stray_margin"))["block_number"]
    before, after = (february.row("stray_margin", put_in - n) for n in (1, 0))
    assert (before["size"], before["margin"]) == (0, 0)
    assert (after["size"], after["margin"], after["margin_with_funding"]) == (0, 33, 33)
    assert (after["margin_ratio"], after["liquidation_price"], after["unknown"]) == (None, None, None)
    assert february.trader("stray_margin") not in february.done.positions(put_in)["trader"]


def test_trap_margin_put_in_first_is_absorbed_by_the_open(february: Recording) -> None:
    trader = february.trader("margin_first")
    (first,) = february.events.others["MarginChanged"].filter(pl.col("trader") == trader)["block_number"]
    opened = february.events.table.filter(pl.col("trader") == trader)["block_number"].min()
    assert isinstance(opened, int)
    assert first < opened
    assert february.row("margin_first", first)["margin"] == Decimal("250.5")
    assert february.row("margin_first", opened)["margin"] > Decimal("250.5")


def test_trap_putting_margin_in_settles_no_funding_and_taking_it_out_does(february: Recording) -> None:
    for trader, market, block, amount, payment in (
        february.events.others["MarginChanged"].select("trader", "market", "block_number", "amount", "funding_payment").iter_rows()
    ):
        before, after = february.done.at_many([(trader, market, block - n) for n in (1, 0)]).iter_rows(named=True)
        assert after["margin"] == before["margin"] + amount - payment
        if amount < 0:
            assert before["funding_owed"] == payment
            assert after["funding_owed"] == 0
        else:
            assert after["funding_owed"] == before["funding_owed"]


def test_trap_a_voluntary_close_under_water_is_no_liquidation(february: Recording) -> None:
    closes = february.events.table.filter(pl.col("kind") == "close", pl.col("bad_debt") > 0)
    (trader,), (block,) = closes["trader"], closes["block_number"]
    assert trader == february.trader("vol_close_bad")
    before, after = february.done.at_many([(trader, BTC, block - n) for n in (1, 0)]).iter_rows(named=True)
    assert before["margin"] + before["unrealized_pnl_curve"] - before["funding_owed"] < 0
    assert (after["size"], after["margin"], after["life"]) == (0, 0, before["life"])


def test_trap_liquidations_in_one_block(february: Recording) -> None:
    """The second of a block did not realize the block before's curve profit; its margin, size and open notional still hold."""
    rows = {(r["transaction_hash"], r["trader"]): r for r in february.events.table.iter_rows(named=True)}
    moved = 0
    for one in february.truth["liquidations"]:
        if one["other_liquidations_in_block"]:
            view = one["block_before"]
            row = february.done.at_many([(one["trader"], one["amm"], one["block"] - 1)]).row(0, named=True)
            assert [wei(row[n]) for n in ("margin", "size", "open_notional")] == [int(view[n]) for n in ("margin", "size", "openNotional")]
            moved += row["unrealized_pnl_curve"] != rows[one["tx"], one["trader"]]["realized_pnl"]
    assert moved == 6


def test_trap_settled_positions_are_gone(february: Recording) -> None:
    settled = february.events.others["PositionSettled"].select("trader", "market", "block_number").rows()
    assert len(settled) == 4
    before = february.done.at_many([(t, m, b - 1) for t, m, b in settled])
    after = february.done.at_many(settled)
    assert (before["size"] != 0).all()
    assert after.select("size", "margin", "open_notional").unique().rows() == [(0, 0, 0)]
    market, block = settled[0][1:]
    gone, kept = (february.done.positions(block - n, markets=[market])["trader"].to_list() for n in (1, 0))
    assert set(gone) - set(kept) == {trader for trader, _, _ in settled}


def test_trap_liquidated_twice_has_its_reference_position_in_the_first_life(february: Recording) -> None:
    first, second = (t["block"] for t in february.truth["liquidations"] if t["label"] == "twice")
    at = {block: february.row("twice", block) for block in (february.truth["reference_block"], first - 1, first, second - 1, second)}
    assert [row["life"] for row in at.values()] == [1, 1, 1, 2, 2]
    assert [row["size"] != 0 for row in at.values()] == [True, True, False, True, False]
    reference, _, _, again, _ = at.values()
    assert reference["margin"] == 800
    assert again["margin"] != 800


def test_trap_a_partial_liquidation_leaves_the_same_life(later_contracts: Recording) -> None:
    partial = later_contracts.events.table.filter(pl.col("kind") == "partial-liquidation")
    points = list(partial.select("trader", "market", "block_number").iter_rows())
    assert len(points) == 12
    assert set(later_contracts.done.at_many(points)["life"]) == {1}


def test_trap_a_reverse_opens_a_new_life_with_the_rest(february: Recording) -> None:
    reverses = february.events.table.filter(pl.col("kind") == "reverse")
    for trader, market, block, margin in reverses.select("trader", "market", "block_number", "margin").iter_rows():
        before, after = february.done.at_many([(trader, market, block - n) for n in (1, 0)]).iter_rows(named=True)
        assert after["life"] == before["life"] + 1
        assert (before["size"] > 0) != (after["size"] > 0)
        assert (after["margin"], after["last_premium_fraction"]) == (margin, after["latest_premium_fraction"])
        assert abs(after["unrealized_pnl_curve"]) < Decimal("0.000001")  # just opened, at the price it moved to


def test_trap_unrealized_pnl_after_is_not_the_positions(february: Recording) -> None:
    """Trap 11: the event's figure is the old position's at the new reserves; the replay gives the new one's."""
    increases = february.events.table.filter(pl.col("kind") == "increase")
    last = increases.filter(
        ~pl.struct("block_number", "market").is_in(
            february.events.table.filter(pl.col("kind") != "increase").select(pl.struct("block_number", "market").alias("s"))["s"].implode()
        )
    )
    rows = february.done.at_many(list(last.select("trader", "market", "block_number").iter_rows()), triggers=False)
    assert (rows["unrealized_pnl_curve"] != last["unrealized_pnl_after"]).all()


# Mark prices, times, paths


def test_the_mark_profit_is_that_of_the_vectors(february: Recording) -> None:
    """Facts, section 9: just before their liquidations."""
    vectors = {
        "C_top": (-4956055723517739000000, 1049217589660132320000),
        "B_relever": (16733804203650074000000, 26541860708088082880000),
        "short_bottom": (-3531508003009737900000, -5155288963370906448000),
    }
    blocks = {t["label"]: t["block"] - 1 for t in february.truth["liquidations"]}
    for label, marks in vectors.items():
        for price, mark in zip((50_000, Decimal("56000.0")), marks, strict=True):
            frame = february.done.at_many([(february.trader(label), BTC, blocks[label])], mark_prices={BTC: price})
            assert wei(frame["unrealized_pnl_mark"][0]) == mark
    assert february.row("C_top", blocks["C_top"])["unrealized_pnl_mark"] is None


def test_a_float_is_no_price(february: Recording) -> None:
    with pytest.raises(TypeError, match="float"):
        february.done.positions(13_500_195, mark_prices={BTC: 0.1})  # type: ignore[dict-item]


def test_a_time_is_the_last_block_at_or_before_it(february: Recording) -> None:
    second = datetime.fromtimestamp(EMPTY["february"][13_500_195], UTC)
    at_block = february.done.positions(13_500_195)
    assert february.done.positions(time=second).equals(at_block)
    assert february.done.positions(time=second + timedelta(seconds=4)).equals(at_block)
    assert february.done.block_at(second - timedelta(seconds=1)) == 13_500_194
    with pytest.raises(InputError, match="before the first log"):
        february.done.positions(time=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="time zone"):
        february.done.positions(time=datetime(2021, 2, 21))
    with pytest.raises(TypeError):
        february.done.positions()


def test_now_is_another_time_only_where_it_is_asked_for(february: Recording) -> None:
    """A block after a fall: at its own time the average lags; with nothing since, after 15 minutes it is the spot."""
    block = 13_500_210
    mined = february.done.times[block]
    later = february.done.positions(block, datetime.fromtimestamp(mined + 900, UTC), markets=[BTC])
    own = february.done.positions(block, markets=[BTC])
    assert (own["notional_twap"] != own["notional_curve"]).all()
    assert (later["notional_twap"] == later["notional_curve"]).all()
    assert own["size"].equals(later["size"])
    assert set(later["time"].dt.epoch("s")) == {mined + 900}
    with pytest.raises(InputError, match="was mined after"):
        february.done.positions(block, datetime.fromtimestamp(mined - 1, UTC))


def test_positions_of_some_markets_and_traders(february: Recording) -> None:
    trader = february.trader("btc_and_eth")
    whole = february.done.positions(13_500_195)
    assert february.done.positions(13_500_195, traders=[trader]).equals(whole.filter(pl.col("trader") == trader))
    assert february.done.positions(13_500_195, traders=[trader]).height == 2
    assert february.done.positions(13_500_195, markets=[BTC], traders=[trader]).height == 1
    assert (
        february.done.positions(13_500_195, triggers=False)
        .drop("liquidation_price", "liquidatable_when")
        .equals(whole.drop("liquidation_price", "liquidatable_when"))
    )
    nobody = february.done.positions(13_500_195, traders=["0x" + "12" * 20])
    assert nobody.is_empty()
    assert dict(nobody.schema) == POSITIONS.schema
    with pytest.raises(InputError, match="The market has no log in the input"):
        february.done.at_many([(trader, "0x" + "12" * 20, 13_500_195)])
    with pytest.raises(InputError, match="outside the logs"):
        february.done.positions(13_600_000)


def test_the_price_path_is_the_contracts_spot_and_its_own_average(february: Recording) -> None:
    """Spot against the views; the average against a second, plain computation: every second of the 15 minutes before, one by one."""
    start, end = (datetime.fromtimestamp(t, UTC) for t in february.truth["window"])
    path = february.done.price_path(BTC, start, end)
    assert path["block_time"].is_between(start, end).all()
    assert path.height > 100
    spot = dict(path.select("block_number", "spot_price").iter_rows())
    compared = 0
    for _, _, market, view in february.views():
        if market == BTC and view["block"] in spot:
            compared += 1
            assert wei(spot[view["block"]]) == int(view["spotPrice"])
    assert compared > 20
    lines = february.done.markets[BTC]
    for block_time, block, twap in path.select("block_time", "block_number", "twap_price").iter_rows():
        now, moment = int(block_time.timestamp()), lines.at(block)
        assert moment is not None
        total, n = 0, moment.snapshots - 1
        for second in range(now - 1, now - 901, -1):
            while lines.times[n] > second:
                n -= 1
            total += lines.pools[n].spot
        assert wei(twap) == total // 900
    index = path["index_price"].unique()
    assert set(map(wei, index)) <= {int(f["underlyingPrice"]) for f in february.truth["funding"] if f["amm"] == BTC}


def test_the_price_path_of_the_whole_chain_begins_without_an_index(february: Recording) -> None:
    path = february.done.price_path(BTC, datetime(2020, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC))
    assert path["block_number"].to_list() == february.done.markets[BTC].blocks
    first = february.events.others["FundingRateUpdated"].filter(pl.col("market") == BTC)["block_number"][0]
    assert path.filter(pl.col("index_price").is_null())["block_number"].max() < first  # type: ignore[operator]
    assert path["spot_price"].null_count() == path["twap_price"].null_count() == 0


# Liquidation prices


def at_spot(row: dict[str, Any], quote: int) -> int:
    """The margin ratio of a february position with spot and average at another quote reserve."""
    pool = curve.moved_to(quote, Reserves.of(to_integer(row["quote_reserve"]), to_integer(row["base_reserve"])))
    size, margin, notional, owed = (to_integer(row[n]) for n in ("size", "margin", "open_notional", "funding_owed"))
    return contract.margin_ratio(margin + contract.pnl(size, notional, curve.out_price(size, pool)) - owed, notional)


def test_at_the_liquidation_price_the_ratio_reaches_maintenance(february: Recording) -> None:
    """Of every position: on the safe side of the price the ratio is maintenance, and 10^-12 of the price further it is not."""
    frame = february.done.positions(13_500_195)
    assert set(frame["liquidatable_when"]) == {BELOW, ABOVE, NEVER}
    for row in frame.filter(pl.col("liquidatable_when") != NEVER).iter_rows(named=True):
        assert (row["liquidatable_when"] == BELOW) == (row["size"] > 0)
        pool = Reserves.of(to_integer(row["quote_reserve"]), to_integer(row["base_reserve"]))
        price = to_integer(row["liquidation_price"])
        low, high = 0, 10 * pool.quote
        while high - low > 1:  # the quote reserve at that price
            middle = (low + high) // 2
            low, high = (middle, high) if curve.moved_to(middle, pool).spot < price else (low, middle)
        aside = high // 10**12
        safe, lost = (high + aside, high - aside) if row["size"] > 0 else (high - aside, high + aside)
        assert at_spot(row, lost) < ONE // 16 <= at_spot(row, safe)
        assert abs(at_spot(row, high) - ONE // 16) <= 10**4


def test_a_position_below_maintenance_lies_beyond_its_liquidation_price(february: Recording) -> None:
    """Where spot and average agree, the price and the ratio tell the same."""
    told = 0
    for block in february.done.markets[BTC].blocks[::7]:
        frame = february.done.positions(block, markets=[BTC]).filter(
            pl.col("notional_twap") == pl.col("notional_curve"), pl.col("liquidation_price").is_not_null()
        )
        beyond = (
            pl.when(pl.col("size") > 0)
            .then(pl.col("spot_price") < pl.col("liquidation_price"))
            .otherwise(pl.col("spot_price") > pl.col("liquidation_price"))
        )
        told += frame.filter(beyond == (pl.col("margin_ratio") < Decimal("0.0625"))).height
        assert frame.filter(beyond != (pl.col("margin_ratio") < Decimal("0.0625"))).is_empty()
    assert told >= 50


POOL = Reserves.of(12_250_000 * ONE, 250 * ONE)


@pytest.mark.parametrize(
    ("size", "margin", "open_notional", "when"),
    [
        (ONE, 60_000 * ONE, 49_000 * ONE, NEVER),  # a long whose margin outweighs all that it can lose
        (ONE, 5_000 * ONE, 49_000 * ONE, BELOW),
        (-ONE, 5_000 * ONE, 49_000 * ONE, ABOVE),
        (-ONE, -50_000 * ONE, 49_000 * ONE, ALWAYS),  # a short with more debt than it sold for
        (-249 * ONE, 5_000_000 * ONE, 12_000_000 * ONE, ABOVE),
        (1, 0, 1, NEVER),  # a size whose whole value is less than a wei
    ],
)
@pytest.mark.parametrize("over_position_notional", [False, True])
def test_the_sides_of_a_liquidation_price(size: int, margin: int, open_notional: int, when: str, over_position_notional: bool) -> None:
    found = liquidation_price(size, margin, open_notional, 0, POOL, ONE // 16, over_position_notional)
    assert found.when == when or (size == 1 and found.when == BELOW)
    assert (found.price is None) == (found.when in (NEVER, ALWAYS))


def test_funding_owed_moves_the_liquidation_price_against_the_debtor() -> None:
    def at(owed: int) -> int:
        price = liquidation_price(ONE, 5_000 * ONE, 49_000 * ONE, owed, POOL, ONE // 16, False).price
        assert price is not None
        return price

    assert at(-100 * ONE) < at(0) < at(100 * ONE)


# Formulas


@pytest.mark.property
@given(st.integers(-(10**20), 10**20), st.integers(10**18, 10**26), st.integers(2 * 10**20, 10**24))
def test_closing_and_opening_are_each_others_inverse_to_rounding(size: int, quote: int, base: int) -> None:
    """What a size fetches buys it back, never more: the pool keeps the rounding."""
    pool = Reserves.of(quote, base)
    fetched = curve.out_price(size, pool)
    if size > 0 and fetched > 0:
        after = Reserves.of(quote - fetched, base + size)
        assert curve.in_price(True, fetched, after) <= size + 1
    assert curve.out_price(0, pool) == curve.in_price(True, 0, pool) == 0


@pytest.mark.property
@given(st.lists(st.tuples(st.integers(1, 700), st.integers(1, 10**9)), min_size=1, max_size=12), st.integers(0, 2000), st.integers(0, 3))
def test_an_average_is_the_mean_of_its_seconds(steps: list[tuple[int, int]], since: int, first: int) -> None:
    """Every second has the price of the snapshot before it; without a snapshot old enough, only the seconds there are count."""
    times, pools, at = [], [], 0
    for gap, price in steps:
        at += gap
        times.append(at)
        pools.append(Reserves.of(price, ONE))
    now = at + since
    for whole, begin in ((True, 0), (False, min(first, len(times) - 1))):
        found = contract.twap(times, pools, len(times), begin, now, 900, whole)
        covered = list(range(max(now - 900, times[begin]), now))
        if times[begin] > now - 900 and not whole:
            assert found is None
        elif not covered or len(times) == 1 or times[-1] <= now - 900:
            assert found == Average([(pools[-1], 1)], 1) or len(times) > 1
        else:
            seconds = [max(n for n, t in enumerate(times) if t <= second) for second in covered]
            assert found is not None
            assert found.of(lambda pool: pool.spot) == sum(pools[n].spot for n in seconds) // len(seconds)


def test_a_pool_cannot_give_out_what_it_holds() -> None:
    with pytest.raises(curve.Reverts):
        curve.out_price(-POOL.base, POOL)
    with pytest.raises(curve.Reverts):
        curve.in_price(False, POOL.quote, POOL)
    with pytest.raises(curve.Reverts):
        contract.margin_ratio(1, 0)


# What cannot be known


NEEDED = {
    "MarginChanged": ("margin", "funding_owed", "margin_ratio", "liquidation_price"),
    "FundingRateUpdated": ("latest_premium_fraction", "last_premium_fraction", "funding_owed", "margin_ratio", "liquidation_price"),
    "ReserveSnapshotted": ("spot_price", "quote_reserve", "notional_curve", "notional_twap", "margin_ratio", "liquidation_price"),
    "PositionSettled": ("size", "margin", "open_notional", "margin_ratio"),
    "PositionAdjusted": ("size", "funding_owed", "unrealized_pnl_curve", "margin_ratio"),
    "LiquidityChanged": ("size", "spot_price", "unrealized_pnl_twap", "margin_ratio"),
}


@pytest.mark.parametrize("missing", NEEDED)
def test_an_event_that_was_not_pulled_is_named_and_what_needs_it_is_null(february: Recording, missing: str) -> None:
    tables = {name: table for name, table in february.events.others.items() if name != missing}
    done = replay(tables, february.events.table, block_times=times("february"))
    assert [f for f in done.findings if missing in f.where and "was not pulled" in f.what]
    frame = done.positions(13_500_195)
    for name in NEEDED[missing]:
        assert frame[name].null_count() == frame.height, name
    assert frame["unknown"].str.contains(missing).all()
    assert [f for f in unknown_values(frame) if missing in f.what]
    assert_nothing_wrong(frame, february.done)


def assert_nothing_wrong(frame: pl.DataFrame, whole: Replay) -> None:
    """Each figure is null or the one of the whole logs. A life's number counts what the logs hold, so it may be another."""
    true = whole.at_many(
        frame.select("trader", "market", "block_number").iter_rows(), triggers=frame["liquidatable_when"].is_not_null().any()
    )
    for name in frame.columns:
        if name not in ("unknown", "life"):
            assert true.filter(frame[name].is_not_null() & frame[name].ne_missing(true[name])).is_empty(), name


def test_sizes_that_no_migration_touched_need_no_swaps(february: Recording) -> None:
    tables = {name: table for name, table in february.events.others.items() if name not in ("SwapInput", "SwapOutput")}
    done = replay(tables, february.events.table, block_times=times("february"))
    frame = done.positions(13_500_195)
    untouched = frame.filter(pl.col("trader") == february.trader("migr_untouched")).row(0, named=True)
    assert untouched["size"] is None
    assert "swaps" in untouched["unknown"]
    assert frame["size"].null_count() < frame.height / 2
    assert_nothing_wrong(frame, february.done)


def test_the_events_table_alone_gives_open_notional_nowhere_and_says_why(february: Recording) -> None:
    done = replay({}, february.events.table)
    assert {f.where for f in done.findings if f.where.startswith("event")} >= {f"event {name}" for name in NEEDED}
    block = february.events.table["block_number"][-1]
    frame = done.positions(block)
    assert frame["size"].null_count() == frame.height > 10
    assert frame["unknown"].null_count() == 0


def test_a_block_without_a_log_has_no_time_of_its_own(february: Recording) -> None:
    """The reference block is empty: without its time no average; everything else stands."""
    done = replay(february.events.others, february.events.table)
    frame, whole = done.positions(13_500_195), february.done.positions(13_500_195)
    unknown = ["time", "notional_twap", "unrealized_pnl_twap", "margin_ratio"]
    assert all(frame[name].null_count() == frame.height for name in unknown)
    assert frame.drop(*unknown, "unknown").equals(whole.drop(*unknown, "unknown"))
    assert frame["unknown"].str.contains("block 13500195 logged nothing").all()
    (finding,) = unknown_values(frame)
    assert "the block list (blocks of [input]) does not give its time" in finding.what
    told = done.positions(13_500_195, datetime.fromtimestamp(EMPTY["february"][13_500_195], UTC))
    assert told.equals(whole)


def test_a_block_has_one_time(february: Recording) -> None:
    with pytest.raises(InputError, match="1 in the block list"):
        replay(february.events.others, february.events.table, block_times={13_500_194: 1})


@pytest.mark.parametrize("start", [13_500_020, 13_500_046, 13_500_070, 13_500_140, 13_500_170, 13_500_190])
def test_logs_that_begin_late_give_nothing_that_is_not_true(february: Recording, start: int) -> None:
    """The same chain cut at a block: what is known is right, and what is not says so."""
    events = february.events
    tables = {name: table.filter(pl.col("block_number") >= start) for name, table in events.others.items()}
    done = replay(tables, events.table.filter(pl.col("block_number") >= start), block_times=EMPTY["february"])
    assert [f for f in done.findings if "launch" in f.what]
    assert not [f for f in done.findings if f.level == "error"], "a cut is no contradiction"
    for block in (13_500_195, 13_500_230, 13_500_370):
        frame = done.positions(block)
        assert_nothing_wrong(frame, february.done)
        said = ("unknown", "unrealized_pnl_mark", "liquidation_price")
        hidden = frame.filter(pl.any_horizontal(pl.exclude(said).is_null()))
        assert hidden["unknown"].null_count() == 0
    assert done.positions(13_500_370)["size"].is_not_null().any()


MISSING_ROWS = [
    ("ReserveSnapshotted", 40, "ReserveSnapshotted"),
    ("LiquidityChanged", 0, "LiquidityChanged"),
    ("FundingRateUpdated", 3, "FundingRateUpdated"),
    ("SwapInput", 5, "SwapInput"),
    ("SwapInput", 60, "SwapInput"),
    ("SwapOutput", 9, "SwapOutput"),
    ("PositionAdjusted", 1, "PositionAdjusted"),
    ("MarginChanged", 1, "MarginChanged"),
]


@pytest.mark.parametrize(("name", "row", "named"), MISSING_ROWS)
def test_one_missing_log_is_noticed_and_never_turns_into_a_wrong_figure(february: Recording, name: str, row: int, named: str) -> None:
    events = february.events
    table = events.others[name].filter(pl.col("market") == BTC)
    tables = events.others | {name: pl.concat([table.slice(0, row), table.slice(row + 1)])}
    tables = {n: t.filter(pl.col("market") == BTC) if "market" in t.columns else t for n, t in tables.items()}
    done = replay(tables, events.table.filter(pl.col("market") == BTC), block_times=times("february"))
    said = [f for f in done.findings if f.level == "error" and named in f.what]
    assert said, done.findings
    for block in february.done.markets[BTC].blocks[::2]:
        assert_nothing_wrong(done.positions(block, triggers=False), february.done)


def test_a_missing_trade_is_noticed_and_hides_the_trader_not_the_others_margin(february: Recording) -> None:
    """An increase of F52x7's kind: the swap it made stands in the logs without it."""
    events = february.events
    dropped = events.table.filter(pl.col("market") == BTC, pl.col("kind") == "increase").row(30, named=True)
    same = (pl.col("block_number") == dropped["block_number"]) & (pl.col("log_index") == dropped["log_index"])
    done = replay(events.others, events.table.filter(~same), block_times=times("february"))
    (first, *_) = [f for f in done.findings if f.level == "error"]
    assert dropped["transaction_hash"] in first.where
    assert "PositionChanged" in first.what
    for block in (dropped["block_number"], dropped["block_number"] + 1, 13_500_195, 13_500_370):
        assert_nothing_wrong(done.positions(block), february.done)
    frame = done.at_many([(dropped["trader"], BTC, dropped["block_number"])])
    assert frame["size"].null_count() == 1
    assert frame["unknown"].null_count() == 0
    # Before the hole everything is as it was.
    early = dropped["block_number"] - 1
    assert done.positions(early).equals(february.done.positions(early))


def test_two_markets_launched_at_one_address_are_not_run_together(tmp_path: Path) -> None:
    rows, text = both_eras()
    (tmp_path / "both.toml").write_text(text)
    events = frames_of(tmp_path, rows, str(tmp_path / "both.toml"))
    done = replay(events.others, events.table, block_times=EMPTY["february"], denominators=LATER)
    assert [f for f in done.findings if f.level == "error" and "launch of another market at this address" in f.what]
    assert done.positions(13_500_195).equals(recording("february").done.positions(13_500_195))
    left = done.positions(16_000_209, markets=[BTC]).filter(~pl.col("trader").str.starts_with("0xff"))
    assert left["size"].null_count() == left.height > 0


def test_the_maintenance_ratio_is_the_logs_and_else_the_callers(february: Recording) -> None:
    tables = {name: table for name, table in february.events.others.items() if name != "MarginRatioChanged"}
    doubled = replay(tables, february.events.table, block_times=times("february"), maintenance="0.125").positions(13_500_195)
    assumed = replay(tables, february.events.table, block_times=times("february")).positions(13_500_195)
    ignored = replay(february.events.others, february.events.table, block_times=times("february"), maintenance="0.125")
    assert ignored.positions(13_500_195).equals(assumed)
    longs = pl.col("size") > 0
    assert (doubled.filter(longs)["liquidation_price"] > assumed.filter(longs)["liquidation_price"]).drop_nulls().all()


def test_a_ruined_ratio_of_more_than_38_digits_is_null_and_says_so(february: Recording) -> None:
    """A position of one wei of open notional and a million of margin."""
    events = february.events
    opened = events.table.filter(pl.col("kind") == "open").row(0, named=True)
    first = (pl.col("block_number") == opened["block_number"]) & (pl.col("log_index") == opened["log_index"])
    rich = events.table.filter(first).with_columns(
        position_notional=pl.lit(from_integer(1), dtype=pl.Decimal(38, 18)), margin=pl.lit(Decimal(10**18), dtype=pl.Decimal(38, 18))
    )
    done = replay(events.others, rich, block_times=times("february"))
    row = done.at_many([(opened["trader"], opened["market"], opened["block_number"])]).row(0, named=True)
    assert row["margin_ratio"] is None
    assert "38 digits" in row["unknown"]


def test_timelines_are_in_order(february: Recording) -> None:
    for market, timelines in february.done.timelines.items():
        lines = february.done.markets[market]
        for blocks in (lines.blocks, *(timeline.blocks for timeline in timelines.values())):
            assert all(a < b for a, b in pairwise(blocks))
        assert all(a <= b for a, b in pairwise(lines.times))


def test_a_block_before_the_logs_is_refused_and_a_block_list_dates_one_without_logs(tmp_path: Path) -> None:
    """The block list of [input] reaches `positions`: without it, a block that logged nothing has no average price."""
    with pytest.raises(InputError) as refused:
        perpcomp.positions("rehearsal", 1_000)
    assert "The block is outside the logs. The logs reach from block" in str(refused.value)
    events = recording("february").events
    logged = {block for frame in (events.table, *events.others.values()) for block in frame["block_number"]}
    block = next(block for block in range(13_500_195, 14_000_000) if block not in logged)
    lacking, _ = perpcomp.positions("rehearsal", block)
    assert lacking["notional_twap"].is_null().all()
    assert lacking["unknown"].str.contains("the block list (blocks of [input]) does not give its time", literal=True).all()
    text = (incident_file.shelf() / "rehearsal.toml").read_text()
    (tmp_path / "dated.toml").write_text(
        text.replace('file = "rehearsal/logs.jsonl.gz"', 'file = "logs.jsonl.gz"\nblocks = "blocks.jsonl"', 1)
    )
    (tmp_path / "logs.jsonl.gz").write_bytes(LOGS.read_bytes())
    listed = [{"number": 1_000, "timestamp": 1_600_000_000}, {"number": block, "timestamp": times("february")[block]}]
    (tmp_path / "blocks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed))
    dated, _ = perpcomp.positions(str(tmp_path / "dated.toml"), block)
    assert dated["notional_twap"].is_not_null().all()
    assert dated.drop("time", "notional_twap", "unrealized_pnl_twap", "margin_ratio", "unknown", "unrealized_pnl_mark").equals(
        lacking.drop("time", "notional_twap", "unrealized_pnl_twap", "margin_ratio", "unknown", "unrealized_pnl_mark")
    )
    with pytest.raises(InputError, match="outside the logs"):  # the list has the block, but no log is that old
        perpcomp.positions(str(tmp_path / "dated.toml"), 1_000)
