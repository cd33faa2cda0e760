"""A Parquet file of raw logs, whole or spoilt, gives the values that a reader of single rows finds, or names the rows that it names."""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.ingest.consistency import Consistency
from perpcomp.ingest.exports import read as exports
from perpcomp.ingest.node import store
from perpcomp.ingest.raw_frame import RAW_SCHEMA
from perpcomp.piece import decoder
from perpcomp.systems.perpetual_v1 import events as v1
from tests import rows_by_hand
from tests.raw_logs import read_logs
from tests.rows_by_hand import Refused, Subject, Tables

REHEARSAL = incident_file.load("rehearsal")
CHAIN, HOUSE = REHEARSAL.chain.id, REHEARSAL.chain.clearing_house
MARKETS = [market.amm for market in REHEARSAL.markets]
ADDRESSES = frozenset([HOUSE, *MARKETS])
WANTED = v1.wanted(CHAIN, HOUSE, ADDRESSES)
RAW = read_logs(REHEARSAL.folder / "rehearsal" / "logs.jsonl.gz", ADDRESSES, v1.TOPICS)
# Some logs of every event, and all of two liquidations' transactions, in the order of the chain.
FEW = RAW.filter(pl.int_range(pl.len()).over("topic0") < 4).sort("block_number", "log_index")
LOGS = FEW.with_columns(topic3=pl.lit(None, dtype=pl.Binary), chain_id=pl.lit(CHAIN, dtype=pl.Int64), removed=pl.lit(False))
TIMES = dict(LOGS.select("block_number", pl.col("block_time").dt.epoch("s")).rows())

HEXES = ("address", "topic0", "topic1", "topic2", "topic3", "data", "transaction_hash", "block_hash")
NUMBERS = ("chain_id", "block_number", "transaction_index", "log_index")
FORMS = {"bytes": pl.Binary(), "text": pl.String(), "integers": pl.Int64(), "small": pl.UInt32(), "floats": pl.Float64()}
WORDS = [0, 1, 2, 2**56, 2**63 - 1, 2**63, 2**127, 2**128, 2**160, 10**38 - 1, 10**38, 2**255, 2**256 - 1, 2**256 - 10**38, 2**256 - 2**127]
LOST = [f"{n:#x}" for n in (7, 2**20, 2**40)]
SPOILT_NUMBERS = [None, 0, 7, 2**20 - 1, 2**20, 2**40, -1]
SPOILT_DIGITS = [
    "",
    "null",
    "7",
    "007",
    "7.0",
    "7.5",
    "1e3",
    "0x",
    "0x7g",
    "0X7",
    " 7",
    "+7",
    "-1",
    "1,000",
    "9" * 18,
    "9" * 19,
    "٧",
    *LOST,
]
SPOILT_FLOATS = [None, 7.0, 7.5, -1.0, float("nan"), float("inf"), 2.0**40, 1e20]

Row = dict[str, Any]


def as_hex(value: bytes | None) -> str | None:
    return None if value is None else "0x" + value.hex()


def recorded() -> list[Row]:
    """Every hex cell as bytes, an absent topic as null, and times in unix seconds."""
    rows = []
    for row in LOGS.with_columns(pl.col("block_time").dt.epoch("s")).iter_rows(named=True):
        cells = {name: bytes.fromhex(row[name][2:]) if isinstance(row[name], str) else row[name] or None for name in HEXES}
        rows.append({**row, **cells, "data": row["data"]})
    return rows


RECORDED = recorded()


# How an exporter may write a column


def written_times(form: str, seconds: int) -> Any:
    match form:
        case "microseconds" | "milliseconds" | "moments":
            return datetime.fromtimestamp(seconds, UTC)
        case "text":
            return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.000 UTC"
        case "hex":
            return hex(seconds)
        case "floats":
            return float(seconds)
        case "thousands":
            return seconds * 1000
    return seconds


