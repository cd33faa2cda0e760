"""The counterfactual under several sets of rules side by side, as published tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from perpcomp.findings import Finding
from perpcomp.guards.counterfactual.actions import Action, read_actions
from perpcomp.guards.counterfactual.outcomes import PathPoint, Result
from perpcomp.guards.counterfactual.rules import Rules
from perpcomp.guards.counterfactual.simulation import Counterfactual
from perpcomp.guards.index_prices import index_series
from perpcomp.guards.limits import NO_LIMIT, market_limits
from perpcomp.incident.guards import Guards
from perpcomp.incident.incident import Incident
from perpcomp.tables.guards import COUNTERFACTUAL, DROPPED, PATHS
from perpcomp.tables.schema import check, frame_of

NEVER = 2**62  # unix seconds


@dataclass(frozen=True)
class Scenarios:
    """The COUNTERFACTUAL, PATHS and DROPPED frames of all scenarios, and what a reader must know beside them."""

    outcomes: pl.DataFrame
    paths: pl.DataFrame
    dropped: pl.DataFrame
    findings: tuple[Finding, ...]


def scenarios(
    rules: Sequence[Rules], liquidations: pl.DataFrame, events: pl.DataFrame, tables: Mapping[str, pl.DataFrame], incident: Incident
) -> Scenarios:
    """Execute history under each set of rules, and once under V1's own to check that it stays history.

    InputError where the logs do not hold the whole history, or where limits or index prices cannot be determined. Only markets with a
    liquidation are in the tables. Paths begin with each market's last pool before the first liquidation, of history or under these rules.
    """
    actions = read_actions(liquidations, events, tables, incident)
    affected = sorted(set(liquidations.get_column("market")))
    others = sorted({action.market for action in actions.in_order} - set(affected))
    limits = {**market_limits(affected, events, incident), **dict.fromkeys(others, NO_LIMIT)}
    indices = index_series([*affected, *others], tables, incident)
    start = int(incident.eligibility.start.timestamp())
    repeated = Counterfactual(actions, Rules("v1"), limits, indices, Guards(), NEVER).run()
    runs = [Counterfactual(actions, one, limits, indices, incident.guards, start).run() for one in rules]
    names = {market.amm: market.name for market in incident.markets}
    differing = (point.action.log[0] for run in runs for point in run.path if point.action.pool != point.pool)
    first = min((*liquidations.get_column("block_number"), *differing), default=0)
    assumed = next((found for block in liquidations.get_column("block_number") if (found := actions.replayed.assumed_at(block))), None)
    outcomes = [row for run in runs for row in _outcome_rows(run, names)]
    paths = [_path_row(run, point) for run in runs for market in affected for point in _path(run, market, first)]
    dropped = [_dropped_row(run, action, why) for run in runs for action, why in run.dropped]
    return Scenarios(
        check(frame_of(outcomes, COUNTERFACTUAL), COUNTERFACTUAL),
        check(frame_of(paths, PATHS), PATHS),
        check(frame_of(dropped, DROPPED), DROPPED),
        (repeats_history(repeated), *([assumed] if assumed else []), *_remarks(runs)),
    )


def _outcome_rows(run: Counterfactual, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Rows of COUNTERFACTUAL, numbered within each account in the order of history and then of the counterfactual."""
    count = dict[tuple[str, str], int]()
    last = run.actions.in_order[-1].log
    for result in sorted(run.results, key=lambda r: (r.past.log if r.past else last, r.liquidated_at or 0)):
        account = (result.market, result.trader)
        count[account] = count.get(account, 0) + 1
        yield _outcome_row(run, result, count[account], names.get(result.market, result.market))


