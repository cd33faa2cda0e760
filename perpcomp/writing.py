"""Writing files whole or not at all, even if the process is killed or the power fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file at once by these bytes."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """An empty file that replaces `path` at once: it is written beside the old one under a temporary name, synced, and renamed at the end.

    What a killed process left under that name is written over. Two processes that write one file take turns.
    """
    temporary = path.with_name(f".{path.name}.partial")
    descriptor = _locked(temporary)
    with os.fdopen(descriptor, "wb") as file:
        try:
            file.truncate()
            yield file
            file.flush()
            os.fsync(descriptor)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def _locked(path: Path) -> int:
    """The open file of that name, which no other process writes before it is closed."""
    import fcntl  # not on Windows, where published runs can still be verified

    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass  # the process that held it has just renamed it
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def write_synced(path: Path, data: bytes, mode: str = "wb") -> None:
    """Write bytes to a file; they are on the disk when this returns."""
    with path.open(mode) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that renamed files keep their new names after a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
