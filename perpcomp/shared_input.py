"""An input decoded by the workers of a cluster: each reads its ranges of the files from storage that all share, and leaves the events there.

No log passes the process that asks. It learns the names of pieces, what is at their ends, and whether anything is wrong. It does not learn
what: then the input is read as without a cluster, which names the rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import polars as pl

from perpcomp import progress
from perpcomp.engine import OTHER_VERSION, Engine
from perpcomp.findings import WRONG_INPUT, InputError, refusal
from perpcomp.incident.incident import Incident
from perpcomp.ingest.consistency import Consistency
from perpcomp.ingest.exports.read import holds_raw_logs, raw_rows, times_of_blocks
from perpcomp.ingest.log_file import LOGS, is_log_file, logs_between
from perpcomp.ingest.node.store import own_rows, states_range_of
from perpcomp.ingest.raw_frame import no_logs
from perpcomp.ingest.shuffle import HASHES, PLANS, Layout, Stored
from perpcomp.number_text import counted
from perpcomp.parquet_file import parquet_rows
from perpcomp.piece import Decoder, decoder, of_file
from perpcomp.systems.system import find, topics
from perpcomp.text_file import is_plain, reason

Range = tuple[Path, int, int | None]  # a file, and from where to where: bytes of lines, or rows of Parquet; None: to its end
Read = Callable[[Path, int, int | None, dict[int, int]], Iterator[pl.DataFrame]]  # a range, and times of blocks, to raw frames
RANGE_BYTES = 32 * 2**20  # of lines
RANGE_ROWS = 200_000  # of Parquet
AT_ONCE = 800_000  # logs of a task, about: a task writes a file an event, and whoever reads a bucket opens all of them
FILES = 50  # whose rows a task counts
PIECE = 800_000  # decoded logs that a task holds before it writes them
BUCKET = 4_000_000  # logs of a bucket, about
BYTES, PLAIN_BYTES = 50, 700  # of a log in compressed files and in plain text, about


@dataclass(frozen=True)
class Found:
    """What a task tells of its ranges: the pieces that have rows of a table, the markets that charge fees, how many logs there are, whether
    they are in order, what is at their ends, and an index that two transactions of a block share.
    """

    pieces: dict[str, list[str]]
    charging: frozenset[str]
    logs: int
    in_order: bool
    ends: Consistency
    shared_index: tuple[int, int] | None


@dataclass(frozen=True)
class Decode:
    """The task that decodes ranges, one behind the other, and writes their events. InputError where anything in them is wrong."""

    read: Read
    blocks: Path | None
    decoder: Decoder
    layout: Layout

    def __call__(self, numbered: tuple[int, Sequence[Range]]) -> Found:
        number, ranges = numbered
        consistency, pieces, charging, logs = Consistency(self.decoder.name), dict[str, list[str]](), set[str](), 0
        for n, tables in enumerate(self._pieces(ranges, consistency)):
            charging |= find(self.decoder.system).charging({name: table.lazy() for name, table in tables.items()})
            logs += sum(table.height for table in tables.values())
            for name in self.layout.write(piece := f"{number:06}-{n:04}", tables):
                pieces.setdefault(name, []).append(piece)
        consistency.check()
        for name in self.layout.write(f"{number:06}", {HASHES: consistency.hashes()}):
            pieces[name] = [f"{number:06}"]
        return Found(pieces, frozenset(charging), logs, consistency.in_order(), consistency.ends(), consistency.shared_index())

    def _pieces(self, ranges: Sequence[Range], consistency: Consistency) -> Iterator[dict[str, pl.DataFrame]]:
        """The events by name, some hundred thousand at a time; `consistency` remembers their logs."""
        times = {} if self.blocks is None else _times(self.blocks)
        held, rows = list[dict[str, pl.DataFrame]](), 0
        for path, start, stop in ranges:
            for raw in _readable(path, self.read(path, start, stop, times)):
                part, tables = self.decoder(lambda raw=raw: raw)  # type: ignore[misc]
                consistency.join(part)
                held.append(tables)
                rows += sum(table.height for table in tables.values())
                if rows > PIECE:
                    yield _joined(held)
                    held, rows = [], 0
        if held:
            yield _joined(held)


@dataclass(frozen=True)
class Join:
    """The task that plans the events table of a bucket. InputError where a log lacks its other, or a hash is in two blocks."""

    decoder: Decoder
    stored: Stored
    charging: frozenset[str]

    def __call__(self, bucket: int) -> int:
        """How many rows the bucket's events table has."""
        blocks = self.stored.hashes(bucket).group_by("hash").agg(pl.col("block_number").n_unique())
        if not blocks.filter(pl.col("block_number") > 1).collect().is_empty():
            raise refusal(self.decoder.name, "A hash is given for two blocks.")
        system, tables = find(self.decoder.system), self.stored.logs(bucket)
        with of_file(self.decoder.name), self.stored.layout.writing(PLANS, bucket) as file:
            events = system.events_table(tables) if len(self.stored.buckets) == 1 else system.events_table(tables, self.charging)
            events.serialize(file)
            return int(events.select(pl.len()).collect(engine="streaming").item())


@dataclass(frozen=True)
class Shared:
    """The decoded input: its events on shared storage, how many rows the events table has, and an index that two transactions share."""

    stored: Stored
    rows: int
    shared_index: tuple[int, int] | None


