"""Every refusal of the catalogue is understood, and what is asked for instead covers what was refused."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.ingest.node.refusals import Action, NextStep, classify, pieces, width
from tests.conftest import LAB

CASES = json.loads((LAB / "rpc-errors.json").read_text())["cases"]
SPLITTING = (Action.SPLIT_RANGE, Action.SPLIT_SPAN, Action.HALVE)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_the_catalogue(case: dict[str, Any]) -> None:
    asked = tuple(case["request"])
    found = classify(asked, case["code"], case["http_status"], case["message"])
    assert found.action.value in case["accept"], case["message"]
    if found.action in SPLITTING:
        parts = pieces(asked, found)
        assert parts[0][0] == asked[0]
        assert parts[-1][1] == asked[1]
        assert all(b[0] == a[1] + 1 for a, b in itertools.pairwise(parts))
        limit = case["max_span"] if found.action is Action.SPLIT_SPAN else None
        if case["suggested_range"] and found.action is Action.SPLIT_RANGE:
            limit = width(tuple(case["suggested_range"]))
        assert all(width(part) < width(asked) for part in parts)
        assert limit is None or max(map(width, parts)) == limit


@pytest.mark.parametrize(
    ("message", "span"),
    [
        ("requested too many blocks: 1000000, maximum is set to 2048", 2048),
        ("block range too large: maximum range is 2K blocks", 2000),
        ("eth_getLogs range of 1,000,000 blocks exceeds the limit of 3,500 blocks", 3500),
        ("Block range limit exceeded. max 499 blocks", 499),
    ],
)
def test_widths_in_other_words(message: str, span: int) -> None:
    assert classify((100_000, 1_099_999), -32000, None, message) == NextStep(Action.SPLIT_SPAN, span)


def test_words_never_met_halve_and_say_so() -> None:
    assert classify((1, 10), -32000, None, "the moon is in the wrong house") == NextStep(Action.HALVE, None, known=False)


@pytest.mark.property
@given(st.integers(0, 10**8), st.integers(2, 10**6), st.one_of(st.none(), st.integers(1, 10**6)))
def test_pieces_cover_the_range_and_are_narrower(first: int, blocks: int, span: int | None) -> None:
    asked = (first, first + blocks - 1)
    span = None if span is None or span >= blocks else max(span, blocks // 500 + 1)
    parts = pieces(asked, NextStep(Action.HALVE if span is None else Action.SPLIT_SPAN, span))
    assert [n for part in parts for n in (part[0], part[1] + 1)][1:-1:2] == [part[0] for part in parts[1:]]
    assert (parts[0][0], parts[-1][1]) == asked
    assert all(1 <= width(part) < blocks for part in parts)


def test_a_single_block_is_never_split() -> None:
    with pytest.raises(ValueError, match="cannot be split"):
        pieces((5, 5), NextStep(Action.HALVE))


@pytest.mark.parametrize(
    "message",
    [
        "slow down, you are sending too many requests",
        "Please slow down",
        "no backend is currently healthy to serve traffic",
        "no backends available for method",
        "no healthy upstream",
        "all upstreams are unavailable",
        "Service temporarily unavailable, block range not served",
        "service unavailable",
        "The server is overloaded: limit exceeded",
        "server is busy",
        "Too many requests, limit your block range requests",
        "try again later",
        "request timed out, please try again later",
        "retry in 10 seconds",
        "you have reached your monthly limit exceeded",
        "Exceeded the plan's capacity limit",
        "limit of 25 requests per second for blocks",
        "node is still syncing",
        "down for maintenance",
    ],
)
def test_words_of_rate_or_availability_wait_and_never_split(message: str) -> None:
    assert classify((1, 10_000), -32000, None, message).action is Action.BACKOFF


@pytest.mark.parametrize(
    ("message", "span"),
    [
        ("block range exceeds the response limit of 150 MB", None),
        ("block range exceeds the response limit of 150MB", None),
        ("query of the block range took more than 10 seconds", None),
        ("block range query exceeded 30s", None),
        ("block range: execution exceeded 5000ms", None),
        ("block range too large: the answer has 1.5 GB", None),
        ("block range too large, 50 addresses are the most", None),
        ("block range has more than 10,000 events", None),
        ("block range limited to 2000 blocks or 10 seconds or 150 MB", 2000),
        ("maximum block range is 3k, maximum size 100 MiB", 3000),
        ("30 s exceeded; use a range of at most 500 blocks", 500),
    ],
)
def test_a_number_with_a_unit_that_is_not_blocks_is_no_width(message: str, span: int | None) -> None:
    expected = NextStep(Action.HALVE) if span is None else NextStep(Action.SPLIT_SPAN, span)
    assert classify((1, 10_000), -32000, None, message) == expected
