"""How far an input reaches: its first and last log, what states that nothing after them is missing, and what speaks against it.

A file that was cut off looks whole: every liquidation in it is right, and those after its end are not paid without a word.
"""

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby, islice, pairwise
from pathlib import Path
from typing import Any, Literal

import polars as pl
from msgspec import Struct

from perpcomp.decoded import Events
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.ingest.exports.subgraph_meta import Answer, answers_in
from perpcomp.ingest.node.store import read_range
from perpcomp.input import Input
from perpcomp.parquet_file import parquet_rows
from perpcomp.tables.schema import CSV_TIME
from perpcomp.text_file import opened

Evidence = Literal["store", "file-names", "subgraph-meta", "none"]
PAGES = (100, 500, 1_000, 10_000, 50_000)  # the most rows that explorers, subgraphs and query tools give at once
BLOCKS_IN_NAME = re.compile(r"(?<![0-9])([0-9]{1,12})_to_([0-9]{1,12})(?![0-9])")
NEAR = timedelta(minutes=1)  # estimated times are not compared more closely
WORDS: dict[Evidence, str] = {
    "store": "every block of the store's range was asked for",
    "file-names": "the names of the files state their blocks",
    "subgraph-meta": "_meta of the subgraph's answers",
    "none": "the first and the last log only: nothing in the input states how far it reaches",
}
# What the sums of a market's logs show (systems) lies between two of its logs.
NOT_PROVED = "logs missing before a market's first log or behind its last one would not show"
PROVED = "headers and receipts prove that no log is missing"
PUBLISHED = "Fetch the logs with --rpc, or export the whole window and some minutes after it."


class Coverage(Struct, frozen=True):
    """The first and last block with a log, their times, and by what evidence the input reaches from `start` to `until`.

    `start` and `until` are null where no evidence states them. `about` says that they are estimated from block numbers, `proved` that --prove
    found the store's logs complete.
    """

    first_block: int
    first_time: datetime
    last_block: int
    last_time: datetime
    evidence: Evidence
    start: datetime | None
    until: datetime | None
    about: bool
    proved: bool
    problems: tuple[Finding, ...]

    def __str__(self) -> str:
        return (
            f"first log in block {self.first_block}, {self.first_time.strftime(CSV_TIME)};"
            f" last log in block {self.last_block}, {self.last_time.strftime(CSV_TIME)}"
        )

    @property
    def stated(self) -> str:
        """The evidence in words."""
        reached = "" if self.until is None else f", until {'about ' if self.about else ''}{self.until.strftime(CSV_TIME)}"
        return f"{WORDS[self.evidence]}{reached}; {PROVED if self.proved else NOT_PROVED}"

    def members(self) -> dict[str, str]:
        """The statement as texts, for the manifest."""
        return {
            "first_block": str(self.first_block),
            "first_time": self.first_time.strftime(CSV_TIME),
            "last_block": str(self.last_block),
            "last_time": self.last_time.strftime(CSV_TIME),
            "evidence": self.stated,
        }


def coverage(events: Events, source: Input, incident: Incident) -> Coverage:
    """What an input covers, and the findings: an error where its evidence ends before the window does, a warning where it has none."""
    times = _Times(events)
    stated = read_range(source.file.parent) if source.range is not None else {}
    answers = [answer for path in source.files if path.suffix == ".json" for answer in answers_in(path)]
    named = _ranges(source.files)
    problems: list[Finding] = []
    evidence: Evidence = "none"
    start = until = None
    about = True
    if stated:
        evidence, about = "store", False
        start, until = _of_store(stated, times)
        if not stated.get("final"):
            what = f"The last block, {stated.get('last')}, was not final when it was fetched: a reorganisation may have changed its logs."
            problems.append(Finding("warning", source.file.name, what, "Type the same command with --rpc again.", code="range-not-final"))
    elif answers:
        problems += _of_answers(source, answers)
        blocks = [answer.block for answer in answers if answer.block is not None]
        if len(blocks) == len(answers):
            evidence, lowest = "subgraph-meta", min(blocks)
            exact = [answer.time for answer in answers if answer.block == lowest and answer.time is not None]
            until, about = (exact[0], False) if exact else (times.at(lowest + 1), True)
    elif named and len(named) == len(source.files):
        evidence = "file-names"
        problems += _holes(named)
        start, until = times.at(min(first for first, _, _ in named)), times.at(max(last for _, last, _ in named) + 1)
    if evidence != "store":
        problems += _pages(source.files, bool(named))
    problems += _against_window(source, incident, times, evidence, start, until, about)
    return Coverage(*times.ends, evidence, start, until, about, bool(stated.get("proved")), tuple(problems))


