"""Proofs: real headers and receipts are proved, and every tampering is caught and named."""

import json
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_hash.auto import keccak
from eth_keys.datatypes import PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from trie import HexaryTrie

from perpcomp.findings import InputError
from perpcomp.ingest.proof import headers as block_headers
from perpcomp.ingest.proof.bloom import blocks_to_open, bloom_masks, may_hold_any
from perpcomp.ingest.proof.headers import (
    Header,
    Json,
    Unproved,
    check_seal,
    encode_header,
    in_chain,
    read_header,
)
from perpcomp.ingest.proof.prove import Proof, prove
from perpcomp.ingest.proof.receipts import encode_receipts, ordered_root, receipt_values

LAB = Path(__file__).parent / "lab" / "audit"
AURA = json.loads((LAB / "aura-headers.json").read_text())["vectors"]
CHAIN = json.loads((LAB / "receipts.json").read_text())
HEADERS: list[dict[str, Any]] = CHAIN["headers"]
RECEIPTS: dict[int, list[dict[str, Any]]] = {int(number): receipts for number, receipts in CHAIN["receipts"].items()}
LOGS: list[dict[str, Any]] = CHAIN["expected_logs"]
WANTED = [(CHAIN["address"], CHAIN["topic0"])]
ANCHOR: str = CHAIN["anchor"]
HIT = 7  # a block with four receipts and one wanted log, number 3, the second of LOGS
QUIET = 8  # a block with logs, none of them wanted
STORED = [False, True]  # headers and receipts as JSON objects, as the bytes of a store
both_forms = pytest.mark.parametrize("stored", STORED, ids=["json", "stored"])


class Material:
    """The inputs of a proof: the recorded ones, until a test changes them."""

    def __init__(self) -> None:
        self.headers = deepcopy(HEADERS)
        self.receipts = deepcopy(RECEIPTS)
        self.logs = deepcopy(LOGS)
        self.wanted = WANTED
        self.anchor = ANCHOR
        self.first = 1

    def prove(self, stored: bool = False, signatures: bool = False) -> Proof:
        headers = [encode_header(h) for h in self.headers] if stored else self.headers
        receipts = {n: encode_receipts(r) for n, r in self.receipts.items()} if stored else self.receipts
        return prove(headers, receipts, self.wanted, self.logs, self.anchor, self.first, signatures)

    def refused(self, stored: bool = False, signatures: bool = False) -> list[str]:
        """The refusal's lines, one for each problem, each with advice."""
        with pytest.raises(Unproved) as caught:
            self.prove(stored, signatures)
        assert all(problem.what_to_do for problem in caught.value.problems)
        return str(caught.value).splitlines()

    def header(self, number: int) -> dict[str, Any]:
        return next(h for h in self.headers if int(h["number"], 16) == number)

    def hide_receipt_log(self) -> None:
        """Remove the wanted log of HIT from the claims and from its receipt."""
        del self.logs[1]
        self.receipts[HIT][3]["logs"] = []

    def forge_receipts_root(self) -> None:
        self.header(HIT)["receiptsRoot"] = hexed(receipts_root(self.receipts[HIT]))

    def rehash(self, first: int, last: int) -> None:
        """Blocks first to last state the hash that their fields have now; their children and their logs follow."""
        for number in range(first, last + 1):
            self.header(number)["hash"] = hexed(header_hash(self.header(number)))
            if number < last:
                self.header(number + 1)["parentHash"] = self.header(number)["hash"]
            for log in self.logs:
                if log["blockNumber"] == hex(number):
                    log["blockHash"] = self.header(number)["hash"]


def header_hash(header: Json | bytes) -> bytes:
    return read_header(header).hash


def check_headers(
    headers: Iterable[Json | bytes], anchor: str | None = None, first: int | None = None, signatures: bool = False
) -> list[Header]:
    return list(in_chain(headers, anchor, first, signatures))


def receipts_root(receipts: Sequence[Json] | bytes) -> bytes:
    return ordered_root(receipt_values(receipts))


