"""Follow the money: run, events, positions, liquidations, payouts, claims."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import FOLLOW, app, exit_by, say_findings, unbroken
from perpcomp.cli.options import (
    AsJson,
    Blocks,
    DryRun,
    Engines,
    FormulaName,
    Input,
    OnEngine,
    Prove,
    Proved,
    Query,
    Quiet,
    Rpc,
    Scheduler,
    SecondRpc,
    StoreFolder,
    block_or_time,
    block_range,
)

if TYPE_CHECKING:
    pass


@app.command(rich_help_panel=FOLLOW)
def run(
    query: Query = "rehearsal",
    input: Input = None,
    formula: FormulaName = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Where results go; default outputs/NAME.")] = None,
    rpc: Rpc = None,
    second_rpc: SecondRpc = None,
    prove: Prove = None,
    blocks: Blocks = None,
    store: StoreFolder = None,
    dry_run: DryRun = False,
    engine: OnEngine = Engines.LOCAL,
    scheduler: Scheduler = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """From the incident file to a folder of results: liquidations, payouts, claims, vote sheet."""
    import perpcomp
    from perpcomp.engine import opened
    from perpcomp.publish.summary import summary

    with unbroken("Nothing was written over an older run."):
        input = _fetched(query, input, rpc, second_rpc, prove, blocks, store, dry_run, quiet)
        with opened(engine, scheduler) as place:
            done = perpcomp.compute(query, input, formula, place)
        folder = out if out is not None else Path("outputs") / done.incident.name
        published = perpcomp.publish_run(done, folder)
    if as_json:
        terminal.print_json([{"label": line.label, "value": line.value, "source": line.source} for line in summary(done)])
    elif not quiet:
        terminal.print_summary(summary(done))
        terminal.say(f"{len(published)} files in {folder}: start with vote.xlsx; every number by `perpcomp explain ADDRESS`.")
    exit_by(done)


@app.command(rich_help_panel=FOLLOW)
def events(
    query: Query = "rehearsal",
    input: Input = None,
    rpc: Rpc = None,
    second_rpc: SecondRpc = None,
    prove: Prove = None,
    blocks: Blocks = None,
    store: StoreFolder = None,
    dry_run: DryRun = False,
    engine: OnEngine = Engines.LOCAL,
    scheduler: Scheduler = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Every position change in the input; with --rpc, fetched from the chain first."""
    import perpcomp
    from perpcomp.engine import opened
    from perpcomp.tables.events import EVENTS

    shown = ("block_time", "kind", "trader", "position_size_after", "margin", "realized_pnl", "spot_price")
    with unbroken():
        input = _fetched(query, input, rpc, second_rpc, prove, blocks, store, dry_run, quiet)
        with opened(engine, scheduler) as place:
            found, problems = perpcomp.events(query, input, place)
        terminal.print_table(found, EVENTS, shown, as_json)
    say_findings(problems)


@app.command(rich_help_panel=FOLLOW)
def positions(
    query: Query = "rehearsal",
    at: Annotated[
        str | None, typer.Option("--at", metavar="BLOCK|TIME", help="A block, or a time with its zone; default: as the window begins.")
    ] = None,
    input: Input = None,
    as_json: AsJson = False,
) -> None:
    """Every open position at a block or time, replayed from the logs: margin, funding, three profits, margin ratio, liquidation price."""
    import perpcomp
    from perpcomp.tables.liquidations import POSITIONS

    shown = (
        "trader",
        "size",
        "margin",
        "open_notional",
        "funding_owed",
        "unrealized_pnl_mark",
        "unrealized_pnl_curve",
        "margin_ratio",
        "liquidation_price",
    )
    with unbroken():
        found, problems = perpcomp.positions(query, block_or_time(at), input)
    terminal.print_table(found, POSITIONS, shown, as_json)
    say_findings(problems)


@app.command(rich_help_panel=FOLLOW)
def liquidations(
    query: Query = "rehearsal",
    input: Input = None,
    engine: OnEngine = Engines.LOCAL,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Every liquidation in the input, with the position just before it, eligible or not."""
    import perpcomp
    from perpcomp.engine import opened
    from perpcomp.tables.liquidations import LIQUIDATIONS

    shown = ("block_time", "trader", "market_name", "side", "size", "margin", "open_notional", "era", "era_rule", "reason_code")
    with unbroken():
        with opened(engine, scheduler) as place:
            found, problems = perpcomp.liquidations(query, input, place)
        terminal.print_table(found, LIQUIDATIONS, shown, as_json)
    say_findings(problems)


@app.command(rich_help_panel=FOLLOW)
def payouts(query: Query = "rehearsal", input: Input = None, formula: FormulaName = None, as_json: AsJson = False) -> None:
    """What each trader is paid, by token."""
    import perpcomp
    from perpcomp.tables.payouts import PAYOUTS

    with unbroken():
        done = perpcomp.compute(query, input, formula)
    terminal.print_table(done.payouts, PAYOUTS, ("trader", "entitlement", "token", "amount", "reason"), as_json)
    exit_by(done)


@app.command(rich_help_panel=FOLLOW)
def claims(query: Query = "rehearsal", input: Input = None, formula: FormulaName = None, as_json: AsJson = False) -> None:
    """When each payout unlocks."""
    import perpcomp
    from perpcomp.tables.payouts import CLAIMS
    from perpcomp.vesting.curves import in_words

    with unbroken():
        done = perpcomp.compute(query, input, formula)
    terminal.print_table(done.claims, CLAIMS, ("trader", "token", "tranche", "unlocks_at", "amount", "cumulative"), as_json)
    terminal.say(in_words(done.incident.vesting))
    exit_by(done)


def _fetched(
    query: str,
    input: Path | None,
    rpc: list[str] | None,
    second: str | None,
    prove: Proved | None,
    blocks: str | None,
    store: Path | None,
    dry_run: bool,
    quiet: bool,
) -> Path | None:
    """The input to use: what --input names, or with --rpc the logs fetched into the store."""
    if input is not None or not (rpc or dry_run):
        return input
    import perpcomp

    asked = block_range(blocks)
    if perpcomp.has_input(query):  # the URL may stand in the environment, meant for other incidents
        if not quiet:
            terminal.say(f"'{query}' has its own logs: nothing is fetched.")
        return None
    if dry_run:
        for line in perpcomp.plan_fetch(query, asked, store):
            terminal.say(line)
        raise typer.Exit
    with terminal.progress(quiet) as show:
        fetched = perpcomp.fetch(
            query, rpc or [], blocks=asked, store=store, second=second, prove=prove.value if prove else None, show=show
        )
    if not quiet:
        kind = "all final" if fetched.final else "not all final yet: a reorganisation could still change the newest"
        terminal.say(f"Blocks {fetched.first:,} to {fetched.last:,}, {kind}; {fetched.requests} requests; kept in {fetched.file.parent}.")
        for line in fetched.proof:
            terminal.say(line)
    return fetched.file
