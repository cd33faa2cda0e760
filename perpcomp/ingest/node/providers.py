"""The transport to a node: web3's providers for HTTP, IPC and WebSocket, with one way to ask.

Imported only when a node is asked: importing web3 takes longer than most runs.
"""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from perpcomp.findings import refusal
from perpcomp.installed import same_recursion_limit

with same_recursion_limit():
    from web3.providers import AsyncHTTPProvider, AsyncIPCProvider, WebSocketProvider
    from web3.types import RPCEndpoint

Reply = tuple[int | None, bytes, str | None]  # HTTP status, body, Retry-After


class Http(AsyncHTTPProvider):
    """web3's HTTP provider with a session that keeps connections, but without its retries, its decoding and its logging of URLs."""

    batches = True

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(url, exception_retry_configuration=None)
        self.timeout = timeout
        self.session: ClientSession | None = None

    async def ask(self, request: Any) -> Reply:
        """The reply to one request, or to a list of them."""
        if self.session is None:
            self.session = ClientSession(connector=TCPConnector(limit=64), timeout=ClientTimeout(total=self.timeout))
        headers = {**self.get_request_headers(), "Accept-Encoding": "gzip"}
        async with self.session.post(str(self.endpoint_uri), data=msgspec.json.encode(request), headers=headers) as response:
            return response.status, await response.read(), response.headers.get("Retry-After")

    async def disconnect(self) -> None:
        if self.session is not None:
            await self.session.close()


class Socket:
    """web3's IPC and WebSocket providers, which match the ids of requests and replies."""

    batches = False

    def __init__(self, provider: AsyncIPCProvider | WebSocketProvider, timeout: float) -> None:
        self.provider, self.timeout = provider, timeout

    async def ask(self, request: Any) -> Reply:
        """The reply to one request."""
        if not await self.provider.is_connected():
            await self.provider.connect()
        asked = self.provider.make_request(RPCEndpoint(request["method"]), request["params"])
        answer = await asyncio.wait_for(asked, self.timeout)
        return None, msgspec.json.encode({**answer, "id": request["id"]}), None

    async def disconnect(self) -> None:
        await self.provider.disconnect()


def provider(url: str, timeout: float) -> Http | Socket:
    """The provider for a URL. InputError where its scheme is unsupported, FileNotFoundError where the socket does not exist."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return Http(url, timeout)
    if parts.scheme in ("ws", "wss"):
        return Socket(WebSocketProvider(url, request_timeout=timeout), timeout)
    if parts.scheme in ("", "file", "ipc"):
        if not Path(parts.path).exists():
            raise FileNotFoundError("the socket does not exist")
        return Socket(AsyncIPCProvider(parts.path, request_timeout=timeout), timeout)
    what = f"The scheme {parts.scheme}:// is not supported."
    raise refusal("--rpc", what, "Give http(s)://, ws(s):// or the path of an IPC socket.")
