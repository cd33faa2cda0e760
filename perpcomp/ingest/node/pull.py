"""An incident's logs from the chain: which blocks, from which nodes, into which store; and the one file that a run reads.

Once a window's range is known, final and held whole, nothing is asked of any node again.
"""

import asyncio
import gc
import json
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from perpcomp.findings import InputError, refusal
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node.fetch import (
    HEADERS_AT_ONCE,
    Fetcher,
    Progress,
    Settings,
    differing_block,
    grid,
)
from perpcomp.ingest.node.pool import Pool
from perpcomp.ingest.node.refusals import Range, width
from perpcomp.ingest.node.rpc import (
    NETWORK,
    UNREACHED,
    Endpoint,
    Fault,
    Refused,
    read_object,
    read_strictly,
    to_int,
)
from perpcomp.ingest.node.store import LOGS, RANGE, Store, Subject, read_range
from perpcomp.ingest.proof import evidence
from perpcomp.tables.schema import CSV_TIME
from perpcomp.writing import write_whole

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How to fetch. blocks overrides the window's own range; second is a node of another operator to compare with."""

    store: Path
    blocks: Range | None = None
    second: str | None = None
    prove: str | None = None  # window or all
    settings: Settings = field(default_factory=Settings)
    timeout: float = 60.0
    attempts: int = 6
    patience: float = 0.5
    at_once: int = 4


@dataclass(frozen=True)
class Fetched:
    """A range whose logs are all in `file`. `final`: every block of it lies below what a reorganisation can reach."""

    first: int
    last: int
    final: bool
    file: Path
    requests: int
    proof: tuple[str, ...] = ()  # what was proved, in words


def default_store(incident: Incident) -> Path:
    """Where an incident's logs are kept unless told otherwise."""
    return Path("store") / incident.name


def subject(incident: Incident, topics: Sequence[str]) -> Subject:
    """What an incident's store holds."""
    addresses = sorted({incident.chain.clearing_house, *(market.amm for market in incident.markets)})
    return Subject(incident.chain.id, incident.chain.genesis or "", tuple(addresses), tuple(sorted(topics)))


def held(incident: Incident, topics: Sequence[str], options: Options) -> Fetched | None:
    """The range that the store holds whole and final for this window, without asking anybody; None where something is missing."""
    stated = read_range(options.store)
    try:
        asked = (int(stated["first"]), int(stated["last"]))
    except (ValueError, KeyError, TypeError):
        return None
    if not (options.store / LOGS).is_file() or stated.get("asked") != _asked(incident, options) or not stated.get("final"):
        return None
    store = Store(options.store, subject(incident, topics))
    if store.missing(grid(asked, options.settings.segment)):
        return None
    return Fetched(*asked, True, options.store / LOGS, 0)


def stored(incident: Incident) -> Path | None:
    """The logs that an earlier fetch left for this incident, None without one.

    Only those of the whole window, all final: of anything less a victim could be missing, so it is refused unless it is asked for by
    name.
    """
    options = Options(default_store(incident))
    file = options.store / LOGS
    if not file.is_file():
        return None
    stated = read_range(options.store)
    if stated.get("asked") != _asked(incident, options) or not stated.get("final"):
        blocks = f"blocks {stated.get('first')} to {stated.get('last')}" if "first" in stated else "an unfinished range"
        what = f"holds {blocks}, which is not the whole and final range of the window of '{incident.name}'."
        advice = f"Fetch it with --rpc URL, or take these logs on purpose with --input {file}."
        raise refusal(str(options.store), what, advice, NETWORK)
    return file


def _proved(incident: Incident, topics: Sequence[str], options: Options, known: Fetched) -> Fetched | None:
    """A range that is held, with its proof made again from the evidence in the store where one is asked for; None without evidence."""
    if options.prove is None:
        return known
    stated = read_range(options.store).get("proved", {}).get(options.prove)
    if stated is None:
        return None
    start, anchor = stated
    about = subject(incident, topics)
    folder = evidence.folder_of(options.store, (start, known.last))
    logs = Store(options.store, about).logs(grid((known.first, known.last), options.settings.segment))
    proof = evidence.check(folder, (start, known.last), evidence.pairs(about.addresses, about.topics), logs, anchor)
    return replace(known, proof=(str(proof),))


