"""Files of logs: rows as eth_getLogs returns them, one JSON object a line, read piece by piece into raw frames.

A piece keeps only the rows of the wanted contracts and topics, but checks the address and topic of every row: a damaged digit would
otherwise drop a victim without a word.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from perpcomp.findings import InputError, refusal
from perpcomp.ingest import json_lines, plain_lines
from perpcomp.ingest.block_times import dated
from perpcomp.ingest.raw_frame import KEPT_AS_TEXT, TEXTS, Log, Piece, binary, checked, undated

LOGS = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
ADDRESS, TOPIC = (re.compile(rf"0x[0-9a-fA-F]{{{digits}}}", re.ASCII).fullmatch for digits in (40, 64))


def is_log_file(path: Path) -> bool:
    """Whether a file of JSON lines is read here: its first row is one of eth_getLogs with its time under the node's name, or is damaged.

    Rows of other shapes, such as an explorer's or those with numbers, are an export. InputError where the file cannot be read.
    """
    line = json_lines.first_line(path)
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
        line, chunk = 1, b""
        for line, chunk in json_lines.chunks(path):
            yield partial(
                _piece, path.name, line, earlier, chunk, frozenset(addresses), frozenset(topics), refused, times, frozenset(anywhere)
            )
        earlier += line - 1 + json_lines.count_lines(chunk)


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
    def wanted(where: str, address: str, topic: str | None) -> bool:
        _check_filter(where, address, topic, addresses, refused)
        first = (topic or "").lower()
        return first in topics and (address.lower() in addresses or first in anywhere)

    with suppress(InputError):  # then the lines are read one by one, to name the damaged one
        if (text := _texts(earlier + line, chunk, wanted)) is not None:
            return dated(name, checked(name, text), times)
    judged: dict[tuple[str, str | None], bool] = {}  # a chunk holds few different pairs
    kept = []
    for number, log in json_lines.rows(name, line, chunk, Log, "eth_getLogs"):
        pair = log.address, log.topics[0] if log.topics else None
        if pair not in judged:
            judged[pair] = wanted(f"{name} row {number}", *pair)
        if judged[pair]:
            kept.append((number, log))
    raw = dated(name, undated(name, kept), times)
    return raw.with_columns(pl.col("row") + earlier) if earlier else raw


def _texts(row: int, chunk: bytes, wanted: Callable[[str, str, str | None], bool]) -> pl.DataFrame | None:
    """The wanted lines as `checked` takes them, the first as this row; None where `rows` must read the chunk. InputError as `wanted` raises it."""
    frame = plain_lines.table(chunk)
    if frame is None or not _are_hex(frame, ["topic3"]):
        return None
    pairs = frame.select("address", "topic0").unique()
    ours = pairs.select(pl.Series("ours", [wanted("", address, first) for address, first in pairs.iter_rows()], dtype=pl.Boolean), pl.all())
    if not ours["ours"].all():
        frame = frame.join(ours, on=["address", "topic0"], maintain_order="left")
        others = frame.filter(~pl.col("ours"))
        if not _are_hex(others, [*({*TEXTS.values()} - {"data"}), "topic1", "topic2"]) or not _is_bytes(others["data"]):
            return None
        # Few rows would hold the text of the whole chunk in memory; in lower case they are copies.
        frame = frame.filter("ours").with_columns(pl.col(KEPT_AS_TEXT).str.to_lowercase())
    return frame.with_columns(pl.col("row") + row)


def _are_hex(frame: pl.DataFrame, names: Collection[str]) -> bool:
    """Whether the cells are 0x and hex digits, or absent."""
    return bool(frame.select_seq(pl.all_horizontal(pl.col(name).str.contains(plain_lines.HEX).all() for name in names)).item())


def _is_bytes(text: pl.Series) -> bool:
    """Whether the cells are 0x and whole bytes in hex digits. To make the bytes takes half the time of a regular expression."""
    try:
        binary(text)
    except ValueError:
        return False
    return True


def _check_filter(where: str, address: str, topic: str | None, addresses: Collection[str], refused: tuple[str, ...]) -> None:
    """InputError where a row's address or first topic is malformed, or its event has a layout that cannot be read."""
    if not ADDRESS(address):
        what = f'address is "{address[:80]}", which is not 0x and 40 hex digits.'
        raise refusal(where, what, "Export the row again, as the node returned it.")
    ours = address.lower() in addresses
    if not TOPIC(topic or "") and (topic is not None or ours):
        what = f'The first topic is "{(topic or "")[:80]}", which is not 0x and 64 hex digits.'
        raise refusal(where, what, "Export the row again, as the node returned it.")
    if topic is not None and topic.lower().startswith(refused) and ours:
        raise old_layout(where, topic)


def old_layout(where: str, topic: str) -> InputError:
    """The refusal of a log whose topic0 belongs to an older layout of an event."""
    what = f"Topic {topic} belongs to an older layout of an event, whose words have other meanings."
    return refusal(where, what, "This version cannot read blocks before the launch: shorten the range.")
