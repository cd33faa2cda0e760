"""Answers to eth_getLogs as frames: only logs that were asked for, in order, each once, and nothing else in the answer.

msgspec checks the types, but accepts blanks, unknown keys, and duplicate or escaped keys. Each of these makes the answer longer than
its values and keys are. So an answer of exactly that length holds nothing else, and becomes columns at once. Any other answer is
checked log by log, and accepted or refused with a reason. Without the fast way, fetching takes 1.34 times as long (tests.bench
fetching, median of 7 paired rounds); without the two caches below, 1.12 times.
"""

import re
from binascii import unhexlify
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby, zip_longest
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl

from perpcomp.findings import InputError
from perpcomp.ingest.decode import WORD
from perpcomp.ingest.node.refusals import Range
from perpcomp.ingest.node.results import BadAnswer, Raw, to_int
from perpcomp.ingest.raw_frame import PATTERNS, UNDATED, Log, increases, log_order, undated

_LOGS = msgspec.json.Decoder(list[Log])
_TIME = "blockTimestamp"
_KEYS = ("address", "topics", "data", "blockHash", "blockNumber", "transactionHash", "transactionIndex", "logIndex")  # what every log has
_MOST = 3  # the most topics of a decoded event
_SHAPES = {name: re.compile(shape, re.ASCII).fullmatch for name, shape in PATTERNS.items()}

# Length of a log's text without its values. Topics have brackets where other values have quotes.
_AROUND = len("{}") + sum(len(f'"{key}":"",') for key in _KEYS)  # the last comma separates two logs
_AROUND_TIME, _REMOVED = len(f',"{_TIME}":""'), len(',"removed":false')
_TOPIC = len('"0x",') + 2 * WORD


class _Every(frozenset[str]):
    """Holds every address, though it lists none."""

    def __contains__(self, _: object) -> bool:
        return True


EVERY_ADDRESS = _Every()


def read_logs_answer(raw: Raw, asked: Range, addresses: Collection[str], topics: Collection[str]) -> pl.DataFrame:
    """The logs of a result of eth_getLogs as an UNDATED frame. BadAnswer unless all were asked for, and are in order, each once."""
    try:
        logs = _LOGS.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"the answer holds something that is not a log ({error})") from None
    frame = at_once(logs, len(raw), asked, addresses, topics)
    return log_by_log(logs, raw, asked, addresses, topics) if frame is None else frame


def read_logs_of_receipts(
    receipts: Iterable[dict[str, Any]], asked: Range, addresses: Collection[str], topics: Collection[str]
) -> pl.DataFrame:
    """The same from a block's receipts; logs of other contracts and topics are left out."""
    try:
        logs = [log for receipt in receipts for log in msgspec.convert(receipt["logs"], list[Log])]
    except (msgspec.ValidationError, KeyError) as error:
        raise BadAnswer(f"a receipt holds something that is not a log ({error})") from None
    ours = [log for log in logs if log.topics and log.address.lower() in addresses and log.topics[0].lower() in topics]
    return _checked(ours, asked, addresses, topics)


# At once


class _NotPlain(Exception):
    """An answer is not written exactly as nodes usually do."""


def at_once(logs: list[Log], length: int, asked: Range, addresses: Collection[str], topics: Collection[str]) -> pl.DataFrame | None:
    """The frame of an answer's logs, if `length` is exactly that of their values and keys; None for any other answer."""
    if not logs:
        return None
    try:
        shared, shared_length = _shared(logs, addresses)
        own, own_length = _own(logs, topics)
    except (_NotPlain, ValueError):  # a ValueError is unhexlify's
        return None
    if length != len("[]") - len(",") + _AROUND * len(logs) + shared_length + own_length:
        return None
    columns, blocks = shared | own, shared["block_number"]
    inside = asked[0] <= blocks.item(0) and blocks.item(-1) <= asked[1]  # all blocks are, if they increase
    if not (inside and increases(log_order(blocks, own["log_index"]))):
        return None
    return pl.DataFrame([columns[name] for name in UNDATED])


# What a log shares with the other logs of its transaction, which are adjacent: read once for all of them.
_SHARED = attrgetter("address", "block_number", "block_timestamp", "block_hash", "transaction_hash", "transaction_index", "removed")
_SHARED_COLUMNS = ("address", "block_number", "block_time", "block_hash", "transaction_hash", "transaction_index")


def _shared(logs: list[Log], addresses: Collection[str]) -> tuple[dict[str, pl.Series], int]:
    """The shared values of the logs in columns, and the length of their text."""
    columns: dict[str, list[Any]] = {name: [] for name in _SHARED_COLUMNS}
    runs, length = [], 0
    for (address, block, time, block_hash, transaction, index, removed), run in groupby(logs, _SHARED):
        if address not in addresses or removed is True:
            raise _NotPlain
        columns["address"].append(address)
        columns["block_number"].append(_number("block_number", block))
        columns["block_time"].append(None if time is None else _number("block_time", time))
        columns["block_hash"].append(_shaped("block_hash", block_hash))
        columns["transaction_hash"].append(_shaped("transaction_hash", transaction))
        columns["transaction_index"].append(_number("transaction_index", index))
        text = len(address) + len(block) + len(block_hash) + len(transaction) + len(index)
        text += 0 if time is None else _AROUND_TIME + len(time)
        text += _REMOVED if removed is False else 0
        runs.append(len([*run]))
        length += runs[-1] * text
    run_of = pl.Series([n for n, run in enumerate(runs) for _ in range(run)], dtype=pl.UInt32)
    return {name: column[run_of] for name, column in _series(columns).items()}, length


