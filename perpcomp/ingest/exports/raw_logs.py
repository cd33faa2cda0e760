"""Sheets of raw logs to the raw frame."""

import polars as pl

from perpcomp.findings import refusal
from perpcomp.ingest.exports.sheet import SHAPES, Sheet, Wanted
from perpcomp.ingest.logs import (
    RAW_SCHEMA,
    dated,
    old_layout,
)


def raw_frame(sheet: Sheet, wanted: Wanted, times: dict[int, int], before: int) -> pl.DataFrame:
    """The wanted rows of a table of raw logs as a raw frame, undated rows dated by `times`; `before` counts the rows of earlier files."""
    if not sheet.has("topic0"):
        _spread(sheet)
    sheet.require(SHAPES[next(iter(SHAPES))], next(iter(SHAPES)))
    address, topic0 = sheet.cells("address", "address"), sheet.cells("topic0", "hash", optional=True)
    sheet.settle()
    here = address.is_in(list(wanted.addresses))
    old = topic0.str.contains(f"^({'|'.join(wanted.refused)})").fill_null(False) if wanted.refused else topic0.is_in([])
    for row, topic in sheet.frame.select("row").with_columns(topic0).filter(here & old).head(1).iter_rows():
        raise old_layout(f"{sheet.name} row {row}", topic)
    keep = here & topic0.is_in(list(wanted.topics)).fill_null(False)
    kept = sheet.where(keep)
    topics = [kept.bytes(f"topic{n}", "topic").alias(f"topic{n}") for n in range(1, 4) if kept.has(f"topic{n}")]
    count = pl.sum_horizontal((pl.col(t.name).bin.size() > 0).cast(pl.Int64) for t in topics) + 1
    raw = pl.DataFrame([*kept.identity(wanted.chain_id), address.filter(keep), topic0.filter(keep), *topics, kept.bytes("data", "data")])
    sheet.settle()
    return dated(sheet.name, raw.with_columns(count.alias("topics")), times).select(RAW_SCHEMA.keys()).with_columns(pl.col("row") + before)


def _spread(sheet: Sheet) -> None:
    """ethereum-etl's topics, a list or a text joined by , or ; , as topic0 to topic3."""
    topics = pl.col("topics")
    if sheet.frame.schema["topics"] == pl.String:
        topics = topics.str.replace_all(r"[\s\[\]{}\"']", "").str.replace_all(";", ",", literal=True).str.split(",")
    elif not isinstance(sheet.frame.schema["topics"], pl.List):
        raise refusal(sheet.name, f"column topics is {sheet.frame.schema['topics']}.", "A list, or a text joined by commas, is wanted.")
    sheet.frame = sheet.frame.with_columns(topics.list.get(n, null_on_oob=True).alias(f"topic{n}") for n in range(4))
    sheet.theirs |= dict.fromkeys((f"topic{n}" for n in range(4)), sheet.theirs["topics"])
