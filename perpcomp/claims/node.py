"""Questions to contracts at a node's newest block, in one connection."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from perpcomp.findings import NETWORK, refusal
from perpcomp.ingest.node.results import BadAnswer
from perpcomp.ingest.node.rpc import Endpoint, RpcError

T = TypeVar("T")


class Node:
    """One node that is asked about contracts."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def chain(self) -> int:
        """The number of its chain."""
        return int(await self._ask("eth_chainId", []), 16)

    async def code(self, at: str) -> str:
        """The code at an address; "0x" where there is none."""
        found: str = await self._ask("eth_getCode", [at, "latest"])
        return found

    async def view(self, to: str, data: str) -> str | None:
        """What a call answers, in hex; None where the contract refuses it or has no such function."""
        try:
            answer = await self._ask("eth_call", [{"to": to, "data": data}, "latest"])
        except RpcError as refused:
            if refused.passes or (refused.status is not None and refused.status >= 500):
                raise
            return None
        return answer.lower() if isinstance(answer, str) and answer.startswith("0x") else None

    async def word(self, to: str, data: str) -> str | None:
        """What a call answers where that is one word of 32 bytes; else None."""
        answer = await self.view(to, data)
        return answer if answer is not None and len(answer) == 66 else None

    async def _ask(self, method: str, params: list[Any]) -> Any:
        return json.loads(bytes(await self._endpoint.call(method, params)))


def ask(url: str, questions: Callable[[Node], Awaitable[T]]) -> T:
    """What some questions come to. InputError (exit 3) where the node does not answer."""

    async def asked() -> T:
        endpoint = Endpoint(url)
        try:
            return await questions(Node(endpoint))
        except (BadAnswer, RpcError) as error:
            raise refusal("--rpc", f"{endpoint.name} does not answer: {error}.", "Try again, or give another node.", NETWORK) from None
        finally:
            await endpoint.close()

    return asyncio.run(asked())
