"""What `perpcomp compare` prints: every trader under every formula, and then, on one screen, what a vote decides between."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from perpcomp import fixed
from perpcomp.cli import terminal
from perpcomp.cli.decision import print_elected, print_fairness, print_moved, print_winner
from perpcomp.decide.compare import totals, wide
from perpcomp.number_text import counted
from perpcomp.run import RunTables
from perpcomp.systems.units import units
from perpcomp.tables.decide import RESTORE_ORDERS

ALL_DIGITS = "--csv and --json hold every digit."


def print_comparison(run: RunTables, table: str | None, against: str | None) -> None:
    """What `compare` shows: every trader, and the summary; or one table of the comparison, or "all". The formula that pays is the first."""
    sums = {name: (total, *counts) for name, total, *counts in totals(run.comparison)}
    names = sorted(sums, key=lambda name: (name != run.formula.name, -sums[name][0], name))
    blocks: dict[str, Callable[[], None]] = {"comparison": lambda: _traders(run, names, {name: sums[name][0] for name in names})}
    if len(names) > 1:
        blocks |= {
            "preferences": lambda: _formulas(run, names, sums),
            "elections": lambda: print_elected(run),
            "differences": lambda: print_moved(run, names, against),
        }
    blocks["fairness"] = lambda: print_fairness(run, names)
    if run.capacity.height:
        blocks["capacity"] = lambda: _money(run, names)
    if run.restore_orders.height:
        blocks["restore-orders"] = lambda: _orders(run)
    shown = {None: ["comparison"], "all": [*blocks]}.get(table, [table] if table in blocks else [])
    for number, name in enumerate(shown):
        if number:
            print()
        blocks[name]()
    if not shown:
        terminal.say(f"The run has no table {table}: it compares too little, or states nothing for it.")
    if table is None:
        print()
        _summary(run, names, sums)
        more = [name for name in blocks if name != "comparison"]
        terminal.say(f"More: --table {', '.join(more)} or all.")


def _summary(run: RunTables, names: Sequence[str], sums: dict[str, tuple[Any, ...]]) -> None:
    """On one screen: a row a formula with who prefers it to the one that pays; who would win a vote; whether the money is enough."""
    of_name = {row["option"]: row for row in run.preferences.filter(other=names[0]).iter_rows(named=True)}
    rows = []
    for number, name in enumerate(names, 1):
        row = of_name.get(name)
        moved = (
            ["", "", ""] if row is None else [str(row["prefer"]), *map(terminal.readable, (row["money_moved"], row["money_moved_back"]))]
        )
        rows.append([f"{number} {name}", terminal.readable(fixed.from_integer(sums[name][0])), str(sums[name][1]), *moved])
    header = [f"total in {units(run.incident).quote}", "total", "paid", "prefer to 1", "they gain", "others lose"]
    terminal.print_grid(header, rows, range(1, len(header)), elsewhere=ALL_DIGITS)
    if incomplete := [name for name in names if sums[name][3]]:
        terminal.say(f"Incomplete, because liquidations cannot be valued: {', '.join(incomplete)}.")
    if len(names) > 1:
        print_winner(run)
    if run.capacity.height:
        lacking = [row for row in run.capacity.iter_rows(named=True) if _lack(row)]
        short = sorted({f"{row['source_of_funds']} ({row['formula']})" for row in lacking})
        sources = run.capacity.get_column("source_of_funds").n_unique()
        enough = f"Each of the {counted(sources, 'source')} of funds covers every formula."
        terminal.say(f"Not enough or not known: {', '.join(short[:3])}{' …' if len(short) > 3 else ''}." if short else enough)


def _orders(run: RunTables) -> None:
    terminal.say("Opening the positions again on the curve, in each order:")
    shown = ("market_name", "order", "chosen", "entitlement", "restore_fee", "largest_change")
    terminal.print_table(run.restore_orders, RESTORE_ORDERS, shown, terminal.TO_READ, run.incident, largest="entitlement")


def _traders(run: RunTables, names: Sequence[str], sums: dict[str, int]) -> None:
    """A row a trader, a column a formula."""
    by_trader = wide(run.comparison).select("trader", *names)
    if names:
        by_trader = by_trader.sort(names[0], "trader", descending=[True, False], nulls_last=True)
    terminal.print_grid(
        ["trader", *(f"{name} ({units(run.incident).quote})" for name in names)],
        [[str(trader), *map(terminal.readable, amounts)] for trader, *amounts in by_trader.iter_rows()],
        range(1, len(names) + 1),
        [["total", *(terminal.readable(fixed.from_integer(sums[name])) for name in names)]],
        ALL_DIGITS,
    )


def _formulas(run: RunTables, names: Sequence[str], sums: dict[str, tuple[Any, ...]]) -> None:
    """A row a formula: its total, how many traders it pays, and how many get more than under each other one."""
    better = {(str(one), str(other)): int(more) for one, other, more in run.preferences.select("option", "other", "prefer").iter_rows()}
    header, columns = [f"formula, total in {units(run.incident).quote}", "total", "paid"], {"below 0": 2, "incomplete": 3}
    counted = [name for name, n in columns.items() if any(sums[formula][n] for formula in names)]
    header += [*counted, *(f"> {n}" for n, _ in enumerate(names, 1))]
    rows = []
    for number, name in enumerate(names, 1):
        total, paid = sums[name][:2]
        more = ["" if name == other else str(better.get((name, other), "")) for other in names]
        counts = [str(sums[name][columns[column]]) for column in counted]
        rows.append([f"{number} {name}", terminal.readable(fixed.from_integer(total)), str(paid), *counts, *more])
    terminal.print_grid(header, rows, range(1, len(header)), elsewhere=ALL_DIGITS)
    if len(names) > 1:
        terminal.say("> 2: how many traders get more than under formula 2.")


def _money(run: RunTables, names: Sequence[str]) -> None:
    """A row a source of funds: what it holds, what the incident's formula leaves of it, and which formulas it does not cover."""
    rows = []
    for (source, available), part in run.capacity.group_by("source_of_funds", "available_value", maintain_order=True):
        of_formula = {row["formula"]: row for row in part.iter_rows(named=True)}
        lacking = [f"{name} {lack}" for name in names if (lack := _lack(of_formula[name]))]
        first = of_formula[names[0]]
        left = _lack(first) or terminal.readable(first["left"])
        rows.append((Decimal(str(available)), [str(source), terminal.readable(available), left, "; ".join(lacking) or "none"]))
    rows.sort(key=lambda row: -row[0])
    unit = units(run.incident).paid
    header = ["source of funds", f"available ({unit})", "left under 1", "not covered"]
    terminal.print_grid(header, [row for _, row in rows], (1, 2), elsewhere="capacity.csv of a run holds every digit.")


def _lack(row: dict[str, Any]) -> str:
    """What a source of funds lacks for a formula; "" where it is enough. While an entitlement is unknown, it is never called enough."""
    if row["shortfall"]:
        return f"{terminal.readable(row['shortfall'])} short" + (" or more" if row["unknown"] else "")
    return "unknown" if row["unknown"] else ""
