"""perpcomp's own events table. It is only recognised here; perpcomp/tables reads it."""

from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.sheet import LOG_KEY, Sheet

OURS = ("system", "kind")  # columns that no other table has


def _is_ours(sheet: Sheet, _: Wanted) -> bool:
    return any(sheet.has(name) for name in OURS)


TABLE = Exporter("perpcomp's events table", "events table", (*OURS, "trader", "market", *LOG_KEY), _is_ours)
