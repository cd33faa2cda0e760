"""Words only: parse, call one function, print. No arithmetic and no policy here; tables to stdout, words and errors to stderr.

Everything heavy is imported inside the commands: `perpcomp --help` must load neither polars nor web3.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp import __version__, terminal
from perpcomp.findings import InputError, refusal

if TYPE_CHECKING:
    from datetime import datetime

    from perpcomp.findings import Finding
    from perpcomp.pipeline import Run


class Proved(StrEnum):
    """How much --prove covers."""

    WINDOW = "window"
    ALL = "all"


class Engines(StrEnum):
    """Where the work is done."""

    LOCAL = "local"
    DASK = "dask"


FOLLOW, LOOK, CHECK = "Follow the money", "Look before you vote", "Check"

app = typer.Typer(
    name="perpcomp",
    help="Who was liquidated in a flash crash, what was each position worth, and what does each compensation rule pay. "
    "QUERY is the path of an incident file or a built-in name; without one it is the rehearsal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Query = Annotated[str, typer.Argument(metavar="[QUERY]", help="An incident file or a built-in name.", show_default=True)]
Input = Annotated[
    Path | None, typer.Option("--input", metavar="FILE", help="Logs (.jsonl, .jsonl.gz) or an events table (.parquet, .csv).")
]
FormulaName = Annotated[str | None, typer.Option("--formula", metavar="NAME", help="Another rule than the incident's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, amounts as exact text.")]
Rpc = Annotated[
    list[str] | None,
    typer.Option(
        "--rpc", metavar="URL", envvar="PERPCOMP_RPC_URL", show_envvar=True, help="A node to fetch the logs from; several are fail-over."
    ),
]
SecondRpc = Annotated[
    str | None, typer.Option("--second-rpc", metavar="URL", help="A node of another operator: compare its logs, block by block.")
]
Prove = Annotated[
    Proved | None, typer.Option("--prove", help="Prove that no log is missing or altered: over the window, or over all blocks.")
]
Blocks = Annotated[str | None, typer.Option("--blocks", metavar="FROM:TO", help="Fetch these blocks instead of the window's.")]
StoreFolder = Annotated[Path | None, typer.Option("--store", metavar="FOLDER", help="Where fetched logs are kept; default store/NAME.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be asked of the node; send nothing.")]
OnEngine = Annotated[
    Engines, typer.Option("--engine", help="Where the logs are decoded and replayed; dask needs pip install 'perpcomp[dask]'.")
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster, tcp://HOST:PORT; default: one on this machine.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]


def main() -> None:
    """The entry point: the user's mistakes become words and an exit code, ours keep their stack."""
    try:
        app(_with_default(sys.argv[1:]))
    except InputError as error:
        terminal.print_problems(error.problems)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe went away: `perpcomp events | head`
        sys.stderr.close()
        sys.exit(0)


def _with_default(arguments: list[str]) -> list[str]:
    """A bare --prove means the window."""
    values = {one.value for one in Proved}
    filled = []
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        filled += [word, Proved.WINDOW.value] if word == "--prove" and following not in values else [word]
    return filled


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"perpcomp {__version__}")
        raise typer.Exit


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

    with _unbroken("Nothing was written over an older run."):
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
    _exit_by(done)


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
    from perpcomp.tables import EVENTS

    shown = ("block_time", "kind", "trader", "position_size_after", "margin", "realized_pnl", "spot_price")
    with _unbroken():
        input = _fetched(query, input, rpc, second_rpc, prove, blocks, store, dry_run, quiet)
        with opened(engine, scheduler) as place:
            found, problems = perpcomp.events(query, input, place)
        terminal.print_table(found, EVENTS, shown, as_json)
    _say(problems)


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
    from perpcomp.tables import POSITIONS

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
    with _unbroken():
        found, problems = perpcomp.positions(query, _block_or_time(at), input)
    terminal.print_table(found, POSITIONS, shown, as_json)
    _say(problems)


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
    from perpcomp.tables import LIQUIDATIONS

    shown = ("block_time", "trader", "market_name", "side", "size", "margin", "open_notional", "era", "era_rule", "reason_code")
    with _unbroken():
        with opened(engine, scheduler) as place:
            found, problems = perpcomp.liquidations(query, input, place)
        terminal.print_table(found, LIQUIDATIONS, shown, as_json)
    _say(problems)


@app.command(rich_help_panel=FOLLOW)
def payouts(query: Query = "rehearsal", input: Input = None, formula: FormulaName = None, as_json: AsJson = False) -> None:
    """What each trader is paid, by token."""
    import perpcomp
    from perpcomp.tables import PAYOUTS

    with _unbroken():
        done = perpcomp.compute(query, input, formula)
    terminal.print_table(done.payouts, PAYOUTS, ("trader", "entitlement", "token", "amount", "reason"), as_json)
    _exit_by(done)