def may_hold(bloom: bytes, address: str, topic: str) -> bool:
    return may_hold_any(bloom, bloom_masks([(address, topic)]))


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


def other_digit(text: str, place: int = -1) -> str:
    digits = list(text)
    digits[place] = "0" if digits[place] != "0" else "1"
    return "".join(digits)


# The truth is proved


@both_forms
def test_the_recorded_chain_is_proved(stored: bool) -> None:
    proof = Material().prove(stored)
    assert (proof.first, proof.last, proof.headers) == (1, 12, 12)
    assert (proof.first_hash, proof.last_hash) == (HEADERS[0]["hash"], ANCHOR)
    assert (proof.opened, proof.false_positives, proof.events) == (3, 0, 3)
    assert (proof.miners, proof.seals, proof.signatures) == (("0x" + "00" * 20,), 0, 0)
    assert "3 logs proved complete and unaltered" in str(proof)
    assert "Transaction hashes: reported, not proved" in str(proof)


def test_the_proof_needs_only_the_receipts_of_the_blocks_to_open() -> None:
    material = Material()
    opened = blocks_to_open(material.headers, WANTED)
    assert opened == CHAIN["bloom_positive_blocks"]
    material.receipts = {number: RECEIPTS[number] for number in opened}
    assert material.prove().opened == len(opened)


def test_several_pairs_are_proved_together() -> None:
    """Every log of the chain, wanted under its own pair: a block's log indices run through its receipts."""
    material = Material()
    material.logs = [log for receipts in RECEIPTS.values() for receipt in receipts for log in receipt["logs"]]
    material.wanted = sorted({(log["address"], log["topics"][0]) for log in material.logs})
    proof = material.prove()
    assert proof.events == len(material.logs) > 10
    material.wanted = [(address.upper().replace("0X", "0x"), topic) for address, topic in material.wanted]
    assert material.prove() == proof


def test_a_false_positive_of_a_bloom_filter_is_counted() -> None:
    """The block's filter has both address and topic, but from two logs."""
    material = Material()
    logs = [log for receipt in RECEIPTS[HIT] for log in receipt["logs"]]
    pairs = {(log["address"], log["topics"][0]) for log in logs}
    material.wanted, material.logs = sorted({(a, t) for a, _ in pairs for _, t in pairs} - pairs), []
    material.headers, material.first, material.anchor = [material.header(HIT)], HIT, material.header(HIT)["hash"]
    proof = material.prove()
    assert (proof.opened, proof.false_positives, proof.events) == (1, 1, 0)


def test_a_store_of_concatenated_headers_is_split_and_proved() -> None:
    blob = b"".join(map(encode_header, HEADERS))
    assert check_headers(block_headers.split(blob), ANCHOR, 1) == check_headers(HEADERS, ANCHOR, 1)
    with pytest.raises(InputError, match="No complete RLP item begins here"):
        list(block_headers.split(blob[:-1]))
    with pytest.raises(InputError, match="No complete RLP item begins here"):
        list(block_headers.split(blob + b"\xf9\x02"))


# Tampering, as audit tools must catch it: ten of ten


def test_a_dropped_log_is_missing() -> None:
    material = Material()
    del material.logs[1]
    (said,) = material.refused()
    assert said.startswith(f"block {HIT} log 3: The log is missing: {CHAIN['address']} logged topic0 {CHAIN['topic0']} here.")


def test_one_changed_digit_is_altered() -> None:
    material = Material()
    material.logs[1]["data"] = other_digit(material.logs[1]["data"])
    (said,) = material.refused()
    assert said.startswith(
        f"block {HIT} log 3: The log is altered: data word 10 is 0x{material.logs[1]['data'][-64:]}, not 0x{LOGS[1]['data'][-64:]}. "
    )


