"""A proof, from headers and receipts alone, that the logs at hand are all that the chain holds, and as the chain holds them.

Nodes have left logs out without an error. But every header carries the hash of the header before it, a Bloom filter of the block's
logs that never forgets one, and the root of the block's receipts. So the hash of the last header (the anchor, compared elsewhere)
fixes every header before it, and each block either shows by its filter that it holds no wanted log, or is opened: all its receipts
must make its root, and their logs are the truth. Log indices, transaction indices, block hashes and times are derived here, never
believed. Transaction hashes are not in the receipts: reported, not proved.

Headers, receipts and logs are JSON-RPC objects as a node returns them; headers and receipts may also be the RLP bytes that
`encode_header` and `encode_receipts` make for a store. Nothing here reads a file or a network.
"""

import re
from binascii import unhexlify
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak
from rlp.codec import consume_length_prefix  # type: ignore[import-untyped]
from rlp.exceptions import DecodingError  # type: ignore[import-untyped]

from perpcomp.findings import Finding, InputError, refusal

Json = Mapping[str, Any]
Pair = tuple[str, str]  # an address and a topic0, in hex
Fault = tuple[int, int, str]  # block, log index (BLOCK where it is the whole block), what is wrong

BODY = [
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
    *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData"),
]
SEAL = ["mixHash", "nonce"]
AURA = ["step", "signature"]  # instead of SEAL, before the merge of a chain of authorities (xDai, Gnosis)
# London, Shanghai, Cancun (three), Prague: a fork adds to those before it.
LATER = ["baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"]

NUMBER, ANY, HASH = 0, -1, 32  # an integer without leading zeros, bytes of any length, and what every field not named below is
NUMBERS = [
    *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "step", "baseFeePerGas", "blobGasUsed", "excessBlobGas"),
    *("type", "status", "cumulativeGasUsed", "blockNumber", "blockTimestamp", "transactionIndex", "logIndex"),
]
SIZES = {"miner": 20, "address": 20, "logsBloom": 256, "nonce": 8, "signature": 65, "extraData": ANY, "data": ANY}
SIZES |= dict.fromkeys(NUMBERS, NUMBER)

BLOCK = -1
AURA_SECONDS = 5  # of a step, on xDai, Gnosis and Chiado
NEWEST_RECEIPT = 4  # legacy, access list, fee market, blob, set code
MOST_FINDINGS = 20
AGAIN = "Fetch it again, from another node if need be."
UNREADABLE = (DecodingError, IndexError, RecursionError, TypeError, ValueError)


class Incomplete(InputError):
    """The logs are not proved (exit 1). `problems` names block by block what is missing, altered or invented, the first one first."""

    def __init__(self, problems: Iterable[Finding]) -> None:
        super().__init__(problems, exit_code=1)


@dataclass(frozen=True, slots=True)
class Header:
    """A block's hash and the fields it was made of, in their order: a field that was not hashed cannot be read from it."""

    hash: bytes
    items: tuple[bytes, ...]

    def field(self, name: str) -> bytes:
        """A field of BODY."""
        return self.items[BODY.index(name)]

    @property
    def number(self) -> int:
        return int.from_bytes(self.field("number"))

    @property
    def miner(self) -> str:
        return _hex(self.field("miner"))

    @property
    def step(self) -> int | None:
        """The AuRa step, None in a header of any other kind."""
        return int.from_bytes(self.items[13]) if _is_aura(self.items) else None

    @property
    def bare_hash(self) -> bytes:
        """What an AuRa header's signature signs: everything but step and signature."""
        return keccak(_encode([*self.items[:13], *self.items[15:]]))


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


# Headers


def encode_header(header: Json) -> bytes:
    """The RLP of a header, whose keccak is the block's hash. InputError names a field that is absent or of another form."""
    where = f"block {header.get('number')}"
    fields, seal = dict(header), SEAL
    if any(fields.get(name) is not None for name in AURA):  # nodes that know AuRa say null where there is none
        seal = AURA
        signature = str(fields.get("signature") or "").removeprefix("0x")  # OpenEthereum gives it without 0x
        # Genesis is signed by nobody. Its hash is over 65 zero bytes, also where a node says "0x00" or null.
        unsigned = not signature.strip("0") and not any(_field(fields, "number", where))
        fields["signature"] = "0x" + ("00" * SIZES["signature"] if unsigned else signature)
    return _encode([_field(fields, name, where) for name in [*BODY, *seal, *(n for n in LATER if fields.get(n) is not None)]])


