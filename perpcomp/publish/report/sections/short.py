"""What is voted on, in figures: totals, window, prices, with the source of each."""

from collections.abc import Iterator, Sequence

from perpcomp.publish.facts import CUT
from perpcomp.publish.report.parts import Section, Term, Terms, Text, Tiles
from perpcomp.publish.sentence import paid_accounts, short
from perpcomp.publish.summary import COMPARED, Line
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.totals import total_of

# Lines of the summary that the page says in another place: at its top, as findings, beside each other, with the hashes.
ELSEWHERE = ("Incident", "Please note", "WHAT-IF", "PAYMENT IS STOPPED", "Findings", *COMPARED)
UNDER, HASHES = "Under ", "row hash"


def section(run: Run, said: Sequence[Line]) -> Section:
    """The section."""
    terms = [Term(line.label, line.value, line.source) for line in said if not _is_elsewhere(line)]
    exact = f"{CUT} A table that is called exact holds every digit, too."
    return Section("short", "In short", [Tiles(list(_figures(run))), Text(exact), Terms(terms)])


def _is_elsewhere(line: Line) -> bool:
    return line.label in ELSEWHERE or line.label.startswith(UNDER) or line.label.endswith(HASHES)


def _figures(run: Run) -> Iterator[tuple[str, str]]:
    for leg in run.incident.settlement:
        yield f"{short(total_of(run.payouts, 'amount', leg.token))} {leg.token}", "to pay"
    stopped = any(problem.stops for problem in run.problems)
    yield f"{short(0 if stopped else run.due.total)} {units(run.incident).quote}", "entitlements"
    accounts, paid = run.payouts.get_column("trader").n_unique(), paid_accounts(run.payouts)
    yield f"{paid:,} of {accounts:,}", "accounts with a claim are paid more than 0"
