"""cryo: raw logs, and logs with the arguments of one event as columns.

Raw logs have topic0 to topic3 and data, as bytes or (with --hex and in CSV) as text, but no time and no block hash. With
--event-signature each number comes as event__NAME_string, beside a float and bytes; only the text is exact.
Token Terminal has a table an event too, with in_NAME for each argument.
"""

import re
from collections.abc import Iterator

from perpcomp.ingest.decode import Event
from perpcomp.ingest.exports.decoded import ARGUMENTS, one_event, told_by_columns
from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.raw_logs import COLUMNS
from perpcomp.ingest.exports.sheet import LOG_KEY, Sheet


def argument_name(column: str) -> str:
    """event__positionNotional_string of cryo and in_positionNotional of Token Terminal are positionNotional."""
    return re.sub(r"^event__|^in_|_string$", "", column)


def _has_logs(sheet: Sheet, _: Wanted) -> bool:
    return sheet.has("data", "topic0")


def _has_one_event(sheet: Sheet, wanted: Wanted) -> bool:
    return sheet.has("log_index") and told_by_columns(sheet, wanted) is not None


def _one_event(sheet: Sheet, wanted: Wanted) -> Iterator[tuple[Event, Sheet]]:
    event = told_by_columns(sheet, wanted)
    assert event
    yield one_event(sheet, event, wanted)


LOGS = Exporter("raw logs of cryo", "raw logs", COLUMNS, _has_logs)
EVENTS = Exporter(
    "one event's columns, as cryo and Token Terminal write them",
    "decoded events",
    ("trader", "market", *LOG_KEY),
    _has_one_event,
    ARGUMENTS,
    event_sheets=_one_event,
)
