"""Polars' threads: one for a command that reads little. To hand a piece of work to another thread then costs more than the work."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "POLARS_MAX_THREADS"  # read when Polars is imported, which no command has done before it runs
LITTLE = 10_000_000  # bytes: 25,000 logs of compressed lines, or 200,000 of Parquet


def fit(arguments: Mapping[str, Any]) -> None:
    """Set the number of threads for a command with these arguments, where the user has not."""
    if VARIABLE not in os.environ and 0 < _bytes(arguments) < LITTLE:
        os.environ[VARIABLE] = "1"


def _bytes(arguments: Mapping[str, Any]) -> int:
    """How many bytes of logs the command reads; 0 where that is not known before it runs, as of logs on a chain."""
    place = arguments.get("run") or arguments.get("input") or _own_input(arguments.get("query"))
    if not isinstance(place, Path) or arguments.get("rpc"):
        return 0
    try:
        inputs = place / "inputs"  # of a published run
        folder = inputs if inputs.is_dir() else place
        return sum(file.stat().st_size for file in (folder.iterdir() if folder.is_dir() else [place]))
    except OSError:
        return 0


def _own_input(query: str | None) -> Path | None:
    """The input that the incident file names. What is wrong with the file is no concern here."""
    from perpcomp.findings import InputError
    from perpcomp.incident import toml
    from perpcomp.incident.shelf import MAX_QUERY_BYTES, find

    try:
        file = find(query or "")
        with file.open("rb") as opened:
            document = toml.parse(opened.read(MAX_QUERY_BYTES), file.name)
        return file.parent / str(document["input"]["file"])
    except (InputError, OSError, LookupError, TypeError):
        return None