TIME_FORMS = {
    "moments": pl.Datetime("us", "UTC"),
    "microseconds": pl.Datetime("us"),
    "milliseconds": pl.Datetime("ms"),
    "integers": pl.Int64(),
    "thousands": pl.Int64(),
    "floats": pl.Float64(),
    "text": pl.String(),
    "hex": pl.String(),
}
SPOILT_TIMES: dict[str, list[Any]] = {
    "dates": [None, datetime(2021, 2, 20, 12, 0, 0, 500_000), datetime(2021, 2, 20, 12), datetime(1969, 1, 1)],
    "integers": [None, 0, -1, 1613859461, 16138594610, 1613859461500, 20210220],
    "floats": [None, 1613859461.0, 1613859461.5, float("nan"), -1.0],
    "text": [None, "", "2021-02-30 00:00:00", "2021-02-20", "2021-02-20T12:00:00+01:00", "2021-02-20T12:00:00.5Z", "0x6031", "soon"],
}
KIND = {"moments": "dates", "microseconds": "dates", "milliseconds": "dates", "thousands": "integers", "hex": "text"}


def spoilt_hex(draw: st.DrawFn, value: bytes | None, form: str) -> Any:
    """A cell of bytes or of hex text that is absent, cut, too long, not padded, or written in another way."""
    known = value if value is not None else bytes(32)
    place = draw(st.integers(0, max(len(known) - 1, 0)))
    others = [
        None,
        b"",
        known[:-1],
        known + b"\0",
        known[1:],
        b"\1" + known[1:],
        known[:place] + bytes([255]) + known[place + 1 :],
        known * 2,
    ]
    other = draw(st.sampled_from(others))
    if form == "bytes":
        return other
    text = as_hex(draw(st.sampled_from([known, other]))) or ""
    ways: list[Callable[[], str | None]] = [
        lambda: text,
        lambda: "0x" + text[2:].upper(),
        lambda: text.upper(),
        lambda: text[2:],
        lambda: text[:-1],
        lambda: text[: 2 + place] + draw(st.sampled_from(["g", " ", "１", "\n", "-"])) + text[3 + place :],
        lambda: text + draw(st.sampled_from([" ", "\n", "\0"])),
        lambda: draw(st.sampled_from([None, "", "0x", "null", "None", "N/A", "0x0"])),
    ]
    return draw(st.sampled_from(ways))()


