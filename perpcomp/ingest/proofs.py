"""A proof, from headers and receipts alone, that the logs at hand are all that the chain holds, and as the chain holds them.

Nodes have left logs out without an error. But every header carries the hash of the header before it, a Bloom filter of the block's
logs that never forgets one, and the root of the block's receipts. So the hash of the last header (the anchor, compared elsewhere)
fixes every header before it, and each block either shows by its filter that it holds no wanted log, or is opened: all its receipts
must make its root, and their logs are the truth. Log indices, transaction indices, block hashes and times are derived here, never
believed. Transaction hashes are not in the receipts: reported, not proved.

Headers, receipts and logs are JSON-RPC objects as a node returns them; headers and receipts may also be the RLP bytes that
`encode_header` and `encode_receipts` make for a store. Nothing here reads a file or a network.
"""

from binascii import unhexlify
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak

from perpcomp.findings import refusal
from perpcomp.ingest.headers import (
    AGAIN,
    HASH,
    UNREADABLE,
    Header,
    Incomplete,
    Json,
    encode,
    field_of,
    finding,
    fits,
    hexed,
    in_chain,
    read_header,
)

Pair = tuple[str, str]  # an address and a topic0, in hex
Fault = tuple[int, int, str]  # block, log index (BLOCK where it is the whole block), what is wrong
BLOCK = -1
NEWEST_RECEIPT = 4  # legacy, access list, fee market, blob, set code
MOST_FINDINGS = 20


@dataclass(frozen=True)
class Proof:
    """What was proved, in figures. Hashes and addresses are lower-case hex; `last_hash` is the anchor."""

    first: int
    last: int
    first_hash: str
    last_hash: str
    opened: int  # blocks whose receipts were read, because their Bloom filter may hold a wanted log
    false_positives: int  # of them, those that held none
    events: int
    miners: tuple[str, ...]  # distinct, as the headers state them
    seals: int  # AuRa headers, whose step, difficulty and uncles fit
    signatures: int  # of them, those whose signer was recovered and is the stated miner

    @property
    def headers(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return (
            f"{self.headers} headers, blocks {self.first} to {self.last} with the hash {self.last_hash}: {self.opened} opened, "
            f"{self.false_positives} of them in vain, {self.events} logs proved complete and unaltered. {len(self.miners)} distinct "
            f"miners; {self.seals} AuRa seals fit, {self.signatures} signers recovered. Transaction hashes: reported, not proved."
        )


# Bloom filters


@lru_cache(maxsize=4096)
def bloom_mask(item: str) -> int:
    """The three bits that an address or topic (hex) sets in a Bloom filter, which is read as one big-endian integer."""
    digest = keccak(unhexlify(item[2:]))
    mask = 0
    for n in (0, 2, 4):
        mask |= 1 << int.from_bytes(digest[n : n + 2]) % 2048
    return mask


def may_hold(bloom: bytes, address: str, topic: str) -> bool:
    """Whether a block with this filter may hold a log of this address and topic. False is certain, True is not."""
    return _passes(bloom, [bloom_mask(address) | bloom_mask(topic)])


def blocks_to_open(headers: Iterable[Json | bytes], wanted: Collection[Pair]) -> list[int]:
    """The numbers of the blocks whose receipts `prove` will ask for."""
    masks = _masks(wanted)
    return [header.number for header in map(read_header, headers) if _passes(header.field("logsBloom"), masks)]


def _masks(wanted: Collection[Pair]) -> list[int]:
    for address, topic in wanted:
        for name, item in (("address", address), ("topic0", topic)):
            field_of({name: item}, name, "wanted")
    return [bloom_mask(address) | bloom_mask(topic) for address, topic in wanted]


def _passes(bloom: bytes, masks: list[int]) -> bool:
    bits = int.from_bytes(bloom)
    return any(bits & mask == mask for mask in masks)


# Receipts


def encode_receipts(receipts: Sequence[Json]) -> bytes:
    """All receipts of a block, in order, as an RLP list of what is hashed: the type's byte (unless 0) and the receipt.

    InputError names a field that is absent or of another form, or a type that is not known.
    """
    return encode([_encode_receipt(receipt, f"receipt {n}") for n, receipt in enumerate(receipts)])


def receipts_root(receipts: Sequence[Json] | bytes) -> bytes:
    """The receiptsRoot that a header must have whose block holds these receipts, given as JSON objects or by encode_receipts."""
    return ordered_root(_receipt_values(receipts))


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
    body = encode([*(field_of(receipt, name, where) for name in names), [_log(log, where) for log in receipt.get("logs") or []]])
    return bytes([type_]) + body if type_ else body


def _receipt_values(receipts: Sequence[Json] | bytes) -> list[bytes]:
    if not isinstance(receipts, bytes):
        return [_encode_receipt(receipt, f"receipt {n}") for n, receipt in enumerate(receipts)]
    try:
        values = rlp.decode(receipts)
    except UNREADABLE:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, bytes) for value in values):
        raise refusal("receipts", "are not the RLP of a block's receipts.", AGAIN)
    return values


