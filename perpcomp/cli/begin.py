"""Begin: init, check, schema."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import BEGIN, command
from perpcomp.cli.options import AsJson, Input, Query, block_range, query_name
from perpcomp.findings import Finding, refusal
from perpcomp.object_store import url

if TYPE_CHECKING:
    from perpcomp.begin.check import Checked
    from perpcomp.begin.propose import Proposal

ASKED = (("", "title"), ("eligibility", "from"), ("eligibility", "to"), ("formula", "name"), ("allocation", "rounded_off_to"))


@command(BEGIN)
def init(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The incident: its file is NAME.toml.", callback=query_name)],
    system: Annotated[str | None, typer.Option("--system", metavar="NAME", help="The protocol; default: that of the logs.")] = None,
    input: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="Raw logs of the crash, as a node or an exporter writes them.")
    ] = None,
    rpc: Annotated[list[str] | None, typer.Option("--rpc", metavar="URL", help="A node to search for logs of the crash.")] = None,
    chain: Annotated[
        str | None, typer.Option("--chain", metavar="ID", help="The chain: its number, or a short name as gno or oeth.")
    ] = None,
    blocks: Annotated[
        str | None, typer.Option("--blocks", metavar="FROM:TO", help="Search these blocks of --rpc; default: the newest 50,000.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take every proposal.")] = False,
) -> Sequence[Finding]:
    """Write a new incident file: every key explained, and filled in from logs where they are at hand."""
    from tempfile import TemporaryDirectory

    import perpcomp
    from perpcomp.begin.deployed import known_system
    from perpcomp.begin.draft import SCHEMA
    from perpcomp.incident.incident_file import check_name

    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    check_name(path.stem)
    if path.exists():
        raise refusal(str(path), "The file exists, and init overwrites nothing.", "Give another name, or move the file away.")
    if not path.parent.is_dir():
        raise refusal(str(path), f"There is no folder {path.parent}.", "Make it first, or leave it out of NAME.")
    if input is not None and rpc:
        raise refusal("--rpc", f"The logs come from {url(input)}, so no node is asked.", "Leave --rpc or --input out.")
    if blocks is not None and not rpc:
        raise refusal(
            "--blocks", "No node is given, so no block is searched. The option would do nothing.", "Add --rpc URL, or leave it out."
        )
    number, protocol = chain_id(chain), None if system is None else known_system(system)
    with TemporaryDirectory() if rpc else nullcontext("") as folder:
        if rpc:
            found = perpcomp.search(rpc, Path(folder), system=protocol, chain_id=number, blocks=block_range(blocks))
            number, input = found.chain_id, found.file
            terminal.say(f"Searched blocks {found.first:,} to {found.last:,} of chain {found.chain_id}.")
        proposal = perpcomp.draft(path, protocol, number, input)
    print_seen(proposal)
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        proposal = answered(proposal)
    text = proposal.text
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    schema_file = path.with_name(SCHEMA)
    if not schema_file.exists():
        schema_file.write_text(perpcomp.schema())
    logs = " --rpc URL" if rpc else " --input FILE" if input is None else "" if "input" in proposal.values else f" --input {url(input)}"
    terminal.say(f"Wrote {path}. Decide what it marks `check`. Then type `perpcomp check {path}` and `perpcomp run {path}{logs}`.")
    return []


@command(BEGIN)
def check(query: Query = "rehearsal", input: Input = None, as_json: AsJson = False) -> Sequence[Finding]:
    """All problems of an incident file, with line and key; with logs, also of the logs. Nothing is paid or written."""
    import perpcomp

    checked = perpcomp.check(query, input)
    if as_json:
        terminal.print_json(
            {
                "incident": checked.incident.name,
                "coverage": None if checked.run is None or checked.run.coverage is None else checked.run.coverage.members(),
                "formulas": [vars(one) for one in checked.formulas],
                "findings": [vars(problem) for problem in checked.problems],
            }
        )
    else:
        print_checked(checked)
    return checked.problems


@command(BEGIN)
def schema() -> Sequence[Finding]:
    """Print the JSON Schema of the incident file, for editors and validators."""
    import perpcomp

    print(perpcomp.schema(), end="")
    return []


def chain_id(text: str | None) -> int | None:
    """The number of the chain that --chain names."""
    from perpcomp.findings import near_miss
    from perpcomp.incident.chain_prefix import SHORT_NAMES, chain_number

    number = None if text is None else chain_number(text)
    if text is not None and number is None:
        raise refusal("--chain", f"'{text}' is neither the number of a chain nor a known short name.", near_miss(text, SHORT_NAMES))
    return number


def print_seen(proposal: "Proposal") -> None:
    """What the logs told, with the numbers behind the proposed window."""
    from perpcomp.number_text import counted, cut
    from perpcomp.tables.schema import CSV_TIME

    seen = proposal.seen
    if seen is None:
        return
    rows = []
    for market in seen.markets:
        prices = ["" if price is None else cut(price, 2) for price in (market.before, market.lowest)]
        fell = cut(100 * market.fell, 1) if market.fell is not None else ""
        rows.append([market.name, *prices, fell, str(market.liquidations), "yes" if market.affected else "no"])
    terminal.print_grid(["market", "before", "lowest", "fell (%)", "liquidations", "affected"], rows, right=(1, 2, 3, 4))
    inside = sum(market.liquidations for market in seen.markets)
    window = f"{seen.start.strftime(CSV_TIME)} to {seen.end.strftime(CSV_TIME)}"
    fall = seen.fall
    why = (
        "no price fell in the logs: it holds all liquidations"
        if fall is None
        else f"the largest fall, from {cut(fall.high, 2)} to {cut(fall.low, 2)} at {fall.low_time.strftime(CSV_TIME)}, with the liquidations around it"
    )
    terminal.say(f"Proposed window: {window}, {counted(inside, 'liquidation')}; {why}.")
    terminal.say(f"The logs are of {proposal.system.key}, blocks {seen.first_block:,} to {seen.last_block:,}.")


def answered(proposal: "Proposal") -> "Proposal":
    """The proposal with what a person types instead of some values; an empty answer keeps a value."""
    from perpcomp.incident.json_schema import in_words

    for table, name in ASKED:
        terminal.say(f"\n{in_words(proposal.key(table, name))}")
        while True:
            try:
                typed = typer.prompt(f"{table}.{name}".lstrip("."), default=proposal.shown(table, name), err=True)
                proposal = proposal.changed(table, name, typed)
                break
            except typer.Abort:
                raise KeyboardInterrupt from None
            except ValueError as error:
                terminal.say(f"It {error.args[0]} {error.args[1]}")
    return proposal


def print_checked(checked: "Checked") -> None:
    """What was read, and which formulas lack what."""
    from perpcomp.number_text import counted

    incident, run = checked.incident, checked.run
    length = counted(len(incident.raw.splitlines()), "line")
    terminal.say(f"{incident.name}.toml: all tables and keys are as they must be ({length}).")
    if run is None:
        for problem in checked.problems:
            terminal.say(f"The file alone was checked. {problem.what} {problem.what_to_do}")
        return
    if run.coverage is None:
        terminal.say(f"Input: the claims in {run.input.file.name}, as published. {run.incident.formula} can be applied to them.")
        return
    terminal.say(f"Input: {run.coverage}. Evidence: {run.coverage.stated}.")
    rows = [[one.formula, term, str(count), str(one.liquidations)] for one in checked.formulas for term, count in one.empty.items()]
    if rows:
        terminal.print_grid(["formula", "reads", "empty", "of liquidations"], rows, right=(2, 3))
    else:
        terminal.say(f"{counted(len(checked.formulas), 'formula')} read all they need of every liquidation in the window.")
