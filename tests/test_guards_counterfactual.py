"""The counterfactual: V1's own rules repeat history to the wei, and other rules keep their invariants."""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from functools import cache, cached_property
from itertools import product
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

import perpcomp
from perpcomp.curve import Reserves, Reverts
from perpcomp.decoded import Events
from perpcomp.findings import InputError
from perpcomp.fixed import ONE, to_integer
from perpcomp.guards.counterfactual.actions import Actions, read_actions
from perpcomp.guards.counterfactual.gate import Gate
from perpcomp.guards.counterfactual.maintenance import Maintenance
from perpcomp.guards.counterfactual.market import ActionImpossible, Market
from perpcomp.guards.counterfactual.outcomes import OUTCOMES
from perpcomp.guards.counterfactual.position import Closed, Position, maintenance_notional, ratio
from perpcomp.guards.counterfactual.rules import V1, Rules, rules_named, sip
from perpcomp.guards.counterfactual.scenarios import repeats_history, scenarios
from perpcomp.guards.counterfactual.simulation import Counterfactual
from perpcomp.guards.index_prices import IndexSeries, index_series
from perpcomp.guards.judge import judge
from perpcomp.guards.limits import NO_LIMIT, Limit
from perpcomp.guards.ratios import ratio_at_index
from perpcomp.incident import incident_file
from perpcomp.incident.guards import Guards
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1.code import denominators
from perpcomp.systems.perpetual_v1.replay.replay import replay
from tests.conftest import LAB, truth
from tests.test_guards_verdicts import SOURCE, problems, with_guards

CHAINS = {"rehearsal": "february", "later": "later-contracts", "large": "large"}
POOLS = {"rehearsal": 290, "later": 72, "large": 15_449}  # pools after a trade or a liquidity change
SETTINGS = f"[guards]\nfluctuation_limit = 0.012\npartial_liquidation_ratio = 0.25\n{SOURCE}"  # those of the recorded deployments
STRICT = Rules("strict", limited=True, unflags=False, freezes=True)


@pytest.fixture(params=list(CHAINS))
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.getfixturevalue(request.param)
    return found


class History:
    """A run's history, ready to be executed under any rules."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.actions = read_actions(run.liquidations, run.events.table, run.events.others, run.incident)
        self.markets = [market.amm for market in run.incident.markets]
        self.indices = index_series(self.markets, run.events.others, run.incident)

    def under(self, rules: Rules, limit: Limit = NO_LIMIT, guards: Guards | None = None) -> Counterfactual:
        start = int(self.run.incident.eligibility.start.timestamp())
        limits = dict.fromkeys(self.markets, limit)
        return Counterfactual(self.actions, rules, limits, self.indices, guards or self.run.incident.guards, start).run()

    @cached_property
    def repeated(self) -> Counterfactual:
        """Under V1's own rules, without guards. It is looked at, never changed."""
        return self.under(Rules("v1"))


_made: dict[str, History] = {}


def history(run: Run) -> History:
    if run.incident.name not in _made:
        _made[run.incident.name] = History(run)
    return _made[run.incident.name]


def outcomes(done: Counterfactual) -> dict[str, int]:
    return dict(Counter(result.outcome for result in done.results))


def differing(done: Counterfactual) -> tuple[int, list[Any]]:
    """How many pools were compared, and the first that are not history's."""
    return len(done.path), [(s.action.transaction, s.action.pool, s.pool) for s in done.path if s.action.pool != s.pool][:3]


# Identity


def test_v1s_own_rules_repeat_every_historical_pool_to_the_wei(run: Run) -> None:
    done = history(run).repeated
    key = {"rehearsal": "rehearsal", "later-contracts": "later", "large": "large"}[run.incident.name]
    assert differing(done) == (POOLS[key], [])
    assert all(s.action.pool is not None and s.action.pool.spot == s.pool.spot for s in done.path)
    assert outcomes(done) == {"LIQUIDATED": run.liquidations.height}
    assert done.dropped == []


def test_the_pools_compared_are_all_that_the_logs_state(run: Run) -> None:
    """Each ReserveSnapshotted but the launches', and each LiquidityChanged; a reversal states two, of which the last is compared."""
    tables, table = run.events.others, run.events.table
    stated = tables["ReserveSnapshotted"].height + tables["LiquidityChanged"].height - tables["ReserveSnapshotted"]["market"].n_unique()
    assert len(history(run).repeated.path) == stated - table.filter(kind="reverse").height


