"""From an incident and its input to every table of a run: one liquidation, followed forward, stage by stage.

Nothing here writes, and nothing here asks the clock, the network or the machine: the same incident, input and formulas give the same
Run. What may be published of it is in publish/.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from perpcomp import entitlement, payouts, restore
from perpcomp import formula as formulas
from perpcomp.decide import capacity, compare, published
from perpcomp.decide.restore_orders import in_kind, orders
from perpcomp.eligibility.decide import decide
from perpcomp.eligibility.left_out import left_out
from perpcomp.engine import LOCAL, Engine
from perpcomp.findings import Finding, InputError
from perpcomp.formula import Formula
from perpcomp.guards.verdicts import beside, screen
from perpcomp.incident.incident import Incident
from perpcomp.input import Events, Input, read_events
from perpcomp.run import Run
from perpcomp.systems import SYSTEMS
from perpcomp.systems.perpetual_v1.events import TRANSFER
from perpcomp.systems.perpetual_v1.index_drawdown import index_drawdowns
from perpcomp.systems.perpetual_v1.replay.replay import Replay, first_of_later_code, replay
from perpcomp.systems.synthetix_v2.events import SYSTEM
from perpcomp.systems.synthetix_v2.flags import flags
from perpcomp.valuation import at_reference, is_before_crash
from perpcomp.vesting.vest import vest


def gaps(events: Events, incident: Incident) -> list[Finding]:
    """The events whose position was not what the event before it left: logs are missing from the input."""
    found: list[Finding] = SYSTEMS[incident.system].gaps(events.lazy, events.lazy_others)
    return found


def replayed(events: Events, found: pl.DataFrame) -> Replay:
    """The input's events replayed; `found` is a table of its liquidations, which tells the code that ran."""
    return replay(events.others, events.table, later_ratio_from=first_of_later_code(found))


@dataclass(frozen=True)
class Found:
    """The liquidations of an input: the published table, the replay where the incident asks for one, what restoring the positions
    would come to, and what does not fit.
    """

    table: pl.DataFrame
    replayed: Replay | None
    restore_orders: pl.DataFrame
    in_kind: pl.DataFrame
    problems: list[Finding]


def liquidations(events: Events, source: Input, incident: Incident, engine: Engine = LOCAL) -> Found:
    """Every liquidation: found, valued, judged, and opened again on the curve where the incident says so."""
    begun, ratio = is_before_crash(incident), incident.chain.liquidation_fee_ratio
    found, doubts = SYSTEMS[incident.system].liquidations(events.lazy, events.lazy_others, ratio, begun, engine)
    market = replayed(events, found) if incident.replays else None
    valued, unknown = at_reference(found, incident, market, source.prices)
    guarded = screen(valued, events.table, events.others, incident) if incident.judges_by_guards else None
    valued = beside(valued, None if guarded is None else guarded.verdicts)
    drawdowns = index_drawdowns(events.lazy_others, incident)
    judged, remarks = decide(valued, incident, drawdowns)
    pools = restore.pools(incident, market)
    opened = list(restore.openings(judged, pools, incident.restore, incident.restore.order)) if incident.restore else []
    table, impossible = restore.on_curve(judged, incident, pools, opened)
    return Found(
        table=table,
        replayed=market,
        restore_orders=orders(table, incident, pools),
        in_kind=in_kind(table, opened),
        problems=[*gaps(events, incident), *doubts, *unknown, *(guarded.findings if guarded else ()), *remarks, *impossible],
    )


def compute(
    incident: Incident, source: Input, formula: str | None = None, compared: Sequence[str] | None = None, engine: Engine = LOCAL
) -> Run:
    """The whole run. `formula` overrides the incident's; `compared` names the formulas set side by side, default all installed.

    `engine` says where decoding and the replay of lives are done; it changes no result.
    """
    chosen = formulas.find(formula or incident.formula)
    beside, problems = _compared(compared)
    events = read_events(source, incident, engine)
    found = liquidations(events, source, incident, engine)
    table = found.table
    stopped = any(doubt.stops for doubt in found.problems)
    owed = {one.name: entitlement.of_traders(one, table) for one in [chosen, *beside]}
    paid = payouts.pay(chosen, owed[chosen.name], table, incident, stopped)
    comparison = compare.compare({one.name: owed[one.name] for one in beside}, table)
    balance, unknown = capacity.fund_balance(events.lazy, events.lazy_others.get(TRANSFER.name), incident)
    enough = capacity.capacity(comparison, balance, incident)
    problems += (
        found.problems + payouts.unpaid(chosen, owed[chosen.name]) + unknown + capacity.check_fund(enough, balance, chosen.name, incident)
    )
    problems += published.check_budgets(paid, incident, len(entitlement.incomplete(owed[chosen.name])), stopped)
    problems += published.check_expectations(table, paid, incident)
    return Run(
        incident=incident,
        input=source,
        formula=chosen,
        compared=tuple(beside),
        events=events,
        liquidations=table,
        payouts=paid,
        claims=vest(paid, incident),
        left_out=left_out(table, events.lazy, events.lazy_others, incident),
        comparison=comparison,
        capacity=enough,
        in_kind=found.in_kind,
        restore_orders=found.restore_orders,
        replayed=found.replayed,
        problems=tuple(problems),
        flags=_flags(events, incident),
    )


def _flags(events: Events, incident: Incident) -> pl.DataFrame | None:
    if incident.system != SYSTEM:
        return None
    return flags(events.lazy_others, {market.amm: market.name for market in incident.markets})


def _compared(names: Sequence[str] | None) -> tuple[list[Formula], list[Finding]]:
    """The formulas to compare. One that is broken is named and passed over, unless it was asked for."""
    if names is not None:
        return [formulas.find(name) for name in names], []
    usable, problems = [], []
    for name in formulas.installed():
        try:
            candidate = formulas.find(name)
            formulas.tree(candidate)
            usable.append(candidate)
        except InputError as error:
            advice = "It is left out of the comparison."
            problems += [
                replace(p, level="warning", what_to_do=f"{advice} {p.what_to_do}", code="formula-not-compared") for p in error.problems
            ]
    return usable, problems
