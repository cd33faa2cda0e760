"""What a person sees: tables that fit the terminal or become blocks, exact JSON, sentences on stderr, a progress bar.

Data never steers the terminal: no markup, no control characters.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from perpcomp.findings import Finding

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from perpcomp.publish.summary import Line
    from perpcomp.tables.schema import Table


@contextmanager
def progress(quiet: bool) -> Iterator[Any]:
    """A bar with blocks, logs, rate and time left on a terminal; nothing in a pipe or with --quiet."""
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
    """Where words go, without markup: data is never taken for it."""
    from rich.console import Console

    screen = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not screen.is_terminal:  # a pipe has no width: nothing is folded
        screen.width = 100_000
    return screen


def say(words: str) -> None:
    """A sentence to stderr."""
    console(stderr=True).print(words)


def print_problems(problems: list[Finding]) -> None:
    """Each problem as its sentence, to stderr."""
    for problem in problems:
        say(f"{problem.level}: {printable(str(problem))}")


def printable(text: str) -> str:
    """Without control characters: data must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def print_grid(header: list[str], rows: list[list[str]], right: Any = ()) -> None:
    """A table where it fits; on a narrower terminal a block a row, so that no digit is folded or cut."""
    from rich import box
    from rich.table import Table as Grid

    screen = console()
    shown = [[printable(cell) for cell in row] for row in rows]
    for names in (header, [name.replace(" (", "\n(", 1) for name in header]):  # the units in a second line where one is too long
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
    """The summary as label and value; sources beside them where there is room, else in vote.xlsx and --json."""
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


def print_table(frame: "pl.DataFrame", table: "Table", shown: tuple[str, ...], as_json: bool) -> None:
    """A published table: all columns as JSON, or those shown, to read."""
    if as_json:
        print_json(plain_rows(frame))
        return
    columns = [column for column in table.columns if column.name in shown]
    rows = [[readable(value) for value in row] for row in frame.select(column.name for column in columns).iter_rows()]
    numeric = [n for n, column in enumerate(columns) if column.kind in ("amount", "integer")]
    print_grid([f"{c.name} ({c.unit})" if c.unit else c.name for c in columns], rows, right=numeric)


def print_price_chart(path: "pl.DataFrame") -> None:
    """A price path drawn as wide as the terminal; nothing in a pipe, and where the characters cannot be shown."""
    from perpcomp.cli.chart import price_chart

    screen = console()
    if screen.is_terminal and not screen.options.ascii_only:
        chart = price_chart(path, screen.width, screen.color_system is not None and not screen.no_color)
        if chart:
            print(chart)


def plain_rows(frame: "pl.DataFrame") -> list[dict[str, Any]]:
    """A table's rows for JSON."""
    return [{name: plain(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]


def plain(value: Any) -> Any:
    """A cell for JSON: amounts as exact text, times in UTC."""
    from datetime import datetime
    from decimal import Decimal

    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


def readable(value: Any) -> str:
    """A cell to read: amounts cut to six places, with separators. The exact ones are in --json and the CSV files."""
    from decimal import Decimal

    if value is None:
        return ""
    if isinstance(value, Decimal):
        whole, _, places = f"{value:f}".partition(".")
        shown = f"{int(whole.lstrip('-')):,}.{places[:6]}"
        return f"-{shown}" if whole.startswith("-") and shown.strip("0.") else shown
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(plain(value))


def print_json(value: Any) -> None:
    """JSON to stdout; a float would be a mistake of ours."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))
