"""The JSON Schema of the incident file, made of the description that its reader uses.

It says less than the reader: nothing across tables, no checksum, no exact decimals. It refuses nothing that the reader accepts. JSON has
no times, so a time is a text to it, as editors hand one over.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from perpcomp import installed
from perpcomp.incident import toml
from perpcomp.incident.description import ANY_NAME, Condition, Key, Table
from perpcomp.incident.from_claims import ABSENT
from perpcomp.incident.tables import tables

Schema = dict[str, Any]


def of_system(name: str) -> Mapping[str, Key | Table]:
    """The description of the file for one installed protocol; `system` may be any of them."""
    loaded = installed.load(installed.SYSTEMS, name)
    return tables(tuple(installed.names(installed.SYSTEMS)), loaded.contract_key, loaded.several_contracts)


def text() -> str:
    """The schema as a file holds it."""
    return json.dumps(schema(), indent=1) + "\n"


def schema() -> Schema:
    """The schema (draft 7) of every incident file, as a JSON object."""
    systems = {name: of_system(name) for name in installed.names(installed.SYSTEMS)}
    whole = _table(next(iter(systems.values())))
    chains = {name: _table(_chain(keys).keys) for name, keys in systems.items()}
    everything = {name: key for chain in chains.values() for name, key in chain["properties"].items()}
    in_every = set.intersection(*({*chain["required"]} for chain in chains.values()))
    described = next(iter(systems.values()))
    about_logs = [name for name in (described[field].name for field in ABSENT) if name in whole["properties"]]
    of_logs = [name for name in whole["required"] if name in about_logs]
    whole["required"] = [name for name in whole["required"] if name not in about_logs]
    chain = whole["properties"]["chain"]
    chain |= {"properties": everything, "required": [name for name in chain["required"] if name in in_every]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "perpcomp incident",
        "description": "The facts and policies of one incident, each with its source. Every table and key is described in README.md.",
        **whole,
        "allOf": [
            *whole.get("allOf", []),
            {
                "if": {"required": ["input"], "properties": {"input": {"required": ["claims"]}}},
                "then": {"properties": dict.fromkeys(about_logs, False)},
                "else": {"required": of_logs},
            },
            *(
                {
                    "if": {"required": ["system"], "properties": {"system": {"const": name}}},
                    "then": {
                        "properties": {
                            "chain": {
                                "required": of["required"],
                                "properties": dict.fromkeys(sorted(everything.keys() - of["properties"].keys()), False),
                            }
                        }
                    },
                }
                for name, of in chains.items()
            ),
        ],
    }


def _chain(keys: Mapping[str, Key | Table]) -> Table:
    found = keys["chain"]
    assert isinstance(found, Table)
    return found


def _table(keys: Mapping[str, Key | Table]) -> Schema:
    """One table: its keys, which of them are required, and no others; except where the writer of the file chooses their names."""
    named = {key.name: key for key in keys.values() if key.name != ANY_NAME}
    chosen = [_of(key) for key in keys.values() if key.name == ANY_NAME]
    found: Schema = {"type": "object", "properties": {name: _of(key) for name, key in named.items()}}
    found["required"] = [name for name, key in named.items() if key.required]
    found["additionalProperties"] = {"anyOf": chosen} if chosen else False
    return found | ({"allOf": required} if (required := [*_conditions(named)]) else {})


def _conditions(keys: Mapping[str, Key | Table]) -> Iterator[Schema]:
    """The keys that are required under a condition which the table alone decides."""
    for name, key in keys.items():
        condition: Condition | None = key.required_if if isinstance(key, Key) else None
        if condition is not None and condition.shape is not None:
            yield {"if": dict(condition.shape), "then": {"required": [name]}}


def _of(key: Key | Table) -> Schema:
    if isinstance(key, Table):
        said = {"description": f"{header(key)} {key.meaning}."}
        if not key.many:
            return {**said, **_table(key.keys)}
        return {**said, "type": "array", "items": _table(key.keys), **({"minItems": 1} if key.required else {})}
    return {"description": in_words(key), **key.kind.shape, "examples": [_plain(toml.parse(f"x = {key.example}".encode(), "x")["x"])]}


def header(table: Table, inside: str = "") -> str:
    """The header of a table as the file writes it; `inside` is the path of the table around it."""
    path = f"{inside}.{table.name}" if inside else table.name
    return f"[[{path}]]" if table.many else f"[{path}]"


def in_words(key: Key) -> str:
    """What a key means, its unit, what may be written, and when it is required."""
    unit = f" Unit: {key.unit}." if key.unit else ""
    allowed = f"{key.kind.allowed[0].upper()}{key.kind.allowed[1:]}"
    return f"{key.meaning}{unit} {allowed}. {when_required(key)}"


def when_required(key: Key) -> str:
    """Whether a key may be absent, as a sentence."""
    if key.name == ANY_NAME:
        return "As many as you need."
    if key.required_if is not None:
        return f"Required where {key.required_if.words}."
    return "Required." if key.required else "Optional."


def _plain(value: Any) -> Any:
    """A value of an example in JSON. No amount is read from here, so a decimal may be a float."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value if isinstance(value, int | str) else float(str(value)) if not hasattr(value, "isoformat") else toml.shown(value)
