"""One endpoint: strict JSON-RPC, and no API key in any message.

providers.py carries the bytes; this module reads them strictly. A reply with another id, a duplicate key, a truncated body or a
null result is a BadAnswer, and the pool tries again. An error that the node itself returns is an RpcError, and the caller can ask for
less.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from perpcomp.ingest.node.refusals import Action, classify
from perpcomp.ingest.node.results import BadAnswer, Raw

if TYPE_CHECKING:
    from perpcomp.ingest.node.providers import Http, Reply
    from perpcomp.ingest.node.sockets import Socket

T = TypeVar("T")
UNREACHED = "node-unreachable"  # code of the finding that a node did not answer


class BatchRefused(Exception):
    """A whole batch was refused. `why` is the RpcError or BadAnswer."""

    def __init__(self, why: "RpcError | BadAnswer") -> None:
        self.why = why
        super().__init__(str(why))


class RpcError(Exception):
    """The node returned an error: its message (without API keys), JSON-RPC code, HTTP status, and the seconds it asks to wait."""

    def __init__(self, message: str, code: int | None = None, status: int | None = None, wait: float | None = None) -> None:
        self.message, self.code, self.status, self.wait = message, code, status, wait
        super().__init__(message)

    @property
    def passes(self) -> bool:
        """Whether the node asks to wait."""
        return classify((0, 1), self.code, self.status, self.message).action is Action.BACKOFF


class _Reply(msgspec.Struct):
    jsonrpc: str | None = None
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None  # an object with code and message by the standard; some gateways send a text
    message: Any = None  # where a gateway puts the words of a refusal beside the keys of the standard


_REPLY = msgspec.json.Decoder(_Reply)
_REPLIES = msgspec.json.Decoder(list[_Reply])


@dataclass
class Endpoint:
    """One node. Messages may show its `name`, scheme and host, but never path, query or user: they can hold an API key."""

    url: str
    timeout: float = 60.0
    head: int = -1  # its newest block when last asked
    batch: int = 100  # the most requests of one batch: refusals narrow it
    batch_faults: int = 0  # batches refused since the last answer to one
    _provider: "Http | Socket | None" = field(default=None, repr=False)

    @property
    def name(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "ipc"

    def scrub(self, text: str) -> str:
        """The text without any part of the URL that could be an API key, plain or percent-encoded."""
        parts = urlsplit(self.url)
        secrets = [self.url, f"{parts.path}?{parts.query}", parts.path, parts.query, parts.username, parts.password]
        secrets += re.split(r"[/&=]", f"{parts.path}/{parts.query}")
        found = sorted({s for s in secrets if s and len(s) > 5}, key=len, reverse=True)
        for secret in found:
            text = text.replace(secret, "…").replace(quote(secret, safe=""), "…")
        return text

    async def call(self, method: str, params: Sequence[Any]) -> Raw:
        """The raw JSON of a result. BadAnswer or RpcError otherwise."""
        id_ = random.randrange(1, 2**31)
        status, body, wait = await self._send({"jsonrpc": "2.0", "id": id_, "method": method, "params": list(params)})
        if status == 200 and (plain := _plain_list(body, id_)) is not None:
            return plain
        try:
            result = self._result(self._decode(_REPLY, body, status, wait), id_, status, wait, method)
        except (BadAnswer, RpcError):
            _check_keys(body, 1)  # a duplicate key is the better reason
            raise
        around = _around(body, result)
        _check_keys(around, 1)
        if b"\\" in around:
            raise BadAnswer("the answer holds a duplicate or escaped key", status)
        return result

    async def call_many(self, method: str, many: Sequence[Sequence[Any]]) -> list[Raw]:
        """The results of requests, in their order: in batches of the size that the node takes, one by one where it takes none."""
        size = self.batch if self._open().batches else 1
        if size == 1 or len(many) == 1:
            return [await self.call(method, params) for params in many]
        if len(many) > size:
            return [raw for n in range(0, len(many), size) for raw in await self.call_many(method, many[n : n + size])]
        try:
            found = await self._batch(method, many)
        except BatchRefused as refused:
            self.batch_faults += 1
            why = refused.why
            if isinstance(why, BadAnswer) or (why.status or 0) >= 500:
                waits = self.batch_faults < 2  # the node may be down: one that refuses batches refuses the next one too
            else:
                waits = why.passes and "batch" not in why.message.lower()
            if waits:
                raise why from None
            self.batch = min(self.batch, max(1, len(many) // 10))
            return await self.call_many(method, many)
        self.batch_faults = 0
        return found

    async def _batch(self, method: str, many: Sequence[Sequence[Any]]) -> list[Raw]:
        """The results of one batch. BatchRefused where the node refuses it as a whole."""
        first = random.randrange(1, 2**30)
        requests = [{"jsonrpc": "2.0", "id": first + n, "method": method, "params": list(params)} for n, params in enumerate(many)]
        status, body, wait = await self._send(requests)
        if not body.lstrip().startswith(b"["):
            try:
                self._result(self._decode(_REPLY, body, status, wait), None, status, wait, method)
            except (BadAnswer, RpcError) as refused:
                raise BatchRefused(refused) from None
            raise BatchRefused(BadAnswer(f"{self.name} answered a batch of {len(many)} with a single reply", status))
        found = self._decode(_REPLIES, body, status, wait)
        if sum(map(_length, found)) + len("[]") - len(",") != len(body) - body.endswith(b"\n"):  # the reply holds more than its values
            _check_keys(body, len(many))
            if b"\\" in body and not any(reply.error for reply in found):  # only an error message may have an escape
                raise BadAnswer("the answer holds a duplicate or escaped key", status)
        replies = {reply.id: reply for reply in found}
        errors = [reply for reply in found if reply.error is not None]
        if errors and (len(errors) == len(many) or replies.keys() != {request["id"] for request in requests}):
            try:
                self._result(errors[0], None, status, wait, method)
            except RpcError as refused:
                raise BatchRefused(refused) from None
        if replies.keys() != {request["id"] for request in requests}:
            raise BadAnswer(f"{self.name} answered a batch of {len(many)} with other ids", status)
        return [self._result(replies[first + n], first + n, status, wait, method) for n in range(len(many))]

    async def close(self) -> None:
        """Close the connection, if one was opened."""
        if self._provider is not None:
            await self._provider.disconnect()
            self._provider = None

    def _open(self) -> "Http | Socket":
        if self._provider is None:
            from perpcomp.ingest.node.providers import provider

            try:
                self._provider = provider(self.url, self.timeout)
            except OSError as error:
                raise BadAnswer(f"{self.name} cannot be reached: {error}") from None
        return self._provider

    async def _send(self, request: Any) -> "Reply":
        provider = self._open()
        try:
            return await provider.ask(request)
        except TimeoutError:
            raise BadAnswer(f"{self.name} did not answer within {self.timeout:g} s", 504) from None
        except (OSError, ValueError) as error:
            raise BadAnswer(f"{self.name} cannot be reached ({type(error).__name__}: {self.scrub(str(error))})") from None
        except Exception as error:  # web3 and aiohttp wrap connection errors in their own classes
            raise BadAnswer(f"{self.name} failed ({type(error).__name__}: {self.scrub(str(error))})") from None

    def _decode(self, decoder: "msgspec.json.Decoder[T]", body: bytes, status: int | None, wait: str | None) -> T:
        try:
            return decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            said = self.scrub(_short(body[:10_000].decode(errors="replace")))
            if status is not None and status >= 400:
                raise RpcError(f"HTTP {status}{f': {said}' if said else ''}", None, status, _seconds(wait)) from None
            quoted = f': "{said[:100]}"' if said else ""
            raise BadAnswer(f"{self.name}: the answer is not a JSON-RPC reply, or was cut off{quoted}", status) from None

    def _result(self, reply: _Reply, id_: int | None, status: int | None, wait: str | None, method: str) -> bytes:
        if reply.error is not None or (not reply.result and reply.message):
            words, code = _words(reply.message if reply.error is None else reply.error)
            raise RpcError(self.scrub(words), code, status, _seconds(wait))
        if status is not None and status >= 400:
            raise RpcError(f"HTTP {status}", None, status, _seconds(wait))
        if id_ is not None and reply.id != id_:
            raise BadAnswer(f"{self.name} answered {method} with another request's id", status)
        result = bytes(reply.result)
        if result in (b"", b"null"):
            raise BadAnswer(f"{self.name} answered {method} without a result", status)
        return result


def _plain_list(body: bytes, id_: int) -> Raw | None:
    """The list in a reply that begins and ends exactly as nodes write it; None for any other reply.

    The list is neither parsed nor copied here: its reader refuses anything after it. Parsing the reply first takes fetching 1.07 times
    as long (tests.bench fetching, median of 7 paired rounds).
    """
    end = len(body) - body.endswith(b"\n")
    for head, tail in ((f'{{"jsonrpc":"2.0","id":{id_},"result":', "}"), ('{"jsonrpc":"2.0","result":', f',"id":{id_}}}')):
        if body.startswith(f"{head}[".encode()) and body.endswith(f"]{tail}".encode(), 0, end):
            return memoryview(body)[len(head) : end - len(tail)]
    return None


def _length(reply: _Reply) -> int:
    """The length of a reply in a batch, with its comma, if it has these three keys and nothing else; a smaller number otherwise."""
    return len('{"jsonrpc":"","id":,"result":},') + len(reply.jsonrpc) + len(str(reply.id)) + len(reply.result) if reply.jsonrpc else 0


def _around(body: bytes, result: bytes) -> bytes:
    """The reply without a result that is a list or object: the text in which a key of the reply can be duplicate."""
    start = body.find(result[:100])
    return body[:start] + body[start + len(result) :] if result.startswith((b"[", b"{")) and body.startswith(result, start) else body


def _check_keys(body: bytes, replies: int) -> None:
    """BadAnswer where a key of a reply is duplicate: JSON parsers keep the last one silently. No log, header or receipt has these keys."""
    for key in (b'"id"', b'"result"', b'"error"'):
        if body.count(key) > replies:
            raise BadAnswer(f"the answer holds a duplicate key {key.decode()}")


def _words(error: Any) -> tuple[str, int | None]:
    """The words and the code of an error, whatever its form."""
    if not isinstance(error, dict):
        return _short(error if isinstance(error, str) else json.dumps(error)), None
    code, message = error.get("code"), error.get("message") or error.get("error") or error.get("data")
    words = message if isinstance(message, str) else json.dumps(error if message is None else message)
    return _short(words), int(str(code)) if re.fullmatch(r"-?\d{1,9}", str(code), re.ASCII) else None


def _short(text: str) -> str:
    """The text on one line, without markup and with at most 300 characters."""
    return " ".join(re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", text).split())[:300]


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and re.fullmatch(r"\d{1,4}(\.\d+)?", retry_after) else None
