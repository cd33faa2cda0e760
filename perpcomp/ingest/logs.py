"""Raw logs: rows as eth_getLogs returns them, one JSON object a line, plain or gzipped, into one frame.

Only rows of wanted contracts and topics are kept; every row is checked, also those that are dropped. The raw frame holds binary
topics and data, so that decoding needs no second conversion.
"""

import gzip
import io
import re
import zlib
from binascii import unhexlify
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import polars as pl

from perpcomp.findings import Finding, InputError, refusal
from perpcomp.tables.schema import TIME

CHUNK_BYTES = 4 * 2**20  # a chunk, its rows and its columns stay in caches and kept memory: 1.5 times as fast as 32 MiB
PIECE = 5_000  # cells made binary at a time, for the same reason
Row = TypeVar("Row")
Numbers = TypeVar("Numbers", pl.Expr, pl.Series)
Piece = Callable[[], pl.DataFrame]  # a raw frame still to be made, here or elsewhere: it can be pickled
BLOCK = ["block_number", "block_time", "block_hash"]
# Rows of a block stand together as a rule: few rows are of another block than the one before, and whatever differs is among these.
OTHER_BLOCK = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in BLOCK)
OTHER_TRANSACTION = pl.col("transaction_hash").ne_missing(pl.col("transaction_hash").shift())
TWO_CHAINS = "The rows come from two chains or a reorganisation: fetch them again."
BLOCKS, LOGS_OF_A_BLOCK = 2**40, 2**20  # more than any chain and any block hold
ADDRESS, TOPIC = (re.compile(rf"0x[0-9a-fA-F]{{{digits}}}", re.ASCII).fullmatch for digits in (40, 64))


def log_order(block: Numbers, log_index: Numbers) -> Numbers:
    """Sort key: block * 2**20 + log_index, of two columns or two expressions. No block has 2**20 logs."""
    return block * LOGS_OF_A_BLOCK + log_index


LOG_ORDER = log_order(pl.col("block_number"), pl.col("log_index"))  # the same, of a frame with these two columns


def rise(places: pl.Series) -> bool:
    """Whether each is greater than the one before."""
    return bool((places.slice(1) > places.head(-1)).all())


RAW_SCHEMA = {
    "row": pl.Int64(),
    "address": pl.String(),
    "topic0": pl.String(),
    "topic1": pl.Binary(),
    "topic2": pl.Binary(),
    "topics": pl.Int64(),
    "data": pl.Binary(),
    "block_number": pl.Int64(),
    "block_time": TIME,
    "block_hash": pl.String(),
    "transaction_hash": pl.String(),
    "transaction_index": pl.Int64(),
    "log_index": pl.Int64(),
}
UNDATED = {**RAW_SCHEMA, "block_time": pl.Int64()}

# What the text of each column is, in lower case or as the node wrote it.
SHAPES = {
    "address": r"^0x[0-9a-f]{40}$",
    "topic0": r"^0x[0-9a-f]{64}$",
    "topic1": r"^0x([0-9a-fA-F]{64})?$",
    "topic2": r"^0x([0-9a-fA-F]{64})?$",
    "data": r"^0x([0-9a-fA-F]{2})*$",
    "block_number": r"^0x0*[0-9a-fA-F]{1,10}$",
    "block_time": r"^0x0*[0-9a-fA-F]{1,8}$",
    "block_hash": r"^0x[0-9a-f]{64}$",
    "transaction_hash": r"^0x[0-9a-f]{64}$",
    "transaction_index": r"^0x[0-9a-fA-F]{1,12}$",
    "log_index": r"^0x0*[0-9a-fA-F]{1,5}$",
}


class Log(msgspec.Struct, rename="camel", gc=False):
    """One row of eth_getLogs. Nodes add fields of their own; those are ignored."""

    address: str
    topics: list[str]
    data: str
    block_hash: str
    block_number: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    block_timestamp: str | None = None
    removed: bool | msgspec.UnsetType = msgspec.UNSET


class Block(msgspec.Struct):
    """One row of a block list: what a log without its own timestamp is dated by."""

    number: Annotated[int, msgspec.Meta(ge=0, lt=2**48)]
    timestamp: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


def read_logs(
    path: Path, addresses: Collection[str], topics: Collection[str], refused: tuple[str, ...] = (), blocks: Path | None = None
) -> pl.DataFrame:
    """The raw frame (RAW_SCHEMA, sorted by block and log index) of the rows of log_pieces, checked as a whole."""
    return whole(path.name, log_pieces(path, addresses, topics, refused, blocks))