@pytest.mark.parametrize(
    ("number", "index", "what"),
    [
        (HIT, 9, "The log is invented: the block holds 4 logs."),
        (HIT, 2, "The log is invented: topic0 is 0x4c7b"),
        (QUIET, 0, "The log is invented: the block's Bloom filter excludes every wanted log."),
        (99, 0, "The log is claimed, but the headers are of blocks 1 to 12."),
    ],
    ids=["behind the last log", "in the place of another log", "where the filter excludes it", "outside of the range"],
)
def test_a_fake_log_is_invented(number: int, index: int, what: str) -> None:
    material = Material()
    fake = {**LOGS[1], "blockNumber": hex(number), "logIndex": hex(index), "transactionIndex": "0x2", "transactionHash": "0x" + "11" * 32}
    material.logs.insert(0, fake)
    (said,) = material.refused()
    assert said.startswith(f"block {number} log {index}: {what}")


@both_forms
def test_a_log_hidden_in_logs_and_receipts(stored: bool) -> None:
    material = Material()
    material.hide_receipt_log()
    (said,) = material.refused(stored)
    assert said.startswith(f"block {HIT}: The receipts do not match the receiptsRoot")


def test_a_forged_receipts_root() -> None:
    material = Material()
    material.hide_receipt_log()
    material.forge_receipts_root()
    (said,) = material.refused()
    assert said.startswith(f"block {HIT}: The header's fields hash to ")
    (said,) = material.refused(stored=True)  # no hash is stated in a store: the child tells
    assert said.startswith(f"block {HIT + 1}: The parentHash is not the hash of block {HIT}")


@both_forms
def test_the_header_of_a_forged_root_hashed_again(stored: bool) -> None:
    material = Material()
    material.hide_receipt_log()
    material.forge_receipts_root()
    material.rehash(HIT, HIT)
    (said,) = material.refused(stored)
    assert said.startswith(f"block {HIT + 1}: The parentHash is not the hash of block {HIT}")


def test_a_blanked_bloom_filter() -> None:
    material = Material()
    del material.logs[1]
    material.header(HIT)["logsBloom"] = "0x" + "00" * 256
    (said,) = material.refused()
    assert said.startswith(f"block {HIT}: The header's fields hash to ")
    (said,) = material.refused(stored=True)
    assert said.startswith(f"block {HIT + 1}: The parentHash is not the hash of block {HIT}")


@both_forms
@pytest.mark.parametrize("way", ["root", "bloom"])
def test_the_whole_rest_of_the_chain_hashed_again_is_caught_by_the_anchor_alone(stored: bool, way: str) -> None:
    material = Material()
    material.hide_receipt_log()
    if way == "root":
        material.forge_receipts_root()
    else:
        material.header(HIT)["logsBloom"] = "0x" + "00" * 256
    material.rehash(HIT, 12)
    (said,) = material.refused(stored)
    forged = material.header(12)["hash"]
    assert said.startswith(f"block 12: The hash is {forged}, but the anchor is {ANCHOR}: ")
    check_headers(material.headers)
    material.anchor = forged
    assert material.prove(stored).events == 2


@both_forms
def test_a_skipped_header(stored: bool) -> None:
    material = Material()
    del material.logs[1]
    del material.headers[HIT - 1]
    (said,) = material.refused(stored)
    assert said.startswith(f"block {HIT}: The header is missing; the one in its place is of block {HIT + 1}.")


@both_forms
def test_a_flipped_status(stored: bool) -> None:
    material = Material()
    material.receipts[HIT][0]["status"] = "0x0"
    (said,) = material.refused(stored)
    assert said.startswith(f"block {HIT}: The receipts do not match the receiptsRoot")


# And beyond those ten


