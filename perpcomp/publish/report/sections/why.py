"""Every account and why it is paid so much; then corrections by rulings, other payees, and the full steps of each account."""

from collections.abc import Iterator

from perpcomp.eip55 import checksummed
from perpcomp.explain.explain import explain
from perpcomp.publish.report.accounts import FEW, accounts
from perpcomp.publish.report.columns import columns, statements
from perpcomp.publish.report.parts import Accounts, Code, Folded, Heading, Line, Listing, Part, Section, Text
from perpcomp.publish.report.tables import grid
from perpcomp.publish.summary import cite
from perpcomp.rules.sentence import sentence
from perpcomp.run import Run
from perpcomp.tables.payouts import ADJUSTED, REDIRECTED

FIND = (
    "To find an account, search this page for its address, in any letter case. Or add # and the address in lower case to the address of"
    " this page, as in report.html#0x…: the row is then outlined."
)
READ = (
    "Each row can be computed again. The columns hold the terms of these formulas, by the names of 2-liquidations.csv; trunc(x) cuts towards"
    " zero at the 18th place, and floor(x) cuts to a whole number of base units. An account with several positions, or with corrections, has"
    " a line for each, and they add up to its entitlement."
)
STEPS = "From the logs to the claim, each step with its transaction and its source, as perpcomp explain ADDRESS --run . prints it."
TOO_MANY = (
    "perpcomp explain ADDRESS --run . prints the full steps of an account, from the logs to the claim. This page holds them for up to"
    f" {FEW} accounts."
)
BY_RULE = "Amounts after a step are cut to 18 places; rule-steps.csv has them as fractions, and says why a step changed an amount."


def section(run: Run) -> Section:
    """The section."""
    made = columns(run)
    table = accounts(run, made)
    parts: list[Part] = [Text(FIND), Text(READ), Code("The formulas of the columns", statements(run, made))]
    if made.steps:
        parts += [
            Listing([f"{one.rule.name}: {sentence(one.rule)} Source: {cite(run.incident, one.rule.source)}." for one in run.due.every_rule])
        ]
        parts.append(Text(BY_RULE))
    parts += table
    if run.adjusted.height:
        parts += [Heading("Corrections by rulings"), *grid("Corrections by rulings, exact", run.adjusted, ADJUSTED, run, "adjusted.csv")]
    if run.redirected.height:
        parts += [
            Heading("Paid to others"),
            *grid("Who is paid for another account, exact", run.redirected, REDIRECTED, run, "redirected.csv"),
        ]
    lines = [line for part in table if isinstance(part, Accounts) for line in part.lines if line.steps]
    if not lines:
        return Section("accounts", "Every account, and why this number", [*parts, Text(TOO_MANY)])
    return Section("accounts", "Every account, and why this number", [*parts, Heading("Full steps"), Text(STEPS), *_steps(run, lines)])


def _steps(run: Run, lines: list[Line]) -> Iterator[Part]:
    for line in lines:
        who = checksummed(line.account)
        yield Folded(who, [Code(f"Steps of {who}", explain(run, line.account))], line.steps)
