"""Receipts encoded as the chain encodes them, and the root of their trie."""

from binascii import unhexlify
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak

from perpcomp.findings import refusal
from perpcomp.ingest.proof.headers import (
    AGAIN,
    HASH,
    UNREADABLE,
    Json,
    encode,
    field_of,
)

NEWEST_RECEIPT = 4  # legacy, access list, fee market, blob, set code


def encode_receipts(receipts: Sequence[Json]) -> bytes:
    """All receipts of a block, in order, as an RLP list of what is hashed: the type's byte (unless 0) and the receipt.

    InputError names a field that is absent or of another form, or a type that is not known.
    """
    return encode([_encode_receipt(receipt, f"receipt {n}") for n, receipt in enumerate(receipts)])


def receipts_root(receipts: Sequence[Json] | bytes) -> bytes:
    """The receiptsRoot that a header must have whose block holds these receipts, given as JSON objects or by encode_receipts."""
    return ordered_root(receipt_values(receipts))


def ordered_root(values: Sequence[bytes]) -> bytes:
    """The root of the Merkle Patricia trie that holds value n under the key rlp(n)."""
    # The list is final, so the trie is made in one go from its sorted keys, in hex digits. No key is the beginning of another.
    pairs = sorted((rlp.encode(n).hex(), value) for n, value in enumerate(values))
    return keccak(encode(_node(pairs, 0) if pairs else b""))


def _node(pairs: list[tuple[str, bytes]], depth: int) -> list[Any]:
    """The node that holds the pairs, whose keys agree in their first `depth` digits."""
    (low, value), (high, _) = pairs[0], pairs[-1]
    if len(pairs) == 1:
        return [_path(low[depth:], leaf=True), value]
    shared = depth
    while low[shared] == high[shared]:  # sorted: what the ends share, all share
        shared += 1
    if shared > depth:
        return [_path(low[depth:shared], leaf=False), _reference(_node(pairs, shared))]
    branch: list[Any] = [b""] * 17
    for digit, group in groupby(pairs, key=lambda pair: pair[0][depth]):
        branch[int(digit, 16)] = _reference(_node(list(group), depth + 1))
    return branch


def _reference(node: list[Any]) -> Any:
    """How a node's parent holds it: by its hash, or whole where that is shorter."""
    encoded = encode(node)
    return keccak(encoded) if len(encoded) >= HASH else node


def _path(digits: str, leaf: bool) -> bytes:
    """Digits of a key as whole bytes, behind a digit that says leaf or not, odd or even, and a zero if even."""
    odd = len(digits) % 2
    return unhexlify(f"{2 * leaf + odd}{'' if odd else '0'}{digits}")


def _encode_receipt(receipt: Json, where: str) -> bytes:
    type_ = int.from_bytes(field_of(receipt, "type", where)) if receipt.get("type") is not None else 0
    if type_ > NEWEST_RECEIPT:
        raise refusal(where, f"is of type {type_}, whose form is not known.", f"This version proves types 0 to {NEWEST_RECEIPT}.")
    # Before Byzantium a receipt told the state behind it instead of its status.
    names = ["root" if receipt.get("status") is None else "status", "cumulativeGasUsed", "logsBloom"]
    body = encode([*(field_of(receipt, name, where) for name in names), [receipt_log(log, where) for log in receipt.get("logs") or []]])
    return bytes([type_]) + body if type_ else body


def receipt_values(receipts: Sequence[Json] | bytes) -> list[bytes]:
    if not isinstance(receipts, bytes):
        return [_encode_receipt(receipt, f"receipt {n}") for n, receipt in enumerate(receipts)]
    try:
        values = rlp.decode(receipts)
    except UNREADABLE:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, bytes) for value in values):
        raise refusal("receipts", "are not the RLP of a block's receipts.", AGAIN)
    return values


def receipt_log(log: Json, where: str) -> list[Any]:
    """Address, topics and data, of a receipt's log or a claimed one."""
    topics = log.get("topics")
    if not isinstance(topics, list):
        raise refusal(where, "a log of it has no list of topics.", AGAIN)
    return [field_of(log, "address", where), [field_of({"topic": topic}, "topic", where) for topic in topics], field_of(log, "data", where)]
