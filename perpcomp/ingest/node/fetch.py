"""All logs of a range, from endpoints into a store: adaptive, resumable, and safe against reorganisations.

A range is cut into segments on a fixed grid. A segment is kept only when all its windows were answered, each log's block hash is that
of its header, its first block's parent is the last block before it, and its last block has the same hash before and after fetching.
A block's hash covers all its history, so nothing before it changed meanwhile.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import polars as pl

from perpcomp import progress
from perpcomp.findings import NETWORK, refusal
from perpcomp.ingest.block_times import dated
from perpcomp.ingest.consistency import OTHER_BLOCK
from perpcomp.ingest.node.answers import EVERY_ADDRESS, read_logs_answer, read_logs_of_receipts
from perpcomp.ingest.node.block_receipts import receipts_of
from perpcomp.ingest.node.pool import Pool
from perpcomp.ingest.node.refusals import Action, Range, classify, pieces, width
from perpcomp.ingest.node.results import BadAnswer, BlockInfo, Raw, read_block_info, read_strictly, to_int
from perpcomp.ingest.node.rpc import RpcError
from perpcomp.ingest.node.segments import HEADERS_AT_ONCE, Settings, grid
from perpcomp.ingest.node.store import Segment, Store, Subject
from perpcomp.number_text import counted

AGAIN = 6  # attempts at a segment whose blocks change while it is fetched


class Fetcher:
    """Fetches the logs of some contracts and topics through a pool of endpoints into a store."""

    def __init__(self, pool: Pool, subject: Subject, settings: Settings) -> None:
        self.pool, self.subject, self.settings = pool, subject, settings
        self.addresses, self.topics = set(subject.addresses) or EVERY_ADDRESS, set(subject.topics)
        self.width = settings.window  # of the next request: refusals narrow it, successes widen it
        self._logs, self._began = 0, time.monotonic()  # of the range under way
        self._ending: tuple[int, pl.DataFrame] | None = None  # the last block fetched, and the logs of the last window

    async def header(self, number: int) -> BlockInfo:
        """The header of a block that exists."""

        def read(raw: Raw) -> BlockInfo:
            header = read_block_info(raw)
            if header.number != number:
                raise BadAnswer(f"asked for block {number}, got {header.number}")
            return header

        return await self.pool.call("eth_getBlockByNumber", [hex(number), False], read, needs=number)

    async def head(self) -> int:
        """The number of the newest block that the answering node knows."""
        return await self.pool.call("eth_blockNumber", [], lambda raw: to_int(read_strictly(raw)))

    async def block_at(self, moment: datetime, low: int, high: int) -> int:
        """The first block in [low, high] whose timestamp is `moment` or later; high + 1 where there is none."""
        target = int(moment.timestamp())
        while low <= high:
            middle = (low + high) // 2
            if (await self.header(middle)).timestamp < target:
                low = middle + 1
            else:
                high = middle - 1
        return low

    async def fill(self, store: Store, asked: Range, whose: str = "the logs") -> None:
        """Fetch every segment of the range that the store does not hold. Segments held are checked against the chain first."""
        await self.drop_reorganised(store)
        missing = store.missing(grid(asked, self.settings.segment))
        progress.now(f"Fetching {whose}", sum(map(width, missing)))
        self._logs, self._began = 0, time.monotonic()
        for segment in missing:
            await self._segment(store, segment)
        await self._check_links(store, asked)

    async def _segment(self, store: Store, asked: Range) -> None:
        first, last = asked
        for _ in range(AGAIN):
            before = await self.header(last)
            start = await self.header(first)
            previous = next((s for s in store.segments if s.last == first - 1), None)
            if previous is not None and previous.last_hash != start.parent_hash:
                await self.drop_reorganised(store)
                for lost in store.missing([(previous.first, previous.last)]):
                    await self._segment(store, lost)
                continue
            if previous is not None and (self._ending is None or self._ending[0] != previous.last):
                self._ending = previous.last, self._last_window(store, previous)
            try:
                logs = await self._windows(asked)
            except _Changed:
                self._ending = None
                continue
            times = await self._times(logs)
            if times is None or (await self.header(last)).hash != before.hash:
                continue
            store.add(
                first,
                last,
                start.parent_hash,
                before.hash,
                dated(f"blocks {first} to {last}", logs, times if logs["block_time"].null_count() else {}),
            )
            self._logs += logs.height
            rate = self._logs / max(time.monotonic() - self._began, 1e-3)
            progress.advance(width(asked), f"{counted(self._logs, 'log')}, {rate:,.0f} a second")
            return
        what = f"Blocks {first} to {last} changed at each of {AGAIN} attempts: logs and headers do not match, or answers differ."
        raise refusal("the network", what, "Ask another node with --rpc, or wait until the range is final.", NETWORK)

    async def _windows(self, asked: Range) -> pl.DataFrame:
        """All logs of a segment, in order. Its windows are fetched concurrently, each split as the provider requires."""
        windows = self._cut(asked)
        parts: list[pl.DataFrame] = await all_of([self._window(window) for window in windows])
        before = self._ending if self._ending is not None and self._ending[0] == asked[0] - 1 else None
        held = [*([] if before is None else [before[1]]), *parts]
        for n, window in enumerate(windows, len(held) - len(parts)):
            if n and held[n].is_empty() and not held[n - 1].is_empty():
                parts[n - len(held) + len(parts)] = await self._again(held[n - 1], window[1])
        self._ending = asked[1], parts[-1]
        self.width = min(self.settings.window, self.width + max(1, self.width // 4))
        return pl.concat(parts)

    def _cut(self, asked: Range) -> list[Range]:
        """The range in windows of one request each."""
        starts = range(asked[0], asked[1] + 1, self.width)
        return [(start, min(start + self.width - 1, asked[1])) for start in starts]

    async def _again(self, known: pl.DataFrame, last: int) -> pl.DataFrame:
        """The logs after `known` up to the block `last`, asked from the last block of `known` on.

        A node that has lost a part of its index answers an empty list. _Changed where the answer does not repeat that block's logs.
        """
        newest = known.item(-1, "block_number")
        found = pl.concat([await self._window(window) for window in self._cut((newest, last))])
        _check_repeated(known, found, newest)
        return found.filter(pl.col("block_number") > newest)

    async def _window(self, asked: Range) -> pl.DataFrame:
        try:
            return await self._whole(asked)
        except RpcError as no:
            refused = no
        meant = classify(asked, refused.code, refused.status, refused.message)
        if meant.action is Action.RECEIPTS:
            return read_logs_of_receipts(await receipts_of(self.pool, asked[0]), (asked[0], asked[0]), self.addresses, self.topics)
        advice = {
            Action.CLAMP_HEAD: "Use a node that is up to date.",
            Action.ARCHIVE: "Use a node that keeps the history.",
            Action.FATAL: "Use another node with --rpc.",
            Action.BACKOFF: "Wait, or use another node with --rpc.",
        }
        if meant.action in advice or width(asked) == 1:
            what = f"The node refuses blocks {asked[0]} to {asked[1]}: {refused.message.rstrip('.')}."
            raise refusal("the network", what, advice.get(meant.action, "Use another node with --rpc."), NETWORK)
        parts = pieces(asked, meant)
        self.width = min(self.width, width(parts[0]))
        return pl.concat([await self._window(part) for part in parts])

    async def _whole(self, asked: Range) -> pl.DataFrame:
        """The logs of a range. Where an answer may be capped, its last block and the rest are asked again: one request exposes the cap."""
        got, parts = await self._ask(asked), []
        while may_be_capped(got.height):
            newest = got.item(-1, "block_number")
            parts.append(got.filter(pl.col("block_number") < newest))
            if newest > asked[0]:
                asked = (newest, asked[1])
                again = await self._ask(asked)
                _check_repeated(got, again, newest)
            else:  # one block with as many logs as an answer may hold: its receipts hold all
                block = read_logs_of_receipts(await receipts_of(self.pool, newest), (newest, newest), self.addresses, self.topics)
                _check_repeated(got, block, newest)
                parts.append(block)
                asked = (newest + 1, asked[1])
                again = await self._ask(asked) if width(asked) > 0 else block.clear()
            got = again
        return pl.concat([*parts, got])

    async def _ask(self, asked: Range) -> pl.DataFrame:
        """The answer to one eth_getLogs."""
        query = {
            **({"address": list(self.subject.addresses)} if self.subject.addresses else {}),
            "topics": [list(self.subject.topics)],
            "fromBlock": hex(asked[0]),
            "toBlock": hex(asked[1]),
        }
        return await self.pool.call(
            "eth_getLogs", [query], lambda raw: read_logs_answer(raw, asked, self.addresses, self.topics), needs=asked[1]
        )

    async def _times(self, logs: pl.DataFrame) -> dict[int, int] | None:
        """Block number -> time of every block with logs, from its header; None where a log contradicts its header."""
        blocks = logs.select("block_number", "block_hash", "block_time").filter(OTHER_BLOCK)
        numbers = [hex(number) for number in blocks["block_number"].unique(maintain_order=True)]
        batches = [numbers[n : n + HEADERS_AT_ONCE] for n in range(0, len(numbers), HEADERS_AT_ONCE)]
        asked = [self.pool.call_many("eth_getBlockByNumber", [[n, False] for n in batch], read_block_info) for batch in batches]
        headers = {header.number: header for batch in await all_of(asked) for header in batch}
        times = {number: header.timestamp for number, header in headers.items()}
        for number, block_hash, stated in blocks.iter_rows():
            if number not in headers or headers[number].hash.lower() != block_hash or stated not in (None, times[number]):
                return None
        return times

    async def follows(self, store: Store, segment: Segment) -> bool:
        """Whether a segment that another process fetched is of one chain with the one before it in the store, and lacks no log where they meet.

        Its file is in the store's folder. As within a segment, an empty window behind one with logs is asked again.
        """
        before = next((s for s in store.segments if s.last == segment.first - 1), None)
        if before is None or before.last_hash != segment.parent_hash:
            return before is None
        last = min(segment.first + self.settings.window - 1, segment.last)
        if not store.logs_of(segment).filter(pl.col("block_number") <= last).select("block_number").collect().is_empty():
            return True
        known = self._last_window(store, before)
        try:
            return known.is_empty() or (await self._again(known, last)).is_empty()
        except _Changed:
            return False

    def _last_window(self, store: Store, segment: Segment) -> pl.DataFrame:
        """The logs of the last blocks of a held segment, as many as one request asks for."""
        return store.logs_of(segment).filter(pl.col("block_number") > segment.last - self.settings.window).collect()

    async def drop_reorganised(self, store: Store) -> None:
        """Drop segments that a reorganisation changed, from the newest back to one that is still in the chain."""
        for segment in sorted(store.segments, key=lambda s: -s.last):
            if (await self.header(segment.last)).hash == segment.last_hash:
                return
            store.drop(segment)

    async def _check_links(self, store: Store, asked: Range) -> None:
        """InputError where adjacent segments are not of one chain."""
        held = store.holding(grid(asked, self.settings.segment))
        for one, following in pairwise(held):
            if one.last + 1 != following.first or one.last_hash != following.parent_hash:
                what = f"Blocks {one.last} and {following.first} are not in one chain."
                raise refusal("the store", what, "Run the same command again: it fetches these segments anew.", NETWORK)


class _Changed(Exception):
    """A node answered otherwise when it was asked again: after a reorganisation, or because logs are missing."""


def _check_repeated(before: pl.DataFrame, again: pl.DataFrame, block: int) -> None:
    """_Changed unless the second answer begins with the logs of `block` that the first one held."""
    known, found = (frame.filter(pl.col("block_number") == block) for frame in (before, again))
    if differing_block(known, found.head(known.height)) is not None:
        raise _Changed


def may_be_capped(logs: int) -> bool:
    """Whether an answer with so many logs may be cut off: nodes and gateways cut at a round number, and some without a word."""
    return logs >= 50 and (logs % 50 == 0 or logs & (logs - 1) == 0)


async def all_of(calls: Sequence[Any]) -> list[Any]:
    """The results of concurrent calls, in order. The first failure cancels the others; the pool limits how many are in flight."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def differing_block(mine: pl.DataFrame, theirs: pl.DataFrame) -> int | None:
    """The first block whose logs differ between two raw frames, in number or in content; None where they are equal."""
    shown = ["address", "topic0", "topic1", "topic2", "data", "block_hash", "transaction_hash", "log_index"]
    ours = mine.select("block_number", *shown)
    others = theirs.select("block_number", *shown)
    alone = pl.concat([ours.join(others, on=ours.columns, how="anti"), others.join(ours, on=ours.columns, how="anti")])
    first = alone.get_column("block_number").min()
    return first if isinstance(first, int) else None
