"""Files of one JSON object a line: read in chunks, decoded strictly, each line with its number."""

import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from perpcomp import progress
from perpcomp.findings import InputError, refusal
from perpcomp.text_file import opened, position

CHUNK_BYTES = 8 * 2**20  # larger ones leave the caches, smaller ones pay more often for each step of Polars
DAMAGED = (OSError, EOFError, UnicodeDecodeError, zlib.error)
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
Row = TypeVar("Row")


def chunks(path: Path) -> Iterator[tuple[int, bytes]]:
    """The file in chunks of whole lines, each with the number of its first line. InputError where the file cannot be read to its end."""
    line, seen = 1, 0
    try:
        with opened(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                chunk += file.readline()  # the rest of its last line; to cut it off and keep it would take twice as long
                progress.advance(position(file) - seen)
                seen = position(file)
                if not chunk.endswith(b"\n"):  # the file's last line has no end, and may hold nothing
                    end = chunk.rfind(b"\n") + 1
                    chunk = chunk + b"\n" if chunk[end:].strip() else chunk[:end]
                if chunk:
                    yield line, chunk
                    line += count_lines(chunk)
    except DAMAGED as error:
        raise _damaged(path, error) from None


def first_line(path: Path) -> bytes:
    """The first line that is not blank; b"" where there is none. InputError where the file cannot be read so far."""
    try:
        with opened(path) as file:
            return next((line for line in file if line.strip()), b"")
    except DAMAGED as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)  # the text of an OSError names the whole path
    return refusal(path.name, f"The file cannot be read to its end ({reason}).", "Fetch or export it again.")


def count_lines(chunk: bytes) -> int:
    """The number of lines, each with its end. Four times as fast as bytes.count, which looks at every byte alone."""
    return sum(1 for _ in io.BytesIO(chunk))


def chunks_between(path: Path, start: int, stop: int) -> Iterator[bytes]:
    """The lines of an uncompressed file that begin in its bytes from `start` to before `stop`, in chunks. OSError where it cannot be read."""
    with path.open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()  # the rest of a line that began before
        while (left := stop - file.tell()) > 0 and (read := file.read(min(CHUNK_BYTES, left))):
            yield read + file.readline() if not read.endswith(b"\n") else read


def rows(name: str, line: int, chunk: bytes, row_type: type[Row], kind: str) -> list[tuple[int, Row]]:
    """(line number, decoded line) of every line of a chunk that is not blank; `line` is the number of the first.

    InputError names the first line that is not a `row_type`; `kind` says for people what such a row is.
    """
    decoder = msgspec.json.Decoder(row_type)
    lines = chunk.split(b"\n")
    try:
        return [(number, decoder.decode(text)) for number, text in enumerate(lines, line) if text and not text.isspace()]
    except UNREADABLE:
        raise _first_bad_line(name, lines, decoder, line, kind) from None


def _first_bad_line(name: str, lines: list[bytes], decoder: msgspec.json.Decoder[Row], first: int, kind: str) -> InputError:
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            decoder.decode(line)
        except UNREADABLE as error:
            what = f"The line is not a row of {kind} ({error})."
            if not line.lstrip().startswith(b"{"):
                what += f" It begins: {line[:40].decode(errors='replace').strip()!r}."
            return refusal(f"{name} row {number}", what, "Each line must be one JSON object, as the node returned it.")
    raise AssertionError(f"{name}: a line was refused that passes now")
