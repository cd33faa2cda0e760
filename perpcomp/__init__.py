"""perpcomp: who was liquidated in a flash crash, what each position was worth, and what each compensation rule pays.

The library's front door. `compute` gives a Run, whose attributes are the checked Polars frames that the command line's verbs show:
liquidations, payouts, claims, comparison, left_out, in_kind, findings. A query is the path of an incident file or a built-in name;
`input` is the path of the logs or events where the incident names none. Imports happen inside, so that `perpcomp --help` stays cheap.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

# Polars' allocator gives freed memory back after two seconds instead of half a second, and keeps it in two places instead of four a processor:
# less work on millions of logs. It reads this when Polars is imported, so it stands before every import of ours.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:2000,muzzy_decay_ms:0,narenas:2")

from perpcomp import progress
from perpcomp.checking import check_published, check_sheet, compare_lists, diff, pack_run, verify, verify_claims, verify_levels
from perpcomp.fetching import fetch, plan_fetch, search
from perpcomp.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    import polars as pl

    from perpcomp.begin.check import Checked
    from perpcomp.begin.propose import Proposal
    from perpcomp.engine import Engine
    from perpcomp.findings import Finding
    from perpcomp.guards.report import Report
    from perpcomp.incident.incident import Incident
    from perpcomp.publish.read_back import Published
    from perpcomp.run import Run, RunTables
    from perpcomp.systems.replay import Replay

__version__ = VERSION
__all__ = [
    "check",
    "check_published",
    "check_sheet",
    "compare_lists",
    "compute",
    "default_folder",
    "diff",
    "draft",
    "events",
    "fetch",
    "guarded",
    "has_input",
    "liquidations",
    "pack_run",
    "plan_fetch",
    "positions",
    "prices",
    "publish_run",
    "published",
    "schedule",
    "schema",
    "search",
    "unlocked",
    "verify",
    "verify_claims",
    "verify_levels",
    "with_account_kinds",
    "write_charts",
]


@progress.work()
def draft(path: Path, system: str | None = None, chain_id: int | None = None, input: Path | None = None) -> "Proposal":
    """A new incident file for `path`, with what the logs in `input` tell; `.text` is its text. Nothing is written."""
    from perpcomp.begin.propose import propose
    from perpcomp.input import alone

    return propose(path, system, chain_id, None if input is None else alone(input))


@progress.work()
def check(query: str, input: Path | None = None) -> "Checked":
    """What is wrong with an incident file and its input, and what formulas could not read; nothing is written."""
    from perpcomp.begin import check

    return check.check(query, input)


def schema() -> str:
    """The JSON Schema of the incident file, as JSON."""
    from perpcomp.incident import json_schema

    return json_schema.text()


@progress.work()
def compute(
    query: str = "rehearsal", input: Path | None = None, formula: str | None = None, engine: "Engine | None" = None, alone: bool = False
) -> "Run":
    """Every table, nothing written. `formula` overrides the incident's; `alone`: it is compared with no other; `engine`: perpcomp.engine."""
    from perpcomp import pipeline
    from perpcomp.engine import LOCAL
    from perpcomp.incident import incident_file
    from perpcomp.input import find_input

    loaded = incident_file.load(query)
    return pipeline.compute(loaded, find_input(loaded, input), formula, [formula or loaded.formula] if alone else None, engine or LOCAL)


def with_account_kinds(run: "Run", url: str, store: Path | None = None) -> "Run":
    """The run with what stands at each payee's address on the chain of this node: no code, a Safe, another contract. No amount changes.

    The codes are kept in `store` (default store/NAME) as a file, which becomes an input of the run.
    """
    from perpcomp import pipeline
    from perpcomp.ingest.node.codes import fetch_codes
    from perpcomp.ingest.node.held import default_store

    return pipeline.with_account_kinds(run, fetch_codes(run.payees.get_column("payee"), url, store or default_store(run.incident)))


def default_folder(query: str = "rehearsal", input: Path | None = None, formula: str | None = None) -> Path:
    """Where a run with these arguments goes: outputs/NAME; a what-if has a name of its own, such as outputs/NAME--formula-margin-only."""
    from perpcomp.incident import incident_file
    from perpcomp.input import instead_of_own
    from perpcomp.publish.folder import folder_of
    from perpcomp.run import overrides

    loaded = incident_file.load(query)
    return folder_of(loaded, overrides(loaded, formula, instead_of_own(loaded, input)))


def unlocked(run: "RunTables", at: "int | datetime") -> "pl.DataFrame":
    """The unlocked table: what of each payout of a run is unlocked at a time, or at a block where the vesting counts blocks."""
    from perpcomp.vesting.vest import unlocked_at

    return unlocked_at(run.payouts, run.incident, at)


def schedule(base_units: int, vesting: "Mapping[str, Any]", decimals: int = 18) -> "pl.DataFrame":
    """The schedule table of any amount of a token with so many decimals.

    `vesting` is a table [vesting] as tomllib reads it: {"preset": "perp-3m", "start": datetime(...)}; it needs no source. InputError
    with all its problems.
    """
    from perpcomp.incident.reader import as_in_the_file
    from perpcomp.incident.vesting import read_alone
    from perpcomp.vesting.vest import schedule_of

    return schedule_of(base_units, decimals, read_alone(vesting, "vesting", "vesting {}".format, as_in_the_file))