def _own(logs: list[Log], topics: Collection[str]) -> tuple[dict[str, pl.Series], int]:
    """The values of each single log in columns, and the length of their text."""
    listed, data, indices = [log.topics for log in logs], [log.data for log in logs], [log.log_index for log in logs]
    counts, blobs = [*map(len, listed)], [unhexlify(text.removeprefix("0x")) for text in data]
    if not 1 <= min(counts) <= max(counts) <= _MOST:
        raise _NotPlain
    places = [*zip_longest(*listed)]  # the topics at each place, None where a log has no more
    first, *others = places + [(None,) * len(logs)] * (_MOST - len(places))
    if not {*first} <= {*topics}:
        raise _NotPlain
    digits = sum(map(len, data))
    # A text without 0x would give as many bytes as a longer one with it.
    if digits != len("0x") * len(data) + 2 * sum(map(len, blobs)):
        raise _NotPlain
    columns = {
        "row": [0] * len(logs),
        "topic0": first,
        **{f"topic{n}": [*map(_word, column)] for n, column in enumerate(others, 1)},
        "topics": counts,
        "data": blobs,
        "log_index": [*map(_index, indices)],
    }
    length = digits + sum(map(len, indices)) + _TOPIC * sum(counts) - len(",") * len(logs)
    return _series(columns), length


def _series(columns: Mapping[str, Sequence[Any]]) -> dict[str, pl.Series]:
    """The columns. Two frames of them would double the time of an answer of few logs."""
    return {name: pl.Series(name, values, UNDATED[name]) for name, values in columns.items()}


def _shaped(name: str, text: str) -> str:
    if not _SHAPES[name](text):
        raise _NotPlain
    return text


def _number(name: str, text: str) -> int:
    if len(text) > len("0x") + 16:  # to_int refuses leading zeros beyond
        raise _NotPlain
    return int(_shaped(name, text), 16)


@lru_cache(maxsize=2**12)
def _index(text: str) -> int:
    return _number("log_index", text)


@lru_cache(maxsize=2**16)
def _word(topic: str | None) -> bytes:
    """A topic as bytes; of an absent one none. Traders and markets repeat."""
    if topic is None:
        return b""
    if len(topic) != len("0x") + 2 * WORD or not topic.startswith("0x"):
        raise _NotPlain
    return unhexlify(topic.removeprefix("0x"))


# Log by log


def log_by_log(logs: list[Log], raw: Raw, asked: Range, addresses: Collection[str], topics: Collection[str]) -> pl.DataFrame:
    """The frame of the logs of any answer, checked one by one. BadAnswer names what is wrong."""
    _check_keys(bytes(raw), logs)
    return _checked(logs, asked, addresses, topics)


def _check_keys(raw: bytes, logs: list[Log]) -> None:
    """BadAnswer where a key of a log is duplicate or escaped: JSON parsers keep the last of two equal keys silently."""
    # No value contains a quote, so the number of quotes shows every additional key.
    texts = sum(15 + len(log.topics) + 2 * (log.block_timestamp is not None) + (log.removed is not msgspec.UNSET) for log in logs)
    if b"\\" not in raw and raw.count(b'"') == 2 * texts:
        return
    # A node may add fields of its own. Then each known key is counted.
    there = {key: {len(logs)} for key in _KEYS}
    there["removed"] = {sum(log.removed is not msgspec.UNSET for log in logs)}
    there[_TIME] = {sum(log.block_timestamp is not None for log in logs), len(logs)}  # a node may give null, or leave the key out
    if b"\\" in raw or any(raw.count(f'"{key}"'.encode()) not in counts for key, counts in there.items()):
        raise BadAnswer("the answer holds a log with a duplicate or escaped key")


def _checked(logs: list[Log], asked: Range, addresses: Collection[str], topics: Collection[str]) -> pl.DataFrame:
    """The logs as a frame. BadAnswer names a log that was not asked for, is out of order, or is there twice."""
    before = (-1, -1)
    for log in logs:
        here = (to_int(log.block_number), to_int(log.log_index))
        if log.removed is True:
            raise BadAnswer(f"a log of block {here[0]} was removed by a reorganisation")
        if not asked[0] <= here[0] <= asked[1]:
            raise BadAnswer(f"a log of block {here[0]} is in the answer for {asked[0]} to {asked[1]}")
        if here <= before:
            raise BadAnswer(f"the logs of block {here[0]} are out of order or duplicate")
        if log.address.lower() not in addresses or not log.topics or log.topics[0].lower() not in topics:
            raise BadAnswer(f"a log of block {here[0]} belongs to another contract or event")
        before = here
    try:
        return undated("log", list(enumerate(logs, 1)))
    except InputError as error:
        raise BadAnswer("; ".join(f"{problem.where}: {problem.what}".rstrip(".") for problem in error.problems[:3])) from None
