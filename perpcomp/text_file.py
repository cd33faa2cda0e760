"""Files of text as other programs write them: compressed whatever their name says, in UTF-8 or UTF-16, with any separator."""

import codecs
import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl

GZIP = b"\x1f\x8b"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SEPARATORS = ",;\t|"
# What opening, unpacking and reading a table raise where the file is absent, damaged or no table.
UNREADABLE = (OSError, EOFError, zlib.error, ValueError, pl.exceptions.PolarsError)
# What tools write for a missing value.
MISSING = ("", "<nil>", "nil", "NULL", "null", "Null", "None", "none", "nan", "NaN", "NAN", "<NA>", "N/A", "n/a", "NA", "\\N")


def opened(path: Path) -> BinaryIO:
    """The file from its beginning as bytes of UTF-8 without a byte order mark. A file in UTF-16 is read whole.

    OSError, EOFError or zlib.error, here or while reading, where the file is absent or damaged; UnicodeDecodeError where it is not text.
    """
    with path.open("rb") as raw:
        zipped = path.suffix == ".gz" or raw.read(2) == GZIP
    file = _unpacked(path) if zipped else path.open("rb")
    head = file.read(2)
    file.seek(0)
    if head in UTF_16:
        with file:
            return io.BytesIO(file.read().decode("utf-16").encode())
    file.seek(len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 else 0)
    return file


def _unpacked(path: Path) -> BinaryIO:
    named = isinstance(path, os.PathLike)  # in an object store it is not
    return cast(BinaryIO, gzip.open(path if named else path.open("rb")))


def is_plain(path: Path) -> bool:
    """Whether the bytes of the file are its text in UTF-8, so that it can be read from the middle. OSError where it cannot be read."""
    with path.open("rb") as file:
        head = file.read(3)
    return path.suffix != ".gz" and not head.startswith((GZIP, *UTF_16, codecs.BOM_UTF8))


def position(file: BinaryIO) -> int:
    """How many bytes of the file on disk were read so far."""
    return int(getattr(file, "fileobj", file).tell())  # of a compressed file, those compressed


def read_csv(path: Path) -> pl.DataFrame:
    """Every cell of a table as text, null where it is empty. The separator is the one that cuts the first line into most columns.

    UNREADABLE where it is not a table; ValueError names the row that has more or fewer cells than the header.
    """
    with opened(path) as file:
        header = file.readline().decode()
        plain = isinstance(file, io.BufferedReader)  # Polars reads such a file from the disk, several times as fast as from memory
        data: Path | bytes = path if plain else header.encode() + file.read()
    separator = max(SEPARATORS, key=lambda one: len(next(_rows([header], one), [])))
    try:
        frame = pl.read_csv(data, infer_schema=False, glob=False, separator=separator)
    except pl.exceptions.ComputeError:
        _check_lengths(path, separator)
        raise
    # A row that was cut off ends in nulls, and so does one whose last cells are empty.
    if frame.width and frame.to_series(-1).null_count():
        _check_lengths(path, separator)
    return frame


def reason(error: Exception) -> str:
    """Why a file is UNREADABLE, in one line."""
    return (isinstance(error, OSError) and error.strerror) or (str(error).splitlines() or ["it ends too early"])[0]


def _rows(lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    """The cells of each row. ValueError where a row is none."""
    try:
        yield from csv.reader(lines, delimiter=separator)
    except csv.Error as error:
        raise ValueError(f"A row is not one of a CSV file: {error}.") from None


def _check_lengths(path: Path, separator: str) -> None:
    with opened(path) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        rows = _rows(text, separator)
        columns = len(next(rows, []))
        for number, row in enumerate(rows, 2):
            if row and len(row) != columns:
                raise ValueError(f"Row {number} has {len(row)} cells, but the header has {columns}.")
