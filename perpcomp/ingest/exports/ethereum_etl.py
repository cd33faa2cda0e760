"""ethereum-etl: raw logs with one column `topics`, a list in a warehouse and joined text in CSV."""

import polars as pl

from perpcomp.findings import refusal
from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.sheet import LOG_KEY, Sheet


def _has_logs(sheet: Sheet, _: Wanted) -> bool:
    return sheet.has("data", "topics") and not sheet.has("topic0")


def spread(sheet: Sheet) -> Sheet:
    """The topics, a list or text joined by , or ; as topic0 to topic3."""
    topics = pl.col("topics")
    if sheet.frame.schema["topics"] == pl.String:
        topics = topics.str.replace_all(r"[\s\[\]{}\"']", "").str.replace_all(";", ",", literal=True).str.split(",")
    elif not isinstance(sheet.frame.schema["topics"], pl.List):
        what = f"Column topics has the type {sheet.frame.schema['topics']}."
        raise refusal(sheet.name, what, "It must be a list, or text joined by commas.")
    names = [f"topic{n}" for n in range(4)]
    spread = sheet.frame.with_columns(topics.list.get(n, null_on_oob=True).alias(name) for n, name in enumerate(names))
    return Sheet(sheet.name, spread, sheet.theirs | dict.fromkeys(names, sheet.theirs["topics"]), sheet.event, sheet.problems)


LOGS = Exporter(
    "raw logs of ethereum-etl",
    "raw logs",
    ("address", "topics", "data", *LOG_KEY),
    _has_logs,
    {"block_timestamp": "block_time"},
    log_sheet=spread,
)