def _against_window(
    source: Input, incident: Incident, times: "_Times", evidence: Evidence, start: datetime | None, until: datetime | None, about: bool
) -> Iterator[Finding]:
    """Findings where the input does not reach over the window, or does not show that it does."""
    first_block, first_time, last_block, last_time = times.ends
    begin, end = incident.eligibility.start, incident.eligibility.end
    margin = max(NEAR, (until - last_time) // 10) if about and until is not None else timedelta()
    said = "about " if about else ""
    if until is not None and until + margin < end and last_time < end:
        what = (
            f"The input reaches only to {said}{until.strftime(CSV_TIME)} ({WORDS[evidence]}), but the window ends at"
            f" {end.strftime(CSV_TIME)}. Whoever was liquidated after it is missing."
        )
        yield Finding("error", source.file.name, what, PUBLISHED, code="input-ends-early")
    elif until is None and last_time + times.step < end:
        what = (
            f"The last log is in block {last_block}, from {last_time.strftime(CSV_TIME)}, but the window ends at {end.strftime(CSV_TIME)},"
            " and nothing in the input states that it reaches so far. Liquidations after the last log would be missing."
        )
        yield Finding("warning", source.file.name, what, PUBLISHED, code="input-may-be-cut")
    if start is not None and first_time > begin and start > begin + (max(NEAR, (first_time - start) // 10) if about else timedelta()):
        what = (
            f"The input begins only at {said}{start.strftime(CSV_TIME)} ({WORDS[evidence]}), but the window begins at"
            f" {begin.strftime(CSV_TIME)}. Whoever was liquidated before it is missing."
        )
        yield Finding("error", source.file.name, what, PUBLISHED, code="input-begins-late")
    elif start is None and first_time > begin + times.step:
        what = (
            f"The first log is in block {first_block}, from {first_time.strftime(CSV_TIME)}, but the window begins at"
            f" {begin.strftime(CSV_TIME)}, and nothing in the input states that it begins there. Liquidations before the first log would be"
            " missing."
        )
        yield Finding("warning", source.file.name, what, "Export the logs from before the window on.", code="input-may-be-cut")


class _Times:
    """The times of blocks, as the logs of an input tell them."""

    def __init__(self, events: Events) -> None:
        self.events = events
        ends = pl.concat(events.each(partial(_edges, pl.lit(True))))
        found = ends.select(pl.col("first_block", "first_time").min(), pl.col("last_block", "last_time").max())
        self.ends: tuple[int, datetime, int, datetime] = found.row(0)

    @property
    def step(self) -> timedelta:
        """From one block to the next, on average: no other block lies between the last log and an end that is closer."""
        first_block, first_time, last_block, last_time = self.ends
        return min(NEAR, (last_time - first_time) // max(1, last_block - first_block))

    def at(self, block: int) -> datetime | None:
        """About when a block was made: from the logs around it, or at the rate of all blocks with logs. None where they are one block."""
        first_block, first_time, last_block, last_time = self.ends
        low, high = (first_block, first_time), (last_block, last_time)
        if first_block < block < last_block:
            number = pl.col("block_number")
            below, above = (pl.concat(self.events.each(partial(_edges, side))) for side in (number <= block, number >= block))
            low = below.select(pl.col("last_block", "last_time").max()).row(0)
            high = above.select(pl.col("first_block", "first_time").min()).row(0)
        if low[0] == high[0]:
            return low[1] if low[0] == block else None
        try:
            return low[1] + (high[1] - low[1]) * (block - low[0]) // (high[0] - low[0])
        except OverflowError:  # a block number that no chain has
            return None


def _edges(inside: pl.Expr, events: pl.LazyFrame, others: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """The first and last block, and their times, of the logs `inside`."""
    number, time = pl.col("block_number"), pl.col("block_time")
    rows = pl.concat([table.select(number, time) for table in (events, *others.values())]).filter(inside)
    ends = rows.select(first_block=number.min(), first_time=time.min(), last_block=number.max(), last_time=time.max())
    return ends.collect(engine="streaming")


# What each kind of input states


def _of_store(stated: dict[str, Any], times: _Times) -> tuple[datetime | None, datetime | None]:
    """From when to when a store's range reaches: the window that it was fetched for, or the times of the blocks that were asked for."""
    begin, end = stated.get("asked", {}).get("window", (None, None))[:2]
    if isinstance(begin, str) and isinstance(end, str):
        window = [datetime.strptime(text, CSV_TIME).replace(tzinfo=UTC) for text in (begin, end)]
        return window[0], window[1]
    first, after = stated.get("from_time"), stated.get("until_time")
    if first is not None and after is not None:
        return datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(after, UTC)
    return times.at(stated["first"]), times.at(stated["last"] + 1)  # of a window in blocks, or of a store that an older version wrote


def _ranges(files: Sequence[Path]) -> list[tuple[int, int, Path]]:
    """First and last block by the names of the files that state them, as cryo writes: chain__logs__100_to_199.parquet."""
    return [(int(found[1]), int(found[2]), path) for path in files if (found := BLOCKS_IN_NAME.search(path.name))]


def _holes(named: list[tuple[int, int, Path]]) -> Iterator[Finding]:
    """The blocks between the files of one series that no file covers."""

    def series(one: tuple[int, int, Path]) -> str:
        return BLOCKS_IN_NAME.sub("", one[2].name)

    for _, files in groupby(sorted(named, key=lambda one: (series(one), one[0], one[1])), key=series):
        for (_, last, before), (first, _, after) in pairwise(files):
            if first > last + 1:
                what = f"Blocks {last + 1} to {first - 1} are missing: {before.name} ends at {last}, and {after.name} begins at {first}."
                advice = f"Export blocks {last + 1} to {first - 1} into the folder too."
                yield Finding("error", before.parent.name or before.name, what, advice, code="hole-in-input")


def _of_answers(source: Input, answers: Sequence[Answer]) -> Iterator[Finding]:
    """Findings on what the answers of a subgraph state of themselves."""
    for file in dict.fromkeys(answer.file for answer in answers if answer.failed):
        what = (
            "The subgraph states hasIndexingErrors: true. It skipped or stopped at an event that it could not read, so logs may be missing."
        )
        yield Finding("error", file, what, "Fetch the logs from a node with --rpc, or ask another indexer.", code="subgraph-errors")
    if silent := [answer for answer in answers if answer.block is None]:
        what = f"{len(silent)} of {len(answers)} answers have no _meta, so nothing states up to which block the subgraph had indexed."
        advice = "Ask again with _meta { block { number timestamp } hasIndexingErrors } in the query."
        yield Finding("warning", silent[0].file, what, advice, code="subgraph-without-meta")
    blocks = sorted({answer.block for answer in answers if answer.block is not None})
    if len(blocks) > 1:
        what = (
            f"The answers come from different blocks of the subgraph, from {blocks[0]} to {blocks[-1]}. Events between them may be missing."
        )
        advice = f"Ask for all pages at one block: add block: {{number: {blocks[-1]}}} to every list of the query."
        yield Finding("warning", source.file.name, what, advice, code="subgraph-blocks-differ")
    for event in dict.fromkeys(event for answer in answers for event in answer.rows):
        pages = [answer.rows[event] for answer in answers if event in answer.rows]
        if len(set(pages)) == 1 and pages[0] in PAGES:
            where = f"{source.file.name} {event}"
            yield _full_page(where, pages[0])


def _pages(files: Sequence[Path], by_blocks: bool) -> Iterator[Finding]:
    """Findings on files that have exactly as many rows as a page. A full page that another one follows is no sign of a cut."""
    counted = [(path, rows) for path in files if (rows := _rows(path)) is not None]
    largest = max((rows for _, rows in counted), default=0)
    for path, rows in counted:
        if rows in PAGES and (by_blocks or rows < largest or path == counted[-1][0]):
            yield _full_page(path.name, rows)


def _full_page(where: str, rows: int) -> Finding:
    what = f"There are exactly {rows:,} rows, the most that some services give at once without a word. Rows after them may be missing."
    advice = "Ask for the rows after the last one, and give them too; or fetch the logs with --rpc."
    return Finding("warning", where, what, advice, code="full-page")


def _rows(path: Path) -> int | None:
    """The rows of a file of logs or of a table; None where there are more than in any page, or for JSON."""
    if path.suffix == ".parquet":
        return int(parquet_rows(path).select(pl.len()).collect().item())
    if path.suffix == ".json":
        return None
    most = max(PAGES) + 2
    try:
        with opened(path) as lines:
            count = sum(1 for line in islice(lines, most) if line.strip())
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return None
    return count - (".csv" in path.suffixes) if count < most else None
