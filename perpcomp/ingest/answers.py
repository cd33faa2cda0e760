"""Answers to eth_getLogs as frames: read in columns where they are exactly as nodes write them, else log by log, to say what is odd.

A parser of columns is lax: it makes text of numbers and null of missing keys, and of two equal keys it takes one. What it read is
believed only where every value has the shape of its hex and the answer is exactly as long as these values with their keys: then
nothing else is in it. Anything odd, be it only a blank, is read by the strict parser, which accepts it or names the fault.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec
import polars as pl

from perpcomp.findings import InputError
from perpcomp.ingest.decode import WORD
from perpcomp.ingest.logs import LOG_PLACE, SHAPES, Log, binary, from_hex, undated, unhex
from perpcomp.ingest.refusals import Range
from perpcomp.ingest.rpc import Fault, to_int

_LOGS = msgspec.json.Decoder(list[Log])
_HASHES = {"blockHash": "block_hash", "transactionHash": "transaction_hash"}
_NUMBERS = {"blockNumber": "block_number", "transactionIndex": "transaction_index", "logIndex": "log_index"}
_TIME = "blockTimestamp"
_KEYS = ("address", "topics", "data", *_HASHES, *_NUMBERS)  # what every log has
_COLUMNS = {**dict.fromkeys((*_KEYS, _TIME), pl.String()), "topics": pl.List(pl.String()), "removed": pl.Boolean()}
_TOPIC = len("0x") + 2 * WORD
_MOST = 3  # topics that an event of ours has
PIECE_BYTES = 2**19  # parsed at a time: larger buffers go back to the system each time, and come from there again


def read_logs_answer(raw: bytes, asked: Range, addresses: Collection[str], topics: Collection[str]) -> pl.DataFrame:
    """The logs of a result of eth_getLogs (UNDATED, as ordered), if they are of what was asked, in order, each once; else a Fault."""
    frame = at_once(raw, asked, addresses, topics)
    return log_by_log(raw, asked, addresses, topics) if frame is None else frame


def read_logs_of_receipts(
    receipts: Iterable[dict[str, Any]], asked: Range, addresses: Collection[str], topics: Collection[str]
) -> pl.DataFrame:
    """The same from receipts, of which the logs of these contracts and topics count."""
    try:
        logs = [log for receipt in receipts for log in msgspec.convert(receipt["logs"], list[Log])]
    except (msgspec.ValidationError, KeyError) as error:
        raise Fault(f"a receipt holds what is no log ({error})") from None
    ours = [log for log in logs if log.topics and log.address.lower() in addresses and log.topics[0].lower() in topics]
    return _checked(ours, asked, addresses, topics)


# In columns


def at_once(raw: bytes, asked: Range, addresses: Collection[str], topics: Collection[str]) -> pl.DataFrame | None:
    """The frame of an answer with nothing odd in it; None for any other."""
    if not (raw.startswith(b"[{") and raw.endswith(b"}]")):
        return None
    try:
        read = pl.concat([pl.read_json(piece, schema=_COLUMNS) for piece in _pieces(raw)], rechunk=True).with_columns_seq(_MADE)
    except pl.exceptions.PolarsError:
        return None
    inside = pl.col("block_number").is_between(*asked).all()
    length, fewest, found, events, *good = read.select_seq(*_FACTS, *_RULES, inside).row(0)
    if not all(rule is True for rule in good) or set(found) - set(addresses) or set(events) - set(topics) or length != len(raw):
        return None
    if fewest == 1 and raw.count(b'"topics":["') != read.height:  # a text in the place of a list is read as a list of one
        return None
    try:
        return read.with_columns_seq(binary(read["data"]), unhex(read["indexed"])).select_seq(_FRAME)
    except ValueError:
        return None


def _pieces(raw: bytes) -> Iterator[bytes]:
    """A list in several, cut between logs."""
    start, end = 1, len(raw) - 1
    while start < end:
        cut = raw.find(b"},{", start + PIECE_BYTES) + 1 or end
        yield b"[" + raw[start:cut] + b"]"
        start = cut + 1


_TOPICS = [pl.col("topics").list.get(n, null_on_oob=True) for n in range(_MOST)]
_MADE = [
    *(from_hex(theirs).alias(ours) for theirs, ours in {**_NUMBERS, _TIME: "block_time"}.items()),
    *(topic.alias(f"topic{n}") for n, topic in enumerate(_TOPICS)),
    pl.col("topics").list.len().cast(pl.Int64).alias("count"),
    pl.concat_str(topic.str.slice(len("0x")).fill_null("") for topic in _TOPICS[1:]).alias("indexed"),
]
# The text of a log without its topics and of what has no fixed length; the last comma stands between two logs.
_FIXED = len("{}") + sum(len(f'"{key}":"",') for key in _KEYS) + len("0x") + 40 + len(_HASHES) * _TOPIC
_LENGTH = pl.sum_horizontal(
    pl.len() * (_FIXED - len(",")) + pl.col("count").sum() * (_TOPIC + len('"",')),  # behind the last topic stands no comma
    *(pl.col(key).str.len_bytes().cast(pl.Int64).sum() for key in ("data", *_NUMBERS, _TIME)),
    pl.col(_TIME).count() * len(f',"{_TIME}":""') + pl.col("removed").count() * len(',"removed":false'),
)
_FACTS = [
    _LENGTH + len("[]") - len(","),
    pl.col("count").min(),
    pl.col("address").unique().implode(),
    pl.col("topic0").unique().implode().alias("topic0"),
]
_RULES = [
    rule.all(ignore_nulls=False).alias(f"rule {n}")
    for n, rule in enumerate(
        [
            pl.col("removed").fill_null(False).not_(),
            pl.col("count").is_between(1, _MOST),
            *((pl.col(f"topic{n}").str.len_bytes() == _TOPIC).fill_null(pl.col("count") <= n) for n in range(_MOST)),
            *(pl.col(f"topic{n}").str.starts_with("0x").fill_null(True) for n in range(1, _MOST)),
            # Values come again and again: each is looked at once.
            *(pl.col(theirs).unique().str.contains(SHAPES[ours]) for theirs, ours in (_HASHES | _NUMBERS).items()),
            pl.col(_TIME).drop_nulls().unique().str.contains(SHAPES["block_time"]),
            LOG_PLACE.diff(null_behavior="drop") > 0,
        ]
    )
]
_FRAME = [
    pl.lit(0, dtype=pl.Int64).alias("row"),
    *("address", "topic0"),
    *(pl.col("indexed").bin.slice(WORD * (n - 1), WORD).alias(f"topic{n}") for n in range(1, _MOST)),  # empty where there are fewer
    pl.col("count").alias("topics"),
    *("data", "block_number", "block_time"),
    *(pl.col(theirs).alias(ours) for theirs, ours in _HASHES.items()),
    *("transaction_index", "log_index"),
]


# Log by log


def log_by_log(raw: bytes, asked: Range, addresses: Collection[str], topics: Collection[str]) -> pl.DataFrame:
    """The same, slowly, with a Fault that names what is wrong."""
    return _checked(_strictly(raw), asked, addresses, topics)


def _strictly(raw: bytes) -> list[Log]:
    """The logs, if no key of a log is doubled or escaped, and none missing."""
    try:
        logs = _LOGS.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Fault(f"the answer holds what is no log ({error})") from None
    # JSON takes the last of two equal keys without a word; the values are hex, so a doubled key only shows in the number of quotes.
    texts = sum(15 + len(log.topics) + 2 * (log.block_timestamp is not None) + (log.removed is not msgspec.UNSET) for log in logs)
    if b"\\" not in raw and raw.count(b'"') == 2 * texts:
        return logs
    # A node may add fields of its own: then each key is counted by itself.
    there = {key: {len(logs)} for key in _KEYS}
    there["removed"] = {sum(log.removed is not msgspec.UNSET for log in logs)}
    there[_TIME] = {sum(log.block_timestamp is not None for log in logs), len(logs)}  # null where it is not known, or not there
    if b"\\" in raw or any(raw.count(f'"{key}"'.encode()) not in counts for key, counts in there.items()):
        raise Fault("the answer holds a log with a doubled or disguised key")
    return logs


def _checked(logs: list[Log], asked: Range, addresses: Collection[str], topics: Collection[str]) -> pl.DataFrame:
    """The logs as a frame, if they are of what was asked, in order, each once; a Fault names what is not."""
    before = (-1, -1)
    for log in logs:
        here = (to_int(log.block_number), to_int(log.log_index))
        if log.removed is True:
            raise Fault(f"a log of block {here[0]} was removed by a reorganisation")
        if not asked[0] <= here[0] <= asked[1]:
            raise Fault(f"a log of block {here[0]} is in the answer for {asked[0]} to {asked[1]}")
        if here <= before:
            raise Fault(f"the logs of block {here[0]} are out of order or doubled")
        if log.address.lower() not in addresses or not log.topics or log.topics[0].lower() not in topics:
            raise Fault(f"a log of block {here[0]} is of another contract or event")
        before = here
    try:
        return undated("log", list(enumerate(logs, 1)))
    except InputError as error:
        raise Fault("; ".join(f"{problem.where}: {problem.what}".rstrip(".") for problem in error.problems[:3])) from None
