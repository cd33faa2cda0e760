"""What a table is: columns with kind, unit and meaning; and the check of a frame against it."""

from collections.abc import Mapping, Sequence
from operator import lt
from typing import Any

import polars as pl
from msgspec import Struct

from perpcomp.fixed import AMOUNT, SHORT

TIME = pl.Datetime("us", "UTC")

# kind of column -> (type in a frame, what its CSV text must look like; ASCII digits only, no exponent, no plus, no blanks)
KINDS: dict[str, tuple[pl.DataType, str]] = {
    "amount": (AMOUNT, r"^-?[0-9]{1,20}(\.[0-9]{1,18})?$"),
    "integer": (pl.Int64(), r"^-?[0-9]{1,18}$"),
    "digits": (pl.String(), r"^[0-9]{1,78}$"),
    "text": (pl.String(), r"^[^\x00-\x1f\x7f]+$"),
    "address": (pl.String(), r"^0x[0-9a-f]{40}$"),
    "hash": (pl.String(), r"^0x[0-9a-f]{64}$"),
    "flag": (pl.Boolean(), r"^(true|false)$"),
    "time": (TIME, r"^(19|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"),
}

CSV_TIME = "%Y-%m-%dT%H:%M:%SZ"


class Column(Struct, frozen=True):
    """One column: its name, its kind (see KINDS), its unit ('' where it has none) and what it means."""

    name: str
    kind: str
    unit: str
    meaning: str
    optional: bool = False  # may be null


class Table(Struct, frozen=True):
    """One published table. `key` identifies a row and is the sort order."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return {column.name: KINDS[column.kind][0] for column in self.columns}

    def empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self.schema)


def columns(text: str) -> tuple[Column, ...]:
    """`name | kind[?] | unit | meaning` a line; `?` marks a column that may be null."""
    rows = [[cell.strip() for cell in line.split("|", 3)] for line in text.strip().splitlines()]
    return tuple(Column(name, kind.rstrip("?"), unit, meaning, kind.endswith("?")) for name, kind, unit, meaning in rows)


# Where a log is: the first columns of every table of events.
LOG_COLUMNS = columns("""
chain_id            | integer  |      | EIP-155 chain id
block_number        | integer  |      | block of the log
block_time          | time     | UTC  | timestamp of that block
block_hash          | hash?    |      | hash of that block
transaction_hash    | hash     |      | transaction of the log
transaction_index   | integer? |      | index of the transaction in its block
log_index           | integer  |      | index of the log in its block
""")

# Identifies a log of one chain, and sorts logs as the chain does.
LOG_KEY = ("block_number", "log_index")


def frame_of(rows: Sequence[Mapping[str, Any]], table: Table) -> pl.DataFrame:
    """Rows as a frame of the table, each value taken by its column's name. AssertionError where a row has other columns than the table.

    An amount is an integer of 1e-18, a time unix seconds; other kinds are as in the frame.
    """
    names = table.schema.keys()
    for row in rows:
        if row.keys() != names:
            raise AssertionError(f"table {table.name}: a row has other columns: {', '.join(sorted(row.keys() ^ names))}")
    columns = []
    for column in table.columns:
        values = [row[column.name] for row in rows]
        if column.kind == "amount":
            series = pl.Series(column.name, values, dtype=pl.Int128).reinterpret(dtype=AMOUNT)
        elif column.kind == "time":
            series = pl.from_epoch(pl.Series(column.name, values, dtype=pl.Int64), "s").dt.cast_time_unit("us").dt.replace_time_zone("UTC")
        else:
            series = pl.Series(column.name, values, dtype=KINDS[column.kind][0])
        columns.append(series)
    return pl.DataFrame(columns)


def check(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The frame itself, if it is exactly this table, sorted by its key; otherwise ours is the mistake: AssertionError."""
    expected, actual = table.schema, dict(frame.schema)
    if list(actual.items()) != list(expected.items()):
        wrong = [f"{n}: {actual.get(n)} instead of {expected.get(n)}" for n in {**expected, **actual} if actual.get(n) != expected.get(n)]
        raise AssertionError(f"table {table.name}: {'; '.join(sorted(wrong)) or 'columns are in another order'}")
    required = [c.name for c in table.columns if not c.optional]
    nulls = [name for name in required if frame.get_column(name).null_count()]
    if nulls:
        raise AssertionError(f"table {table.name}: null in {', '.join(nulls)}")
    if rising(frame, table.key):
        return frame
    frame = frame.sort(table.key)
    if frame.select(pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in table.key).any()).item():
        raise AssertionError(f"table {table.name}: {', '.join(table.key)} names two rows")
    return frame


def rising(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether each row's key is greater than that of the row before: sorted, and no key twice. Cheaper than a sort that changes nothing."""
    columns = [frame.get_column(name) for name in key]
    if frame.height <= SHORT and not any(column.null_count() for column in columns):
        rows = list(zip(*(column.to_list() for column in columns), strict=True))
        return all(map(lt, rows, rows[1:]))
    greater = pl.lit(False)
    for name in reversed(key):
        here, before = pl.col(name), pl.col(name).shift()
        greater = (here > before) | ((here == before) & greater)
    return frame.height < 2 or frame.select_seq(greater.slice(1).all(ignore_nulls=False)).item() is True
