"""Check: verify."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import CHECK, app, unbroken
from perpcomp.cli.options import AsJson, Quiet

if TYPE_CHECKING:
    pass


@app.command(rich_help_panel=CHECK)
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a published run.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Recompute a published run from its own inputs and report every difference."""
    import perpcomp

    with unbroken():
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
