"""An input that several processes decode and share gives what one process gives, also where something is wrong with it.

`several` does in this process what workers do: each task and each result is packed, and only bytes pass.
"""

import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import fields

from perpcomp import engine, pipeline, shared_input
from perpcomp.engine import LOCAL, Engine, pack, unpack
from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.ingest import json_lines
from perpcomp.input import Input, find_input, read_events
from perpcomp.lost_logs import gaps
from perpcomp.publish.files import CSV_FILES
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1.system import PERPETUAL_V1
from perpcomp.systems.system import topics
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import row_hash
from tests.conftest import LAB
from tests.raw_logs import read_logs

Lines = list[dict[str, Any]]
CHANGED, LIQUIDATED, SNAPSHOT = "0x4c7b764f", "0x5225638a", "0x3a334836"  # how the topics of these events begin


@dataclass
class Several:
    """An engine of three partitions whose tasks and results are bytes, and what it sent."""

    folder: Path
    sent: int = 0
    tasks: int = 0
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Engine(3, self._map, self.folder)

    def _map(self, function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        packed = pack(function, self.folder, once=False)
        for part in parts:
            task = pack(part, self.folder, once=False)
            result = pack(unpack(packed)(unpack(task)), self.folder)
            self.tasks += 1
            self.sent += len(task) + len(result)
            yield unpack(result)


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Several:
    monkeypatch.setattr(shared_input, "RANGE_BYTES", 60_000)
    monkeypatch.setattr(shared_input, "RANGE_ROWS", 150)
    monkeypatch.setattr(shared_input, "PIECE", 100)
    monkeypatch.setattr(shared_input, "AT_ONCE", 300)
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", 30_000)
    (tmp_path / "shared").mkdir()
    return Several(tmp_path / "shared")


def hashes(run: Run) -> dict[str, str]:
    """The canonical hash of every table that is not made of others among them when it is asked for."""
    asked = {"in_kind", "restore_orders", *(one.name for one in fields(run))}  # the first two are made of the replay
    held = {name: (attribute, table) for name, (attribute, table) in CSV_FILES.items() if attribute in asked}
    return {name: row_hash(getattr(run, attribute), table) for name, (attribute, table) in held.items()} | {
        "1-events": row_hash(run.events.table, EVENTS)
    }


def lines_of(incident: str) -> Lines:
    return [json.loads(line) for line in gzip.decompress(find_input(incident_file.load(incident), None).file.read_bytes()).splitlines()]


def write(lines: Lines, file: Path) -> Input:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Input(file, None)


def compressed(run: Run, folder: Path) -> Path:
    return run.input.file


def plain(run: Run, folder: Path) -> Path:
    (folder / "logs.jsonl").write_bytes(gzip.decompress(run.input.file.read_bytes()))
    return folder / "logs.jsonl"


def tables(run: Run, folder: Path) -> Path:
    """A folder of Parquet files; a block's logs stand in two of them."""
    wanted = topics(PERPETUAL_V1, run.incident.fund_in_logs)
    raw = read_logs(run.input.file, run.incident.addresses_of_logs, wanted).drop("row")
    cut = next(n for n in range(raw.height // 3, raw.height) if raw.item(n, "transaction_hash") == raw.item(n - 1, "transaction_hash"))
    (folder / "logs").mkdir()
    raw.head(cut).write_parquet(folder / "logs" / "a.parquet")
    raw.slice(cut).write_parquet(folder / "logs" / "b.parquet")
    return folder / "logs"


@pytest.mark.parametrize("form", [compressed, plain, tables])
@pytest.mark.parametrize("name", ["rehearsal", "later"])
def test_every_hash_is_that_of_one_process(
    name: str, form: Callable[[Run, Path], Path], several: Several, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(name)
    again = pipeline.compute(run.incident, Input(form(run, tmp_path), None), engine=several.engine)
    assert again.events.stored is not None
    assert len(again.events.stored.buckets) == 3
    assert len(again.events.stored.pieces["PositionChanged"]) > 1
    assert hashes(again) == hashes(pipeline.compute(run.incident, again.input))
    assert again.exclusions.equals(run.exclusions)
    for event, table in run.events.others.items():
        assert again.events.others[event].equals(table), event


def test_tasks_carry_no_logs(large: Run, several: Several, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes the process that asks does not grow with the logs; and two thousand traders have the same hashes."""
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", 2**22)
    monkeypatch.setattr(shared_input, "RANGE_ROWS", 10_000)
    monkeypatch.setattr(shared_input, "PIECE", 20_000)
    monkeypatch.setattr(shared_input, "AT_ONCE", 20_000)
    again = pipeline.compute(large.incident, Input(tables(large, tmp_path), None), engine=several.engine)
    assert several.sent < 8_000 * several.tasks, "bytes, and the logs have 20 million"
    for name in ("liquidations", "payouts", "left_out", "comparison"):
        assert getattr(again, name).equals(getattr(large, name)), name


@pytest.mark.parametrize("chain", ["june", "upgrade"])
def test_a_protocol_whose_positions_depend_on_each_other_is_not_cut(chain: str, several: Several) -> None:
    incident = incident_file.load(str(LAB / "perps-v2" / chain / "incident.toml"))
    run, again = (pipeline.compute(incident, find_input(incident, None), engine=one) for one in (LOCAL, several.engine))
    assert again.events.stored is not None
    assert hashes(again) == hashes(run)


# Inputs with a fault


def the_last(lines: Lines) -> dict[str, Any]:
    return next(line for line in reversed(lines) if line["topics"][0].startswith(CHANGED))


def repeated_hash(lines: Lines) -> Lines:
    """A transaction of the input's end has the hash of its first one."""
    last = the_last(lines)["transactionHash"]
    return [line | {"transactionHash": lines[0]["transactionHash"]} if line["transactionHash"] == last else line for line in lines]


def repeated_block_hash(lines: Lines) -> Lines:
    last = the_last(lines)["blockNumber"]
    return [line | {"blockHash": lines[0]["blockHash"]} if line["blockNumber"] == last else line for line in lines]


def earlier_time(lines: Lines) -> Lines:
    last = the_last(lines)["blockNumber"]
    return [line | {"blockTimestamp": lines[0]["blockTimestamp"]} if line["blockNumber"] == last else line for line in lines]


def twice(lines: Lines) -> Lines:
    return [*lines, lines[len(lines) // 2]]


def shuffled(lines: Lines) -> Lines:
    random.Random(1).shuffle(lines)
    return lines


def shared_index(lines: Lines) -> Lines:
    """Two transactions of one block have one index."""
    block = lines[len(lines) // 2]["blockNumber"]
    return [
        line | {"transactionHash": f"0x{n:064x}", "transactionIndex": "0x0"} if line["blockNumber"] == block else line
        for n, line in enumerate(lines)
    ]


def without(topic: str, which: int) -> Callable[[Lines], Lines]:
    def removed(lines: Lines) -> Lines:
        rows = [n for n, line in enumerate(lines) if line["topics"][0].startswith(topic)]
        return [line for n, line in enumerate(lines) if n != rows[which]]

    removed.__name__ = f"without_{topic}_{which}"
    return removed


def without_topic(topic: str) -> Callable[[Lines], Lines]:
    def removed(lines: Lines) -> Lines:
        return [line for line in lines if not line["topics"][0].startswith(topic)]

    removed.__name__ = f"without_any_{topic}"
    return removed


def damaged(lines: Lines) -> Lines:
    return [*lines[:-1], lines[-1] | {"data": lines[-1]["data"][:-2]}]


def no_row(lines: Lines) -> Lines:
    return [*lines, {}]


FAULTS = [
    *(repeated_hash, repeated_block_hash, earlier_time, twice, shuffled, shared_index, damaged, no_row),
    *(without(CHANGED, n) for n in (3, 50, -1)),
    *(without(LIQUIDATED, n) for n in (0, -1)),
    *(without(SNAPSHOT, n) for n in (10, 200)),
    without_topic(SNAPSHOT),
    without_topic(CHANGED),
]


def outcome(incident: Incident, source: Input, where: Engine) -> tuple[object, ...]:
    """The events' row hash and what is wrong with the logs, or the refusal."""
    try:
        events = read_events(source, incident, where)
        return row_hash(events.table, EVENTS), events.findings, *gaps(events, incident)
    except InputError as error:
        return tuple(error.problems), error.exit_code


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_named_as_by_one_process(fault: Callable[[Lines], Lines], several: Several, tmp_path: Path) -> None:
    incident = incident_file.load("rehearsal")
    source = write(fault(lines_of("rehearsal")), tmp_path / "logs.jsonl")
    expected = outcome(incident, source, LOCAL)
    assert expected != outcome(incident, find_input(incident, None), LOCAL) or fault is shuffled, "the fault changes nothing"
    assert outcome(incident, source, several.engine) == expected


def test_a_partial_export_says_of_each_market_what_is_missing(several: Several, tmp_path: Path, later: Run) -> None:
    """Warnings that list several markets in one sentence are those of the whole input."""
    lines = without_topic(SNAPSHOT)(lines_of(str(LAB / "later-contracts.toml")))
    source = write(lines, tmp_path / "logs.jsonl")
    assert outcome(later.incident, source, several.engine) == outcome(later.incident, source, LOCAL)


@pytest.mark.parametrize("size", [1, 7, 100, 1_000_000])
def test_every_line_is_in_one_range(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"".join(b"%d%s\n" % (n, b"x" * (n % 13)) for n in range(200)) + b"the last line"
    (tmp_path / "lines").write_bytes(text)
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", 17)
    ranges = range(0, len(text), size)
    read = [b"".join(json_lines.chunks_between(tmp_path / "lines", n, min(n + size, len(text)))) for n in ranges]
    assert b"".join(read) == text
    assert all(part.endswith(b"\n") for part in read if part and not text.endswith(part))


def test_a_worker_of_another_version_is_no_fault_of_the_input(rehearsal: Run, several: Several) -> None:
    """Reading all of it here instead, without a word, is not what was asked for."""

    def refusing(_: Callable[[Any], Any], __: Iterable[Any]) -> Iterator[Any]:
        raise engine._other_version("tcp://late", "perpcomp 9.9.9", engine.versions())
        yield

    with pytest.raises(InputError, match="perpcomp 9"):
        read_events(rehearsal.input, rehearsal.incident, Engine(3, refusing, several.folder))
    assert not [*several.folder.iterdir()]


def test_an_input_of_another_kind_is_read_by_one_process(rehearsal: Run, several: Several, tmp_path: Path) -> None:
    rehearsal.events.table.write_parquet(tmp_path / "events.parquet")
    for one in (LOCAL, several.engine):
        events = read_events(Input(tmp_path / "events.parquet", None), rehearsal.incident, one)
        assert events.table.equals(rehearsal.events.table)
        assert events.stored is None


def test_the_shared_folder_is_empty_once_the_events_are_gone(rehearsal: Run, several: Several) -> None:
    events = read_events(rehearsal.input, rehearsal.incident, several.engine)
    assert [*several.folder.iterdir()]
    assert isinstance(events.table, pl.DataFrame)
    del events
    assert not [*several.folder.iterdir()]
