"""The logs of a range fetched by the workers of a cluster, each some segments, into the folder of a store that all of them see.

No log passes the process that asks. It learns of each segment the hashes at its ends and that of its file, and lists it in the journal, in
the order of the chain. So the store is to the byte that of a fetch by one process.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from perpcomp import progress
from perpcomp.engine import Engine, this_worker
from perpcomp.findings import NETWORK, InputError, refusal
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node.fetch import AGAIN, Fetcher
from perpcomp.ingest.node.held import Options
from perpcomp.ingest.node.nodes import answering, make_pool, run_until_done
from perpcomp.ingest.node.refusals import Range, width
from perpcomp.ingest.node.segments import grid
from perpcomp.ingest.node.store import Segment, Store, Subject, Unlisted
from perpcomp.number_text import counted

MOST = 8  # segments of a task: more would be lost with a worker, and keep the others waiting at the end


@dataclass(frozen=True)
class Part:
    """What a worker tells of consecutive blocks: their segments in order, and how many requests it sent."""

    segments: list[Segment]
    requests: int


@dataclass(frozen=True)
class FetchPart:
    """The task that fetches consecutive segments as one process does, and leaves the journal alone. InputError names the worker.

    The nodes' URLs come with the blocks of a part: a task that is large is written to a file, and a URL may hold a key.
    """

    incident: Incident
    subject: Subject
    options: Options

    def __call__(self, asked: tuple[Sequence[str], Range]) -> Part:
        try:
            return run_until_done(self._fetch(*asked))
        except InputError as error:
            where = f"the worker {this_worker()}"
            raise InputError([replace(one, where=f"{where}, {one.where}") for one in error.problems], error.exit_code) from None

    async def _fetch(self, urls: Sequence[str], blocks: Range) -> Part:
        pool = make_pool(urls, self.options)
        try:
            pool.endpoints = await answering(pool, self.incident)
            store = Unlisted(self.options.store, self.subject)
            await Fetcher(pool, self.subject, self.options.settings).fill(store, blocks)
            return Part(sorted(store.segments, key=lambda s: s.first), pool.sent)
        finally:
            await pool.close()


async def fill_by_workers(fetcher: Fetcher, store: Store, asked: Range, task: FetchPart, urls: Sequence[str], engine: Engine) -> int:
    """Fetch every segment of the range that the store does not hold; the number of requests that the workers sent.

    What one process checks between two segments is checked here by `fetcher`, whose node may know another chain than that of a worker.
    InputError (exit 3) where a worker cannot fetch its part, or the parts do not fit together.
    """
    requests = 0
    for _ in range(AGAIN):
        await fetcher.drop_reorganised(store)
        missing, logs, fit = store.missing(grid(asked, fetcher.settings.segment)), 0, True
        if missing:
            engine.check_folder(store.place.resolve())
        progress.now("Fetching the logs by the workers", sum(map(width, missing)))
        for part in engine.map(task, ((urls, blocks) for blocks in _runs(missing, engine.partitions))):
            requests += part.requests
            store.check_seen(part.segments)
            fit = await fetcher.follows(store, part.segments[0])
            if not fit:
                break
            for segment in part.segments:
                store.keep(segment)
                logs += segment.rows
            progress.advance(width((part.segments[0].first, part.segments[-1].last)), counted(logs, "log"))
            await asyncio.sleep(0)  # an interruption is heard here: waiting for the workers blocks
        if fit:
            return requests
    what = f"The blocks that the workers fetched did not fit together at each of {AGAIN} attempts: their nodes give different answers."
    raise refusal("the network", what, "Ask another node with --rpc, or wait until the range is final.", NETWORK)


def _runs(segments: Sequence[Range], partitions: int) -> Iterator[Range]:
    """The blocks of adjacent segments together, at most MOST and enough for all workers."""
    most, run = max(1, min(MOST, len(segments) // partitions)), list[Range]()
    for segment in segments:
        if run and (len(run) == most or run[-1][1] + 1 != segment[0]):
            yield run[0][0], run[-1][1]
            run = []
        run.append(segment)
    if run:
        yield run[0][0], run[-1][1]
