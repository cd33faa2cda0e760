"""Look before you vote: guards, with its commands verdicts, profiles and vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import LOOK, app, command, with_default
from perpcomp.cli.options import AsJson, Input, Query, Quiet
from perpcomp.findings import Finding, refusal

DEFAULT_RULES = "sip-2005"


guards = typer.Typer(cls=with_default("verdicts"), rich_markup_mode=None)
app.add_typer(
    guards, name="guards", rich_help_panel=LOOK, help="Which liquidations would liquidation guards such as SIP-2005's have held back?"
)


@command(LOOK, guards)
def verdicts(
    query: Query = "rehearsal",
    input: Input = None,
    replay: Annotated[bool, typer.Option("--replay", help="Also execute history again under the guards: the counterfactual.")] = False,
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules", metavar="NAME", help=f"Rules of the counterfactual: {DEFAULT_RULES} (the default), or V1's own later ones."
        ),
    ] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Also count verdicts over a grid of limits.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Where CSV files go; default outputs/NAME/guards.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Which liquidations guards such as SIP-2005's would have held back: price impact and premium against their limits.

    `perpcomp guards QUERY` is short for `perpcomp guards verdicts QUERY`. Also: `perpcomp guards profiles` and
    `perpcomp guards vectors FILE`.
    """
    import perpcomp
    from perpcomp.guards import printed, report

    if rules is not None and not replay:
        raise refusal("--rules", "Only the counterfactual has rules, and it is not asked for.", "Add --replay, or leave --rules out.")
    incident, found = perpcomp.guarded(query, input, (rules or DEFAULT_RULES) if replay else None, sweep)
    folder = out if out is not None else Path("outputs") / incident.name / "guards"
    written = report.write(found, folder)
    if as_json:
        terminal.print_json({name: terminal.plain_rows(frame) for name, frame in found.tables.items()})
    elif not quiet:
        for number, (header, rows, right) in enumerate(printed.grids(found, incident, terminal.readable)):
            if number:
                print()
            terminal.print_grid(header, rows, right, elsewhere="The CSV files hold everything.")
    if not quiet:
        for line in printed.sentences(found):
            terminal.say(line)
        terminal.say(f"{', '.join(written)} in {folder}.")
    return found.findings


@command(LOOK, guards)
def profiles() -> Sequence[Finding]:
    """Where SIP-2005's text and the deployed code differ."""
    from perpcomp.guards.rules.profiles import differences

    terminal.print_grid(["rule", "the SIP's text", "the deployed code"], [[*row] for row in differences()])
    return []


@command(LOOK, guards)
def vectors(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recorded answers of the contracts, .json or .json.gz.")],
) -> Sequence[Finding]:
    """Compare recorded answers of the contracts with the rules of the deployed code."""
    from perpcomp.guards.rules.vectors import check

    checked = check(file)
    print(f"{checked.passed:,} passed, {checked.failed:,} failed")
    return checked.findings[:50]
