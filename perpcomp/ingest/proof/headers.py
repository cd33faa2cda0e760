"""Block headers: their RLP and hash, the link to the parent, and AuRa seals.

A header is a JSON-RPC object as a node returns it, or the RLP bytes that `encode_header` makes for a store. Every value is read from
the bytes that were hashed. This module reads no file and no network.
"""

import re
from binascii import unhexlify
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak
from rlp.codec import consume_length_prefix  # type: ignore[import-untyped]
from rlp.exceptions import DecodingError  # type: ignore[import-untyped]

from perpcomp.findings import Finding, InputError, refusal

Json = Mapping[str, Any]

BODY = [
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
    *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData"),
]
SEAL = ["mixHash", "nonce"]
AURA = ["step", "signature"]  # instead of SEAL on xDai and Gnosis before their merge (authority round)
# Added by London, Shanghai, Cancun (three fields) and Prague, in this order.
LATER = ["baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"]

# Size of a field in bytes: an integer without leading zeros, any length, and that of every field not named below.
NUMBER, ANY, HASH = 0, -1, 32
NUMBERS = [
    *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "step", "baseFeePerGas", "blobGasUsed", "excessBlobGas"),
    *("type", "status", "cumulativeGasUsed", "blockNumber", "blockTimestamp", "transactionIndex", "logIndex"),
]
SIZES = {"miner": 20, "address": 20, "logsBloom": 256, "nonce": 8, "signature": 65, "extraData": ANY, "data": ANY}
SIZES |= dict.fromkeys(NUMBERS, NUMBER)

AURA_SECONDS = 5  # length of a step on xDai, Gnosis and Chiado
AGAIN = "Fetch it again, if necessary from another node."
UNREADABLE = (DecodingError, IndexError, RecursionError, TypeError, ValueError)


class Unproved(InputError):
    """The logs are not proved (exit 1). `problems` names in block order what is missing, altered or invented."""

    def __init__(self, problems: Iterable[Finding]) -> None:
        super().__init__(problems, exit_code=1)


@dataclass(frozen=True, slots=True)
class Header:
    """A block's hash and the fields that were hashed, in their order."""

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
        return hexed(self.field("miner"))

    @property
    def step(self) -> int | None:
        """The AuRa step; None in a header without an AuRa seal."""
        return int.from_bytes(self.items[13]) if is_aura(self.items) else None

    @property
    def bare_hash(self) -> bytes:
        """The hash that an AuRa header's signature signs: of every field but step and signature."""
        return keccak(encode([*self.items[:13], *self.items[15:]]))


# Headers


def encode_header(header: Json) -> bytes:
    """The RLP of a header, whose keccak is the block's hash. InputError names an absent or malformed field."""
    where = f"block {header.get('number')}"
    fields, seal = dict(header), SEAL
    if any(fields.get(name) is not None for name in AURA):  # nodes that know AuRa give null in headers without it
        seal = AURA
        signature = str(fields.get("signature") or "").removeprefix("0x")  # OpenEthereum gives it without 0x
        # Genesis has no signature. Its hash is over 65 zero bytes, also where a node gives "0x00" or null.
        unsigned = not signature.strip("0") and not any(field_of(fields, "number", where))
        fields["signature"] = "0x" + ("00" * SIZES["signature"] if unsigned else signature)
    return encode([field_of(fields, name, where) for name in [*BODY, *seal, *(n for n in LATER if fields.get(n) is not None)]])


def read_header(header: Json | bytes) -> Header:
    """A header from its JSON object or its RLP; a `hash` in the object is not used. InputError where it is malformed."""
    encoded = header if isinstance(header, bytes) else encode_header(header)
    try:
        items = tuple(rlp.decode(encoded))
        names = [*BODY, *(AURA if is_aura(items) else SEAL), *LATER]
        # Fields after the seal count only for the hash; anvil's first block leaves some of them out.
        whole = 15 <= len(items) <= len(names) and all(map(fits, items[:15], names)) and all(isinstance(i, bytes) for i in items)
    except UNREADABLE:
        whole = False
    if not whole:
        raise refusal(f"header {hexed(encoded[:8])}...", "The bytes are not the RLP of a header.", AGAIN)
    return Header(keccak(encoded), items)


def split(blob: bytes) -> Iterator[bytes]:
    """The RLP items in a file that holds one after the other. InputError where one is cut off."""
    start = 0
    while start < len(blob):
        try:
            _, _, length, payload = consume_length_prefix(blob, start)
        except UNREADABLE:
            length, payload = len(blob), start + 1
        if payload + length > len(blob):
            raise refusal(f"byte {start}", "No complete RLP item begins here.", "The store is damaged: fetch the headers again.")
        yield blob[start : payload + length]
        start = payload + length


