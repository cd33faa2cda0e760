"""A table of another tool: its rows under our column names, and its cells checked."""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.ingest.decode import WORD, Event
from perpcomp.ingest.logs import (
    BLOCKS,
    LOGS_OF_A_BLOCK,
    binary,
)

# What others call our columns, after event__x_string is cut to x and camelCase is made snake_case.
ALIASES = {
    "amm": "market",
    "block_timestamp": "block_time",
    "contract_address": "address",
    "evt_block_number": "block_number",
    "evt_block_time": "block_time",
    "evt_index": "log_index",
    "evt_tx_hash": "transaction_hash",
    "evt_tx_index": "transaction_index",
    "index": "log_index",
    "sender": "trader",
    "timestamp": "block_time",
    "tx_hash": "transaction_hash",
    "tx_index": "transaction_index",
}

OURS = ("system", "kind")  # columns that only our events table has

PLACE = ("block_number", "transaction_hash", "log_index")

SHAPES = {
    "raw logs (cryo, ethereum-etl, Dune's gnosis.logs, a warehouse)": ("address", "topic0", "topic1", "topic2", "data", *PLACE),
    "decoded events (queries/perpetual-v1.dune.sql)": ("event", "trader", "market", *PLACE),
    "a subgraph's events (queries/perpetual-v1.subgraph.graphql)": ("id", "trader", "market", "block_number", "block_time"),
    "perpcomp's events table": (*OURS, "trader", "market", *PLACE),
}

LOST = "It was a number on the way and has lost its last digits: export it as text."

NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?")

TIME = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.0+)?(?: ?UTC|Z|\+00(?::?00)?)?$"

# kind of cell -> (what its text looks like, what to say where it does not)
CELLS = {
    "address": (r"^0x[0-9a-fA-F]{40}$", "An address is wanted: 0x and 40 hex digits."),
    "hash": (r"^0x[0-9a-fA-F]{64}$", "A hash is wanted: 0x and 64 hex digits."),
    "data": (r"^0x([0-9a-fA-F]{2})*$", "Whole bytes in hex after 0x are wanted: export the row again."),
    "topic": (r"^0x([0-9a-fA-F]{64})?$", "A topic is wanted: 0x and 64 hex digits."),
    "number": (r"^[0-9]{1,18}$", "A whole number is wanted."),
    "uint": (r"^[0-9]{1,38}$", "A whole number of base units, not negative and of at most 38 digits, is wanted as text."),
    "int": (r"^-?[0-9]{1,38}$", "A whole number of base units of at most 38 digits is wanted as text."),
    "time": (TIME + "|^[0-9]{1,10}$", "A time in UTC, to the second, or unix seconds are wanted."),
    "id": (r"^0x[0-9a-f]{64}-[0-9]{1,9}$", "The subgraph's id is wanted: transaction hash, a hyphen, log index."),
}


@dataclass(frozen=True)
class Wanted:
    """What of an export is read, lower-case all.

    `house` is the contract that logs `events`; `addresses` are all contracts whose logs are kept, the house among them, and `topics`
    all topic0. `refused` are beginnings of topics of layouts that cannot be read. Without the events named in `needed` a decoded
    export says too little.
    """

    chain_id: int
    house: str
    addresses: Collection[str]
    topics: Collection[str]
    refused: tuple[str, ...]
    events: tuple[Event, ...]
    needed: tuple[str, ...]


