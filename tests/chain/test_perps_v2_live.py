"""Perps V2 on a chain that ran a moment ago: every call by the rules, and every liquidation in the tables, equal to the contracts' answers.

The tables come from the logs that perpcomp fetched from the node.
"""

from typing import Any

import pytest

from perpcomp import pipeline
from perpcomp.fixed import div_integers, to_integer
from perpcomp.guards.judge import judge
from perpcomp.guards.rules import margins
from perpcomp.guards.rules.margins import Position
from perpcomp.guards.rules.market import FEE_POOL
from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node import pull
from perpcomp.ingest.node.pull import Options
from perpcomp.ingest.node.segments import Settings
from perpcomp.input import Input
from perpcomp.run import Run
from perpcomp.systems.synthetix_v2.events import TOPICS
from tests.chain.blocks import View
from tests.chain.perps_v2 import E18, FEE_ADDRESS, Act
from tests.chain.perps_v2_crash import FIRST, CrashV2
from tests.chain.perps_v2_rules import (
    OF_MARKET,
    OF_TRADER,
    balances,
    by_the_rules,
    in_contract_names,
    market_by_the_rules,
    mirrored,
    of,
    oracle,
    parameters,
    played,
)

REFUSED = [
    ("flagPosition", "spontaneous", "Position cannot be liquidated"),
    ("liquidatePosition", "spontaneous", "Position not flagged"),
    ("forceLiquidatePosition", "spontaneous", "Position not flagged"),
    *((call, "pending", "Pending order exists") for call in ("transferMargin", "modifyPosition", "closePosition", "withdrawAllMargin")),
    ("submitDelayedOrder", "pending", "previous order exists"),
    ("flagPosition", "spontaneous", "Position flagged"),
    ("liquidatePosition", "exact", "price impact of liquidation exceeded"),
    ("liquidatePosition", "exact", "price impact of liquidation exceeded"),  # by an endorsed account
    ("forceLiquidatePosition", "exact", "address not endorsed"),
    *((call, "pending", "Position flagged") for call in ("transferMargin", "transferMargin", "withdrawAllMargin", "modifyPosition")),
    *((call, "pending", "Position flagged") for call in ("modifyPosition", "closePosition", "submitDelayedOrder")),
    ("cancelDelayedOrder", "pending", "no previous order"),
    ("executeDelayedOrder", "pending", "no previous order"),
    ("liquidatePosition", "recovered", "instantaneous P/D exceeded"),
    ("liquidatePosition", "exact", "price impact of liquidation exceeded"),  # both limits are exceeded
    ("liquidatePosition", "own_flag", "instantaneous P/D exceeded"),
    *(
        (call, name, reason)
        for reason in ("Market suspended", "Synth is suspended. Operation prohibited", "Invalid price", "Invalid price")
        for call, name in (
            ("flagPosition", "under_water"),
            ("liquidatePosition", "recovered"),
            ("forceLiquidatePosition", "recovered"),
            ("transferMargin", "recovered"),
        )
    ),
]


def subject(act: Act) -> str:
    """Whose position a call is about."""
    return act.args[0] if act.args and isinstance(act.args[0], str) else act.sender


def succeeded(chain: CrashV2, event: str) -> list[tuple[Act, dict[str, Any]]]:
    """The calls that logged an event, with its arguments."""
    return [(act, values) for act in chain.world.acts for name, values in act.events if name == event]


# The script


def test_every_kind_of_call_is_refused_in_the_contracts_words(perps_v2_chain: CrashV2) -> None:
    names = {address: name for name, address in perps_v2_chain.traders.items()}
    assert [(act.call, names[subject(act)], act.reason) for act in perps_v2_chain.world.acts if act.reason] == REFUSED


def test_who_was_liquidated_and_how(perps_v2_chain: CrashV2) -> None:
    names = {address: name for name, address in perps_v2_chain.traders.items()}
    liquidated = [(names[values["account"]], act.call) for act, values in succeeded(perps_v2_chain, "PositionLiquidated")]
    assert liquidated == [
        ("spontaneous", "liquidatePosition"),
        ("just_under", "liquidatePosition"),
        ("exact", "forceLiquidatePosition"),
        ("own_flag", "liquidatePosition"),
        ("pending", "forceLiquidatePosition"),
        ("under_water", "liquidatePosition"),
        ("recovered", "liquidatePosition"),
        ("rebound", "liquidatePosition"),
    ]


