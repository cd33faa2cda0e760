"""Look before you vote: prices, compare, explain, formulas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import LOOK, command
from perpcomp.cli.options import AsJson, FormulaName, Input, Query
from perpcomp.cli.source import PublishedRun, tables
from perpcomp.findings import Finding

if TYPE_CHECKING:
    from perpcomp.run import RunTables


@command(LOOK)
def prices(
    query: Query = "rehearsal",
    market: Annotated[str | None, typer.Option("--market", metavar="NAME", help="One market; default: those that crashed.")] = None,
    input: Input = None,
    as_json: AsJson = False,
) -> Sequence[Finding]:
    """The fall and the recovery, block by block: spot, 15-minute average and index price; with a chart on a terminal."""
    import perpcomp
    from perpcomp.incident import incident_file
    from perpcomp.systems.price_path import in_words
    from perpcomp.systems.units import units
    from perpcomp.tables.liquidations import PRICES

    paths, problems = perpcomp.prices(query, market, input)
    if as_json:
        terminal.print_json({name: terminal.plain_rows(path) for name, path in paths.items()})
        return problems
    incident = incident_file.load(query)
    quote = units(incident).quote
    for name, path in paths.items():
        terminal.print_table(path, PRICES, ("block_time", "spot_price", "twap_price", "index_price"), as_json, incident)
        terminal.print_price_chart(path, quote)
        terminal.say(in_words(name, path, quote))
    return problems


@command(LOOK)
def compare(
    context: typer.Context, query: Query = "rehearsal", input: Input = None, run: PublishedRun = None, as_json: AsJson = False
) -> Sequence[Finding]:
    """Every installed formula side by side, trader by trader, and who is better off under which."""
    from perpcomp.tables.decide import COMPARISON

    done = tables(context, run, query, input)
    if as_json:
        terminal.print_table(done.comparison, COMPARISON, (), as_json, done.incident)
    else:
        print_comparison(done)
    return done.problems


def print_comparison(run: "RunTables") -> None:
    """The tables of `compare`: by trader, totals, against the funds, who prefers which, and the orders of restoring."""
    from perpcomp.decide.compare import preferences, totals, wide
    from perpcomp.number_text import in_full
    from perpcomp.systems.units import units
    from perpcomp.tables.decide import CAPACITY, RESTORE_ORDERS

    by_trader, quote = wide(run.comparison), units(run.incident).quote
    names = by_trader.columns[1:]
    rows = [[str(trader), *map(terminal.readable, amounts)] for trader, *amounts in by_trader.iter_rows()]
    terminal.print_grid(["trader", *(f"{name} ({quote})" for name in names)], rows, right=range(1, len(names) + 1))
    rows = [[name, in_full(total), *map(str, counts)] for name, total, *counts in totals(run.comparison)]
    terminal.print_grid(["formula", f"total ({quote})", "paid", "below 0", "incomplete"], rows, right=range(1, 5))
    if run.capacity.height:
        columns = ("formula", "source_of_funds", "available_value", "unknown", "to_cover", "covered", "shortfall", "left")
        terminal.print_table(run.capacity, CAPACITY, columns, False, run.incident)
    better = preferences(run.comparison)
    rows = [[more, *("" if more == less else str(better[more, less]) for less in names)] for more in names]
    terminal.print_grid(["traders who get more under, than under", *names], rows, right=range(1, len(names) + 1))
    if run.restore_orders.height:
        terminal.say("What restoring the positions on the curve costs: in the order that [restore] states, and in the other orders:")
        shown = ("market_name", "order", "restore_notional", "restore_fee", "entitlement", "largest_change", "spot_after")
        terminal.print_table(run.restore_orders, RESTORE_ORDERS, shown, False, run.incident)


@command(LOOK)
def explain(
    context: typer.Context,
    who: Annotated[str, typer.Argument(metavar="TRADER|TX", help="An address, or a transaction hash.")],
    query: Query = "rehearsal",
    input: Input = None,
    formula: FormulaName = None,
    run: PublishedRun = None,
    as_json: AsJson = False,
) -> Sequence[Finding]:
    """One liquidation from log to claim, as arithmetic with each number's source."""
    from perpcomp.explain.explain import steps
    from perpcomp.steps import in_lines

    done = tables(context, run, query, input, formula)
    found = steps(done, who)
    if as_json:
        terminal.print_json([step.fields() for step in found])
    else:
        print("\n".join(in_lines(found)))
    return done.problems


@command(LOOK)
def formulas(as_json: AsJson = False) -> Sequence[Finding]:
    """The installed formulas: what each reads, and the text it quotes."""
    from perpcomp import arithmetic, formula

    listed = []
    for name in formula.installed():
        found = formula.find(name)
        tree = formula.tree(found)
        listed.append(
            {
                "name": name,
                "source": found.source,
                "reads": arithmetic.columns(tree),
                "rule": arithmetic.text(tree),
                "text": found.quote,
                "may be paid": not found.negative,
            }
        )
    if as_json:
        terminal.print_json(listed)
        return []
    for entry in listed:
        print(f"{entry['name']}    [{entry['source']}]{'' if entry['may be paid'] else '    compared, never paid'}")
        print(f"  = {entry['rule']}")
        for line in str(entry["text"]).splitlines():
            print(f"  {line}".rstrip())
        print()
    return []
