"""Blockscout: the answer of getLogs, which Etherscan's explorers give too, and the CSV that an address's page offers.

An answer has timeStamp, but no block hash, and Blockscout's has four topics, null where the log has fewer. The CSV has no times and no
index of the transaction.
"""

import polars as pl

from perpcomp.ingest.exports.ethereum_etl import spread
from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.raw_logs import COLUMNS
from perpcomp.ingest.exports.sheet import LOG_KEY, Sheet

TOPICS = {"first_topic": "topic0", "second_topic": "topic1", "third_topic": "topic2", "fourth_topic": "topic3"}


def _has_answer(sheet: Sheet, _: Wanted) -> bool:
    return sheet.has("data", "topics") and sheet.theirs.get("block_time") == "timeStamp"


def _has_csv(sheet: Sheet, _: Wanted) -> bool:
    return sheet.has("data", "topic0") and sheet.theirs["topic0"].lower().startswith("first")


def _answered(sheet: Sheet) -> Sheet:
    """Explorers write the quantity 0 as 0x."""
    counts = pl.col([name for name in ("log_index", "transaction_index") if sheet.has(name)])
    whole = sheet.frame.with_columns(counts.cast(pl.String).replace("0x", "0x0"))
    return spread(Sheet(sheet.name, whole, sheet.theirs, sheet.event, sheet.problems))


ANSWER = Exporter(
    "raw logs of an explorer's getLogs",
    "raw logs",
    ("address", "topics", "data", "block_time", *LOG_KEY),
    _has_answer,
    {"time_stamp": "block_time"},
    log_sheet=_answered,
)
CSV = Exporter("raw logs of Blockscout's CSV", "raw logs", COLUMNS, _has_csv, TOPICS)