def log_pieces(
    path: Path, addresses: Collection[str], topics: Collection[str], refused: tuple[str, ...] = (), blocks: Path | None = None
) -> Iterator[Piece]:
    """The pieces of a file, each of which gives the raw frame of its rows whose address and topic0 are wanted.

    `addresses` and `topics` are lower-case. A topic that begins as one of `refused` is an event of a layout that cannot be read: an
    error, not a row to pass over. `blocks` dates logs whose node gave no blockTimestamp. InputError lists what is wrong by line:
    unreadable rows, removed logs, contradictory times. What only the whole input shows is for Places to find.
    """
    times = block_times(blocks) if blocks else {}
    for line, chunk in _chunks(path):
        yield partial(_piece, path.name, line, chunk, frozenset(addresses), frozenset(topics), refused, times)


def _piece(
    name: str, line: int, chunk: bytes, addresses: Collection[str], topics: Collection[str], refused: tuple[str, ...], times: dict[int, int]
) -> pl.DataFrame:
    rows = _rows(name, line, chunk, Log)
    for number, log in rows:
        _check_filter(f"{name} row {number}", log, addresses, refused)
    return to_raw(name, rows, addresses, topics, times)


def whole(name: str, pieces: Iterable[Piece]) -> pl.DataFrame:
    """The pieces as one frame, in order, after Places has found nothing."""
    places, parts = Places(name), []
    for piece in pieces:
        parts.append(piece())
        places.add(parts[-1])
    places.check()
    raw = pl.concat(parts) if parts else no_logs()
    return raw.sort("block_number", "log_index")


def no_logs() -> pl.DataFrame:
    """A raw frame without rows."""
    return pl.DataFrame(schema=RAW_SCHEMA)


