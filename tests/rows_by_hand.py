"""Raw logs of a Parquet file, read by DuckDB and decoded row by row with Python's integers: no column, no batch and no Polars.

A second reader of what perpcomp reads at once. It gives the values of every event, or names the rows that must be refused.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb

from perpcomp.ingest.decode import Argument, Event
from perpcomp.systems.perpetual_v1.events import CLEARING_HOUSE_EVENTS, MARKET_EVENTS, OLD_LAYOUTS, TOPICS

HEX_DIGITS = {"address": 40, "hash": 64}
MISSING = {"", "<nil>", "nil", "NULL", "null", "Null", "None", "none", "nan", "NaN", "NAN", "<NA>", "N/A", "n/a", "NA", "\\N"}
BLOCKS, LOGS_OF_A_BLOCK, NUMBERS, AMOUNTS = 2**40, 2**20, 10**18, 10**38
OUT_OF_RANGE: dict[str, Callable[[int], bool]] = {
    "uint": lambda v: not 0 <= v < AMOUNTS,
    "int": lambda v: not -AMOUNTS < v < AMOUNTS,
    "count": lambda v: not 0 <= v < 2**63,
    "bool": lambda v: v not in (0, 1),
    "address": lambda v: not 0 <= v < 2**160,
    "bytes32": lambda _: False,
}
EVENTS = {event.topic0: event for event in CLEARING_HOUSE_EVENTS + MARKET_EVENTS}

Cells = dict[str, Any]  # a row, by column
Values = tuple[Any, ...]
Tables = dict[str, list[Values]]  # event -> identity and arguments of each of its logs


@dataclass(frozen=True)
class Refused(Exception):
    """The rows that are named; 0 is the file as a whole."""

    rows: frozenset[int]


@dataclass(frozen=True)
class Subject:
    """What is read: the chain, the contract that logs the traders' events, all contracts, and times of blocks without one."""

    chain: int
    house: str
    addresses: frozenset[str]
    times: Mapping[int, int]


class Bad(Exception):
    """A cell that is not of its kind."""


def read(path: Path, subject: Subject, part: int, trusted: bool) -> Tables:
    """The events of a file, read `part` rows at a time; Refused names the rows of the first part, and of its first check, that fails.

    A `trusted` file was checked when it was fetched: its cells are read as they are.
    """
    rows = [*_rows(path)]
    tables: Tables = defaultdict(list)
    logs: list[Cells] = []
    for start in range(0, len(rows), part):
        piece = rows[start : start + part]
        kept = [row for row in piece if row["address"] in subject.addresses] if trusted else _checked(piece, subject)
        logs += kept
        _decode(kept, subject, tables)
    _fit_together(logs)
    return dict(tables)


def _rows(path: Path) -> Iterator[Cells]:
    """The rows as DuckDB reads them, numbered from 1; a date with a time in microseconds."""
    with duckdb.connect() as connection:
        described = connection.execute("SELECT * FROM read_parquet(?) LIMIT 0", [str(path)]).description
        assert described
        dated = any(name == "block_time" and str(kind).startswith("TIMESTAMP") for name, kind, *_ in described)
        nested = {name for name, kind, *_ in described if str(kind).endswith("[]")}
        columns = "* REPLACE (epoch_us(block_time) AS block_time)" if dated else "*"
        found = connection.execute(f"SELECT {columns} FROM read_parquet(?)", [str(path)]).fetchall()
    for number, cells in enumerate(found, 1):
        yield {**dict(zip((name for name, *_ in described), cells, strict=True)), "row": number, "dated": dated, "nested": nested}


def _refuse(rows: Iterable[int]) -> None:
    if named := frozenset(rows):
        raise Refused(named)


# An export's cells


