"""Bloom filters: which blocks cannot hold a wanted log."""

from binascii import unhexlify
from collections.abc import Collection, Iterable
from functools import lru_cache

from eth_hash.auto import keccak

from perpcomp.ingest.proof.headers import Json, field_of, read_header

LogFilter = tuple[str, str]  # the address and topic0 of wanted logs, in hex


@lru_cache(maxsize=4096)
def bloom_mask(item: str) -> int:
    """The three bits that an address or topic (hex) sets in a Bloom filter, which is read as one big-endian integer."""
    digest = keccak(unhexlify(item[2:]))
    mask = 0
    for n in (0, 2, 4):
        mask |= 1 << int.from_bytes(digest[n : n + 2]) % 2048
    return mask


def bloom_masks(wanted: Collection[LogFilter]) -> list[int]:
    """The bits that a block's Bloom filter must have for each kind of wanted log. InputError where an address or topic is malformed."""
    for address, topic in wanted:
        for name, item in (("address", address), ("topic0", topic)):
            field_of({name: item}, name, "wanted")
    return [bloom_mask(address) | bloom_mask(topic) for address, topic in wanted]


def may_hold_any(bloom: bytes, masks: list[int]) -> bool:
    """Whether a block with this Bloom filter may hold a log of one of the masks. False is certain, True is not."""
    bits = int.from_bytes(bloom)
    return any(bits & mask == mask for mask in masks)


def blocks_to_open(headers: Iterable[Json | bytes], wanted: Collection[LogFilter]) -> list[int]:
    """The numbers of the blocks whose receipts a proof needs: their Bloom filters do not exclude a wanted log."""
    masks = bloom_masks(wanted)
    return [header.number for header in map(read_header, headers) if may_hold_any(header.field("logsBloom"), masks)]
