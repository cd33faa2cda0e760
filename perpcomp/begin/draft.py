"""The text of an incident file with every table and key explained, made of the description that its reader uses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

from perpcomp.incident.description import ANY_NAME, Key, Table
from perpcomp.incident.json_schema import header, in_words

SCHEMA = "incident.schema.json"
HEAD = f"""#:schema ./{SCHEMA}
# An incident file for perpcomp, as `perpcomp init` drafted it.
# A line that begins with "# " explains what follows. A line that begins with "#" and a key is an optional setting: remove the "#" to use it.
# What a person must confirm or decide before anybody votes on the result is marked "check".
"""
WIDTH = 120
CHECK = "check"
GUESS = '"draft"'  # the source of what nobody has decided yet


@dataclass(frozen=True)
class Written:
    """A value as the file writes it, and where it comes from."""

    text: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.text}  # {self.note}" if self.note else self.text


Entry = Mapping[str, Written]
Values = Mapping[str, Sequence[Entry]]  # path of a table, "" for the top of the file -> its entries; one where it is no list


def draft(keys: Mapping[str, Key | Table], values: Values) -> str:
    """The whole file. A required key without a value gets its example."""
    return HEAD + "\n".join(_table(keys, values, "", True)) + "\n"


def _table(keys: Mapping[str, Key | Table], values: Values, path: str, used: bool) -> Iterator[str]:
    """The keys of a table, then the tables in it. A table that is not `used` is commented out."""
    entries = values.get(path) or [{}]
    yield from _keys(keys, entries[0], used)
    for table in keys.values():
        if isinstance(table, Table) and table.name != ANY_NAME:
            inside = f"{path}.{table.name}" if path else table.name
            use = used and (table.required or inside in values)
            yield ""
            yield from _explained(f"{header(table, path)} {table.meaning}. {'Required' if table.required else 'Optional'}.")
            yield ("" if use else "#") + header(table, path)
            yield from _table(table.keys, values, inside, use)
            for entry in (values.get(inside) or [])[1:]:
                yield ""
                yield header(table, path)
                yield from (f"{name} = {value}" for name, value in entry.items())


def _keys(keys: Mapping[str, Key | Table], entry: Entry, used: bool) -> Iterator[str]:
    described = [key for key in keys.values() if isinstance(key, Key)]
    for key in described:
        yield from _explained(in_words(key))
        if key.name == ANY_NAME:
            yield from (f"{name} = {value}" for name, value in entry.items())
        elif key.name in entry:
            yield f"{key.name} = {entry[key.name]}"
        elif key.kind.keys_of:
            yield f"{'' if used and key.required else '#'}{key.name} = {GUESS}"
        else:
            yield f"{key.name} = {Written(key.example, CHECK)}" if used and key.required else f"#{key.name} = {key.example}"


def _explained(words: str) -> Iterator[str]:
    yield from (f"# {line}" for line in wrap(words, WIDTH - 2, break_on_hyphens=False))
