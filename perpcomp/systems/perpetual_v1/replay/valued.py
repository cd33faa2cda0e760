"""Rows by position, until the guards build theirs by name."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from perpcomp.tables.schema import Table, frame_of


def to_frame(rows: Sequence[tuple[Any, ...]], table: Table) -> pl.DataFrame:
    """Rows of whole wei and unix seconds as a frame of the table."""
    return frame_of([dict(zip(table.schema, row, strict=True)) for row in rows], table)