def decoded(file: Path, files: Sequence[Path], blocks: Path | None, incident: Incident, engine: Engine, folder: Path) -> Shared | None:
    """The input's events, decoded by the engine's workers into `folder`, which all see.

    None where only one process can read it: an export that is no list of raw logs, logs that are not in the order of the chain, or an input
    in which something is wrong. InputError (exit 3) where the cluster fails.
    """
    try:
        engine.check_files([*files, *([blocks] if blocks else [])])
        readers = _reader(file.resolve(), [path.resolve() for path in files], incident, engine)
        if readers is None:
            return None
        read, ranges = readers
        return _decoded(read, ranges, None if blocks is None else blocks.resolve(), decoder(file.name, incident), engine, folder)
    except InputError as error:
        if error.exit_code != WRONG_INPUT or any(problem.code == OTHER_VERSION for problem in error.problems):
            raise
        return None


def _decoded(read: Read, ranges: Sequence[Range], blocks: Path | None, decode: Decoder, engine: Engine, folder: Path) -> Shared | None:
    system = find(decode.system)
    files = {path for path, _, _ in ranges}
    buckets = 1 if system.summed is None else max(engine.partitions, sum(map(_logs, ranges)) // BUCKET)
    layout = Layout(folder, buckets, system.summed or {})
    pieces, charging, ends, logs, shared = dict[str, list[str]](), set[str](), Consistency(decode.name), 0, list[tuple[int, int]]()
    tasks, size = _tasks(ranges), sum(file.stat().st_size for file in files)
    for found in engine.map(Decode(read, blocks, decode, layout), enumerate(tasks)):
        ends.join(found.ends)
        if not (found.in_order and ends.in_order()):
            return None
        for name, own in found.pieces.items():
            pieces.setdefault(name, []).extend(own)
        charging |= found.charging
        shared += [found.shared_index] if found.shared_index else []
        progress.advance(size // len(tasks), counted(logs := logs + found.logs, "log"))
    ends.check()
    shared += [index] if (index := ends.shared_index()) else []
    _, tables = decode(no_logs)
    stored = Stored(layout, {name: dict(table.schema) for name, table in tables.items()}, pieces, indexed=not shared)
    progress.now("Putting the events of each position together")
    rows = sum(engine.map(Join(decode, stored, frozenset(charging)), stored.buckets))
    return Shared(stored, rows, min(shared, default=None))


def _reader(file: Path, files: Sequence[Path], incident: Incident, engine: Engine) -> tuple[Read, list[Range]] | None:
    """How the files are read, and in which ranges; None for those that one process reads."""
    contract, fund, system = incident.chain.clearing_house, incident.fund_in_logs, find(incident.system)
    addresses = frozenset(incident.addresses_of_logs)
    if all(path.name.endswith(LOGS) for path in files) and is_log_file(files[0]):
        read = partial(logs_between, addresses, topics(system, fund), system.old_layouts, system.market_topics)
        return read, [found for path in files for found in _of_lines(path)]
    if any(path.suffix != ".parquet" for path in files):
        return None
    wanted = system.wanted(incident.chain.id, contract, addresses, fund)
    own = states_range_of(file)
    if not own and not all(engine.map(partial(holds_raw_logs, wanted), files[:1])):
        return None
    groups = [files[n : n + FILES] for n in range(0, len(files), FILES)]
    rows = [count for counts in engine.map(_rows, groups) for count in counts]
    found = [
        (path, start, min(start + RANGE_ROWS, count))
        for path, count in zip(files, rows, strict=True)
        for start in range(0, count, RANGE_ROWS)
    ]
    return (partial(own_rows, addresses) if own else partial(raw_rows, wanted)), found


def _of_lines(path: Path) -> list[Range]:
    """The ranges of a file of lines; one, where it is compressed or in another encoding."""
    if not is_plain(path):
        return [(path, 0, None)]
    size = path.stat().st_size
    return [(path, start, min(start + RANGE_BYTES, size)) for start in range(0, size, RANGE_BYTES)]


def _tasks(ranges: Sequence[Range]) -> list[list[Range]]:
    """The ranges in groups of some AT_ONCE logs."""
    groups, logs = list[list[Range]](), AT_ONCE
    for one in ranges:
        if logs >= AT_ONCE:
            groups.append([])
            logs = 0
        groups[-1].append(one)
        logs += _logs(one)
    return groups


def _logs(one: Range) -> int:
    """About how many logs a range has."""
    path, start, stop = one
    if stop is None:
        return path.stat().st_size // BYTES
    return stop - start if path.suffix == ".parquet" else (stop - start) // PLAIN_BYTES


def _rows(files: Sequence[Path]) -> list[int]:
    """In a worker: how many rows each Parquet file has."""
    return [parquet_rows(file).select(pl.len()).collect().item() for file in files]


def _readable(path: Path, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """InputError where the library cannot read the file; an OSError, as where it is absent, stays one."""
    try:
        yield from frames
    except pl.exceptions.PolarsError as error:
        raise refusal(path.name, f"The file cannot be read ({reason(error)}).", "Export it again.") from None


@cache
def _times(blocks: Path) -> dict[int, int]:
    """A worker reads the block list once."""
    return times_of_blocks(blocks)


def _joined(held: Sequence[dict[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    return {name: pl.concat([tables[name] for tables in held]) for name in held[0]}
