"""A JSON-RPC endpoint in front of a node that makes its answers go wrong as told, and remembers what it was asked.

    with Proxy(chain.url, [Fault("drop-log", seed=3)]) as proxy:
        ...  # a client at proxy.url
        assert proxy.hits["drop-log"]

Every call is put to the node first, so that what is spoiled is the true answer. It runs in a thread of the test process.
"""

import asyncio
import copy
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.chain.faults import Active, Answer, Fault, compact
from tests.chain.rpc import Rpc

MAX_BYTES = 2**28


@dataclass(frozen=True)
class Request:
    """One call that came in; `at` is time.monotonic()."""

    method: str
    params: Any
    at: float


class Proxy:
    """The endpoint; use it as a context manager. `url` is where it answers, on a free loopback port."""

    def __init__(self, upstream: str, faults: Sequence[Fault] = ()) -> None:
        self.upstream, self.url = upstream, ""
        self.requests: list[Request] = []
        self.at_once = 0  # the most HTTP requests that were open at one time
        self._open = 0
        self._active = [Active(fault, lambda: Rpc(upstream)) for fault in faults]
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy", daemon=True)

    @property
    def counts(self) -> Counter[str]:
        """How many calls of each method came in."""
        return Counter(request.method for request in list(self.requests))

    @property
    def hits(self) -> Counter[str]:
        """How many answers each kind of fault spoiled."""
        return sum((Counter({active.fault.kind: active.hits}) for active in self._active), Counter())

    @property
    def pending(self) -> list[str]:
        """Faults with a number of times that is not reached: at the end of a test, the client asked too little to meet them."""
        return [active.fault.kind for active in self._active if active.pending]

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10), "the proxy did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the proxy did not stop"

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=MAX_BYTES)
        app.router.add_post("/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        async with aiohttp.ClientSession() as self._node:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._started.set()
            await self._stopping.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._open += 1
        self.at_once = max(self.at_once, self._open)
        try:
            asked = json.loads(await request.read())
            calls = asked if isinstance(asked, list) else [asked]
            answers = [await self._answer(call) for call in calls]
            return await self._respond(request, answers, isinstance(asked, list))
        finally:
            self._open -= 1

    async def _answer(self, call: dict[str, Any]) -> Answer:
        self.requests.append(Request(call["method"], call.get("params", []), time.monotonic()))
        asked = call
        for active in self._active:
            asked = active.ask(asked)
        async with self._node.post(self.upstream, json=asked) as response:
            answer = Answer(call, json.loads(await response.read()))
        for active in self._active:
            spoiled = active.spoil(answer)
            if active.fork and active.fork.names(call) and not spoiled:
                _not_known_here(answer)
            if answer.text or answer.body is not None:
                break  # nothing is left to spoil
        return answer

    async def _respond(self, request: web.Request, answers: list[Answer], batch: bool) -> web.StreamResponse:
        await asyncio.sleep(max((answer.delay for answer in answers), default=0))
        if any(answer.never for answer in answers):
            while not self._stopping.is_set() and request.transport and not request.transport.is_closing():
                await asyncio.sleep(0.02)
        for answer in answers:
            if answer.body is not None:
                headers = {"Content-Type": "text/plain", **answer.headers}
                return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)
        texts = [answer.text or compact(answer.json) for answer in answers]
        body = (f"[{','.join(texts)}]" if batch else texts[0]).encode()
        if any(answer.truncated for answer in answers):
            body = body[: len(body) // 2]
        if any(answer.cut for answer in answers):
            return await _cut_off(request, body)
        return web.Response(body=body, content_type="application/json")


def _not_known_here(answer: Answer) -> None:
    """A node that is not on the fork has never heard of its blocks."""
    if answer.call["method"] == "eth_getLogs":
        answer.fail(-32000, "unknown block")
    else:
        answer.json = {**copy.copy(answer.json), "result": None}


async def _cut_off(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    assert request.transport
    request.transport.close()
    return response
