"""The logs of some topics by any contract of a chain, for an incident whose contracts are not known yet; or by contracts that no incident names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perpcomp.findings import NETWORK, refusal
from perpcomp.ingest.node.fetch import Fetcher
from perpcomp.ingest.node.held import Options
from perpcomp.ingest.node.nodes import make_pool, run_until_done
from perpcomp.ingest.node.results import read_strictly, to_int
from perpcomp.ingest.node.segments import grid
from perpcomp.ingest.node.store import LOGS, Store, Subject

NEWEST = 50_000  # so many blocks are searched where nobody says which


@dataclass(frozen=True)
class Found:
    """The chain that the nodes serve, the blocks that were searched, and the file with their logs."""

    chain_id: int
    first: int
    last: int
    file: Path


def fetch_everywhere(
    topics: Sequence[str],
    urls: Sequence[str],
    chain_id: int | None,
    blocks: tuple[int, int | None] | None,
    folder: Path,
    addresses: Sequence[str] = (),
) -> Found:
    """Fetch them into a store of their own in `folder`: of `blocks`, whose end may be the newest block (None), or of the NEWEST.

    `addresses` are the only contracts whose logs are wanted, where there are any.

    InputError (exit 3) where the network does not give them, or serves another chain than `chain_id`.
    """
    return run_until_done(_fetch(tuple(topics), tuple(addresses), urls, chain_id, blocks, Options(folder)))


async def _fetch(
    topics: tuple[str, ...],
    addresses: tuple[str, ...],
    urls: Sequence[str],
    chain_id: int | None,
    blocks: tuple[int, int | None] | None,
    options: Options,
) -> Found:
    pool = make_pool(urls, options)
    try:
        served = await pool.call("eth_chainId", [], lambda raw: to_int(read_strictly(raw)))
        if chain_id not in (None, served):
            what = f"{pool.endpoints[0].name} is a node of chain {served}, but --chain is {chain_id}."
            raise refusal("--rpc", what, "Give the URL of a node of that chain, or the chain's right number.", NETWORK)
        subject = Subject(served, "", addresses, topics)
        store, fetcher = Store(options.store, subject), Fetcher(pool, subject, options.settings)
        head = await fetcher.head()
        first, end = blocks or (max(0, head - NEWEST + 1), head)
        last = head if end is None else end
        if max(first, last) > head:
            raise refusal("--blocks", f"Block {max(first, last)} does not exist yet: the newest is {head}.", "End the range before it.")
        await fetcher.fill(store, (first, last))
        store.write_range(grid((first, last), options.settings.segment), {"asked": {"blocks": [first, last]}, "first": first, "last": last})
        return Found(served, first, last, options.store / LOGS)
    finally:
        await pool.close()