def test_headers_left_out_before_the_first_are_missing() -> None:
    """The anchor fixes the end of the range alone: that is why the beginning must be said."""
    material = Material()
    material.headers = material.headers[HIT:]
    material.logs = material.logs[2:]
    (said,) = material.refused()
    assert said.startswith("block 1: The header is missing; the one in its place is of block 8.")
    material.headers = []
    assert material.refused()[0].startswith("headers: The range has no headers.")


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("blockHash", "0x" + "12" * 32, "The log is altered: blockHash is 0x1212"),
        ("transactionIndex", "0x2", "The log is altered: transactionIndex is 2, not 3."),
        ("blockTimestamp", "0x1", "The log is altered: blockTimestamp is 1, not "),
        ("address", "0x" + "12" * 20, "The log is altered: address is 0x1212"),
        ("topics", [*LOGS[1]["topics"][:2], "0x" + "00" * 32], f"The log is altered: topic2 is 0x{'00' * 32}, not {LOGS[1]['topics'][2]}."),
        ("topics", [], "The log is altered: topic0 is absent, not 0x"),
        ("data", "0x", f"The log is altered: data word 0 is absent, not {LOGS[1]['data'][:66]}, data word 1 is absent, "),
        ("removed", True, "The log was removed by a reorganisation"),
    ],
)
def test_every_derived_field_of_a_log_is_compared(field: str, value: object, what: str) -> None:
    material = Material()
    material.logs[1][field] = value
    (said,) = material.refused()
    assert said.startswith(f"block {HIT} log 3: {what}")


def test_a_right_block_time_is_proved_too() -> None:
    material = Material()
    for log in material.logs:
        log["blockTimestamp"] = material.header(int(log["blockNumber"], 16))["timestamp"]
    assert material.prove().events == 3


def test_logs_that_changed_places_and_logs_claimed_twice() -> None:
    material = Material()
    material.logs[1]["logIndex"] = "0x2"
    said = material.refused()
    assert said[0].startswith(f"block {HIT} log 2: The log is invented: transactionIndex is 3, not 2, topic0 is ")
    assert said[1].startswith(f"block {HIT} log 3: The log is missing")
    material = Material()
    material.logs.append(material.logs[0])
    (line,) = material.refused()
    assert line.startswith("block 5 log 0: The log is claimed twice.")


def test_a_true_log_of_no_wanted_pair_is_not_claimed_silently() -> None:
    material = Material()
    material.logs.append(RECEIPTS[HIT][0]["logs"][0])
    (said,) = material.refused()
    assert said.startswith(f"block {HIT} log 0: The log is claimed, but it is not a wanted log.")


def test_a_transaction_hash_has_one_position() -> None:
    """Receipts do not prove it, but two positions cannot share a hash, and one position cannot have two."""
    material = Material()
    material.logs[1]["transactionHash"] = LOGS[0]["transactionHash"]
    (said,) = material.refused()
    assert said.startswith(f"block {HIT} log 3: The log is altered: transactionHash {LOGS[0]['transactionHash']} contradicts")


def test_missing_receipts_and_receipts_out_of_order_are_named() -> None:
    material = Material()
    del material.receipts[HIT]
    material.receipts[10].reverse()
    said = material.refused()
    assert said[0].startswith(f"block {HIT}: The Bloom filter allows wanted logs, but the receipts are missing.")
    assert said[1].startswith("block 10: The receipts do not match the receiptsRoot")


