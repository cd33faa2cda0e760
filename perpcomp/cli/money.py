"""Publish: run. Follow the money: events, positions, liquidations, payouts. The claims are in claims.py."""

import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import FOLLOW, PUBLISH, command
from perpcomp.cli.options import (
    AsJson,
    Charts,
    Force,
    Form,
    FormulaName,
    Input,
    Logs,
    Out,
    PayeeRpc,
    Query,
    Quiet,
    Workers,
    block_or_time,
    block_range,
)
from perpcomp.cli.source import PublishedRun, published, tables
from perpcomp.findings import Finding, refusal

if TYPE_CHECKING:
    from perpcomp.engine import Engine


@command(PUBLISH)
def run(
    *,
    query: Query = "rehearsal",
    logs: Logs,
    formula: FormulaName = None,
    payee_rpc: PayeeRpc = None,
    out: Out = None,
    force: Force = False,
    charts: Charts = None,
    workers: Workers,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> Sequence[Finding]:
    """From the incident file to a folder of results: liquidations, payouts, claims, vote sheet."""
    import perpcomp
    from perpcomp.engine import open_engine
    from perpcomp.number_text import counted
    from perpcomp.publish.folder import reserve
    from perpcomp.publish.summary import summary

    if charts is not None and logs.dry_run:
        raise refusal("--charts", "A dry run draws nothing.", "Leave --charts or --dry-run out.")
    plan_or_refuse(query, logs, quiet, as_json)
    with ExitStack() as reserved:
        with open_engine(workers.engine, workers.scheduler, workers.scratch) as engine:
            input = fetched_or_given(query, logs, quiet, engine)
            folder = out if out is not None else perpcomp.default_folder(query, input, formula)
            left_by = reserved.enter_context(reserve(folder))
            reserved.enter_context(_reserved(charts, folder))
            if left_by is not None and not quiet:
                terminal.say(f"Process {left_by} ended without finishing its work in {folder}; this run replaces what it left.")
            done = perpcomp.compute(query, input, formula, engine)
        if payee_rpc is not None:
            done = perpcomp.with_account_kinds(done, payee_rpc, logs.store)
        files = perpcomp.publish_run(done, folder, force)
        drawn, about = perpcomp.write_charts(done, charts, folder) if charts is not None else ([], [])
    if as_json:
        terminal.print_json([{"label": line.label, "value": line.value, "source": line.source} for line in summary(done)])
    elif not quiet:
        terminal.print_summary(summary(done))
        hint = f"`perpcomp explain ADDRESS --run {shlex.quote(str(folder))}` derives every number."
        terminal.say(f"{counted(len(files), 'file')} in {folder}. Start with report.html and vote.xlsx; {hint}")
        if charts is not None:
            said = f"{counted(len(drawn), 'file')} in {charts}: {', '.join(dict.fromkeys(Path(name).stem for name in drawn))}."
            terminal.say(said if drawn else "No chart is written: the run has too little to draw.")
    return [*done.problems, *about]


def _reserved(charts: Path | None, folder: Path) -> AbstractContextManager[None]:
    """The folder of --charts, which must be fit for them before anything is computed."""
    if charts is None:
        return nullcontext()
    from perpcomp.publish.charts.folder import reserve

    return reserve(charts, folder)


@command(FOLLOW)
def events(*, query: Query = "rehearsal", logs: Logs, workers: Workers, quiet: Quiet = False, form: Form) -> Sequence[Finding]:
    """Every position change in the input, in the chain's order; with --rpc, fetched from the chain first."""
    import perpcomp
    from perpcomp.engine import open_engine
    from perpcomp.incident import incident_file
    from perpcomp.tables.events import EVENTS

    plan_or_refuse(query, logs, quiet, form.as_json)
    with open_engine(workers.engine, workers.scheduler, workers.scratch) as engine:
        input = fetched_or_given(query, logs, quiet, engine)
        table, problems = perpcomp.events(query, input, engine)
    columns = ("block_time", "market", "trader", "kind", "position_size_after", "margin", "realized_pnl", "spot_price")
    if not (form.to_read and quiet):
        terminal.print_table(table, EVENTS, columns, form, incident_file.load(query))
    return problems


@command(FOLLOW)
def positions(
    *,
    query: Query = "rehearsal",
    at: Annotated[
        str | None, typer.Option("--at", metavar="BLOCK|TIME", help="A block, or a time with its zone; default: the start of the window.")
    ] = None,
    input: Input = None,
    form: Form,
) -> Sequence[Finding]:
    """Every open position at a block or time, replayed from the logs: margin, funding, profits, margin ratio, liquidation price."""
    import perpcomp
    from perpcomp.incident import incident_file
    from perpcomp.tables.liquidations import POSITIONS

    table, problems = perpcomp.positions(query, block_or_time(at), input)
    money = ("margin", "open_notional", "unrealized_pnl_mark", "unrealized_pnl_curve", "funding_owed")
    columns = ("trader", "market", "size", *money[:3], "liquidation_price", "margin_ratio", *money[3:])
    totals = [terminal.total(table, "trader", money)]
    terminal.print_table(table, POSITIONS, columns, form, incident_file.load(query), largest="open_notional", totals=totals)
    return problems


@command(FOLLOW)
def liquidations(
    *,
    context: typer.Context,
    query: Query = "rehearsal",
    input: Input = None,
    run: PublishedRun = None,
    workers: Workers,
    form: Form,
) -> Sequence[Finding]:
    """Every liquidation in the input, eligible or not, with the position just before it."""
    import perpcomp
    from perpcomp.engine import open_engine
    from perpcomp.incident import incident_file
    from perpcomp.tables.liquidations import LIQUIDATIONS

    problems: Sequence[Finding]
    if run is not None:
        held = published(context, run)
        table, problems, incident = held.liquidations, held.problems, held.incident
    else:
        with open_engine(workers.engine, workers.scheduler, workers.scratch) as engine:
            table, problems = perpcomp.liquidations(query, input, engine)
        incident = incident_file.load(query)
    columns = ("trader", "market_name", "size", "margin", "open_notional", "reason_code", "block_time", "side", "era", "era_rule")
    totals = [terminal.total(table, "trader", ("margin", "open_notional"))]
    terminal.print_table(table, LIQUIDATIONS, columns, form, incident, largest="open_notional", totals=totals)
    return problems


@command(FOLLOW)
def payouts(
    *,
    context: typer.Context,
    query: Query = "rehearsal",
    input: Input = None,
    formula: FormulaName = None,
    run: PublishedRun = None,
    form: Form,
) -> Sequence[Finding]:
    """What each trader is paid, by token."""
    from perpcomp.tables.payouts import PAYOUTS

    done = tables(context, run, query, input, formula, alone=True)
    columns = ("trader", "token", "amount", "entitlement", "reason")
    entitled = terminal.total(done.payouts.unique("trader"), "trader", ("entitlement",))  # once a trader: a row a token states it again
    tokens = terminal.totals_by_token(done.payouts, ("amount",))
    totals = [tokens[0] | entitled] if len(tokens) == 1 else [*tokens, entitled]
    terminal.print_table(done.payouts, PAYOUTS, columns, form, done.incident, largest="entitlement", totals=totals)
    return done.problems


def plan_or_refuse(query: str, logs: Logs, quiet: bool, as_json: bool) -> None:
    """Before a node or a cluster is asked: refuse options of fetching where nothing is fetched; print the plan of a dry run, and exit."""
    if logs.input is not None or not (logs.urls or logs.dry_run):
        return
    import perpcomp

    blocks = block_range(logs.blocks)
    if perpcomp.has_input(query):
        logs.refuse_fetching(_own_logs(query), "Leave it out, or remove [input] from a copy of the incident file.")
    elif logs.dry_run:
        if quiet:
            raise refusal("--quiet", "A dry run does nothing but print.", "Leave --quiet or --dry-run out.")
        lines = perpcomp.plan_fetch(query, blocks, logs.store, logs.second_rpc, logs.prove)
        if as_json:
            terminal.print_json(lines)
        else:
            terminal.say("\n".join(lines))
        raise typer.Exit


def _own_logs(query: str) -> str:
    return f"'{query}' has its own logs: nothing is fetched."


def fetched_or_given(query: str, logs: Logs, quiet: bool, engine: "Engine") -> Path | None:
    """The file to read: that of --input, or the store's after fetching with --rpc; None means the incident's own."""
    if logs.input is not None or not logs.urls:
        return logs.input
    import perpcomp
    from perpcomp.number_text import counted

    if perpcomp.has_input(query):
        if not quiet:
            terminal.say(_own_logs(query))
        return None
    blocks = block_range(logs.blocks)
    fetched = perpcomp.fetch(query, logs.urls, blocks=blocks, store=logs.store, second=logs.second_rpc, prove=logs.prove, engine=engine)
    if not quiet:
        state = "all final" if fetched.final else "not all final yet: a reorganisation could still change the newest"
        requests = counted(fetched.requests, "request")
        terminal.say(f"Blocks {fetched.first:,} to {fetched.last:,}, {state}; {requests}; kept in {fetched.file.parent}.")
        for line in fetched.proof:
            terminal.say(line)
    return fetched.file
