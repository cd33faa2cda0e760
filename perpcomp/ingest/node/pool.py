"""Several endpoints as one: a limited number of calls in flight, waits with jitter, and fail-over to the next endpoint."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from perpcomp.findings import NETWORK, Finding, InputError
from perpcomp.ingest.node.refusals import Action, classify
from perpcomp.ingest.node.results import BadAnswer, Raw, read_strictly, to_int
from perpcomp.ingest.node.rpc import UNREACHED, Endpoint, RpcError

T = TypeVar("T")

DIVISIBLE = ("eth_getLogs", "eth_getBlockReceipts")  # the callers of these methods can ask for less at a time
ASK_LESS = (Action.SPLIT_RANGE, Action.SPLIT_SPAN, Action.HALVE, Action.RECEIPTS)
LASTING = (Action.ARCHIVE, Action.FATAL)  # refusals that waiting does not change


@dataclass
class Pool:
    """Endpoints with fail-over: a call that fails, or that a node cannot serve, goes to the next endpoint.

    `attempts` limits the attempts of one call over all endpoints; `patience` (s) is the first wait, doubled each time, with jitter.
    `at_once` limits the calls in flight; `sent` counts the requests.
    """

    endpoints: list[Endpoint]
    attempts: int = 8
    patience: float = 0.5
    at_once: int = 4
    sent: int = 0
    _turn: int = 0
    _gate: asyncio.Semaphore | None = field(default=None, repr=False)

    async def call(self, method: str, params: Sequence[Any], read: Callable[[Raw], T], needs: int = -1) -> T:
        """The result of a call, read by `read`. The answering node must know the block `needs`.

        RpcError where the caller can ask for less (DIVISIBLE); InputError (exit 3) with the node's words where every attempt failed.
        """
        return await self._try(method, needs, lambda endpoint: _one(endpoint, method, params, read))

    async def call_many(self, method: str, many: Sequence[Sequence[Any]], read: Callable[[Raw], T]) -> list[T]:
        """The results of a batch, in the order of the requests."""

        async def batch(endpoint: Endpoint) -> list[T]:
            return [read(raw) for raw in await endpoint.call_many(method, many)]

        return await self._try(method, -1, batch)

    async def close(self) -> None:
        """Close every endpoint's connection."""
        for endpoint in self.endpoints:
            await endpoint.close()

    async def _try(self, method: str, needs: int, ask: Callable[[Endpoint], Awaitable[T]]) -> T:
        if self._gate is None:
            self._gate = asyncio.Semaphore(self.at_once)
        faults: list[str] = []
        final: set[int] = set()  # the endpoints whose refusal no other attempt changes
        for attempt in range(self.attempts):
            turn = self._turn
            endpoint = self.endpoints[turn % len(self.endpoints)]
            wait = self.patience * 2**attempt * random.uniform(0.5, 1.5)
            try:
                async with self._gate:
                    self.sent += 1
                    if needs > endpoint.head:
                        await _update_head(endpoint)
                        if needs > endpoint.head:
                            raise BadAnswer(f"{endpoint.name} knows blocks up to {endpoint.head}, but the request needs block {needs}")
                    return await ask(endpoint)
            except BadAnswer as fault:
                faults.append(str(fault))
                if fault.status == 504 and method in DIVISIBLE and attempt >= 1:
                    raise RpcError(str(fault), None, 504, None) from None  # twice too slow: the caller asks for less
            except RpcError as refused:
                faults.append(f"{endpoint.name} answers: {refused.message.rstrip('.')}")
                meant = classify((0, 1), refused.code, refused.status, refused.message)
                if refused.status is not None and refused.status >= 500:
                    if refused.status in (502, 504) and method in DIVISIBLE and attempt >= 1:
                        raise  # twice: the range is too large for the node
                elif meant.action is Action.BACKOFF:
                    wait = refused.wait if refused.wait is not None else wait
                elif meant.action in ASK_LESS and meant.known and method in DIVISIBLE:
                    raise
                elif meant.action in LASTING or method in DIVISIBLE:
                    final.add(turn % len(self.endpoints))
                    if len(final) == len(self.endpoints):
                        if method in DIVISIBLE:
                            raise
                        break
                    wait = 0
            if self._turn == turn:  # another call may have moved on already
                self._turn += 1
            await asyncio.sleep(min(wait, 60.0) if attempt < self.attempts - 1 else 0)
        what = f"{method} failed{f' {len(faults)} times; the last time' if len(faults) > 1 else ''}: {faults[-1]}."
        advice = "Run the same command again, which continues where it stopped, or add another --rpc."
        raise InputError([Finding("error", "the network", what, advice, code=UNREACHED)], NETWORK)


async def _one(endpoint: Endpoint, method: str, params: Sequence[Any], read: Callable[[Raw], T]) -> T:
    return read(await endpoint.call(method, params))


async def _update_head(endpoint: Endpoint) -> None:
    try:
        endpoint.head = to_int(read_strictly(await endpoint.call("eth_blockNumber", [])))
    except RpcError as refused:
        if refused.passes or (refused.status is not None and refused.status >= 500):
            raise
        # The caller must not take this for a refusal of its own request.
        raise BadAnswer(f"{endpoint.name} answers eth_blockNumber: {refused.message.rstrip('.')}") from None