def plan(incident: Incident, options: Options) -> list[str]:
    """What a fetch would ask, in words, before anything is asked."""
    settings = options.settings
    lines = []
    if options.blocks is None:
        first = incident.chain.first_block
        rules = incident.eligibility
        where = f"block {first:,}" if first else f"the block at {rules.start.strftime(CSV_TIME)}"
        lines.append(
            f"Range: from {where} to the last block before {rules.end.strftime(CSV_TIME)}, found by at most 64 requests for headers."
        )
        lines.append(
            f"Then one eth_getLogs for every {settings.window:,} blocks, narrower where a node wants it, three headers for every"
            f" {settings.segment:,} blocks, and one batch of headers for every {HEADERS_AT_ONCE} blocks that hold logs."
        )
    else:
        blocks, segments = width(options.blocks), len(grid(options.blocks, settings.segment))
        windows = sum(-(-width(part) // settings.window) for part in grid(options.blocks, settings.segment))
        lines.append(f"Range: blocks {options.blocks[0]:,} to {options.blocks[1]:,}, {blocks:,} in all.")
        lines.append(
            f"{windows:,} eth_getLogs, {3 * segments:,} headers, and one batch of headers for every {HEADERS_AT_ONCE} blocks that hold logs."
        )
    lines.append(f"Contracts: {', '.join(sorted({incident.chain.clearing_house, *(m.amm for m in incident.markets)}))}.")
    lines.append("Columns: block_number, block_time, block_hash, transaction_hash, transaction_index, log_index, address, topics, data.")
    lines.append(f"Kept in: {options.store}. Nothing was sent.")
    return lines


def fetch(incident: Incident, topics: Sequence[str], urls: Sequence[str], options: Options, show: Callable[[Progress], None]) -> Fetched:
    """Fetch what the store lacks. InputError (exit 3) where the network does not give it; what was fetched stays."""
    known = held(incident, topics, options)
    if known is not None and options.second is None:
        proved = _proved(incident, topics, options, known)
        if proved is not None:
            return proved
    return _run(_fetch(incident, topics, urls, options, show))


def _run(work: Coroutine[Any, Any, T]) -> T:
    # Millions of small objects live for one window and refer to nothing: looking through them for cycles is a fifth of the time.
    collecting = gc.isenabled()
    gc.disable()
    # The GNU allocator gives the buffers of answers back to the system each time, which costs as much as filling them, until it has
    # once freed a block as large as it ever keeps.
    bytes(2**25 - 2**13)
    try:
        return asyncio.run(work)
    finally:
        if collecting:
            gc.enable()


def _pool(urls: Sequence[str], options: Options) -> Pool:
    endpoints = [Endpoint(url, options.timeout) for url in urls]
    return Pool(endpoints, options.attempts, options.patience, options.at_once)


async def _fetch(
    incident: Incident, topics: Sequence[str], urls: Sequence[str], options: Options, show: Callable[[Progress], None]
) -> Fetched:
    pool = _pool(urls, options)
    second = _pool([options.second], options) if options.second else None
    try:
        pool.endpoints = await _well(pool, incident)
        if second is not None:
            await _well(second, incident)
        about = subject(incident, topics)
        store = Store(options.store, about)
        fetcher = Fetcher(pool, about, options.settings)
        head = await fetcher.head()
        first, last = options.blocks or await _range(incident, fetcher, head)
        if last > head:
            raise refusal("--blocks", f"Block {last} does not exist yet: the newest is {head}.", "End the range before it.")
        await fetcher.fill(store, (first, last), Progress(width((first, last)), show=show))
        segments = grid((first, last), options.settings.segment)
        final = last <= head - options.settings.confirmations
        stated = {"asked": _asked(incident, options), "first": first, "last": last, "final": final}
        stated = store.write_range(segments, stated)
        if second is not None:
            await _compare(second, about, options, (first, last), store.logs(segments))
        fetched = Fetched(first, last, final, options.store / LOGS, pool.sent)
        if options.prove is None:
            return fetched
        start = first if options.prove == "all" else max(first, await fetcher.block_at(incident.eligibility.start, first, last))
        if start > last:
            raise refusal("--prove", "The range holds no block of the window.", "Use --prove all, or another --blocks.")
        wanted = evidence.pairs(about.addresses, about.topics)
        folder = evidence.folder_of(options.store, (start, last))
        await evidence.collect(pool, (start, last), wanted, folder)
        anchor = (await fetcher.header(last)).hash
        proof = evidence.check(folder, (start, last), wanted, store.logs(segments), anchor)
        write_whole(options.store / RANGE, json.dumps({**stated, "proved": {options.prove: [start, anchor]}}, sort_keys=True).encode())
        return replace(fetched, requests=pool.sent, proof=(str(proof),))
    finally:
        await pool.close()
        if second is not None:
            await second.close()


async def _well(pool: Pool, incident: Incident) -> list[Endpoint]:
    """The endpoints that answer. One of another chain is refused; one that does not answer is passed over while another does."""
    well, faults = [], []
    for endpoint in pool.endpoints:
        try:
            await check_chain(endpoint, pool, incident)
            well.append(endpoint)
        except InputError as error:
            if any(problem.code != UNREACHED for problem in error.problems):
                raise
            faults.append(error)
    if not well:
        raise faults[-1]
    return well


async def check_chain(endpoint: Endpoint, pool: Pool, incident: Incident) -> None:
    """Refuse a node of another chain before anything else is asked of it."""
    one = Pool([endpoint], min(pool.attempts, 3), pool.patience, pool.at_once)
    found = await one.call("eth_chainId", [], lambda raw: to_int(read_strictly(raw)))
    if found != incident.chain.id:
        what = f"{endpoint.name} is a node of chain {found}; {incident.name} lies on chain {incident.chain.id}."
        raise refusal("--rpc", what, "Give the URL of a node of that chain.", NETWORK)
    if incident.chain.genesis is not None:
        try:
            block = await one.call("eth_getBlockByNumber", ["0x0", False], read_object)
        except Refused as refused:
            raise refusal(
                "--rpc", f"{endpoint.name} does not give its first block: {refused.message}", "Use another node.", NETWORK
            ) from None
        if block.get("hash") != incident.chain.genesis:
            what = f"{endpoint.name} says chain {found}, but its first block is {block.get('hash')}, not {incident.chain.genesis}."
            raise refusal("--rpc", what, "It is another network under the same number. Give the URL of the right one.", NETWORK)


async def _range(incident: Incident, fetcher: Fetcher, head: int) -> Range:
    """From the protocol's first block (or the window's) to the last block before the window's end."""
    rules = incident.eligibility
    try:
        first = incident.chain.first_block or await fetcher.block_at(rules.start, 0, head)
        after = await fetcher.block_at(rules.end, first, head)
    except Fault as fault:
        raise refusal(
            "the network", f"The window's blocks cannot be found: {fault}.", "Give them with --blocks FROM:TO.", NETWORK
        ) from None
    if after > head:
        what = f"The window ends {rules.end.strftime(CSV_TIME)}, and the newest block is older."
        raise refusal(f"{incident.name}.toml", what, "Wait until it is over, or give a range with --blocks FROM:TO.")
    return first, after - 1


async def _compare(second: Pool, about: Subject, options: Options, asked: Range, mine: Any) -> None:
    """The same range from another node; the first block whose logs differ is an error that names it."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), about)
        fetcher = Fetcher(second, about, options.settings)
        await fetcher.fill(store, asked, Progress(width(asked)))
        theirs = store.logs(grid(asked, options.settings.segment))
    block = differing_block(mine, theirs)
    if block is not None:
        counts = [frame.filter(block_number=block).height for frame in (mine, theirs)]
        what = f"The two nodes differ, first in block {block}: {counts[0]} logs here, {counts[1]} from {second.endpoints[0].name}."
        raise refusal("--second-rpc", what, "One of them lost or altered logs: --prove tells which.", exit_code=1)


def _asked(incident: Incident, options: Options) -> dict[str, Any]:
    """What decides the range: the window, or the blocks given."""
    rules = incident.eligibility
    window = [rules.start.strftime(CSV_TIME), rules.end.strftime(CSV_TIME), incident.chain.first_block]
    return {"blocks": list(options.blocks)} if options.blocks else {"window": window}
