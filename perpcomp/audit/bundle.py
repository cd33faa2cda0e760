"""One archive of a run that anybody can check offline: the run's folder, the proof of its logs, the lock, and a verifier of one file."""

import json
import os
import zipfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp import progress
from perpcomp.audit.archive import DAMAGED, pack
from perpcomp.audit.statement import RUN, Block, statement
from perpcomp.findings import refusal
from perpcomp.ingest.proof.evidence import folder_of
from perpcomp.publish.files import EVENTS_FILE
from perpcomp.publish.manifest import MANIFEST
from perpcomp.publish.read_back import open_published
from perpcomp.writing import write_whole

LOCK_FILE, VERIFIER, PROOF = "lock.txt", "verify.py", "proof/"
PACKAGE = Path(__file__).parent.parent


def bundle(folder: Path, store: Path | None = None) -> bytes:
    """The archive of a run's folder, with the headers and receipts of `store` (default store/NAME) where the run's logs were proved.

    InputError where the folder is no run or was changed (exit 4), or where the proof's files are not in the store.
    """
    run = open_published(folder)
    progress.now("Packing the run")
    files = {RUN + name: (folder / name).read_bytes() for name in (*run.stated["files"], MANIFEST)}
    proof = proved_range(folder, run.stated)
    if proof is not None:
        files |= _evidence(store or Path("store") / run.incident.name, proof)
    files[LOCK_FILE] = lock()
    files[VERIFIER] = verifier()
    files[MANIFEST] = statement(files, run.stated, run.incident.chain.id, last_block(folder, run.stated), run.incident.settlement, proof)
    return pack(files)


def lock() -> bytes:
    """The versions that perpcomp is tested with, each with its hashes: in the wheel beside the code, in a checkout beside the package."""
    packaged = PACKAGE / "requirements.lock"
    return (packaged if packaged.is_file() else PACKAGE.parent / "requirements.lock").read_bytes()


def verifier() -> bytes:
    """The text of the verifier that shares no code with perpcomp."""
    return resources.files("perpcomp.audit").joinpath("standalone.py").read_bytes()


def last_block(folder: Path, stated: Mapping[str, Any]) -> Block:
    """The last block with a trade in the run's events; number 0 for a run that starts from a published table."""
    if EVENTS_FILE not in stated["files"]:
        return Block("0", "")
    events = pl.scan_parquet(folder / EVENTS_FILE, glob=False)
    last = events.select("block_number", "block_hash").sort("block_number").last().collect()
    (number, block_hash) = last.row(0) if last.height else (0, None)
    return Block(str(number), block_hash or "")


def proved_range(folder: Path, stated: Mapping[str, Any]) -> dict[str, str] | None:
    """The blocks that headers and receipts prove, with the hash of the last one: as the range file of the run's inputs says. None: no proof."""
    for entry in stated["inputs"].get("range", []):
        said = json.loads((folder / "inputs" / entry["file"]).read_bytes())
        for start, anchor in (said.get("proved") or {}).values():
            return {"first": str(start), "last": str(said["last"]), "anchor": anchor}
    return None


def _evidence(store: Path, proof: Mapping[str, str]) -> dict[str, bytes]:
    place = folder_of(store, (int(proof["first"]), int(proof["last"])))
    paths = [place / "headers.bin", *sorted((place / "receipts").glob("*.bin"))]
    if not paths[0].is_file():
        what = "The run's logs were proved, but the store does not hold the headers and receipts."
        raise refusal(str(place), what, "Name the run's store with --store FOLDER.")
    return {PROOF + path.relative_to(place).as_posix(): path.read_bytes() for path in paths}


def target_of(run: Path, out: Path | None) -> Path:
    """Where the bundle of a run goes. InputError where something that is no bundle stands there, or where it would lie in the run."""
    target = out or run.absolute().with_name(f"{run.absolute().name}.bundle.zip")
    if out is None and not run.is_absolute():
        target = Path(os.path.relpath(target))
    if target.absolute().is_relative_to(run.absolute()):
        raise refusal(str(target), "The bundle would lie in the folder of the run.", "Choose another place with --out.")
    if target.is_dir() or target.is_symlink() or (target.exists() and not _is_bundle(target)):
        raise refusal(str(target), "Something that is no bundle stands there.", "Choose another place with --out, or move it away.")
    return target


def write(target: Path, data: bytes) -> None:
    """Write a bundle, whole or not at all. InputError where the disk refuses it; what stood there stays then."""
    try:
        write_whole(target, data)
    except OSError as error:
        raise refusal(str(target), f"The bundle cannot be written ({error.strerror}).", "What stood there is unchanged.") from None


def _is_bundle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {MANIFEST, VERIFIER} <= set(archive.namelist())
    except DAMAGED:
        return False
