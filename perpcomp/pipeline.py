"""From an incident and its input to every table of a run: one liquidation, followed forward, stage by stage.

Nothing here writes, and nothing here asks the clock, the network or the machine: the same incident, input and formulas give the same
Run. What may be published of it is in publish/.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from perpcomp import eligibility, payouts, vesting
from perpcomp import formula as formulas
from perpcomp.decide import compare, published
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.formula import Formula
from perpcomp.incident import Incident
from perpcomp.ingest.chain import default_store
from perpcomp.ingest.logs import is_raw, read_logs, read_raw
from perpcomp.ingest.store import LOGS as STORED
from perpcomp.systems import perpetual_v1
from perpcomp.systems.perpetual_v1 import events as v1_events
from perpcomp.tables import EVENTS, FINDINGS, check, read
from perpcomp.valuation import at_reference

LOGS = (".jsonl", ".jsonl.gz")
TABLES = (".parquet", ".csv")


@dataclass(frozen=True)
class Input:
    """The files a run reads: one of logs or of events, and the block list that dates logs without a timestamp."""

    file: Path
    blocks: Path | None


@dataclass(frozen=True)
class Events:
    """The decoded input: the events table, and every other event by name as far as the input holds it."""

    table: pl.DataFrame
    others: dict[str, pl.DataFrame]


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
    in_kind: pl.DataFrame
    problems: tuple[Finding, ...]

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
    elif (default_store(incident) / STORED).is_file():
        file = default_store(incident) / STORED
    else:
        what = f"'{incident.name}' names no input: its logs are on chain {incident.chain.id}."
        advice = (
            "Fetch them with `perpcomp run QUERY --rpc URL`, or export them and pass --input FILE:"
            " rows of eth_getLogs (.jsonl, .jsonl.gz), or a table (.parquet, .csv)."
        )
        raise refusal(f"{incident.name}.toml", what, advice, exit_code=3)
    if not file.name.endswith(LOGS + TABLES):
        raise refusal(file.name, f"is of no known kind ({file.suffix or 'no ending'}).", f"Known: {', '.join(LOGS + TABLES)}.")
    if not file.is_file():
        raise refusal(str(file.name), "There is no such file.", f"Looked in {file.parent.name or 'the current folder'}.")
    blocks = incident.folder / incident.blocks if incident.blocks else None
    for path in (file if named else None, blocks):
        if path is not None and not path.resolve().is_relative_to(incident.folder.resolve()):
            raise refusal(path.name, "is a link that leaves the incident file's folder.", "Put the file itself there.")
    return Input(file, blocks)


def read_events(source: Input, incident: Incident) -> Events:
    """The decoded events of the input; InputError names file and row."""
    house = incident.chain.clearing_house
    try:
        wanted = [house, *(m.amm for m in incident.markets)]
        if is_raw(source.file):
            others = v1_events.decode_all(read_raw(source.file, wanted, v1_events.TOPICS), incident.chain.id, house)
            table = v1_events.events_table(others)
        elif source.file.name.endswith(LOGS):
            raw = read_logs(source.file, wanted, v1_events.TOPICS, v1_events.OLD_LAYOUTS, source.blocks)
            others = v1_events.decode_all(raw, incident.chain.id, house)
            table = v1_events.events_table(others)
        else:
            others, table = {}, v1_events.recheck(read(source.file, EVENTS), incident.chain.id)
    except InputError as error:  # decoding knows rows, not files
        raise InputError(
            [
                p if source.file.name in p.where else Finding(p.level, f"{source.file.name} {p.where}", p.what, p.what_to_do)
                for p in error.problems
            ],
            error.exit_code,
        ) from None
    if table.is_empty():
        what = f"holds no PositionChanged of the ClearingHouse {house}."
        raise refusal(source.file.name, what, "Is it the right file, and are chain and addresses of the incident right?")
    return Events(table, others)


def liquidations(events: Events, incident: Incident) -> tuple[pl.DataFrame, list[Finding]]:
    """The published liquidations table: found, valued, judged."""
    found, doubts = perpetual_v1.liquidations(events.table, events.others, incident.chain.liquidation_fee_ratio)
    judged, remarks = eligibility.decide(at_reference(found, incident), incident)
    return judged, doubts + remarks


def compute(incident: Incident, source: Input, formula: str | None = None, compared: Sequence[str] | None = None) -> Run:
    """The whole run. `formula` overrides the incident's; `compared` names the formulas set side by side, default all installed."""
    chosen = formulas.find(formula or incident.formula)
    beside, problems = _compared(compared)
    events = read_events(source, incident)
    table, doubts = liquidations(events, incident)
    stopped = any(doubt.stops for doubt in doubts)
    paid = payouts.pay(chosen, table, incident, stopped)
    problems += doubts + published.check_budgets(paid, incident) + published.check_expectations(table, paid, incident)
    return Run(
        incident=incident,
        input=source,
        formula=chosen,
        compared=tuple(beside),
        events=events,
        liquidations=table,
        payouts=paid,
        claims=vesting.vest(paid, incident),
        left_out=eligibility.left_out(table, events.table, events.others, incident),
        comparison=compare.compare(beside, table),
        in_kind=payouts.in_kind(table),
        problems=tuple(problems),
    )


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