def read_header(header: Json | bytes) -> Header:
    """A header from its JSON object or its RLP. InputError where it is none."""
    encoded = header if isinstance(header, bytes) else encode_header(header)
    try:
        items = tuple(rlp.decode(encoded))
        names = [*BODY, *(AURA if _is_aura(items) else SEAL), *LATER]
        # What follows the seal is not read here, and anvil's first block leaves some of it out: there only the hash counts.
        fits = 15 <= len(items) <= len(names) and all(map(_fits, items[:15], names)) and all(isinstance(i, bytes) for i in items)
    except UNREADABLE:
        fits = False
    if not fits:
        raise refusal(f"header {_hex(encoded[:8])}...", "is not the RLP of a header.", AGAIN)
    return Header(keccak(encoded), items)


def header_hash(header: Json | bytes) -> bytes:
    """The hash of a block from the fields of its header: any fork from before London to Prague, and AuRa. A stated `hash` is ignored."""
    return read_header(header).hash


def split(blob: bytes) -> Iterator[bytes]:
    """The headers (or any RLP items) that stand in a store one after the other. InputError where one is cut off."""
    start = 0
    while start < len(blob):
        try:
            _, _, length, payload = consume_length_prefix(blob, start)
        except UNREADABLE:
            length, payload = len(blob), start + 1
        if payload + length > len(blob):
            raise refusal(f"byte {start}", "no whole RLP item begins here.", "The store is damaged: fetch the headers again.")
        yield blob[start : payload + length]
        start = payload + length


def check_headers(
    headers: Iterable[Json | bytes], anchor: str | None = None, first: int | None = None, signatures: bool = False
) -> list[Header]:
    """The headers, if each has the hash it states, continues the one before it, and bears a seal that fits.

    `anchor` is the hash that the last must have, `first` the number of the first: without them a chain whose end was made anew, or
    whose beginning was left out, passes. `signatures` also recovers the signer of every AuRa header. Incomplete names the first
    block that does not fit.
    """
    return list(_chain(headers, anchor, first, signatures))


def _chain(headers: Iterable[Json | bytes], anchor: str | None, first: int | None, signatures: bool) -> Iterator[Header]:
    """The headers one by one, so that millions need not be held."""
    before: Header | None = None
    for given in headers:
        header = read_header(given)
        number = before.number + 1 if before else header.number if first is None else first
        stated = given.get("hash") if isinstance(given, Mapping) else None
        wrong = ""
        if header.number != number:
            wrong = f"its header is missing: the one given in its place is of block {header.number}."
        elif stated is not None and str(stated).lower() != _hex(header.hash):
            wrong = f"its fields hash to {_hex(header.hash)}, not to the {stated} it states: one was altered, or is of an unknown fork."
        elif before and header.field("parentHash") != before.hash:
            wrong = f"its parentHash is not the hash of block {before.number}, {_hex(before.hash)}: one of the two was altered."
        if wrong:
            raise Incomplete([_finding(f"block {number}", wrong)])
        check_seal(header, before, signatures)
        yield header
        before = header
    if before is None:
        raise Incomplete([_finding("headers", "there are none.")])
    if anchor is not None and _hex(before.hash) != anchor.lower():
        what = f"its hash is {_hex(before.hash)}, the anchor {anchor}: the headers are of another chain, or some were made anew."
        raise Incomplete([Finding("error", f"block {before.number}", what, "Compare the anchor with a source that you trust.")])