@app.command(rich_help_panel=FOLLOW)
def claims(query: Query = "rehearsal", input: Input = None, formula: FormulaName = None, as_json: AsJson = False) -> None:
    """When each payout unlocks."""
    import perpcomp
    from perpcomp.tables import CLAIMS
    from perpcomp.vesting import in_words

    with _unbroken():
        done = perpcomp.compute(query, input, formula)
    terminal.print_table(done.claims, CLAIMS, ("trader", "token", "tranche", "unlocks_at", "amount", "cumulative"), as_json)
    terminal.say(in_words(done.incident.vesting))
    _exit_by(done)


@app.command(rich_help_panel=LOOK)
def prices(
    query: Query = "rehearsal",
    market: Annotated[str | None, typer.Option("--market", metavar="NAME", help="One market; default: those that crashed.")] = None,
    input: Input = None,
    as_json: AsJson = False,
) -> None:
    """The fall and the recovery, block by block: spot, 15-minute average and index price; drawn where it is a terminal."""
    import perpcomp
    from perpcomp.replay.path import in_words
    from perpcomp.tables import PRICES

    with _unbroken():
        paths, problems = perpcomp.prices(query, market, input)
    if as_json:
        terminal.print_json({name: terminal.plain_rows(path) for name, path in paths.items()})
    else:
        for name, path in paths.items():
            terminal.print_table(path, PRICES, ("block_time", "spot_price", "twap_price", "index_price"), as_json)
            terminal.print_price_chart(path)
            terminal.say(in_words(name, path))
    _say(problems)


@app.command(rich_help_panel=LOOK)
def compare(query: Query = "rehearsal", input: Input = None, as_json: AsJson = False) -> None:
    """Every installed formula side by side, trader by trader, and who is better off under which."""
    import perpcomp
    from perpcomp.decide.compare import preferences, totals, wide
    from perpcomp.decide.published import in_full
    from perpcomp.tables import CAPACITY, COMPARISON, RESTORE_ORDERS

    with _unbroken():
        done = perpcomp.compute(query, input)
    if as_json:
        terminal.print_table(done.comparison, COMPARISON, (), as_json)
        return
    beside = wide(done.comparison)
    names = beside.columns[1:]
    rows = [[str(row[0]), *(terminal.readable(value) for value in row[1:])] for row in beside.iter_rows()]
    terminal.print_grid(["trader", *(f"{name} (USDC)" for name in names)], rows, right=range(1, len(names) + 1))
    terminal.print_grid(
        ["formula", "total (USDC)", "paid", "below 0"],
        [[name, in_full(total), str(paid), str(below)] for name, total, paid, below in totals(done.comparison)],
        right=(1, 2, 3),
    )
    if done.capacity.height:
        enough = ("formula", "source_of_funds", "available_value", "to_cover", "covered", "shortfall", "left")
        terminal.print_table(done.capacity, CAPACITY, enough, False)
    better = preferences(done.comparison)
    terminal.print_grid(
        ["traders who get more under, than under", *names],
        [[f, *("" if f == g else str(better[f, g]) for g in names)] for f in names],
        right=range(1, len(names) + 1),
    )
    if done.restore_orders.height:
        terminal.say("Opening the positions again on the curve, by [restore], and what other orders would come to:")
        shown = ("market_name", "order", "restore_notional", "restore_fee", "entitlement", "largest_change", "spot_after")
        terminal.print_table(done.restore_orders, RESTORE_ORDERS, shown, as_json)
    _exit_by(done)


@app.command(rich_help_panel=LOOK)
def explain(
    who: Annotated[str, typer.Argument(metavar="TRADER|TX", help="An address, or a transaction hash.")],
    query: Query = "rehearsal",
    input: Input = None,
    formula: FormulaName = None,
    as_json: AsJson = False,
) -> None:
    """One liquidation from log to claim, as arithmetic with each number's source."""
    import perpcomp
    from perpcomp.explain import explain as explained

    with _unbroken():
        lines = explained(perpcomp.compute(query, input, formula), who)
    if as_json:
        terminal.print_json(lines)
    else:
        for line in lines:
            print(line)


@app.command(rich_help_panel=LOOK)
def formulas(as_json: AsJson = False) -> None:
    """The installed rules: what each reads, and the text it quotes."""
    from perpcomp import arithmetic, formula

    listed = []
    for name in formula.installed():
        found = formula.find(name)
        tree = formula.tree(found)
        listed.append(
            {
                "name": name,
                "source": found.source,
                "reads": arithmetic.columns(tree),
                "rule": arithmetic.text(tree),
                "text": found.quote,
                "may be paid": not found.negative,
            }
        )
    if as_json:
        terminal.print_json(listed)
        return
    for entry in listed:
        print(f"{entry['name']}    [{entry['source']}]{'' if entry['may be paid'] else '    compared, never paid'}")
        print(f"  = {entry['rule']}")
        for line in str(entry["text"]).splitlines():
            print(f"  {line}".rstrip())
        print()


