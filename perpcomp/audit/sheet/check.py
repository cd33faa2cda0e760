"""check-sheet: whether a workbook or CSV file that somebody passed on still says what the run says.

Everything is compared with what the run's own inputs give, computed again, and with no stored workbook.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perpcomp import progress
from perpcomp.audit.sheet import archive, cells, csv_file, dressing, what_if
from perpcomp.audit.sheet.display import Display
from perpcomp.audit.sheet.found import NOTE, Found, SheetCheck
from perpcomp.audit.verify import recompute
from perpcomp.findings import INVALID_MANIFEST, refusal
from perpcomp.number_text import counted
from perpcomp.publish.files import WORKBOOK_FILE, files
from perpcomp.publish.read_back import altered, input_hashes
from perpcomp.publish.stated import read_manifest
from perpcomp.publish.workbook import workbook
from perpcomp.publish.workbook.book import planned
from perpcomp.publish.workbook.check import CHECK
from perpcomp.publish.workbook.inputs import INPUTS
from perpcomp.publish.workbook.plan import Book, Cell
from perpcomp.publish.workbook.write import content_digest
from perpcomp.run import Run
from perpcomp.sheet_file import open_book
from perpcomp.sheet_parts import parts_of
from perpcomp.tables.files import row_hash
from perpcomp.tables.payouts import PAYOUTS


def check(file: Path, folder: Path) -> SheetCheck:
    """What a file (.xlsx or .csv) says otherwise than the run in a folder. InputError where one of the two cannot be read or is unsafe."""
    if not file.is_file():
        raise refusal(str(file), "There is no such file.", "Give the workbook or a CSV file, and then the folder of the run.")
    data = file.read_bytes()
    parts = parts_of(data, str(file)) if data[:2] == b"PK" else None
    run = _run(folder)
    if parts is None:
        same, differing = csv_file.compare(data, str(file), files(run))
        return SheetCheck(tuple(_with_swaps(differing)), same)
    plan = planned(run)
    if content_digest(data) == content_digest(workbook(run)):
        return SheetCheck((), True)
    found = list(archive.active(parts))
    progress.now("Reading the workbook")
    book, results = open_book(data, str(file)), open_book(data, str(file), results=True)
    progress.now("Comparing every cell")
    found += [*dressing.sheets(book, plan), *_sheets(book, results, plan, run)]
    return SheetCheck(tuple(_with_swaps(dict.fromkeys(found))), False)


def _run(folder: Path) -> Run:
    """The run of a folder, computed again from its inputs; refused where these were changed or the payouts are others."""
    stated = read_manifest(folder)
    lacking = [name for name in stated["files"] if name != WORKBOOK_FILE and not (folder / name).is_file()]
    if lacking:
        what = f"The run is incomplete: its manifest lists {counted(len(lacking), 'file')} that the folder lacks, such as {lacking[0]}."
        raise refusal(str(folder), what, "Get the whole folder from whoever published the run.", INVALID_MANIFEST)
    changed = [name for name, _ in altered(folder, input_hashes(stated))]
    if changed:
        what = f"The run's own inputs were changed: {', '.join(changed)}. Nothing can be compared with it."
        raise refusal(str(folder), what, "Get the folder again from whoever published the run.", INVALID_MANIFEST)
    run = recompute(folder, stated)
    for problem in run.problems:
        if problem.stops:
            what = f"The run stops its payments, so no file of it is one to vote on. {problem.where}: {problem.what}"
            raise refusal(str(folder), what, f"{problem.what_to_do} Then publish the run again.".lstrip())
    if row_hash(run.payouts, PAYOUTS) != stated["tables"]["3-payouts.csv"]["row_sha256"]:
        what = "The inputs in the folder give other payouts than its manifest states."
        raise refusal(str(folder), what, f"Type `perpcomp verify {folder}`; it says what differs.", INVALID_MANIFEST)
    return run


def _sheets(book: Any, results: Any, plan: Book, run: Run) -> Iterator[Found]:
    seen = cells.Seen(Display(book))
    for made in sorted(plan.sheets, key=lambda sheet: sheet.name != INPUTS):  # a changed input changes the results of all others
        if made.name in book.sheetnames:
            yield from cells.compare(book[made.name], results[made.name], made, plan, seen)
            yield from dressing.of_sheet(book[made.name], made, plan, seen.display)
        if made.name == INPUTS and seen.changed:
            seen.what_if, seen.following = _by_inputs(run, seen.changed), 0
    if seen.without_result:
        yield Found("cached-value-missing", NOTE, "the workbook", f"{seen.without_result:,} formulas without a stored result", "results")
    if seen.changed and seen.following:
        yield Found(
            "what-if", NOTE, "the workbook", f"{seen.following:,} results compared with what the changed inputs give", "as published"
        )


def _by_inputs(run: Run, changed: Mapping[str, Any]) -> dict[str, dict[tuple[str, ...], Sequence[Cell]]]:
    """The rows of each sheet by inputs that were changed, by key; nothing where they give no run. The sheet Check judges the published ones."""
    progress.now("Computing what the changed inputs give")
    other = what_if.computed(run, changed)
    made = [] if other is None else [sheet for sheet in planned(other).sheets if sheet.name not in (INPUTS, CHECK)]
    return {sheet.name: {cells.key_of(sheet, at): row for at, row in enumerate(sheet.rows)} for sheet in made}


def _with_swaps(found: Iterable[Found]) -> Iterator[Found]:
    """The findings; those of two amounts that changed places say so."""
    listed = list(found)
    places = {(one.found, one.expected): one.place for one in listed if one.code == "amount-differs"}
    for one in listed:
        other = places.get((one.expected, one.found)) if one.code == "amount-differs" else None
        yield one if other is None else replace(one, hint=f"It changed places with {other}.")
