"""What two runs state differently: their input, their formula, and each table of their incident files with the keys that differ."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace

from perpcomp.incident import toml
from perpcomp.incident.incident import Incident
from perpcomp.input import Input
from perpcomp.number_text import counted
from perpcomp.publish.read_back import Published, incident_of

# Fields of an incident that change no payout, or are parts of another cause.
NO_CAUSE = {
    *("name", "title", "notice", "raw", "folder", "sources", "formula_source", "allocation_source"),
    *("expectations", "budgets", "input", "blocks", "formula", "ledger", "book"),
}
# Fields that several tables of the file make, or that are called otherwise there.
TABLES = {
    "markets": "market",
    "payees": "payee",
    "payee_files": "payees",
    "account_kinds": "payees",
    "rounding_to": "allocation",
    "adjustments": "adjustment",
}
NAMES = ("name", "token", "account", "address", "trader", "market")  # what tells the entries of a list apart
MOST = 20  # so many keys of one table are named


class Stated(Struct, frozen=True):
    """What a run states: its incident, its input and the formula that pays."""

    incident: Incident
    input: Input
    formula: str


class Cause(Struct, frozen=True):
    """One thing that two runs state differently, with its details in words."""

    name: str
    details: tuple[str, ...]


def stated_by(run: Published) -> Stated:
    """What a published run states. The window of its incident is as the file writes it."""
    return Stated(incident_of(run.folder, run.stated), run.input, run.stated["formula"]["name"])


def steps(before: Stated, after: Stated) -> Iterator[tuple[Cause, Stated]]:
    """From one run to the other, one cause after the other: each with what is stated once it is put in. The last one is `after` itself."""
    at = replace(before, incident=replace(before.incident, sources={**before.incident.sources, **after.incident.sources}))
    documents = tuple(toml.parse(one.incident.raw, f"{one.incident.name}.toml") for one in (before, after))
    if details := tuple(_files(before.input, after.input)):
        at = replace(at, input=after.input)
        yield Cause("input", details), at
    for field in fields(Incident):
        if field.name == "formula" and before.formula != after.formula:
            at = replace(at, formula=after.formula)
            yield Cause("[formula]", (f"name: {before.formula} -> {after.formula}",)), at
        new = getattr(after.incident, field.name)
        if field.name in NO_CAUSE or getattr(at.incident, field.name) == new:
            continue
        table = TABLES.get(field.name, field.name)
        at = replace(at, incident=replace(at.incident, **{field.name: new}))
        theirs, ours = (document.get(table) for document in documents)
        found = tuple(_rulings(before.incident, after.incident) if field.name == "adjustments" else _keys(theirs, ours))
        more = (f"and {counted(len(found) - MOST, 'more key')}",) if len(found) > MOST else ()
        many = field.name == "adjustments" or isinstance(theirs, list) or isinstance(ours, list)
        yield Cause(f"[[{table}]]" if many else f"[{table}]", found[:MOST] + more), at


def _files(before: Input, after: Input) -> Iterator[str]:
    """Each file of the input that only one run has, or that has another content."""
    ours, theirs = ({path.name: sha256(path.read_bytes()).hexdigest() for path in _read(one)} for one in (before, after))
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            yield f"{name}: {_short(ours.get(name))} -> {_short(theirs.get(name))}"


def _read(source: Input) -> list[Path]:
    return [*source.files, *(path for path in (source.range, source.blocks, source.prices, source.codes) if path is not None)]


def _short(digest: str | None) -> str:
    return "absent" if digest is None else f"sha256 {digest[:12]}…"


def _rulings(before: Incident, after: Incident) -> Iterator[str]:
    """Each adjustment that only one run has, of the incident file or the ledger."""
    for one, words in [(one, "removed") for one in before.adjustments if one not in after.adjustments] + [
        (one, "added") for one in after.adjustments if one not in before.adjustments
    ]:
        yield f"{one.place} {words}: {one.in_words} for {one.trader}: {one.reason}; ruling: {one.ruling}"


def _keys(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Each key of two TOML values that differs, with both values; an entry that only one side has is one line."""
    before, after = _by_name(before), _by_name(after)
    if not place:
        before, after = before or {}, after or {}
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            if before.get(key) != after.get(key):
                yield from _keys(before.get(key), after.get(key), f"{place}.{key}".lstrip("."))
    else:
        yield f"{place}: {_text(before)} -> {_text(after)}"


def _by_name(value: Any) -> Any:
    """A list of tables as a table: each entry by what names it, and what is listed once more by its place. Other values as they are."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        return value
    entries: dict[str, Any] = {}
    for n, one in enumerate(value, 1):
        name = next((str(one[key]) for key in NAMES if key in one), str(n))
        entries[f"{name} {n}" if name in entries else name] = one
    return entries


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    return "absent" if value is None else str(value)
