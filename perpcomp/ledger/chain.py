"""The ledger as a file: its columns, its hash chain, and where the chain is broken.

The hash of a line is the sha256 of its canonical text: JSON of the cells that are not empty, with `previous` and without `hash`, keys
sorted, no spaces, in UTF-8. `previous` is the hash of the line before, so that no line can be changed, removed, added between others
or moved without breaking every later one.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

COLUMNS = (
    *("number", "kind", "trader", "amount", "factor", "reason", "evidence", "author", "ruling", "date"),
    *("run_sha256", "payouts_sha256", "comment_until", "signature", "previous", "hash"),
)
WRITTEN = COLUMNS[1:-2]  # what a person writes; the other cells follow from the chain
GENESIS = "0" * 64  # before the first line


class Line(Struct, frozen=True):
    """A line: its row in the file, and its cells that are not empty."""

    row: int
    cells: Mapping[str, str]


class Break(Struct, frozen=True):
    """Where the chain is broken: the row, the column, what is wrong and what to do."""

    row: int
    column: str
    what: str
    what_to_do: str


def read(data: bytes) -> list[Line]:
    """The lines of a ledger; none of an empty file. ValueError says why the file is none."""
    text = data.decode("utf-8-sig")
    if not text.strip():
        return []
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(rows)
    if tuple(header) != COLUMNS:
        raise ValueError(f"its first line is not {','.join(COLUMNS)}")
    lines = []
    for cells in rows:
        if len(cells) != len(COLUMNS):
            raise ValueError(f"row {rows.line_num} has {len(cells)} cells, the header {len(COLUMNS)}")
        lines.append(Line(rows.line_num, {name: cell for name, cell in zip(COLUMNS, cells, strict=True) if cell}))
    return lines


def to_csv(lines: Sequence[Line]) -> bytes:
    """The file of these lines."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows([line.cells.get(name, "") for name in COLUMNS] for line in lines)
    return text.getvalue().encode()


def extended(lines: Sequence[Line], new: Sequence[Mapping[str, str]]) -> list[Line]:
    """The ledger with new lines, each numbered and sealed."""
    ledger = list(lines)
    for cells in new:
        written = {name: cells[name] for name in WRITTEN if cells.get(name)}
        sealed = {"number": str(len(ledger) + 1), **written, "previous": head(ledger)}
        ledger.append(Line(len(ledger) + 2, {**sealed, "hash": digest(sealed)}))
    return ledger


def head(lines: Sequence[Line]) -> str:
    """The hash of the last line: it stands for the whole ledger."""
    return lines[-1].cells.get("hash", "") if lines else GENESIS


def digest(cells: Mapping[str, str]) -> str:
    """The hash of a line with these cells."""
    kept = {name: cell for name, cell in cells.items() if name != "hash" and cell}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def breaks(lines: Sequence[Line]) -> Iterator[Break]:
    """Every line that does not continue the one before, or is not what its hash says."""
    advice = "Take the ledger from who keeps it. A wrong line is never changed: append one that corrects it."
    before = GENESIS
    for number, line in enumerate(lines, 1):
        stated = line.cells.get("number", "")
        if stated != str(number):
            yield Break(
                line.row, "number", f"is {stated or 'empty'}, but this is line {number}: a line was removed, added or moved.", advice
            )
        if (previous := line.cells.get("previous", "")) != before:
            what = f"is {previous[:12] or 'empty'}…, but the line before has the hash {before[:12]}…: the chain is broken here."
            yield Break(line.row, "previous", what, advice)
        if (stated := line.cells.get("hash", "")) != (found := digest(line.cells)):
            what = f"is {stated[:12] or 'empty'}…, but the line's cells give {found[:12]}…: the line was changed after it was written."
            yield Break(line.row, "hash", what, advice)
        before = line.cells.get("hash", "")
