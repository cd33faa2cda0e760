"""Look before you vote: guards."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import LOOK, app, unbroken
from perpcomp.cli.options import AsJson, Input, Quiet
from perpcomp.findings import refusal

if TYPE_CHECKING:
    pass


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
        from perpcomp.guards.rules.profiles import differences

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
    from perpcomp.guards import report

    with unbroken():
        loaded, found = perpcomp.guarded(query, input, rules if replay else None, sweep)
        folder = out if out is not None else Path("outputs") / loaded.name / "guards"
        written = report.write(found, folder)
    if as_json:
        terminal.print_json({name: terminal.plain_rows(frame) for name, frame in found.tables.items()})
    else:
        for header, rows, right in report.grids(found, loaded, terminal.readable):
            terminal.print_grid(header, rows, right)
    if not quiet:
        for line in report.words(found):
            terminal.say(line)
        terminal.say(f"{', '.join(written)} in {folder}.")
    terminal.print_problems([p for p in found.findings if p.level != "note"])
    if any(p.level == "error" for p in found.findings):
        raise typer.Exit(1)


def _check_vectors(file: Path) -> None:
    from perpcomp.guards.rules.vectors import check

    with unbroken():
        checked = check(file)
    terminal.print_problems(checked.findings[:50])
    print(f"{checked.passed:,} passed, {checked.failed:,} failed")
    if checked.failed:
        raise typer.Exit(1)
