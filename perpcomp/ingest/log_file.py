"""A file of logs: rows as eth_getLogs returns them, one JSON object a line, read piece by piece into raw frames.

A piece keeps only the rows of the wanted contracts and topics, but checks the address and topic of every row: a damaged digit would
otherwise drop a victim without a word.
"""

import re
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import polars as pl

from perpcomp.findings import InputError, refusal
from perpcomp.ingest import json_lines
from perpcomp.ingest.block_times import block_times, dated
from perpcomp.ingest.raw_frame import Log, Piece, undated

ADDRESS, TOPIC = (re.compile(rf"0x[0-9a-fA-F]{{{digits}}}", re.ASCII).fullmatch for digits in (40, 64))


def log_pieces(
    path: Path,
    addresses: Collection[str],
    topics: Collection[str],
    refused: tuple[str, ...] = (),
    blocks: Path | None = None,
    anywhere: Collection[str] = (),
) -> Iterator[Piece]:
    """The pieces of a file. Each gives the raw frame of its rows whose address and topic0 are wanted.

    `addresses` and `topics` are lower-case; of the topics, those of `anywhere` are wanted at every address. `refused` are beginnings of topics of event layouts that cannot be read: such a log is an
    error. `blocks` dates logs whose node gave no blockTimestamp. InputError lists by line what is wrong: unreadable rows, removed
    logs, contradictory times. Consistency checks what only the whole input shows.
    """
    times = block_times(blocks) if blocks else {}
    for line, chunk in json_lines.chunks(path):
        yield partial(_piece, path.name, line, chunk, frozenset(addresses), frozenset(topics), refused, times, frozenset(anywhere))


def _piece(
    name: str,
    line: int,
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
    return dated(name, undated(name, kept), times)


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
