"""What a person sees: tables on stdout, exact JSON, sentences on stderr, a progress bar.

Data never controls the terminal: it is printed without markup and without control characters.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from perpcomp.findings import Finding

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from perpcomp.incident.incident import Incident
    from perpcomp.publish.summary import Line
    from perpcomp.tables.schema import Table


@contextmanager
def progress(quiet: bool) -> Iterator[Any]:
    """Show blocks, logs, rate and time left of a fetch; nothing in a pipe or with --quiet. Yields the function to call with each state."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("blocks"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[logs]:,} logs, {task.fields[rate]:,.0f} a second"),
        TimeRemainingColumn(),
    )
    screen = console(stderr=True)
    with Progress(*columns, console=screen, disable=quiet or not screen.is_terminal, transient=True) as bar:
        task = bar.add_task("fetch", total=None, logs=0, rate=0)

        def show(state: Any) -> None:
            bar.update(task, total=state.blocks, completed=state.done, logs=state.logs, rate=state.rate)

        yield show


def console(stderr: bool = False) -> "Console":
    """A Rich console for stdout or stderr that takes no text for markup."""
    from rich.console import Console

    screen = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not screen.is_terminal:  # a pipe has no width: no line is folded
        screen.width = 100_000
    return screen


def say(words: str) -> None:
    """Print a sentence to stderr."""
    console(stderr=True).print(words)


def print_problems(problems: list[Finding]) -> None:
    """Print each problem to stderr, with its level."""
    for problem in problems:
        say(f"{problem.level}: {printable(str(problem))}")


def printable(text: str) -> str:
    """The text with a replacement character for each control character, so that data cannot control the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def print_grid(header: list[str], rows: list[list[str]], right: Any = ()) -> None:
    """Print a table; where the terminal is too narrow, print each row as a block of lines, so that no digit is folded or cut.

    `right` holds the numbers of the columns that are aligned to the right.
    """
    from rich import box
    from rich.table import Table as Grid

    screen = console()
    shown = [[printable(cell) for cell in row] for row in rows]
    for names in (header, [name.replace(" (", "\n(", 1) for name in header]):  # the second form has the units in a line of their own
        widest = [max(len(line) for cell in column for line in cell.split("\n")) for column in zip(names, *shown, strict=True)]
        if sum(widest) + 3 * len(widest) <= screen.width:
            break
    else:
        for row in shown:
            for name, cell in zip(header, row, strict=True):
                if cell:
                    print(f"{name}: {cell}")
            print()
        return
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    for n, name in enumerate(names):
        grid.add_column(name, justify="right" if n in right else "left")
    for row in shown:
        grid.add_row(*row)
    screen.print(grid)


def print_summary(lines: "list[Line]") -> None:
    """Print the summary as label and value, with the sources where there is room; they are also in vote.xlsx and --json."""
    from rich.table import Table as Grid

    screen = console()
    grid = Grid(box=None, pad_edge=False, show_header=False)
    grid.add_column(style="bold", overflow="fold", min_width=10)
    grid.add_column(overflow="fold", ratio=2)
    with_sources = screen.width >= 160
    if with_sources:
        grid.add_column(overflow="fold", ratio=1, style="dim")
    for line in lines:
        grid.add_row(*(printable(cell) for cell in (line.label, line.value, line.source)[: 3 if with_sources else 2]))
    screen.print(grid)


def print_table(frame: "pl.DataFrame", table: "Table", names: tuple[str, ...], as_json: bool, incident: "Incident | None") -> None:
    """Print a table: the named columns to read, in the units of `incident` (None: the table names no asset), or all columns as JSON."""
    if as_json:
        print_json(plain_rows(frame))
        return
    from perpcomp.systems.units import units

    columns = [column for column in table.columns if column.name in names]
    rows = [[readable(value) for value in row] for row in frame.select(column.name for column in columns).iter_rows()]
    numeric = [n for n, column in enumerate(columns) if column.kind in ("amount", "integer")]
    of = str if incident is None else units(incident).of
    print_grid([f"{c.name} ({of(c.unit)})" if c.unit else c.name for c in columns], rows, right=numeric)


def print_price_chart(path: "pl.DataFrame", quote: str) -> None:
    """Draw a price path in `quote` as wide as the terminal; print nothing in a pipe, or where the terminal cannot show the characters."""
    from perpcomp.cli.chart import price_chart

    screen = console()
    if screen.is_terminal and not screen.options.ascii_only:
        chart = price_chart(path, screen.width, screen.color_system is not None and not screen.no_color, quote)
        if chart:
            print(chart)


def plain_rows(frame: "pl.DataFrame") -> list[dict[str, Any]]:
    """The rows of a table for JSON."""
    return [{name: plain(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]


def plain(value: Any) -> Any:
    """A cell for JSON: amounts as exact text, times in UTC."""
    from datetime import datetime
    from decimal import Decimal

    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


def readable(value: Any) -> str:
    """A cell to read: amounts cut to six places, with separators. The exact amounts are in --json and the CSV files."""
    from decimal import Decimal

    from perpcomp.number_text import cut

    if value is None:
        return ""
    if isinstance(value, Decimal):
        return cut(value, 6)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(plain(value))


def print_json(value: Any) -> None:
    """Print JSON to stdout. No value is a float: amounts are text."""
    ascii_only = not str(sys.stdout.encoding).lower().startswith("utf")
    print(json.dumps(value, indent=1, ensure_ascii=ascii_only, allow_nan=False))