def _checked(piece: list[Cells], subject: Subject) -> list[Cells]:
    """The wanted rows with cells as decoding takes them. Of a row that is not wanted, only address and first topic are read."""
    nested = piece[0]["nested"]
    addresses = _column(piece, "address", nested, lambda v: _hex(v, "address", required=True))
    firsts = _column(piece, "topic0", nested, lambda v: _hex(v, "hash"))
    _refuse(addresses[1] | firsts[1])
    where = list(zip(piece, addresses[0], firsts[0], strict=True))
    at_ours = [(row, first) for row, address, first in where if address in subject.addresses]
    _refuse([row["row"] for row, first in at_ours if first and first.startswith(OLD_LAYOUTS)][:1])
    without = {row["row"] for row, first in at_ours if first is None}
    kept = [
        {**row, "address": address, "topic0": first} for row, address, first in where if address in subject.addresses and first in TOPICS
    ]
    bad = without | {row["row"] for row in kept if row.get("removed")}
    for name, kind in {
        "chain_id": lambda v: _chain(v, subject.chain),
        "block_number": lambda v: _number(v, BLOCKS, required=True),
        "block_time": None,
        "block_hash": lambda v: _hex(v, "hash"),
        "transaction_hash": lambda v: _hex(v, "hash", required=True),
        "transaction_index": lambda v: _number(v, NUMBERS),
        "log_index": lambda v: _number(v, LOGS_OF_A_BLOCK, required=True),
        **dict.fromkeys(("topic1", "topic2", "topic3"), _topic),
        "data": _data,
    }.items():
        check = kind or (_moment if piece[0]["dated"] else _seconds)
        values, wrong = _column(kept, name, nested, check)
        bad |= wrong
        for row, value in zip(kept, values, strict=True):
            row[name] = value
    _refuse(bad)
    for row in kept:
        row["topics"] = 1 + sum(bool(row[f"topic{n}"]) for n in (1, 2, 3))
        row["block_time"] = _time(row, subject.times)
    _refuse([row["row"] for row in kept if row["block_time"] == "contradicts"][:1])
    _refuse([row["row"] for row in kept if row["block_time"] is None][:1])
    return kept


def _column(rows: list[Cells], name: str, nested: set[str], check: Callable[[Any], Any]) -> tuple[list[Any], set[int]]:
    """The checked values of a column, None where a cell is bad, and the rows of bad cells."""
    cells = [row.get(name) for row in rows]
    if name in nested:  # a list is no cell: the column as a whole is refused
        return [None] * len(cells), {0}
    if name in FLOATLESS and any(isinstance(cell, float) for cell in cells):  # one row says it of the column
        return [None] * len(cells), {next(row["row"] for row, cell in zip(rows, cells, strict=True) if cell is not None)}
    values, bad = [], set()
    for row, cell in zip(rows, cells, strict=True):
        try:
            values.append(check(None if isinstance(cell, str) and cell in MISSING else cell))
        except Bad:
            values.append(None)
            bad.add(row["row"])
    return values, bad


FLOATLESS = {"address", "topic0", "topic1", "topic2", "topic3", "data", "block_hash", "transaction_hash"}


