"""Publish: bundle and sign."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import PUBLISH, command
from perpcomp.cli.options import AsJson, Quiet
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
