"""One writer a folder at a time: a lock file that names the process. The system frees the lock when that process ends, however it ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perpcomp.findings import refusal

LOCK = ".perpcomp.lock"

_held: set[Path] = set()  # by this process, where an inner call may find the folder locked by an outer one


@contextmanager
def locked(folder: Path, option: str) -> Iterator[str | None]:
    """Make the folder and hold its lock. Yields the id of a process that ended without freeing it, or None.

    InputError, which names the option that gave the folder: it is a file, it cannot be made, or another process holds it. A folder
    that was made for the lock and is still empty at the end is removed.
    """
    place = folder.absolute()
    if place in _held:
        yield None
        return
    made = _make(folder, option)
    try:
        path = folder / LOCK
        descriptor, left_by = _acquire(path, folder, option)
        _held.add(place)
        try:
            yield left_by
        finally:
            _held.discard(place)
            path.unlink(missing_ok=True)
            os.close(descriptor)
    finally:
        for directory in made:
            with suppress(OSError):
                directory.rmdir()


def _make(folder: Path, option: str) -> list[Path]:
    """Make the folder; returns the folders that were made, the innermost first."""
    try:
        if folder.exists() and not folder.is_dir():
            raise refusal(str(folder), "This is not a folder.", f"Choose another with {option}.")
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(str(folder), f"The folder cannot be made ({error.strerror}).", f"Choose another with {option}.") from None
    return made


def _acquire(path: Path, folder: Path, option: str) -> tuple[int, str | None]:
    """The open lock file, and the id of a process that left it; InputError where a process holds it."""
    import fcntl  # not on Windows, where published runs can still be verified

    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            what = f"The folder cannot be written ({error.strerror})."
            raise refusal(str(folder), what, f"Choose another with {option}.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                break
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace") or "unknown"
            os.close(descriptor)
            what = f"Process {holder} is writing into this folder."
            raise refusal(str(folder), what, f"Wait until it ends, or choose another folder with {option}.") from None
        except FileNotFoundError:
            pass  # the holder has just freed and removed the file
        except OSError as error:
            os.close(descriptor)
            what = f"The folder cannot be locked against other runs ({error.strerror})."
            raise refusal(str(folder), what, f"Choose a folder on another disk with {option}.") from None
        os.close(descriptor)
    left_by = os.read(descriptor, 20).decode("ascii", "replace") or None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor, left_by
