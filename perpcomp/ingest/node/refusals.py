"""What a provider's refusal of eth_getLogs means, and the ranges to ask for instead.

Providers change their texts without notice, so words decide: first those of rate and availability (wait, never split), then a suggested range,
then a width, then a size. A code alone decides nothing: -32005 is used for a results limit, a range limit and a quota.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

Range = tuple[int, int]  # first and last block, both inclusive


class Action(Enum):
    """What the client must do after a refusal."""

    SPLIT_RANGE = "split_range"  # pieces as wide as the suggested range
    SPLIT_SPAN = "split_span"  # pieces of at most `span` blocks
    HALVE = "halve"
    BACKOFF = "backoff"  # wait, then the same request; never split
    CLAMP_HEAD = "clamp_head"  # the node does not know the block yet: never take an empty answer
    ARCHIVE = "archive"  # the node lacks the history
    RECEIPTS = "receipts"  # one block is too large: read its receipts
    FATAL = "fatal"


@dataclass(frozen=True)
class NextStep:
    """What to do after a refusal, and the most blocks of each new range. `known` is False for an unknown text."""

    action: Action
    span: int | None = None
    known: bool = True


# The patterns are texts, which re compiles when a provider first refuses: most commands ask no node.
# Words of rate and of availability: the same request will be answered later, or by another node.
_LATER = (
    r"rate.?limit|too many (concurrent |pending )?(requests|calls|connections)|daily request|request count exceeded|compute units|capacity|"
    r"throttl|quota|(monthly|daily|hourly|usage|plan|account)( \w+)? limit|unable to rent|credits|per (second|minute|hour|day)\b|\brps\b|(try|retry) (again|later|after|in \d)|try in |slow(ing)? down|"
    r"(no|any|all) (\w+ )*(backend|upstream|node|server|provider|endpoint|peer)s?\b.{0,60}(available|healthy|unhealthy|unavailable|down|busy|fail)|"
    r"unhealthy|no healthy|overload|too busy|(is|are|currently|server|node) busy|"
    r"(temporarily|currently|service|server|node|backend|upstream) (is )?(temporarily |currently )?(unavailable|not available|down\b)|"
    r"maintenance|bad gateway|gateway time-?out|still syncing|is syncing|not (yet )?synced|starting up|warming up|please wait|"
    r"connection (reset|refused|closed)|connect error"
)
_LIMIT_OF_BLOCKS = r"block|range|span"
_SIZE = r"result|logs? (response|size)|response size|bytes|too large|entity too large|timed? ?out|timeout|limit exceeded|too wide|too big"
_HISTORY = r"header not found|missing trie node|pruned|state is not available|history|archive"
_UNKNOWN_BLOCK = r"could not be found|unknown block|block not found|not yet|beyond (the )?head|after last accepted block"
_FATAL = r"revert|unauthori[sz]ed|forbidden|invalid argument|method|api.?key|project id|access denied|not allowed|disabled"
_PAIR = r"\[\s*(0x[0-9a-f]+|\d+)\s*,\s*(0x[0-9a-f]+|\d+)\s*\]"
_NUMBER = r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?\s*([kKmM](?![\w]))?"
# What a number of a refusal counts, where it does not count blocks: sizes, times, and things in an answer or a request.
_OTHER_UNIT = (
    r"[\s-]*(%|[kmgt]i?b(it)?s?\b|[kmg]?bytes?\b|([muµn]s|s|secs?|seconds?|millis\w*|m|mins?|minutes?|h|hours?|days?)\b|"
    r"results?\b|logs?\b|events?\b|entries\b|items?\b|rows?\b|records?\b|receipts?\b|transactions?\b|topics?\b|address(es)?\b|filters?\b|"
    r"calls?\b|requests?\b|reqs?\b|credits?\b|cus?\b|compute\b|per\b|/)"
)


def _says(pattern: str, message: str) -> re.Match[str] | None:
    return re.search(pattern, message, re.I)


def width(asked: Range) -> int:
    """The number of blocks of a range."""
    return asked[1] - asked[0] + 1


def classify(asked: Range, code: int | None, status: int | None, message: str) -> NextStep:
    """What to do after the refusal of the range `asked`, from the provider's message, JSON-RPC code and HTTP status."""
    if status == 429 or code == 429 or (status not in (502, 504) and _says(_LATER, message)):
        return NextStep(Action.BACKOFF)
    if _says(_UNKNOWN_BLOCK, message):
        return NextStep(Action.CLAMP_HEAD)
    if _says(_HISTORY, message):
        return NextStep(Action.ARCHIVE)
    refused_for_size = status in (413, 502, 504) or bool(_says(_SIZE, message) or _says(_LIMIT_OF_BLOCKS, message))
    if not refused_for_size:
        return NextStep(Action.FATAL) if status in (401, 403) or _says(_FATAL, message) else NextStep(Action.HALVE, known=False)
    if width(asked) == 1:
        return NextStep(Action.RECEIPTS)
    if pair := _says(_PAIR, message):
        span = width((int(pair[1], 0), int(pair[2], 0)))
        if 0 < span < width(asked):
            return NextStep(Action.SPLIT_RANGE, span)
    named = _span(message)
    # A limit as wide as the refused request would loop: halve instead.
    return NextStep(Action.SPLIT_SPAN, named) if named is not None and named < width(asked) else NextStep(Action.HALVE)


def _span(message: str) -> int | None:
    """The width that a text about blocks names: the smallest number that has no unit, or blocks as its unit."""
    if not _says(_LIMIT_OF_BLOCKS, message):
        return None
    found = []
    for number in re.finditer(_NUMBER, message):
        scale = {"": 1, "k": 1_000, "m": 1_000_000}[(number[3] or "").lower()]
        value = int(Decimal(number[1].replace(",", "") + (number[2] or "")) * scale)
        if value > 0 and not re.match(_OTHER_UNIT, message[number.end() :], re.I):
            found.append(value)
    return min(found, default=None)


def pieces(asked: Range, step: NextStep) -> list[Range]:
    """The ranges to ask for instead. They cover `asked` without overlap, each narrower than it. ValueError for a single block."""
    first, last = asked
    if width(asked) == 1:
        raise ValueError(f"block {first} cannot be split")
    span = step.span if step.span is not None else (width(asked) + 1) // 2
    return [(start, min(start + span - 1, last)) for start in range(first, last + 1, span)]
