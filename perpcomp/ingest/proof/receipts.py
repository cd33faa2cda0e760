"""Receipts: encoded as the chain encodes them, and the root of their trie."""

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
    """All receipts of a block, in order, as an RLP list. Each item is what the chain hashes: the type's byte (unless 0) and the receipt.

    InputError names a malformed or absent field, or an unknown type.
    """
    return encode([_encode_receipt(receipt, f"receipt {n}") for n, receipt in enumerate(receipts)])


def ordered_root(values: Sequence[bytes]) -> bytes:
    """The root of the Merkle Patricia trie that holds value n under the key rlp(n). It is a header's receiptsRoot."""
    # The list is complete, so the trie is built in one pass over its sorted keys, in hex digits. No key is a prefix of another.
    pairs = sorted((rlp.encode(n).hex(), value) for n, value in enumerate(values))
    return keccak(encode(_node(pairs, 0) if pairs else b""))


def _node(pairs: list[tuple[str, bytes]], depth: int) -> list[Any]:
    """The node that holds these (key, value) pairs, whose keys share their first `depth` digits."""
    (low, value), (high, _) = pairs[0], pairs[-1]
    if len(pairs) == 1:
        return [_path(low[depth:], leaf=True), value]
    shared = depth
    while low[shared] == high[shared]:  # sorted: digits that the first and last key share are shared by all
        shared += 1
    if shared > depth:
        return [_path(low[depth:shared], leaf=False), _reference(_node(pairs, shared))]
    branch: list[Any] = [b""] * 17
    for digit, group in groupby(pairs, key=lambda pair: pair[0][depth]):
        branch[int(digit, 16)] = _reference(_node(list(group), depth + 1))
    return branch


def _reference(node: list[Any]) -> Any:
    """What a parent stores of a node: its hash, or the node itself where its encoding is shorter than a hash."""
    encoded = encode(node)
    return keccak(encoded) if len(encoded) >= HASH else node


def _path(digits: str, leaf: bool) -> bytes:
    """The digits of a key as whole bytes. The first digit tells leaf or extension and odd or even; a zero pads an even count."""
    odd = len(digits) % 2
    return unhexlify(f"{2 * leaf + odd}{'' if odd else '0'}{digits}")


def _encode_receipt(receipt: Json, where: str) -> bytes:
    type_ = int.from_bytes(field_of(receipt, "type", where)) if receipt.get("type") is not None else 0
    if type_ > NEWEST_RECEIPT:
        raise refusal(where, f"The receipt has the unknown type {type_}.", f"This version proves types 0 to {NEWEST_RECEIPT}.")
    # Before Byzantium a receipt had the root of the state after it instead of its status.
    names = ["root" if receipt.get("status") is None else "status", "cumulativeGasUsed", "logsBloom"]
    body = encode([*(field_of(receipt, name, where) for name in names), [receipt_log(log, where) for log in receipt.get("logs") or []]])
    return bytes([type_]) + body if type_ else body


def receipt_values(receipts: Sequence[Json] | bytes) -> list[bytes]:
    """Each receipt of a block as the chain hashes it, from JSON objects or from encode_receipts. InputError where they are malformed."""
    if not isinstance(receipts, bytes):
        return [_encode_receipt(receipt, f"receipt {n}") for n, receipt in enumerate(receipts)]
    try:
        values = rlp.decode(receipts)
    except UNREADABLE:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, bytes) for value in values):
        raise refusal("receipts", "The bytes are not the RLP of a block's receipts.", AGAIN)
    return values


def receipt_log(log: Json, where: str) -> list[Any]:
    """Address, topics and data of a log, as RLP holds them."""
    topics = log.get("topics")
    if not isinstance(topics, list):
        raise refusal(where, "One of the logs has no list of topics.", AGAIN)
    return [field_of(log, "address", where), [field_of({"topic": topic}, "topic", where) for topic in topics], field_of(log, "data", where)]
