"""The transport to a node by IPC and WebSocket: web3's providers, with one way to ask.

Imported only for such a node: importing web3 takes longer than fetching 50,000 logs.
"""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from perpcomp.ingest.node.providers import Reply
from perpcomp.installed import same_recursion_limit

with same_recursion_limit():
    from web3.providers import AsyncIPCProvider, WebSocketProvider
    from web3.types import RPCEndpoint


class Socket:
    """web3's IPC and WebSocket providers, which match the ids of requests and replies."""

    batches = False

    def __init__(self, url: str, timeout: float) -> None:
        """FileNotFoundError where the socket does not exist."""
        parts = urlsplit(url)
        self.provider: AsyncIPCProvider | WebSocketProvider
        if parts.scheme in ("ws", "wss"):
            self.provider = WebSocketProvider(url, request_timeout=timeout)
        elif Path(parts.path).exists():
            self.provider = AsyncIPCProvider(parts.path, request_timeout=timeout)
        else:
            raise FileNotFoundError("the socket does not exist")
        self.timeout = timeout

    async def ask(self, request: Any) -> Reply:
        """The reply to one request."""
        if not await self.provider.is_connected():
            await self.provider.connect()
        asked = self.provider.make_request(RPCEndpoint(request["method"]), request["params"])
        answer = await asyncio.wait_for(asked, self.timeout)
        return None, msgspec.json.encode({**answer, "id": request["id"]}), None

    async def disconnect(self) -> None:
        await self.provider.disconnect()
