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
    store: Annotated[
        Path | None, typer.Option("--store", metavar="FOLDER", help="The store with the headers of --prove; default store/NAME.")
    ] = None,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Pack a published run into one file that anybody can verify offline: inputs, results, hashes, lock, and a verifier of its own."""
    from hashlib import sha256

    import perpcomp
    from perpcomp.audit import bundle as audit
    from perpcomp.audit.levels import open_bundle
    from perpcomp.publish.manifest import MANIFEST

    target = audit.target_of(run, out)
    audit.write(target, data := perpcomp.pack_run(run, store))
    files, _ = open_bundle(target)
    if not quiet:
        terminal.say(f"{target}: {len(files)} files, {len(data):,} bytes.")
        terminal.say(f"Manifest sha256 {sha256(files[MANIFEST]).hexdigest()}.")
        terminal.say(f"Check it: perpcomp verify {target}; or without perpcomp: unpack it, and type python3 -I verify.py.")
    return []


@command(PUBLISH)
def sign(
    bundle_file: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A file that `perpcomp bundle` wrote.")],
    signature: Annotated[
        str | None, typer.Option("--signature", metavar="HEX", help="What the wallet gave: keep it beside the bundle.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Print what a wallet signs for a bundle (EIP-712), or keep a signature that it gave. No key is asked for."""
    import hashlib

    from perpcomp.audit import signatures
    from perpcomp.audit.levels import open_bundle
    from perpcomp.publish.manifest import MANIFEST
    from perpcomp.writing import write_whole

    files, stated = open_bundle(bundle_file)
    manifest_sha256 = hashlib.sha256(files[MANIFEST]).hexdigest()
    if signature is None:
        terminal.print_json(signatures.typed_data(stated, manifest_sha256))
        if not quiet:
            terminal.say("Verify the bundle before you sign it: a signature says that you did.")
            terminal.say("Sign this typed data in a wallet (eth_signTypedData_v4), then type the command again with --signature HEX.")
        return []
    file = signatures.beside(bundle_file)
    by, data = signatures.add(file, stated, manifest_sha256, signature)
    write_whole(file, data)
    if as_json:
        terminal.print_json({"signer": by, "manifest_sha256": manifest_sha256, "file": str(file)})
    elif not quiet:
        terminal.say(f"{by} signed the manifest {manifest_sha256}: kept in {file}.")
    return []
