"""What a sheet of a workbook holds, and the findings where a run has more: nothing is left out of a sheet without a word."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from perpcomp.findings import Finding
from perpcomp.incident import toml
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted

ROWS = 1_048_576  # of a sheet of .xlsx
CHARACTERS = 32_767  # of a cell
ABOVE = 5  # rows above those of a table: the heading, the state, the notice, the totals and the header
EXCERPT = 10_000  # rows that a sheet shows of a table that it cannot hold
LINKS = 65_530  # of a sheet: Excel passes over the others


def shown_rows(rows: int) -> int:
    """How many of a table's rows its sheet shows: all, or an excerpt where the sheet cannot hold them."""
    return rows if rows + ABOVE <= ROWS else EXCERPT


def held(rows: int, file: str, links: bool = False) -> str:
    """How many rows of a table its sheet holds, in words, with the file that has all; and where the `links` of its rows end."""
    shown = shown_rows(rows)
    linked = f"; the first {LINKS:,} have links" if links and shown > LINKS else ""
    return f"{rows:,}{linked}" if shown == rows else f"{shown:,} of {rows:,}; all are in {file}{linked}"


def shown_text(text: str, file: str) -> str:
    """A text as its cell shows it: whole, or its beginning with the file that has all of it."""
    if _length(text) <= CHARACTERS:
        return text
    note = f" … (cut: {counted(_length(text), 'character')}; the whole text is in {file})"
    return text[: (CHARACTERS - len(note)) // 2] + note


def findings(incident: Incident, tables: Mapping[str, pl.DataFrame]) -> list[Finding]:
    """A warning for each table (by its file) with more rows than a sheet holds, and for each text that is longer than a cell."""
    found = []
    for file, frame in tables.items():
        shown = shown_rows(frame.height)
        if shown < frame.height:
            what = f"vote.xlsx shows {shown:,} of the {counted(frame.height, 'row')}, because a sheet has at most {ROWS:,} rows."
            found.append(Finding("warning", file, what, f"Use {file}, which has every row.", code="sheet-too-short"))
        longest = frame.select(pl.col(pl.String).str.len_chars().max()).to_dicts()  # of every column at once: nearly all are short
        for name in (name for row in longest for name, length in row.items() if length is not None and length > CHARACTERS // 2):
            long = frame.filter(pl.col(name).str.len_chars() > CHARACTERS // 2).get_column(name)
            found += [_cut(file, name, text, file) for text in long.unique(maintain_order=True) if _length(text) > CHARACTERS]
    file = f"{incident.name}.toml"
    texts = _texts(toml.parse(incident.raw, file), "")
    return found + [_cut(file, place, text, f"inputs/{file}") for place, text in texts if _length(text) > CHARACTERS]


def _cut(where: str, place: str, text: str, file: str) -> Finding:
    what = f"{place} has {counted(_length(text), 'character')}; vote.xlsx shows the first ones, because a cell has at most {CHARACTERS:,}."
    return Finding("warning", where, what, f"Read it in {file}.", code="cell-too-short")


def _length(text: str) -> int:
    """The characters of a text as a spreadsheet counts them: UTF-16 units."""
    return len(text) + sum(c > "\uffff" for c in text) if len(text) > CHARACTERS // 2 else len(text)


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text in a TOML document, with the keys that lead to it."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, place)
