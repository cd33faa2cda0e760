"""The raw frame: one row for each log, its topics and data binary, before any event is decoded.

Every source of logs (a file, a node, an export) becomes this frame. The cells are checked here, once.
"""

from binascii import unhexlify
from collections.abc import Callable
from typing import TypeVar

import msgspec
import polars as pl

from perpcomp.findings import Finding, InputError
from perpcomp.tables.schema import TIME

Numbers = TypeVar("Numbers", pl.Expr, pl.Series)
Piece = Callable[[], pl.DataFrame]  # makes one part of a raw frame, in this process or another: it can be pickled

BLOCKS, LOGS_OF_A_BLOCK = 2**40, 2**20  # bounds above any chain's blocks and any block's logs
UNHEX_CELLS = 2_000  # cells converted at a time, whose memory is then reused: reading a file is 1.2 times as fast

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
UNDATED = {**RAW_SCHEMA, "block_time": pl.Int64()}  # block_time in unix seconds, null where the source gives none

# The pattern of each column's text, in lower case or as the node wrote it.
PATTERNS = {
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


BYTES = ("topic1", "topic2", "data")  # columns that become bytes
NUMBERS = ("block_number", "block_time", "transaction_index", "log_index")
KEPT_AS_TEXT = ("address", "topic0", "block_hash", "transaction_hash")  # in lower case
REPEATED = ("address", "topic0")  # columns of few different values


class Log(msgspec.Struct, rename="camel", gc=False):
    """One log as eth_getLogs returns it. Fields that a node adds are ignored."""

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


def log_order(block: Numbers, log_index: Numbers) -> Numbers:
    """Sort key: block * 2**20 + log_index, of two columns or two expressions. No block has 2**20 logs."""
    return block * LOGS_OF_A_BLOCK + log_index


LOG_ORDER = log_order(pl.col("block_number"), pl.col("log_index"))  # the same, of a frame with these two columns


def increases(keys: pl.Series) -> bool:
    """Whether each value is greater than the one before it."""
    return bool((keys.slice(1) > keys.head(-1)).all())


def no_logs() -> pl.DataFrame:
    """A raw frame without rows."""
    return pl.DataFrame(schema=RAW_SCHEMA)


# A node's name of a field -> ours, of the fields that are one text.
TEXTS = {
    "address": "address",
    "data": "data",
    "blockNumber": "block_number",
    "blockTimestamp": "block_time",
    "blockHash": "block_hash",
    "transactionHash": "transaction_hash",
    "transactionIndex": "transaction_index",
    "logIndex": "log_index",
}


def undated(name: str, rows: list[tuple[int, Log]]) -> pl.DataFrame:
    """The numbered logs as a raw frame without times (UNDATED).

    `name` is where the logs come from. InputError lists the rows with a malformed cell and the logs that a reorganisation removed.
    """
    logs = [log for _, log in rows]
    topics = [log.topics for log in logs]
    padded = [own if len(own) > 2 else [*own, "0x", "0x"] for own in topics]
    text = pl.DataFrame(
        {
            "row": [number for number, _ in rows],
            "address": [log.address for log in logs],
            "topic0": [own[0] for own in padded],
            "topic1": [own[1] for own in padded],
            "topic2": [own[2] for own in padded],
            "topics": [len(own) for own in topics],
            "data": [log.data for log in logs],
            "block_number": [log.block_number for log in logs],
            "block_time": [log.block_timestamp for log in logs],
            "block_hash": [log.block_hash for log in logs],
            "transaction_hash": [log.transaction_hash for log in logs],
            "transaction_index": [log.transaction_index for log in logs],
            "log_index": [log.log_index for log in logs],
            "removed": [log.removed is True for log in logs],
        },
        schema={**dict.fromkeys(RAW_SCHEMA, pl.String()), "row": pl.Int64(), "topics": pl.Int64(), "removed": pl.Boolean()},
    )
    return checked(name, text)


def checked(name: str, text: pl.DataFrame) -> pl.DataFrame:
    """`undated` of logs whose cells are columns of text, with `topics` counted: an absent topic1 or topic2 is 0x."""
    raw = plain(text)
    if raw is None:
        text = text.with_columns(pl.col(KEPT_AS_TEXT).str.to_lowercase())
        _check_text(name, text)
        raw = plain(text)
    assert raw is not None, f"{name}: a cell that is malformed passed its check"
    return raw


def plain(text: pl.DataFrame) -> pl.DataFrame | None:
    """`checked` of text that is in lower case and has nothing to refuse; None of any other."""
    try:
        raw = text.with_columns(binary(text[column]) for column in BYTES)
    except ValueError:
        return None
    return raw.select(_from_hex(column) if column in NUMBERS else column for column in RAW_SCHEMA) if _is_plain(raw) else None


def binary(text: pl.Series) -> pl.Series:
    """A text column of 0x and whole bytes in hex digits as a binary column. ValueError where a cell is anything else, or null.

    As strict as str.decode("hex") and twice as fast, so no regular expression needs to read the text first.
    """
    if not text.str.starts_with("0x").all(ignore_nulls=False):
        raise ValueError(f"{text.name}: a cell does not begin with 0x")
    digits = text.str.slice(2)
    parts = [digits.slice(start, UNHEX_CELLS) for start in range(0, max(digits.len(), 1), UNHEX_CELLS)]
    return pl.concat(pl.Series(text.name, [*map(unhexlify, part.to_list())], dtype=pl.Binary) for part in parts)


def _from_hex(name: str) -> pl.Expr:
    """A checked column of hex quantities as numbers."""
    return pl.col(name).str.slice(2).str.to_integer(base=16, dtype=pl.Int64)


def _is_plain(raw: pl.DataFrame) -> bool:
    """Whether the text, of which some columns are bytes already, passes its check as it stands, in lower case."""
    seen = [pl.col(column).unique().str.contains(PATTERNS[column]).all(ignore_nulls=False) for column in REPEATED]
    words = [pl.col(column).bin.size().is_in([0, 32]).all() for column in BYTES if column != "data"]
    others = [rule.all() for column, rule in _rules().items() if column not in (*REPEATED, *BYTES)]
    return all(raw.select_seq(*seen, *words, *others, ~pl.col("removed").any()).row(0))


def _rules() -> dict[str, pl.Expr]:
    """Of each column, which cells are well-formed; a time may be absent."""
    return {column: pl.col(column).str.contains(pattern).fill_null(column == "block_time") for column, pattern in PATTERNS.items()}


def _check_text(name: str, text: pl.DataFrame) -> None:
    """InputError where a cell is malformed or a log was removed."""
    problems = []
    for column, rule in _rules().items():
        bad = text.filter(~rule)
        for row, value in bad.select("row", column).head(20).iter_rows():
            what = f'{column} is "{value[:80]}", which is not 0x and hex digits of the right length.'
            problems.append(Finding("error", f"{name} row {row}", what, "Export the row again, as the node returned it."))
    for row in text.filter("removed").get_column("row").head(20):
        what = "The log was removed by a reorganisation (removed: true)."
        problems.append(Finding("error", f"{name} row {row}", what, "Fetch the range again below a final block."))
    if problems:
        raise InputError(problems[:20])
