"""Publish: bundle, sign and proposal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import PUBLISH, command
from perpcomp.cli.options import AsJson, Quiet, unix_seconds
from perpcomp.findings import Finding


@command(PUBLISH)
def bundle(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a published run.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where the bundle goes; default: RUN.bundle.zip.")] = None,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Pack a published run into one file that anybody can verify offline: its folder, byte for byte."""
    import perpcomp
    from perpcomp.audit import bundle as audit
    from perpcomp.audit.levels import manifest_of
    from perpcomp.publish.carried import VERIFIER

    target = audit.target_of(run, out)
    audit.write(target, data := perpcomp.pack_run(run))
    stated, manifest_sha256 = manifest_of(target)
    if not quiet:
        alone = f"; or without perpcomp: unpack it, and type python3 -I {VERIFIER}" if VERIFIER in stated["files"] else ""
        terminal.say(f"{target}: {len(stated['files']) + 1} files, {len(data):,} bytes.")
        terminal.say(f"Manifest sha256 {manifest_sha256}.")
        terminal.say(f"Check it: perpcomp verify {target}{alone}.")
    return []


@command(PUBLISH)
def sign(
    run: Annotated[
        Path, typer.Argument(metavar="BUNDLE|RUN", help="A file that `perpcomp bundle` wrote, or the folder of a published run.")
    ],
    signature: Annotated[
        str | None, typer.Option("--signature", metavar="HEX", help="What the wallet gave: keep it beside the run.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Print what a wallet signs for a run (EIP-712), or keep a signature that it gave. No key is asked for."""
    from perpcomp.audit import signatures
    from perpcomp.audit.levels import manifest_of
    from perpcomp.writing import write_whole

    stated, manifest_sha256 = manifest_of(run)
    if signature is None:
        terminal.print_json(signatures.typed_data(stated, manifest_sha256))
        if not quiet:
            terminal.say("Verify the run before you sign it: a signature says that you did.")
            terminal.say("Sign this typed data in a wallet (eth_signTypedData_v4), then type the command again with --signature HEX.")
        return []
    file = signatures.beside(run)
    by, data = signatures.add(file, stated, manifest_sha256, signature)
    write_whole(file, data)
    if as_json:
        terminal.print_json({"signer": by, "manifest_sha256": manifest_sha256, "file": str(file)})
    elif not quiet:
        terminal.say(f"{by} signed the manifest {manifest_sha256}: kept in {file}.")
    return []


@command(PUBLISH)
def proposal(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a published run.")],
    space: Annotated[str, typer.Option("--space", metavar="NAME", help="Snapshot's space: its ENS name, such as perp.eth.")],
    sender: Annotated[str, typer.Option("--from", metavar="ADDRESS", help="Who signs: an author of the space.")],
    timestamp: Annotated[
        str, typer.Option("--timestamp", metavar="TIME", help="When it is signed: unix seconds, or a time with its zone.")
    ],
    snapshot: Annotated[
        int, typer.Option("--snapshot", metavar="BLOCK", help="The block of the space's network whose voting power counts.")
    ],
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="When the vote starts; default: at the timestamp.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="When the vote ends; default: 3 days after its start.")] = None,
    voting: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="NAME", help="single-choice (the default), approval, quadratic, ranked-choice, weighted or copeland."
        ),
    ] = None,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Print what a wallet signs to put a published run to the vote on Snapshot (EIP-712). No clock is read and nothing is sent.

    The text and the choices are those of proposal.md and proposal.json in the run. A what-if, a run whose payment is stopped and one with
    an error are refused; only an amount that nobody can be paid may stay an error.
    """
    import perpcomp
    from perpcomp.publish.proposal import GOVERNOR
    from perpcomp.publish.proposal import typed_data as typed
    from perpcomp.publish.proposal.governor import lacking

    asked = typed.Asked(
        space=space,
        sender=sender,
        timestamp=unix_seconds(timestamp, "--timestamp"),
        snapshot=snapshot,
        start=None if start is None else unix_seconds(start, "--start"),
        end=None if end is None else unix_seconds(end, "--end"),
        voting=voting or typed.VOTING[0],
    )
    published = perpcomp.published(run)
    made = typed.typed_data(published, asked)
    terminal.print_json(made)
    if not quiet:
        message = made["message"]
        terminal.say(terminal.printable(f"{message['title']}: {len(message['choices'])} choices, {message['type']}."))
        terminal.say(f"The vote runs from {typed.said(asked.begins)} to {typed.said(asked.ends)}, by the voting power at block {snapshot}.")
        terminal.say(
            f"Type `perpcomp verify {run}` before you sign. Sign it as {message['from']} (eth_signTypedData_v4), and send Snapshot the"
            f" signature with domain, types and message at most {typed.SUBMIT} days after the timestamp."
        )
        terminal.say("Snapshot refuses a delay, a period, a voting type or a privacy that the space's settings do not allow.")
        terminal.say(
            f"{GOVERNOR} in the run holds the calls for a vote that executes on chain."
            if GOVERNOR in published.stated["files"]
            else f"For a vote that executes on chain there is no {GOVERNOR}: {lacking(published.incident)}"
        )
    return typed.not_final(published)
