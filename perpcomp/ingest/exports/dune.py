"""Dune: raw logs of gnosis.logs, and the table of all events that queries/perpetual-v1.dune.sql returns.

The column `event` of that table names the event of each row; columns of other events are empty there.
"""

from collections.abc import Iterator

import polars as pl

from perpcomp.findings import near_miss
from perpcomp.ingest.decode import Event
from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.raw_logs import COLUMNS
from perpcomp.ingest.exports.sheet import LOG_KEY, Sheet

ALIASES = {
    "contract_address": "address",
    "evt_block_number": "block_number",
    "evt_block_time": "block_time",
    "evt_index": "log_index",
    "evt_tx_hash": "transaction_hash",
    "evt_tx_index": "transaction_index",
    "index": "log_index",
    "tx_hash": "transaction_hash",
    "tx_index": "transaction_index",
}


def _has_logs(sheet: Sheet, _: Wanted) -> bool:
    return sheet.has("data", "topic0") and sheet.theirs.get("address") == "contract_address"


def _has_events(sheet: Sheet, _: Wanted) -> bool:
    return sheet.has("event")


def _by_event(sheet: Sheet, wanted: Wanted) -> Iterator[tuple[Event, Sheet]]:
    """A sheet for every event that has rows, or whose columns are all here."""
    by_name = {event.name: event for event in wanted.events}
    said = sheet.frame.get_column("event").cast(pl.String)
    for row, name in sheet.frame.select("row", said).filter(~said.is_in(list(by_name)).fill_null(False)).head(20).iter_rows():
        what = "event is empty." if name is None else f"event is {name}, which is not an event of this protocol."
        sheet.complain(row, what, near_miss(name or "", by_name))
    sheet.settle()
    present = set(said) | set(wanted.needed)
    for event in wanted.events:
        if event.name in present or sheet.has(*event.schema):
            yield event, sheet.where(said == event.name)


LOGS = Exporter("raw logs of Dune (gnosis.logs)", "raw logs", COLUMNS, _has_logs, ALIASES)
EVENTS = Exporter(
    "decoded events of Dune (queries/perpetual-v1.dune.sql)",
    "decoded events",
    ("event", "trader", "market", *LOG_KEY),
    _has_events,
    event_sheets=_by_event,
)
