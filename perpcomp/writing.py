"""Files that are there whole or not at all, also across a kill or a power cut."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file at once: written beside it under a temporary name, synced, renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    write_synced(temporary, data)
    temporary.replace(path)
    sync_folder(path.parent)


def write_synced(path: Path, data: bytes, mode: str = "wb") -> None:
    """Write bytes that are on the disk when this returns."""
    with path.open(mode) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