def _outcome_row(run: Counterfactual, result: Result, number: int, market_name: str) -> dict[str, Any]:
    past, closed = result.past, result.closed
    taken = fee = rest = shortfall = debt = None
    if closed is not None and result.fee is not None:
        taken, debt = max(0, closed.left), max(0, -closed.left)
        fee, rest, shortfall = result.fee, max(0, taken - result.fee), max(0, result.fee - taken)
    limit = run.limits[result.market] if run.rules.limited else NO_LIMIT
    return {
        "scenario": run.rules.name,
        "market": result.market,
        "trader": result.trader,
        "number": number,
        "market_name": market_name,
        "transaction_hash": past.transaction if past else None,
        "block_number": past.log[0] if past else None,
        "log_index": past.log[1] if past else None,
        "outcome": result.outcome,
        "flagged_at": result.flagged_at,
        "flag_price": result.flag_price,
        "recovered_while_flagged": result.candidate.recovered,
        "liquidated_at": result.liquidated_at,
        "price_historical": past.spot_after if past else None,
        "price_counterfactual": result.price,
        "closed_size": closed.size if closed else None,
        "remaining_historical": past.taken if past else None,
        "remaining_counterfactual": taken,
        "liquidation_fee": fee,
        "to_insurance_fund": rest,
        "fee_shortfall": shortfall,
        "bad_debt": debt,
        "loss_difference": (past.taken if past else 0) - (taken or 0),
        "equity_at_end": result.equity_at_end,
        "max_liquidation_delta": limit.delta,
        "max_pd": limit.pd,
        "parameters_source": limit.source,
    }


def _path(run: Counterfactual, market: str, first: int) -> Sequence[PathPoint]:
    """The market's path from a block on, and the last point before it: the pool that the block met."""
    points = [point for point in run.path if point.action.market == market]
    begins = sum(point.action.log[0] < first for point in points)
    return points[max(0, begins - 1) :]


def _path_row(run: Counterfactual, point: PathPoint) -> dict[str, Any]:
    action = point.action
    assert action.pool is not None  # a path holds the actions that moved the pool
    return {
        "scenario": run.rules.name,
        "market": action.market,
        "block_number": action.log[0],
        "log_index": action.log[1],
        "block_time": action.time,
        "spot_price": action.pool.spot,
        "quote_reserve": action.pool.quote,
        "base_reserve": action.pool.base,
        "counterfactual_spot_price": point.pool.spot,
        "counterfactual_quote_reserve": point.pool.quote,
        "counterfactual_base_reserve": point.pool.base,
    }


def _dropped_row(run: Counterfactual, action: Action, reason: str) -> dict[str, Any]:
    return {
        "scenario": run.rules.name,
        "market": action.market,
        "block_number": action.log[0],
        "log_index": action.log[1],
        "transaction_hash": action.transaction,
        "trader": action.trader,
        "action": action.what,
        "reason": reason,
    }


def repeats_history(repeated: Counterfactual) -> Finding:
    """A note that history, executed again by V1's own rules, left history's pools; an error where it did not.

    Every other scenario rests on this check.
    """
    wrong = [point.action for point in repeated.path if point.action.pool != point.pool]
    if not wrong:
        what = f"Executed again by V1's own rules, history leaves all {len(repeated.path):,} pools that the logs state, to the last digit."
        return Finding("note", "guards", what, "", code="history-repeated")
    what = f"Executed again by V1's own rules, history leaves another pool in {len(wrong)} of {len(repeated.path)} places."
    advice = "The contracts ran other code than assumed, or logs are missing. Do not rely on the counterfactual."
    return Finding("error", f"tx {wrong[0].transaction} log {wrong[0].log[1]}", what, advice, code="history-not-repeated")


def _remarks(runs: Sequence[Counterfactual]) -> list[Finding]:
    """The two sentences that every report on SIP-2005 must carry, and how many actions were dropped."""
    remarks = []
    if any(run.rules.freezes for run in runs):
        what = "Under SIP-2005 a flag is never lifted: a flagged trader who has recovered can still lose all of the remaining margin."
        advice = "Scenarios with 'unflag' in their name show the same with flags lifted on recovery."
        remarks.append(Finding("note", "guards", what, advice, code="flags-never-lifted"))
        what = "SIP-2005 flags by the index price. Scenarios with 'flag=v1' keep V1's own margin ratio, so they show what the two limits do alone."
        remarks.append(Finding("note", "guards", what, "", code="flags-by-index-price"))
    for run in runs:
        if run.dropped:
            what = f"{len(run.dropped)} actions of traders cannot be executed under these rules; dropped.csv lists them with the reason."
            remarks.append(Finding("note", run.rules.name, what, "", code="actions-dropped"))
    return remarks