@app.command(rich_help_panel=LOOK)
def guards(
    query: Annotated[
        str,
        typer.Argument(
            metavar="[QUERY|profiles|vectors]",
            help="An incident; or the two readings of SIP-2005; or a check of recorded answers.",
            show_default=True,
        ),
    ] = "rehearsal",
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="For vectors: recorded answers, .json or .json.gz.")] = None,
    input: Input = None,
    replay: Annotated[bool, typer.Option("--replay", help="Also execute history again under the guards: the counterfactual.")] = False,
    rules: Annotated[
        str, typer.Option("--rules", metavar="NAME", help="Rules of the counterfactual: sip-2005, or V1's own later ones.")
    ] = "sip-2005",
    sweep: Annotated[bool, typer.Option("--sweep", help="Also count verdicts over a grid of limits.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Where CSV files go; default outputs/NAME/guards.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which liquidations guards like SIP-2005's would have held back: price impact and premium against their limits."""
    if query == "profiles":
        from perpcomp.guards.profiles import differences

        terminal.print_grid(["rule", "the SIP's text", "the deployed code"], [[*row] for row in differences()])
        return
    if query == "vectors":
        if file is None:
            raise refusal("guards vectors", "needs a file.", "Write `perpcomp guards vectors FILE`.")
        _check_vectors(file)
        return
    if file is not None:
        raise refusal(
            "guards", f"takes no second word after '{query}'.", "Write --input FILE for other logs, or `perpcomp guards vectors FILE`."
        )
    import perpcomp
    from perpcomp.guards.crash import answer

    with _unbroken():
        loaded, found = perpcomp.guarded(query, input, rules if replay else None, sweep)
        folder = out if out is not None else Path("outputs") / loaded.name / "guards"
        written = answer.write(found, folder)
    if as_json:
        terminal.print_json({name: terminal.plain_rows(frame) for name, frame in found.tables.items()})
    else:
        for header, rows, right in answer.grids(found, loaded, terminal.readable):
            terminal.print_grid(header, rows, right)
    if not quiet:
        for line in answer.words(found):
            terminal.say(line)
        terminal.say(f"{', '.join(written)} in {folder}.")
    terminal.print_problems([p for p in found.findings if p.level != "note"])
    if any(p.level == "error" for p in found.findings):
        raise typer.Exit(1)


@app.command(rich_help_panel=CHECK)
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a published run.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Recompute a published run from its own inputs and report every difference."""
    import perpcomp

    with _unbroken():
        verdict = perpcomp.verify(run)
    if as_json:
        terminal.print_json(
            {
                "same": verdict.same,
                "files": verdict.files,
                "differences": [vars(d) for d in verdict.differences],
                "notes": list(verdict.notes),
            }
        )
    elif not verdict.same:
        shown = verdict.differences[:50]
        terminal.print_grid(["where", "published", "recomputed"], [[d.where, d.published, d.recomputed] for d in shown])
        if len(verdict.differences) > len(shown):
            terminal.say(f"… and {len(verdict.differences) - len(shown)} more differences; --json lists all.")
    if not quiet:
        for note in verdict.notes:
            terminal.say(f"note: {note}")
        terminal.say(f"{'PASS' if verdict.same else 'FAIL'}: {verdict.files} files compared, {len(verdict.differences)} differences.")
    if not verdict.same:
        raise typer.Exit(1)


def _check_vectors(file: Path) -> None:
    from perpcomp.guards.vectors import check

    with _unbroken():
        checked = check(file)
    terminal.print_problems(checked.findings[:50])
    print(f"{checked.passed:,} passed, {checked.failed:,} failed")
    if checked.failed:
        raise typer.Exit(1)


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

    asked = _block_range(blocks)
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


def _block_or_time(text: str | None) -> "int | datetime | None":
    from datetime import datetime

    if text is None or (text.isascii() and text.replace("_", "").isdigit()):
        return None if text is None else int(text.replace("_", ""))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise refusal("--at", f"'{text}' is no block and no time.", "Write 13500195, or 2021-02-20T22:45:00Z.") from None
    if moment.tzinfo is None:
        raise refusal("--at", f"{text} has no zone.", "Add Z, or an offset as +08:00.")
    return moment


def _block_range(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, colon, last = text.replace("_", "").replace(",", "").partition(":")
    if not (colon and first.isascii() and first.isdigit() and last.isascii() and last.isdigit() and int(first) <= int(last)):
        raise refusal("--blocks", f"'{text}' is no range of blocks.", "Write FROM:TO, as 14648000:14657000; both are included.")
    return int(first), int(last)


@contextmanager
def _unbroken(on_interrupt: str = "Nothing was written.") -> Iterator[None]:
    """Ctrl-C ends with a sentence and 130, not with a stack."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.say(f"Interrupted. {on_interrupt} The same command starts again.")
        raise typer.Exit(130) from None


def _exit_by(done: "Run") -> None:
    _say(done.problems)


def _say(problems: "Sequence[Finding]") -> None:
    """Say the errors and warnings; exit 1 where an error-level finding stands."""
    terminal.print_problems([p for p in problems if p.level != "note"])
    if any(p.level == "error" for p in problems):
        raise typer.Exit(1)
