"""What a subgraph's answers state of themselves: the block up to which it had indexed, and whether it failed."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct


class Answer(Struct, frozen=True):
    """What a subgraph's answer states of itself, and the rows of each list in it."""

    file: str
    block: int | None
    time: datetime | None
    failed: bool
    rows: dict[str, int]


def answers_in(path: Path) -> Iterator[Answer]:
    """The answers of a subgraph in a JSON file; none where it holds anything else."""
    try:
        loaded = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, RecursionError):  # rows a line, or a text in another encoding: no subgraph writes these
        return
    for answer in loaded if isinstance(loaded, list) else [loaded]:
        inner = answer.get("data", answer) if isinstance(answer, dict) else None
        if not isinstance(inner, dict):
            continue
        rows = {key: len(listed) for key, listed in inner.items() if key.endswith("Events") and isinstance(listed, list)}
        meta = inner.get("_meta")
        if not rows and meta is None:
            continue
        meta = meta if isinstance(meta, dict) else {}
        block = meta.get("block")
        block = block if isinstance(block, dict) else {}
        number, time = _whole(block.get("number")), _whole(block.get("timestamp"))
        moment = None if time is None or time >= 2**32 else datetime.fromtimestamp(time, UTC)
        yield Answer(path.name, number, moment, meta.get("hasIndexingErrors") in (True, "true"), rows)


def _whole(value: Any) -> int | None:
    """A whole number, given as a number or as text."""
    return int(value) if re.fullmatch(r"[0-9]{1,15}", str(value), re.ASCII) else None
