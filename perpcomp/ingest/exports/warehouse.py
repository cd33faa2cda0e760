"""A warehouse: raw logs as queries/perpetual-v1.warehouse.sql returns them, with a time beside every log."""

from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.raw_logs import COLUMNS
from perpcomp.ingest.exports.sheet import Sheet


def _has_logs(sheet: Sheet, _: Wanted) -> bool:
    return sheet.has("data", "topic0", "block_time")


LOGS = Exporter("raw logs of a warehouse (queries/perpetual-v1.warehouse.sql)", "raw logs", (*COLUMNS, "block_time"), _has_logs)
