"""How to check the run, how and until when to object, and the hashes by which two people see that they have the same."""

from collections.abc import Iterator

from perpcomp.publish import facts
from perpcomp.publish.report.parts import Code, Grid, Heading, Part, Section, Text
from perpcomp.run import Run
from perpcomp.tables.liquidations import LEFT_OUT, LIQUIDATIONS
from perpcomp.tables.payouts import CLAIMS, PAYEES, PAYOUTS
from perpcomp.tables.schema import CSV_TIME

TABLES = {
    "2-liquidations.csv": ("liquidations", LIQUIDATIONS),
    "3-payouts.csv": ("payouts", PAYOUTS),
    "4-claims.csv": ("claims", CLAIMS),
    "payee.csv": ("payees", PAYEES),
    "left-out.csv": ("left_out", LEFT_OUT),
}
OBJECT = (
    "To object, say which account is concerned, which line of this page is wrong, and which transaction or text shows it, where the proposal"
    " is discussed. A ruling becomes a line of the run's ledger, with its reason, and a new run shows what it moved."
)


def section(run: Run) -> Section:
    """The section."""
    parts: list[Part] = [Text(facts.IN_FOLDER), Code("Four commands", list(facts.commands(run))), Text(f"verify {facts.CHECKED}")]
    parts += [Heading("How to object"), Text(OBJECT), Text(_until(run))]
    hashes = Grid("Hashes", ("file", "kind", "rows", "row hash of a table, sha256 of an input"), list(_hashes(run)), (2,))
    return Section("check", "How to check, and how to object", [*parts, Heading("Hashes"), hashes])


def _until(run: Run) -> str:
    book = run.incident.book
    if book is None or book.freeze is None:
        return "The run is not frozen, and nothing states until when objections are heard."
    where = f", at {book.freeze.evidence}" if book.freeze.evidence else ""
    return f"Comments are heard until {book.freeze.comment_until.strftime(CSV_TIME)}{where}, by {book.freeze.place}."


def _hashes(run: Run) -> Iterator[list[str]]:
    for name, (attribute, table) in TABLES.items():
        yield [name, "table", f"{getattr(run, attribute).height:,}", run.row_hash(attribute, table)]
    for name, digest in sorted(facts.input_hashes(run).items()):
        yield [f"inputs/{name}", "input", "", digest]