def test_at_most_twenty_findings_the_first_first() -> None:
    material = Material()
    material.logs = [log for receipts in RECEIPTS.values() for receipt in receipts for log in receipt["logs"]]
    material.wanted = sorted({(log["address"], log["topics"][0]) for log in material.logs})
    material.logs = [{**LOGS[0], "logIndex": hex(n)} for n in range(1, 40)]
    said = material.refused()
    assert len(said) == 20
    numbers = [int(line.split()[1].rstrip(":")) for line in said]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda m: m.headers[0].pop("stateRoot"), 'block 0x1: stateRoot is "None", which is not 32 bytes of hex.'),
        (lambda m: m.headers[0].update(gasUsed="0xg"), 'block 0x1: gasUsed is "0xg", which is not a number.'),
        (lambda m: m.headers[0].update(gasUsed="١٢"), 'block 0x1: gasUsed is "١٢", which is not a number.'),
        (lambda m: m.headers[0].update(gasUsed=True), 'block 0x1: gasUsed is "True", which is not a number.'),
        (lambda m: m.headers[0].update(miner="0x12"), 'block 0x1: miner is "0x12", which is not 20 bytes of hex.'),
        (lambda m: m.headers.__setitem__(0, {}), 'block None: parentHash is "None"'),
        (lambda m: m.receipts[HIT][0].update(type="0x7e"), "receipt 0: The receipt has the unknown type 126."),
        (lambda m: m.receipts[HIT][2]["logs"][0].update(data="0x1"), 'receipt 2: data is "0x1", which is not hex.'),
        (lambda m: m.receipts[HIT][2]["logs"][0].update(topics=None), "receipt 2: One of the logs has no list of topics."),
        (lambda m: m.receipts.update({HIT: b"\xc2"}), "receipts: The bytes are not the RLP of a block's receipts."),
        (lambda m: m.receipts.update({HIT: b"\xc1\xc0"}), "receipts: The bytes are not the RLP of a block's receipts."),
        (lambda m: m.logs[1].pop("logIndex"), 'claimed log 2: logIndex is "None", which is not a number.'),
        (lambda m: m.logs[1].update(address="0x"), 'block 7 log 3: address is "0x", which is not 20 bytes of hex.'),
        (lambda m: setattr(m, "wanted", []), "wanted: The list of wanted logs is empty."),
        (lambda m: setattr(m, "wanted", [("0x", ANCHOR)]), 'wanted: address is "0x", which is not 20 bytes of hex.'),
        (lambda m: m.headers.__setitem__(0, b"\x01"), "header 0x01...: The bytes are not the RLP of a header."),
        (lambda m: m.headers.__setitem__(0, rlp.encode([b""] * 15)), "The bytes are not the RLP of a header."),
    ],
)
def test_unreadable_evidence_is_refused_by_position(spoil: Callable[[Material], object], what: str) -> None:
    material = Material()
    spoil(material)
    with pytest.raises(InputError) as caught:
        material.prove()
    assert what in str(caught.value)
    assert all(problem.what_to_do for problem in caught.value.problems)


@pytest.mark.parametrize(
    "nonsense",
    [[b"\xc1\x01"], [b"\x02"], [b""], [rlp.encode([1, 2, b"", [[[], [b"\x01" * 32], b""]]])]],
    ids=["short", "type", "empty", "log"],
)
def test_receipts_that_make_the_root_and_are_none(nonsense: list[bytes]) -> None:
    material = Material()
    del material.logs[1]
    material.receipts[HIT] = rlp.encode(nonsense)
    material.header(HIT)["receiptsRoot"] = hexed(ordered_root(nonsense))
    material.rehash(HIT, 12)
    material.anchor = material.header(12)["hash"]
    (said,) = material.refused()
    assert said.startswith(f"block {HIT}: The receipts match the receiptsRoot, but cannot be read.")


ENCODED = [encode_header(h) for h in HEADERS]
OPENED = {n: encode_receipts(RECEIPTS[n]) for n in CHAIN["bloom_positive_blocks"]}


def flipped(value: bytes, bit: int) -> bytes:
    bit %= 8 * len(value)
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.property
@given(st.integers(0, len(HEADERS) - 1), st.integers(0, 2**16))
def test_any_bit_of_any_header_counts(number: int, bit: int) -> None:
    headers = [*ENCODED[:number], flipped(ENCODED[number], bit), *ENCODED[number + 1 :]]
    with pytest.raises(InputError):
        prove(headers, OPENED, WANTED, LOGS, ANCHOR, 1)


@pytest.mark.property
@given(st.sampled_from(sorted(OPENED)), st.integers(0, 2**16))
def test_any_bit_of_any_opened_receipt_counts(number: int, bit: int) -> None:
    with pytest.raises(InputError):
        prove(ENCODED, {**OPENED, number: flipped(OPENED[number], bit)}, WANTED, LOGS, ANCHOR, 1)


