"""Block times: a block list gives them, and logs without a timestamp of their own take them from it."""

from pathlib import Path
from typing import Annotated

import msgspec
import polars as pl

from perpcomp.findings import refusal
from perpcomp.ingest import json_lines
from perpcomp.number_text import counted


class Block(msgspec.Struct):
    """One row of a block list; the timestamp is in unix seconds."""

    number: Annotated[int, msgspec.Meta(ge=0, lt=2**48)]
    timestamp: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


def block_times(path: Path) -> dict[int, int]:
    """Block number -> unix seconds, from a file with one JSON object (number, timestamp) a line."""
    times: dict[int, int] = {}
    for line, chunk in json_lines.chunks(path):
        for row, block in json_lines.rows(path.name, line, chunk, Block, "a block list"):
            if times.setdefault(block.number, block.timestamp) != block.timestamp:
                what = f"Block {block.number} has another timestamp in an earlier row."
                raise refusal(f"{path.name} row {row}", what, "Find out which timestamp is correct.")
    return times


def dated(name: str, rows: pl.DataFrame, times: dict[int, int]) -> pl.DataFrame:
    """The rows with block_time as a time in UTC, from unix seconds.

    A row without a block_time takes it from `times`. `name` is the source's, and the rows have the columns row and block_number.
    InputError where a row contradicts the list, or has no time in either.
    """
    if times:
        listed = pl.col("block_number").replace_strict(list(times), list(times.values()), default=None, return_dtype=pl.Int64)
        other = rows.filter(pl.col("block_time") != listed)
        if other.height:
            stated, number = other["block_time"][0], other["block_number"][0]
            what = f"The timestamp is {stated}, but the block list gives {times[number]} for block {number}."
            raise refusal(f"{name} row {other['row'][0]}", what, "Find out which timestamp is correct.")
        rows = rows.with_columns(block_time=pl.col("block_time").fill_null(listed))
    if rows.get_column("block_time").null_count():
        undated = rows.filter(pl.col("block_time").is_null())
        what = f"{counted(undated.height, 'log', 'has', 'have')} no blockTimestamp and no entry in a block list (first: block {undated['block_number'][0]})."
        advice = 'Add blocks = "blocks.jsonl.gz" to [input], a file with number and timestamp on each line.'
        raise refusal(f"{name} row {undated['row'][0]}", what, advice)
    return rows.with_columns(pl.from_epoch("block_time", time_unit="s").dt.cast_time_unit("us").dt.replace_time_zone("UTC"))
