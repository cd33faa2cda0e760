"""Exports of other tools, recognised by their columns: raw logs to the raw frame of logs.py, decoded events to typed tables.

Raw are cryo's `logs`, ethereum-etl's `logs`, Dune's gnosis.logs and what queries/perpetual-v1.warehouse.sql gives. Decoded are the
output of queries/perpetual-v1.dune.sql, answers to queries/perpetual-v1.subgraph.graphql, and cryo's event columns. Their names and
cells are made ours; what is read is then checked as if a node had sent it. Amounts must be whole base units as text: a float has
lost its last digits, and no export says so.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.fixed import AMOUNT
from perpcomp.ingest.decode import WORD, Argument, Event
from perpcomp.ingest.logs import BLOCKS, LOGS_OF_A_BLOCK, RAW_SCHEMA, Piece, Places, binary, block_times, dated, old_layout, whole
from perpcomp.tables import IDENTITY

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
# In a table of PositionLiquidated alone bad_debt means what we call fee_shortfall; beside PositionChanged it means that event's.
OF_ONE_EVENT = {"PositionLiquidated": {"bad_debt": "fee_shortfall"}}

PIECE = 200_000  # rows of a Parquet file read at a time
OURS = ("system", "kind")  # columns that only our events table has
PLACE = ("block_number", "transaction_hash", "log_index")
SHAPES = {
    "raw logs (cryo, ethereum-etl, Dune's gnosis.logs, a warehouse)": ("address", "topic0", "topic1", "topic2", "data", *PLACE),
    "decoded events (queries/perpetual-v1.dune.sql)": ("event", "trader", "market", *PLACE),
    "a subgraph's events (queries/perpetual-v1.subgraph.graphql)": ("id", "trader", "market", "block_number", "block_time"),
    "perpcomp's events table": (*OURS, "trader", "market", *PLACE),
}

PAGE = 1000  # rows of a list that a subgraph answers at most, and that the GraphQL document asks for
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


def read_foreign(paths: Sequence[Path], wanted: Wanted, blocks: Path | None = None) -> pl.DataFrame | dict[str, pl.DataFrame] | None:
    """foreign_pieces, with the pieces of raw logs as one frame: checked as a whole, sorted."""
    found = foreign_pieces(paths, wanted, blocks)
    return found if found is None or isinstance(found, dict) else whole(_label(paths), found)


def foreign_pieces(paths: Sequence[Path], wanted: Wanted, blocks: Path | None = None) -> Iterator[Piece] | dict[str, pl.DataFrame] | None:
    """One export in one or more files: pieces of raw frames (RAW_SCHEMA), or event name -> typed table as decoding gives it.

    None where the one file is perpcomp's own events table, which tables.py reads. A decoded export gives the events that its columns
    can hold, and null where it lacks block_hash or transaction_index. `blocks` dates rows without a timestamp: a block list as for
    logs, or a .csv or .parquet with (block_)number and timestamp. Rows are counted in each file, but in the raw frame through all
    of them. InputError lists what is wrong: an unknown shape, a missing column, cells that are none, amounts that were floats, an
    answer that may be cut off; a log that stands twice is for Places to find.
    """
    assert paths
    shape = _shape(next(_sheets(paths[0])), wanted)
    times = _times(blocks) if blocks else {}
    sheets = (sheet for path in paths for sheet in _sheets(path))
    if shape == "raw logs":
        return _raw_pieces(paths, sheets, wanted, times)
    all_sheets = list(sheets)
    for sheet in all_sheets:
        _same_shape(paths, shape, _shape(sheet, wanted))
    if shape == "an events table":
        if len(paths) > 1:
            raise refusal(_label(paths), "are several events tables.", "Give one.")
        return None
    _check_pages(_label(paths), all_sheets)
    return _tables(_label(paths), [(event, part) for sheet in all_sheets for event, part in _decoded(sheet, wanted, times)], wanted)


def _raw_pieces(paths: Sequence[Path], sheets: Iterable["_Sheet"], wanted: Wanted, times: dict[int, int]) -> Iterator[Piece]:
    before, name = 0, None
    counted = 0
    for sheet in sheets:
        _same_shape(paths, "raw logs", _shape(sheet, wanted))
        if sheet.name != name:  # rows count on through the files
            before, name = counted, sheet.name
        counted += sheet.frame.height
        yield partial(_raw, sheet, wanted, times, before)


def _same_shape(paths: Sequence[Path], one: str, other: str) -> None:
    if one != other:
        raise refusal(_label(paths), f"{' and '.join(sorted({one, other}))} stand side by side.", "Give one kind; raw logs say the most.")


def _label(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"{paths[0].name} to {paths[-1].name}"


# A foreign table and its cells


@dataclass
class _Sheet:
    """A foreign table: its rows under our names, `row` first, and what is wrong with it."""

    name: str
    frame: pl.DataFrame
    theirs: dict[str, str]  # our name -> the file's
    event: str | None = None  # where the file says it beside the columns
    problems: list[Finding] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        return set(names) <= set(self.theirs)

    def where(self, keep: pl.Series) -> "_Sheet":
        """The rows to keep; problems go to the same list."""
        return _Sheet(self.name, self.frame.filter(keep), self.theirs, self.event, self.problems)

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
            return _Sheet(self.name, written, self.theirs, None, self.problems).seconds()
        text = self.cells("block_time", "time", optional=True).str.to_uppercase()
        parts = text.str.extract_groups(TIME).struct.unnest()
        stamp = (parts["1"] + " " + parts["2"]).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False).dt.epoch("s")
        seconds = stamp.fill_null(text.str.to_integer(strict=False)).alias("block_time")
        never = text.is_not_null() & seconds.is_null()  # 2021-02-30 has the shape of a date
        for row, value in self.frame.select("row").with_columns(text).filter(never).head(20).iter_rows():
            self.complain(row, f'{self.theirs["block_time"]} is "{value}".', CELLS["time"][1])
        return seconds

    def identity(self, chain_id: int) -> list[pl.Series]:
        """row, and of IDENTITY what a file can say; block_time in seconds. A chain_id that is another is a problem."""
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


# Files to sheets


def _sheets(path: Path) -> Iterator[_Sheet]:
    try:
        if path.suffix == ".json":
            yield from _answers(path)
        elif path.suffix == ".parquet":
            rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
            for start in range(0, max(rows, 1), PIECE):  # a file may be larger than memory
                yield _sheet(path.name, pl.scan_parquet(path, glob=False).slice(start, PIECE).collect(), 1 + start)
        else:  # as text: a guessed schema would make floats of base units
            yield _sheet(path.name, pl.read_csv(path, infer_schema=False, glob=False), 2)
    except (pl.exceptions.PolarsError, msgspec.MsgspecError, OSError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(path.name, f"cannot be read ({str(error).splitlines()[0]}).", "Export it again.") from None


def _sheet(name: str, frame: pl.DataFrame, first: int, event: str | None = None) -> _Sheet:
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
    sheet = _Sheet(name, named, theirs, event)
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


def _answers(path: Path) -> Iterator[_Sheet]:
    """The lists of one answer of a subgraph, or of a JSON list of answers."""
    loaded = msgspec.json.decode(path.read_bytes())
    for answer in loaded if isinstance(loaded, list) else [loaded]:
        if not isinstance(answer, dict) or answer.get("errors"):
            raise refusal(path.name, "is no good answer of a subgraph.", "Save the whole answer to queries/perpetual-v1.subgraph.graphql.")
        lists = answer["data"] if isinstance(answer.get("data"), dict) else answer
        for key, rows in lists.items():
            if key != "_meta":
                yield _list(path, key, rows)


def _list(path: Path, key: str, rows: Any) -> _Sheet:
    name = f"{path.name} {key}"
    if not key.endswith("Events") or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise refusal(name, "is no list of events.", "Known: positionChangedEvents, positionLiquidatedEvents, marginChangedEvents.")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    counts = {"blockNumber", "timestamp", "logIndex"}
    problems = [
        Finding("error", f"{name} row {n}", f"{column} is the JSON number {row[column]!r}.", LOST)
        for n, row in enumerate(rows, 1)
        for column in columns
        if isinstance(row.get(column), float) or (isinstance(row.get(column), int) and column not in counts)
    ]
    if problems:
        raise InputError(problems[:20])
    cells = {c: [None if row.get(c) is None else str(row[c]) for row in rows] for c in columns}
    return _sheet(name, pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String)), 1, (key[0].upper() + key[1:]).removesuffix("Events"))


def _times(blocks: Path) -> dict[int, int]:
    """Block number -> unix seconds."""
    if blocks.suffix not in (".parquet", ".csv"):
        return block_times(blocks)
    (sheet,) = _sheets(blocks)
    number = "block_number" if sheet.has("block_number") else "number"
    sheet.require((number, "block_time"), "a table of blocks")
    numbers, seconds = sheet.numbers(number), sheet.seconds()
    sheet.settle()
    return dict(zip(numbers.to_list(), seconds.to_list(), strict=True))


def _shape(sheet: _Sheet, wanted: Wanted) -> str:
    """`an events table`, `raw logs` or `decoded events`. Anything else is an InputError that names the nearest known shape."""
    if sheet.has("data") and (sheet.has("topics") or sheet.has("topic0")):
        return "raw logs"
    if sheet.theirs.keys() & set(OURS):
        return "an events table"
    if sheet.event or sheet.has("event"):
        return "decoded events"
    if _the_event(sheet, wanted):
        return "decoded events"
    missing = {shape: [n for n in names if not sheet.has(n)] for shape, names in SHAPES.items()}
    nearest = min(SHAPES, key=lambda shape: len(missing[shape]) / len(SHAPES[shape]))
    what = f"has the columns of no known export; the nearest are those of {nearest}, but {', '.join(missing[nearest])} are missing."
    raise refusal(sheet.name, what, f"Known: {'; '.join(SHAPES)}.")


# Raw logs


def _raw(sheet: _Sheet, wanted: Wanted, times: dict[int, int], before: int) -> pl.DataFrame:
    """The wanted rows of a table of raw logs as a raw frame, undated rows dated by `times`; `before` counts the rows of earlier files."""
    if not sheet.has("topic0"):
        _spread(sheet)
    sheet.require(SHAPES[next(iter(SHAPES))], next(iter(SHAPES)))
    address, topic0 = sheet.cells("address", "address"), sheet.cells("topic0", "hash", optional=True)
    sheet.settle()
    here = address.is_in(list(wanted.addresses))
    old = topic0.str.contains(f"^({'|'.join(wanted.refused)})").fill_null(False) if wanted.refused else topic0.is_in([])
    for row, topic in sheet.frame.select("row").with_columns(topic0).filter(here & old).head(1).iter_rows():
        raise old_layout(f"{sheet.name} row {row}", topic)
    keep = here & topic0.is_in(list(wanted.topics)).fill_null(False)
    kept = sheet.where(keep)
    topics = [kept.bytes(f"topic{n}", "topic").alias(f"topic{n}") for n in range(1, 4) if kept.has(f"topic{n}")]
    count = pl.sum_horizontal((pl.col(t.name).bin.size() > 0).cast(pl.Int64) for t in topics) + 1
    raw = pl.DataFrame([*kept.identity(wanted.chain_id), address.filter(keep), topic0.filter(keep), *topics, kept.bytes("data", "data")])
    sheet.settle()
    return dated(sheet.name, raw.with_columns(count.alias("topics")), times).select(RAW_SCHEMA.keys()).with_columns(pl.col("row") + before)


def _spread(sheet: _Sheet) -> None:
    """ethereum-etl's topics, a list or a text joined by , or ; , as topic0 to topic3."""
    topics = pl.col("topics")
    if sheet.frame.schema["topics"] == pl.String:
        topics = topics.str.replace_all(r"[\s\[\]{}\"']", "").str.replace_all(";", ",", literal=True).str.split(",")
    elif not isinstance(sheet.frame.schema["topics"], pl.List):
        raise refusal(sheet.name, f"column topics is {sheet.frame.schema['topics']}.", "A list, or a text joined by commas, is wanted.")
    sheet.frame = sheet.frame.with_columns(topics.list.get(n, null_on_oob=True).alias(f"topic{n}") for n in range(4))
    sheet.theirs |= dict.fromkeys((f"topic{n}" for n in range(4)), sheet.theirs["topics"])