def _bytes(value: Any) -> bytes:
    """The bytes of a cell of bytes, or of 0x and hex digits."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not re.fullmatch("0x([0-9a-fA-F]{2})*", value):
        raise Bad
    return bytes.fromhex(value[2:])


def _hex(value: Any, kind: str, required: bool = False) -> str | None:
    if value is None and not required:
        return None
    text = _bytes(value).hex()
    if len(text) != HEX_DIGITS[kind]:
        raise Bad
    return "0x" + text


def _topic(value: Any) -> bytes:
    found = b"" if value is None else _bytes(value)
    if len(found) not in (0, 32):
        raise Bad
    return found


def _data(value: Any) -> bytes:
    return _bytes(value)


def _number(value: Any, below: int, required: bool = False) -> int | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if required:
            raise Bad
        return None
    found = -1
    if isinstance(value, str):
        if re.fullmatch("[0-9]{1,18}", value):
            found = int(value)
        elif match := re.fullmatch(r"0x0*([0-9a-fA-F]{1,15})", value):
            found = int(match[1], 16)
        elif match := re.fullmatch(r"([0-9]{1,15})\.0*", value):
            found = int(match[1])
    elif isinstance(value, float) and value.is_integer() and 0 <= value < 10**15:
        found = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    if not 0 <= found < below:
        raise Bad
    return found


def _chain(value: Any, wanted: int) -> int | None:
    found = _number(value, NUMBERS)
    if found not in (None, wanted):
        raise Bad
    return found


def _moment(value: int | None) -> int | None:
    """The unix seconds of microseconds."""
    if value is not None and value % 10**6:
        raise Bad
    return None if value is None else value // 10**6


def _seconds(value: Any) -> int | None:
    """Unix seconds of a number or a text."""
    if value is None:
        return None
    if isinstance(value, float):
        if not value.is_integer():
            raise Bad
        value = int(value)
    text = str(value).strip().upper()
    if re.fullmatch("[0-9]{9,10}", text):
        return int(text)
    if re.fullmatch("[0-9]{10}000", text):
        return int(text) // 1000
    if match := re.fullmatch("0X0*([0-9A-F]{7,8})", text):
        return int(match[1], 16)
    if match := re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9:]{8})(\.0+)?( ?UTC|Z|\+00(:?00)?)?", text):
        try:
            return int(datetime.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp())
        except ValueError:
            raise Bad from None
    raise Bad


def _time(row: Cells, times: Mapping[int, int]) -> datetime | str | None:
    seconds, listed = row["block_time"], times.get(row["block_number"])
    if None not in (seconds, listed) and seconds != listed:
        return "contradicts"
    found = listed if seconds is None else seconds
    return None if found is None else datetime.fromtimestamp(found, UTC)


# Events


def _decode(rows: list[Cells], subject: Subject, tables: Tables) -> None:
    """The events of checked rows. Those of the contract elsewhere, and a market's events at the contract, are nobody's."""
    for events, at_house in ((CLEARING_HOUSE_EVENTS, True), (MARKET_EVENTS, False)):
        for event in events:
            own = [row for row in rows if row["topic0"] == event.topic0 and (row["address"] == subject.house) is at_house]
            found = [(row["row"], _values(row, event)) for row in own]
            _refuse(number for number, values in found if values is None)
            for row, (_, values) in zip(own, found, strict=True):
                assert values is not None
                tables[event.name].append((*_identity(row), *(() if at_house else (row["address"],)), *values))


def _identity(row: Cells) -> Values:
    time = row["block_time"]
    moment = datetime.fromtimestamp(time // 10**6, UTC) if isinstance(time, int) else time
    names = ("block_hash", "transaction_hash", "transaction_index", "log_index")
    return (row["block_number"], moment, *(row[name] for name in names))


def _values(row: Cells, event: Event) -> Values | None:
    """The arguments of a log; None where it cannot be one of this event."""
    if row["data"] is None or len(row["data"]) != 32 * len(event.words) or row["topics"] != 1 + len(event.indexed):
        return None
    in_topics, in_data = iter(row[f"topic{n}"] for n in range(1, 1 + len(event.indexed))), iter(range(0, len(row["data"]), 32))
    values = []
    for argument in event.arguments:
        if argument.indexed:
            value = _of_topic(next(in_topics), argument)
        else:
            start = next(in_data)
            value = _of_word(row["data"][start : start + 32], argument)
        if value is None:
            return None
        values.append(value)
    return tuple(values)


def _of_topic(topic: bytes | None, argument: Argument) -> Any:
    if topic is None or len(topic) != 32:
        return None
    if argument.type == "bytes32":
        return "0x" + topic.hex()
    number = int.from_bytes(topic)
    if argument.type == "count":
        return number if number < 2**56 else None
    return f"0x{number:040x}" if number < 2**160 else None


def _of_word(word: bytes, argument: Argument) -> Any:
    number = int.from_bytes(word, signed=argument.type == "int")
    if OUT_OF_RANGE[argument.type](number):
        return None
    return {"address": f"0x{number:040x}", "bytes32": "0x" + word.hex()}.get(argument.type, number)


# The whole file


def _fit_together(rows: list[Cells]) -> None:
    """Refused where a log is there twice; else where blocks or transactions contradict each other; else where times fall."""
    places = _rows_by(rows, lambda row: (row["block_number"], row["log_index"]))
    _refuse(number for numbers in places.values() if len(numbers) > 1 for number in numbers)
    first_of: dict[Values, int] = {}
    for row in rows:
        first_of.setdefault((row["block_number"], row["block_time"], row["block_hash"]), row["row"])
    contradictory = {min(numbers) for numbers in _several(first_of, lambda block: block[0])}
    first_of_block: dict[int, tuple[Any, int]] = {}
    for (number, _, block_hash), row_number in first_of.items():
        first_of_block.setdefault(number, (block_hash, row_number))
    by_hash: dict[Any, list[int]] = defaultdict(list)
    for block_hash, row_number in first_of_block.values():
        if block_hash is not None:
            by_hash[block_hash].append(row_number)
    contradictory |= {min(numbers) for numbers in by_hash.values() if len(numbers) > 1}
    first_of = {}
    for row in rows:
        first_of.setdefault((row["transaction_hash"], row["block_number"]), row["row"])
    contradictory |= {min(numbers) for numbers in _several(first_of, lambda one: one[0])}
    _refuse(contradictory)
    times = sorted({row["block_number"]: (row["block_time"], row["row"]) for row in reversed(rows)}.items())
    _refuse(row for (_, (before, _)), (_, (time, row)) in pairwise(times) if time < before)


def _rows_by(rows: list[Cells], key: Callable[[Cells], Any]) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row["row"])
    return found


def _several(first_of: dict[Values, int], key: Callable[[Values], Any]) -> list[list[int]]:
    """The rows of the things that share a key, where several do."""
    found: dict[Any, list[int]] = defaultdict(list)
    for thing, number in first_of.items():
        found[key(thing)].append(number)
    return [numbers for numbers in found.values() if len(numbers) > 1]
