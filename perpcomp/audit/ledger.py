"""New lines of the ledger: checked by a whole run before they are written, because a line is never taken back."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import polars as pl
from msgspec.structs import replace

from perpcomp import fixed, pipeline
from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.incident.adjustments import FREEZE
from perpcomp.incident.incident import Incident
from perpcomp.incident.ledger_file import read_ledger
from perpcomp.incident.lists import beside
from perpcomp.input import Input
from perpcomp.ledger import chain
from perpcomp.lock import locked
from perpcomp.publish.read_back import open_published
from perpcomp.publish.stated import MANIFEST
from perpcomp.run import Run
from perpcomp.sheet_file import read_sheet
from perpcomp.tables.schema import CSV_TIME
from perpcomp.writing import write_whole

SHEET = "Adjustments"
CALLED = {"address": "trader", "note": "reason", "evidence link": "evidence"}  # as people call a column
Cells = Mapping[str, str]


@dataclass(frozen=True)
class Appended:
    """What new lines do: how many were written, how many stood in the ledger already, and the payouts before and after."""

    written: int
    known: int
    moved: Sequence[tuple[str, str, int, int]]  # payee, token, before and after in 1e-18 of the token
    head: str
    problems: Sequence[Finding]


def append(incident: Incident, source: Input, new: Sequence[tuple[str, Cells]], now: datetime | None = None) -> Appended:
    """Append lines, each with the place that it comes from, and say what they move. Those that stand in the ledger already are passed over.

    InputError, and nothing is written: where a line is wrong, where it adjusts nobody in this run, and where the run is frozen at `now`.
    """
    path = _file(incident)
    now = now or datetime.now(UTC)
    with locked(path.parent, "QUERY"):
        lines = chain.read(path.read_bytes())
        held = [{name: line.cells.get(name, "") for name in chain.WRITTEN} for line in lines]
        fresh = [(place, cells) for place, cells in new if {name: cells.get(name, "") for name in chain.WRITTEN} not in held]
        if not fresh:
            return Appended(0, len(new), (), chain.head(lines), ())
        freeze = None if incident.book is None else incident.book.freeze
        if freeze is not None and now >= freeze.comment_until:
            what = f"{freeze.place} froze the run, and comments ended at {freeze.comment_until.strftime(CSV_TIME)}: it takes no more lines."
            raise refusal(path.name, what, "Correct it in a round of its own, with an incident file of its own.")
        extended = chain.extended(lines, [cells for _, cells in fresh])
        candidate = _with(incident, path.name, chain.to_csv(extended), [place for place, _ in fresh], len(lines))
        before, after = (pipeline.compute(one, source, compared=()) for one in (incident, candidate))
        if any(cells.get("kind") == FREEZE for _, cells in fresh) and (
            other := [one for one in after.problems if one.code == "frozen-differs"]
        ):
            raise InputError(
                dataclasses.replace(one, what_to_do="Nothing was written. Publish the run again, and freeze that one.") for one in other
            )
        write_whole(path, chain.to_csv(extended))
    return Appended(len(fresh), len(new) - len(fresh), _moved(before, after), chain.head(extended), after.problems)


def freeze_line(folder: Path, incident: Incident, until: str, author: str, date: str, **texts: str) -> Cells:
    """The line that freezes a published run. InputError where the folder holds another incident or a what-if."""
    run = open_published(folder)
    if run.incident.name != incident.name or run.stated.get("overrides"):
        kind = f"the incident {run.incident.name}" if run.incident.name != incident.name else "a what-if"
        raise refusal(str(folder), f"The folder holds {kind}, not the official run of {incident.name}.", "Give the folder of that run.")
    return {
        "kind": FREEZE,
        "run_sha256": sha256((folder / MANIFEST).read_bytes()).hexdigest(),
        "payouts_sha256": run.stated["tables"]["3-payouts.csv"]["row_sha256"],
        "comment_until": until,
        "author": author,
        "date": date,
        **texts,
    }


def from_sheet(path: Path) -> list[tuple[str, Cells]]:
    """The lines of a workbook's sheet Adjustments, each with its place. InputError names every cell that cannot be taken."""
    sheet = read_sheet(path, SHEET)
    problems = [dataclasses.replace(one, level="error") for one in sheet.remarks]
    rows = [(number, cells) for number, cells in sheet.rows if any(cells)]
    if not rows:
        raise refusal(f"{path.name} {SHEET}", "The sheet is empty.", f"Write the columns {', '.join(chain.WRITTEN[:9])} in its first row.")
    known = chain.WRITTEN[:9]  # all but those of a freeze
    names = [CALLED.get(name.lower(), name.lower()) for name in rows[0][1]]
    places = [_letter(n) for n in range(len(names))]
    for letter, name in zip(places, names, strict=True):
        if name and name not in known:
            where = f"{path.name} {SHEET}!{letter}{rows[0][0]}"
            problems.append(Finding("error", where, f"The column {name!r} is unknown.", near_miss(name, known)))
    lines: list[tuple[str, Cells]] = []
    for number, cells in rows[1:]:
        line = {name: cell for name, cell in zip(names, cells, strict=True) if name and cell}
        for letter, cell in zip(places, cells, strict=True):
            if cell.startswith("="):
                what = "The cell is a formula, and what a formula shows is whatever its sender wants."
                problems.append(Finding("error", f"{path.name} {SHEET}!{letter}{number}", what, "Write the value itself."))
        lines.append((f"{path.name} {SHEET} row {number}", line))
    if problems:
        raise InputError(problems)
    return lines


def _letter(n: int) -> str:
    return chr(ord("A") + n) if n < 26 else _letter(n // 26 - 1) + _letter(n % 26)


def _file(incident: Incident) -> Path:
    if incident.ledger.file is None:
        advice = 'Add [ledger] with file = "ledger.csv" and a source, and make an empty file of that name beside it.'
        raise refusal(f"{incident.name}.toml", "The incident file names no ledger.", advice)
    return beside(incident.folder, incident.ledger.file)


def _with(incident: Incident, name: str, data: bytes, places: Sequence[str], old: int) -> Incident:
    """The incident with the ledger of these bytes. A problem of a new line names the place that the line comes from."""
    found, book, problems = read_ledger(name, data, incident.ledger.source, incident.chain.id)
    rows = {f"{name} row {old + 2 + n}": place for n, place in enumerate(places)}
    if problems:
        raise InputError(replace(one, header=rows.get(one.header, one.header)).finding(f"{incident.name}.toml") for one in problems)
    own = [one for one in incident.adjustments if not one.place.startswith(f"{name} row ")]
    return replace(incident, adjustments=(*own, *(replace(one, place=rows.get(one.place, one.place)) for one in found)), book=book)


def _moved(before: Run, after: Run) -> list[tuple[str, str, int, int]]:
    old, new = (_paid(run.payouts) for run in (before, after))
    return [(*key, old.get(key, 0), new.get(key, 0)) for key in sorted({*old, *new}) if old.get(key, 0) != new.get(key, 0)]


def _paid(payouts: pl.DataFrame) -> dict[tuple[str, str], int]:
    return {(who, token): fixed.to_integer(amount) for who, token, amount in payouts.select("trader", "token", "amount").iter_rows()}
