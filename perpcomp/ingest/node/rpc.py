"""One endpoint: strict JSON-RPC over web3.py's providers, with keys that appear nowhere.

web3 carries the bytes (providers.py); what they say is read here, typed and strictly: a reply with another id, a doubled key,
a cut body or a null where a value belongs is a fault, not an answer. A fault may be tried again (pool.py); a refusal (the node understood and said
no) goes to the caller, who can ask for less.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

if TYPE_CHECKING:
    from perpcomp.ingest.node.providers import Http, Reply, Socket

T = TypeVar("T")
Raw = bytes | memoryview  # the JSON of a result, by itself or where it stands in the reply
QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}").fullmatch
UNREACHED = "node-unreachable"  # code of the finding that a node did not answer
NETWORK = 3  # the exit code of what only another endpoint, or time, can help


class Fault(Exception):
    """No usable answer: a connection, a timeout, a body that is not what it should be. Trying again may help."""

    def __init__(self, what: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(what)


class Refused(Exception):
    """The node's own no: code, HTTP status, words (scrubbed of keys), and how long it asks to wait."""

    def __init__(self, message: str, code: int | None = None, status: int | None = None, wait: float | None = None) -> None:
        self.message, self.code, self.status, self.wait = message, code, status, wait
        super().__init__(message)