def check_seal(header: Header, before: Header | None, signature: bool = False) -> None:
    """Incomplete where an AuRa header does not fit its time, its parent `before` (if known) or, on demand, the key of its miner.

    Headers of other kinds pass, and so does genesis, which nobody sealed. A signature costs 0.1 ms with coincurve, 5 ms without.
    """
    step, parent = header.step, before.step if before else None
    difficulty, time = (int.from_bytes(header.field(name)) for name in ("difficulty", "timestamp"))
    wrong = []
    if step is None:
        # The merge ends the seals, and all difficulty with them.
        wrong += ["has no AuRa seal, as its parent has one"] if parent is not None and difficulty else []
    elif header.number:
        wrong += ["is not of its step's time"] if time // AURA_SECONDS != step else []
        wrong += ["has uncles, which AuRa has not"] if header.field("sha3Uncles") != keccak(_encode([])) else []
        wrong += ["has an AuRa seal, as its parent has none"] if before and parent is None else []
        if parent is not None:
            wrong += [f"is of step {step}, no later than its parent's"] if step <= parent else []
            wrong += ["has not the difficulty of its step"] if difficulty != 2**128 - 1 + parent - step else []
        if signature and not wrong and signer(header) != header.miner:
            wrong = [f"is not signed by its miner {header.miner}"]
    if wrong:
        raise Incomplete([_finding(f"block {header.number}", what + ".") for what in wrong])


def signer(header: Header) -> str | None:
    """The address whose key signed an AuRa header, None where the signature is none."""
    # Only here: few need it, and it loads an elliptic curve.
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    signature = header.items[14]
    recovery = signature[64] - 27 if signature[64] >= 27 else signature[64]
    try:
        key = Signature(signature[:64] + bytes([recovery])).recover_public_key_from_msg_hash(header.bare_hash)
    except (BadSignature, ValidationError):
        return None
    return str(key.to_address())


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
            _field({name: item}, name, "wanted")
    return [bloom_mask(address) | bloom_mask(topic) for address, topic in wanted]


def _passes(bloom: bytes, masks: list[int]) -> bool:
    bits = int.from_bytes(bloom)
    return any(bits & mask == mask for mask in masks)


# Receipts


def encode_receipts(receipts: Sequence[Json]) -> bytes:
    """All receipts of a block, in order, as an RLP list of what is hashed: the type's byte (unless 0) and the receipt.

    InputError names a field that is absent or of another form, or a type that is not known.
    """
    return _encode([_encode_receipt(receipt, f"receipt {n}") for n, receipt in enumerate(receipts)])


def receipts_root(receipts: Sequence[Json] | bytes) -> bytes:
    """The receiptsRoot that a header must have whose block holds these receipts, given as JSON objects or by encode_receipts."""
    return ordered_root(_receipt_values(receipts))


def ordered_root(values: Sequence[bytes]) -> bytes:
    """The root of the Merkle Patricia trie that holds value n under the key rlp(n)."""
    # The list is final, so the trie is made in one go from its sorted keys, in hex digits. No key is the beginning of another.
    pairs = sorted((rlp.encode(n).hex(), value) for n, value in enumerate(values))
    return keccak(_encode(_node(pairs, 0) if pairs else b""))


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
    encoded = _encode(node)
    return keccak(encoded) if len(encoded) >= HASH else node


def _path(digits: str, leaf: bool) -> bytes:
    """Digits of a key as whole bytes, behind a digit that says leaf or not, odd or even, and a zero if even."""
    odd = len(digits) % 2
    return unhexlify(f"{2 * leaf + odd}{'' if odd else '0'}{digits}")


def _encode_receipt(receipt: Json, where: str) -> bytes:
    type_ = int.from_bytes(_field(receipt, "type", where)) if receipt.get("type") is not None else 0
    if type_ > NEWEST_RECEIPT:
        raise refusal(where, f"is of type {type_}, whose form is not known.", f"This version proves types 0 to {NEWEST_RECEIPT}.")
    # Before Byzantium a receipt told the state behind it instead of its status.
    names = ["root" if receipt.get("status") is None else "status", "cumulativeGasUsed", "logsBloom"]
    body = _encode([*(_field(receipt, name, where) for name in names), [_log(log, where) for log in receipt.get("logs") or []]])
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
    for header in _chain(headers, anchor, first, signatures):
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
        raise Incomplete([_finding(where, what) for where, what in places[:MOST_FINDINGS]])
    ends = (start.number, end.number, _hex(start.hash), _hex(end.hash))
    return Proof(*ends, opened, false_positives, events, tuple(sorted(miners)), seals, seals if signatures else 0)


