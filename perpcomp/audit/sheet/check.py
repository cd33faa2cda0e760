"""check-sheet: whether a workbook or CSV file that somebody passed on still says what the run says.

Everything is compared with what the run's own inputs give, computed again, and with no stored workbook.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from perpcomp import progress
from perpcomp.audit.sheet import archive, cells, csv_file, dressing
from perpcomp.audit.sheet.found import NOTE, Found, SheetCheck
from perpcomp.audit.verify import recompute
from perpcomp.findings import INVALID_MANIFEST, refusal
from perpcomp.publish.files import files
from perpcomp.publish.read_back import altered, input_hashes
from perpcomp.publish.stated import read_manifest
from perpcomp.publish.workbook import workbook
from perpcomp.publish.workbook.book import planned
from perpcomp.publish.workbook.inputs import INPUTS
from perpcomp.publish.workbook.plan import Book
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
    found += [*dressing.sheets(book, plan), *_sheets(book, results, plan)]
    return SheetCheck(tuple(_with_swaps(dict.fromkeys(found))), False)


def _run(folder: Path) -> Run:
    """The run of a folder, computed again from its inputs; refused where these were changed or the payouts are others."""
    stated = read_manifest(folder)
    changed = [name for name, _ in altered(folder, input_hashes(stated))]
    if changed:
        what = f"The run's own inputs were changed: {', '.join(changed)}. Nothing can be compared with it."
        raise refusal(str(folder), what, "Get the folder again from whoever published the run.", INVALID_MANIFEST)
    run = recompute(folder, stated)
    if row_hash(run.payouts, PAYOUTS) != stated["tables"]["3-payouts.csv"]["row_sha256"]:
        what = "The inputs in the folder give other payouts than its manifest states."
        raise refusal(str(folder), what, f"Type `perpcomp verify {folder}`; it says what differs.", INVALID_MANIFEST)
    return run


def _sheets(book: Any, results: Any, plan: Book) -> Iterator[Found]:
    seen = cells.Seen()
    for made in sorted(plan.sheets, key=lambda sheet: sheet.name != INPUTS):  # a changed input changes the results of all others
        if made.name not in book.sheetnames:
            continue
        sheet = book[made.name]
        yield from cells.compare(sheet, results[made.name], made, plan.state, plan.notice, seen)
        yield from dressing.hidden(sheet, made)
        yield from dressing.outside(sheet, made)
    if seen.without_result:
        yield Found("cached-value-missing", NOTE, "the workbook", f"{seen.without_result:,} formulas without a stored result", "results")


def _with_swaps(found: Iterable[Found]) -> Iterator[Found]:
    """The findings; those of two amounts that changed places say so."""
    listed = list(found)
    places = {(one.found, one.expected): one.place for one in listed if one.code == "amount-differs"}
    for one in listed:
        other = places.get((one.expected, one.found)) if one.code == "amount-differs" else None
        yield one if other is None else replace(one, hint=f"It changed places with {other}.")
