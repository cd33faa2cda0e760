"""Times and time zones as kinds of values: a written time is an instant only with its zone."""

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from perpcomp.findings import closest
from perpcomp.incident.description import Kind
from perpcomp.incident.toml import shown


def written_time(value: Any) -> datetime:
    """A time as the file writes it: with an offset, or local."""
    if not isinstance(value, datetime):
        advice = "Write 2021-02-20T22:45:00Z, without quotes."
        if isinstance(value, int) and not isinstance(value, bool):
            advice += " A window in blocks has the keys from_block and to_block instead of from and to; both blocks are inside."
        raise ValueError(f"is {shown(value)}, not a time.", advice)
    if value.microsecond:
        raise ValueError(f"is {value.isoformat()}.", "Whole seconds only: a block's time has no fraction.")
    if not 1970 <= value.year < 9999:
        raise ValueError(f"is {value.isoformat()}.", "No block is that old or that new: correct the year.")
    return value


def in_utc(value: datetime, zone: str | None) -> datetime:
    """A written time in UTC; a local one needs the name of its zone."""
    if value.tzinfo is not None:
        return value.astimezone(UTC)
    if zone is None:
        raise ValueError(f"is {value.isoformat()} without a zone.", 'Add Z or an offset as +08:00, or time_zone = "Asia/Taipei" beside it.')
    local = value.replace(tzinfo=ZoneInfo(zone))
    there_and_back = local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    if there_and_back != value or local.utcoffset() != local.replace(fold=1).utcoffset():
        what = f"is {value.isoformat()}, which happens twice or not at all in {zone}."
        raise ValueError(what, "The clocks change there: write it in UTC, with a Z.")
    return local.astimezone(UTC)


def moment(value: Any) -> datetime:
    """A time with an offset, in UTC."""
    return in_utc(written_time(value), None)


# Names that are read in two ways: "Etc/GMT+8" is 8 hours behind UTC; "EST" and "CET" are said of summer times too.
_AMBIGUOUS_ZONE = re.compile(r"(Etc|SystemV)/.*|[A-Z]{3}[+-]?[0-9].*|GMT|UCT|EST|MST|HST|WET|CET|MET|EET|Factory|localtime|posixrules")
_INSTEAD = 'Remove time_zone and write the offset in from and to, as 2021-02-21T06:45:00+08:00; or name a place, as "Asia/Taipei".'


def zone(value: Any) -> str:
    """The name of a time zone: "UTC", or a place."""
    known = available_timezones()
    if not isinstance(value, str) or value not in known:
        near = closest(value, known - {one for one in known if _AMBIGUOUS_ZONE.fullmatch(one)}) if isinstance(value, str) else None
        advice = f"Did you mean {shown(near)}? " if near else ""
        raise ValueError(f"is {shown(value)}, which is not a time zone.", advice + _INSTEAD)
    if _AMBIGUOUS_ZONE.fullmatch(value) and value != "Etc/UTC":
        winter, summer = (
            datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(value)).isoformat()[-6:] for day in ("2021-01-01", "2021-07-01")
        )
        means = f"means {winter} at every date" if winter == summer else f"means {winter} in winter and {summer} in summer"
        raise ValueError(f"is {shown(value)}, which {means} and is easily read otherwise.", _INSTEAD)
    return value


# What JSON Schema says of a time: editors hand it to the schema as a text.
_DAY_AND_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}"
TIME = Kind(
    "time",
    "a time in whole seconds with Z or an offset, without quotes",
    moment,
    shape={"type": "string", "pattern": rf"{_DAY_AND_TIME}(\.0+)?([Zz]|[+-][0-9]{{2}}:[0-9]{{2}})$"},
)
WRITTEN_TIME = Kind(
    "time",
    "a time in whole seconds with Z or an offset, or local beside time_zone; without quotes",
    written_time,
    shape={"type": "string", "pattern": rf"{_DAY_AND_TIME}(\.0+)?([Zz]|[+-][0-9]{{2}}:[0-9]{{2}})?$"},
)
ZONE = Kind("time zone", 'a place of the zone database, as "Asia/Taipei", or "UTC"', zone, shape={"type": "string"})
