"""The nodes that a fetch asks: as one pool, those that answer, each of the right chain; and the fetch itself, until it is done."""

import asyncio
import gc
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from perpcomp.findings import NETWORK, InputError, refusal
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node.held import Options
from perpcomp.ingest.node.pool import Pool
from perpcomp.ingest.node.results import read_object, read_strictly, to_int
from perpcomp.ingest.node.rpc import UNREACHED, Endpoint

T = TypeVar("T")


def run_until_done(work: Coroutine[Any, Any, T]) -> T:
    """The result of a fetch."""
    # Millions of small objects live for one window and are in no cycle. Without the collector's search for cycles, fetching is 1.1 times
    # as fast (tests.bench fetching, median of 7 paired rounds).
    collecting = gc.isenabled()
    gc.disable()
    try:
        return asyncio.run(work)
    finally:
        if collecting:
            gc.enable()


def make_pool(urls: Sequence[str], options: Options) -> Pool:
    """The nodes at these URLs as one."""
    endpoints = [Endpoint(url, options.timeout) for url in urls]
    return Pool(endpoints, options.attempts, options.patience, options.at_once)


async def answering(pool: Pool, incident: Incident) -> list[Endpoint]:
    """The endpoints that answer. InputError where one belongs to another chain, or where none answers."""
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
        raise InputError([problem for fault in faults for problem in fault.problems], NETWORK)
    return well


async def check_chain(endpoint: Endpoint, pool: Pool, incident: Incident) -> None:
    """InputError where a node belongs to another chain; checked before anything else is asked of it."""
    one = Pool([endpoint], min(pool.attempts, 3), pool.patience, pool.at_once)
    found = await one.call("eth_chainId", [], lambda raw: to_int(read_strictly(raw)))
    if found != incident.chain.id:
        what = f"{endpoint.name} is a node of chain {found}, but {incident.name} is on chain {incident.chain.id}."
        raise refusal("--rpc", what, "Give the URL of a node of that chain.", NETWORK)
    if incident.chain.genesis is not None:
        block = await one.call("eth_getBlockByNumber", ["0x0", False], read_object)
        if block.get("hash") != incident.chain.genesis:
            what = f"{endpoint.name} states chain {found}, but its first block is {block.get('hash')}, not {incident.chain.genesis}."
            raise refusal("--rpc", what, "It is another network with the same chain id. Give the URL of the right one.", NETWORK)
