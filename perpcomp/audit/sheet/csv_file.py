"""A CSV file that somebody passed on against the run's file with the same columns."""

from collections import Counter
from collections.abc import Iterator, Mapping

from perpcomp.audit.compare import csv_cells
from perpcomp.audit.sheet.cells import PEOPLE
from perpcomp.audit.sheet.found import ERROR, Found, shown
from perpcomp.findings import refusal
from perpcomp.publish.files import CSV_FILES


def compare(data: bytes, file: str, published: Mapping[str, bytes]) -> tuple[bool, list[Found]]:
    """Whether it is the very file of the run, and every difference. InputError where no file of the run has its columns."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refusal(file, f"It is no UTF-8 text: {error}.", "Give the workbook or a CSV file of the run.") from None
    theirs = [row for row in csv_cells(data.removeprefix(b"\xef\xbb\xbf")) if any(row)]
    header = theirs[0] if theirs else []
    for name, (_, table) in CSV_FILES.items():
        if sorted(header) == sorted(table.schema) and name in published:
            places = [header.index(column) for column in table.key]
            return data == published[name], list(_compare(name, header, theirs[1:], csv_cells(published[name]), places, table.key))
    listed = ", ".join(name for name in CSV_FILES if name in published)
    raise refusal(file, "No CSV file of the run has its columns.", f"Give the workbook, or a copy of one of {listed}.")


def _compare(
    name: str, header: list[str], theirs: list[list[str]], published: list[list[str]], places: list[int], key: tuple[str, ...]
) -> Iterator[Found]:
    """Each difference, rows matched by the table's key."""
    names, *rows = published
    ours = {tuple(row[names.index(column)] for column in key): row for row in rows}
    met, whose = Counter[tuple[str, ...]](), key[0] in PEOPLE
    for number, row in enumerate(theirs, 2):
        place = f"{name} row {number}"
        if len(row) != len(header):
            yield Found("value-differs", ERROR, place, f"{len(row)} cells", f"{len(header)} cells")
            continue
        own = tuple(row[at] for at in places)
        met[own] += 1
        if own not in ours:
            yield Found("unknown-recipient" if whose else "extra-row", ERROR, place, " ".join(own), "(no such row)")
        elif met[own] > 1:
            yield Found("duplicate-recipient" if whose else "extra-row", ERROR, place, " ".join(own), "once")
        else:
            for at, column in enumerate(header):
                expected = ours[own][names.index(column)]
                if row[at] != expected:
                    code = "amount-differs" if column.endswith(("amount", "base_units", "value", "entitlement")) else "value-differs"
                    yield Found(code, ERROR, f"{place} {column}", shown(row[at]), shown(expected))
    for own in ours:
        if not met[own]:
            yield Found("missing-recipient" if whose else "missing-row", ERROR, name, "(no such row)", " ".join(own))
