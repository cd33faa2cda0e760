"""Look before you vote: prices, compare, explain, formulas."""

from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import LOOK, app, exit_by, say_findings, unbroken
from perpcomp.cli.options import AsJson, FormulaName, Input, Query

if TYPE_CHECKING:
    pass


@app.command(rich_help_panel=LOOK)
def prices(
    query: Query = "rehearsal",
    market: Annotated[str | None, typer.Option("--market", metavar="NAME", help="One market; default: those that crashed.")] = None,
    input: Input = None,
    as_json: AsJson = False,
) -> None:
    """The fall and the recovery, block by block: spot, 15-minute average and index price; drawn where it is a terminal."""
    import perpcomp
    from perpcomp.systems.perpetual_v1.replay.price_path import in_words
    from perpcomp.tables.liquidations import PRICES

    with unbroken():
        paths, problems = perpcomp.prices(query, market, input)
    if as_json:
        terminal.print_json({name: terminal.plain_rows(path) for name, path in paths.items()})
    else:
        for name, path in paths.items():
            terminal.print_table(path, PRICES, ("block_time", "spot_price", "twap_price", "index_price"), as_json)
            terminal.print_price_chart(path)
            terminal.say(in_words(name, path))
    say_findings(problems)


@app.command(rich_help_panel=LOOK)
def compare(query: Query = "rehearsal", input: Input = None, as_json: AsJson = False) -> None:
    """Every installed formula side by side, trader by trader, and who is better off under which."""
    import perpcomp
    from perpcomp.decide.compare import preferences, totals, wide
    from perpcomp.number_text import in_full
    from perpcomp.tables.decide import CAPACITY, COMPARISON, RESTORE_ORDERS

    with unbroken():
        done = perpcomp.compute(query, input)
    if as_json:
        terminal.print_table(done.comparison, COMPARISON, (), as_json)
        return
    beside = wide(done.comparison)
    names = beside.columns[1:]
    rows = [[str(row[0]), *(terminal.readable(value) for value in row[1:])] for row in beside.iter_rows()]
    terminal.print_grid(["trader", *(f"{name} (USDC)" for name in names)], rows, right=range(1, len(names) + 1))
    terminal.print_grid(
        ["formula", "total (USDC)", "paid", "below 0"],
        [[name, in_full(total), str(paid), str(below)] for name, total, paid, below in totals(done.comparison)],
        right=(1, 2, 3),
    )
    if done.capacity.height:
        enough = ("formula", "source_of_funds", "available_value", "to_cover", "covered", "shortfall", "left")
        terminal.print_table(done.capacity, CAPACITY, enough, False)
    better = preferences(done.comparison)
    terminal.print_grid(
        ["traders who get more under, than under", *names],
        [[f, *("" if f == g else str(better[f, g]) for g in names)] for f in names],
        right=range(1, len(names) + 1),
    )
    if done.restore_orders.height:
        terminal.say("Opening the positions again on the curve, by [restore], and what other orders would come to:")
        shown = ("market_name", "order", "restore_notional", "restore_fee", "entitlement", "largest_change", "spot_after")
        terminal.print_table(done.restore_orders, RESTORE_ORDERS, shown, as_json)
    exit_by(done)


@app.command(rich_help_panel=LOOK)
def explain(
    who: Annotated[str, typer.Argument(metavar="TRADER|TX", help="An address, or a transaction hash.")],
    query: Query = "rehearsal",
    input: Input = None,
    formula: FormulaName = None,
    as_json: AsJson = False,
) -> None:
    """One liquidation from log to claim, as arithmetic with each number's source."""
    import perpcomp
    from perpcomp.explain.explain import explain as explained

    with unbroken():
        lines = explained(perpcomp.compute(query, input, formula), who)
    if as_json:
        terminal.print_json(lines)
    else:
        for line in lines:
            print(line)


@app.command(rich_help_panel=LOOK)
def formulas(as_json: AsJson = False) -> None:
    """The installed rules: what each reads, and the text it quotes."""
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
        return
    for entry in listed:
        print(f"{entry['name']}    [{entry['source']}]{'' if entry['may be paid'] else '    compared, never paid'}")
        print(f"  = {entry['rule']}")
        for line in str(entry["text"]).splitlines():
            print(f"  {line}".rstrip())
        print()
