"""The proof itself: every header of a range, Bloom filters, receipts roots, and the comparison of the logs."""

from binascii import unhexlify
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp  # type: ignore[import-untyped]

from perpcomp.findings import refusal
from perpcomp.ingest.proof.bloom import LogFilter, bloom_masks, may_hold_any
from perpcomp.ingest.proof.headers import (
    HASH,
    UNREADABLE,
    Header,
    Json,
    Unproved,
    field_of,
    finding,
    fits,
    hexed,
    in_chain,
)
from perpcomp.ingest.proof.receipts import NEWEST_RECEIPT, ordered_root, receipt_log, receipt_values
from perpcomp.number_text import counted

Problem = tuple[int, int, str]  # block, log index (WHOLE_BLOCK where no single log is meant), what is wrong

WHOLE_BLOCK = -1

MOST_FINDINGS = 20


@dataclass(frozen=True)
class Proof:
    """What was proved, in figures. Hashes and addresses are in lower-case hex; `last_hash` is the anchor."""

    first: int
    last: int
    first_hash: str
    last_hash: str
    opened: int  # blocks whose receipts were read, because their Bloom filter may hold a wanted log
    false_positives: int  # opened blocks that held no wanted log
    events: int
    miners: tuple[str, ...]  # distinct, as the headers state them
    seals: int  # AuRa headers, whose step, difficulty and uncles are valid
    signatures: int  # seals whose recovered signer is the stated miner

    @property
    def headers(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return (
            f"{self.headers} headers, blocks {self.first} to {self.last} with the hash {self.last_hash}: the receipts of {self.opened} "
            f"blocks were read, {self.false_positives} of which held no wanted log; {self.events} logs proved complete and unaltered. "
            f"{len(self.miners)} distinct miners; {self.seals} AuRa seals valid, {self.signatures} signers recovered. "
            "Transaction hashes: reported, not proved."
        )


def prove(
    headers: Iterable[Json | bytes],
    receipts: Mapping[int, Sequence[Json] | bytes],
    wanted: Collection[LogFilter],
    claimed: Iterable[Json],
    anchor: str,
    first: int,
    signatures: bool = False,
) -> Proof:
    """Proves that `claimed` are all `wanted` logs (address, topic0) from block `first` to the anchor's block, unaltered.

    `headers` are in order; `receipts` are by block number and hold at least the `blocks_to_open`; `claimed` are as eth_getLogs returns
    them; `anchor` is the hash of the last header. Unproved names block, log and what differs, up to 20 times. Where the headers are not
    one chain, it names only the first block that fails: nothing after it is known. InputError where something is unreadable.
    """
    masks = bloom_masks(wanted)
    if not masks:
        raise refusal("wanted", "The list of wanted logs is empty.", "Name at least one address with its topic0.")
    filters = {(unhexlify(address[2:]), unhexlify(topic[2:])) for address, topic in wanted}
    claims, problems = _claims(claimed)
    opened = false_positives = events = seals = 0
    miners = set()
    start = end = None
    for header in in_chain(headers, anchor, first, signatures):
        start, end = start or header, header
        miners.add(header.miner)
        seals += header.step is not None and header.number > 0
        here = claims.pop(header.number, {})
        if not may_hold_any(header.field("logsBloom"), masks):
            what = "The log is invented: the block's Bloom filter excludes every wanted log."
            problems += [(header.number, index, what) for index in here]
            continue
        opened += 1
        logs = _true_logs(header, receipts.get(header.number))
        if isinstance(logs, str):
            problems.append((header.number, WHOLE_BLOCK, logs))
            continue
        true = {n for n, log in enumerate(logs) if log["topics"] and (log["address"], log["topics"][0]) in filters}
        events += len(true)
        false_positives += not true
        differences = {index: _difference(logs, index, index in true, here.get(index)) for index in true | here.keys()}
        problems += [(header.number, index, what) for index, what in differences.items() if what]
    assert start, "in_chain refuses an empty range"
    assert end
    what = f"The log is claimed, but the headers are of blocks {start.number} to {end.number}."
    problems += [(block, index, what) for block, here in claims.items() for index in here]
    if problems:
        found = [(f"block {block}" + ("" if index == WHOLE_BLOCK else f" log {index}"), what) for block, index, what in sorted(problems)]
        raise Unproved([finding(where, what) for where, what in found[:MOST_FINDINGS]])
    ends = (start.number, end.number, hexed(start.hash), hexed(end.hash))
    return Proof(*ends, opened, false_positives, events, tuple(sorted(miners)), seals, seals if signatures else 0)


def _claims(claimed: Iterable[Json]) -> tuple[dict[int, dict[int, dict[str, Any]]], list[Problem]]:
    """The compared fields of claimed logs, by block and log index; and the problems that show before any comparison."""
    claims: dict[int, dict[int, dict[str, Any]]] = {}
    problems = []
    positions: dict[object, object] = {}
    for row, log in enumerate(claimed, 1):
        where = f"claimed log {row}"
        block, index, transaction = (int.from_bytes(field_of(log, n, where)) for n in ("blockNumber", "logIndex", "transactionIndex"))
        where, here = f"block {block} log {index}", claims.setdefault(block, {})
        if index in here:
            problems.append((block, index, "The log is claimed twice."))
        if log.get("removed"):
            problems.append((block, index, "The log was removed by a reorganisation (removed: true)."))
        # Events are paired by transaction hash. It is not proved, but each hash must have one position in its block, and each position one hash.
        name, position = field_of(log, "transactionHash", where), (block, transaction)
        if positions.setdefault(name, position) != position or positions.setdefault(position, name) != name:
            problems.append(
                (block, index, f"The log is altered: transactionHash {hexed(name)} contradicts transactionIndex {transaction}.")
            )
        here[index] = dict(zip(("address", "topics", "data"), receipt_log(log, where), strict=True))
        here[index] |= {"transactionIndex": transaction, "blockHash": field_of(log, "blockHash", where)}
        if log.get("blockTimestamp") is not None:  # many nodes leave it out
            here[index]["blockTimestamp"] = int.from_bytes(field_of(log, "blockTimestamp", where))
    return claims, problems


def _true_logs(header: Header, receipts: Sequence[Json] | bytes | None) -> list[dict[str, Any]] | str:
    """The compared fields of all logs of a block, in order, from the bytes that were hashed; or the reason why they are unknown."""
    if receipts is None:
        return "The Bloom filter allows wanted logs, but the receipts are missing."
    values = receipt_values(receipts)
    if ordered_root(values) != header.field("receiptsRoot"):
        return "The receipts do not match the receiptsRoot: one is missing, altered or invented."
    block = {"blockHash": header.hash, "blockTimestamp": int.from_bytes(header.field("timestamp"))}
    logs = []
    try:
        for transaction, value in enumerate(values):
            for address, topics, data in rlp.decode(value[1:] if value[0] <= NEWEST_RECEIPT else value)[3]:
                if not all(map(fits, (address, data, *topics), ("address", "data", *(["topic"] * len(topics))))):
                    raise ValueError
                logs.append({"address": address, "topics": list(topics), "data": data, "transactionIndex": transaction, **block})
    except UNREADABLE:
        return "The receipts match the receiptsRoot, but cannot be read."
    return logs


def _difference(logs: list[dict[str, Any]], index: int, wanted: bool, claim: dict[str, Any] | None) -> str | None:
    """What is wrong with a claim, or with its absence, given all logs of the block; None where nothing is."""
    if claim is None:
        return f"The log is missing: {hexed(logs[index]['address'])} logged topic0 {hexed(logs[index]['topics'][0])} here."
    if index >= len(logs):
        return f"The log is invented: the block holds {counted(len(logs), 'log')}."
    said, true = _parts(claim), _parts({name: logs[index][name] for name in claim})
    wrong = [f"{n} is {_text(said.get(n))}, not {_text(true.get(n))}" for n in {**said, **true} if said.get(n) != true.get(n)]
    if wrong:
        more = f" and {len(wrong) - 2} more" if len(wrong) > 2 else ""
        return f"The log is {'altered' if wanted else 'invented'}: {', '.join(wrong[:2])}{more}."
    return None if wanted else "The log is claimed, but it is not a wanted log."


def _parts(log: dict[str, Any]) -> dict[str, Any]:
    """A log's fields, with each topic and each word of its data as one field."""
    words = [log["data"][n : n + HASH] for n in range(0, len(log["data"]), HASH)]
    parts = {f"topic{n}": topic for n, topic in enumerate(log["topics"])} | {f"data word {n}": word for n, word in enumerate(words)}
    return {name: value for name, value in log.items() if name not in ("topics", "data")} | parts


def _text(value: object) -> str:
    return hexed(value) if isinstance(value, bytes) else "absent" if value is None else str(value)
