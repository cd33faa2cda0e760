"""A table of another tool: its rows under our column names, and its cells checked."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import polars as pl
from msgspec import Struct, field

from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.ingest.decode import WORD
from perpcomp.ingest.raw_frame import BLOCKS, LOGS_OF_A_BLOCK, binary
from perpcomp.tables.times import ADVICE
from perpcomp.tables.times import seconds as times_in_seconds
from perpcomp.text_file import MISSING

LOG_KEY = ("block_number", "transaction_hash", "log_index")  # what every row must have to name its log

WHOLE_NUMBERS = 10**18  # a number that is no amount lies below

LOST = "The value was a float before and may have lost its last digits: export it as text."
POINT = "The value was a float before, or it counts tokens and not base units: export whole base units as text."
GROUPED = "Its digits are grouped: export it without separators."

NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?")
SEPARATED = re.compile(r"[-+]?[0-9]{1,3}(([,' \u00a0\u202f_][0-9]{3})+|(\.[0-9]{3}){2,})")

# kind of cell -> (pattern of its text, advice where the text is another)
CELLS = {
    "address": (r"^0x[0-9a-fA-F]{40}$", "It must be an address: 0x and 40 hex digits."),
    "hash": (r"^0x[0-9a-fA-F]{64}$", "It must be a hash: 0x and 64 hex digits."),
    "data": (r"^0x([0-9a-fA-F]{2})*$", "It must be whole bytes in hex after 0x: export the row again."),
    "topic": (r"^0x([0-9a-fA-F]{64})?$", "It must be a topic: 0x and 64 hex digits."),
    "number": (r"^[0-9]{1,18}$", "It must be a whole number."),
    "uint": (r"^[0-9]{1,38}$", "It must be a whole number of base units as text, not negative and with at most 38 digits."),
    "int": (r"^-?[0-9]{1,38}$", "It must be a whole number of base units as text, with at most 38 digits."),
    "id": (
        r"^0x[0-9a-f]{64}(-[0-9]{1,9}|[0-9a-f]{8})$",
        "It must be the subgraph's id: transaction hash, a hyphen and the log index, or the hash and 4 bytes of the index.",
    ),
}


class Sheet(Struct):
    """A table of another tool: its rows under our names, `row` first, and the problems found so far."""

    name: str
    frame: pl.DataFrame
    theirs: dict[str, str]  # our name -> the file's
    event: str | None = None  # where the file names it outside the columns
    problems: list[Finding] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        """Whether the table has all these columns, by our names."""
        return set(names) <= set(self.theirs)

    def where(self, keep: pl.Series) -> "Sheet":
        """The sheet of the rows to keep; it shares the list of problems."""
        if keep.all():  # as in most exports of one protocol: nothing is copied
            return self
        return Sheet(self.name, self.frame.filter(keep), self.theirs, self.event, self.problems)

    def complain(self, row: int, what: str, what_to_do: str) -> None:
        """Add a problem of a row. `settle` raises it."""
        self.problems.append(Finding("error", f"{self.name} row {row}", what, what_to_do))

    def settle(self) -> None:
        """InputError where there are problems so far."""
        if self.problems:
            raise InputError(self.problems[:20])

    def require(self, names: Sequence[str], export: str) -> None:
        """InputError where a column is missing, or where cryo gave it as a float only."""
        for name in (name for name in names if not self.has(name)):
            as_float = next((self.theirs[n] for n in (f"{name}_f64", f"{name}_f32") if self.has(n)), None)
            if as_float:
                self.problems.append(Finding("error", self.name, f"Column {as_float} is a float, and there is no {name} as text.", LOST))
            else:
                advice = f"It belongs to {export}. {near_miss(name, self.theirs.values())}"
                self.problems.append(Finding("error", self.name, f"Column {name} is missing.", advice))
        self.settle()

    def cells(self, name: str, kind: str, optional: bool = False, known: pl.Series | None = None) -> pl.Series:
        """A column as text in lower case, bytes as hex. A cell that is not of its kind becomes a problem, and null in the result.

        `known` are values that are of the kind: cells with these are not looked at again.
        """
        pattern, advice = CELLS[kind]
        nothing = pl.Series(name, [None] * self.frame.height, dtype=pl.String)
        if not self.has(name):
            assert optional, name
            return nothing
        series, theirs = self.frame.get_column(name), self.theirs[name]
        if series.dtype.is_float() and kind == "number":
            series = series.cast(pl.String)
        elif series.dtype.is_float() and series.null_count() < series.len():  # a column of nothing is no float: its cells are empty
            for row, value in self.frame.select("row", name).drop_nulls().head(1).iter_rows():
                self.complain(row, f"{theirs} is {value!r}, in a column of type {series.dtype}.", LOST)
            return nothing
        if series.dtype.is_nested():
            self.problems.append(Finding("error", self.name, f"Column {theirs} has the type {series.dtype}.", advice))
            return nothing
        # Most values occur in many rows, often one behind the other, and most exports are in lower case: then one look at the distinct
        # values is enough, in half the time.
        plain = series.dtype == pl.String and (optional or not series.null_count())
        if plain:
            first = series.ne_missing(series.shift()) if known is None else ~series.is_in(known.implode())
            others = series.filter(first).drop_nulls()
            distinct = others.unique() if others.len() > series.len() // 2 else others
            if distinct.str.contains(pattern.replace("A-F", "")).all():
                return series
        if series.dtype == pl.Binary:
            series = self.frame.select(pl.lit("0x") + pl.col(name).bin.encode("hex")).to_series().alias(name)
        shown = series.cast(pl.String).replace(list(MISSING), None)
        text = _without_point(shown, kind)
        good = text.str.contains(pattern).fill_null(optional)
        for row, value in self.frame.select("row").with_columns(shown).filter(~good).head(20).iter_rows():
            what = f"{theirs} is empty." if value is None else f'{theirs} is "{value[:80]}".'
            self.complain(row, what, _why_no_number(value, kind) or advice)
        return text.set(~good, None).str.to_lowercase()

    def numbers(self, name: str, optional: bool = False, below: int = WHOLE_NUMBERS) -> pl.Series:
        """A column of whole numbers `below` a bound; null only where `optional`."""
        if self.has(name) and (series := self.frame.get_column(name)).dtype.is_integer():
            low, high = series.min(), series.max()
            if (optional or not series.null_count()) and isinstance(low, int) and isinstance(high, int) and 0 <= low <= high < below:
                return series.cast(pl.Int64)
        found = self.cells(name, "number", optional).cast(pl.Int64)
        for row, value in self.frame.select("row").with_columns(found).filter(found >= below).head(20).iter_rows():
            self.complain(row, f"{self.theirs[name]} is {value}, more than any chain has.", "Export the row again.")
        return found

    def bytes(self, name: str, kind: str) -> pl.Series:
        """A column of data or topics as bytes, from bytes or hex; an absent topic is empty."""
        series = self.frame.get_column(name)
        if kind == "topic" and series.dtype == pl.Binary:
            series = series.fill_null(b"")
            if series.bin.size().is_in((0, WORD)).all():
                return series
        if kind == "data" and not series.null_count():  # most of a file's bytes: read once where they are good
            if series.dtype == pl.Binary:
                return series
            if series.dtype == pl.String:
                with suppress(ValueError):
                    return binary(series)
        return binary(self.cells(name, kind, optional=kind == "topic").fill_null("0x"))

    def seconds(self) -> pl.Series:
        """block_time in unix seconds, null where the file gives none. A time without a zone is UTC."""
        if not self.has("block_time"):
            return pl.Series("block_time", [None] * self.frame.height, dtype=pl.Int64)
        times = self.frame.get_column("block_time")
        if times.dtype == pl.String:
            times = times.replace(list(MISSING), None)
        seconds = times_in_seconds(times)
        if seconds.null_count() == times.null_count():
            return seconds
        for row, value in self.frame.select("row").with_columns(times).filter(times.is_not_null() & seconds.is_null()).head(20).iter_rows():
            self.complain(row, f'{self.theirs["block_time"]} is "{str(value)[:80]}".', ADVICE)
        return seconds

    def identity(self, chain_id: int) -> list[pl.Series]:
        """row, and the columns of LOG_COLUMNS but chain_id; block_time in seconds. Another chain_id is a problem."""
        stated = self.numbers("chain_id", optional=True)
        for row, found in self.frame.select("row").with_columns(stated).filter(stated != chain_id).head(20).iter_rows():
            self.complain(row, f"chain_id is {found}, but the incident's is {chain_id}.", "Export the logs of that chain.")
        return [
            self.frame.get_column("row"),
            self.numbers("block_number", below=BLOCKS),
            self.seconds(),
            self.cells("block_hash", "hash", optional=True),
            self.cells("transaction_hash", "hash"),
            self.numbers("transaction_index", optional=True),
            self.numbers("log_index", below=LOGS_OF_A_BLOCK),
        ]


def _without_point(text: pl.Series, kind: str) -> pl.Series:
    """Numbers whose digits are whole although they have a point, a node's hex quantities, and zero, as plain digits."""
    if kind == "number":
        quantity = text.str.extract("^0x0*([0-9a-fA-F]{1,15})$").str.to_integer(base=16, dtype=pl.Int64).cast(pl.String)
        return quantity.fill_null(text.str.replace(r"^([0-9]{1,15})\.0*$", "${1}"))  # below 2**53 a float is exact
    return text.str.replace(r"^-?0\.0+$", "0") if kind in ("uint", "int") else text  # zero is the same in base units and in tokens


def _why_no_number(value: str | None, kind: str) -> str | None:
    """What is wrong with a text that is a number, but not digits alone; None for any other text."""
    if value is None or kind not in ("number", "uint", "int"):
        return None
    if SEPARATED.fullmatch(value):
        return GROUPED
    if not NUMBER.fullmatch(value) or value.lstrip("-+").isdigit():
        return None
    return POINT if kind != "number" and "e" not in value.lower() else LOST


def to_sheet(name: str, frame: pl.DataFrame, first: int, our_name: Callable[[str], str], event: str | None = None) -> Sheet:
    """The frame under our names, rows numbered from `first`. InputError where two columns have one meaning."""
    theirs: dict[str, str] = {}
    for column in frame.columns:
        ours = our_name(column)
        if ours in theirs:
            raise refusal(name, f"Columns {theirs[ours]} and {column} both mean {ours}.", "Remove one of them.")
        if ours != "row":  # a counter of the exporter's
            theirs[ours] = column
    named = frame.select(pl.col(c).alias(n) for n, c in theirs.items()).with_row_index("row", first)
    return Sheet(name, named.with_columns(pl.col("row").cast(pl.Int64)), theirs, event)