# The proof


def prove(
    headers: Iterable[Json | bytes],
    receipts: Mapping[int, Sequence[Json] | bytes],
    wanted: Collection[Pair],
    claimed: Iterable[Json],
    anchor: str,
    first: int,
    signatures: bool = False,
) -> Proof:
    """Proves that `claimed` are all logs of the `wanted` (address, topic0) pairs from block `first` to the anchor's, unaltered.

    `headers` in order; `receipts` by block number, of at least the `blocks_to_open`; `claimed` as eth_getLogs returns them;
    `anchor` the hash of the last header. Incomplete names block, log and what differs, up to 20 times; where the headers do not
    hold together, only the first block that does not fit, for then nothing else is known. InputError where something is unreadable.
    """
    masks = _masks(wanted)
    if not masks:
        raise refusal("wanted", "is empty, so there is nothing to prove.", "Name at least one address with its topic0.")
    pairs = {(unhexlify(address[2:]), unhexlify(topic[2:])) for address, topic in wanted}
    claims, faults = _claims(claimed)
    opened = false_positives = events = seals = 0
    miners = set()
    start = end = None
    for header in in_chain(headers, anchor, first, signatures):
        start, end = start or header, header
        miners.add(header.miner)
        seals += header.step is not None and header.number > 0
        here = claims.pop(header.number, {})
        if not _passes(header.field("logsBloom"), masks):
            what = "is invented: by its Bloom filter the block holds no wanted log."
            faults += [(header.number, index, what) for index in here]
            continue
        opened += 1
        logs = _true_logs(header, receipts.get(header.number))
        if isinstance(logs, str):
            faults.append((header.number, BLOCK, logs))
            continue
        true = {n for n, log in enumerate(logs) if log["topics"] and (log["address"], log["topics"][0]) in pairs}
        events += len(true)
        false_positives += not true
        differences = {index: _difference(logs, index, index in true, here.get(index)) for index in true | here.keys()}
        faults += [(header.number, index, what) for index, what in differences.items() if what]
    assert start, "a chain of no headers passed"
    assert end
    what = f"is claimed, but the headers are of blocks {start.number} to {end.number}."
    faults += [(block, index, what) for block, here in claims.items() for index in here]
    if faults:
        places = [(f"block {block}" + ("" if index == BLOCK else f" log {index}"), what) for block, index, what in sorted(faults)]
        raise Incomplete([finding(where, what) for where, what in places[:MOST_FINDINGS]])
    ends = (start.number, end.number, hexed(start.hash), hexed(end.hash))
    return Proof(*ends, opened, false_positives, events, tuple(sorted(miners)), seals, seals if signatures else 0)


