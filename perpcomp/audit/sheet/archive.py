"""What in the parts of an .xlsx file could act on its own, or show what no cell holds: macros, connections, links, pictures, marked-up text."""

import re
from collections.abc import Iterator, Mapping

from perpcomp.audit.sheet.found import ERROR, WARNING, Found
from perpcomp.publish.links import EXPLORERS
from perpcomp.publish.workbook.linked import ACCOUNT, TRANSACTION

ACTIVE = {
    "externallink": "a link to another workbook",
    "vbaproject": "macros",
    "macrosheet": "macros",
    "dialogsheet": "a dialog of its own",
    "embeddings": "an embedded object",
    "oleobject": "an embedded object",
    "activex": "a control",
    "ctrlprop": "a control",
    "connections": "a data connection",
    "querytable": "a data connection",
    "volatiledependencies": "data from another program",
    "xl/model": "a data model",
    "customui": "buttons of its own",
    "richdata": "rich values, which show another text than their value",
    "rdrichvalue": "rich values, which show another text than their value",
    "webextension": "an add-in",
    "xl/python": "a program in Python",
}  # in the name of a part or the type of a relationship, in lower case
RELATION = re.compile(rb"<Relationship\b[^>]*>")
ATTRIBUTE = re.compile(rb"\b(Target|TargetMode|Type)\s*=\s*[\"']([^\"']*)[\"']")
SHAPE = re.compile(rb"<(?:\w+:)?(twoCellAnchor|oneCellAnchor|absoluteAnchor)\b")
LEGACY_SHAPE = re.compile(rb"<(?:\w+:)?shape\b.*?</(?:\w+:)?shape>", re.S)
NOTE_OF_CELL = re.compile(rb"ObjectType\s*=\s*[\"']Note[\"']")
BACKGROUND = re.compile(rb"<(?:\w+:)?(picture|legacyDrawingHF)\b")
SPARKLINE = re.compile(rb"<(?:\w+:)?sparklineGroup\b")
RUN = re.compile(rb"<(?:\w+:)?r>.*?</(?:\w+:)?r>|<(?:\w+:)?rPh\b.*?</(?:\w+:)?rPh>", re.S)
DRESSED = re.compile(rb"<(?:\w+:)?(color|strike|vertAlign|sz|rPh)\b")
FUNCTION = re.compile(rb"LAMBDA\s*\(|ddeLink", re.I)
HIDDEN_WINDOW = re.compile(rb"<(?:\w+:)?workbookView\b[^>]*visibility\s*=\s*[\"'](?:veryH|h)idden[\"']")
ROUNDED = re.compile(rb"<(?:\w+:)?calcPr\b[^>]*fullPrecision\s*=\s*[\"'](?:0|false)[\"']")


def active(parts: Mapping[str, bytes]) -> Iterator[Found]:
    """Everything of that kind, by part."""
    for name, data in sorted(parts.items()):
        yield from _named(name, name)
        if name.endswith(".rels"):
            yield from _relations(name, data)
        elif name.startswith("xl/worksheets/"):
            if BACKGROUND.search(data):
                yield Found("overlay", WARNING, name, "a picture behind the cells, or in the margins of the page", "none")
            if SPARKLINE.search(data):
                yield Found("overlay", WARNING, name, "a small chart in a cell", "none")
        elif name.startswith("xl/drawings/"):
            notes_alone = all(NOTE_OF_CELL.search(shape) for shape in LEGACY_SHAPE.findall(data))
            if SHAPE.search(data) or not notes_alone:
                yield Found("overlay", WARNING, name, "a picture or shape, which may lie over figures", "none")
        elif name.startswith("xl/tables/") and b"filterColumn" in data:
            yield Found("hidden-row", ERROR, name, "a table with a filter set", "no filter")
        elif name.startswith(("xl/threadedComments", "xl/comments")) and b"<comment " not in data and b"threadedComment" in data:
            yield Found("overlay", WARNING, name, "notes over figures", "no note")
        elif name == "xl/workbook.xml":
            yield from _workbook(name, data)
        if name == "xl/sharedStrings.xml" or name.startswith("xl/worksheets/"):
            yield from _marked_up(name, data)


def _named(text: str, place: str) -> Iterator[Found]:
    for word, meaning in ACTIVE.items():
        if word in text.lower():
            yield Found("active-content", ERROR, place, meaning, "none")
            return


def _relations(name: str, data: bytes) -> Iterator[Found]:
    """Relationships of a kind that acts, whatever its part is called, and links elsewhere than to an explorer."""
    for relation in RELATION.findall(data):
        values = {key: value.decode("utf-8", "replace") for key, value in ATTRIBUTE.findall(relation)}
        target = values.get(b"Target", "")
        yield from _named(values.get(b"Type", "").rpartition("/relationships")[2], name)
        if values.get(b"TargetMode") == "External" and not _explorer(target):
            yield Found("active-content", ERROR, name, f"a link to {target}", "links to a chain's explorer only")


def _workbook(name: str, data: bytes) -> Iterator[Found]:
    if FUNCTION.search(data):
        yield Found("active-content", ERROR, name, "a name that is a function of its own (LAMBDA) or DDE", "none")
    if HIDDEN_WINDOW.search(data):
        yield Found("hidden-sheet", ERROR, name, "its window is hidden", "shown")
    if ROUNDED.search(data):
        yield Found("display-differs", ERROR, name, "amounts are rounded to what is shown, and calculated with", "full precision")


def _marked_up(name: str, data: bytes) -> Iterator[Found]:
    """Texts of which a part has another colour, size or height than the rest, so that it shows another text than it holds."""
    for run in RUN.findall(data):
        if DRESSED.search(run):
            text = re.sub(rb"<[^>]*>", b"", run).decode("utf-8", "replace")
            yield Found("display-differs", ERROR, name, f"a part of a text, {text!r}, in another form", "texts in one form")


def _explorer(target: str) -> bool:
    return any(target.startswith(f"{explorer}/{kind}/0x") for explorer in EXPLORERS.values() for kind in (TRANSACTION, ACCOUNT))
