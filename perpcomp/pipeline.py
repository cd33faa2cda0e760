"""From an incident and its input to every table of a run: one liquidation, followed forward, stage by stage.

Nothing here writes, and nothing here asks the clock, the network or the machine: the same incident, input and formulas give the same
Run. What may be published of it is in publish/.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import polars as pl

from perpcomp import eligibility, payouts, restore, vesting
from perpcomp import formula as formulas
from perpcomp.decide import capacity, compare, published
from perpcomp.engine import LOCAL, Engine
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.formula import Formula
from perpcomp.guards.crash.verdicts import beside, screen
from perpcomp.incident import Incident, InsuranceFund
from perpcomp.ingest.chain import stored
from perpcomp.ingest.imports import foreign_pieces
from perpcomp.ingest.logs import Piece, Places, log_pieces, no_logs
from perpcomp.ingest.spill import Spill
from perpcomp.ingest.store import own_pieces
from perpcomp.replay import Replay, first_of_later_code, replay
from perpcomp.stress import index_drawdowns
from perpcomp.systems import SYSTEMS, perpetual_v1, synthetix_v2
from perpcomp.tables import EVENTS, FINDINGS, check, read
from perpcomp.valuation import at_reference, is_before_crash

LOGS = (".jsonl", ".jsonl.gz")
TABLES = (".parquet", ".csv", ".json")


@dataclass(frozen=True)
class Input:
    """What a run reads: one file of logs or events, or a folder of files as exporters write them; and the block list that dates logs
    without a timestamp. `members` names the files of a folder that count; without it all do. `prices` is the file of prices that
    [valuation] names.
    """

    file: Path
    blocks: Path | None
    members: tuple[str, ...] = ()
    prices: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The files, in order."""
        if not self.file.is_dir():
            return [self.file]
        return [path for path in sorted(self.file.iterdir()) if path.is_file() and (not self.members or path.name in self.members)]


@dataclass(frozen=True)
class Events:
    """The decoded input, lazily: the events table, and every other event by name as far as the input holds it.

    `table` and `others` are the same in memory, for a history that fits there. `spill` keeps what lies on disk alive.
    """

    lazy: pl.LazyFrame
    lazy_others: dict[str, pl.LazyFrame]
    spill: Spill | None = None

    @cached_property
    def table(self) -> pl.DataFrame:
        return check(self.lazy.collect(), EVENTS)

    @cached_property
    def others(self) -> dict[str, pl.DataFrame]:
        return {name: table.collect() for name, table in self.lazy_others.items()}


@dataclass(frozen=True)
class Run:
    """Everything one incident comes to, as checked tables."""

    incident: Incident
    input: Input
    formula: Formula
    compared: tuple[Formula, ...]
    events: Events
    liquidations: pl.DataFrame
    payouts: pl.DataFrame
    claims: pl.DataFrame
    left_out: pl.DataFrame
    comparison: pl.DataFrame
    capacity: pl.DataFrame
    in_kind: pl.DataFrame
    restore_orders: pl.DataFrame
    replayed: Replay | None
    problems: tuple[Finding, ...]
    flags: pl.DataFrame | None = None  # where the protocol flags before it liquidates

    @cached_property
    def findings(self) -> pl.DataFrame:
        rows = [(n, p.level, p.stops, p.where, p.what, p.what_to_do) for n, p in enumerate(self.problems, 1)]
        return check(pl.DataFrame(rows, schema=FINDINGS.schema, orient="row"), FINDINGS)

    @property
    def has_errors(self) -> bool:
        return any(p.level == "error" for p in self.problems)


def find_input(incident: Incident, given: Path | None) -> Input:
    """The input that the command names, or else the incident file; InputError (exit 3) where neither is at hand."""
    named = False
    if given is not None:
        file = given
    elif incident.input is not None:
        file, named = incident.folder / incident.input, True
    elif (fetched := stored(incident)) is not None:
        file = fetched
    else:
        what = f"'{incident.name}' names no input: its logs are on chain {incident.chain.id}."
        advice = (
            "Fetch them with `perpcomp run QUERY --rpc URL`, or export them and pass --input FILE:"
            " rows of eth_getLogs (.jsonl, .jsonl.gz), or a table (.parquet, .csv)."
        )
        raise refusal(f"{incident.name}.toml", what, advice, exit_code=3)
    beside = {name: incident.folder / name for name in (incident.blocks, incident.valuation.series) if name}
    source = Input(file, beside.get(incident.blocks or ""), prices=beside.get(incident.valuation.series or ""))
    unknown = [path.name for path in source.files if not path.name.endswith(LOGS + TABLES)]
    if unknown or not source.files:
        what = f"is of no known kind ({unknown[0].partition('.')[2] or 'no ending'})." if unknown else "is an empty folder."
        raise refusal(unknown[0] if unknown else file.name, what, f"Known: {', '.join(LOGS + TABLES)}.")
    if not file.exists():
        raise refusal(str(file.name), "There is no such file.", f"Looked in {file.parent.name or 'the current folder'}.")
    if source.prices is not None and not source.prices.is_file():
        raise refusal(
            f"{incident.name}.toml [valuation] price", f"names {source.prices.name}, which is no file.", "Put it beside the incident file."
        )
    for path in (file if named else None, source.blocks, source.prices):
        if path is not None and not path.resolve().is_relative_to(incident.folder.resolve()):
            raise refusal(path.name, "is a link that leaves the incident file's folder.", "Put the file itself there.")
    return source