def _claims(claimed: Iterable[Json]) -> tuple[dict[int, dict[int, dict[str, Any]]], list[Fault]]:
    """Claimed logs by block and log index, by the fields that are compared; and what is wrong with them before any comparison."""
    claims: dict[int, dict[int, dict[str, Any]]] = {}
    faults = []
    places: dict[object, object] = {}
    for row, log in enumerate(claimed, 1):
        where = f"claimed log {row}"
        block, index, transaction = (int.from_bytes(field_of(log, n, where)) for n in ("blockNumber", "logIndex", "transactionIndex"))
        where, here = f"block {block} log {index}", claims.setdefault(block, {})
        if index in here:
            faults.append((block, index, "is claimed twice."))
        if log.get("removed"):
            faults.append((block, index, "was removed by a reorganisation (removed: true)."))
        # Events are paired by transaction hash. It is not proved, but must go with one place, and that place with it.
        name, place = field_of(log, "transactionHash", where), (block, transaction)
        if places.setdefault(name, place) != place or places.setdefault(place, name) != name:
            faults.append((block, index, f"is altered: its transactionHash {hexed(name)} does not go with its transactionIndex."))
        here[index] = dict(zip(("address", "topics", "data"), _log(log, where), strict=True))
        here[index] |= {"transactionIndex": transaction, "blockHash": field_of(log, "blockHash", where)}
        if log.get("blockTimestamp") is not None:  # many nodes do not give it
            here[index]["blockTimestamp"] = int.from_bytes(field_of(log, "blockTimestamp", where))
    return claims, faults


def _true_logs(header: Header, receipts: Sequence[Json] | bytes | None) -> list[dict[str, Any]] | str:
    """All logs of a block in order, by the fields that are compared, read from the bytes that were hashed. Or why they are not known."""
    if receipts is None:
        return "may hold wanted logs by its Bloom filter, and its receipts are not there."
    values = _receipt_values(receipts)
    if ordered_root(values) != header.field("receiptsRoot"):
        return "its receipts do not make its receiptsRoot: one is missing, altered or invented."
    block = {"blockHash": header.hash, "blockTimestamp": int.from_bytes(header.field("timestamp"))}
    logs = []
    try:
        for transaction, value in enumerate(values):
            for address, topics, data in rlp.decode(value[1:] if value[0] <= NEWEST_RECEIPT else value)[3]:
                if not all(map(fits, (address, data, *topics), ("address", "data", *(["topic"] * len(topics))))):
                    raise ValueError
                logs.append({"address": address, "topics": list(topics), "data": data, "transactionIndex": transaction, **block})
    except UNREADABLE:
        return "its receipts make its receiptsRoot, but cannot be read."
    return logs


def _difference(logs: list[dict[str, Any]], index: int, wanted: bool, claim: dict[str, Any] | None) -> str | None:
    """What is wrong with a claim, or with there being none, given all logs of its block."""
    if claim is None:
        return f"is missing: {hexed(logs[index]['address'])} logged topic0 {hexed(logs[index]['topics'][0])} there."
    if index >= len(logs):
        return f"is invented: the block holds {len(logs)} logs."
    said, true = _parts(claim), _parts({name: logs[index][name] for name in claim})
    wrong = [f"{n} is {_text(said.get(n))}, not {_text(true.get(n))}" for n in {**said, **true} if said.get(n) != true.get(n)]
    if wrong:
        more = f" and {len(wrong) - 2} more" if len(wrong) > 2 else ""
        return f"is {'altered' if wanted else 'invented'}: its {', its '.join(wrong[:2])}{more}."
    return None if wanted else "is claimed, but is of no wanted address and topic0."


def _parts(log: dict[str, Any]) -> dict[str, Any]:
    """A log's fields, each topic and each word of its data a field of its own."""
    words = [log["data"][n : n + HASH] for n in range(0, len(log["data"]), HASH)]
    parts = {f"topic{n}": topic for n, topic in enumerate(log["topics"])} | {f"data word {n}": word for n, word in enumerate(words)}
    return {name: value for name, value in log.items() if name not in ("topics", "data")} | parts


def _text(value: object) -> str:
    return hexed(value) if isinstance(value, bytes) else "absent" if value is None else str(value)


def _log(log: Json, where: str) -> list[Any]:
    """Address, topics and data, of a receipt's log or a claimed one."""
    topics = log.get("topics")
    if not isinstance(topics, list):
        raise refusal(where, "a log of it has no list of topics.", AGAIN)
    return [field_of(log, "address", where), [field_of({"topic": topic}, "topic", where) for topic in topics], field_of(log, "data", where)]
