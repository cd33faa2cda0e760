"""Writing a run's folder, all or nothing: each file is written under a temporary name, synced and renamed, the manifest last."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from perpcomp.findings import refusal
from perpcomp.publish.manifest import MANIFEST, read_manifest
from perpcomp.writing import sync_folder, write_synced

PARTIAL = ".partial"
ASIDE = "guards/"  # what `perpcomp guards` writes into a run's folder; it is not part of the run


def write(folder: Path, files: Mapping[str, bytes], query: str) -> None:
    """Replace the folder's run of this query by these files: relative name -> bytes, with the manifest.

    InputError where the folder holds anything but a run of this query, or where the disk refuses a file. An older run is touched only
    after every new file is on disk under a temporary name.
    """
    old = _older_run(folder, query)
    written: list[Path] = []
    try:
        for name, data in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}{PARTIAL}")
            written.append(temporary)
            write_synced(temporary, data)
    except BaseException as error:
        for temporary in written:
            temporary.unlink(missing_ok=True)
        _remove_empty(folder, files)
        if isinstance(error, OSError):
            raise refusal(str(folder), f"The folder cannot be written ({error.strerror}).", "Its files are unchanged.") from None
        raise
    # The manifest is removed first and written last, so that a folder with only some new files is never taken for a run.
    (folder / MANIFEST).unlink(missing_ok=True)
    for name in sorted(files, key=lambda n: n == MANIFEST):
        target = folder / name
        target.with_name(f".{target.name}{PARTIAL}").replace(target)
    for name in old - set(files):
        (folder / name).unlink(missing_ok=True)
    for directory in {(folder / name).parent for name in files}:
        sync_folder(directory)


def _older_run(folder: Path, query: str) -> set[str]:
    """The files of the run in the folder; only temporary files, or none, where there is no run yet."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise refusal(str(folder), "This is not a folder.", "Choose another with --out.")
    present = set(_files(folder))
    if not present or all(name.endswith(PARTIAL) for name in present):
        return present
    if MANIFEST not in present:
        shown = ", ".join(sorted(present)[:3])
        raise refusal(
            str(folder),
            f"The folder holds other files than a run ({shown}{', …' if len(present) > 3 else ''}).",
            "Choose another folder with --out, or empty it.",
        )
    manifest = read_manifest(folder)
    if manifest["query"]["file"] != f"{query}.toml":
        raise refusal(str(folder), f"The folder holds a run of {manifest['query']['file']}.", "Choose another folder with --out.")
    foreign = sorted(present - set(manifest["files"]) - {MANIFEST} - {n for n in present if n.endswith(PARTIAL)})
    if foreign:
        raise refusal(
            str(folder),
            f"The folder holds files that are not part of the run: {', '.join(foreign[:3])}.",
            "Move them away, or choose another folder with --out.",
        )
    return present


def _files(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        names = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if not path.is_dir())
        yield from (name for name in names if not name.startswith(ASIDE))


def _remove_empty(folder: Path, files: Mapping[str, bytes]) -> None:
    for directory in sorted({(folder / name).parent for name in files}, key=lambda p: -len(p.parts)):
        with contextlib.suppress(OSError):
            directory.rmdir()