def read_events(source: Input, incident: Incident, engine: Engine = LOCAL) -> Events:
    """The decoded events of the input, each piece checked and decoded by the engine; InputError names file and row."""
    house, fund, protocol = incident.chain.clearing_house, incident.fund_in_logs, SYSTEMS[incident.system].events
    addresses = [house, *(m.amm for m in incident.markets), *([fund.token] if fund else [])]
    name = source.file.name
    try:
        found: Iterable[Piece] | dict[str, pl.DataFrame] | None
        if name.endswith(LOGS):
            found = log_pieces(source.file, addresses, protocol.topics(fund), protocol.OLD_LAYOUTS, source.blocks)
        elif (found := own_pieces(source.file, addresses)) is None:
            found = foreign_pieces(source.files, protocol.wanted(incident.chain.id, house, addresses, fund), source.blocks)
        if found is None:  # our own events table
            events = Events(protocol.recheck(read(source.file, EVENTS), incident.chain.id).lazy(), {})
        else:
            events = _decoded(name, found, incident, engine)
    except InputError as error:  # decoding knows rows, not files
        raise InputError(
            [p if name in p.where else Finding(p.level, f"{name} {p.where}", p.what, p.what_to_do) for p in error.problems],
            error.exit_code,
        ) from None
    if events.lazy.select("block_number").head(1).collect().is_empty():
        what = f"holds no {protocol.CHANGES.format(house=house)}."
        raise refusal(name, what, "Is it the right file, and are chain and addresses of the incident right?")
    return events


def _decoded(name: str, found: Iterable[Piece] | dict[str, pl.DataFrame], incident: Incident, engine: Engine) -> Events:
    """Raw pieces decoded one by one, or tables that an export had decoded already."""
    spill, protocol = Spill(), SYSTEMS[incident.system].events
    if isinstance(found, dict):
        spill.add(found)
    else:
        places = Places(name)
        decode = partial(_decode, name, incident.system, incident.chain.id, incident.chain.clearing_house, incident.fund_in_logs)
        for stand, tables in engine.map(decode, chain((no_logs,), found)):  # at least one piece, so that every table is there
            places.join(stand)
            spill.add(tables)
        places.check()
    tables = spill.tables()
    return Events(protocol.events_table(tables), tables, spill)


def _decode(
    name: str, system: str, chain_id: int, clearing_house: str, fund: InsuranceFund | None, piece: Piece
) -> tuple[Places, dict[str, pl.DataFrame]]:
    """One piece: where its logs stand, and its events."""
    raw, stand = piece(), Places(name)
    stand.add(raw)
    return stand, SYSTEMS[system].events.decode_all(raw, chain_id, clearing_house, fund)


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
    judged, remarks = eligibility.decide(valued, incident, drawdowns)
    pools = restore.pools(incident, market)
    opened = list(restore.openings(judged, pools, incident.restore, incident.restore.order)) if incident.restore else []
    table, impossible = restore.on_curve(judged, incident, pools, opened)
    return Found(
        table=table,
        replayed=market,
        restore_orders=restore.orders(table, incident, pools),
        in_kind=restore.in_kind(table, opened),
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
    paid = payouts.pay(chosen, table, incident, stopped)
    comparison = compare.compare(beside, table)
    balance, unknown = capacity.fund_balance(events.lazy, events.lazy_others.get(perpetual_v1.events.TRANSFER.name), incident)
    enough = capacity.capacity(comparison, balance, incident)
    problems += found.problems + _unpaid(paid) + unknown + capacity.check_fund(enough, balance, chosen.name, incident)
    problems += published.check_budgets(paid, incident) + published.check_expectations(table, paid, incident)
    return Run(
        incident=incident,
        input=source,
        formula=chosen,
        compared=tuple(beside),
        events=events,
        liquidations=table,
        payouts=paid,
        claims=vesting.vest(paid, incident),
        left_out=eligibility.left_out(table, events.lazy, events.lazy_others, incident),
        comparison=comparison,
        capacity=enough,
        in_kind=found.in_kind,
        restore_orders=found.restore_orders,
        replayed=found.replayed,
        problems=tuple(problems),
        flags=_flags(events, incident),
    )


def _flags(events: Events, incident: Incident) -> pl.DataFrame | None:
    if incident.system != synthetix_v2.events.SYSTEM:
        return None
    return synthetix_v2.flags(events.lazy_others, {market.amm: market.name for market in incident.markets})


def _unpaid(paid: pl.DataFrame) -> list[Finding]:
    """An error where somebody is paid nothing because the rule reads what the logs do not hold."""
    unknown = paid.filter(pl.col("reason").str.starts_with(payouts.UNKNOWN))
    if unknown.is_empty():
        return []
    formula, traders = unknown["formula"][0], unknown["trader"].unique().sort()
    what = f"{len(traders)} traders are paid nothing for a liquidation that {formula} cannot value: it reads what the logs do not hold. First {traders[0]}."
    return [Finding("error", "3-payouts.csv", what, "See the findings on it; pull the logs that tell, or choose another formula.")]


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
            problems += [Finding("warning", p.where, p.what, "It is left out of the comparison. " + p.what_to_do) for p in error.problems]
    return usable, problems
