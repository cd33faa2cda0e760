"""Several endpoints as one: a bounded number of calls in flight, waits with jitter, and fail-over to the next endpoint."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from perpcomp.findings import Finding, InputError
from perpcomp.ingest.node.refusals import Action, classify
from perpcomp.ingest.node.rpc import (
    NETWORK,
    UNREACHED,
    Endpoint,
    Fault,
    Raw,
    Refused,
    read_strictly,
    to_int,
)

T = TypeVar("T")


@dataclass
class Pool:
    """Endpoints with fail-over: each call goes to the first that is well, and to the next when it is not.

    attempts bounds the tries of one call over all endpoints; patience (s) is the first wait, doubled each time with jitter.
    """

    endpoints: list[Endpoint]
    attempts: int = 8
    patience: float = 0.5
    at_once: int = 4
    sent: int = 0
    _turn: int = 0
    _gate: asyncio.Semaphore | None = field(default=None, repr=False)

    async def call(self, method: str, params: Sequence[Any], read: Callable[[Raw], T], needs: int = -1) -> T:
        """The result of a call, read by `read`; `needs` is the newest block that the answering node must know.

        Raises Refused for what the caller can ask differently, InputError (exit 3) when every attempt has failed.
        """
        return await self._try(method, needs, lambda endpoint: _one(endpoint, method, params, read))

    async def call_many(self, method: str, many: Sequence[Sequence[Any]], read: Callable[[Raw], T]) -> list[T]:
        """The results of a batch, in the order asked."""

        async def batch(endpoint: Endpoint) -> list[T]:
            return [read(raw) for raw in await endpoint.call_many(method, many)]

        return await self._try(method, -1, batch)

    async def close(self) -> None:
        for endpoint in self.endpoints:
            await endpoint.close()

    async def _try(self, method: str, needs: int, ask: Callable[[Endpoint], Awaitable[T]]) -> T:
        if self._gate is None:
            self._gate = asyncio.Semaphore(self.at_once)
        faults: list[str] = []
        for attempt in range(self.attempts):
            endpoint = self.endpoints[self._turn % len(self.endpoints)]
            wait = self.patience * 2**attempt * random.uniform(0.5, 1.5)
            try:
                async with self._gate:
                    self.sent += 1
                    if needs > endpoint.head:
                        await _look_up(endpoint)
                        if needs > endpoint.head:
                            raise Fault(f"{endpoint.name} knows blocks up to {endpoint.head} only; {needs} is asked for")
                    return await ask(endpoint)
            except Fault as fault:
                faults.append(str(fault))
                if fault.status == 504 and method == "eth_getLogs" and attempt >= 1:
                    raise Refused(str(fault), None, 504, None) from None  # twice too late: ask for less
                self._turn += 1
            except Refused as refused:
                if refused.status in (401, 403):
                    faults.append(f"{endpoint.name} refuses access ({refused.message})")
                    self._turn += 1
                    if len(self.endpoints) == 1:
                        break
                elif refused.status in (500, 502, 503, 504):
                    faults.append(f"{endpoint.name}: {refused.message}")
                    if refused.status in (502, 504) and method == "eth_getLogs" and attempt >= 1:
                        raise  # twice: the range is too much for it
                    self._turn += 1
                elif _asks_to_wait(refused):
                    faults.append(f"{endpoint.name}: {refused.message}")
                    wait = refused.wait if refused.wait is not None else wait
                    self._turn += 1
                else:
                    raise
            await asyncio.sleep(min(wait, 60.0) if attempt < self.attempts - 1 else 0)
        what = f"{method} failed {len(faults)} times. The last: {faults[-1]}."
        advice = "Nothing half-fetched is kept; the same command goes on where it stopped, or add another --rpc."
        raise InputError([Finding("error", "the network", what, advice, code=UNREACHED)], NETWORK)


async def _one(endpoint: Endpoint, method: str, params: Sequence[Any], read: Callable[[Raw], T]) -> T:
    return read(await endpoint.call(method, params))


async def _look_up(endpoint: Endpoint) -> None:
    endpoint.head = to_int(read_strictly(await endpoint.call("eth_blockNumber", [])))


def _asks_to_wait(refused: Refused) -> bool:
    return classify((0, 1), refused.code, refused.status, refused.message).action is Action.BACKOFF
