"""The only reader and writer of our CSV and Parquet files; the row hash."""

import hashlib
import io
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import polars as pl

from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.tables.liquidations import PRICE_SERIES
from perpcomp.tables.schema import CSV_TIME, KINDS, Column, Table, check
from perpcomp.tables.times import canonical
from perpcomp.text_file import UNREADABLE, read_csv, reason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

EXPONENT = re.compile(r"[-+]?[0-9]{1,40}(\.[0-9]{0,40})?[eE][-+]?[0-9]{1,2}", re.ASCII)
PRICE_SITES = {  # what price sites call our columns, in lower case
    **dict.fromkeys(("snapped_at", "timestamp", "date", "datetime", "unix", "open_time", "block_time"), "time"),
    **dict.fromkeys(("close", "value"), "price"),
    **dict.fromkeys(("market", "symbol", "pair"), "market_name"),
}


class _Hashed(io.RawIOBase):
    """A file that keeps nothing of what is written to it but the sha256."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, data: "ReadableBuffer") -> int:
        self.sha256.update(data)
        return memoryview(data).nbytes


def to_csv(frame: pl.DataFrame, table: Table) -> bytes:
    """The canonical text of a table."""
    buffer = io.BytesIO()  # else Polars makes a str, which would be encoded again
    _write(frame, table, buffer)
    return buffer.getvalue()


def row_hash(frame: pl.DataFrame, table: Table) -> str:
    """sha256 of the canonical text: the identity of the rows, whatever file they came from."""
    hashed = _Hashed()  # the text of millions of events would fill the memory
    _write(frame, table, cast(IO[bytes], hashed))
    return hashed.sha256.hexdigest()


def _write(frame: pl.DataFrame, table: Table, file: IO[bytes]) -> None:
    check(frame, table).write_csv(file, datetime_format=CSV_TIME, quote_style="necessary")


def to_parquet(frame: pl.DataFrame) -> bytes:
    """Parquet bytes that depend on the frame and the library version alone."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", row_group_size=100_000)
    return buffer.getvalue()


def read(path: Path, table: Table) -> pl.DataFrame:
    """A table from a .csv or .parquet file, every cell checked. InputError names file, row, column and what to do."""
    return _read_parquet(path, table) if path.suffix == ".parquet" else _read_csv(path, table)


def read_prices(path: Path) -> pl.DataFrame:
    """A price file, whose times may have every form that other tools write (times.py), and whose prices are above 0."""
    prices = _read_csv(path, PRICE_SERIES, canonical, _price_header)
    for row in prices.filter(pl.col("price") <= 0).sort("time").head(1).iter_rows(named=True):
        what = f"The price of {row['market_name']} at {row['time'].strftime(CSV_TIME)} is {row['price']:f}."
        raise refusal(path.name, what, "A price must be above 0.")
    return prices


def _read_parquet(path: Path, table: Table) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise refusal(path.name, f"The Parquet file cannot be read ({str(error).splitlines()[0]}).", "Export it again.") from None
    _check_header(path, frame.columns, table)
    wrong = [
        Finding("error", path.name, f"column {name} is {frame.schema[name]}, not {dtype}.",
                "Export it as an exact type: an amount that was a float has lost its last digits.")
        for name, dtype in table.schema.items()
        if frame.schema[name] != dtype
    ]  # fmt: skip
    if wrong:
        raise InputError(wrong)
    in_full = CSV_TIME.replace("%S", "%S%.f")  # keep a fraction of a second, so that the check sees it
    text = frame.with_columns(pl.col(c.name).dt.strftime(in_full) for c in table.columns if c.kind == "time").cast(pl.String)
    _check_cells(path, text, table, first_row=1)
    return frame.select(*table.schema)


def _read_csv(
    path: Path,
    table: Table,
    in_our_form: Callable[[pl.Expr], pl.Expr] | None = None,
    check_header: Callable[[Path, Sequence[str], Table], None] | None = None,
) -> pl.DataFrame:
    """Read cells as text and match them before the cast: with a schema, Polars accepts 1e5, +1 and a 19th decimal silently."""
    try:
        frame = read_csv(path)
    except UNREADABLE as error:
        raise refusal(path.name, f"The CSV file cannot be read ({reason(error)}).", "Export it again.") from None
    (check_header or _check_header)(path, frame.columns, table)
    if in_our_form is not None:
        frame = frame.with_columns(in_our_form(pl.col(c.name)).alias(c.name) for c in table.columns if c.kind == "time")
    _check_cells(path, frame, table, first_row=2)
    casts = []
    for column in table.columns:
        cell = pl.col(column.name)
        if column.kind == "time":
            casts.append(cell.str.to_datetime(CSV_TIME, time_unit="us", time_zone="UTC"))
        elif column.kind == "flag":
            casts.append(cell == "true")
        else:
            casts.append(cell.cast(KINDS[column.kind][0]))
    return frame.select(casts)