def test_v1s_own_rules_repeat_every_position_fraction_and_fee(run: Run) -> None:
    done, table = history(run).repeated, run.events.table
    replayed = replay(run.events.others, table, denominators=denominators(run.liquidations, run.events.others, ()))
    compared = 0
    for market, gate in done.gates.items():
        last = replayed.markets[market].moments[-1]
        assert (gate.market.premium, gate.market.cumulative) == (last.premium.value, last.cumulative_notional)
        for trader in replayed.timelines[market]:
            compared += 1
            ours, theirs = gate.market.positions.get(trader), replayed.stored(trader, market, 10**12)
            assert (theirs.size, theirs.margin, theirs.open_notional) == (
                (ours.size, ours.margin, ours.open_notional) if ours else (0, 0, 0)
            )
            if ours and ours.size:
                assert theirs.premium is not None
                assert theirs.premium.value == ours.premium
    assert compared > 5
    fees = table.filter(pl.col("liquidator").is_not_null()).select("block_number", "log_index", "liquidation_fee", "bad_debt").iter_rows()
    paid = {(block, log): (to_integer(fee), to_integer(debt)) for block, log, fee, debt in fees}
    for result in done.results:
        assert result.past is not None
        assert result.closed is not None
        assert (result.fee, max(0, -result.closed.left)) == paid[result.past.log]
        assert max(0, result.closed.left) == result.past.taken
        assert result.price == result.past.spot_after


def test_each_amount_of_an_outcome_is_in_its_own_column(run: Run) -> None:
    """By V1's own rules both columns of a pair are history's. With every liquidation blocked the counterfactual ones are null."""
    key, events = ["block_number", "log_index"], run.events.table
    recorded = run.liquidations.join(events.select(*key, paid="liquidation_fee", lost="bad_debt"), on=key, maintain_order="left")
    own = scenarios([Rules("v1")], run.liquidations, events, run.events.others, run.incident).outcomes
    own = recorded.select(key).join(own, on=key, how="left", maintain_order="left")
    spot = events.join(recorded.select(key), on=key, how="semi", maintain_order="left").sort(key)["spot_price"].to_list()
    fee, taken = recorded["paid"].to_list(), recorded["remaining_margin"].to_list()
    if not recorded["partial"].any():  # a partial liquidation takes its penalty, not the remaining margin
        for column in ("remaining_historical", "remaining_counterfactual"):
            assert own[column].to_list() == taken
        assert own["to_insurance_fund"].to_list() == [max(0, left - paid) for left, paid in zip(taken, fee, strict=True)]
        assert own["fee_shortfall"].to_list() == [max(0, paid - left) for left, paid in zip(taken, fee, strict=True)]
    assert own["closed_size"].to_list() == (recorded["size"] - recorded["size_after"]).to_list()
    assert own["price_historical"].to_list() == own["price_counterfactual"].to_list() == spot
    assert own["liquidation_fee"].to_list() == fee
    assert own["bad_debt"].to_list() == recorded["lost"].to_list()
    assert set(own["loss_difference"]) == {0}
    assert own["equity_at_end"].null_count() == own["max_liquidation_delta"].null_count() == own["max_pd"].null_count() == own.height

    limits = f"[guards]\n{SOURCE}[[guards.limits]]\nmax_liquidation_delta = 0.000_5\nmax_pd = 0\n{SOURCE}"
    blocked = scenarios([STRICT], run.liquidations, events, run.events.others, with_guards(run, limits)).outcomes
    blocked = recorded.select(key).join(blocked, on=key, how="left", maintain_order="left")
    assert blocked["remaining_historical"].to_list() == blocked["loss_difference"].to_list() == own["remaining_historical"].to_list()
    assert blocked["price_historical"].to_list() == spot
    for column in ("closed_size", "price_counterfactual", "remaining_counterfactual", "liquidation_fee", "to_insurance_fund", "bad_debt"):
        assert blocked[column].null_count() == blocked.height, column
    assert (set(blocked["max_liquidation_delta"]), set(blocked["max_pd"])) == ({Decimal("0.0005")}, {0})