# Decoded events


def _the_event(sheet: _Sheet, wanted: Wanted) -> Event | None:
    """The one event that a table is of, told by its columns, also where some are missing."""

    def there(event: Event) -> int:
        others = OF_ONE_EVENT.get(event.name, {})
        have = {others.get(name, name) for name in sheet.theirs} | sheet.theirs.keys()
        return len(have & event.schema.keys())

    best = max(wanted.events, key=lambda event: (there(event), there(event) / len(event.arguments)))
    own = best.schema.keys() & sheet.theirs.keys() - {"trader", "market"}  # those two alone tell nothing
    return best if own and 2 * there(best) >= len(best.arguments) and sheet.has("log_index") else None


def _decoded(sheet: _Sheet, wanted: Wanted, times: dict[int, int]) -> Iterator[tuple[str, pl.DataFrame]]:
    """(event name, typed rows with `row` before them) for every event that the table can hold."""
    by_name = {event.name: event for event in wanted.events}
    if sheet.has("address"):
        address = sheet.cells("address", "address")
        sheet.settle()
        sheet = sheet.where(address == wanted.house)
    if sheet.has("event"):
        said = sheet.frame.get_column("event").cast(pl.String)
        for row, name in sheet.frame.select("row", said).filter(~said.is_in(list(by_name)).fill_null(False)).head(20).iter_rows():
            sheet.complain(row, f"event is {name}.", near_miss(name or "", by_name))
        sheet.settle()
        there = set(said) | set(wanted.needed)
        for event in wanted.events:
            if event.name in there or sheet.has(*event.schema):
                yield event.name, _typed(sheet.where(said == event.name), event, wanted, times)
        return
    one = by_name.get(sheet.event) if sheet.event else _the_event(sheet, wanted)
    if one is None:
        raise refusal(sheet.name, f"holds events of a kind that is not read ({sheet.event}).", near_miss(sheet.event or "", by_name))
    if sheet.event and sheet.frame.is_empty():  # an answer without rows names no columns
        yield one.name, _empty(one)
        return
    if all(sheet.has(*by_name[name].schema) for name in wanted.needed):
        raise refusal(sheet.name, "column event is missing.", "The columns of several events stand here: one must say which a row is of.")
    for theirs, ours in OF_ONE_EVENT.get(one.name, {}).items():
        if sheet.has(theirs) and not sheet.has(ours):
            named = {ours if name == theirs else name: column for name, column in sheet.theirs.items()}
            sheet = _Sheet(sheet.name, sheet.frame.rename({theirs: ours}), named, sheet.event)
    yield one.name, _typed(sheet, one, wanted, times)


