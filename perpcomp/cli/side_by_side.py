"""Look before you vote: compare, sensitivity, budget."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import LOOK, command
from perpcomp.cli.options import Form, FormulaName, Input, Query
from perpcomp.cli.source import PublishedRun, tables
from perpcomp.findings import Finding, near_miss, refusal


class Compared(StrEnum):
    """The tables of a comparison."""

    COMPARISON = "comparison"
    DIFFERENCES = "differences"
    PREFERENCES = "preferences"
    ELECTIONS = "elections"
    FAIRNESS = "fairness"
    CAPACITY = "capacity"
    RESTORE_ORDERS = "restore-orders"
    ALL = "all"


class Solver(StrEnum):
    """What is solved for."""

    SCALE = "scale"
    CAP = "cap"
    THRESHOLD = "threshold"
    TRADERS = "traders"
    MONTHS = "months"


@command(LOOK)
def compare(
    *,
    context: typer.Context,
    query: Query = "rehearsal",
    input: Input = None,
    run: PublishedRun = None,
    table: Annotated[
        Compared | None, typer.Option("--table", help="Which table is printed; without it, the traders and a summary.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="NAME", help="Show who gains and loses most under this formula or rule.")
    ] = None,
    votes: Annotated[
        Path | None, typer.Option("--votes", metavar="FILE", help="A CSV with voter and voting_power: how much of it is paid, too.")
    ] = None,
    form: Form,
) -> Sequence[Finding]:
    """Every formula and rule side by side: who gets what, who prefers which, what a vote would elect, how fair each is."""
    from perpcomp.publish.files import CSV_FILES

    if against is not None and not (form.to_read and table in (Compared.DIFFERENCES, Compared.ALL)):
        what = "No table that names the largest gains and losses is printed. The option would do nothing."
        raise refusal("--against", what, "Add --table differences, or leave it out.")
    if votes is not None and not form.to_read and table is not Compared.ALL:
        raise refusal(
            "--votes", "One table is printed. The option would do nothing.", "Add --table all --json, or leave --json and --csv out."
        )
    done = tables(context, run, query, input)
    if against is not None and against not in (names := done.comparison.get_column("formula").unique().sort().to_list()):
        raise refusal("--against", f"{against} is not compared.", near_miss(against, names))
    conflict = None
    if votes is not None:
        from perpcomp.decide.votes import conflict_of, read_votes

        conflict = conflict_of(read_votes(votes), done.payouts)
    if form.to_read:
        from perpcomp.cli.comparison import print_comparison

        print_comparison(done, None if table is None else table.value, against)
        if conflict is not None:
            print()
            terminal.print_text([str(conflict)])
    elif table is Compared.ALL:
        if form.as_csv:
            raise refusal("--csv", "Several tables are no CSV file.", "Name one with --table, or give --json.")
        from perpcomp.cli.decision import in_full

        terminal.print_json(in_full(done) | ({} if conflict is None else {"votes": conflict.fields()}))
    else:
        attribute, described = CSV_FILES[f"{(table or Compared.COMPARISON).value}.csv"]
        terminal.print_table(getattr(done, attribute), described, (), form, done.incident)
    return done.problems


@command(LOOK)
def sensitivity(
    *,
    context: typer.Context,
    query: Query = "rehearsal",
    input: Input = None,
    formula: FormulaName = None,
    run: PublishedRun = None,
    form: Form,
) -> Sequence[Finding]:
    """What the total, each trader and their order do at other reference prices: exact pieces, kinks, jumps and budgets."""
    from perpcomp.tables.decide import SENSITIVITY

    done = tables(context, run, query, input, formula)
    if form.to_read:
        from perpcomp.cli.sensitivity import print_sensitivity

        print_sensitivity(done)
    else:
        terminal.print_table(done.sensitivity, SENSITIVITY, (), form, done.incident)
    return done.problems


@command(LOOK)
def budget(
    *,
    query: Query = "rehearsal",
    input: Input = None,
    formula: FormulaName = None,
    name: Annotated[str | None, typer.Option("--budget", metavar="NAME", help="A [[budget]] of the incident file.")] = None,
    amount: Annotated[str | None, typer.Option("--amount", metavar="AMOUNT", help="Another budget, in the quote asset.")] = None,
    by: Annotated[Solver | None, typer.Option("--by", help="What to solve for; without it, all but months.")] = None,
    income: Annotated[str | None, typer.Option("--income", metavar="AMOUNT", help="For months: what comes in each month.")] = None,
    share: Annotated[
        str | None, typer.Option("--share", metavar="SHARE", help="For months: the share of the income that is paid, as 0.175; else all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, amounts as exact text.")] = False,
) -> Sequence[Finding]:
    """What fits a budget: the largest scale, cap, threshold or number of traders, or the fewest months; each proven by its neighbour."""
    import perpcomp
    from perpcomp.cli.solved import answers, print_answers

    if by is not Solver.MONTHS and (given := [o for o, value in (("--income", income), ("--share", share)) if value is not None]):
        raise refusal(
            ", ".join(given), "Only months are paid from an income. The option would do nothing.", "Add --by months, or leave it out."
        )
    if by is Solver.MONTHS and (given := [o for o, value in (("--budget", name), ("--amount", amount)) if value is not None]):
        raise refusal(", ".join(given), "Months pay all claims, whatever a budget is. The option would do nothing.", "Leave it out.")
    if name is not None and amount is not None:
        raise refusal("--amount, --budget", "Both are given.", "Give one of them.")
    done = perpcomp.compute(query, input, formula)
    found = answers(done, name, amount, None if by is None else by.value, income, share or "1")
    if as_json:
        terminal.print_json([one.fields() for one in found])
    else:
        print_answers(found)
    return done.problems
