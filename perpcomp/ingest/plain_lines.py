"""Logs that are written alike, one a line, cut at their commas into columns. No parser reads more than the first line.

The first line is parsed: it says where each value stands. Where every line has the same text around its values, and each value is 0x and
hex digits, every line is the object that a parser reads. The text around the values is compared here; the caller checks the values.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import polars as pl

from perpcomp.ingest.raw_frame import TEXTS, Log

MOST_TOPICS = 4
TOPICS = [f"topic{n}" for n in range(MOST_TOPICS)]
HEX = r"^0x[0-9a-fA-F]*$"
UNREAD = ""  # in the place of a column's name: a value that no column takes

Cell = tuple[str | None, str, str]  # what a line holds between two commas: the column of its value, the text before it, the text behind it


def table(lines: bytes) -> pl.DataFrame | None:
    """The lines as columns of text, as `checked` takes them, with `row` from 0, and topic3.

    None where the lines are not written alike, where a log is removed, or where one has no topic or more than four.
    """
    first = lines[: lines.find(b"\n")]
    if first.endswith(b"\r"):
        first, lines = first[:-1], lines.replace(b"\r\n", b"\n")
    try:
        shape = _Shape(first)
        width = len(shape.cells(MOST_TOPICS))
        schema = {str(n): pl.String() for n in range(width)}
        read = pl.scan_csv(lines, has_header=False, separator=",", quote_char=None, schema=schema, missing_columns="insert")
        frame = read.collect().rechunk().with_row_index("row")  # in its many parts the texts are compared half as fast
    except (_NotPlain, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, pl.exceptions.PolarsError):
        return None
    parts, length = [], 0
    for topics in range(1, MOST_TOPICS + 1):
        cells = shape.cells(topics)
        last, beyond = str(len(cells) - 1), str(len(cells))
        more = frame.height - frame[beyond].null_count() if topics < MOST_TOPICS else 0
        found = frame.height - frame[last].null_count() - more
        if not found:
            continue
        own = frame
        if found < frame.height:
            own = frame.filter(pl.col(last).is_not_null() & (pl.col(beyond).is_null() if topics < MOST_TOPICS else True))
        written, *alike = own.select_seq(_length(cells), *_alike(cells)).row(0)
        if not all(alike):
            return None
        length += written
        parts.append(
            own.select_seq(pl.col("row").cast(pl.Int64), *_values(cells), topics=pl.lit(topics, pl.Int64), removed=pl.lit(value=False))
        )
    if length != len(lines):  # then something was left out
        return None
    return pl.concat(parts).sort("row") if len(parts) > 1 else parts[0]


class _NotPlain(Exception):
    """A line is not written as the others can be."""


class _Shape:
    """How the logs are written, by the first of them."""

    def __init__(self, line: bytes) -> None:
        text = line.decode()
        row = msgspec.json.decode(line, type=dict[str, Any])
        log = msgspec.convert(row, Log)
        # A key that stands once is no value, and in no object inside the log.
        once = all(text.count(f'"{key}"') == (key in row) for key in (*TEXTS, "topics", "removed"))
        if "\\" in text or not once or log.removed is True or not log.topics:
            raise _NotPlain
        pieces = text.split(",")
        # Some nodes add numbers, such as the log's index in its transaction. They differ from line to line, and nobody reads them.
        others = {
            key: UNREAD for key, value in row.items() if isinstance(value, str) and re.match(HEX, value) and text.count(f'"{key}"') == 1
        }
        names, found = others | TEXTS, list[Cell]()
        for piece in pieces:
            key = next((key for key in names if f'"{key}"' in piece and row[key] is not None), None)
            found.append((None, piece, "") if key is None else (names[key], *_around(piece, row[key])))
        at = next(n for n, piece in enumerate(pieces) if '"topics"' in piece)
        behind = at + len(log.topics)
        self.before, self.behind = found[:at], found[behind:]
        self.opening, self.closing = _around(pieces[at], log.topics[0])[0], _around(pieces[behind - 1], log.topics[-1])[1]
        self.between = f'{pieces[-1][: -len(pieces[-1].lstrip())]}"'  # a blank stands before every cell but the first, or before none

    def cells(self, topics: int) -> list[Cell]:
        """The cells of a line with so many topics."""
        heads = [self.opening, *[self.between] * (topics - 1)]
        tails = [*['"'] * (topics - 1), self.closing]
        return [*self.before, *zip(TOPICS, heads, tails, strict=False), *self.behind]


def _around(cell: str, value: str) -> tuple[str, str]:
    head, found, tail = cell.partition(f'"{value}"')
    if not found:
        raise _NotPlain
    return f'{head}"', f'"{tail}'


def _length(cells: list[Cell]) -> pl.Expr:
    """The length of all these cells, with the comma or line end behind each."""
    return pl.sum_horizontal((pl.col(str(n)).str.len_bytes() + 1).sum() for n in range(len(cells))).alias("length")


def _alike(cells: list[Cell]) -> Iterator[pl.Expr]:
    """Whether all have the text of the first line around their values. Where head and tail overlap, the value is empty."""
    for n, (name, head, tail) in enumerate(cells):
        cell = pl.col(str(n))
        same = cell == head if name is None else cell.str.starts_with(head) & cell.str.ends_with(tail)
        if name == UNREAD:
            same &= cell.str.head(-len(tail)).str.slice(len(head)).str.contains(HEX)
        yield same.all(ignore_nulls=False).alias(str(n))


def _values(cells: list[Cell]) -> Iterator[pl.Expr]:
    """The columns of the values."""
    found = {name: (str(n), head, tail) for n, (name, head, tail) in enumerate(cells) if name is not None}
    for name in (*TEXTS.values(), *TOPICS):
        if name in found:
            column, head, tail = found[name]
            yield pl.col(column).str.head(-len(tail)).str.slice(len(head)).alias(name)
        else:
            yield pl.lit("0x" if name in ("topic1", "topic2") else None, pl.String).alias(name)