class Places:
    """Where the logs of an input stand: one log, one row; one block, one time and one hash; one transaction, one block.

    Holds some 20 bytes a log, so that millions can be checked; of a transaction's hash 64 bits. Two transactions that share these would
    be refused although they differ: one chance in a million at five million transactions, and never a wrong result.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.logs: list[pl.DataFrame] = []
        self.blocks: list[pl.DataFrame] = []
        self.transactions: list[pl.DataFrame] = []

    def add(self, raw: pl.DataFrame) -> None:
        """The rows of one more raw frame."""
        self.logs.append(raw.select("row", LOG_ORDER.alias("place")))
        self.blocks.append(raw.select(*BLOCK, "row").filter(OTHER_BLOCK).unique(BLOCK, keep="first"))
        first = raw.select("transaction_hash", "block_number", "row").filter(OTHER_TRANSACTION)
        self.transactions.append(first.with_columns(pl.col("transaction_hash").hash(0)))

    def join(self, behind: "Places") -> None:
        """What another remembers of the rows behind these."""
        self.logs += behind.logs
        self.blocks += behind.blocks
        self.transactions += behind.transactions

    def check(self) -> None:
        """InputError, with the rows of the file, where a log stands twice, a block has two times or hashes, or a transaction two blocks."""
        if not self.logs:
            return
        problems = [*self._logs()] or [*self._blocks(), *self._transactions()]
        if problems:
            raise InputError(problems)

    def _logs(self) -> Iterator[Finding]:
        logs = pl.concat(self.logs)
        self.logs = [logs]
        if rise(logs.get_column("place")):
            return
        twice = logs.filter(pl.col("place").is_duplicated()).sort("place", "row").head(20)
        for row, here in twice.iter_rows():
            block, index = divmod(here, LOGS_OF_A_BLOCK)
            what = f"log {index} of block {block} stands in another row too."
            yield Finding("error", f"{self.name} row {row}", what, "Remove the duplicate, or find out which of them is true.")

    def _blocks(self) -> Iterator[Finding]:
        blocks = pl.concat(self.blocks).unique(BLOCK, keep="first", maintain_order=True)
        for number, row in _doubled(blocks, "block_number"):
            what = f"block {number} has more than one timestamp or hash."
            yield Finding("error", f"{self.name} row {row}", what, TWO_CHAINS)

    def _transactions(self) -> Iterator[Finding]:
        transactions = pl.concat(self.transactions)
        if transactions.get_column("transaction_hash").n_unique() == transactions.height:
            return
        apart = transactions.unique(["transaction_hash", "block_number"], keep="first")  # the logs of one may not stand together
        for _, row in _doubled(apart, "transaction_hash"):
            yield Finding("error", f"{self.name} row {row}", "its transaction stands in another block too.", TWO_CHAINS)


def _doubled(frame: pl.DataFrame, key: str) -> list[tuple[int, int]]:
    """The values of a key that are in more than one row, each with the first of these rows."""
    return frame.filter(pl.col(key).is_duplicated()).group_by(key).agg(pl.col("row").min()).sort("row").head(20).rows()


def old_layout(where: str, topic: str) -> InputError:
    """The refusal of a log whose topic0 is of an older layout of an event."""
    what = f"topic {topic} is an older layout of an event, whose words mean something else."
    return refusal(where, what, "This version reads no blocks before the launch: cut the range.")


def _check_filter(where: str, log: Log, addresses: Collection[str], refused: tuple[str, ...]) -> None:
    """What decides whether a row is wanted must be whole in every row: one damaged digit would drop a victim without a word."""
    if not ADDRESS(log.address):
        what = f'address is "{log.address[:80]}", which is not 0x and 40 hex digits.'
        raise refusal(where, what, "Export the row again, as the node returned it.")
    topic = log.topics[0] if log.topics else ""
    if not TOPIC(topic) and (log.topics or log.address.lower() in addresses):
        what = f'its first topic is "{topic[:80]}", which is not 0x and 64 hex digits.'
        raise refusal(where, what, "Export the row again, as the node returned it.")
    if topic.lower().startswith(refused) and log.address.lower() in addresses:
        raise old_layout(where, topic)


def _rows(name: str, line: int, chunk: bytes, row_type: type[Row]) -> list[tuple[int, Row]]:
    """(line number, decoded line) of every line of a chunk that is not blank. Line by line, so that each keeps its number."""
    decoder = msgspec.json.Decoder(row_type)
    lines = chunk.split(b"\n")
    try:
        return [(number, decoder.decode(text)) for number, text in enumerate(lines, line) if text and not text.isspace()]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _first_bad_line(name, lines, decoder, line) from None


def _chunks(path: Path) -> Iterator[tuple[int, bytes]]:
    """The file in pieces of whole lines, each with the number of its first line."""
    line, rest = 1, b""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            assert isinstance(file, io.BufferedIOBase)
            while piece := file.read(CHUNK_BYTES):
                head, newline, tail = (rest + piece).rpartition(b"\n")
                rest = tail
                if newline:
                    yield line, head + newline
                    line += head.count(b"\n") + 1
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)  # its text alone: an OSError names the whole path
        raise refusal(path.name, f"cannot be read to its end ({reason}).", "Fetch or export it again.") from None
    if rest.strip():
        yield line, rest + b"\n"


def _first_bad_line(name: str, lines: list[bytes], decoder: msgspec.json.Decoder[Row], first: int) -> InputError:
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            kind = "a block list" if decoder.type is Block else "eth_getLogs"
            what = f"is not a row of {kind} ({error})."
            return refusal(f"{name} row {number}", what, "One JSON object a line is wanted, as the node returned it.")
    raise AssertionError(f"{name}: a line was refused that passes now")


def block_times(path: Path) -> dict[int, int]:
    """Block number -> unix seconds, from a block list: one JSON object with number and timestamp a line."""
    times: dict[int, int] = {}
    for line, chunk in _chunks(path):
        for row, block in _rows(path.name, line, chunk, Block):
            if times.setdefault(block.number, block.timestamp) != block.timestamp:
                what = f"Block {block.number} has another timestamp in a row before."
                raise refusal(f"{path.name} row {row}", what, "Find out which is true.")
    return times


def to_raw(
    name: str, rows: list[tuple[int, Log]], addresses: Collection[str], topics: Collection[str], times: dict[int, int]
) -> pl.DataFrame:
    """The raw frame of the wanted among these numbered rows; `name` says in an error where they come from."""
    wanted_addresses, wanted_topics = frozenset(addresses), frozenset(topics)
    kept = [
        (number, log)
        for number, log in rows
        if log.topics and log.topics[0].lower() in wanted_topics and log.address.lower() in wanted_addresses
    ]
    return dated(name, undated(name, kept), times)


def undated(name: str, rows: list[tuple[int, Log]]) -> pl.DataFrame:
    """The rows as a raw frame (UNDATED): block_time still in unix seconds, null where the node gave none.

    Text is checked for its 0x and digits before it is cut: slice(2) alone would drop digits.
    """
    text = pl.DataFrame(
        {
            "row": [number for number, _ in rows],
            "address": [log.address.lower() for _, log in rows],
            "topic0": [log.topics[0].lower() for _, log in rows],
            "topic1": [log.topics[1] if len(log.topics) > 1 else "0x" for _, log in rows],
            "topic2": [log.topics[2] if len(log.topics) > 2 else "0x" for _, log in rows],
            "topics": [len(log.topics) for _, log in rows],
            "data": [log.data for _, log in rows],
            "block_number": [log.block_number for _, log in rows],
            "block_time": [log.block_timestamp for _, log in rows],
            "block_hash": [log.block_hash.lower() for _, log in rows],
            "transaction_hash": [log.transaction_hash.lower() for _, log in rows],
            "transaction_index": [log.transaction_index for _, log in rows],
            "log_index": [log.log_index for _, log in rows],
            "removed": [log.removed is True for _, log in rows],
        },
        schema={**dict.fromkeys(RAW_SCHEMA, pl.String()), "row": pl.Int64(), "topics": pl.Int64(), "removed": pl.Boolean()},
    )
    try:
        data = binary(text["data"])
    except ValueError:
        data = None
    _check_text(name, text, data is not None)
    assert data is not None, f"{name}: data that is no hex passed its check"
    return text.select(
        *("row", "address", "topic0"),
        *(binary(text[topic]) for topic in ("topic1", "topic2")),
        "topics",
        data,
        *(from_hex(column) for column in ("block_number", "block_time")),
        *("block_hash", "transaction_hash"),
        *(from_hex(column) for column in ("transaction_index", "log_index")),
    )


def dated(name: str, rows: pl.DataFrame, times: dict[int, int]) -> pl.DataFrame:
    """The rows with block_time as a time; it comes as unix seconds, null where the file gave none and `times` must.

    `name` is the file's; rows have row and block_number too. InputError where a block is in no list.
    """
    if times:
        listed = pl.col("block_number").replace_strict(list(times), list(times.values()), default=None, return_dtype=pl.Int64)
        other = rows.filter(pl.col("block_time") != listed)
        if other.height:
            what = f"its timestamp is {other['block_time'][0]}, and the block list says otherwise for block {other['block_number'][0]}."
            raise refusal(f"{name} row {other['row'][0]}", what, "Find out which is true.")
        rows = rows.with_columns(block_time=pl.col("block_time").fill_null(listed))
    undated = rows.filter(pl.col("block_time").is_null())
    if undated.height:
        what = f"{undated.height} logs have no blockTimestamp and no block list dates them (first: block {undated['block_number'][0]})."
        raise refusal(f"{name} row {undated['row'][0]}", what, 'Add blocks = "blocks.jsonl.gz" to [input]: number and timestamp a line.')
    return rows.with_columns(pl.from_epoch("block_time", time_unit="s").dt.cast_time_unit("us").dt.replace_time_zone("UTC"))


def from_hex(name: str) -> pl.Expr:
    """A column of hex quantities, whose shape was checked, as numbers."""
    return pl.col(name).str.slice(2).str.to_integer(base=16, dtype=pl.Int64)


def binary(text: pl.Series) -> pl.Series:
    """A text column of 0x and whole bytes in hex digits as a binary column. ValueError where a cell is anything else, null too.

    As strict as str.decode("hex") and twice as fast; strict, so that no regular expression need read the text before.
    """
    if not text.str.starts_with("0x").all(ignore_nulls=False):
        raise ValueError(f"{text.name}: a cell does not begin with 0x")
    digits = text.str.slice(2)
    pieces = [digits.slice(start, PIECE) for start in range(0, max(digits.len(), 1), PIECE)]
    return pl.concat(pl.Series(text.name, [*map(unhexlify, piece.to_list())], dtype=pl.Binary) for piece in pieces)


def _check_text(name: str, text: pl.DataFrame, data_is_hex: bool) -> None:
    """Every cell is the hex it should be; nothing was removed by a reorganisation. Data that binary() passed is not read again."""
    problems = []
    for column, shape in SHAPES.items():
        if column == "data" and data_is_hex:
            continue
        bad = text.filter(~pl.col(column).str.contains(shape).fill_null(column == "block_time"))
        for row, value in bad.select("row", column).head(20).iter_rows():
            what = f'{column} is "{value[:80]}", which is not 0x and hex digits of the right length.'
            problems.append(Finding("error", f"{name} row {row}", what, "Export the row again, as the node returned it."))
    for row in text.filter("removed").get_column("row").head(20):
        what = "the log was removed by a reorganisation (removed: true)."
        problems.append(Finding("error", f"{name} row {row}", what, "Fetch the range again below a final block."))
    if problems:
        raise InputError(problems[:20])
