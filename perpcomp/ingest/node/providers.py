"""The transport to a node: aiohttp for HTTP, and by sockets.py web3's providers for IPC and WebSocket, with one way to ask.

Imported only when a node is asked.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from perpcomp.findings import refusal
from perpcomp.version import VERSION

if TYPE_CHECKING:
    from perpcomp.ingest.node.sockets import Socket

Reply = tuple[int | None, bytes, str | None]  # HTTP status, body, Retry-After
HEADERS = {"Content-Type": "application/json", "User-Agent": f"perpcomp/{VERSION}", "Accept-Encoding": "gzip"}


class Http:
    """A session that keeps connections. It never repeats a request: the pool does."""

    batches = True

    def __init__(self, url: str, timeout: float) -> None:
        self.url, self.timeout = url, timeout
        self.session: ClientSession | None = None

    async def ask(self, request: Any) -> Reply:
        """The reply to one request, or to a list of them."""
        if self.session is None:
            self.session = ClientSession(connector=TCPConnector(limit=64), timeout=ClientTimeout(total=self.timeout))
        async with self.session.post(self.url, data=msgspec.json.encode(request), headers=HEADERS) as response:
            return response.status, await response.read(), response.headers.get("Retry-After")

    async def disconnect(self) -> None:
        if self.session is not None:
            await self.session.close()


def provider(url: str, timeout: float) -> "Http | Socket":
    """The provider for a URL. InputError where its scheme is unsupported, FileNotFoundError where the socket does not exist."""
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https"):
        return Http(url, timeout)
    if scheme in ("ws", "wss", "", "file", "ipc"):
        from perpcomp.ingest.node.sockets import Socket

        return Socket(url, timeout)
    what = f"The scheme {scheme}:// is not supported."
    raise refusal("--rpc", what, "Give http(s)://, ws(s):// or the path of an IPC socket.")
