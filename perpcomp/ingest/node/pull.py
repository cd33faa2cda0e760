"""Fetching an incident's logs from nodes into its store, as one file that a run reads.

A range that is complete and final is never asked for again.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp import progress
from perpcomp.engine import LOCAL, Engine
from perpcomp.findings import refusal
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node.by_workers import FetchPart, fill_by_workers
from perpcomp.ingest.node.fetch import Fetcher, differing_block
from perpcomp.ingest.node.held import Fetched, Options, asked_for, held, proved, subject
from perpcomp.ingest.node.nodes import answering, make_pool, run_until_done
from perpcomp.ingest.node.pool import Pool
from perpcomp.ingest.node.refusals import Range
from perpcomp.ingest.node.segments import grid
from perpcomp.ingest.node.store import LOGS, RANGE, Store, Subject
from perpcomp.ingest.proof.kept import folder_of
from perpcomp.lock import locked
from perpcomp.number_text import counted
from perpcomp.tables.schema import CSV_TIME
from perpcomp.writing import write_whole


def fetch(incident: Incident, topics: Sequence[str], urls: Sequence[str], options: Options, engine: Engine = LOCAL) -> Fetched:
    """Fetch the logs that the store does not hold, by the engine's workers if it has some.

    InputError (exit 3) where the network does not give them; what was fetched until then stays in the store.
    """
    known = held(incident, topics, options)
    if known is not None and options.second is None:
        again = proved(incident, topics, options, known)
        if again is not None:
            return again
    with locked(options.store, "--store"):
        return run_until_done(_fetch(incident, topics, urls, options, engine))


async def _fetch(incident: Incident, topics: Sequence[str], urls: Sequence[str], options: Options, engine: Engine) -> Fetched:
    pool = make_pool(urls, options)
    second = make_pool([options.second], options) if options.second else None
    try:
        pool.endpoints = await answering(pool, incident)
        if second is not None:
            await answering(second, incident)
        about = subject(incident, topics)
        store = Store(options.store, about)
        fetcher = Fetcher(pool, about, options.settings)
        head = await fetcher.head()
        first, last = options.blocks or await range_of(incident, fetcher, head)
        if last > head:
            raise refusal("--blocks", f"Block {last} does not exist yet: the newest is {head}.", "End the range before it.")
        if engine.scratch is not None:
            task = FetchPart(incident, about, replace(options, store=options.store.resolve(), second=None))
            pool.sent += await fill_by_workers(fetcher, store, (first, last), task, [one.url for one in pool.endpoints], engine)
        await fetcher.fill(store, (first, last))
        segments = grid((first, last), options.settings.segment)
        final = last <= head - options.settings.confirmations
        stated: dict[str, Any] = {"asked": asked_for(incident, options), "first": first, "last": last, "final": final}
        if options.blocks is not None:  # the window is no evidence of how far these blocks reach
            after = await fetcher.header(last + 1 if last < head else last)
            stated |= {"from_time": (await fetcher.header(first)).timestamp, "until_time": after.timestamp}
        stated = store.write_range(segments, stated, engine)
        if second is not None:
            await _compare(second, about, options, (first, last), store.logs(segments))
        fetched = Fetched(first, last, final, options.store / LOGS, pool.sent)
        if options.prove is None:
            return fetched
        from perpcomp.ingest.proof import evidence  # brings RLP: only where there is something to prove

        start = first if options.prove == "all" else max(first, await _window_start(incident, fetcher, (first, last)))
        if start > last:
            raise refusal("--prove", "The range holds no block of the window.", "Use --prove all, or another --blocks.")
        wanted = evidence.filters(about.addresses, about.topics)
        folder = folder_of(options.store, (start, last))
        progress.now("Fetching the headers and receipts that prove the logs")
        await evidence.collect(pool, (start, last), wanted, folder)
        anchor = (await fetcher.header(last)).hash
        progress.now("Checking the proof")
        proof = evidence.check(folder, (start, last), wanted, store.logs(segments), anchor)
        write_whole(options.store / RANGE, json.dumps({**stated, "proved": {options.prove: [start, anchor]}}, sort_keys=True).encode())
        return replace(fetched, requests=pool.sent, proof=(str(proof),))
    finally:
        await pool.close()
        if second is not None:
            await second.close()


async def _window_start(incident: Incident, fetcher: Fetcher, within: Range) -> int:
    """The first block of the window."""
    rules = incident.eligibility
    return rules.from_block if rules.from_block is not None else await fetcher.block_at(rules.start, *within)


async def range_of(incident: Incident, fetcher: Fetcher, head: int) -> Range:
    """From the protocol's first block (or the window's) to the last block before the window's end."""
    rules = incident.eligibility
    if rules.from_block is not None and rules.to_block is not None:
        if rules.to_block > head:
            what = f"The window ends at block {rules.to_block}, but the newest block is {head}."
            raise refusal(f"{incident.name}.toml", what, "Wait until the window is over, or give a range with --blocks FROM:TO.")
        return incident.chain.first_block or rules.from_block, rules.to_block
    first = incident.chain.first_block or await fetcher.block_at(rules.start, 0, head)
    after = await fetcher.block_at(rules.end, first, head)
    if after > head:
        what = f"The window ends at {rules.end.strftime(CSV_TIME)}, but the newest block is older."
        raise refusal(f"{incident.name}.toml", what, "Wait until the window is over, or give a range with --blocks FROM:TO.")
    return first, after - 1


async def logs_by(node: Pool, about: Subject, options: Options, asked: Range) -> pl.DataFrame:
    """The raw frame of all logs of a range by another node. InputError (exit 3) where it does not give them."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), about)
        await Fetcher(node, about, options.settings).fill(store, asked, "the logs of the second node")
        return store.logs(grid(asked, options.settings.segment))


async def _compare(second: Pool, about: Subject, options: Options, asked: Range, mine: pl.DataFrame) -> None:
    """Fetch the same range from another node. InputError names the first block whose logs differ."""
    theirs = await logs_by(second, about, options, asked)
    block = differing_block(mine, theirs)
    if block is not None:
        counts = [frame.filter(block_number=block).height for frame in (mine, theirs)]
        what = f"The two nodes differ first in block {block}: {counted(counts[0], 'log')} from --rpc, {counts[1]} from {second.endpoints[0].name}."
        raise refusal("--second-rpc", what, "One of them lost or altered logs. Use --prove to find out which.", exit_code=1)