def label(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"{paths[0].name} to {paths[-1].name}"


@dataclass
class Sheet:
    """A foreign table: its rows under our names, `row` first, and what is wrong with it."""

    name: str
    frame: pl.DataFrame
    theirs: dict[str, str]  # our name -> the file's
    event: str | None = None  # where the file says it beside the columns
    problems: list[Finding] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        return set(names) <= set(self.theirs)

    def where(self, keep: pl.Series) -> "Sheet":
        """The rows to keep; problems go to the same list."""
        return Sheet(self.name, self.frame.filter(keep), self.theirs, self.event, self.problems)

    def complain(self, row: int, what: str, what_to_do: str) -> None:
        self.problems.append(Finding("error", f"{self.name} row {row}", what, what_to_do))

    def settle(self) -> None:
        """InputError where anything was wrong so far."""
        if self.problems:
            raise InputError(self.problems[:20])

    def require(self, names: Sequence[str], shape: str) -> None:
        """InputError where a column is missing. One that cryo gave as a float only is said to be that."""
        for name in (name for name in names if not self.has(name)):
            there = next((self.theirs[n] for n in (f"{name}_f64", f"{name}_f32") if self.has(n)), None)
            if there:
                self.problems.append(Finding("error", self.name, f"column {there} is a float, and {name} is not there as text.", LOST))
            else:
                advice = f"It is one of {shape}. {near_miss(name, self.theirs.values())}"
                self.problems.append(Finding("error", self.name, f"column {name} is missing.", advice))
        self.settle()

    def cells(self, name: str, kind: str, optional: bool = False) -> pl.Series:
        """A column as text in lower case, bytes as hex. A cell that is not of its kind is a problem, and null in what is returned."""
        pattern, advice = CELLS[kind]
        nothing = pl.Series(name, [None] * self.frame.height, dtype=pl.String)
        if not self.has(name):
            assert optional, name
            return nothing
        series, theirs = self.frame.get_column(name), self.theirs[name]
        if series.dtype.is_float():
            for row, value in self.frame.select("row", name).drop_nulls().head(1).iter_rows():
                self.complain(row, f"{theirs} is {value!r}, and the column {series.dtype}.", LOST)
            return nothing
        if series.dtype.is_nested():
            self.problems.append(Finding("error", self.name, f"column {theirs} is {series.dtype}.", advice))
            return nothing
        # Most cells stand in many rows, and most exports are in lower case as we want them: then no cell is read twice.
        plain = series.dtype == pl.String and (optional or not series.null_count())
        if plain and series.drop_nulls().unique().str.contains(pattern.replace("A-F", "")).all():
            return series
        if series.dtype == pl.Binary:
            series = self.frame.select(pl.lit("0x") + pl.col(name).bin.encode("hex")).to_series().alias(name)
        text = series.cast(pl.String).replace("", None)
        good = text.str.contains(pattern).fill_null(optional)
        for row, value in self.frame.select("row").with_columns(text).filter(~good).head(20).iter_rows():
            was_number = value is not None and NUMBER.fullmatch(value) and not value.lstrip("-").isdigit()
            self.complain(row, f"{theirs} is empty." if value is None else f'{theirs} is "{value[:80]}".', LOST if was_number else advice)
        return text.set(~good, None).str.to_lowercase()

    def numbers(self, name: str, optional: bool = False, below: int = 10**18) -> pl.Series:
        """A column of whole numbers `below` a bound, null where that may be."""
        if self.has(name) and (series := self.frame.get_column(name)).dtype.is_integer():
            low, high = series.min(), series.max()
            if (optional or not series.null_count()) and isinstance(low, int) and isinstance(high, int) and 0 <= low <= high < below:
                return series.cast(pl.Int64)
        found = self.cells(name, "number", optional).cast(pl.Int64)
        for row, value in self.frame.select("row").with_columns(found).filter(found >= below).head(20).iter_rows():
            self.complain(row, f"{self.theirs[name]} is {value}, which no chain has.", "Export the row again.")
        return found

    def bytes(self, name: str, kind: str) -> pl.Series:
        """A column of data or topics, from bytes or from hex; a topic that is not there is empty."""
        series = self.frame.get_column(name)
        if kind == "topic" and series.dtype == pl.Binary:
            series = series.fill_null(b"")
            if series.bin.size().is_in((0, WORD)).all():
                return series
        if kind == "data" and not series.null_count():  # most of a file: not worth a second look where it is good
            if series.dtype == pl.Binary:
                return series
            if series.dtype == pl.String:
                with suppress(ValueError):
                    return binary(series)
        return binary(self.cells(name, kind, optional=kind == "topic").fill_null("0x"))

    def seconds(self) -> pl.Series:
        """block_time in unix seconds, null where it is not said. A time without a zone is UTC: chains know no other."""
        if self.has("block_time") and isinstance(dtype := self.frame.schema["block_time"], pl.Datetime):
            time = pl.col("block_time").dt.convert_time_zone("UTC") if dtype.time_zone else pl.col("block_time")
            whole = (time.dt.truncate("1s") == time) & time.dt.year().is_between(0, 9999)
            if self.frame.select(whole.all()).item():
                return self.frame.select(time.dt.epoch("s").alias("block_time")).to_series()
            written = self.frame.with_columns(time.dt.strftime("%Y-%m-%dT%H:%M:%S%.f"))
            return Sheet(self.name, written, self.theirs, None, self.problems).seconds()
        text = self.cells("block_time", "time", optional=True).str.to_uppercase()
        parts = text.str.extract_groups(TIME).struct.unnest()
        stamp = (parts["1"] + " " + parts["2"]).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False).dt.epoch("s")
        seconds = stamp.fill_null(text.str.to_integer(strict=False)).alias("block_time")
        never = text.is_not_null() & seconds.is_null()  # 2021-02-30 has the shape of a date
        for row, value in self.frame.select("row").with_columns(text).filter(never).head(20).iter_rows():
            self.complain(row, f'{self.theirs["block_time"]} is "{value}".', CELLS["time"][1])
        return seconds

    def identity(self, chain_id: int) -> list[pl.Series]:
        """row, and of LOG_COLUMNS what a file can say; block_time in seconds. A chain_id that is another is a problem."""
        stated = self.numbers("chain_id", optional=True)
        for row, found in self.frame.select("row").with_columns(stated).filter(stated != chain_id).head(20).iter_rows():
            self.complain(row, f"chain_id is {found}, and the incident's is {chain_id}.", "Export the logs of that chain.")
        return [
            self.frame.get_column("row"),
            self.numbers("block_number", below=BLOCKS),
            self.seconds(),
            self.cells("block_hash", "hash", optional=True),
            self.cells("transaction_hash", "hash"),
            self.numbers("transaction_index", optional=True),
            self.numbers("log_index", below=LOGS_OF_A_BLOCK),
        ]


