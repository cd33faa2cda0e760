"""The fixed grid on which a range of blocks is fetched and stored, and how much is asked at once. It needs no client of a node."""

from dataclasses import dataclass
from itertools import pairwise

from perpcomp.ingest.node.refusals import Range

HEADERS_AT_ONCE = 100


@dataclass(frozen=True)
class Settings:
    """How to ask, in blocks: the most blocks of one request, the blocks of a segment, and how many confirm a final block."""

    window: int = 2_000
    segment: int = 20_000
    confirmations: int = 32


def grid(asked: Range, size: int) -> list[Range]:
    """The range in segments whose ends are multiples of `size`, so that a longer range can reuse them."""
    first, last = asked
    cuts = [first, *range((first // size + 1) * size, last + 1, size), last + 1]
    return [(a, b - 1) for a, b in pairwise(cuts) if a < b]
