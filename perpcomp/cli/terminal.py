"""What a person sees: tables on stdout, exact JSON, sentences on stderr.

Data never controls the terminal: it is printed without markup and without control characters.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from perpcomp.cli.options import Form
from perpcomp.findings import Finding

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from perpcomp.incident.incident import Incident
    from perpcomp.publish.summary import Line
    from perpcomp.tables.schema import Table

TO_READ = Form()
PIPE_WIDTH = 100  # columns of a table in a pipe, unless the environment's COLUMNS says otherwise
TOLD = {"FORCE_COLOR", "TTY_COMPATIBLE"}  # the environment tells Rich with these what a stream is
WITH_SOURCES = 160  # columns from which the summary shows its sources
ELSEWHERE = "A wider terminal shows more, --csv and --json everything."


def console(stderr: bool = False) -> "Console":
    """A Rich console for stdout or stderr that takes no text for markup."""
    from rich.console import Console

    screen = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not screen.is_terminal and (stderr or "COLUMNS" not in os.environ):
        screen.width = 100_000 if stderr else PIPE_WIDTH  # no sentence is folded in a pipe
    return screen


def is_terminal(stream: TextIO) -> bool:
    """Whether stdout or stderr is a terminal, as Rich says. Where nothing hints at one, Rich is not asked: its import takes 15 ms."""
    return (stream.isatty() or not TOLD.isdisjoint(os.environ)) and console(stream is sys.stderr).is_terminal


def say(words: str) -> None:
    """Print a sentence to stderr; on a terminal folded at blanks."""
    _print_folded(words.splitlines(), sys.stderr)


def print_problems(problems: list[Finding]) -> None:
    """Print each problem to stderr, with its level."""
    for problem in problems:
        say(f"{problem.level}: {printable(str(problem))}")


def printable(text: str) -> str:
    """The text with a replacement character for each control character, so that data cannot control the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def print_grid(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    totals: Sequence[Sequence[str]] = (),
    elsewhere: str = "",
) -> None:
    """The one way to print a table of text cells: a line a row, fitted into the width by `perpcomp.cli.layout`.

    `right` holds the numbers of the columns of figures. `totals` are rows that stand last, in bold where there are styles. Where columns
    do not fit, a sentence on stderr names them, and `elsewhere` says where they are. A pipe gets no line of blanks and no padding.
    """
    from perpcomp.cli.layout import FULL_ADDRESSES, fitted, lines, shortened
    from perpcomp.number_text import counted

    screen = console()
    shown = [[printable(cell) for cell in row] for row in (*rows, *totals)]
    fit = fitted(header, shown, right, screen.width)
    if fit.dropped or screen.width < FULL_ADDRESSES:
        shown = shortened(shown, ".." if screen.options.ascii_only else "…")
        fit = fitted(header, shown, right, screen.width)
    height = max(name.count("\n") for name in fit.headers)
    for line in lines(["\n" * (height - name.count("\n")) + name for name in fit.headers], fit, right):
        screen.print(line, style="bold")
    print("".join(f"{line}\n" for row in shown[: len(rows)] for line in lines(row, fit, right)), end="")
    for line in (line for row in shown[len(rows) :] for line in lines(row, fit, right)):
        screen.print(line, style="bold")
    if fit.dropped:
        verb = "does" if len(fit.dropped) == 1 else "do"
        names = ", ".join(name.partition(" (")[0] for name in fit.dropped)
        say(f"{counted(len(fit.dropped), 'column')} {verb} not fit into {screen.width}: {names}. {elsewhere}".rstrip())


def print_text(text: Iterable[str]) -> None:
    """Print lines of text to stdout; on a terminal folded at blanks, so that no figure is cut. In a pipe a line stays a line."""
    _print_folded(map(printable, text), sys.stdout)


def _print_folded(text: Iterable[str], stream: TextIO) -> None:
    if is_terminal(stream):
        from perpcomp.cli.layout import paragraph

        width = console(stream is sys.stderr).width
        text = ("\n".join(paragraph(line, width)) for line in text)
    for line in text:
        print(line, file=stream)


