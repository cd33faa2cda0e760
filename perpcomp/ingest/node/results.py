"""The results of a node's replies: headers, numbers and objects, read strictly. A result that is none of these is a BadAnswer."""

import json
import re
from functools import lru_cache
from typing import Any

import msgspec

from perpcomp.ingest.raw_frame import BLOCKS

Raw = bytes | memoryview  # the JSON of a result, copied or as a part of the reply


QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}").fullmatch


class BadAnswer(Exception):
    """There is no usable answer: the connection failed, the time ran out, or the body is malformed. Another attempt may help."""

    def __init__(self, what: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(what)


class BlockInfo(msgspec.Struct, frozen=True):
    """The fields of a block header that fetching needs; timestamp in unix seconds. Proofs read the whole header."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int


class _BlockInfo(msgspec.Struct, rename="camel"):
    number: str
    hash: str
    parent_hash: str
    timestamp: str


_BLOCK_INFO = msgspec.json.Decoder(_BlockInfo)


def read_block_info(raw: Raw) -> BlockInfo:
    """The fields of a header that fetching needs."""
    try:
        header = _BLOCK_INFO.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"the answer is not a block header ({error})") from None
    found = BlockInfo(to_int(header.number), header.hash, header.parent_hash, to_int(header.timestamp))
    if found.number >= BLOCKS or found.timestamp >= 2**32:
        raise BadAnswer(f"the header has the number {found.number} and the timestamp {found.timestamp}, which no chain has")
    return found


def read_strictly(raw: Raw) -> Any:
    """Any JSON. BadAnswer where a key is duplicate."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise BadAnswer("the answer holds a duplicate key")
        return dict(pairs)

    try:
        return json.loads(bytes(raw), object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise BadAnswer("the answer is not JSON") from None


def read_object(raw: Raw) -> dict[str, Any]:
    """A JSON object. BadAnswer where a key is duplicate."""
    found = read_strictly(raw)
    if not isinstance(found, dict):
        raise BadAnswer("the answer is not an object")
    return found


def to_int(value: Any) -> int:
    """A hex quantity as a number. BadAnswer where it is malformed."""
    if not isinstance(value, str):
        raise BadAnswer(f"{value!r} is not a hex number")
    return _quantity(value)


@lru_cache(maxsize=4096)
def _quantity(text: str) -> int:
    """A hex quantity as a number. Block numbers and indices repeat."""
    if not QUANTITY(text):
        raise BadAnswer(f"{text!r} is not a hex number")
    return int(text, 16)
