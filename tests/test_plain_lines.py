"""Logs written alike: which lines are cut at their commas, and which are left to the parser."""

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from perpcomp.ingest import plain_lines
from perpcomp.ingest.raw_frame import TEXTS
from tests.test_log_file import CHANGED, LINES

ROWS = [json.loads(line) for line in LINES]


def of(rows: list[dict[str, Any]], separators: tuple[str, str] = (",", ":")) -> bytes:
    return "".join(json.dumps(row, separators=separators) + "\n" for row in rows).encode()


def expected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What Python's own parser reads."""
    absent = (None, "0x", "0x", None)
    topics = [{f"topic{n}": row["topics"][n] if len(row["topics"]) > n else absent[n] for n in range(4)} for row in rows]
    texts = [{ours: row.get(theirs) for theirs, ours in TEXTS.items()} for row in rows]
    return [{"row": n, **texts[n], **topics[n], "topics": len(row["topics"]), "removed": False} for n, row in enumerate(rows)]


def table(lines: bytes) -> list[dict[str, Any]]:
    found = plain_lines.table(lines)
    assert found is not None
    return found.rows(named=True)


def without(key: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != key} for row in ROWS]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=repr)
@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        ROWS[CHANGED:],
        [row for row in ROWS if len(row["topics"]) == 3],
        [{**row, "topics": (row["topics"] * 4)[: 1 + n % 4]} for n, row in enumerate(ROWS)],
        without("removed"),
        without("blockTimestamp"),
        [{**row, "blockTimestamp": None} for row in ROWS],
        [dict(reversed(row.items())) for row in ROWS],
        [{"topics": row["topics"], **row} for row in ROWS],
        [{name: row[name] for name in sorted(row, key="topics".__eq__)} for row in ROWS],
        [{"more": [1, {"a": None}], **row, "other": "text"} for row in ROWS],
        [{"at": hex(n), **row, "type": "mined", "transactionLogIndex": hex(n % 7)} for n, row in enumerate(ROWS)],
    ],
    ids=["recorded", "three topics first", "three topics", "one to four", "no removed", "no time", "null time", "reversed", "topics first",
         "topics last", "more keys", "more numbers"],
)  # fmt: skip
def test_lines_written_alike_are_what_a_parser_reads(rows: list[dict[str, Any]], separators: tuple[str, str]) -> None:
    assert table(of(rows, separators)) == expected(rows)
    assert table(of(rows, separators).replace(b"\n", b"\r\n")) == expected(rows)


def test_every_topic_of_a_log_may_repeat_its_other_values() -> None:
    rows = [{**row, "data": row["topics"][0], "topics": [row["topics"][0]] * 3} for row in ROWS]
    assert table(of(rows)) == expected(rows)


def changed(change: Callable[[dict[str, Any]], dict[str, Any]], at: int) -> bytes:
    return of([change(row) if n == at else row for n, row in enumerate(ROWS)])


@pytest.mark.parametrize("at", [0, 1, len(ROWS) - 1])
@pytest.mark.parametrize(
    "change",
    [
        lambda row: {**row, "removed": True},
        lambda row: {**row, "topics": []},
        lambda row: {**row, "topics": row["topics"][:1] * 5},
        lambda row: {**row, "data": 5},
        lambda row: {**row, "data": None},
        lambda row: {**row, "data": "0x,"},
        lambda row: {**row, "more": "0x"},
        lambda row: dict(reversed(row.items())),
        lambda row: {("dota" if name == "data" else name): value for name, value in row.items()},
        lambda row: {name: value for name, value in row.items() if name != "removed"},
    ],
    ids=["removed", "no topic", "five", "number", "null", "comma", "more", "order", "key", "less"],
)
def test_a_line_written_otherwise_is_left_to_the_parser(change: Callable[[dict[str, Any]], dict[str, Any]], at: int) -> None:
    assert plain_lines.table(changed(change, at)) is None


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        (b'"data":', b'"data":"0x","data":'),
        (b'"data":', b'"d\\u0061ta":"0x","data":'),
        (b'"data":', b'"nested":{"data":"0x"},"data":'),
        (b'"removed":false', b'"removed":false,"removed":false'),
        (b'"data":', b'"data" :'),
        (b"{", b" {"),
        (b"}", b"} "),
    ],
)
def test_a_key_that_stands_twice_or_in_disguise_is_left_to_the_parser(text: bytes, becomes: bytes) -> None:
    """In one line; and in every line alike, where only blanks change nothing."""
    lines = of(ROWS)
    once = lines.replace(text, becomes, 1)
    assert once != lines
    assert plain_lines.table(once) is None
    blanks = becomes.replace(b" ", b"") == text
    assert (plain_lines.table(lines.replace(text, becomes)) is None) == (not blanks)


def test_a_value_that_nobody_reads_is_looked_at_too() -> None:
    lines = of([{**row, "at": hex(n)} for n, row in enumerate(ROWS)])
    assert plain_lines.table(lines) is not None
    assert plain_lines.table(lines.replace(b'"at":"0x3"', b'"at":"0x3""0x3"', 1)) is None, "no JSON"


@pytest.mark.parametrize("lines", [b"\n", b"\n" + of(ROWS), of(ROWS) + b"\n", of(ROWS[:5]) + b" \n" + of(ROWS), of(ROWS)[:-1], b"{}\n", b"[]\n", b"\xff\n",
                                   b"\xef\xbb\xbf" + of(ROWS), of(ROWS[:5]) + b"\xef\xbb\xbf" + of(ROWS), of(ROWS).replace(b"0x", b"\xff", 1)])  # fmt: skip
def test_lines_of_another_kind_are_left_to_the_parser(lines: bytes) -> None:
    assert plain_lines.table(lines) is None


def test_a_cell_without_value_between_its_quotes_is_no_hex() -> None:
    """Where the text before a value and the text behind it share a quote, the caller's check of the value refuses it."""
    found = plain_lines.table(of(ROWS) + of(ROWS[:1]).replace(f'"data":"{ROWS[0]["data"]}"'.encode(), b'"data":"'))
    assert found is not None
    assert found.filter(~pl.col("data").str.contains(plain_lines.HEX))["row"].to_list() == [len(ROWS)]
