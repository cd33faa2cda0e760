"""Bloom filters: which blocks cannot hold a log."""

from binascii import unhexlify
from collections.abc import Collection, Iterable
from functools import lru_cache

from eth_hash.auto import keccak

from perpcomp.ingest.proof.headers import (
    Json,
    field_of,
    read_header,
)

Pair = tuple[str, str]  # an address and a topic0, in hex


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
    return bloom_passes(bloom, [bloom_mask(address) | bloom_mask(topic)])


def blocks_to_open(headers: Iterable[Json | bytes], wanted: Collection[Pair]) -> list[int]:
    """The numbers of the blocks whose receipts `prove` will ask for."""
    masks = bloom_masks(wanted)
    return [header.number for header in map(read_header, headers) if bloom_passes(header.field("logsBloom"), masks)]


def bloom_masks(wanted: Collection[Pair]) -> list[int]:
    for address, topic in wanted:
        for name, item in (("address", address), ("topic0", topic)):
            field_of({name: item}, name, "wanted")
    return [bloom_mask(address) | bloom_mask(topic) for address, topic in wanted]


def bloom_passes(bloom: bytes, masks: list[int]) -> bool:
    bits = int.from_bytes(bloom)
    return any(bits & mask == mask for mask in masks)
