"""Check: verify."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import CHECK, command
from perpcomp.cli.options import AsJson, Quiet
from perpcomp.findings import ERROR_OR_DIFFERENCE, Finding

MOST_DIFFERENCES = 50  # in a printed table


@command(CHECK)
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a published run.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Recompute a published run from its own inputs and report every difference."""
    import perpcomp
    from perpcomp.number_text import counted

    verdict = perpcomp.verify(run)
    differences = verdict.differences
    if as_json:
        terminal.print_json(
            {
                "same": verdict.same,
                "files": verdict.files,
                "differences": [vars(difference) for difference in differences],
                "notes": list(verdict.notes),
            }
        )
    elif not verdict.same:
        rows = [[one.where, one.published, one.recomputed] for one in differences[:MOST_DIFFERENCES]]
        terminal.print_grid(["where", "published", "recomputed"], rows)
        if len(differences) > len(rows):
            terminal.say(f"… and {counted(len(differences) - len(rows), 'more difference')}; --json lists all.")
    if not quiet:
        for note in verdict.notes:
            terminal.say(f"note: {note}")
        terminal.say(
            f"{'PASS' if verdict.same else 'FAIL'}: {counted(verdict.files, 'file')} compared, {counted(len(differences), 'difference')}."
        )
    if not verdict.same:
        raise typer.Exit(ERROR_OR_DIFFERENCE)
    return []