@progress.work()
def publish_run(run: "Run", folder: Path, force: bool = False) -> dict[str, bytes]:
    """Write a run's folder, all or nothing; returns relative name -> bytes. `force` replaces another run there."""
    from perpcomp.publish.files import files
    from perpcomp.publish.folder import reserve, write
    from perpcomp.publish.kept_ledger import refuse_cut_ledger
    from perpcomp.publish.manifest import manifest
    from perpcomp.publish.stated import MANIFEST

    published = files(run)
    published[MANIFEST] = manifest(run, published)
    with reserve(folder):
        if not force:
            refuse_cut_ledger(folder, published, run.incident)
        write(folder, published, force)
    return published


@progress.work()
def write_charts(run: "Run", folder: Path, run_folder: Path) -> "tuple[list[str], list[Finding]]":
    """Write the charts of a run that is published in `run_folder` as SVG and PNG files; their names, and findings on the folder."""
    from perpcomp.publish.charts.folder import reserve, write

    with reserve(folder, run_folder):
        return write(run, folder)


@progress.work()
def published(folder: Path) -> "Published":
    """A run that was published, read from its folder after its files' hashes were checked. It has a Run's tables, and needs no logs."""
    from perpcomp.publish.read_back import open_published

    return open_published(folder)


@progress.work()
def events(query: str = "rehearsal", input: Path | None = None, engine: "Engine | None" = None) -> "tuple[pl.DataFrame, list[Finding]]":
    """The events table: every trade and liquidation; and where logs are missing between or after them."""
    from perpcomp.coverage import coverage
    from perpcomp.engine import LOCAL
    from perpcomp.incident import incident_file
    from perpcomp.input import find_input, read_events
    from perpcomp.lost_logs import gaps

    source = find_input(loaded := incident_file.load(query), input)
    read = read_events(source, loaded, engine or LOCAL)
    return read.table, [*coverage(read, source, loaded).problems, *gaps(read, loaded)]


@progress.work()
def liquidations(
    query: str = "rehearsal", input: Path | None = None, engine: "Engine | None" = None
) -> "tuple[pl.DataFrame, list[Finding]]":
    """The liquidations table: every liquidation in the input, eligible or not; and every problem found."""
    from perpcomp import pipeline
    from perpcomp.engine import LOCAL
    from perpcomp.incident import incident_file
    from perpcomp.input import find_input, read_events
    from perpcomp.window import dated

    loaded, engine = incident_file.load(query), engine or LOCAL
    source = find_input(loaded, input)
    read = read_events(source, loaded, engine)
    found = pipeline.liquidations(read, source, dated(loaded, read.logs))
    return found.table, found.problems


@progress.work()
def positions(
    query: str = "rehearsal", at: "int | datetime | None" = None, input: Path | None = None
) -> "tuple[pl.DataFrame, list[Finding]]":
    """Every open position at the end of a block, or at a time (default: as the window begins), and the findings on what is unknown.

    The positions table: marked at the markets' reference prices, and valued on the curve as the contracts' views do.
    """
    from datetime import timedelta

    from perpcomp.systems.replay import unknown_values

    loaded, replayed = _replayed(query, input)
    marks = {market.amm: market.reference_price for market in loaded.markets if market.reference_price is not None}
    progress.now("Valuing every open position")
    moment = loaded.eligibility.start if at is None else at
    if isinstance(moment, int):
        block, frame = moment, replayed.positions(block=moment, mark_prices=marks)
    else:
        block = replayed.block_at(moment - timedelta(seconds=at is None))
        frame = replayed.positions(block=block, time=moment, mark_prices=marks)
    assumed = replayed.assumed_at(block)
    return frame, [*replayed.findings, *([assumed] if assumed else []), *unknown_values(frame)]


@progress.work()
def guarded(
    query: str = "rehearsal", input: Path | None = None, rules: str | None = None, swept: bool = False
) -> "tuple[Incident, Report]":
    """What liquidation guards would have done: verdicts, and if asked for the counterfactual under `rules` and a sweep of limits."""
    from perpcomp import pipeline
    from perpcomp.guards.report import make_report
    from perpcomp.incident import incident_file
    from perpcomp.input import find_input, read_events
    from perpcomp.window import dated

    source = find_input(loaded := incident_file.load(query), input)
    events = read_events(source, loaded)
    loaded = dated(loaded, events.logs)
    return loaded, make_report(pipeline.liquidations(events, source, loaded).table, events.table, events.others, loaded, rules, swept)


@progress.work()
def prices(
    query: str = "rehearsal", market: str | None = None, input: Path | None = None
) -> "tuple[dict[str, pl.DataFrame], list[Finding]]":
    """The price path of each affected market, or of one by name, through the window and the hour before; and the findings on what is unknown.

    Market name -> its prices table: spot, 15-minute average and index price at every block in which the market logged something.
    """
    from perpcomp.systems.price_path import crash_paths

    loaded, replayed = _replayed(query, input)
    paths, untold = crash_paths(replayed, loaded, market)
    return paths, [*replayed.findings, *untold]


def _replayed(query: str, input: Path | None) -> "tuple[Incident, Replay]":
    """The incident with its input replayed."""
    from perpcomp import pipeline
    from perpcomp.incident import incident_file
    from perpcomp.input import find_input, read_events
    from perpcomp.systems.system import find, replayer
    from perpcomp.window import dated

    loaded = incident_file.load(query)
    replayer(find(loaded.system))  # a protocol without a replay is refused before its input is read
    source = find_input(loaded, input)
    events = read_events(source, loaded)
    loaded = dated(loaded, events.logs)
    found = pipeline.liquidations(events, source, loaded)
    return loaded, found.replayed or pipeline.replayed(events, source, loaded, found.table)


def has_input(query: str) -> bool:
    """Whether the incident file names logs of its own, so that nothing need be fetched."""
    from perpcomp.incident import incident_file

    return incident_file.load(query).input is not None
