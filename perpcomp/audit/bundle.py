"""One archive of a published run that anybody can check offline: the files of its folder, byte for byte."""

import os
import zipfile
from pathlib import Path

from perpcomp import progress
from perpcomp.audit.archive import pack
from perpcomp.findings import refusal
from perpcomp.publish.read_back import open_published
from perpcomp.publish.stated import MANIFEST
from perpcomp.sheet_parts import DAMAGED
from perpcomp.writing import write_whole

ENDING = ".bundle.zip"


def bundle(folder: Path) -> bytes:
    """The archive of a run's folder. InputError where the folder is no run, or (exit 4) where it was changed."""
    run = open_published(folder)
    progress.now("Packing the run")
    return pack({name: (folder / name).read_bytes() for name in (*run.stated["files"], MANIFEST)})


def beside(path: Path, ending: str) -> Path:
    """The path with an ending, beside the file or folder, also where that is called `.`; relative if the path is."""
    full = path.absolute() if path.name not in ("", "..") else path.resolve()
    target = full.with_name(full.name + ending)
    return target if path.is_absolute() else Path(os.path.relpath(target))


def target_of(run: Path, out: Path | None) -> Path:
    """Where the bundle of a run goes. InputError where something that is no bundle stands there, or where it would lie in the run."""
    target = out or beside(run, ENDING)
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
            return MANIFEST in archive.namelist()
    except DAMAGED:
        return False
