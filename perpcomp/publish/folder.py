"""Writing a run's folder, all or nothing: each file is written under a temporary name, synced and renamed, the manifest last."""

import contextlib
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from perpcomp.findings import InputError, refusal
from perpcomp.incident.incident import Incident
from perpcomp.lock import LOCK, locked
from perpcomp.publish.stated import MANIFEST, Stated, parse_manifest, read_manifest
from perpcomp.run import kind_in_words
from perpcomp.writing import sync_folder, write_synced

PARTIAL = ".partial"
PREVIOUS = f".previous-{MANIFEST}{PARTIAL}"  # the manifest of the older run, while its files are replaced
ASIDE = "guards/"  # what `perpcomp guards` writes into a run's folder; it is not part of the run
ROOMS = {"inputs", "events", "claims", ASIDE.rstrip("/")}  # the folders that a run's folder may hold
# What file managers and office programs leave in any folder that somebody opens.
LEFT_BY_PROGRAMS = re.compile(r"\.DS_Store|\._.+|Thumbs\.db|desktop\.ini|~\$.+|\.~lock\..+#", re.IGNORECASE)


def about_stray_file(name: str) -> str | None:
    """What a file is that is no part of a run and does no harm in its folder, in a sentence; None for every other file."""
    last = name.rpartition("/")[2]
    if LEFT_BY_PROGRAMS.fullmatch(last):
        return f"{name} was left by a file manager or an office program. It is not part of the run."
    if last == LOCK:
        return f"{name} was left by a run that is not finished or was ended. It is not part of the run."
    if _is_partial(name):
        return f"{name} was left by an interrupted run. It is not part of the run."
    return None


@contextlib.contextmanager
def reserve(folder: Path) -> Iterator[str | None]:
    """Lock the folder for one run. Yields the id of a process that ended while it held the lock, or None.

    InputError where the folder is a link, holds other files than a run, or is locked by another process.
    """
    try:
        if folder.is_symlink():
            raise refusal(str(folder), f"This is a link to {folder.readlink()}.", "Give the folder itself with --out.")
        _files_of_older_run(folder)
    except OSError as error:
        what = f"The folder cannot be read ({error.strerror})."
        raise refusal(str(folder), what, "Choose another with --out.") from None
    with locked(folder, "--out") as left_by:
        yield left_by


def write(folder: Path, files: Mapping[str, bytes], force: bool = False) -> None:
    """Replace the folder's run by these files: relative name -> bytes, with the manifest. The caller has reserved the folder.

    InputError where the folder holds a run of another incident file and `force` is False, where it holds anything but a run, or where
    the disk refuses a file. An older run is touched only after every new file is on disk under a temporary name.
    """
    old = _files_of_older_run(folder)
    if not force:
        _refuse_other_run(folder, parse_manifest(files[MANIFEST], MANIFEST))
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
    with _uninterrupted():
        # The manifest is renamed first and written last, so that a folder with only some new files is never taken for a run, and a run
        # that is killed here leaves lists of the files that are ours.
        if (folder / MANIFEST).exists():
            (folder / MANIFEST).replace(folder / PREVIOUS)
        for name in sorted(files, key=lambda n: n == MANIFEST):
            target = folder / name
            target.with_name(f".{target.name}{PARTIAL}").replace(target)
        for name in old - set(files):
            (folder / name).unlink(missing_ok=True)
        (folder / PREVIOUS).unlink(missing_ok=True)
        for directory in {(folder / name).parent for name in files}:
            sync_folder(directory)


def folder_of(incident: Incident, overrides: Mapping[str, str]) -> Path:
    """Where a run goes by default: outputs/NAME; a what-if has a name of its own, such as outputs/NAME--formula-margin-only."""
    said = (f"--{key}-{re.sub(r'[^A-Za-z0-9_-]+', '-', value.partition('.')[0])}" for key, value in overrides.items())
    return Path("outputs") / (incident.name + "".join(said).lower())


def _refuse_other_run(folder: Path, new: Stated) -> None:
    """InputError where the folder holds a run of another incident file, of one with this name and other bytes, or with other overrides."""
    if not (folder / MANIFEST).exists():
        return
    old = read_manifest(folder)
    held, query = old["query"], new["query"]
    if held["file"] != query["file"]:
        what = f"The folder holds a run of {held['file']}."
    elif held["sha256"] != query["sha256"]:
        what = f"The folder holds a run of another {held['file']} (sha256 {held['sha256'][:12]}…; this one has {query['sha256'][:12]}…)."
    elif old.get("overrides", {}) != new["overrides"]:
        what = (
            f"The folder holds {kind_in_words(old.get('overrides', {}))} of {held['file']}, and this is {kind_in_words(new['overrides'])}."
        )
    else:
        return
    raise refusal(str(folder), what, "Choose another folder with --out, or type --force to replace that run.")


def _files_of_older_run(folder: Path) -> set[str]:
    """The files of the run in the folder, with what an interrupted run left; none where there is no run yet.

    InputError where it holds any other file.
    """
    if not folder.is_dir():
        return set()
    complete = (folder / MANIFEST).is_file()
    known = {MANIFEST, *(read_manifest(folder)["files"] if complete else ())}
    known |= _listed_in(folder / PREVIOUS) | _listed_in(folder / f".{MANIFEST}{PARTIAL}")
    # Only the folders of a run are searched: `--out /` must not search the whole disk.
    outer = {path.name for path in folder.iterdir() if path.is_symlink() or not (path.is_dir() and path.name in ROOMS)}
    inner = {name for room in ROOMS if not (folder / room).is_symlink() for name in _files(folder, folder / room)}
    present = {name for name in outer | inner if not name.startswith(ASIDE)}
    foreign = sorted(name for name in present - known if about_stray_file(name) is None)
    if foreign:
        shown = f"{', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''}"
        what = f"The folder holds files that are not part of {'the' if complete else 'a'} run: {shown}."
        raise refusal(str(folder), what, "Choose another folder with --out, or move them away.")
    return {name for name in present if name in known or _is_partial(name)}


def _files(folder: Path, room: Path) -> Iterator[str]:
    for path in room.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def _listed_in(manifest: Path) -> set[str]:
    """The files in a manifest that an interrupted run left; none where there is none or it is not whole."""
    if not manifest.is_file():
        return set()
    try:
        return set(parse_manifest(manifest.read_bytes(), str(manifest))["files"])
    except (OSError, InputError):
        return set()


def _is_partial(name: str) -> bool:
    """Whether a name is one of our temporary names, as `.3-payouts.csv.partial`."""
    last = name.rpartition("/")[2]
    return last.startswith(".") and last.endswith(PARTIAL) and len(last) > len(PARTIAL)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold a Ctrl-C back until the end: a few milliseconds of renaming."""
    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread only
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _remove_empty(folder: Path, files: Mapping[str, bytes]) -> None:
    for directory in sorted({(folder / name).parent for name in files}, key=lambda p: -len(p.parts)):
        with contextlib.suppress(OSError):
            directory.rmdir()
