"""From endpoints to a store that holds every log of a range: bounded, adaptive, resumable, and safe against a chain that moves.

A range is cut into segments on a fixed grid. A segment is kept only when all its windows were answered, each log's block hash is that
of its header, its first block's parent is the last block before it, and its last block is the same after the fetching as before: a
block's hash covers all its history, so nothing below it has moved meanwhile.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl

from perpcomp.findings import refusal
from perpcomp.ingest.logs import Log, to_raw
from perpcomp.ingest.pool import Pool
from perpcomp.ingest.refusals import Action, Range, classify, pieces, width
from perpcomp.ingest.rpc import NETWORK, Fault, Header, Refused, read_header, read_logs_reply, read_strictly, to_int
from perpcomp.ingest.store import Store, Subject

HEADERS_AT_ONCE = 100
AGAIN = 6  # how often a segment is fetched again because the chain moved under it


@dataclass(frozen=True)
class Settings:
    """How to ask. Widths and distances in blocks."""

    window: int = 2_000
    segment: int = 20_000
    confirmations: int = 32


@dataclass
class Progress:
    """What the fetching has done so far, for whoever shows it."""

    blocks: int
    done: int = 0
    logs: int = 0
    requests: int = 0
    started: float = field(default_factory=time.monotonic)
    show: Callable[["Progress"], None] = lambda _: None

    @property
    def rate(self) -> int:
        """Logs a second so far, in whole numbers."""
        return round(self.logs / max(time.monotonic() - self.started, 1e-3))


class Fetcher:
    """The logs of some contracts and topics, through a pool of endpoints, into a store."""

    def __init__(self, pool: Pool, subject: Subject, settings: Settings) -> None:
        self.pool, self.subject, self.settings = pool, subject, settings
        self.addresses, self.topics = set(subject.addresses), set(subject.topics)
        self.width = settings.window  # of the next request; providers narrow it, successes widen it

    async def header(self, number: int) -> Header:
        """The header of a block that exists."""
        header = await self.pool.call("eth_getBlockByNumber", [hex(number), False], read_header, needs=number)
        if to_int(header.number) != number:
            raise Fault(f"asked for block {number}, got {header.number}")
        return header

    async def head(self) -> int:
        """The newest block that the pool's first healthy node knows."""
        return await self.pool.call("eth_blockNumber", [], lambda raw: to_int(read_strictly(raw)))

    async def block_at(self, moment: datetime, low: int, high: int) -> int:
        """The first block in [low, high] whose timestamp is `moment` or later; high + 1 where there is none. A binary search."""
        target = int(moment.timestamp())
        while low <= high:
            middle = (low + high) // 2
            if to_int((await self.header(middle)).timestamp) < target:
                low = middle + 1
            else:
                high = middle - 1
        return low

    async def fill(self, store: Store, asked: Range, progress: Progress) -> None:
        """Fetch every segment of the range that the store does not hold. Segments held are checked against the chain first."""
        await self._forget_what_moved(store)
        for segment in store.missing(grid(asked, self.settings.segment)):
            await self._segment(store, segment, progress)
        await self._check_links(store, asked)

    async def _segment(self, store: Store, asked: Range, progress: Progress) -> None:
        first, last = asked
        for _ in range(AGAIN):
            before = await self.header(last)
            start = await self.header(first)
            previous = next((s for s in store.segments if s.last == first - 1), None)
            if previous is not None and previous.last_hash != start.parent_hash:
                await self._forget_what_moved(store)
                for lost in store.missing([(previous.first, previous.last)]):
                    await self._segment(store, lost, progress)
                continue
            logs = await self._windows(asked, progress)
            if not await self._fit(logs) or (await self.header(last)).hash != before.hash:
                continue
            frame = to_raw(f"blocks {first} to {last}", list(enumerate(logs, 1)), self.addresses, self.topics, {})
            store.add(first, last, start.parent_hash, before.hash, frame.sort("block_number", "log_index"))
            progress.done += width(asked)
            progress.logs += frame.height
            progress.requests = self.pool.sent
            progress.show(progress)
            return
        what = f"Blocks {first} to {last} were another chain at each of {AGAIN} tries: logs and headers do not fit together."
        raise refusal("the network", what, "Ask another node with --rpc, or wait until the range is final.", NETWORK)

    async def _windows(self, asked: Range, progress: Progress) -> list[Log]:
        """All logs of a segment: windows side by side, each split as far as the providers want."""
        starts = range(asked[0], asked[1] + 1, self.width)
        windows = [(start, min(start + self.width - 1, asked[1])) for start in starts]
        parts = await side_by_side([self._window(window) for window in windows])
        progress.requests = self.pool.sent
        progress.show(progress)
        self.width = min(self.settings.window, self.width + max(1, self.width // 4))
        return [log for part in parts for log in part]

    async def _window(self, asked: Range) -> list[Log]:
        query = {
            "address": list(self.subject.addresses),
            "topics": [list(self.subject.topics)],
            "fromBlock": hex(asked[0]),
            "toBlock": hex(asked[1]),
        }
        try:
            return await self.pool.call("eth_getLogs", [query], lambda raw: self._checked(read_logs_reply(raw), asked), needs=asked[1])
        except Refused as no:
            refused = no
        meant = classify(asked, refused.code, refused.status, refused.message)
        if meant.action is Action.RECEIPTS:
            return await self._receipts(asked[0])
        advice = {
            Action.CLAMP_HEAD: "Use a node that is in step.",
            Action.ARCHIVE: "Use a node that keeps the history.",
            Action.FATAL: "Use another node with --rpc.",
            Action.BACKOFF: "Wait, or use another node with --rpc.",
        }
        if meant.action in advice or width(asked) == 1:
            what = f"The node refuses blocks {asked[0]} to {asked[1]}: {refused.message}"
            raise refusal("the network", what, advice.get(meant.action, "Use another node with --rpc."), NETWORK)
        parts = pieces(asked, meant)
        self.width = min(self.width, width(parts[0]))
        return [log for part in parts for log in await self._window(part)]

    def _checked(self, logs: list[Log], asked: Range) -> list[Log]:
        """The logs, if they are of what was asked, in order, each once; a Fault names what is not."""
        before, ours = (-1, -1), set[tuple[str, str]]()
        for log in logs:
            here = (to_int(log.block_number), to_int(log.log_index))
            if log.removed is True:
                raise Fault(f"a log of block {here[0]} was removed by a reorganisation")
            if not asked[0] <= here[0] <= asked[1]:
                raise Fault(f"a log of block {here[0]} is in the answer for {asked[0]} to {asked[1]}")
            if here <= before:
                raise Fault(f"the logs of block {here[0]} are out of order or doubled")
            origin = (log.address, log.topics[0] if log.topics else "")
            if origin not in ours:  # as the node spells them: one look for each spelling
                if origin[0].lower() not in self.addresses or origin[1].lower() not in self.topics:
                    raise Fault(f"a log of block {here[0]} is of another contract or event")
                ours.add(origin)
            before = here
        return logs

    async def _fit(self, logs: list[Log]) -> bool:
        """Whether every log's block hash and time are its header's; times that the node left out are filled in."""
        numbers = list(dict.fromkeys(log.block_number for log in logs))
        batches = [numbers[n : n + HEADERS_AT_ONCE] for n in range(0, len(numbers), HEADERS_AT_ONCE)]
        asked = [self.pool.call_many("eth_getBlockByNumber", [[n, False] for n in batch], read_header) for batch in batches]
        headers = {to_int(header.number): header for batch in await side_by_side(asked) for header in batch}
        of_text = {number: headers.get(to_int(number)) for number in numbers}
        for log in logs:
            header, stated = of_text[log.block_number], log.block_timestamp
            if header is None or (header.hash != log.block_hash and header.hash.lower() != log.block_hash.lower()):
                return False
            if stated is not None and stated != header.timestamp and to_int(stated) != to_int(header.timestamp):
                return False
            log.block_timestamp = header.timestamp
        return True

    async def _receipts(self, number: int) -> list[Log]:
        """The logs of one block from its receipts, for a block whose logs a node refuses for their size."""
        return self._checked([log for receipt in await receipts_of(self.pool, number) for log in self._logs_of(receipt)], (number, number))

    def _logs_of(self, receipt: dict[str, Any]) -> list[Log]:
        logs = msgspec.convert(receipt["logs"], list[Log])
        return [log for log in logs if log.address.lower() in self.addresses and log.topics and log.topics[0].lower() in self.topics]

    async def _forget_what_moved(self, store: Store) -> None:
        """Drop held segments from the newest down until one still stands in the chain: the common ancestor."""
        for segment in sorted(store.segments, key=lambda s: -s.last):
            if (await self.header(segment.last)).hash == segment.last_hash:
                return
            store.drop(segment)

    async def _check_links(self, store: Store, asked: Range) -> None:
        """Segments must follow each other as blocks of one chain."""
        held = sorted((s for s in store.segments if s.first >= asked[0] and s.last <= asked[1]), key=lambda s: s.first)
        for one, following in pairwise(held):
            if one.last + 1 != following.first or one.last_hash != following.parent_hash:
                what = f"Blocks {one.last} and {following.first} are not of one chain."
                raise refusal("the store", what, "Run the same command again: what does not fit is fetched again.", NETWORK)


def grid(asked: Range, size: int) -> list[Range]:
    """The range in segments whose ends lie on multiples of `size`, so that a longer range later reuses them."""
    first, last = asked
    cuts = [first, *range((first // size + 1) * size, last + 1, size), last + 1]
    return [(a, b - 1) for a, b in pairwise(cuts) if a < b]


async def receipts_of(pool: Pool, number: int) -> list[dict[str, Any]]:
    """All receipts of a block, in order: at once, or one by one where a node does not know how."""
    try:
        receipts = await pool.call("eth_getBlockReceipts", [hex(number)], read_strictly, needs=number)
    except Refused:
        block = await pool.call("eth_getBlockByNumber", [hex(number), False], read_strictly, needs=number)
        asked = [[transaction] for transaction in block["transactions"]]
        receipts = await pool.call_many("eth_getTransactionReceipt", asked, read_strictly) if asked else []
    if not isinstance(receipts, list) or not all(isinstance(receipt, dict) for receipt in receipts):
        raise refusal("the network", f"The receipts of block {number} are no list.", "Use another node with --rpc.", NETWORK)
    return receipts


async def side_by_side(calls: Sequence[Any]) -> list[Any]:
    """All results in order. The first failure cancels the rest; the pool bounds how many are in flight."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def differing_block(mine: pl.DataFrame, theirs: pl.DataFrame) -> int | None:
    """The first block whose logs differ between two raw frames: in number or in content."""
    shown = ["address", "topic0", "topic1", "topic2", "data", "block_hash", "transaction_hash", "log_index"]
    ours = mine.select("block_number", *shown)
    others = theirs.select("block_number", *shown)
    alone = pl.concat([ours.join(others, on=ours.columns, how="anti"), others.join(ours, on=ours.columns, how="anti")])
    first = alone.get_column("block_number").min()
    return first if isinstance(first, int) else None
