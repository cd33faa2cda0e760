"""What in an .xlsx file could act on its own or show what no cell holds: links, macros, connections, shapes."""

import re
from collections.abc import Iterator

from perpcomp.audit.sheet.found import ERROR, WARNING, Found
from perpcomp.publish.links import EXPLORERS

ACTIVE = {
    "externalLinks": "a link to another workbook",
    "vbaProject": "macros",
    "embeddings": "an embedded object",
    "activeX": "a control",
    "ctrlProps": "a control",
    "connections": "a data connection",
    "queryTables": "a data connection",
    "model/": "a data model",
    "customUI": "buttons of its own",
    "macrosheets": "macros",
    "richData": "rich values, which show another text than their value",
    "webextensions": "an add-in",
}
RELATION = re.compile(rb"<Relationship\b[^>]*>")
ATTRIBUTE = re.compile(rb"\b(Target|TargetMode)=[\"']([^\"']*)[\"']")
SHAPE = re.compile(rb"<(?:\w+:)?(twoCellAnchor|oneCellAnchor|absoluteAnchor)\b")


def active(found: dict[str, bytes]) -> Iterator[Found]:
    """What acts by itself or reaches out: macros, connections, links elsewhere; and shapes that may lie over figures."""
    for name, data in sorted(found.items()):
        for word, meaning in ACTIVE.items():
            if word in name:
                yield Found("active-content", ERROR, name, meaning, "none")
        if name.endswith(".rels"):
            for relation in RELATION.findall(data):
                values = {key: value.decode("utf-8", "replace") for key, value in ATTRIBUTE.findall(relation)}
                if values.get(b"TargetMode") == "External" and not _explorer(values.get(b"Target", "")):
                    yield Found("active-content", ERROR, name, f"a link to {values.get(b'Target')}", "links to a chain's explorer only")
        if name.startswith("xl/drawings/") and SHAPE.search(data):
            yield Found("overlay", WARNING, name, "a picture or shape, which may lie over figures", "none")
        if name.startswith("xl/tables/") and b"filterColumn" in data:
            yield Found("hidden-row", ERROR, name, "a table with a filter set", "no filter")
        if name == "xl/workbook.xml" and re.search(rb"LAMBDA\s*\(|ddeLink", data):
            yield Found("active-content", ERROR, name, "a name that is a function of its own (LAMBDA) or DDE", "none")


def _explorer(target: str) -> bool:
    return any(target.startswith(f"{explorer}/tx/0x") for explorer in EXPLORERS.values())