def _typed(sheet: _Sheet, event: Event, wanted: Wanted, times: dict[int, int]) -> pl.DataFrame:
    """The rows of one event, in the columns that decoding gives it."""
    sheet.require((*PLACE, *event.schema), f"{event.name}'s columns")
    if sheet.has("data_bytes"):
        length = sheet.numbers("data_bytes")
        for row, found in sheet.frame.select("row").with_columns(length).filter(length != WORD * len(event.words)).head(20).iter_rows():
            what = f"its data was {found} bytes long, and {event.name} has {WORD * len(event.words)}."
            sheet.complain(row, what, "The row is damaged, or no log of this contract: export it again.")
    if sheet.has("topic0"):
        topic0 = sheet.cells("topic0", "hash")
        for row, found in sheet.frame.select("row").with_columns(topic0).filter(topic0 != event.topic0).head(20).iter_rows():
            sheet.complain(row, f"topic0 is {found}, which is not {event.name}'s.", "Export this event alone, or raw logs.")
    values = [_value(sheet, argument) for argument in event.arguments]
    rows = pl.DataFrame([*sheet.identity(wanted.chain_id), *values])
    sheet.settle()
    rows = dated(sheet.name, rows, times).with_columns(pl.lit(wanted.chain_id, dtype=pl.Int64).alias("chain_id"))
    return rows.select(_empty(event).columns)