@pytest.mark.property
@given(
    st.integers(0, len(LOGS) - 1),
    st.sampled_from(["address", "topics", "data", "blockNumber", "blockHash", "transactionIndex", "logIndex"]),
    st.integers(0, 2**12),
)
def test_any_digit_of_any_claimed_log_counts(number: int, field: str, place: int) -> None:
    logs = deepcopy(LOGS)
    log = logs[number]
    if field == "topics":
        which = place % len(log["topics"])
        log["topics"][which] = other_digit(log["topics"][which], 2 + place % 64)
    else:
        log[field] = other_digit(log[field], 2 + place % (len(log[field]) - 2))
    with pytest.raises(InputError):
        prove(ENCODED, OPENED, WANTED, logs, ANCHOR, 1)


# Headers of every fork


@pytest.mark.parametrize("header", HEADERS, ids=lambda h: h["number"])
def test_prague_headers_hash_as_the_node_says(header: dict[str, Any]) -> None:
    assert len(read_header(header).items) == 21
    assert hexed(header_hash(header)) == header["hash"]
    assert keccak(encode_header(header)) == header_hash(encode_header(header)) == header_hash(header)


def test_a_header_before_london_has_fifteen_fields() -> None:
    """Ethereum's genesis, whose hash the world knows."""
    empty_root = hexed(keccak(b"\x80"))
    header = dict.fromkeys(["parentHash", "mixHash"], "0x" + "00" * 32) | dict.fromkeys(["number", "gasUsed", "timestamp"], "0x0")
    header |= dict.fromkeys(["transactionsRoot", "receiptsRoot"], empty_root) | dict.fromkeys(["step", "signature", "baseFeePerGas"])
    header |= {
        "sha3Uncles": hexed(keccak(b"\xc0")),
        "miner": "0x" + "00" * 20,
        "stateRoot": "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
        "logsBloom": "0x" + "00" * 256,
        "difficulty": "0x400000000",
        "gasLimit": "0x1388",
        "extraData": "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
        "nonce": "0x0000000000000042",
    }
    assert header_hash(header).hex() == "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"


@pytest.mark.parametrize(("fork", "fields"), [("before London", 15), ("London", 16), ("Shanghai", 17), ("Cancun", 20), ("Prague", 21)])
def test_a_fork_adds_its_fields_in_order(fork: str, fields: int) -> None:
    header = dict(HEADERS[3])
    for name in block_headers.LATER[fields - 15 :]:
        del header[name]
    numbers = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas"}
    names = [*block_headers.BODY, "mixHash", "nonce", *block_headers.LATER][:fields]
    plain = [int(header[name], 16) if name in numbers else bytes.fromhex(header[name][2:]) for name in names]
    assert header_hash(header) == keccak(rlp.encode(plain)), fork
    assert len(read_header(header).items) == fields


# AuRa


@pytest.mark.parametrize("vector", AURA, ids=lambda v: v["name"])
@pytest.mark.parametrize("form", [lambda s: s, lambda s: int(s, 16), lambda s: str(int(s, 16))], ids=["hex", "number", "decimal text"])
@both_forms
def test_aura_headers(vector: dict[str, Any], form: Callable[[str], object], stored: bool) -> None:
    given = {**vector["header"], "step": form(vector["header"]["step"])}
    header = read_header(encode_header(given) if stored else given)
    assert hexed(header.hash) == vector["hash"]
    assert hexed(header.bare_hash) == vector["bare_hash"]
    assert len(header.items) == vector["fields"]
    assert header.step == int(vector["header"]["step"], 16)
    if "signer" in vector:
        assert block_headers.signer(header) == vector["signer"] == header.miner
    check_seal(header, None, signature=True)


@pytest.mark.parametrize(
    "quirk", [{"nonce": None, "step": 0, "signature": "0x00"}, {"signature": None}, {"signature": "0x"}, {"step": "0"}]
)
def test_genesis_as_some_nodes_answer(quirk: dict[str, Any]) -> None:
    assert hexed(header_hash({**AURA[0]["header"], **quirk})) == AURA[0]["hash"]


