"""Look before you vote: diff."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import LOOK, command
from perpcomp.cli.options import AsJson, Quiet
from perpcomp.findings import ERROR_OR_DIFFERENCE, Finding

MOST = 50  # rows of a printed table


@command(LOOK)
def diff(
    before: Annotated[Path, typer.Argument(metavar="RUN_A", help="The folder of a published run.")],
    after: Annotated[Path, typer.Argument(metavar="RUN_B", help="The folder of another one.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Two published runs: whose payout moved, by how much, because of which input, rule or parameter, and which rows differ."""
    import perpcomp
    from perpcomp.number_text import counted, in_full

    found = perpcomp.diff(before, after)
    if as_json:
        terminal.print_json(found.fields())
        if not found.same:
            raise typer.Exit(ERROR_OR_DIFFERENCE)
        return []
    if not quiet and found.causes:
        terminal.say("What the runs state differently, in the order in which it is put in:")
        for number, one in enumerate(found.causes, 1):
            effect = f"moves {counted(len(one.by), 'payout')}" if one.by else "moves no payout"
            terminal.say(terminal.printable(f"{number}. {one.cause.name}, which {effect}"))
            for detail in one.cause.details:
                terminal.say(terminal.printable(f"     {detail}"))
    lines = [
        [who, token, f"{'+' if new > old else ''}{in_full(new - old)}", because, in_full(old), in_full(new)]
        for (who, token), old, new, because in found.payouts()
    ]
    if lines:
        header = ["payee", "token", "moved by", "because of", "before", "after"]
        terminal.print_grid(header, lines[:MOST], right=(2, 4, 5), elsewhere="--json has all.")
    if len(lines) > MOST and not quiet:
        terminal.say(f"… and {counted(len(lines) - MOST, 'more payout')}; --json lists all.")
    by_column = Counter((one.file, one.column) for one in found.cells)
    if by_column and not quiet:
        first = {(one.file, one.column): one for one in reversed(found.cells)}
        rows = [[*place, f"{n:,}", first[place].before, first[place].after] for place, n in by_column.items()]
        terminal.print_grid(["file", "column", "cells", "first before", "first after"], rows, right=(2,), elsewhere="--json has all.")
        terminal.say("--json lists every cell with its row.")
    if not quiet:
        changed = f"{counted(len(lines), 'payout')} moved, {counted(len(found.cells), 'cell')} differ."
        terminal.say("SAME: the two runs pay the same and have the same rows." if found.same else f"DIFFERENT: {changed}")
    if not found.same:
        raise typer.Exit(ERROR_OR_DIFFERENCE)
    return []
