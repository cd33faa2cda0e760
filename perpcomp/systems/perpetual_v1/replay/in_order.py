"""Events of several tables in the order of the chain."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import polars as pl

from perpcomp.fixed import AMOUNT

Handler = Callable[..., None]

What = TypeVar("What")

Line = tuple[int, int, int, str, str, What, tuple[Any, ...]]


def in_order(reads: Sequence[tuple[pl.DataFrame | None, What, tuple[str, ...]]]) -> Sequence[Line[What]]:
    """(block, log index, unix time, transaction, market, what, values) of every event, in the order of the chain.

    `reads` are event tables (None: the input has none), each with what it is and the columns that are its values.
    """
    lines: list[Line[What]] = []
    for frame, handle, columns in reads:
        if frame is None or frame.is_empty():
            continue
        identity = [frame.get_column(n).to_list() for n in ("block_number", "log_index")]
        identity += [frame.get_column("block_time").dt.epoch("s").to_list()]
        identity += [frame.get_column(n).to_list() for n in ("transaction_hash", "market")]
        values = zip(*(integers(frame.get_column(n)) for n in columns), strict=True)
        lines += [(*where, handle, what) for where, what in zip(zip(*identity, strict=True), values, strict=True)]
    return sorted(lines, key=lambda line: line[:2])


def integers(column: pl.Series) -> list[Any]:
    """A column's values, amounts as integers of 1e-18."""
    return column.reinterpret(dtype=pl.Int128).to_list() if column.dtype == AMOUNT else column.to_list()