def test_a_signature_without_its_0x_is_read_and_a_short_one_refused() -> None:
    header = AURA[1]["header"]
    assert hexed(header_hash({**header, "signature": header["signature"][2:]})) == AURA[1]["hash"]
    with pytest.raises(InputError, match="signature is"):
        header_hash({**header, "signature": "0x00"})


KEYS = [PrivateKey(bytes([n]) * 32) for n in (1, 2)]


def sealed(changes: dict[int, dict[str, Any]] | None = None, blocks: int = 4) -> list[dict[str, Any]]:
    """Genesis, block 1 and blocks of our own upon them, sealed by two keys in turn, each with what a test changes before it is sealed."""
    chain = [dict(AURA[0]["header"]), dict(AURA[1]["header"])]
    for number in range(2, 2 + blocks):
        before = chain[-1]
        step = int(before["step"], 16) + number
        key = KEYS[number % 2]
        header = {
            **before,
            "parentHash": hexed(header_hash(before)),
            "number": hex(number),
            "step": hex(step),
            "timestamp": hex(5 * step + number % 5),
            "difficulty": hex(2**128 - 1 - number),
            "miner": key.public_key.to_address(),
            **(changes or {}).get(number, {}),
        }
        signature = bytearray(key.sign_msg_hash(read_header(header).bare_hash).to_bytes())
        signature[64] += 27 * (number % 2)
        chain.append({**header, "signature": hexed(bytes(signature))})
    return chain


def test_a_chain_of_authorities_is_proved_with_its_signers() -> None:
    material = Material()
    material.headers, material.receipts, material.logs, material.first = sealed(), {}, [], 0
    material.anchor = hexed(header_hash(material.headers[-1]))
    proof = material.prove(signatures=True)
    assert (proof.headers, proof.seals, proof.signatures, len(proof.miners)) == (6, 5, 5, 4)
    assert material.prove(stored=True).signatures == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"timestamp": hex(5 * int(AURA[1]["header"]["step"], 16))}, "The timestamp is not in the time of its step."),
        ({"sha3Uncles": "0x" + "11" * 32}, "The header has uncles, which AuRa does not allow."),
        ({"difficulty": hex(2**128)}, "The difficulty is not that of its step."),
        ({"step": AURA[1]["header"]["step"], "timestamp": AURA[1]["header"]["timestamp"]}, "not later than the parent's step"),
    ],
)
def test_an_invalid_seal_is_refused_without_its_signature(change: dict[str, Any], what: str) -> None:
    with pytest.raises(Unproved, match=what) as caught:
        check_headers(sealed({2: change}))
    assert caught.value.problems[0].where == "block 2"


@pytest.mark.parametrize("signature", ["0x" + "11" * 64 + "00", "0x" + "ff" * 65, "0x" + "00" * 65])
def test_a_forged_signature_is_caught_where_signers_are_recovered(signature: str) -> None:
    chain = sealed()
    chain[-1]["signature"] = signature
    check_headers(chain)
    with pytest.raises(Unproved, match="block 5: The header is not signed by its miner"):
        check_headers(chain, signatures=True)


def test_seals_end_at_the_merge_and_nowhere_else() -> None:
    chain = sealed()
    after = {k: v for k, v in chain[-1].items() if k not in ("step", "signature")}
    after |= {"parentHash": hexed(header_hash(chain[-1])), "number": "0x6", "mixHash": "0x" + "00" * 32, "nonce": "0x" + "00" * 8}
    assert len(check_headers([*chain, {**after, "difficulty": "0x0"}])) == 7
    with pytest.raises(Unproved, match="block 6: The header has no AuRa seal, but its parent has one"):
        check_headers([*chain, {**after, "difficulty": "0x1"}])
    merged = {**after, "difficulty": "0x0"}
    back = {**chain[-1], "parentHash": hexed(header_hash(merged)), "number": "0x7"}
    with pytest.raises(Unproved, match="block 7: The header has an AuRa seal, but its parent has none"):
        check_headers([merged, back])