def _claims(claimed: Iterable[Json]) -> tuple[dict[int, dict[int, dict[str, Any]]], list[Fault]]:
    """Claimed logs by block and log index, by the fields that are compared; and what is wrong with them before any comparison."""
    claims: dict[int, dict[int, dict[str, Any]]] = {}
    faults = []
    places: dict[object, object] = {}
    for row, log in enumerate(claimed, 1):
        where = f"claimed log {row}"
        block, index, transaction = (int.from_bytes(_field(log, n, where)) for n in ("blockNumber", "logIndex", "transactionIndex"))
        where, here = f"block {block} log {index}", claims.setdefault(block, {})
        if index in here:
            faults.append((block, index, "is claimed twice."))
        if log.get("removed"):
            faults.append((block, index, "was removed by a reorganisation (removed: true)."))
        # Events are paired by transaction hash. It is not proved, but must go with one place, and that place with it.
        name, place = _field(log, "transactionHash", where), (block, transaction)
        if places.setdefault(name, place) != place or places.setdefault(place, name) != name:
            faults.append((block, index, f"is altered: its transactionHash {_hex(name)} does not go with its transactionIndex."))
        here[index] = dict(zip(("address", "topics", "data"), _log(log, where), strict=True))
        here[index] |= {"transactionIndex": transaction, "blockHash": _field(log, "blockHash", where)}
        if log.get("blockTimestamp") is not None:  # many nodes do not give it
            here[index]["blockTimestamp"] = int.from_bytes(_field(log, "blockTimestamp", where))
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
                if not all(map(_fits, (address, data, *topics), ("address", "data", *(["topic"] * len(topics))))):
                    raise ValueError
                logs.append({"address": address, "topics": list(topics), "data": data, "transactionIndex": transaction, **block})
    except UNREADABLE:
        return "its receipts make its receiptsRoot, but cannot be read."
    return logs


def _difference(logs: list[dict[str, Any]], index: int, wanted: bool, claim: dict[str, Any] | None) -> str | None:
    """What is wrong with a claim, or with there being none, given all logs of its block."""
    if claim is None:
        return f"is missing: {_hex(logs[index]['address'])} logged topic0 {_hex(logs[index]['topics'][0])} there."
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
    return _hex(value) if isinstance(value, bytes) else "absent" if value is None else str(value)


# Fields, in JSON and in RLP


def _field(object_: Json, name: str, where: str) -> bytes:
    """A field as RLP holds it. A number may be JSON's own, hex or decimal text: nodes give an AuRa step in all three."""
    value, size = object_.get(name), SIZES.get(name, HASH)
    if size == NUMBER:
        if isinstance(value, str) and re.fullmatch("0x[0-9a-fA-F]{1,64}|[0-9]{1,77}", value):
            value = int(value, 16 if value.startswith("0x") else 10)
        if type(value) is int and 0 <= value < 2**256:
            return value.to_bytes((value.bit_length() + 7) // 8)
    elif isinstance(value, str) and re.fullmatch("0x([0-9a-fA-F]{2})*", value) and size in (ANY, len(value) // 2 - 1):
        return unhexlify(value[2:])
    form = {NUMBER: "a number", ANY: "hex"}.get(size, f"{size} bytes of hex")
    raise refusal(where, f'its {name} is "{str(value)[:80]}", which is not {form}.', AGAIN)


def _log(log: Json, where: str) -> list[Any]:
    """Address, topics and data, of a receipt's log or a claimed one."""
    topics = log.get("topics")
    if not isinstance(topics, list):
        raise refusal(where, "a log of it has no list of topics.", AGAIN)
    return [_field(log, "address", where), [_field({"topic": topic}, "topic", where) for topic in topics], _field(log, "data", where)]


def _fits(item: object, name: str) -> bool:
    size = SIZES.get(name, HASH)
    return isinstance(item, bytes) and (len(item) <= HASH if size == NUMBER else size in (ANY, len(item)))


def _is_aura(items: Sequence[bytes]) -> bool:
    """Of a header: a mixHash has 32 bytes, a step only a few."""
    return len(items[13]) < HASH


def _encode(item: Any) -> bytes:
    encoded = rlp.encode(item, infer_serializer=False)  # bytes and lists already: three times as fast
    assert isinstance(encoded, bytes)
    return encoded


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _finding(where: str, what: str) -> Finding:
    return Finding("error", where, what, AGAIN)
