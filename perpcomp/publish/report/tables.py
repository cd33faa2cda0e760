"""A published table as a table of the page, with the ids of its rows where these are accounts."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from perpcomp.eip55 import checksummed
from perpcomp.number_text import in_full
from perpcomp.publish.report.parts import Grid, Part, first_rows
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.tables.schema import CSV_TIME, Column, Table

RIGHT = ("amount", "integer", "digits")


def grid(
    name: str, frame: pl.DataFrame, table: Table, run: Run, file: str, taken: set[str] | None = None, hidden: Sequence[str] = ()
) -> Iterator[Part]:
    """The table under its name, and a sentence where it has more rows than are shown: all are in `file`.

    Where `taken` is given, each row gets the id of its account that `taken` has not yet, and is added to it. `hidden` are left out.
    """
    unit = units(run.incident)
    shown = [column for column in table.columns if column.name not in hidden]
    shown.sort(key=lambda column: column.kind != "address")  # the account names the row
    kept, more = first_rows(frame, file)
    rows_shown = [[text_of(column, row[column.name]) for column in shown] for row in kept.iter_rows(named=True)]
    ids = [] if taken is None else list(_ids(rows_shown, taken))
    header = [f"{column.name.replace('_', ' ')} ({unit.of(column.unit)})".replace(" ()", "") for column in shown]
    yield Grid(name, header, rows_shown, [n for n, column in enumerate(shown) if column.kind in RIGHT], ids)
    yield from more


def _ids(rows: Sequence[Sequence[str]], taken: set[str]) -> Iterator[str]:
    for account, *_ in rows:
        yield "" if account.lower() in taken else account.lower()
        taken.add(account.lower())


def text_of(column: Column, value: Any) -> str:
    """A value of a published table as text, with every digit."""
    if value is None:
        return ""
    if column.kind == "address" and value.startswith("0x"):
        return checksummed(value)
    if column.kind == "flag":
        return "yes" if value else "no"
    if column.kind == "time":
        return str(value.strftime(CSV_TIME))
    if isinstance(value, Decimal):
        return in_full(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