class Header(msgspec.Struct, frozen=True):
    """What the fetching itself needs of a block header; timestamp in unix seconds. Proofs read the whole of it."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int


class _Header(msgspec.Struct, rename="camel"):
    number: str
    hash: str
    parent_hash: str
    timestamp: str


class _Error(msgspec.Struct):
    message: str = ""
    code: int | None = None


class _Reply(msgspec.Struct):
    jsonrpc: str | None = None
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | None = None


_REPLY = msgspec.json.Decoder(_Reply)
_REPLIES = msgspec.json.Decoder(list[_Reply])
_HEADER = msgspec.json.Decoder(_Header)


@dataclass
class Endpoint:
    """One node. `name` is what may be shown of it: scheme and host, never path, query or user."""

    url: str
    timeout: float = 60.0
    head: int = -1  # its newest block when last asked
    _provider: "Http | Socket | None" = field(default=None, repr=False)

    @property
    def name(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "ipc"

    def scrub(self, text: str) -> str:
        """The text without anything of the URL that could be a key, also in its percent-encoded form."""
        parts = urlsplit(self.url)
        secrets = [self.url, f"{parts.path}?{parts.query}", parts.path, parts.query, parts.username, parts.password]
        secrets += re.split(r"[/&=]", f"{parts.path}/{parts.query}")
        found = sorted({s for s in secrets if s and len(s) > 5}, key=len, reverse=True)
        for secret in found:
            text = text.replace(secret, "…").replace(quote(secret, safe=""), "…")
        return text

    async def call(self, method: str, params: Sequence[Any]) -> Raw:
        """The raw JSON of a result. Fault or Refused otherwise; neither names more of the URL than `name`."""
        id_ = random.randrange(1, 2**31)
        status, body, wait = await self._send({"jsonrpc": "2.0", "id": id_, "method": method, "params": list(params)})
        if status == 200 and (plain := _plain_list(body, id_)) is not None:
            return plain
        try:
            result = self._result(_decode(_REPLY, body, status), id_, status, wait, method)
        except (Fault, Refused):
            _check_keys(body, 1)  # what a doubled key made of the reply is of no interest
            raise
        around = _around(body, result)
        _check_keys(around, 1)
        if b"\\" in around:
            raise Fault("the answer holds a doubled or disguised key", status)
        return result

    async def call_many(self, method: str, many: Sequence[Sequence[Any]]) -> list[Raw]:
        """The results of a batch, in the order asked."""
        first = random.randrange(1, 2**30)
        requests = [{"jsonrpc": "2.0", "id": first + n, "method": method, "params": list(params)} for n, params in enumerate(many)]
        if len(many) == 1 or not self._open().batches:
            return [await self.call(method, params) for params in many]
        status, body, wait = await self._send(requests)
        if not body.lstrip().startswith(b"["):
            self._result(_decode(_REPLY, body, status), None, status, wait, method)
            raise Fault(f"{self.name} answers a batch of {len(many)} with a single reply", status)
        found = _decode(_REPLIES, body, status)
        if sum(map(_length, found)) + len("[]") - len(",") != len(body) - body.endswith(b"\n"):  # something else is in it
            _check_keys(body, len(many))
            if b"\\" in body and not any(reply.error for reply in found):  # but for the words of a refusal nothing here has an escape
                raise Fault("the answer holds a doubled or disguised key", status)
        replies = {reply.id: reply for reply in found}
        if replies.keys() != {request["id"] for request in requests}:
            raise Fault(f"{self.name} answers a batch of {len(many)} with other ids", status)
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
                raise Fault(f"{self.name} cannot be reached: {error}") from None
        return self._provider

    async def _send(self, request: Any) -> "Reply":
        provider = self._open()
        try:
            return await provider.ask(request)
        except TimeoutError:
            raise Fault(f"{self.name} did not answer within {self.timeout:g} s", 504) from None
        except (OSError, ValueError) as error:
            raise Fault(f"{self.name} cannot be reached ({type(error).__name__}: {self.scrub(str(error))})") from None
        except Exception as error:  # web3 and aiohttp wrap connection errors in classes of their own
            raise Fault(f"{self.name} failed ({type(error).__name__}: {self.scrub(str(error))})") from None

    def _result(self, reply: _Reply, id_: int | None, status: int | None, wait: str | None, method: str) -> bytes:
        if reply.error is not None:
            message = self.scrub(reply.error.message)[:500]
            raise Refused(message, reply.error.code, status, _seconds(wait))
        if status is not None and status >= 400:
            raise Refused(f"HTTP {status}", None, status, _seconds(wait))
        if id_ is not None and reply.id != id_:
            raise Fault(f"{self.name} answered {method} with another request's id", status)
        result = bytes(reply.result)
        if result in (b"", b"null"):
            raise Fault(f"{self.name} answered {method} with nothing", status)
        return result


def _plain_list(body: bytes, id_: int) -> Raw | None:
    """The list in a reply that begins and ends as nodes write one. It is not read here at all: who reads it refuses anything behind it.

    None for any other reply. Of some megabytes each copy counts, so the list stays where it is.
    """
    end = len(body) - body.endswith(b"\n")
    for head, tail in ((f'{{"jsonrpc":"2.0","id":{id_},"result":', "}"), ('{"jsonrpc":"2.0","result":', f',"id":{id_}}}')):
        if body.startswith(f"{head}[".encode()) and body.endswith(f"]{tail}".encode(), 0, end):
            return memoryview(body)[len(head) : end - len(tail)]
    return None


def _length(reply: _Reply) -> int:
    """How long a reply in a batch is, with its comma, if it has these three keys and nothing else; less than it is otherwise."""
    return len('{"jsonrpc":"","id":,"result":},') + len(reply.jsonrpc) + len(str(reply.id)) + len(reply.result) if reply.jsonrpc else 0


def _around(body: bytes, result: bytes) -> bytes:
    """A reply without its list or object: the text in which a key of its own can stand twice. Else the whole of it."""
    start = body.find(result[:100])
    return body[:start] + body[start + len(result) :] if result.startswith((b"[", b"{")) and body.startswith(result, start) else body


def _check_keys(body: bytes, replies: int) -> None:
    """Refuse a doubled key of a reply: JSON would take the last without a word. No log, header or receipt has a key of these names."""
    for key in (b'"id"', b'"result"', b'"error"'):
        if body.count(key) > replies:
            raise Fault(f"the answer holds a doubled key {key.decode()}")


def _decode(decoder: "msgspec.json.Decoder[T]", body: bytes, status: int | None) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if status is not None and status >= 400:
            raise Refused(f"HTTP {status}", None, status, None) from None
        raise Fault("the answer is no JSON-RPC reply, or was cut off", status) from None


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and re.fullmatch(r"\d{1,4}(\.\d+)?", retry_after) else None


def read_header(raw: Raw) -> Header:
    """A header, as far as the fetching needs it."""
    try:
        header = _HEADER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Fault(f"the answer is no block header ({error})") from None
    return Header(to_int(header.number), header.hash, header.parent_hash, to_int(header.timestamp))


def read_strictly(raw: Raw) -> Any:
    """Any JSON, with doubled keys refused."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise Fault("the answer holds a doubled key")
        return dict(pairs)

    try:
        return json.loads(bytes(raw), object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise Fault("the answer is no JSON") from None


def read_object(raw: Raw) -> dict[str, Any]:
    """A JSON object, with doubled keys refused."""
    found = read_strictly(raw)
    if not isinstance(found, dict):
        raise Fault("the answer is no object")
    return found


def to_int(value: Any) -> int:
    """A hex quantity as a number; Fault where it is none."""
    if not isinstance(value, str):
        raise Fault(f"{value!r} is no hex number")
    return _quantity(value)


@lru_cache(maxsize=4096)
def _quantity(text: str) -> int:
    """Block numbers and indices come again and again."""
    if not QUANTITY(text):
        raise Fault(f"{text!r} is no hex number")
    return int(text, 16)