# Bloom filters

LOGGED = st.lists(st.tuples(st.binary(min_size=20, max_size=20), st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=4)))


@pytest.mark.property
@given(LOGGED)
def test_a_bloom_filter_forgets_no_log(logs: list[tuple[bytes, list[bytes]]]) -> None:
    """The filter is built bit by bit, as the Yellow Paper has it."""
    bloom = bytearray(256)
    for address, topics in logs:
        for item in (address, *topics):
            digest = keccak(item)
            for n in (0, 2, 4):
                bit = (digest[n] << 8 | digest[n + 1]) & 2047
                bloom[255 - bit // 8] |= 1 << bit % 8
    assert all(may_hold(bytes(bloom), hexed(address), hexed(topic)) for address, topics in logs for topic in topics)


def test_a_bloom_filter_excludes_what_it_can() -> None:
    for header in HEADERS:
        held = {(log["address"], log["topics"][0]) for receipt in RECEIPTS[int(header["number"], 16)] for log in receipt["logs"]}
        bloom = bytes.fromhex(header["logsBloom"][2:])
        assert all(may_hold(bloom, *pair) for pair in held)
        assert not may_hold(bloom, "0x" + "ab" * 20, "0x" + "cd" * 32)
        assert may_hold(bloom, *WANTED[0]) == (int(header["number"], 16) in CHAIN["bloom_positive_blocks"])
    assert may_hold(b"\xff" * 256, "0x" + "ab" * 20, "0x" + "cd" * 32)


# Receipts


@pytest.mark.parametrize("number", RECEIPTS)
def test_receipts_make_the_root_of_their_header(number: int) -> None:
    root = HEADERS[number - 1]["receiptsRoot"]
    assert hexed(receipts_root(RECEIPTS[number])) == root
    assert hexed(receipts_root(encode_receipts(RECEIPTS[number]))) == root


def test_no_receipts_make_the_known_empty_root() -> None:
    assert receipts_root([]).hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


@pytest.mark.parametrize("type_", [None, "0x0", "0x1", "0x2", "0x3", "0x4"])
def test_a_receipt_of_each_type(type_: str | None) -> None:
    receipt = {**RECEIPTS[HIT][2], "type": type_}
    ((address, topics, data),) = [(log["address"], log["topics"], log["data"]) for log in receipt["logs"]]
    log = [bytes.fromhex(address[2:]), [bytes.fromhex(topic[2:]) for topic in topics], bytes.fromhex(data[2:])]
    plain = rlp.encode([1, int(receipt["cumulativeGasUsed"], 16), bytes.fromhex(receipt["logsBloom"][2:]), [log]])
    number = int(type_ or "0x0", 16)
    assert rlp.decode(encode_receipts([receipt])) == [bytes([number]) + plain if number else plain]


def test_a_receipt_before_byzantium_tells_its_state_root() -> None:
    receipt = {**RECEIPTS[HIT][0], "type": None, "status": None, "root": "0x" + "12" * 32}
    (encoded,) = rlp.decode(encode_receipts([receipt]))
    assert rlp.decode(encoded)[0] == b"\x12" * 32
    del receipt["root"]
    with pytest.raises(InputError, match="receipt 0: root is"):
        encode_receipts([receipt])


@pytest.mark.parametrize("size", [1, 31, 300], ids=lambda size: f"values of {size} bytes")
def test_the_ordered_trie_is_the_trie_of_the_library(size: int) -> None:
    """Values shorter than a hash are held whole inside their parents, longer ones by hash."""
    trie = HexaryTrie({})
    values: list[bytes] = []
    assert ordered_root(values) == trie.root_hash
    for n in range(300):
        values.append((keccak(bytes([n % 256, n // 256])) * 10)[:size])
        trie[rlp.encode(n)] = values[-1]
        assert ordered_root(values) == trie.root_hash, f"{n + 1} values"
