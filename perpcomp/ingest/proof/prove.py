"""That no log is missing or altered: every header of a range, Bloom filters, receipts roots, and the logs compared."""

from binascii import unhexlify
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp  # type: ignore[import-untyped]

from perpcomp.findings import refusal
from perpcomp.ingest.proof.bloom import Pair, bloom_masks, bloom_passes
from perpcomp.ingest.proof.headers import (
    HASH,
    UNREADABLE,
    Header,
    Incomplete,
    Json,
    field_of,
    finding,
    fits,
    hexed,
    in_chain,
)
from perpcomp.ingest.proof.receipts import NEWEST_RECEIPT, ordered_root, receipt_log, receipt_values

Fault = tuple[int, int, str]  # block, log index (BLOCK where it is the whole block), what is wrong

BLOCK = -1

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
    masks = bloom_masks(wanted)
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
        if not bloom_passes(header.field("logsBloom"), masks):
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
        here[index] = dict(zip(("address", "topics", "data"), receipt_log(log, where), strict=True))
        here[index] |= {"transactionIndex": transaction, "blockHash": field_of(log, "blockHash", where)}
        if log.get("blockTimestamp") is not None:  # many nodes do not give it
            here[index]["blockTimestamp"] = int.from_bytes(field_of(log, "blockTimestamp", where))
    return claims, faults


def _true_logs(header: Header, receipts: Sequence[Json] | bytes | None) -> list[dict[str, Any]] | str:
    """All logs of a block in order, by the fields that are compared, read from the bytes that were hashed. Or why they are not known."""
    if receipts is None:
        return "may hold wanted logs by its Bloom filter, and its receipts are not there."
    values = receipt_values(receipts)
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
