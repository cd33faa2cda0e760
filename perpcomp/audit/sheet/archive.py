"""The parts of an .xlsx file, read before any library opens it: bombs and DOCTYPEs are refused, active content is found."""

import io
import re
import zipfile
from collections.abc import Iterator

from perpcomp.audit.sheet.found import ERROR, WARNING, Found
from perpcomp.findings import INVALID_MANIFEST, InputError, refusal
from perpcomp.publish.workbook.links import EXPLORERS

MOST_PARTS, MOST_BYTES, MOST_RATIO = 200, 256 * 2**20, 200
SMALL = 2**20  # a small part may shrink as it likes
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


def parts(data: bytes, file: str) -> dict[str, bytes]:
    """Name -> bytes of every part. InputError with exit code 4 where unpacking or reading it could do harm, 2 where it is no workbook."""
    try:
        book = zipfile.ZipFile(io.BytesIO(data))
        entries = book.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise refusal(file, f"It is no .xlsx file: {error}.", "Give the workbook or a CSV file of a run.") from None
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_PARTS or total > MOST_BYTES:
        raise _unsafe(file, f"It unpacks to {len(entries):,} parts of {total:,} bytes; at most {MOST_PARTS} of {MOST_BYTES:,} are read.")
    found: dict[str, bytes] = {}
    for entry in entries:
        name = entry.filename
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or "\0" in name or name in found:
            raise _unsafe(file, f"A part is called {name!r}.")
        if entry.file_size > SMALL and entry.file_size > MOST_RATIO * max(entry.compress_size, 1):
            raise _unsafe(file, f"The part {name} unpacks from {entry.compress_size:,} to {entry.file_size:,} bytes, as a bomb does.")
        try:
            with book.open(entry) as stream:  # the directory may lie about the size
                found[name] = stream.read(entry.file_size + 1)
        except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError) as error:
            raise refusal(file, f"The part {name} cannot be read: {error}.", "Get the file again.") from None
        if name.endswith((".xml", ".rels", ".vml")) and re.search(rb"<!\s*(DOCTYPE|ENTITY)|\0", found[name], re.I):
            raise _unsafe(file, f"The part {name} has a DOCTYPE or is not UTF-8. A spreadsheet program writes neither.")
    if "xl/workbook.xml" not in found:
        raise refusal(file, "It has no xl/workbook.xml, so it is no .xlsx file.", "Give the workbook or a CSV file of a run.")
    return found


def _unsafe(file: str, what: str) -> InputError:
    return refusal(file, what, "Do not open it. Get the file from whoever published the run.", INVALID_MANIFEST)


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
