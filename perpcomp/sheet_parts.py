"""The parts of an .xlsx file, read before any library opens it: what could do harm, such as a bomb or a DOCTYPE, is refused."""

import io
import lzma
import re
import struct
import zipfile
import zlib

from perpcomp.findings import INVALID_MANIFEST, InputError, refusal

# What zipfile raises on bytes that are no archive, or a damaged one.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, EOFError, ValueError, OSError),
    OverflowError,
)
MOST_PARTS, MOST_BYTES, MOST_RATIO = 200, 256 * 2**20, 200
SMALL = 2**20  # a small part may shrink as it likes


def parts_of(data: bytes, file: str) -> dict[str, bytes]:
    """Name -> bytes of every part. InputError with exit code 4 where unpacking or reading it could do harm, 2 where it is no workbook."""
    try:
        book = zipfile.ZipFile(io.BytesIO(data))
        entries = book.infolist()
    except DAMAGED as error:
        raise refusal(file, f"The file is not an .xlsx workbook: {error}.", "Give a workbook saved as .xlsx, or a CSV file.") from None
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
        except DAMAGED as error:
            raise refusal(file, f"The part {name} cannot be read: {error}.", "Get the file again.") from None
        if name.endswith((".xml", ".rels", ".vml")) and re.search(rb"<!\s*(DOCTYPE|ENTITY)|\0", found[name], re.I):
            raise _unsafe(file, f"The part {name} has a DOCTYPE or is not UTF-8. A spreadsheet program writes neither.")
    if "xl/workbook.xml" not in found:
        raise refusal(
            file,
            "The file is not an .xlsx workbook: the archive holds no xl/workbook.xml.",
            "Give a workbook saved as .xlsx, or a CSV file.",
        )
    return found


def _unsafe(file: str, what: str) -> InputError:
    return refusal(file, what, "Do not open it. Ask its author for a CSV file.", INVALID_MANIFEST)
