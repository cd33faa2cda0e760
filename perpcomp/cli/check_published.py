"""Check: check-published."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import CHECK, command
from perpcomp.cli.options import AsJson, Quiet
from perpcomp.findings import Finding

if TYPE_CHECKING:
    from perpcomp.audit.recount.against import Against

MOST = 50  # rows of differences that are printed


@command(CHECK)
def check_published(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A table of amounts by address: .csv or .xlsx.", exists=True, dir_okay=False)
    ],
    against: Annotated[
        Path | None, typer.Option("--against", metavar="RUN|FILE", help="Compare with a published run, or with another list.", exists=True)
    ] = None,
    column: Annotated[str | None, typer.Option("--column", metavar="NAME", help="The column that is paid, for --against.")] = None,
    other_column: Annotated[
        str | None, typer.Option("--against-column", metavar="NAME", help="The same in the other list, where it is called otherwise.")
    ] = None,
    token: Annotated[str | None, typer.Option("--token", metavar="TOKEN", help="Only the rows of this token.")] = None,
    decimals: Annotated[
        int, typer.Option("--decimals", metavar="N", help="Whole numbers are base units of a token with so many decimals.", min=0, max=36)
    ] = 0,
    total: Annotated[
        list[str] | None, typer.Option("--total", metavar="COLUMN=NUMBER", help="What somebody says that a column adds up to.")
    ] = None,
    pot: Annotated[list[str] | None, typer.Option("--pot", metavar="COLUMN=NUMBER", help="The pot that a column shares.")] = None,
    count: Annotated[int | None, typer.Option("--count", metavar="N", help="How many are paid, as somebody says.", min=0)] = None,
    sheet: Annotated[str | None, typer.Option("--sheet", metavar="NAME", help="The sheet of a workbook; default: its first.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Add up again a table that somebody else published, and name whatever does not fit.

    Sums, shares, duplicates, pots, floats, rounding, and what was said of it elsewhere.
    """
    import perpcomp
    from perpcomp.audit.recount.check import Asked
    from perpcomp.audit.recount.numbers import read_stated, shown
    from perpcomp.findings import refusal

    for option, value in (("--column", column), ("--against-column", other_column)):
        if value is not None and against is None:
            raise refusal(option, "Nothing is compared, so the option would do nothing.", "Add --against RUN or FILE, or leave it out.")
    if other_column is not None and against is not None and against.is_dir():
        raise refusal("--against-column", "A run is compared by what it pays. The option would do nothing.", "Leave it out.")
    asked = Asked(
        totals=[read_stated("--total", one) for one in total or ()],
        pots=[read_stated("--pot", one) for one in pot or ()],
        count=count,
        decimals=decimals,
        token=token,
    )
    recount = perpcomp.check_published(file, asked, sheet)
    findings = list(recount.findings)
    rows: list[Against] = []
    places = 0
    if against is not None:
        compared, rows, places = perpcomp.compare_lists(file, against, column, other_column, decimals, token, sheet)
        findings += compared
    if as_json:
        terminal.print_json(
            {
                "sums": [dict(zip(("column", "token", "rows", "sum"), line, strict=True)) for line in recount.sums],
                "findings": [vars(one) for one in findings],
                "differences": [
                    {**vars(row), "difference": row.by, "places": places}
                    | {name: str(value) for name, value in (("here", row.here), ("there", row.there)) if value is not None}
                    | {"difference": str(row.by)}
                    for row in rows
                ],
            }
        )
    else:
        with_tokens = any(one for _, one, *_ in recount.sums)
        header = ["column", *(["token"] if with_tokens else []), "rows", "sum"]
        lines = [[name, *([of] if with_tokens else []), f"{held:,}", amount] for name, of, held, amount in recount.sums]
        terminal.print_grid(header, lines, right=range(len(header) - 2, len(header)))
        if rows:
            lines = []
            for row in rows[:MOST]:
                amounts = ["" if n is None else shown(n, places) for n in (row.by, row.here, row.there)]
                lines.append([row.address, row.token, *amounts])
            terminal.print_grid(["payee", "token", "difference", "here", "there"], lines, right=(2, 3, 4), elsewhere="--json has all.")
            if len(rows) > MOST:
                terminal.say(f"… and {len(rows) - MOST:,} more; --json lists all.")
    if not quiet:
        for one in findings:
            if one.level == "note":
                terminal.say(f"note: {terminal.printable(f'{one.where}: {one.what}')}")
    if not any(one.level == "error" for one in findings) and not quiet:
        terminal.say(f"PASS: {file.name} adds up.")
    return findings