def other_word(draw: st.DrawFn, data: bytes | None) -> bytes | None:
    """The data with another word."""
    if not data or len(data) < 32:
        return data
    start = 32 * draw(st.integers(0, len(data) // 32 - 1))
    return data[:start] + draw(st.sampled_from(WORDS)).to_bytes(32) + data[start + 32 :]


def changed_rows(draw: st.DrawFn, rows: list[Row]) -> None:
    """What is wrong with whole rows: twice in the file, of another place, event, contract or block, or removed from the chain."""
    n = draw(st.integers(0, len(rows) - 1))
    row = dict(rows[n])
    match draw(
        st.sampled_from(["twice", "data", "place", "event", "contract", "block", "block hash", "transaction", "removed", "order", "word"])
    ):
        case "twice":
            rows.insert(draw(st.integers(0, len(rows))), row)
        case "data":  # of a log that is there already
            rows.append({**row, "data": other_word(draw, row["data"])})
        case "place":
            rows[n] = {**row, "log_index": draw(st.sampled_from(rows))["log_index"]}
        case "event":
            topic = draw(st.sampled_from([*sorted(v1.TOPICS), "0x" + "12" * 32, v1.OLD_LAYOUTS[0] + "00" * 28]))
            rows[n] = {**row, "topic0": draw(st.sampled_from([bytes.fromhex(topic[2:]), None]))}
        case "contract":
            rows[n] = {**row, "address": bytes.fromhex(draw(st.sampled_from([HOUSE, MARKETS[0], "0x" + "12" * 20]))[2:])}
        case "block":
            rows[n] = {**row, "block_number": draw(st.sampled_from(rows))["block_number"]}
        case "block hash":
            rows[n] = {**row, "block_hash": draw(st.sampled_from([None, bytes(32), draw(st.sampled_from(rows))["block_hash"]]))}
        case "transaction":
            rows[n] = {**row, "transaction_hash": draw(st.sampled_from(rows))["transaction_hash"]}
        case "removed":
            rows[n] = {**row, "removed": draw(st.sampled_from([True, None]))}
        case "order":
            rows.reverse()
        case "word":
            rows[n] = {**row, "data": other_word(draw, row["data"])}


def column(draw: st.DrawFn, name: str, rows: list[Row], spoil: bool) -> pl.Series:
    """A column in one of the ways that exporters write it; of a spoilt one a cell, or all of it, is something else."""
    values = [row[name] for row in rows]
    n, all_of_it = draw(st.integers(0, len(rows) - 1)), spoil and draw(st.integers(0, 9)) == 0
    if name in HEXES:
        if all_of_it:
            wrong = draw(st.sampled_from(["integers", "floats", "lists"]))
            dtype = FORMS.get(wrong, pl.List(pl.Int64()))
            cells = [None if draw(st.booleans()) else [7] if wrong == "lists" else 7 for _ in rows]
            return pl.Series(name, cells, dtype=dtype)
        form = draw(st.sampled_from(["bytes", "text"]))
        cells = values if form == "bytes" else [as_hex(value) for value in values]
        if spoil:
            cells[n] = spoilt_hex(draw, values[n], form)
        return pl.Series(name, cells, dtype=FORMS[form])
    if name in NUMBERS:
        if all_of_it:
            return pl.Series(name, [[7] for _ in rows] if draw(st.booleans()) else [True for _ in rows])
        form = draw(st.sampled_from(["integers", "integers", "small", "text", "hex", "floats"]))
        if form in ("text", "hex"):
            cells = [str(value) if form == "text" else hex(value) for value in values]
            spoilt: list[Any] = SPOILT_DIGITS
        else:
            cells = values if form != "floats" else [float(value) for value in values]
            spoilt = SPOILT_FLOATS if form == "floats" else SPOILT_NUMBERS[:4] if form == "small" else SPOILT_NUMBERS
        if spoil:
            cells[n] = draw(st.sampled_from(spoilt))
        return pl.Series(name, cells, dtype=FORMS.get(form, pl.String()))
    assert name == "block_time"
    form = draw(st.sampled_from([*TIME_FORMS]))
    cells = [written_times(form, value) for value in values]
    if spoil:
        one_later = written_times(form, values[n] + draw(st.sampled_from([1, -1, 86400])))
        cells[n] = draw(st.sampled_from([*SPOILT_TIMES[KIND.get(form, form)], one_later]))
    if KIND.get(form) == "dates" and form != "moments":
        cells = [cell and cell.replace(tzinfo=None) for cell in cells]
    elif form == "moments":
        cells = [cell and cell.replace(tzinfo=UTC) for cell in cells]
    return pl.Series(name, cells, dtype=TIME_FORMS[form])


@st.composite
def exported(draw: st.DrawFn) -> tuple[pl.DataFrame, dict[int, int], int]:
    """An export with up to three faults, the block list beside it, and how many rows are read at a time."""
    picked = draw(st.lists(st.integers(0, len(RECORDED) - 1), min_size=1, max_size=6, unique=True))
    rows = [dict(RECORDED[n]) for n in sorted(picked)]
    faults = draw(st.lists(st.sampled_from(["rows", "cells"]), max_size=3))
    for _ in range(faults.count("rows")):
        changed_rows(draw, rows)
    columns = [*HEXES, *NUMBERS, "block_time"]
    spoilt = {draw(st.sampled_from(columns)) for _ in range(faults.count("cells"))}
    series = [column(draw, name, rows, name in spoilt) for name in columns]
    frame = pl.DataFrame([*series, pl.Series("removed", [row["removed"] for row in rows], dtype=pl.Boolean)])
    absent = draw(st.sampled_from([[], [], ["block_time"], ["block_hash"], ["removed"], ["chain_id"]]))
    times = draw(st.sampled_from([{}, {}, TIMES])) if absent != ["block_time"] else draw(st.sampled_from([TIMES, TIMES, {}]))
    return frame.drop(absent), times, draw(st.integers(1, 7))


@st.composite
def kept(draw: st.DrawFn) -> tuple[pl.DataFrame, int]:
    """A store's file with up to three faults that its statement covers, and how many rows are read at a time."""
    picked = sorted(draw(st.lists(st.integers(0, FEW.height - 1), min_size=1, max_size=6, unique=True)))
    rows = [*FEW[picked].iter_rows(named=True)]
    for _ in range(draw(st.integers(0, 3))):
        n = draw(st.integers(0, len(rows) - 1))
        row = dict(rows[n])
        match draw(st.sampled_from(["data", "topic1", "topic2", "word", "topics", "twice"])):
            case "data" | "topic1" | "topic2" as name:
                rows[n] = {**row, name: spoilt_hex(draw, row[name], "bytes")}
            case "word":
                rows[n] = {**row, "data": other_word(draw, row["data"])}
            case "topics":
                rows[n] = {**row, "topics": draw(st.sampled_from([None, 0, 1, 2, 3, 4]))}
            case "twice":
                rows.insert(draw(st.integers(0, len(rows))), row)
    return pl.DataFrame(rows, schema=RAW_SCHEMA).with_columns(row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)), draw(st.integers(1, 7))


# The two readers


@contextmanager
def in_parts(part: int) -> Iterator[None]:
    """So few rows are read at a time; the files are whole, so that no other process needs to read them first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exports, "PART", part)
        patch.setattr(store, "ROWS_AT_ONCE", part)
        patch.setattr(exports, "refuse_damaged", lambda _: None)
        yield


def at_once(path: Path, times: dict[int, int], part: int) -> Tables | frozenset[int]:
    """What perpcomp reads: every event's logs with amounts in base units, or the rows that it names (0: the file)."""
    name, tables = path.name, dict[str, list[pl.DataFrame]]()
    decode, consistency = decoder(name, REHEARSAL), Consistency(name)
    try:
        with in_parts(part):
            pieces = store.own_pieces(path, ADDRESSES)
            if pieces is None:
                found = exports.foreign_pieces([path], WANTED, times)
                assert not isinstance(found, dict)
                assert found is not None
                pieces = found
            for one in map(decode, pieces):
                consistency.join(one[0])
                for event, table in one[1].items():
                    tables.setdefault(event, []).append(table)
        consistency.check()
    except InputError as error:
        places = [re.fullmatch(r"logs\.parquet(?: row (\d+))?(?: \(tx .* log .*\))?", problem.where) for problem in error.problems]
        return frozenset(int(place[1] or 0) for place in places if place or pytest.fail(str(error)))
    return {event: rows for event, parts in tables.items() if (rows := [row for part in parts for row in base_units(part)])}


def base_units(table: pl.DataFrame) -> list[tuple[Any, ...]]:
    amounts = [pl.col(name).reinterpret(dtype=pl.Int128) for name, dtype in table.schema.items() if dtype == pl.Decimal(38, 18)]
    return table.with_columns(amounts).drop("chain_id").rows()


def by_hand(path: Path, times: dict[int, int], part: int, trusted: bool) -> Tables | frozenset[int]:
    try:
        return rows_by_hand.read(path, Subject(CHAIN, HOUSE, ADDRESSES, times), part, trusted)
    except Refused as refused:
        return refused.rows


def state(path: Path) -> None:
    """The statement that makes a file a store's own."""
    stated = {"first": 0, "last": 2**30, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_name(store.RANGE).write_text(json.dumps(stated))


@pytest.mark.property
@given(exported())
def test_an_export_gives_what_its_rows_read_one_by_one_give(made: tuple[pl.DataFrame, dict[int, int], int]) -> None:
    """The same values to the wei, or the same rows named, whatever is spoilt."""
    frame, times, part = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "logs.parquet"
        frame.write_parquet(path)
        assert at_once(path, times, part) == by_hand(path, times, part, trusted=False)


@pytest.mark.property
@given(kept(), st.booleans())
def test_a_stores_file_gives_what_its_rows_read_one_by_one_give(made: tuple[pl.DataFrame, int], stated: bool) -> None:
    """Its cells were checked when it was fetched. A file that changed since then is checked as any export."""
    frame, part = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / store.LOGS
        if not stated:
            FEW.write_parquet(path)
        else:
            frame.write_parquet(path)
        state(path)
        frame.write_parquet(path)
        assert at_once(path, {}, part) == by_hand(path, {}, part, trusted=stated)


def test_every_event_of_the_recording_is_among_the_logs() -> None:
    """Else the two readers would agree on less than they seem to; and both read amounts, not nothing."""
    assert set(FEW["topic0"]) == set(RAW["topic0"]) >= {v1.POSITION_CHANGED.topic0, v1.POSITION_LIQUIDATED.topic0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "logs.parquet"
        FEW.write_parquet(path)
        found = by_hand(path, {}, 3, trusted=False)
        assert isinstance(found, dict)
        assert found.keys() == {event.name for event in v1.CLEARING_HOUSE_EVENTS + v1.MARKET_EVENTS if event.topic0 in set(FEW["topic0"])}
        assert found == at_once(path, {}, 3)