def in_chain(
    headers: Iterable[Json | bytes], anchor: str | None = None, first: int | None = None, signatures: bool = False
) -> Iterator[Header]:
    """The headers one by one, each checked: it has the hash that it states, follows the one before, and its seal is valid.

    `anchor` is the hash of the last header and `first` the number of the first. Without them, a forged end or a missing beginning
    passes. `signatures` also recovers the signer of every AuRa header. Unproved names the first block that fails.
    """
    before: Header | None = None
    for given in headers:
        header = read_header(given)
        number = before.number + 1 if before else header.number if first is None else first
        stated = given.get("hash") if isinstance(given, Mapping) else None
        wrong = ""
        if header.number != number:
            wrong = f"The header is missing; the one in its place is of block {header.number}."
        elif stated is not None and str(stated).lower() != hexed(header.hash):
            wrong = f"The header's fields hash to {hexed(header.hash)}, but it states {stated}: a field was altered, or belongs to an unknown fork."
        elif before and header.field("parentHash") != before.hash:
            wrong = f"The parentHash is not the hash of block {before.number}, {hexed(before.hash)}: one of the two headers was altered."
        if wrong:
            raise Unproved([finding(f"block {number}", wrong)])
        check_seal(header, before, signatures)
        yield header
        before = header
    if before is None:
        raise Unproved([finding("headers", "The range has no headers.")])
    if anchor is not None and hexed(before.hash) != anchor.lower():
        what = f"The hash is {hexed(before.hash)}, but the anchor is {anchor}: the headers belong to another chain, or some were forged."
        raise Unproved([Finding("error", f"block {before.number}", what, "Compare the anchor with a source that you trust.")])


def check_seal(header: Header, before: Header | None, signature: bool = False) -> None:
    """Unproved where an AuRa header contradicts its time, its parent `before` (if known) or, on demand, the key of its miner.

    Headers without an AuRa seal pass, and so does genesis. A signature costs 0.1 ms with coincurve, 5 ms without.
    """
    step, parent = header.step, before.step if before else None
    difficulty, time = (int.from_bytes(header.field(name)) for name in ("difficulty", "timestamp"))
    wrong = []
    if step is None:
        # The merge ends the seals; the difficulty is 0 from then on.
        wrong += ["The header has no AuRa seal, but its parent has one"] if parent is not None and difficulty else []
    elif header.number:
        wrong += ["The timestamp is not in the time of its step"] if time // AURA_SECONDS != step else []
        wrong += ["The header has uncles, which AuRa does not allow"] if header.field("sha3Uncles") != keccak(encode([])) else []
        wrong += ["The header has an AuRa seal, but its parent has none"] if before and parent is None else []
        if parent is not None:
            wrong += [f"The step is {step}, not later than the parent's step {parent}"] if step <= parent else []
            wrong += ["The difficulty is not that of its step"] if difficulty != 2**128 - 1 + parent - step else []
        if signature and not wrong and signer(header) != header.miner:
            wrong = [f"The header is not signed by its miner {header.miner}"]
    if wrong:
        raise Unproved([finding(f"block {header.number}", what + ".") for what in wrong])


def signer(header: Header) -> str | None:
    """The address whose key signed an AuRa header; None where the signature is invalid."""
    # Imported here: few runs need it, and it loads an elliptic curve.
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


# Fields, in JSON and in RLP


def field_of(object_: Json, name: str, where: str) -> bytes:
    """A field as RLP holds it. A number may be a JSON number, hex or decimal text: nodes give an AuRa step in all three."""
    value, size = object_.get(name), SIZES.get(name, HASH)
    if size == NUMBER:
        if isinstance(value, str) and re.fullmatch("0x[0-9a-fA-F]{1,64}|[0-9]{1,77}", value):
            value = int(value, 16 if value.startswith("0x") else 10)
        if type(value) is int and 0 <= value < 2**256:
            return value.to_bytes((value.bit_length() + 7) // 8)
    elif isinstance(value, str) and re.fullmatch("0x([0-9a-fA-F]{2})*", value) and size in (ANY, len(value) // 2 - 1):
        return unhexlify(value[2:])
    form = {NUMBER: "a number", ANY: "hex"}.get(size, f"{size} bytes of hex")
    raise refusal(where, f'{name} is "{str(value)[:80]}", which is not {form}.', AGAIN)


def fits(item: object, name: str) -> bool:
    """Whether a decoded RLP item has the size of the field of this name."""
    size = SIZES.get(name, HASH)
    return isinstance(item, bytes) and (len(item) <= HASH if size == NUMBER else size in (ANY, len(item)))


def is_aura(items: Sequence[bytes]) -> bool:
    """Whether a header has an AuRa seal: a mixHash has 32 bytes, a step only a few."""
    return len(items[13]) < HASH


def encode(item: Any) -> bytes:
    """The RLP of bytes and lists of them."""
    encoded = rlp.encode(item, infer_serializer=False)  # the types are known: three times as fast
    assert isinstance(encoded, bytes)
    return encoded


def hexed(value: bytes) -> str:
    """Bytes as 0x and hex digits."""
    return "0x" + value.hex()


def finding(where: str, what: str) -> Finding:
    """A finding of a proof, with the advice that all of them share."""
    return Finding("error", where, what, AGAIN)