def _value(sheet: _Sheet, argument: Argument) -> pl.Series:
    if argument.type == "address":
        return sheet.cells(argument.name, "address")
    if argument.type == "count":
        return sheet.numbers(argument.name)
    units = sheet.cells(argument.name, argument.type).cast(pl.Int128)
    return units.to_frame().select(pl.col(argument.name).reinterpret(dtype=AMOUNT)).to_series()


def _empty(event: Event) -> pl.DataFrame:
    types = {"integer": pl.Int64(), "time": RAW_SCHEMA["block_time"], "hash": pl.String()}
    return pl.DataFrame(schema={"row": pl.Int64(), **{c.name: types[c.kind] for c in IDENTITY}, **event.schema})


def _tables(label: str, parts: list[tuple[str, pl.DataFrame]], wanted: Wanted) -> dict[str, pl.DataFrame]:
    """The parts of each event together, checked as logs are."""
    names = [event.name for event in wanted.events if any(event.name == name for name, _ in parts)]
    if missing := [name for name in wanted.needed if name not in names]:
        what = f"holds no {' and no '.join(missing)}, without which a liquidation is not seen."
        raise refusal(label, what, "Export these events too, and give all files together.")
    joined = {name: pl.concat([part for of, part in parts if of == name]) for name in names}
    places = Places(label)
    for table in joined.values():
        places.add(table)
    places.check()
    return {name: table.drop("row").sort("block_number", "log_index") for name, table in joined.items()}


def _check_pages(label: str, sheets: list[_Sheet]) -> None:
    """A subgraph gives 1000 rows of a list at most and does not say that there are more: the last page of each must be short."""
    for event in dict.fromkeys(sheet.event for sheet in sheets if sheet.event):
        pages = [sheet.frame.height for sheet in sheets if sheet.event == event]
        if all(height == PAGE for height in pages):
            what = f"every answer has {PAGE} rows of {event}, as many as a subgraph gives at once: there may be more."
            raise refusal(label, what, "Ask again behind the last id, and give all answers together, the last one too.")
