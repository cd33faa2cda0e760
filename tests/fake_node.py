"""A node in memory for tests without a chain: 400 blocks with logs, served through Endpoint, and spoiled as a test says."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import polars as pl
import pytest

from perpcomp.ingest.node.fetch import Fetcher
from perpcomp.ingest.node.pool import Pool
from perpcomp.ingest.node.rpc import Endpoint
from perpcomp.ingest.node.segments import Settings
from perpcomp.ingest.node.store import Subject

ADDRESS, TOPIC = "0x" + "ab" * 20, "0x" + "cd" * 32
HEAD = 400
SUBJECT = Subject(100, "", (ADDRESS,), (TOPIC,))
SETTINGS = Settings(window=50, segment=200, confirmations=0)
Reply = tuple[int | None, bytes, str | None]


def block_hash(number: int) -> str:
    return f"0x{number + 10**6:064x}"


@cache
def header(number: int) -> dict[str, Any]:
    transactions = [f"0x{number:032x}{1:032x}"]
    times = {"number": hex(number), "timestamp": hex(1_600_000_000 + 5 * number)}
    return {"hash": block_hash(number), "parentHash": block_hash(number - 1), "transactions": transactions, **times}


@cache
def log(number: int, index: int) -> dict[str, Any]:
    return {
        "address": ADDRESS,
        "topics": [TOPIC],
        "data": f"0x{index:064x}",
        "blockHash": block_hash(number),
        "blockNumber": hex(number),
        "blockTimestamp": header(number)["timestamp"],
        "transactionHash": header(number)["transactions"][0],
        "transactionIndex": "0x0",
        "logIndex": hex(index),
    }


@dataclass
class FakeNode:
    """`logs_of` says how many logs a block has. `spoil(method, params, result, batched)` gives the member to send instead of the result:
    {"result": ...}, {"error": ...}; or a Reply, which replaces the whole HTTP answer; or None to send the truth.
    """

    spoil: Callable[[str, list[Any], Any, bool], dict[str, Any] | Reply | None] = lambda *_: None
    logs_of: Callable[[int], int] = lambda number: number % 3
    whole_batch: Callable[[int], dict[str, Any] | Reply | None] = lambda _: None  # the answer to a batch of so many, instead of a list
    counts: Counter[str] = field(default_factory=Counter)

    def truth(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_chainId":
                return "0x64"
            case "eth_blockNumber":
                return hex(HEAD)
            case "eth_getBlockByNumber":
                return header(int(params[0], 16))
            case "eth_getBlockReceipts":
                number = int(params[0], 16)
                return [{"logs": [log(number, n) for n in range(self.logs_of(number))]}]
            case "eth_getTransactionReceipt":
                number = int(params[0][:34], 16)
                return {"logs": [log(number, n) for n in range(self.logs_of(number))]}
        assert method == "eth_getLogs", method
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        return [log(number, n) for number in range(first, last + 1) for n in range(self.logs_of(number))]

    def answer(self, request: dict[str, Any], batched: bool) -> dict[str, Any] | Reply:
        method, params = request["method"], request["params"]
        self.counts[method] += 1
        result = self.truth(method, params)
        found = self.spoil(method, params, result, batched)
        if isinstance(found, tuple):
            return found
        return {"jsonrpc": "2.0", "id": request["id"], **({"result": result} if found is None else found)}

    def send(self, request: Any) -> Reply:
        if isinstance(request, list):
            self.counts["batches"] += 1
            if (refused := self.whole_batch(len(request))) is not None:
                body = {"jsonrpc": "2.0", "id": None, **refused} if isinstance(refused, dict) else refused
                return body if isinstance(body, tuple) else (200, json.dumps(body).encode(), None)
            answers = [self.answer(one, True) for one in request]
            whole = next((one for one in answers if isinstance(one, tuple)), None)
            return whole or (200, json.dumps(answers, separators=(",", ":")).encode(), None)
        one = self.answer(request, False)
        return one if isinstance(one, tuple) else (200, json.dumps(one, separators=(",", ":")).encode(), None)


def installed(monkeypatch: pytest.MonkeyPatch, *nodes: FakeNode) -> list[str]:
    """The URLs at which these nodes answer."""
    by_url = {f"http://node{n}.test/key-{n}-secret": node for n, node in enumerate(nodes)}

    async def send(self: Endpoint, request: Any) -> Reply:
        await asyncio.sleep(0)
        return by_url[self.url].send(request)

    class Batches:
        batches = True

    monkeypatch.setattr(Endpoint, "_send", send)
    monkeypatch.setattr(Endpoint, "_open", lambda self: Batches())
    return list(by_url)


def windows(urls: list[str], asked: tuple[int, int] = (1, HEAD), settings: Settings = SETTINGS) -> pl.DataFrame:
    """All logs of a range as (block, index), fetched by windows."""

    async def run() -> pl.DataFrame:
        pool = Pool([Endpoint(url) for url in urls], attempts=6, patience=0.0005)
        return await Fetcher(pool, SUBJECT, settings)._windows(asked)

    return asyncio.run(run())


def true_logs(node: FakeNode, asked: tuple[int, int] = (1, HEAD)) -> list[tuple[int, int]]:
    return [(number, n) for number in range(asked[0], asked[1] + 1) for n in range(node.logs_of(number))]
