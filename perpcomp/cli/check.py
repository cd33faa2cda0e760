"""Check: verify."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import CHECK, command
from perpcomp.cli.options import AsJson, Quiet
from perpcomp.findings import Finding

if TYPE_CHECKING:
    from perpcomp.audit.levels import Report

MOST_DIFFERENCES = 50  # in a printed table


@command(CHECK)
def verify(
    run: Annotated[
        Path, typer.Argument(metavar="BUNDLE|RUN", help="A file that `perpcomp bundle` wrote, or the folder of a published run.")
    ],
    rpc: Annotated[
        list[str] | None, typer.Option("--rpc", metavar="URL", help="Compare blocks, logs and code with this node; repeatable.")
    ] = None,
    published: Annotated[
        Path | None, typer.Option("--published", metavar="FILE", help="A file of claims served elsewhere: must pay the same.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE", help="A workbook or CSV file that was passed on: must say the same.")
    ] = None,
    signer: Annotated[list[str] | None, typer.Option("--signer", metavar="ADDRESS", help="Must have signed; repeatable.")] = None,
    signatures: Annotated[
        Path | None, typer.Option("--signatures", metavar="FILE", help="The signatures; default: the file .sig.json beside it.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Check a bundle or a run in levels: hashes, everything made again from its inputs, proof, nodes, claims, sheet."""
    import perpcomp
    from perpcomp.audit.level import DOES_NOT_PROVE
    from perpcomp.number_text import counted

    report = perpcomp.verify_levels(run, rpc or (), published, sheet, signer or (), signatures)
    differences = report.differences
    verdict = "PASS" if not report.code else "FAIL" if differences else "NOT CHECKED"
    if as_json:
        terminal.print_json(
            {
                "result": verdict,
                "same": not differences,
                "manifest_sha256": report.manifest_sha256,
                "signers": list(report.signers),
                "files": report.files,
                "levels": [
                    {
                        "level": one.name,
                        "result": one.result,
                        "compared": one.said,
                        "does_not_prove": DOES_NOT_PROVE[one.name],
                        "problems": [vars(problem) for problem in one.problems],
                    }
                    for one in report.levels
                ],
                "differences": [vars(difference) for difference in differences],
                "notes": _notes(report),
            }
        )
    elif differences:
        rows = [[one.where, one.published, one.recomputed] for one in differences[:MOST_DIFFERENCES]]
        terminal.print_grid(["where", "published", "recomputed"], rows)
        if len(differences) > len(rows):
            terminal.say(f"… and {counted(len(differences) - len(rows), 'more difference')}; --json lists all.")
    if not quiet:
        for note in _notes(report):
            terminal.say(f"note: {note}")
        for one in report.levels:
            limit = "" if one.result != "PASS" else f" It does not prove {DOES_NOT_PROVE[one.name]}."
            terminal.say(f"{one.name} {one.result}: {one.said.rstrip('.')}.{limit}")
    terminal.print_problems([problem for one in report.levels for problem in one.problems])
    if not quiet:
        terminal.say(f"{verdict}: {counted(report.files, 'file')} compared, {counted(len(differences), 'difference')}.")
    if report.code:
        raise typer.Exit(report.code)
    return []


def _notes(report: "Report") -> list[str]:
    return list(dict.fromkeys(note for level in report.levels for note in level.notes))
