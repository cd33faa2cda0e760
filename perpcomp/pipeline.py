"""From an incident and its input to every table of a run: each stage takes the liquidations one step further.

The same incident, input and formulas give the same Run: no stage writes a file or reads the clock, the network or the machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from perpcomp import adjust, entitlement, payees, payouts, progress, restore, sheet_limits
from perpcomp import formula as formulas
from perpcomp.against_input.exclusions import check_exclusions, kept_back
from perpcomp.against_input.names import check_names
from perpcomp.against_input.seen import Seen
from perpcomp.against_input.statements import check_statements
from perpcomp.coverage import Coverage, coverage
from perpcomp.curve import Reserves
from perpcomp.decide import capacity, compare, published
from perpcomp.decide.alarms import alarms
from perpcomp.decoded import Events, no_events
from perpcomp.eligibility.decide import decide
from perpcomp.eligibility.left_out import left_out
from perpcomp.engine import LOCAL, Engine
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.guards.verdicts import Verdicts, with_verdicts
from perpcomp.incident.incident import Incident
from perpcomp.incident.lists import read_account_kinds
from perpcomp.ingest.block_times import block_times
from perpcomp.input import Input, read_events
from perpcomp.lost_logs import gaps
from perpcomp.owed import due_by, left_over, not_compared, of_all
from perpcomp.rules.apply import Known
from perpcomp.rules.named import NamedRule, Paying, named, outcome
from perpcomp.rules.sources import of_claims, of_liquidations
from perpcomp.run import Run, overrides
from perpcomp.systems.replay import Replay
from perpcomp.systems.system import System, find, replayer
from perpcomp.systems.units import units
from perpcomp.tables.decide import EXCLUSIONS
from perpcomp.tables.liquidations import LEFT_OUT, LIQUIDATIONS
from perpcomp.valuation import at_reference, is_before_crash
from perpcomp.vesting import checks
from perpcomp.vesting.vest import vest
from perpcomp.window import dated


def replayed(events: Events, source: Input, incident: Incident, found: pl.DataFrame) -> Replay:
    """The input's events replayed. `found` is a table of its liquidations, which say with [chain] which code of the contracts ran.

    InputError where the protocol has no replay.
    """
    progress.now("Replaying every position and pool")
    times = {} if source.blocks is None else block_times(source.blocks)
    return replayer(find(incident.system))(events.others, events.table, found, incident.chain, times)


class Found(Struct, frozen=True):
    """The liquidations table of an input, the replay where the incident asks for one, and every problem found.

    `without_exclusions` is the liquidations table as it would be if the incident excluded nobody.
    """

    table: pl.DataFrame
    replayed: Replay | None
    problems: list[Finding]
    without_exclusions: pl.DataFrame
    coverage: Coverage | None


def liquidations(events: Events, source: Input, incident: Incident) -> Found:
    """Every liquidation: found in the logs, valued, judged by the rules, and opened again on the curve where the incident asks for it."""
    progress.now("Finding the liquidations")
    reached = coverage(events, source, incident)
    system = find(incident.system)
    found, contradictions = system.liquidations(events.lazy, events.lazy_others, incident.chain, is_before_crash(incident), events.each)
    market = replayed(events, source, incident, found) if incident.replays else None
    progress.now("Valuing the liquidated positions")
    with named_overflow(incident, "The value of a position"):
        valued, unknown = at_reference(found, incident, market, source.prices)
    guarded = _guarded(valued, events, incident) if incident.judges_by_guards else None
    valued = with_verdicts(valued, None if guarded is None else guarded.table)
    progress.now("Asking who is compensated")
    drawdowns = system.index_drawdowns(events.lazy_others, incident)
    pools = restore.pools(incident, market)
    with named_overflow(incident, "The cost of restoring a position"):
        table, remarks = _judged(valued, incident, drawdowns, pools)
    progress.now("Looking for lost logs")
    everybody = replace(incident, eligibility=replace(incident.eligibility, exclusions=()))
    return Found(
        table=table,
        replayed=market,
        coverage=reached,
        problems=[
            *events.findings,
            *reached.problems,
            *gaps(events, incident),
            *contradictions,
            *unknown,
            *(guarded.findings if guarded else ()),
            *remarks,
        ],
        without_exclusions=_judged(valued, everybody, drawdowns, pools)[0] if incident.eligibility.exclusions else table,
    )


def _guarded(valued: pl.DataFrame, events: Events, incident: Incident) -> Verdicts:
    from perpcomp.guards.judge import judge  # with the rules of every protocol's guards, which few incidents ask for

    return judge(valued, events.table, events.others, incident)


@contextmanager
def named_overflow(incident: Incident, what: str) -> Iterator[None]:
    """Turn an amount of 1e20 or more, which no column holds, into an InputError that names it."""
    try:
        yield
    except (pl.exceptions.ComputeError, OverflowError) as error:
        if "overflow" not in str(error) and not isinstance(error, OverflowError):
            raise
        advice = "Correct the prices in the incident file, or the amounts in the input: a column holds less than 1e20."
        raise refusal(f"{incident.name}.toml", f"{what} is 1e20 or more.", advice) from None


def _judged(
    valued: pl.DataFrame, incident: Incident, drawdowns: Mapping[str, int], pools: dict[str, Reserves]
) -> tuple[pl.DataFrame, list[Finding]]:
    """The liquidations table: who is in, with the costs of opening the positions again where [restore] asks for them."""
    judged, remarks = decide(valued, incident, drawdowns)
    opened = list(restore.openings(judged, pools, incident.restore, incident.restore.order)) if incident.restore else []
    table, impossible = restore.on_curve(judged, incident, pools, opened)
    return table, [*remarks, *impossible]


def compute(
    incident: Incident, source: Input, formula: str | None = None, compared: Sequence[str] | None = None, engine: Engine = LOCAL
) -> Run:
    """The whole run. `formula` overrides the incident's formula or rule; `compared` names what to compare (default: all installed
    formulas, and all rules of the incident).

    `engine` says where logs are decoded and positions' lives are followed; it changes no result.
    """
    chosen = named(incident, formula or incident.formula)
    beside, problems = _compared(compared, incident)
    if incident.published_table is not None:
        events, found, others = no_events(), _nothing_found(), LEFT_OUT.empty()
        population = of_claims(incident, source.file)
    else:
        events = read_events(source, incident, engine)
        incident = dated(incident, events.logs)
        found = liquidations(events, source, incident)
        # Before the formulas: their amounts and this need as much memory.
        progress.now("Looking for the traders left out")
        system = find(incident.system)
        others = left_out(found.table, events.each, incident, system.other_actions, system.flag_event)
        population = of_liquidations(found.table, incident, restore.pools(incident, found.replayed))
    table = found.table
    stopped = any(problem.stops for problem in found.problems)
    progress.now("Computing what each formula and rule gives")
    known = Known()
    owed, failed = of_all([chosen, *beside], table, incident, population, known)
    problems += failed
    beside = [one for one in beside if one.name in owed]
    progress.now("Computing the payouts")
    adjusted = adjust.table(owed[chosen.name], incident)
    owed = {name: adjust.adjust(own, incident) for name, own in owed.items()}
    due = due_by(chosen, owed[chosen.name], incident, population)
    unpayable = payees.unpayable(due.by_payee, payees.contracts(incident, table))
    paid = payouts.pay(due, unpayable, table, stopped)
    receivers = payees.table(paid, due.paid_for, unpayable, _account_kinds(incident, source))
    progress.now("Comparing the formulas")
    comparison, notes = compare.compare({one.name: owed[one.name] for one in beside}, table, units(incident).quote)
    incomplete = len(entitlement.incomplete(due.owed))
    flags, balance, unknown = None, None, list[Finding]()
    if incident.published_table is None:
        system = find(incident.system)
        flags = system.flags(events.lazy_others, {market.amm: market.name for market in incident.markets})
        problems += [] if flags is None else system.check_flags(flags)
        balance, unknown = capacity.fund_balance(events.lazy, _transfers(events, system), incident)
    enough = capacity.capacity(comparison, balance, incident)
    problems += found.problems + payees.findings(receivers, due.incident, due.owed) + payouts.unpaid(chosen, due.owed)
    problems += left_over(due, incident) + unknown + capacity.check_fund(enough, balance, chosen.name, incident)
    progress.now("Comparing with budgets and published figures")
    problems += published.check_budgets(paid, incident, incomplete, stopped)
    problems += published.check_expectations(table, paid, incident)
    problems += adjust.findings(adjusted, paid, incident, not overrides(incident, chosen.name, source.instead))
    problems += notes + alarms(due, table, incident)
    progress.now("Splitting the payouts into tranches")
    claims = vest(paid, incident)
    problems += checks.findings(paid, incident)
    run = Run(
        incident=incident,
        input=source,
        formula=chosen,
        compared=tuple(beside),
        events=events,
        liquidations=table,
        payouts=paid,
        payees=receivers,
        redirected=payees.redirected(due.moved or (due.parts if due.incident.payees else ())),
        adjusted=adjusted,
        claims=claims,
        left_out=others,
        comparison=comparison,
        capacity=enough,
        replayed=found.replayed,
        problems=(),
        exclusions=EXCLUSIONS.empty(),
        flags=flags,
        coverage=found.coverage,
        due=due,
        population=population,
        owed=owed,
        outcomes=known,
    )
    if incident.published_table is None:
        run, about = _against_input(run, found)
    else:
        about = []
    in_sheets = {"3-payouts.csv": paid, "2-liquidations.csv": table, "left-out.csv": run.left_out}
    in_sheets |= {"rule-steps.csv": run.rule_steps} if due.outcomes else {}
    problems += sheet_limits.findings(incident, in_sheets) + about + payees.kind_findings(receivers)
    return replace(run, problems=tuple(problems))


def _against_input(run: Run, found: Found) -> tuple[Run, list[Finding]]:
    """The run with what exclusions keep back, and the findings where the incident file contradicts the input."""
    events, incident, table = run.events, run.incident, run.liquidations
    system, seen = find(incident.system), Seen(events)
    progress.now("Checking the incident file against the input")
    everybody = _kept_back(run.formula, found, incident)
    excluded = kept_back(incident, seen, table, everybody)
    problems = check_exclusions(excluded, incident, seen) + check_names(incident, seen, table, system)
    problems += check_statements(incident, seen, table)
    return replace(run, exclusions=excluded), problems


def _kept_back(chosen: Paying, found: Found, incident: Incident) -> Mapping[str, entitlement.Entitlement]:
    """What the formula or rule would give if nobody were excluded."""
    if isinstance(chosen, NamedRule):
        population = of_liquidations(found.without_exclusions, incident, restore.pools(incident, found.replayed))
        return outcome(chosen, population).entitlements() if incident.eligibility.exclusions else {}
    return entitlement.of_traders(chosen, found.without_exclusions) if incident.eligibility.exclusions else {}


def _nothing_found() -> Found:
    """No liquidations: of a run that starts from claims."""
    empty = LIQUIDATIONS.empty()
    return Found(empty, None, [], empty, None)


def with_account_kinds(run: Run, codes: Path) -> Run:
    """The run with what stands at its payees' addresses, from a list of codes that becomes one of its inputs. No amount changes."""
    source = replace(run.input, codes=codes)
    receivers = payees.with_kinds(run.payees, _account_kinds(run.incident, source))
    others = [problem for problem in run.problems if problem.code != payees.IS_CONTRACT]
    return replace(run, input=source, payees=receivers, problems=(*others, *payees.kind_findings(receivers)))


def _account_kinds(incident: Incident, source: Input) -> dict[str, str]:
    """Address -> what stands there: by the incident's list, and before it by what a node answered."""
    return {**incident.account_kinds, **(read_account_kinds(source.codes) if source.codes is not None else {})}


def _transfers(events: Events, system: System) -> pl.LazyFrame | None:
    """The transfers of the insurance fund's token, where the input holds them."""
    return None if system.transfer_event is None else events.lazy_others.get(system.transfer_event.name)


def _compared(names: Sequence[str] | None, incident: Incident) -> tuple[list[Paying], list[Finding]]:
    """The formulas and rules to compare. A formula that is broken is named and passed over, unless it was asked for."""
    if names is not None:
        return [named(incident, name) for name in names], []
    usable, problems = list[Paying](), list[Finding]()
    for name in formulas.installed() if incident.published_table is None else ():
        try:
            candidate = formulas.find(name)
            formulas.tree(candidate)
            usable.append(candidate)
        except InputError as error:
            problems += not_compared(error)
    return [*usable, *(named(incident, rule.name) for rule in incident.rules)], problems