def print_summary(summary: "Sequence[Line]") -> None:
    """Print the summary as label and value, with the sources where there is room; they are also in vote.xlsx and --json."""
    from perpcomp.cli.layout import GAP, Fitted, lines

    width = console().width
    label = max(len(line.label) for line in summary)
    rest = width - label - GAP
    widths = [label, rest] if width < WITH_SOURCES else [label, rest * 2 // 3, rest - rest * 2 // 3 - GAP]
    for one in summary:
        cells = [printable(cell) for cell in (one.label, one.value, one.source)]
        print("\n".join(lines(cells[: len(widths)], Fitted([], widths, []), ())))


def print_table(
    frame: "pl.DataFrame",
    table: "Table",
    names: Sequence[str],
    form: Form,
    incident: "Incident | None",
    *,
    largest: str | None = None,
    totals: "Sequence[Mapping[str, Any]]" = (),
) -> None:
    """The one way to print a published table: to read the columns in `names`, the most important first; or all as JSON or CSV.

    To read, amounts are cut to the places of their unit, in the units of `incident` (None: the table names no asset), and a market's address becomes its name. The rows
    stand in the order of `largest`, descending, where it is given. `totals` are rows by column name: their other cells stay empty.
    """
    if form.as_json:
        print_json(plain_rows(frame))
        return
    if form.as_csv:
        print_csv(frame, table)
        return
    from perpcomp.systems.units import units

    of_name = {column.name: column for column in table.columns}
    columns = [of_name[name] for name in names]
    markets = {market.amm: market.name for market in incident.markets} if incident else {}
    of = units(incident).of if incident else str
    ordered = frame.sort(largest, descending=True, nulls_last=True, maintain_order=True) if largest else frame

    def cells(row: Mapping[str, Any]) -> list[str]:
        named = {**row, "market": markets.get(str(row.get("market")), row.get("market"))}
        return [readable(named.get(c.name), places(c.unit)) for c in columns]

    print_grid(
        [f"{c.name} ({of(c.unit)})" if c.unit else c.name for c in columns],
        [cells(row) for row in ordered.iter_rows(named=True)],
        [n for n, column in enumerate(columns) if column.kind in ("amount", "integer", "digits")],
        [cells(row) for row in totals],
        ELSEWHERE,
    )


def total(frame: "pl.DataFrame", label: str, columns: Sequence[str], **cells: str) -> dict[str, Any]:
    """A row of totals: "total" in the column `label`, and the exact sum of each amount column, or "unknown" where a cell is unknown."""
    from perpcomp import fixed

    row: dict[str, Any] = {label: "total", **cells}
    for name in columns:
        values = fixed.to_integers(frame.get_column(name))
        row[name] = "unknown" if None in values else fixed.from_integer(sum(v for v in values if v is not None))
    return row


def totals_by_token(frame: "pl.DataFrame", columns: Sequence[str]) -> list[dict[str, Any]]:
    """A row of totals for each token of a table of traders and tokens."""
    return [total(rows, "trader", columns, token=str(token)) for (token,), rows in frame.group_by("token", maintain_order=True)]


def print_csv(frame: "pl.DataFrame", table: "Table") -> None:
    """Print a table as its published CSV file: every column, every digit."""
    from perpcomp.tables.files import to_csv

    print(to_csv(frame, table).decode(), end="")


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


def places(unit: str) -> int:
    """How many decimals an amount in this unit is shown with: money 2, sizes and ratios 4. The exact amounts are in --csv and --json."""
    return 4 if unit in ("base", "/1") else 2


def readable(value: Any, decimals: int = 2) -> str:
    """A cell to read: amounts cut to so many decimals, with separators; one that is not 0 and would read 0 says so ("<0.01", ">-0.01")."""
    from decimal import Decimal

    from perpcomp.number_text import cut

    if value is None:
        return ""
    if isinstance(value, Decimal):
        text, least = cut(value, decimals), Decimal(1).scaleb(-decimals)
        return text if value == 0 or abs(value) >= least else f">-{least}" if value < 0 else f"<{least}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(plain(value))


def print_json(value: Any) -> None:
    """Print JSON to stdout. No value is a float: amounts are text."""
    ascii_only = not str(sys.stdout.encoding).lower().startswith("utf")
    print(json.dumps(value, indent=1, ensure_ascii=ascii_only, allow_nan=False))
