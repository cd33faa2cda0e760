"""Writing files whole or not at all, even if the process is killed or the power fails."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file at once: write it beside the old one under a temporary name, sync it, rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write_synced(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


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