def test_each_reserve_and_price_of_a_path_is_in_its_own_column(rehearsal: Run) -> None:
    """The columns of history are those of the logs; the others are those that the simulation left."""
    found = scenarios(sip()[:1], rehearsal.liquidations, rehearsal.events.table, rehearsal.events.others, rehearsal.incident)
    done = history(rehearsal).under(sip()[0], Limit(ONE // 500, ONE // 250, ""))
    points = {(point.action.market, *point.action.log): point for point in done.path}
    spots = dict(
        zip(rehearsal.events.table.select("block_number", "log_index").iter_rows(), rehearsal.events.table["spot_price"], strict=True)
    )
    snapshots = set(rehearsal.events.others["ReserveSnapshotted"].select("quote_asset_reserve", "base_asset_reserve").iter_rows())
    differ = 0
    for row in found.paths.iter_rows(named=True):
        log, point = (row["block_number"], row["log_index"]), points[row["market"], row["block_number"], row["log_index"]]
        if log in spots:  # else a liquidity change
            assert row["spot_price"] == spots[log]
            assert (row["quote_reserve"], row["base_reserve"]) in snapshots
        here = (row["counterfactual_spot_price"], row["counterfactual_quote_reserve"], row["counterfactual_base_reserve"])
        assert tuple(map(to_integer, here)) == (point.pool.spot, point.pool.quote, point.pool.base)
        assert row["block_time"].timestamp() == point.action.time
        differ += point.pool != point.action.pool
    assert differ > 50
    assert [tuple(row.values())[1:] for row in found.dropped.iter_rows(named=True)] == [
        (action.market, *action.log, action.transaction, action.trader, action.what, why) for action, why in done.dropped
    ]
    assert [*found.dropped.columns][1:] == ["market", "block_number", "log_index", "transaction_hash", "trader", "action", "reason"]
    assert found.dropped.height == 3


def test_forcing_by_the_historical_liquidators_at_limits_of_0_repeats_history(run: Run) -> None:
    endorsed = tuple(run.liquidations["liquidator"].unique())
    done = history(run).under(STRICT, Limit(0, 0, ""), Guards(endorsed=endorsed))
    assert differing(done)[1] == []
    assert outcomes(done) == {"FORCED": run.liquidations.height}
    assert {result.fee for result in done.results} == {0}


@pytest.mark.parametrize("name", ["rehearsal", "large"])
def test_the_february_rule_allows_what_the_february_contracts_allowed(name: str, request: pytest.FixtureRequest) -> None:
    """The recorded contracts checked the fluctuation limit of 1.2 % themselves, on every opening and liquidation."""
    found = request.getfixturevalue(name)
    (rules,) = rules_named("v1-february", with_guards(found, SETTINGS))
    assert differing(history(found).under(rules)) == (POOLS[name], [])


def test_the_partial_rule_repeats_the_later_contracts(later: Run) -> None:
    """Which of the 17 closed a quarter and which the whole is decided by the rule here, by the contract there."""
    rules = Rules("partial", over_position_notional=True, partial=ONE // 4)
    assert differing(history(later).under(rules)) == (72, [])


@pytest.mark.parametrize(
    ("throttles", "earlier", "closed", "refused"),
    [
        ("liquidations", 0, 1, False),  # 0.4 % in all: inside
        ("liquidations", 2, 2, True),  # 1.6 % in this block, of which this one 0.8 %
        ("liquidations", 2, 4, False),  # this one alone 1.6 %: not asked
        ("blocks", 2, 4, False),  # it began inside, and may end outside once
        ("blocks", 4, 1, True),  # it began outside
        ("", 4, 4, False),
    ],
)
def test_v1s_fluctuation_limit_on_liquidations(throttles: str, earlier: int, closed: int, refused: bool) -> None:
    """1.2 % of the last other block's price; closing 1 of 500 moves it by 0.4 %."""
    market = Market.launched("m", Reserves.of(10_000_000 * ONE, 500 * ONE), 0, 0)
    market.block = 1
    market.swap_base(earlier * ONE)
    before = market.pool
    market.swap_base(closed * ONE)
    gate = Gate(Rules("r", fluctuation=12 * ONE // 1000, throttles=throttles), market, NO_LIMIT)
    assert gate.v1_reverts(before, Closed(closed * ONE, 0, 0), None, None) == refused
    assert gate.exceeds_fluctuation(market.pool) == (earlier + closed > 3)


def test_the_order_of_the_input_rows_does_not_matter(rehearsal: Run) -> None:
    def shuffled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.sample(fraction=1, shuffle=True, seed=3)

    tables = {name: shuffled(frame) for name, frame in rehearsal.events.others.items()}
    mixed = scenarios(sip(), shuffled(rehearsal.liquidations), shuffled(rehearsal.events.table), tables, rehearsal.incident)
    straight = scenarios(sip(), rehearsal.liquidations, rehearsal.events.table, rehearsal.events.others, rehearsal.incident)
    assert mixed.outcomes.equals(straight.outcomes)
    assert mixed.paths.equals(straight.paths)


# What guards do


ZEROS = {"delta": Limit(0, None, ""), "pd": Limit(None, 0, ""), "both": Limit(0, 0, "")}


@pytest.mark.parametrize(
    ("run", "limit"),
    # Of many traders, both at once is no more than either: the small chains ask it.
    [(chain, limit) for chain in CHAINS for limit in ZEROS if (chain, limit) != ("large", "both")],
    indirect=["run"],
)
@pytest.mark.parametrize(
    "rules", [STRICT, replace(STRICT, unflags=True), replace(STRICT, flag_rule="index")], ids=["v1", "unflag", "index"]
)
def test_a_limit_of_0_blocks_every_liquidation(run: Run, limit: str, rules: Rules) -> None:
    counted = outcomes(history(run).under(rules, ZEROS[limit]))
    assert not {"LIQUIDATED", "FLAGGED_THEN_LIQUIDATED", "FORCED"} & set(counted)


def first_alone(run: Run) -> Run:
    """The run's logs up to its first BTC liquidation."""
    market = run.incident.affected[0].amm
    row = run.liquidations.filter(market=market).row(0, named=True)
    place = (pl.col("block_number") < row["block_number"]) | (
        (pl.col("block_number") == row["block_number"]) & (pl.col("log_index") <= row["log_index"])
    )
    tables = {name: frame.filter(place) for name, frame in run.events.others.items()}
    events = Events(run.events.table.filter(place).lazy(), {name: frame.lazy() for name, frame in tables.items()})
    return structs.replace(run, events=events, liquidations=run.liquidations.filter(place, pl.col("market") == market))


@cache
def alone(name: str) -> tuple[Run, Actions, Mapping[str, IndexSeries], Sequence[str]]:
    found = first_alone(perpcomp.compute({"later": str(LAB / "later-contracts.toml")}.get(name, name)))
    told = read_actions(found.liquidations, found.events.table, found.events.others, found.incident)
    markets = [market.amm for market in found.incident.markets]
    return found, told, index_series(markets, found.events.others, found.incident), markets


BY_VERDICT = {"LIQUIDATED": "LIQUIDATED", "NOT_FLAGGABLE_AT_INDEX": "NEVER_FLAGGED", "NO_INDEX": "NO_INDEX"}


@pytest.mark.property
@given(st.integers(0, 5 * 10**17), st.integers(0, 5 * 10**17), st.sampled_from(["v1", "index"]))
@settings(max_examples=60)
def test_a_single_liquidation_ends_as_its_verdict_says(delta: int, pd: int, flag_rule: str) -> None:
    for name in ("rehearsal", "later"):
        found, told, known, markets = alone(name)
        limits = f"max_liquidation_delta = {Decimal(delta).scaleb(-18):f}\nmax_pd = {Decimal(pd).scaleb(-18):f}\n"
        asked = with_guards(found, f"[guards]\nflag_rule = '{flag_rule}'\n{SOURCE}[[guards.limits]]\n{limits}{SOURCE}")
        (verdict,) = judge(found.liquidations, found.events.table, found.events.others, asked).table["verdict"]
        rules = replace(STRICT, flag_rule=flag_rule)
        done = Counterfactual(told, rules, dict.fromkeys(markets, Limit(delta, pd, "")), known, asked.guards, 0).run()
        assert [result.outcome for result in done.results] == [BY_VERDICT.get(verdict, "FLAGGED")]


def test_margin_taken_is_fee_plus_rest_minus_shortfall(run: Run) -> None:
    """Nothing is lost and nothing appears: per liquidation, and between what is taken and what is left."""
    asked = with_guards(run, SETTINGS)
    every = (Rules("v1"), STRICT, *sip(), *(rules_named(name, asked)[0] for name in V1))
    for one in every if run.incident.name != "large" else every[:2]:
        found = scenarios([one], run.liquidations, run.events.table, run.events.others, asked).outcomes
        executed = found.filter(pl.col("remaining_counterfactual").is_not_null())
        left = executed["liquidation_fee"] + executed["to_insurance_fund"] - executed["fee_shortfall"]
        assert left.equals(executed["remaining_counterfactual"], check_names=False)
        assert (executed["bad_debt"].eq(0) | executed["remaining_counterfactual"].eq(0)).all()
        loss = found["remaining_historical"].fill_null(0) - found["remaining_counterfactual"].fill_null(0)
        assert loss.equals(found["loss_difference"], check_names=False)


def test_a_flag_stays_unless_the_rules_unflag(rehearsal: Run, later: Run) -> None:
    for run, flag in ((rehearsal, "v1"), (rehearsal, "index"), (later, "v1")):
        strict = history(run).under(replace(STRICT, flag_rule=flag), Limit(ONE // 500, ONE // 250, ""))
        assert "FLAGGED_THEN_RECOVERED" not in outcomes(strict)
        for result in strict.results:
            if result.outcome == "FLAGGED":
                assert result.flagged_at is not None


def test_a_flagged_account_is_frozen_and_its_actions_are_listed(rehearsal: Run) -> None:
    """In the recording four traders act again after their liquidation: now their accounts are still flagged."""
    done = history(rehearsal).under(STRICT, Limit(0, 0, ""))
    assert {why for _, why in done.dropped} == {"the account is flagged"}
    labels = {one["trader"]: one["label"] for one in truth("february")["liquidations"]}
    assert sorted({labels[action.trader] for action, _ in done.dropped}) == ["F52x10_reduce", "meta", "stray_margin", "twice"]
    flagged = {result.trader for result in done.results if result.outcome == "FLAGGED"}
    assert {action.trader for action, _ in done.dropped} <= flagged


def test_strict_sip_liquidates_the_recovered_and_takes_all(rehearsal: Run) -> None:
    """The finding that every report must carry: without unflagging more margin is taken than in history."""
    found = scenarios(sip(), rehearsal.liquidations, rehearsal.events.table, rehearsal.events.others, rehearsal.incident)
    taken = dict(found.outcomes.group_by("scenario").agg(pl.col("remaining_counterfactual").sum()).iter_rows())
    history_took = found.outcomes.filter(scenario="sip-2005 flag=v1")["remaining_historical"].sum()
    assert taken["sip-2005 flag=v1"] > history_took > taken["sip-2005 flag=v1 unflag"] == 0
    late = found.outcomes.filter(scenario="sip-2005 flag=v1", outcome="FLAGGED_THEN_LIQUIDATED")
    assert late["recovered_while_flagged"].all()
    counted = {key: n for *key, n in found.outcomes.group_by("scenario", "outcome").len().iter_rows() for key in [tuple(key)]}
    assert counted["sip-2005 flag=v1 unflag", "FLAGGED_THEN_RECOVERED"] == 31
    assert counted["sip-2005 flag=index", "NEVER_FLAGGED"] == 32
    assert any("a flag is never lifted" in str(finding) for finding in found.findings)


def test_a_report_first_checks_that_it_repeats_history(rehearsal: Run) -> None:
    """Every answer says whether history executed again is history; with a millionth of a millionth more in one trade it is not, and that is an error."""
    given = (rehearsal.liquidations, rehearsal.events.table, rehearsal.events.others, rehearsal.incident)
    said = scenarios(sip()[:1], *given).findings[0]
    assert (said.level, "history leaves all 290 pools that the logs state, to the last digit" in said.what) == ("note", True)
    told = history(rehearsal).actions
    odd = list(told.in_order)
    n = [n for n, action in enumerate(odd) if action.what == "trade"][150]
    odd[n] = replace(odd[n], given=(odd[n].given[0] + 10**6, odd[n].given[1]))
    limits = dict.fromkeys(history(rehearsal).markets, NO_LIMIT)
    other = Counterfactual(replace(told, in_order=odd), Rules("v1"), limits, history(rehearsal).indices, Guards(), 0).run()
    finding = repeats_history(other)
    assert finding.level == "error"
    assert finding.where == f"tx {odd[n].transaction} log {odd[n].log[1]}"


def test_forced_liquidations_wait_for_the_delay(rehearsal: Run) -> None:
    endorsed = tuple(rehearsal.liquidations["liquidator"].unique())
    at_once = history(rehearsal).under(STRICT, Limit(0, 0, ""), Guards(endorsed=endorsed))
    later = history(rehearsal).under(STRICT, Limit(0, 0, ""), Guards(endorsed=endorsed, forced_delay=600))
    waited = [r.liquidated_at - r.flagged_at for r in later.results if r.outcome == "FORCED" and r.liquidated_at and r.flagged_at]
    assert waited
    assert min(waited) >= 600
    assert {r.liquidated_at - r.flagged_at for r in at_once.results if r.liquidated_at and r.flagged_at} == {0}
    one = history(rehearsal).under(STRICT, Limit(0, 0, ""), Guards(endorsed=endorsed[:1]))
    forced = {r.past.liquidator for r in one.results if r.outcome == "FORCED" and r.past}
    assert forced == set(endorsed[:1])


def test_an_eager_keeper_is_never_later_than_history(rehearsal: Run) -> None:
    done = history(rehearsal).under(Rules("v1"), guards=Guards(keeper="eager"))
    times = dict(
        zip(rehearsal.liquidations.select("block_number", "log_index").iter_rows(), rehearsal.liquidations["block_time"], strict=True)
    )
    pairs = [(r.liquidated_at, times[r.past.log].timestamp()) for r in done.results if r.past and r.liquidated_at]
    assert len(pairs) == 36
    assert all(ours <= theirs for ours, theirs in pairs)
    assert any(ours < theirs for ours, theirs in pairs)


def test_v1s_later_rules_compare_the_oracle_price_and_close_parts(rehearsal: Run) -> None:
    asked = with_guards(rehearsal, SETTINGS)
    counted = {name: outcomes(history(rehearsal).under(rules_named(name, asked)[0])) for name in V1}
    assert counted["v1-february"] == {"LIQUIDATED": 36}
    assert counted["v1-spread"] == {"LIQUIDATED": 22, "NEVER_FLAGGED": 14, "ELIGIBLE_HERE": 1}
    partial = history(rehearsal).under(rules_named("v1-partial", asked)[0])
    shares = [abs(r.closed.size) for r in partial.results if r.closed]
    assert len(shares) == 22
    whole = {r.past.log: abs(r.closed.size) for r in history(rehearsal).repeated.results if r.past and r.closed}
    parts = [r for r in partial.results if r.past and r.closed and abs(r.closed.size) * 3 < whole[r.past.log]]
    assert parts


def test_bad_debt_needs_a_backstop_provider(rehearsal: Run) -> None:
    """Without one on the list the positions under water stay; with the historical liquidators on it, nothing is held back for that."""
    keepers = ", ".join(f'"{k}"' for k in rehearsal.liquidations["liquidator"].unique())
    alone_ = history(rehearsal).under(rules_named("v1-backstop", with_guards(rehearsal, SETTINGS))[0])
    assert all(r.closed.left >= 0 for r in alone_.results if r.closed)
    assert "FLAGGED" in outcomes(alone_)
    listed = with_guards(rehearsal, SETTINGS + f"backstop_providers = [{keepers}]\n")
    with_them = history(rehearsal).under(rules_named("v1-backstop", listed)[0])
    assert any(r.closed.left < 0 for r in with_them.results if r.closed)
    assert "FLAGGED" not in outcomes(with_them)


def test_an_account_liquidatable_only_here_is_reported_and_not_tried(rehearsal: Run) -> None:
    """One trader's liquidation is removed from the actions: no keeper tries the account, although history closed its position."""
    whole = read_actions(rehearsal.liquidations, rehearsal.events.table, rehearsal.events.others, rehearsal.incident)
    gone = rehearsal.liquidations.filter(market_name="BTCUSDC", eligible=True).row(5, named=True)
    account = (gone["market"], gone["trader"])
    actions = [a for a in whole.in_order if (a.market, a.trader) != account or a.log[0] < gone["block_number"]]
    told = replace(whole, in_order=actions, liquidated=whole.liquidated - {account})
    limits, start = dict.fromkeys({a.market for a in actions}, NO_LIMIT), int(rehearsal.incident.eligibility.start.timestamp())
    done = Counterfactual(told, Rules("v1"), limits, history(rehearsal).indices, Guards(), start).run()
    assert account in done.liquidatable_here
    (found,) = (r for r in done.results if r.outcome == "ELIGIBLE_HERE")
    assert (found.market, found.trader, found.past, found.liquidated_at) == (*account, None, None)
    assert found.flagged_at is not None
    assert found.flagged_at >= gone["block_time"].timestamp()
    assert done.gates[gone["market"]].market.positions[gone["trader"]].size != 0
    assert not history(rehearsal).repeated.liquidatable_here


def test_a_recovered_account_keeps_the_time_of_its_flag(rehearsal: Run) -> None:
    found = scenarios(sip(), rehearsal.liquidations, rehearsal.events.table, rehearsal.events.others, rehearsal.incident).outcomes
    free = found.filter(outcome="FLAGGED_THEN_RECOVERED")
    assert free["flagged_at"].null_count() == free["flag_price"].null_count() == 0
    assert free["recovered_while_flagged"].all()
    assert free["liquidated_at"].null_count() == free.height
    never = found.filter(outcome="NEVER_FLAGGED")
    assert never["flagged_at"].null_count() == never.height
    held = found.filter(pl.col("equity_at_end").is_not_null())
    assert set(held["outcome"]) == {"NEVER_FLAGGED", "FLAGGED", "FLAGGED_THEN_RECOVERED", "NO_INDEX"}


def test_every_outcome_has_a_meaning(rehearsal: Run, later: Run) -> None:
    for run, rules in product((rehearsal, later), sip()):
        assert set(outcomes(history(run).under(rules, Limit(ONE // 500, ONE // 250, "")))) <= set(OUTCOMES)


# Operations of traders where history cannot be repeated


@pytest.fixture
def market() -> Market:
    return Market.launched("m", Reserves.of(10_000_000 * ONE, 500 * ONE), 0, 0)


def test_an_opening_against_a_position_reduces_or_reverses_it(market: Market) -> None:
    market.trade("a", 1000 * ONE, (100 * ONE, 1000 * ONE))
    size = market.positions["a"].size
    assert market.trade("a", -400 * ONE, (40 * ONE, 400 * ONE)) is False
    assert 0 < market.positions["a"].size < size
    assert market.trade("a", -1600 * ONE, (160 * ONE, 1600 * ONE)) is True
    held = market.positions["a"]
    assert held.size < 0
    assert held.open_notional == pytest.approx(1000 * ONE, rel=1e-9)
    assert held.margin == held.open_notional // 10


def test_a_trade_that_only_reduced_in_history_opens_nothing(market: Market) -> None:
    with pytest.raises(ActionImpossible, match="only reduced in history"):
        market.trade("a", -400 * ONE, None)
    market.trade("a", 300 * ONE, (30 * ONE, 300 * ONE))
    assert market.trade("a", -400 * ONE, None) is True
    assert market.positions["a"].size == 0


def test_the_quarter_hour_follows_the_swaps_of_one_block(market: Market) -> None:
    """They change the last snapshot, and add none. A pool that is no longer there would revert the close of a short too large for it."""
    for block in (0, 60):  # the launch, whose one snapshot is all there is to average, and another
        market.block = market.clock = block
        for quote in (5_000_000 * ONE, -5_000_000 * ONE):
            market.swap_quote(quote)
            average, spot, base = market.quarter_hour()
            assert average.pools[0][0] == market.pool
            assert base == min(pool.base for pool in market.timeline.pools)
            assert block or spot == market.pool.spot


def test_margin_above_the_balance_cannot_be_taken_out(market: Market) -> None:
    market.add_margin("a", 5 * ONE)
    with pytest.raises(ActionImpossible, match="the margin is less than what is taken out"):
        market.add_margin("a", -6 * ONE)


@pytest.mark.property
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(-(10**24), 10**24).filter(bool)), max_size=8), st.integers(1, 10**24))
def test_restore_undoes_an_operation(trades: list[tuple[str, int]], quote: int) -> None:
    market = Market.launched("m", Reserves.of(10_000_000 * ONE, 500 * ONE), 0, 0)
    for n, (trader, amount) in enumerate(trades):
        market.block = market.clock = n // 2
        market.trade(trader, amount, (abs(amount) // 10, abs(amount)))
    before = (
        market.pool,
        market.cumulative,
        dict(market.positions),
        list(market.timeline.times),
        list(market.timeline.pools),
        market.snapshot_block,
    )
    saved = market.savepoint("a")
    market.trade("a", quote, (quote, quote))
    market.restore("a", saved)
    after = (
        market.pool,
        market.cumulative,
        dict(market.positions),
        list(market.timeline.times),
        list(market.timeline.pools),
        market.snapshot_block,
    )
    assert before == after


# What happens in a market: who trades how much, a funding payment at a price, a migration of the liquidity by a factor, or a restored trade.
TRADED = st.integers(-(10**6), 10**6).filter(bool).map(lambda quote: quote * ONE)  # a position of a few wei has an open notional below 0
STEPS_OF_A_MARKET = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("trade", "restored")), st.sampled_from("abcdef"), TRADED),
        st.tuples(st.just("fund"), st.just(""), st.integers(10_000, 40_000)),
        st.tuples(st.just("migrate"), st.just(""), st.integers(1, 5)),
        st.tuples(st.just("settle"), st.sampled_from("abcdef"), st.just(0)),
    ),
    max_size=14,
)


@pytest.mark.property
@given(STEPS_OF_A_MARKET, st.integers(ONE // 40, ONE // 2), st.booleans())
def test_whoever_is_below_maintenance_is_found_after_every_step(
    steps: list[tuple[str, str, int]], maintenance: int, over_position_notional: bool
) -> None:
    """Also those that the sorted crossings pass over, and at the index price: every account's own ratio says the same."""
    market, index = Market.launched("m", Reserves.of(10_000_000 * ONE, 500 * ONE), 0, 0), 20_000 * ONE
    gate = Gate(Rules("index", "index"), market, NO_LIMIT, index, maintenance)
    watch = gate.watch
    for n, (what, trader, number) in enumerate(steps, 1):
        market.block, market.clock = n, 200 * n
        if what in ("trade", "restored"):
            saved = market.savepoint(trader)
            market.trade(trader, number, (abs(number) // 10, abs(number)))
            if what == "restored":
                watch.below("abcdef", maintenance, over_position_notional)
                gate.flaggable("abcdef")
                market.restore(trader, saved)
        elif what == "fund":
            market.fund(number * ONE)
        elif what == "settle":
            market.settle(trader)
        else:
            market.migrate(Reserves.of(10 * ONE, 10 * ONE), Reserves.of(10 * number * ONE, 10 * number * ONE))
        below = watch.below("abcdef", maintenance, over_position_notional)
        assert below == {one for one in "abcdef" if is_below(market, one, maintenance, over_position_notional)}
        assert watch.below("ab", maintenance, over_position_notional) == below & {"a", "b"}
        at_index = {one for one in "abcdef" if is_below_at(index, market, one, maintenance)}
        assert gate.flaggable("ab") == at_index & {"a", "b"}
        assert gate.flaggable("abcdef") == at_index


def test_a_short_as_large_as_the_pool_is_not_below_maintenance(market: Market) -> None:
    """Nobody can close it, so nobody can liquidate it: a price that rises far enough first brings it below, and then out of reach.

    It stays out of reach for as long as such a price is in the average.
    """
    watch, found = Maintenance(market), []
    market.trade("a", -4_900_000 * ONE, (490_000 * ONE, 4_900_000 * ONE))
    for block, quote in enumerate((500_000, 1_000, 6_000_000, -6_000_000, 1_000), 1):
        market.block, market.clock = block, block * 1000
        market.trade("b", quote * ONE, (abs(quote) * ONE, abs(quote) * ONE))
        found.append(watch.below("ab", ONE // 16, False))
        assert found[-1] == {one for one in "ab" if is_below(market, one, ONE // 16, False)}
    assert found == [set(), {"a"}, set(), set(), {"a"}]


def is_below(market: Market, trader: str, maintenance: int, over_position_notional: bool) -> bool:
    """By the ratios as the contract computes them; False where they revert."""
    position = market.position(trader)
    if position.size == 0:
        return False
    try:
        return market.ratios(position, over_position_notional)[1] < maintenance
    except Reverts:
        return False


def is_below_at(index: int, market: Market, trader: str, maintenance: int) -> bool:
    held = market.position(trader)
    return held.size != 0 and ratio_at_index(held.size, held.margin, held.open_notional, market.owed(held), index) < maintenance


def test_a_size_that_follows_a_migration_is_seen_at_the_index_price(market: Market) -> None:
    index, before, after = 20_000 * ONE, Reserves.of(10 * ONE, 10 * ONE), Reserves.of(50 * ONE, 50 * ONE)
    market.trade("a", 1_000_000 * ONE, (100_000 * ONE, 1_000_000 * ONE))
    moved = deepcopy(market)
    moved.migrate(before, after)
    held, then = market.position("a"), moved.position("a")
    ratios = [ratio_at_index(one.size, one.margin, one.open_notional, 0, index) for one in (held, then)]
    assert ratios[0] != ratios[1]
    gate = Gate(Rules("index", "index"), market, NO_LIMIT, index, max(ratios))
    was = gate.flaggable("a")
    market.migrate(before, after)
    assert [was == {"a"}, gate.flaggable("a") == {"a"}] == [ratio < max(ratios) for ratio in ratios]


WEI = st.integers(1, 10**24)


@pytest.mark.property
@given(st.integers(-(10**22), 10**22).filter(bool), WEI, WEI, st.integers(-(10**21), 10**21), st.integers(1, ONE // 2), WEI, st.booleans())
def test_maintenance_notional_is_where_the_margin_ratio_crosses_maintenance(
    size: int, margin: int, notional: int, owed: int, maintenance: int, closing: int, over: bool
) -> None:
    held = Position(size, margin, notional)
    edge = maintenance_notional(held, owed, maintenance, over)
    for moved in (closing, edge - 1, edge, edge + 1):
        if moved > 0:
            inside = moved >= edge if size > 0 else moved <= edge
            assert (ratio(held, owed, moved, over) >= maintenance) == inside


# Refusals


def test_a_history_with_a_gap_is_refused(rehearsal: Run) -> None:
    table = rehearsal.events.others["ReserveSnapshotted"]
    for name, tables in (
        ("a snapshot", {**rehearsal.events.others, "ReserveSnapshotted": table.slice(0, 100).vstack(table.slice(101))}),
        ("an event", {k: v for k, v in rehearsal.events.others.items() if k != "MarginChanged"}),
        ("the beginning", {k: v.filter(pl.col("block_number") > 13_500_100) for k, v in rehearsal.events.others.items()}),
    ):
        said = problems(lambda tables=tables: read_actions(rehearsal.liquidations, rehearsal.events.table, tables, rehearsal.incident))
        assert said.startswith(
            "The logs: A counterfactual executes every log again, from each market's launch on, but logs are missing: "
        ), name


def test_rules_need_their_settings_and_a_known_name(rehearsal: Run) -> None:
    assert "--rules sip2005: No rules have the name 'sip2005'. Did you mean 'sip-2005'?" in problems(
        lambda: rules_named("sip2005", rehearsal.incident)
    )
    said = problems(lambda: rules_named("v1-february", rehearsal.incident))
    assert said.startswith("--rules v1-february: The rules v1-february need fluctuation_limit, which rehearsal.toml does not state.")
    only = with_guards(rehearsal, f"[guards]\nfluctuation_limit = 0.012\n{SOURCE}")
    assert "partial_liquidation_ratio" in problems(lambda: rules_named("v1-partial", only))


def test_the_fee_ratio_must_be_known(later: Run) -> None:
    raw = later.incident.raw.replace(b"liquidation_fee_ratio = 0.0125\n", b"")
    asked = incident_file.parse(raw, "x", later.incident.folder)
    with pytest.raises(InputError, match="Add liquidation_fee_ratio to"):
        read_actions(later.liquidations, later.events.table, later.events.others, asked)
