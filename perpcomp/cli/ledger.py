"""Look before you vote: ledger, with its commands show, add, from-workbook and freeze."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import LOOK, PanelGroup, app, command
from perpcomp.cli.options import AsJson, Input
from perpcomp.findings import Finding

if TYPE_CHECKING:
    from perpcomp.audit.ledger import Cells

ledger = typer.Typer(cls=PanelGroup, rich_markup_mode=None, no_args_is_help=True)
app.add_typer(
    ledger,
    name="ledger",
    rich_help_panel=LOOK,
    help="The adjustments by rulings: a ledger that is only appended to, and frozen before payment.",
)

Named = Annotated[str, typer.Argument(metavar="QUERY", help="The incident file, whose [ledger] names the ledger.")]
Author = Annotated[str, typer.Option("--author", metavar="NAME", help="Who asks for it.")]
Date = Annotated[str | None, typer.Option("--date", metavar="TIME", help="When it was decided; default: now.")]


@command(LOOK, ledger)
def show(query: Named, as_json: AsJson = False) -> Sequence[Finding]:
    """The lines, once the chain of their hashes is checked, and whether the run is frozen."""
    from msgspec.structs import asdict

    from perpcomp.incident import incident_file
    from perpcomp.number_text import counted
    from perpcomp.systems.units import units
    from perpcomp.tables.schema import CSV_TIME

    incident = incident_file.load(query)
    book, freeze = incident.book, None if incident.book is None else incident.book.freeze
    if as_json:
        terminal.print_json(
            {
                "adjustments": [{name: terminal.plain(value) if value is None or not isinstance(value, tuple) else list(value)
                                 for name, value in asdict(one).items()} | {"factor": None if one.factor is None else str(one.factor)}
                                for one in incident.adjustments],
                "head": None if book is None else book.head,
                "freeze": None if freeze is None else {**{name: terminal.plain(value) for name, value in asdict(freeze).items()}, "signed": bool(freeze.signature)},
            }
        )  # fmt: skip
        return []
    header = ["trader", f"what ({units(incident).quote})", "reason", "where", "date", "ruling", "evidence", "author"]
    rows = [
        [one.trader, one.in_words, one.reason, one.place, one.date.strftime(CSV_TIME), one.ruling, one.evidence, one.author]
        for one in incident.adjustments
    ]
    if rows:
        terminal.print_grid(header, rows, elsewhere="--json has all.")
    if book is None:
        terminal.say("The incident file names no ledger.")
        return []
    terminal.say(f"{counted(book.lines, 'line')}, chain unbroken; the last hash is {book.head}.")
    if freeze is not None:
        terminal.say(
            terminal.printable(f"Frozen by {freeze.place}, {freeze.by}; comments until {freeze.comment_until.strftime(CSV_TIME)}.")
        )
    else:
        terminal.say(f"Not frozen{f': {book.undone_by} changed it after the last freeze' if book.undone_by else ''}.")
    return []


@command(LOOK, ledger)
def add(
    query: Named,
    trader: Annotated[str, typer.Option("--trader", metavar="ADDRESS", help="Whose entitlement is corrected.")],
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="add, deduct, set or scale.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")],
    evidence: Annotated[str, typer.Option("--evidence", metavar="TEXT", help="What shows the reason.")],
    author: Author,
    ruling: Annotated[str, typer.Option("--ruling", metavar="TEXT", help="Who decided it, and where that is written.")],
    amount: Annotated[str | None, typer.Option("--amount", metavar="NUMBER", help="In the quote asset.")] = None,
    factor: Annotated[str | None, typer.Option("--factor", metavar="SHARE", help="For scale: 0.5 or 1/3.")] = None,
    date: Date = None,
    input: Input = None,
) -> Sequence[Finding]:
    """Append one adjustment, and say what it moves. It is checked by a whole run first."""
    cells = {
        "trader": trader,
        "kind": kind,
        "amount": amount or "",
        "factor": factor or "",
        "reason": reason,
        "evidence": evidence,
        "author": author,
        "ruling": ruling,
        "date": date or _now(),
    }
    return _append(query, input, [("the new line", cells)])


@command(LOOK, ledger)
def from_workbook(
    query: Named,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A workbook with a sheet Adjustments.", exists=True, dir_okay=False)],
    input: Input = None,
) -> Sequence[Finding]:
    """Append the lines of a workbook's sheet Adjustments: all of them, or none where one is wrong."""
    from perpcomp.audit.ledger import from_sheet

    return _append(query, input, from_sheet(file))


@command(LOOK, ledger)
def freeze(
    query: Named,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the published run.")],
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="The end of the comment window, as 2021-03-08T00:00:00Z.")],
    author: Author,
    evidence: Annotated[str | None, typer.Option("--evidence", metavar="TEXT", help="Where comments are collected.")] = None,
    signature: Annotated[str | None, typer.Option("--signature", metavar="0x…", help="The author's signature of the message.")] = None,
    date: Date = None,
    input: Input = None,
) -> Sequence[Finding]:
    """Append the line that freezes a published run: a change until the window ends undoes it, a change after that is refused."""
    from perpcomp.audit.ledger import freeze_line
    from perpcomp.incident import incident_file

    texts = {"evidence": evidence or "", "signature": signature or ""}
    line = freeze_line(run, incident_file.load(query), until, author, date or _now(), **texts)
    found = _append(query, input, [("the new line", line)])
    frozen = incident_file.load(query).book
    if frozen is not None and frozen.freeze is not None and not signature:
        terminal.say(f"It is not signed. To sign it, freeze with --signature; the message is: {frozen.freeze.message}")
    return found


def _append(query: str, input: Path | None, lines: "Sequence[tuple[str, Cells]]") -> Sequence[Finding]:
    from perpcomp.audit.ledger import append
    from perpcomp.incident import incident_file
    from perpcomp.input import find_input
    from perpcomp.number_text import counted, in_full

    incident = incident_file.load(query)
    done = append(incident, find_input(incident, input), lines)
    if done.moved:
        rows = [[who, token, in_full(new - old), in_full(old), in_full(new)] for who, token, old, new in done.moved]
        terminal.print_grid(["payee", "token", "moved by", "before", "after"], rows, right=(2, 3, 4))
    if not done.written:
        terminal.say(f"Nothing was written: {counted(done.known, 'line')} stand{'s' if done.known == 1 else ''} in the ledger already.")
        return []
    known = f"; {counted(done.known, 'line')} stood there already" if done.known else ""
    terminal.say(
        f"{counted(done.written, 'line')} written{known}. {counted(len(done.moved), 'payout')} moved. The last hash is {done.head}."
    )
    return [one for one in done.problems if one.code in ("adjusted-more", "frozen-differs", "freeze-undone")]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