def to_sheet(name: str, frame: pl.DataFrame, first: int, event: str | None = None) -> Sheet:
    """The frame under our names, rows counted from `first`. Two columns of one meaning are an InputError."""
    theirs: dict[str, str] = {}
    for column in frame.columns:
        ours = _our_name(column)
        if ours in theirs:
            raise refusal(name, f"columns {theirs[ours]} and {column} both say {ours}.", "Leave one of them out.")
        if ours != "row":  # a mere counter
            theirs[ours] = column
    named = (
        frame.select(pl.col(c).alias(n) for n, c in theirs.items()).with_row_index("row", first).with_columns(pl.col("row").cast(pl.Int64))
    )
    sheet = Sheet(name, named, theirs, event)
    if sheet.has("id", "market") and not sheet.has("transaction_hash"):
        parts = sheet.cells("id", "id").str.split_exact("-", 1).struct.unnest()
        sheet.frame = named.with_columns(parts["field_0"].alias("transaction_hash"), parts["field_1"].alias("log_index"))
        sheet.theirs |= dict.fromkeys(("transaction_hash", "log_index"), theirs["id"])
        sheet.settle()
    return sheet


def _our_name(column: str) -> str:
    """event__positionNotional_string and positionNotional are position_notional; others' names for it are ours."""
    bare = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", column.removeprefix("event__").removesuffix("_string")).lower()
    return ALIASES.get(bare, bare)