def test_the_flagger_gets_the_deposit_of_the_waiting_order_and_nothing_else(perps_v2_chain: CrashV2) -> None:
    world = perps_v2_chain.world
    act, flagged = next(
        (a, v) for a, v in succeeded(perps_v2_chain, "PositionFlagged") if v["account"] == perps_v2_chain.traders["pending"]
    )
    assert [name for name, _ in act.events] == ["FundingRecomputed", "Issued", "PositionFlagged"]
    flagger = [flagged["flagger"]]
    assert (
        balances(world, flagger, act.block)[0] - balances(world, flagger, act.block - 1)[0] == parameters(world, act.block).min_keeper_fee
    )
    assert all("Issued" not in dict(a.events) for a, v in succeeded(perps_v2_chain, "PositionFlagged") if a is not act)


def test_a_loss_is_truncated_towards_zero(perps_v2_chain: CrashV2) -> None:
    world, trader = perps_v2_chain.world, perps_v2_chain.traders["just_under"]
    block = next(a.block for a, v in succeeded(perps_v2_chain, "PositionFlagged") if v["account"] == trader)
    position, price, profit = of(
        world, [world.view("positions", trader), world.view("assetPrice"), world.view("profitLoss", trader)], block
    )
    exact = position[4] * (price - position[3])
    assert exact < 0 != exact % E18
    assert profit == -(-exact // E18) == margins.profit(Position(*position), price)


# The rules


def test_every_call_and_view_of_the_chain_is_what_the_rules_give(perps_v2_chain: CrashV2) -> None:
    """Revert texts, events and minted sUSD of every call; the views of the market and every trader after it."""
    world, market = perps_v2_chain.world, mirrored(perps_v2_chain.world)
    traders = [*perps_v2_chain.traders.values()]
    holders = [*traders, world.keeper, world.second_keeper, world.endorsed, FEE_ADDRESS]
    first = balances(world, holders, world.acts[0].block - 1)
    differences: list[str] = []
    for act in world.acts:
        market.parameters, market.now, market.oracle = parameters(world, act.block - 1), act.time, oracle(world, act)
        reason, events = played(market, act)
        place = f"block {act.block - FIRST} {act.call} of {next(n for n, a in perps_v2_chain.traders.items() if a == subject(act))}"
        compared: list[tuple[str, Any, Any]] = [("revert", reason, act.reason), ("number of events", len(events), len(act.events))]
        compared += [("event", in_contract_names(*pair), pair[1]) for pair in zip(events, act.events, strict=False)]
        views = [world.view(name, trader) for trader in traders for name in OF_TRADER] + [world.view(name) for name in OF_MARKET]
        expected = [value for trader in traders for value in by_the_rules(market, trader).values()]
        expected += market_by_the_rules(market).values()
        compared += [(f"{v[2]} {v[3]}", mine, got) for v, mine, got in zip(views, expected, of(world, views, act.block), strict=True)]
        differences += [f"{place}: {name}: {mine} by the rules, {got} on the chain" for name, mine, got in compared if mine != got]
    minted = [after - before for before, after in zip(first, balances(world, holders, world.acts[-1].block), strict=True)]
    assert not differences, "\n".join([f"{len(differences)} differences", *differences[:20]])
    assert minted == [market.minted.get(FEE_POOL if holder == FEE_ADDRESS else holder, 0) for holder in holders]


# The tables


@pytest.fixture(scope="module")
def incident(perps_v2_chain: CrashV2, tmp_path_factory: pytest.TempPathFactory) -> Incident:
    return incident_file.parse(perps_v2_chain.incident().encode(), "perps-v2", tmp_path_factory.mktemp("perps-v2"))


@pytest.fixture(scope="module")
def run(perps_v2_chain: CrashV2, incident: Incident, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The chain's logs, fetched from its node and computed."""
    blocks = (FIRST, perps_v2_chain.last_block)
    options = Options(tmp_path_factory.mktemp("store"), blocks, prove="all", settings=Settings(window=50, segment=100, confirmations=0))
    fetched = pull.fetch(incident, sorted(TOPICS), [perps_v2_chain.url], options)
    assert "proved complete and unaltered" in fetched.proof[0]
    return pipeline.compute(incident, Input(fetched.file, None))


def test_every_liquidation_is_found_and_none_besides(perps_v2_chain: CrashV2, run: Run) -> None:
    truth = [
        (act.block, act.time, values["account"], values["liquidator"]) for act, values in succeeded(perps_v2_chain, "PositionLiquidated")
    ]
    for table in (run.liquidations, run.flags):
        assert table is not None
        rows = table.select("block_number", "block_time", "trader", "liquidator").iter_rows()
        assert [(block, int(time.timestamp()), trader, liquidator) for block, time, trader, liquidator in rows] == truth
    assert not [problem for problem in run.problems if problem.stops]


def test_the_liquidations_table_equals_the_contracts_views_one_block_earlier(perps_v2_chain: CrashV2, run: Run) -> None:
    """Of the state one block earlier, at the second of the liquidation: funding accrues every second."""
    world = perps_v2_chain.world
    rows = run.liquidations.iter_rows(named=True)
    for row, (act, _) in zip(rows, succeeded(perps_v2_chain, "PositionLiquidated"), strict=True):
        asked = ("positions", "remainingMargin", "accruedFunding", "profitLoss", "notionalValue")
        views = [*(world.view(name, row["trader"]) for name in asked), world.view("assetPrice")]
        position, remaining, accrued, profit, notional, price = of(world, views, act.block - 1, act.time)
        (then,) = of(world, [world.view("positions", row["trader"])], perps_v2_chain.reference_block)
        paid = parameters(world, act.block - 1).keeper_liquidation_fee if act.call == "liquidatePosition" else 0
        _, _, margin, last_price, size = position
        expected = {
            "size": size,
            "size_after": 0,
            "margin": margin,
            "open_notional": abs(size) * last_price // E18,
            "position_notional": abs(notional),
            "realized_pnl": profit,
            "funding_payment": -accrued,
            "remaining_margin": remaining,
            "bad_debt": max(0, -(margin + profit + accrued)),
            "spot_price": price,
            "liquidation_fee": paid,
            "margin_before_crash": then[2],
            "size_before_crash": then[4],
        }
        assert {name: to_integer(row[name]) for name in expected} == expected, row["trader"]
        assert row["side"] == ("long" if size > 0 else "short")


def test_the_flags_table_equals_the_contracts_views_one_block_earlier(perps_v2_chain: CrashV2, run: Run) -> None:
    world, flags = perps_v2_chain.world, run.flags
    assert flags is not None
    flagged = {values["account"]: act for act, values in succeeded(perps_v2_chain, "PositionFlagged")}
    for row, (act, _) in zip(flags.iter_rows(named=True), succeeded(perps_v2_chain, "PositionLiquidated"), strict=True):
        trader, flag, before = row["trader"], flagged[row["trader"]], act.block - 1
        state: View = ("PerpsV2MarketState", world.state, "positionFlagger", (trader,))
        market = [world.view(name) for name in ("assetPrice", "marketSkew", "currentFundingRate")]
        views = [world.view("positions", trader), world.view("remainingMargin", trader), *market, state]
        position, remaining, price, skew, rate, flagger = of(world, views, before, act.time)
        (length, flag_price) = of(world, [world.view("fundingSequenceLength")], act.block) + of(world, [market[0]], flag.block)
        (entry,) = of(world, [world.view("fundingSequence", length - 1)], act.block)
        p = parameters(world, before)
        assert row["flagger"] == flagger
        assert (row["position_id"], int(row["flagged_at"].timestamp())) == (position[0], flag.time)
        # What each was minted, by their balances of sUSD.
        holders = [flagger, row["liquidator"], FEE_ADDRESS]
        got = [a - b for b, a in zip(balances(world, holders, before), balances(world, holders, act.block), strict=True)]
        fees = [to_integer(row[name]) for name in ("flagger_fee", "liquidator_fee", "stakers_fee")]
        both = fees[0] + fees[1]
        assert got == ([both, both, fees[2]] if flagger == row["liquidator"] else fees)
        expected = {
            "flag_price": flag_price,
            "price": price,
            "trader_loss": remaining,
            "debt_pool_loss": max(0, sum(fees) - remaining),
            "skew_before": skew,
            "funding_entry": entry,
            "funding_rate": rate,
            "skew_scale": p.skew_scale,
            "max_liquidation_delta": p.max_liquidation_delta,
            "max_pd": p.max_pd,
            "price_impact": abs(div_integers(position[4], p.skew_scale)),
            "premium": abs(div_integers(skew, p.skew_scale)),
        }
        assert {name: to_integer(row[name]) for name in expected} == expected, trader
        assert fees[0] == margins.keeper_fee(position[4], price, p)


def test_the_verdicts_say_who_had_to_be_forced(perps_v2_chain: CrashV2, run: Run, incident: Incident) -> None:
    names = {address: name for name, address in perps_v2_chain.traders.items()}
    verdicts = judge(run.liquidations, run.events.table, run.events.others, incident).table
    found = {names[trader]: verdict for trader, verdict in verdicts.select("trader", "verdict").iter_rows()}
    assert found == {name: "FLAG_ONLY_BOTH" if name == "exact" else "LIQUIDATED" for name in found}
    assert len(found) == 8
