"""Check: check-sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import CHECK, command
from perpcomp.cli.options import AsJson, Quiet
from perpcomp.findings import ERROR_OR_DIFFERENCE, Finding

MOST = 50  # findings in a printed table


@command(CHECK)
def check_sheet(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A workbook (.xlsx) or CSV file that somebody passed on.")],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the published run.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Say whether a copy of a run's workbook or CSV file, edited or saved again, still says what the run says."""
    import perpcomp
    from perpcomp.audit.sheet.found import NOTE
    from perpcomp.number_text import counted

    checked = perpcomp.check_sheet(file, run)
    differing = [one for one in checked.findings if one.level != NOTE]
    if as_json:
        findings = [vars(one) for one in checked.findings]
        terminal.print_json({"same": checked.same, "same_bytes": checked.same_bytes, "findings": findings})
    elif differing:
        rows = [[one.code, one.place, one.found, one.expected] for one in differing[:MOST]]
        terminal.print_grid(["what", "where", "found", "expected"], rows)
        for hint in dict.fromkeys(one.hint for one in differing if one.hint):
            first, *others = (one.place for one in differing if one.hint == hint)
            terminal.say(f"{first}{f' and {len(others):,} more' if others else ''}: {hint}")
        if len(differing) > MOST:
            terminal.say(f"… and {counted(len(differing) - MOST, 'more difference')}; --json lists all.")
    if not quiet:
        for one in checked.findings:
            if one.level == NOTE:
                terminal.say(f"note: {one.place}: {one.found}, expected {one.expected}.")
        if checked.same:
            terminal.say(f"PASS: {file.name} {checked.in_words}.")
        else:
            terminal.say(f"FAIL: {file.name} is not what the run says: {counted(len(differing), 'difference')}.")
    if not checked.same:
        raise typer.Exit(ERROR_OR_DIFFERENCE)
    return []
