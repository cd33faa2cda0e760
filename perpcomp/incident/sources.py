"""The table [sources], and the key `source` of every policy table."""

from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from perpcomp.incident.description import ANY_NAME, REQUIRED, Key, Kind, Table, keys
from perpcomp.incident.kinds import TEXT
from perpcomp.incident.reader import TableReader
from perpcomp.incident.toml import shown


class Source(Struct, frozen=True):
    """A text that a policy comes from."""

    text: Annotated[str, Key(TEXT, "What the source says, with its place.", '"forum F18: paid by the DAO treasury"')]
    url: Annotated[str | None, Key(TEXT, "Where it can be read.", '"https://example.org/f18"', default=None)]


def _names(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"is {shown(value)}.", "Name a key of [sources], or a list of them.")
    return tuple(names)


_SHAPE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
SOURCE = Key(
    Kind("sources", "a key of [sources], or a list of them", _names, keys_of="sources", shape=_SHAPE),
    "Where the values of this table come from.",
    '"post"',
    default=REQUIRED,
    why="A voter must be able to see where the values of a table come from.",
)

_TEXT = Key(TEXT, "A source by its text alone, under a name of your own.", '"forum F18: paid by the DAO treasury"', name=ANY_NAME)
_TABLE = Table(Source, "states a source with its address, under a name of your own", required=False, name=ANY_NAME)


def _read(table: TableReader) -> dict[str, Source] | None:
    known: dict[str, Source] = {}
    for name, raw in table.raw.items():
        if isinstance(raw, dict):
            inner = table.inside(name, keys(Source), raw)
            if (source := inner.build(Source, inner.values())) is not None:
                known[name] = source
        else:
            known[name] = Source(table.value(replace(_TEXT, name=name)), None)
    return known if table.sound else None


SOURCES = Table(dict, "lists the texts that policies come from", keys={"text": _TEXT, "table": _TABLE}, read=_read, name="sources")
