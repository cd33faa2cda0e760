"""The counterfactual under several rulebooks side by side, as published tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from perpcomp.findings import Finding
from perpcomp.guards.counterfactual.actions import chronicle
from perpcomp.guards.counterfactual.outcomes import Result
from perpcomp.guards.counterfactual.rules import Rules
from perpcomp.guards.counterfactual.simulation import Counterfactual
from perpcomp.guards.index_prices import Index, indices
from perpcomp.guards.limits import NO_LIMIT, Limit, limits
from perpcomp.incident.guards import Guards
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1.replay.valued import to_frame
from perpcomp.tables.guards import COUNTERFACTUAL, DROPPED, PATHS
from perpcomp.tables.schema import check

NEVER = 2**62  # unix seconds


@dataclass(frozen=True)
class Scenarios:
    """What became of each liquidation under each rulebook; both price paths; what could not be done again."""

    outcomes: pl.DataFrame
    paths: pl.DataFrame
    dropped: pl.DataFrame
    limits: Mapping[str, Limit]
    indices: Mapping[str, Index]
    findings: tuple[Finding, ...]


def scenarios(
    rulebook: Sequence[Rules], liquidations: pl.DataFrame, events: pl.DataFrame, tables: Mapping[str, pl.DataFrame], incident: Incident
) -> Scenarios:
    """Run each. InputError where the logs do not hold the whole history, or limits or index prices are not to be had.

    Only markets with a liquidation are told of. Paths begin with the block of the first liquidation: before it nothing differs.
    """
    history = chronicle(liquidations, events, tables, incident)
    told = sorted(set(liquidations.get_column("market")))
    allowed, index = limits(told, events, incident), indices(told, tables, incident)
    others = sorted({action.market for action in history.actions} - set(told))
    everywhere = {**allowed, **dict.fromkeys(others, NO_LIMIT)}
    known = {**index, **indices(others, tables, incident)}
    start = int(incident.eligibility.start.timestamp())
    again = Counterfactual(history, Rules("v1"), everywhere, known, Guards(), NEVER).run()
    runs = [Counterfactual(history, rules, everywhere, known, incident.guards, start).run() for rules in rulebook]
    names = {market.amm: market.name for market in incident.markets}
    first = liquidations.get_column("block_number").min()
    outcomes = [row for run in runs for row in _outcomes(run, names)]
    paths = [
        (run.rules.name, a.market, *a.place, a.time, a.pool.spot, a.pool.quote, a.pool.base, s.here.spot, s.here.quote, s.here.base)
        for run in runs
        for s in run.path
        if (a := s.action).pool is not None and a.market in allowed and a.place[0] >= int(str(first))
    ]
    dropped = [
        (run.rules.name, action.market, *action.place, action.transaction, action.trader, action.what, why)
        for run in runs
        for action, why in run.dropped
    ]
    return Scenarios(
        check(to_frame(outcomes, COUNTERFACTUAL), COUNTERFACTUAL),
        check(to_frame(paths, PATHS), PATHS),
        check(to_frame(dropped, DROPPED), DROPPED),
        allowed,
        index,
        (identity(again), *_remarks(runs)),
    )


def _outcomes(run: Counterfactual, names: Mapping[str, str]) -> list[tuple[Any, ...]]:
    """Rows of COUNTERFACTUAL, numbered for each account in the order of history and then of the counterfactual."""
    rows, count = [], dict[tuple[str, str], int]()
    last = run.chronicle.actions[-1].place
    for result in sorted(run.results, key=lambda r: (r.row.place if r.row else last, r.liquidated_at or 0)):
        account = (result.market, result.trader)
        count[account] = count.get(account, 0) + 1
        rows.append(_outcome(run, result, count[account], names.get(result.market, result.market)))
    return rows


def _outcome(run: Counterfactual, result: Result, number: int, name: str) -> tuple[Any, ...]:
    row, closed = result.row, result.closed
    history = (row.transaction, *row.place) if row else (None, None, None)
    taken = fee = rest = shortfall = debt = None
    if closed is not None and result.fee is not None:
        taken, debt = max(0, closed.left), max(0, -closed.left)
        fee, rest, shortfall = result.fee, max(0, taken - result.fee), max(0, result.fee - taken)
    limit = run.limits[result.market] if run.rules.limited else NO_LIMIT
    return (
        *(run.rules.name, result.market, result.trader, number, name, *history, result.outcome, result.flagged_at, result.flag_price),
        *(result.case.recovered, result.liquidated_at, row.spot_after if row else None, result.price),
        *(closed.size if closed else None, row.taken if row else None, taken, fee, rest, shortfall, debt),
        *((row.taken if row else 0) - (taken or 0), result.equity_at_end, limit.delta, limit.pd, limit.source),
    )


def identity(done: Counterfactual) -> Finding:
    """Whether history, executed again by its own rules, is history: what stands or falls with it is every other scenario."""
    wrong = [step.action for step in done.path if step.action.pool != step.here]
    if not wrong:
        what = f"Executed again by V1's own rules, history leaves all {len(done.path):,} pools that the logs state, to the last digit."
        return Finding("note", "guards", what, "")
    what = f"Executed again by V1's own rules, history leaves another pool in {len(wrong)} of {len(done.path)} places."
    where = f"tx {wrong[0].transaction} log {wrong[0].place[1]}"
    return Finding("error", where, what, "Other code ran than is assumed, or logs are missing. Do not rely on the counterfactual.")


def _remarks(runs: Sequence[Counterfactual]) -> list[Finding]:
    """The two sentences that every result must carry, and what was dropped."""
    remarks = []
    if any(run.rules.freezes for run in runs):
        what = "Under SIP-2005 a flag is never lifted: a flagged trader who has recovered can still lose all of the remaining margin."
        remarks.append(Finding("note", "guards", what, "'unflag' in a scenario's name shows the same with flags lifted on recovery."))
        what = "SIP-2005 flags by the index price. 'flag=v1' keeps V1's own margin ratio and so shows what the two limits do alone."
        remarks.append(Finding("note", "guards", what, ""))
    for run in runs:
        if run.dropped:
            what = f"{len(run.dropped)} actions of traders cannot be done again under these rules; dropped.csv lists them with the reason."
            remarks.append(Finding("note", run.rules.name, what, ""))
    return remarks
