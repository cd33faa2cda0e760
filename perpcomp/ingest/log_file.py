"""Files of logs: rows as eth_getLogs returns them, one JSON object a line, read piece by piece into raw frames.

A piece keeps only the rows of the wanted contracts and topics, but checks the address and topic of every row: a damaged digit would
otherwise drop a victim without a word.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from perpcomp.findings import InputError, refusal
from perpcomp.ingest import json_lines
from perpcomp.ingest.block_times import dated
from perpcomp.ingest.raw_frame import Log, Piece, undated

LOGS = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
ADDRESS, TOPIC = (re.compile(rf"0x[0-9a-fA-F]{{{digits}}}", re.ASCII).fullmatch for digits in (40, 64))


def is_log_file(path: Path) -> bool:
    """Whether a file of JSON lines is read here: its first row is one of eth_getLogs with its time under the node's name, or is damaged.

    Rows of other shapes, such as an explorer's or those with numbers, are an export. InputError where the file cannot be read.
    """
    _, chunk = next(json_lines.chunks(path), (1, b""))
    line = next((line for line in chunk.split(b"\n") if line.strip()), b"")
    try:
        row = msgspec.json.decode(line, type=dict[str, Any])
        log = msgspec.convert(row, Log)
    except msgspec.ValidationError:
        return not line.lstrip().startswith((b"{", b"["))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return not line.lstrip().startswith(b"[") and line.strip() != b"{"  # a list or an object over several lines
    if "chainId" in row:  # to be compared with the incident's
        return False
    return log.block_timestamp is not None or not {"timestamp", "timeStamp"} & row.keys()


def log_pieces(
    paths: Sequence[Path],
    addresses: Collection[str],
    topics: Collection[str],
    refused: tuple[str, ...],
    times: dict[int, int],
    anywhere: Collection[str] = (),
) -> Iterator[Piece]:
    """The pieces of files of one input, its rows counted through. Each gives the raw frame of its rows whose address and topic0 are wanted.

    `addresses` and `topics` are lower-case; of the topics, those of `anywhere` are wanted at every address. `refused` are beginnings of topics of event layouts that cannot be read: such a log is an
    error. `times` dates logs whose node gave no blockTimestamp. InputError lists by line what is wrong: unreadable rows, removed
    logs, contradictory times. Consistency checks what only the whole input shows.
    """
    earlier = 0
    for path in paths:
        lines = 0
        for line, chunk in json_lines.chunks(path):
            lines = line - 1 + chunk.count(b"\n")
            yield partial(
                _piece, path.name, line, earlier, chunk, frozenset(addresses), frozenset(topics), refused, times, frozenset(anywhere)
            )
        earlier += lines


def logs_between(
    addresses: Collection[str],
    topics: Collection[str],
    refused: tuple[str, ...],
    anywhere: Collection[str],
    path: Path,
    start: int,
    stop: int | None,
    times: dict[int, int],
) -> Iterator[pl.DataFrame]:
    """The raw frames of a part of a file, as the pieces of `log_pieces`, but with rows that are not numbered through the file.

    The part is the lines that begin in the bytes from `start` to before `stop`; without `stop` the whole file.
    """
    found = (chunk for _, chunk in json_lines.chunks(path)) if stop is None else json_lines.chunks_between(path, start, stop)
    for chunk in found:
        yield _piece(path.name, 1, 0, chunk, addresses, topics, refused, times, anywhere)


def _piece(
    name: str,
    line: int,
    earlier: int,
    chunk: bytes,
    addresses: Collection[str],
    topics: Collection[str],
    refused: tuple[str, ...],
    times: dict[int, int],
    anywhere: Collection[str],
) -> pl.DataFrame:
    rows = json_lines.rows(name, line, chunk, Log, "eth_getLogs")
    for number, log in rows:
        _check_filter(f"{name} row {number}", log, addresses, refused)
    here = [(number, log) for number, log in rows if log.topics and log.topics[0].lower() in topics]
    kept = [(number, log) for number, log in here if log.address.lower() in addresses or log.topics[0].lower() in anywhere]
    raw = dated(name, undated(name, kept), times)
    return raw.with_columns(pl.col("row") + earlier) if earlier else raw


def _check_filter(where: str, log: Log, addresses: Collection[str], refused: tuple[str, ...]) -> None:
    """InputError where a row's address or first topic is malformed, or its event has a layout that cannot be read."""
    if not ADDRESS(log.address):
        what = f'address is "{log.address[:80]}", which is not 0x and 40 hex digits.'
        raise refusal(where, what, "Export the row again, as the node returned it.")
    topic = log.topics[0] if log.topics else ""
    if not TOPIC(topic) and (log.topics or log.address.lower() in addresses):
        what = f'The first topic is "{topic[:80]}", which is not 0x and 64 hex digits.'
        raise refusal(where, what, "Export the row again, as the node returned it.")
    if topic.lower().startswith(refused) and log.address.lower() in addresses:
        raise old_layout(where, topic)


def old_layout(where: str, topic: str) -> InputError:
    """The refusal of a log whose topic0 belongs to an older layout of an event."""
    what = f"Topic {topic} belongs to an older layout of an event, whose words have other meanings."
    return refusal(where, what, "This version cannot read blocks before the launch: shorten the range.")