def _check_header(path: Path, names: Sequence[str], table: Table) -> None:
    missing = [name for name in table.schema if name not in names]
    unknown = [name for name in names if name not in table.schema]
    of_name = {column.name: column for column in table.columns}
    problems = [
        Finding("error", path.name, f"column {name} is missing.", f"The table {table.name} needs it. {_advice(of_name[name])}")
        for name in missing
    ]
    problems += [Finding("error", path.name, f"column {name} is unknown.", near_miss(name, table.schema)) for name in unknown]
    if problems:
        raise InputError(problems)


def _price_header(path: Path, names: Sequence[str], table: Table) -> None:
    """Price sites name no market, because a file of theirs is of one coin: only its user knows of which market it is."""
    wanted = list(table.schema)
    if sorted(names) == sorted(wanted):
        return
    renamed = {name: ours for name in names if name not in wanted and (ours := PRICE_SITES.get(name.strip().lower())) not in {None, *names}}
    steps = [f"rename {theirs} to {ours}" for theirs, ours in renamed.items()]
    absent = [name for name in wanted if name not in {*names, *renamed.values()}]
    steps += [f"add {name}{' to every row, as the incident file names the market' * (name == 'market_name')}" for name in absent]
    steps += [f"remove {other}" for other in names if other not in {*wanted, *renamed}]
    what = f"The columns are {', '.join(names)}, but a file of prices has {', '.join(wanted)}."
    advice = "; ".join(steps)
    raise refusal(path.name, what, f"{advice[0].upper()}{advice[1:]}.")


def _check_cells(path: Path, text: pl.DataFrame, table: Table, first_row: int) -> None:
    """Check every cell of a frame of text against its kind's pattern, and the key for duplicates. Reports up to 20 problems at once."""
    problems = []
    for column in table.columns:
        cell = pl.col(column.name)
        good = cell.str.contains(KINDS[column.kind][1])
        if column.kind == "time":  # 2021-02-30 has the shape of a date
            good &= (cell.str.to_datetime(CSV_TIME, strict=False).dt.strftime(CSV_TIME) == cell).fill_null(cell.is_null())
        bad = ~good.fill_null(column.optional)
        for row, value in text.with_row_index("_row").filter(bad).select("_row", column.name).head(20).iter_rows():
            shown = "empty" if value is None else f'"{value[:60]}"'
            advice = _advice(column) if column.kind != "amount" else _without_exponent(value) or _advice(column)
            problems.append(Finding("error", f"{path.name} row {row + first_row}", f"{column.name} is {shown}.", advice))
    twice = text.with_row_index("_row").filter(pl.struct(table.key).is_duplicated()).head(20)
    equal = twice.select(pl.struct(text.columns).is_duplicated()).to_series()
    for same, (row, *key) in zip(equal, twice.select("_row", *table.key).iter_rows(), strict=True):
        what = ", ".join(f"{name} {value}" for name, value in zip(table.key, key, strict=True)) + " is in another row too."
        advice = "Remove one: they are equal in every column." if same else "The rows differ, so keep both and find out which is correct."
        problems.append(Finding("error", f"{path.name} row {row + first_row}", what, advice))
    if problems:
        raise InputError(problems[:20])


def _without_exponent(value: str | None) -> str | None:
    """Advice on an amount with an exponent; None for any other text. It is not read: a spreadsheet shows fewer digits so than it holds."""
    if value is None or not EXPONENT.fullmatch(value):
        return None
    return f"An exponent may hide lost digits. Compare it with the source, and write all digits: {Decimal(value):f} if these are all."


def _advice(column: Column) -> str:
    words = {
        "amount": "Amounts are plain decimals with at most 18 places and 20 digits before them, e.g. 100000 or -0.5.",
        "integer": "Write a whole number without separators.",
        "digits": "Write a whole number of base units.",
        "text": "Write a text without control characters.",
        "address": "Write an address: 0x and 40 lower-case hex digits.",
        "hash": "Write a hash: 0x and 64 lower-case hex digits.",
        "flag": "Write true or false.",
        "time": "Write a time in UTC to the second, e.g. 2021-02-20T22:45:00Z.",
    }
    return words[column.kind]
