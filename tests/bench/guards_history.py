"""CPU seconds of the guards on the recorded chain of 114,231 logs: screen, sweep and counterfactual. Results are checked first."""

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from statistics import median
from typing import TypeVar

from perpcomp import pipeline
from perpcomp.guards.counterfactual.actions import read_actions
from perpcomp.guards.counterfactual.rules import Rules, sip
from perpcomp.guards.counterfactual.scenarios import scenarios
from perpcomp.guards.counterfactual.simulation import Counterfactual
from perpcomp.guards.index_prices import index_series
from perpcomp.guards.judge import judge
from perpcomp.guards.limits import NO_LIMIT, market_limits
from perpcomp.guards.sweep import sweep
from perpcomp.incident import incident_file
from perpcomp.incident.guards import Guards
from perpcomp.input import find_input, read_events
from tests.bench.measure import ROOT, ROUNDS, Line

SWEEP_SECONDS, REPLAY_SECONDS = 5.0, 3.5
T = TypeVar("T")


def lines() -> Iterator[Line]:
    query = incident_file.load(str(ROOT / "tests/lab/large.toml"))
    source = find_input(query, None)
    events = read_events(source, query)
    found = pipeline.liquidations(events, source, query).table
    table, others = events.table, events.others

    judged, seconds = _timed(lambda: judge(found, table, others, query))
    assert judged.table.height == 1179
    yield Line(f"judge {judged.table.height:,} liquidations", f"{seconds:.2f} CPU-s")

    deltas, pds = [Decimal(n).scaleb(-4) for n in range(20)], [Decimal(n).scaleb(-3) for n in range(20)]
    swept, seconds = _timed(lambda: sweep(judge(found, table, others, query).table, deltas, pds))
    assert swept.get_column("liquidations").sum() == 2 * 400 * 1179
    target = f"< {SWEEP_SECONDS:g} CPU-s"
    yield Line("screen and sweep 20 x 20 limits, by both flag rules", f"{seconds:.2f} CPU-s", target=target, met=seconds < SWEEP_SECONDS)

    told, seconds = _timed(lambda: read_actions(found, table, others, query))
    yield Line(f"check the history and read {len(told.in_order):,} actions", f"{seconds:.2f} CPU-s")
    markets = [market.amm for market in query.markets]
    index = index_series(markets, others, query)
    allowed = dict.fromkeys(markets, NO_LIMIT) | market_limits(sorted(set(found.get_column("market"))), table, query)
    start = int(query.eligibility.start.timestamp())

    def replayed(rules: Rules, guards: Guards) -> Counterfactual:
        return Counterfactual(told, rules, allowed, index, guards, start).run()

    done, seconds = _timed(lambda: replayed(Rules("v1"), query.guards))
    assert all(point.action.pool == point.pool for point in done.path), "not history"
    yield Line(f"execute history again: {len(done.path):,} pools, all history's", f"{seconds:.2f} CPU-s")
    for rules in sip():
        done, seconds = _timed(partial(replayed, rules, query.guards))
        yield Line(f"counterfactual {rules.name}", f"{seconds:.2f} CPU-s")
    _, seconds = _timed(lambda: replayed(Rules("v1"), Guards(keeper="eager")), rounds=1)
    yield Line("v1's rules with an eager keeper", f"{seconds:.2f} CPU-s")
    whole, seconds = _timed(lambda: scenarios(sip(), found, table, others, query), rounds=1)
    assert whole.outcomes.height == 4 * 1179
    target = f"< {REPLAY_SECONDS:g} CPU-s"
    yield Line(
        "perpcomp guards --replay: four scenarios, from decoded events to tables",
        f"{seconds:.2f} CPU-s",
        target=target,
        met=seconds < REPLAY_SECONDS,
    )


def _timed(function: Callable[[], T], rounds: int = ROUNDS) -> tuple[T, float]:
    """A function's result, and its CPU seconds: the median."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return result, median(seconds)
