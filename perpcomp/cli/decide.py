"""Look before you vote: prices, compare, explain, formulas."""

from collections.abc import Sequence
from typing import Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import LOOK, command
from perpcomp.cli.options import AsJson, Form, FormulaName, Input, Query
from perpcomp.cli.source import PublishedRun, tables
from perpcomp.findings import Finding


@command(LOOK)
def prices(
    *,
    query: Query = "rehearsal",
    market: Annotated[str | None, typer.Option("--market", metavar="NAME", help="One market; default: those that crashed.")] = None,
    input: Input = None,
    form: Form,
) -> Sequence[Finding]:
    """The fall and the recovery, block by block: spot, 15-minute average and index price; with a chart on a terminal."""
    import perpcomp
    from perpcomp.incident import incident_file
    from perpcomp.systems.price_path import by_market, in_words
    from perpcomp.systems.units import units
    from perpcomp.tables.liquidations import PRICES

    paths, problems = perpcomp.prices(query, market, input)
    if form.as_json:
        terminal.print_json({name: terminal.plain_rows(path) for name, path in paths.items()})
        return problems
    if form.as_csv:
        terminal.print_csv(*by_market(paths))
        return problems
    incident = incident_file.load(query)
    quote = units(incident).quote
    for name, path in paths.items():
        terminal.print_table(path, PRICES, ("block_time", "spot_price", "twap_price", "index_price"), form, incident)
        terminal.print_price_chart(path, quote)
        terminal.say(in_words(name, path, quote))
    return problems


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

    done = tables(context, run, query, input, formula, alone=True)
    found = steps(done, who)
    if as_json:
        terminal.print_json([step.fields() for step in found])
    else:
        terminal.print_text(in_lines(found))
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
        terminal.print_text(
            [
                f"{entry['name']}    [{entry['source']}]{'' if entry['may be paid'] else '    compared, never paid'}",
                f"  = {entry['rule']}",
                *(f"  {line}".rstrip() for line in sentences(str(entry["text"]))),
                "",
            ]
        )
    return []


def sentences(text: str) -> list[str]:
    """The text of a formula without the line ends inside its paragraphs and quotes."""
    joined: list[str] = []
    for line in text.splitlines():
        if joined and joined[-1] and line and not line.startswith('> "'):
            joined[-1] += " " + line.removeprefix("> ")
        else:
            joined.append(line)
    return joined
