"""Raw logs: what is read from a file, and how a bad line is named."""

import gzip
import json
import re
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.ingest import json_lines, plain_lines
from perpcomp.ingest.log_file import log_pieces
from perpcomp.ingest.raw_frame import RAW_SCHEMA
from perpcomp.input import Input, read_events
from perpcomp.systems.perpetual_v1.events import OLD_LAYOUTS, POSITION_CHANGED, RESERVE_SNAPSHOTTED, TOPICS
from tests.raw_logs import read_logs

REHEARSAL = incident_file.load("rehearsal")
HOUSE = REHEARSAL.chain.clearing_house
ADDRESSES = [HOUSE, *(m.amm for m in REHEARSAL.markets)]
FILE = REHEARSAL.folder / "rehearsal" / "logs.jsonl.gz"
RECORDED = gzip.decompress(FILE.read_bytes()).decode().splitlines()
WANTED = [line for line in RECORDED if (row := json.loads(line))["topics"][0] in TOPICS and row["address"] in ADDRESSES]
LINES = WANTED[:40]
CHANGED = next(n for n, line in enumerate(LINES) if json.loads(line)["topics"][0] == POSITION_CHANGED.topic0)


def read(path: Path, blocks: Path | None = None) -> pl.DataFrame:
    return read_logs(path, ADDRESSES, TOPICS, OLD_LAYOUTS, blocks)


def written(folder: Path, lines: list[str], name: str = "logs.jsonl") -> Path:
    path = folder / name
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def with_line(n: int, change: Callable[[dict[str, Any]], Any]) -> list[str]:
    """LINES with row n (from 1) changed: `change` edits the object in place or returns what to write instead."""
    row = json.loads(LINES[n - 1])
    instead = change(row)
    return [*LINES[: n - 1], instead if isinstance(instead, str) else json.dumps(row), *LINES[n:]]


def setting(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.update(fields)


def refused(path: Path, blocks: Path | None = None) -> list[str]:
    """What is said, a line a problem; the exit code is 2 and each says what to do."""
    with pytest.raises(InputError) as caught:
        read(path, blocks)
    assert caught.value.exit_code == 2
    assert all(problem.what_to_do for problem in caught.value.problems)
    return str(caught.value).splitlines()


def rows_named(said: list[str]) -> list[str]:
    """The place that each line begins with."""
    return [m[0] if (m := re.match(r"\S+ row \d+", line)) else line for line in said]


def without_row(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop("row")


# What is read


@pytest.mark.parametrize("name", ["logs.jsonl", "logs.jsonl.gz"])
def test_every_row_is_read_unchanged(tmp_path: Path, name: str) -> None:
    raw = read(written(tmp_path, LINES, name))
    assert dict(raw.schema) == RAW_SCHEMA
    assert raw.height == len(LINES)
    by_row = {line["row"]: line for line in raw.iter_rows(named=True)}
    for number, line in enumerate(LINES, 1):
        log, row = json.loads(line), by_row[number]
        assert log["address"] == row["address"]
        assert log["topics"][0] == row["topic0"]
        assert len(log["topics"]) == row["topics"]
        for n in (1, 2):
            topic = log["topics"][n] if len(log["topics"]) > n else "0x"
            assert bytes.fromhex(topic[2:]) == row[f"topic{n}"]
        assert bytes.fromhex(log["data"][2:]) == row["data"]
        assert log["blockHash"] == row["block_hash"]
        assert log["transactionHash"] == row["transaction_hash"]
        for theirs, ours in (("blockNumber", "block_number"), ("transactionIndex", "transaction_index"), ("logIndex", "log_index")):
            assert int(log[theirs], 16) == row[ours]
        assert datetime.fromtimestamp(int(log["blockTimestamp"], 16), UTC) == row["block_time"]


def test_the_whole_recording_keeps_what_is_wanted() -> None:
    assert len(WANTED) == read(FILE).height
    assert set(read(FILE)["topic0"]) <= TOPICS


def test_rows_of_other_contracts_and_topics_are_passed_over(tmp_path: Path) -> None:
    foreign = with_line(2, setting(address="0x" + "12" * 20))
    other = with_line(3, lambda row: row["topics"].__setitem__(0, "0x" + "34" * 32))
    assert len(LINES) - 1 == read(written(tmp_path, foreign)).height
    assert len(LINES) - 1 == read(written(tmp_path, other)).height


def test_rows_in_any_order_give_the_same_frame(tmp_path: Path) -> None:
    """But for the row numbers, which say where to look."""
    there, back = read(written(tmp_path, LINES)), read(written(tmp_path, LINES[::-1], "back.jsonl"))
    assert without_row(there).equals(without_row(back))
    assert [len(LINES) + 1 - row for row in there["row"]] == back["row"].to_list()


@pytest.mark.parametrize(
    "data",
    [
        "\n".join(LINES),
        "\r\n".join(LINES) + "\r\n",
        "\n".join(LINES) + "\n\n\n",
        "\n".join(LINES) + "\n \r\n",
    ],
    ids=["no last line end", "CRLF", "empty lines behind", "blank lines behind"],
)
def test_line_ends_do_not_matter(tmp_path: Path, data: str) -> None:
    path = tmp_path / "logs.jsonl"
    path.write_bytes(data.encode())
    assert read(path).equals(read(written(tmp_path, LINES, "plain.jsonl")))


def test_fields_that_nodes_add_are_ignored(tmp_path: Path) -> None:
    added = [json.dumps({**json.loads(line), "l1Fee": "0x0", "nested": {"a": [1, None]}}) for line in LINES]
    assert read(written(tmp_path, added)).equals(read(written(tmp_path, LINES, "plain.jsonl")))


def test_the_removed_field_may_be_absent(tmp_path: Path) -> None:
    bare = [json.dumps({k: v for k, v in json.loads(line).items() if k != "removed"}) for line in LINES]
    assert read(written(tmp_path, bare)).equals(read(written(tmp_path, LINES, "plain.jsonl")))


def test_hex_may_be_written_in_mixed_case(tmp_path: Path) -> None:
    def upper(value: Any) -> Any:
        if isinstance(value, str):
            return "0x" + value[2:].upper()
        return [upper(v) for v in value] if isinstance(value, list) else value

    loud = [json.dumps({key: upper(value) for key, value in json.loads(line).items()}) for line in LINES]
    assert loud != LINES
    assert read(written(tmp_path, loud)).equals(read(written(tmp_path, LINES, "plain.jsonl")))


@pytest.mark.parametrize("size", [1, 7, 100, 1000, 4096])
@pytest.mark.parametrize("name", ["logs.jsonl", "logs.jsonl.gz"])
def test_where_the_file_is_cut_into_pieces_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int) -> None:
    path = written(tmp_path, LINES, name)
    whole = read(path)
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", size)
    assert read(path).equals(whole)


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
@pytest.mark.parametrize(("end", "kept"), [(b"", b""), (b"the last", b"the last\n"), (b"\n \n", b"\n \n"), (b" \t", b"")])
def test_a_piece_is_whole_lines_and_begins_at_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, end: bytes, kept: bytes
) -> None:
    lines = b"".join(b"%d%s\n" % (n, b"x" * (n % 13)) for n in range(1, 200))
    (tmp_path / "lines").write_bytes(lines + end)
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", size)
    pieces = [*json_lines.chunks(tmp_path / "lines")]
    assert b"".join(chunk for _, chunk in pieces) == lines + kept
    assert all(chunk.endswith(b"\n") for _, chunk in pieces)
    text = lines.split(b"\n")
    assert all(chunk.split(b"\n")[0] == text[number - 1] for number, chunk in pieces if number < 200)


@pytest.mark.parametrize("size", [1, 100, 1000, 4096])
@pytest.mark.parametrize(
    ("change", "said"), [(lambda row: "{", ": The line is not a row of eth_getLogs"), (setting(data="0xzz"), ': data is "0xzz"')]
)
def test_the_row_is_named_right_in_every_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", size)
    for row in (1, 20, len(LINES)):
        assert f"logs.jsonl row {row}{said}" in refused(written(tmp_path, with_line(row, change)))[0]


def test_an_empty_file_is_no_rows_and_the_run_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, [])
    assert read(path).is_empty()
    assert dict(read(path).schema) == RAW_SCHEMA
    with pytest.raises(
        InputError, match=rf"logs\.jsonl: The input holds no PositionChanged of the ClearingHouse {HOUSE}\. Is it the right file"
    ):
        read_events(Input(path, None), REHEARSAL)


# What is refused


@pytest.mark.parametrize(
    "key", ["address", "topics", "data", "blockHash", "blockNumber", "transactionHash", "transactionIndex", "logIndex"]
)
def test_a_missing_field_is_named(tmp_path: Path, key: str) -> None:
    said = refused(written(tmp_path, with_line(4, lambda row: row.pop(key) and None)))
    assert [f"logs.jsonl row 4: The line is not a row of eth_getLogs (Object missing required field `{key}`)."] == [
        s.split(" Each line must")[0] for s in said
    ]


@pytest.mark.parametrize(
    "instead",
    [
        LINES[3][:-1],
        LINES[3][:60],
        "{",
        "[]",
        "null",
        "5",
        '"text"',
        f"[{LINES[3]}]",
        LINES[3] + "}",
        "NaN",
        "<html>",
        "\x00",
        "\ufeff" + LINES[3],
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, instead: str) -> None:
    said = refused(written(tmp_path, with_line(4, lambda row: instead)))
    assert len(said) == 1
    assert said[0].startswith("logs.jsonl row 4: The line is not a row of eth_getLogs (")
    assert said[0].endswith("Each line must be one JSON object, as the node returned it.")


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, LINES)
    path.write_bytes(path.read_bytes().replace(b'"0x', b'"\xff\xfe', 1))
    assert "logs.jsonl row 1: The line is not a row of eth_getLogs" in refused(path)[0]


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    deep = with_line(4, lambda row: json.dumps(row)[:-1] + ', "extra": ' + "[" * 100_000 + "]" * 100_000 + "}")
    assert "logs.jsonl row 4: The line is not a row of eth_getLogs" in refused(written(tmp_path, deep))[0]


@pytest.mark.parametrize("key", ["address", "data", "blockHash", "blockNumber", "blockTimestamp", "transactionIndex", "logIndex"])
@pytest.mark.parametrize("value", [5, 5.5, True, ["0x5"], {}])
def test_a_value_that_is_no_text_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    said = refused(written(tmp_path, with_line(4, setting(**{key: value}))))
    assert said[0].startswith("logs.jsonl row 4: The line is not a row of eth_getLogs (Expected `str")
    assert f"$.{key}" in said[0]


@pytest.mark.parametrize(
    ("key", "column", "values"),
    [
        ("data", "data", ["0xzz", "0x0", "00", "", "0X00", "0x 00", "0x00\n", "0x１１", "\\x00"]),
        ("blockNumber", "block_number", ["0x", "5", "0xg", "-0x5", "0x-5", "0x 5", "0x" + "f" * 13, "0x10000000000", "0x５"]),
        ("blockTimestamp", "block_time", ["", "0x", "5", "1613861100", "0x6031x", "0x" + "f" * 9, "0x" + "1" + "0" * 8, "0x" + "f" * 11]),
        ("logIndex", "log_index", ["0x", "1", "0x100000", "0x" + "f" * 20]),
        ("transactionIndex", "transaction_index", ["0x", "1"]),
        ("blockHash", "block_hash", ["0x", "0x12", "ab" * 32, "0x" + "g" * 64, "0x" + "a" * 65]),
        ("transactionHash", "transaction_hash", ["0x12", "ab" * 32, "0x" + "a" * 63]),
    ],
)
def test_text_that_is_no_hex_of_its_length_is_refused(tmp_path: Path, key: str, column: str, values: list[str]) -> None:
    for value in values:
        said = "\n".join(refused(written(tmp_path, with_line(4, setting(**{key: value})))))
        assert said.startswith(f'logs.jsonl row 4: {column} is "{value}", which is not 0x and hex digits of the right length.'), value


@pytest.mark.parametrize("topic", ["0x", "0x12", "ab" * 32, "0x" + "0" * 63, "0x" + "g" * 64])
def test_a_topic_that_is_no_word_is_refused(tmp_path: Path, topic: str) -> None:
    def spoil(row: dict[str, Any]) -> None:
        row["topics"][1] = topic

    if topic == "0x":  # as an absent one: it is the decoder that misses it
        raw = read(written(tmp_path, with_line(CHANGED + 1, spoil)))
        assert raw.filter(pl.col("row") == CHANGED + 1)["topic1"].item() == b""
    else:
        assert f'logs.jsonl row {CHANGED + 1}: topic1 is "{topic}"' in refused(written(tmp_path, with_line(CHANGED + 1, spoil)))[0]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_wrong_number_of_topics_is_refused_by_the_decoder(tmp_path: Path, count: int) -> None:
    """The row is named with its file."""

    def spoil(row: dict[str, Any]) -> None:
        row["topics"] = (row["topics"] * 2)[:count]

    path = written(tmp_path, with_line(CHANGED + 1, spoil))
    with pytest.raises(InputError, match=rf"logs\.jsonl row {CHANGED + 1} \(tx 0x[0-9a-f]{{64}} log \d+\)"):
        read_events(Input(path, None), REHEARSAL)


# What decides whether a row is wanted


FOREIGN, OTHER = "0x" + "12" * 20, "0x" + "34" * 32
ROWS: dict[str, dict[str, Any]] = {
    "wanted": {},
    "another contract": {"address": FOREIGN},
    "another event": {"topics": [OTHER]},
    "another contract's other event": {"address": FOREIGN, "topics": [OTHER, OTHER]},
}
DAMAGES: dict[str, Callable[[str], str]] = {
    "no 0x": lambda v: v[2:],
    "0X": lambda v: "0X" + v[2:],
    "a digit less": lambda v: v[:-1],
    "a digit more": lambda v: v + "0",
    "a byte less": lambda v: v[:-2],
    "a blank behind": lambda v: v + " ",
    "a blank before": lambda v: " " + v,
    "a blank for a digit": lambda v: v[:9] + " " + v[10:],
    "a line end behind": lambda v: v + "\n",
    "no hex digit": lambda v: v[:-1] + "g",
    "a digit of another script": lambda v: v[:-1] + "１",
    "only 0x": lambda v: "0x",
    "empty": lambda v: "",
}


@pytest.mark.parametrize("fields", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("key", ["address", "topic"])
def test_a_damaged_address_or_topic_is_refused_in_any_row(
    tmp_path: Path, fields: dict[str, Any], damage: Callable[[str], str], key: str
) -> None:
    """Wanted or not: a row that is passed over for one lost digit would be a victim dropped without a word."""

    def spoil(row: dict[str, Any]) -> None:
        row.update(fields)
        if key == "address":
            row["address"] = damage(row["address"])
        else:
            row["topics"] = [damage(row["topics"][0]), *row["topics"][1:]]

    assert len(LINES) - bool(fields) == read(written(tmp_path, with_line(4, setting(**fields)))).height, "undamaged it is read"
    said = refused(written(tmp_path, with_line(4, spoil)))
    assert rows_named(said[:1]) == ["logs.jsonl row 4"]
    assert f"{key} is" in said[0]
    assert said[-1].endswith(
        f"which is not 0x and {40 if key == 'address' else 64} hex digits. Export the row again, as the node returned it."
    )


@pytest.mark.parametrize("size", [1, 1000, 4 * 2**20])
@pytest.mark.parametrize("fields", [ROWS["wanted"], ROWS["another contract's other event"]], ids=["wanted", "not wanted"])
def test_a_damaged_row_is_named_at_every_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], size: int
) -> None:
    """Address and topic in turn. Where each row is a piece of its own, the first, the last and their neighbours stand for the others."""
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", size)
    last = len(LINES)
    for row in (1, 2, 3, last - 1, last) if size == 1 else range(1, last + 1):
        damaged: dict[str, Any] = {"address": FOREIGN[:-1]} if row % 2 else {"topics": [OTHER[:-1]]}
        said = refused(written(tmp_path, with_line(row, setting(**fields | damaged))))
        assert rows_named(said) == [f"logs.jsonl row {row}"]


def test_a_damaged_value_is_shown_cut(tmp_path: Path) -> None:
    said = refused(written(tmp_path, with_line(4, setting(address="0x" + "a" * 1000))))
    assert '"0x' + "a" * 78 + '"' in said[0]


@pytest.mark.parametrize("address", [HOUSE, ADDRESSES[1], "0x" + HOUSE[2:].upper()], ids=["house", "market", "upper case"])
def test_a_row_without_topics_of_a_wanted_contract_is_refused(tmp_path: Path, address: str) -> None:
    said = refused(written(tmp_path, with_line(4, setting(address=address, topics=[]))))
    assert rows_named(said) == ["logs.jsonl row 4"]
    assert 'first topic is "", which is not 0x and 64 hex digits.' in said[0]


def test_a_row_without_topics_of_another_contract_is_passed_over(tmp_path: Path) -> None:
    """An anonymous event: nothing is missing in it."""
    raw = read(written(tmp_path, with_line(4, setting(address=FOREIGN, topics=[]))))
    assert [n for n in range(1, len(LINES) + 1) if n != 4] == sorted(raw["row"])


def test_the_topics_behind_the_first_decide_nothing(tmp_path: Path) -> None:
    """In a row that is passed over they may be anything."""
    raw = read(written(tmp_path, with_line(4, setting(topics=[OTHER, "0x12", "nothing"]))))
    assert len(LINES) - 1 == raw.height


@pytest.mark.parametrize("key", ["blockTimestamp"])
def test_a_time_has_at_most_8_significant_digits(tmp_path: Path, key: str) -> None:
    def at(value: str) -> Path:
        return written(tmp_path, [json.dumps({**json.loads(LINES[0]), key: value})])

    assert [datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC)] == read(at("0xffffffff"))["block_time"].to_list()
    assert [datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)] == read(at("0x" + "0" * 60 + "5"))["block_time"].to_list()
    for value in ("0x100000000", "0x0100000000", "0x" + "0" * 60 + "100000000"):
        assert f'block_time is "{value}"' in refused(at(value))[0]


# One line, one row


BLANKS = ["", " ", "\t", "\r", " \r"]


@pytest.mark.parametrize("size", [1, 100, 1000, 4 * 2**20])
@pytest.mark.parametrize("blank", BLANKS, ids=repr)
@pytest.mark.parametrize("name", ["logs.jsonl", "logs.jsonl.gz"])
def test_blank_lines_shift_no_row_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, blank: str, size: int) -> None:
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", size)
    gapped = [blank, blank, *LINES[:5], blank, *LINES[5:20], blank, blank, blank, *LINES[20:], blank]
    raw = read(written(tmp_path, gapped, name))
    assert without_row(raw).equals(without_row(read(written(tmp_path, LINES, "plain.jsonl"))))
    assert [n for n, line in enumerate(gapped, 1) if line.strip()] == sorted(raw["row"])
    for row in raw.iter_rows(named=True):
        assert int(json.loads(gapped[row["row"] - 1])["logIndex"], 16) == row["log_index"]


@pytest.mark.parametrize("size", [1, 1000, 4 * 2**20])
@pytest.mark.parametrize(
    "change",
    [
        lambda row: "{",
        setting(data="0xzz"),
        setting(address=FOREIGN[:-1]),
        setting(topics=[]),
        setting(removed=True),
        setting(blockTimestamp=None),
    ],
    ids=["no row", "data", "address", "topics", "removed", "time"],
)
def test_a_bad_row_behind_blank_lines_is_named_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], Any], size: int
) -> None:
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", size)
    bad = with_line(9, change)
    gapped = ["", *bad[:3], "", " ", *bad[3:]]  # line 9 of the 40 is line 12 of these
    assert gapped[11] == bad[8]
    assert rows_named(refused(written(tmp_path, gapped))) == ["logs.jsonl row 12"]


@pytest.mark.parametrize("size", [1, 1000, 4 * 2**20])
@pytest.mark.parametrize("between", ["", " ", "\t", "\r"], ids=repr)
@pytest.mark.parametrize("row", [1, 20, len(LINES) - 1])
def test_two_rows_on_one_line_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: int, between: str, size: int) -> None:
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", size)
    joined = [*LINES[: row - 1], LINES[row - 1] + between + LINES[row], *LINES[row + 1 :]]
    said = refused(written(tmp_path, joined))
    assert len(said) == 1
    assert said[0].startswith(f"logs.jsonl row {row}: The line is not a row of eth_getLogs (")
    path = tmp_path / "open.jsonl"
    path.write_text("\n".join(joined))
    assert refused(path)[0].startswith(f"open.jsonl row {row}: The line is not a row of eth_getLogs (")


def test_a_row_over_several_lines_is_refused(tmp_path: Path) -> None:
    said = refused(written(tmp_path, with_line(4, lambda row: json.dumps(row, indent=1))))
    assert said[0].startswith("logs.jsonl row 4: The line is not a row of eth_getLogs (")


# What the whole file says


def test_a_removed_log_is_refused(tmp_path: Path) -> None:
    said = refused(written(tmp_path, with_line(4, setting(removed=True))))
    assert len(said) == 1
    assert said[0].startswith("logs.jsonl row 4")
    assert said[0].endswith("log was removed by a reorganisation (removed: true). Fetch the range again below a final block.")


def test_a_duplicate_row_is_refused_with_both_rows(tmp_path: Path) -> None:
    said = refused(written(tmp_path, [*LINES, LINES[3]]))
    row = json.loads(LINES[3])
    assert rows_named(said) == ["logs.jsonl row 4", f"logs.jsonl row {len(LINES) + 1}"]
    place = f"Log {int(row['logIndex'], 16)} of block {int(row['blockNumber'], 16)}"
    assert all(f"{place} is listed twice." in s for s in said)


def test_one_place_in_a_block_holds_one_log(tmp_path: Path) -> None:
    """Two transactions cannot share a block's log index."""
    said = refused(written(tmp_path, [*LINES, json.dumps({**json.loads(LINES[3]), "transactionHash": "0x" + "1" * 64})]))
    assert rows_named(said) == ["logs.jsonl row 4", f"logs.jsonl row {len(LINES) + 1}"]
    assert all("but these belong to different transactions: they are different logs, not duplicates." in one for one in said)


def test_a_transaction_in_two_blocks_is_refused(tmp_path: Path) -> None:
    """Also where its logs stand one behind the other in the file."""
    for n in (3, len(LINES) - 1):
        row = json.loads(LINES[n])
        later = {**row, "blockNumber": hex(int(row["blockNumber"], 16) + 10**6), "blockHash": "0x" + "2" * 64, "logIndex": "0x7"}
        later["blockTimestamp"] = hex(int(row["blockTimestamp"], 16) + 10**7)
        said = refused(written(tmp_path, [*LINES, json.dumps(later)]))
        assert len(said) == 1
        assert "The same transaction is in another block too. The rows come from two chains" in said[0]


@pytest.mark.parametrize(("key", "value"), [("blockTimestamp", "0x1"), ("blockHash", "0x" + "1" * 64)])
def test_a_block_with_two_times_or_two_hashes_is_refused(tmp_path: Path, key: str, value: str) -> None:
    number = json.loads(LINES[0])["blockNumber"]
    assert number == json.loads(LINES[1])["blockNumber"], "the first two lines must share a block"
    said = refused(written(tmp_path, with_line(2, setting(**{key: value}))))
    assert rows_named(said) == ["logs.jsonl row 1"]
    assert f"lock {int(number, 16)} has more than one timestamp or hash." in said[0]
    assert said[0].endswith(" The rows come from two chains or a reorganisation: fetch them again.")


@pytest.mark.parametrize("prefix", OLD_LAYOUTS)
def test_an_event_of_an_older_layout_is_an_error(tmp_path: Path, prefix: str) -> None:
    """Its words mean something else; passing over it would lose a victim."""
    topic = prefix + "0" * 56
    said = refused(written(tmp_path, with_line(CHANGED + 1, lambda row: row["topics"].__setitem__(0, topic))))
    assert rows_named(said) == [f"logs.jsonl row {CHANGED + 1}"]
    assert f"opic {topic} belongs to an older layout of an event" in said[0]


def test_an_older_layout_of_another_contract_is_not_ours(tmp_path: Path) -> None:
    row = {**json.loads(LINES[3]), "address": "0x" + "12" * 20, "topics": [OLD_LAYOUTS[0] + "0" * 56], "logIndex": "0xff"}
    assert len(LINES) == read(written(tmp_path, [*LINES, json.dumps(row)])).height


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data[:-20], "logs.jsonl.gz: The file cannot be read to its end (Compressed file ended"),
        (lambda data: data[: len(data) // 2], "logs.jsonl.gz: The file cannot be read to its end ("),
        (lambda data: data[:200] + bytes([data[200] ^ 255]) + data[201:], "logs.jsonl.gz: The file cannot be read to its end ("),
        (lambda data: data + b"garbage", "logs.jsonl.gz: The file cannot be read to its end ("),
        (gzip.decompress, "logs.jsonl.gz: The file cannot be read to its end (Not a gzipped file"),
    ],
    ids=["cut", "half", "altered", "garbage behind", "not gzipped"],
)
def test_a_damaged_gzip_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes], said: str) -> None:
    path = written(tmp_path, LINES, "logs.jsonl.gz")
    path.write_bytes(spoil(path.read_bytes()))
    assert refused(path)[0].startswith(said)


@pytest.mark.parametrize("name", ["nowhere.jsonl", "nowhere.jsonl.gz"])
def test_a_missing_file_is_named_without_its_path(tmp_path: Path, name: str) -> None:
    """What is said must not depend on whose machine it is."""
    said = f"{name}: The file cannot be read to its end (No such file or directory). Fetch or export it again."
    assert refused(tmp_path / name) == [said]
    assert refused(written(tmp_path, undated(LINES)), tmp_path / name) == [said]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "logs.jsonl").mkdir()
    assert refused(tmp_path / "logs.jsonl") == [
        "logs.jsonl: The file cannot be read to its end (Is a directory). Fetch or export it again."
    ]


def test_at_most_20_problems_are_listed(tmp_path: Path) -> None:
    bad = [json.dumps({**json.loads(line), "data": "0xzz", "removed": True}) for line in LINES]
    assert len(refused(written(tmp_path, bad))) == 20


# Block times


def undated(lines: list[str]) -> list[str]:
    return [json.dumps({k: v for k, v in json.loads(line).items() if k != "blockTimestamp"}) for line in lines]


def block_list(folder: Path, name: str = "blocks.jsonl") -> Path:
    times = {int(row["blockNumber"], 16): int(row["blockTimestamp"], 16) for row in map(json.loads, LINES)}
    return written(folder, [json.dumps({"number": number, "timestamp": time}) for number, time in times.items()], name)


def test_logs_without_a_time_need_a_block_list(tmp_path: Path) -> None:
    first = int(json.loads(LINES[0])["blockNumber"], 16)
    assert refused(written(tmp_path, undated(LINES))) == [
        (
            f"logs.jsonl row 1: {len(LINES)} logs have no blockTimestamp and no entry in a block list (first: block {first})."
            ' Add blocks = "blocks.jsonl.gz" to [input], a file with number and timestamp on each line.'
        )
    ]


@pytest.mark.parametrize("name", ["blocks.jsonl", "blocks.jsonl.gz"])
def test_a_block_list_dates_them(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, undated(LINES))
    assert read(path, block_list(tmp_path, name)).equals(read(written(tmp_path, LINES, "dated.jsonl")))


def test_a_null_timestamp_counts_as_missing(tmp_path: Path) -> None:
    path = written(tmp_path, with_line(4, setting(blockTimestamp=None)))
    assert "logs.jsonl row 4: 1 log has no blockTimestamp" in refused(path)[0]
    assert read(path, block_list(tmp_path)).equals(read(written(tmp_path, LINES, "dated.jsonl")))


def test_a_block_that_the_list_lacks_is_named(tmp_path: Path) -> None:
    short = block_list(tmp_path)
    short.write_text("".join(short.read_text().splitlines(keepends=True)[:-1]))
    last = int(json.loads(LINES[-1])["blockNumber"], 16)
    assert f"(first: block {last})" in refused(written(tmp_path, undated(LINES)), short)[0]


@pytest.mark.parametrize("line", ['{"number": "0x5", "timestamp": 5}', '{"number": 5}', '{"number": 5, "timestamp": 5.5}', "5"])
def test_a_bad_line_of_the_block_list_names_that_file(tmp_path: Path, line: str) -> None:
    listed = block_list(tmp_path)
    listed.write_text(listed.read_text() + line + "\n")
    number = len(listed.read_text().splitlines())
    assert f"blocks.jsonl row {number}: The line is not a row of a block list (" in refused(written(tmp_path, undated(LINES)), listed)[0]


def with_rows(listed: Path, *rows: str) -> int:
    """Adds lines to the list; the number of the last one."""
    listed.write_text(listed.read_text() + "".join(row + "\n" for row in rows))
    return len(listed.read_text().split("\n")) - 1


@pytest.mark.parametrize(("number", "time"), [(-1, 5), (2**48, 5), (5, -1), (5, 2**32), (10**30, 5), (5, 10**30)])
def test_a_block_list_holds_no_number_out_of_range(tmp_path: Path, number: int, time: int) -> None:
    listed = block_list(tmp_path)
    row = with_rows(listed, json.dumps({"number": number, "timestamp": time}))
    said = refused(written(tmp_path, undated(LINES)), listed)
    assert len(said) == 1
    assert said[0].startswith(f"blocks.jsonl row {row}: The line is not a row of a block list (")


def test_a_block_list_may_hold_what_is_not_needed(tmp_path: Path) -> None:
    """Other blocks at the ends of the range, and the same row again."""
    listed = block_list(tmp_path)
    again = listed.read_text().splitlines()[0]
    with_rows(listed, '{"number": 0, "timestamp": 0}', json.dumps({"number": 2**48 - 1, "timestamp": 2**32 - 1}), again)
    assert read(written(tmp_path, undated(LINES)), listed).equals(read(written(tmp_path, LINES, "dated.jsonl")))


@pytest.mark.parametrize("size", [1, 100, 4 * 2**20])
@pytest.mark.parametrize("step", [-1, 1, 1000])
def test_a_block_list_that_contradicts_itself_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, size: int) -> None:
    """Also where no log needs the block."""
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", size)
    listed = block_list(tmp_path)
    first = json.loads(listed.read_text().splitlines()[0])
    row = with_rows(listed, "", json.dumps({**first, "timestamp": first["timestamp"] + step}))
    said = [
        f"blocks.jsonl row {row}: Block {first['number']} has another timestamp in an earlier row. Find out which timestamp is correct."
    ]
    assert refused(written(tmp_path, undated(LINES)), listed) == said
    assert refused(written(tmp_path, [], "none.jsonl"), listed) == said


@pytest.mark.parametrize("lines", [LINES, [*undated(LINES[:-1]), LINES[-1]]], ids=["every log dated", "one log dated"])
def test_a_block_list_that_contradicts_the_logs_is_refused(tmp_path: Path, lines: list[str]) -> None:
    """A log's own time is not used against the list's in silence, nor the other way round."""
    own = json.loads(LINES[-1])
    number, time = int(own["blockNumber"], 16), int(own["blockTimestamp"], 16)
    listed = block_list(tmp_path)
    changed = [json.loads(line) for line in listed.read_text().splitlines()]
    for block in changed:
        block["timestamp"] += block["number"] == number
    listed.write_text("".join(json.dumps(block) + "\n" for block in changed))
    dated = [
        n for n, line in enumerate(map(json.loads, lines), 1) if line["blockNumber"] == own["blockNumber"] and "blockTimestamp" in line
    ]
    said = refused(written(tmp_path, lines), listed)
    assert rows_named(said) == [f"logs.jsonl row {dated[0]}"]
    assert f"timestamp is {time}, but the block list gives {time + 1} for block {number}." in said[0]


def test_a_block_list_that_agrees_with_the_logs_changes_nothing(tmp_path: Path) -> None:
    assert read(written(tmp_path, LINES), block_list(tmp_path)).equals(read(written(tmp_path, LINES, "alone.jsonl")))


def test_blank_and_joined_lines_of_a_block_list_are_treated_as_in_the_logs(tmp_path: Path) -> None:
    listed = block_list(tmp_path)
    rows = listed.read_text().splitlines()
    logs_path, dated = written(tmp_path, undated(LINES)), read(written(tmp_path, LINES, "dated.jsonl"))
    assert read(logs_path, written(tmp_path, ["", *rows, " ", ""], "gaps.jsonl")).equals(dated)
    said = refused(logs_path, written(tmp_path, ["", *rows, "", "{"], "bad.jsonl"))
    assert rows_named(said) == [f"bad.jsonl row {len(rows) + 3}"]
    said = refused(logs_path, written(tmp_path, [*rows[:-1], rows[-1] + rows[0]], "two.jsonl"))
    assert said[0].startswith(f"two.jsonl row {len(rows)}: The line is not a row of a block list (")


def test_the_recorded_topics_are_both_kinds() -> None:
    """The lines above hold logs of markets and of the ClearingHouse, with and without topics behind the first."""
    assert {POSITION_CHANGED.topic0, RESERVE_SNAPSHOTTED.topic0} <= {json.loads(line)["topics"][0] for line in LINES}


# Rows that share a place (block and log index)


def sharing_a_place(change: Callable[[dict[str, Any]], Any]) -> list[str]:
    """LINES with row 3 again at the end, changed."""
    row = json.loads(LINES[2])
    change(row)
    return [*LINES, json.dumps(row)]


def test_equal_rows_are_duplicates(tmp_path: Path) -> None:
    said = refused(written(tmp_path, sharing_a_place(lambda row: row.pop("removed", None))))
    assert len(said) == 2
    assert all(f"Remove the duplicate: rows 3 and {len(LINES) + 1} are equal in every column." in s for s in said)


def test_rows_of_different_transactions_are_no_duplicates(tmp_path: Path) -> None:
    """A gateway that counts logIndex inside each transaction: no word may lead to dropping a victim."""
    said = refused(written(tmp_path, sharing_a_place(setting(transactionHash="0x" + "77" * 32))))
    assert len(said) == 2
    assert all(f"is in rows 3 and {len(LINES) + 1}, but these belong to different transactions" in s for s in said)
    assert all("count logIndex inside each transaction" in s and "Keep all of them" in s and "emove" not in s for s in said)


@pytest.mark.parametrize("field", ["data", "address"])
def test_rows_of_one_transaction_that_differ_are_no_duplicates(tmp_path: Path, field: str) -> None:
    def change(row: dict[str, Any]) -> None:
        other = next(a for a in ADDRESSES if a != row["address"])
        row[field] = {"data": row["data"][:-1] + "7", "address": other}[field]

    said = refused(written(tmp_path, sharing_a_place(change)))
    assert len(said) == 2
    assert all("with different values: at least one of them was altered." in s and "emove" not in s for s in said)


FIELDS = [*json.loads(LINES[0])]
VALUES = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        5,
        1.5,
        "",
        "0x",
        "0x1",
        "0X1",
        "0xg",
        "true",
        "false",
        [],
        ["0x"],
        [None],
        ["0x" + "00" * 32] * 5,
        {},
        {"a": "0x1"},
    ]
)
BYTES = st.one_of(st.sampled_from([bytes([n]) for n in b'{}[]":,\\ 0xaZ\r\n\t\x00\xff']), st.binary(min_size=1, max_size=2))


@st.composite
def spoilt_lines(draw: st.DrawFn) -> bytes:
    """Some recorded lines of which some are damaged: in a field, a key or a byte."""
    lines = [draw(st.sampled_from(LINES[:8])).encode() for _ in range(draw(st.integers(1, 4)))]
    for _ in range(draw(st.integers(0, 2))):
        n = draw(st.integers(0, len(lines) - 1))
        line, field = lines[n], draw(st.sampled_from(FIELDS))
        try:
            row = dict(json.loads(line))
        except (ValueError, TypeError):  # it is damaged already
            row = {}
        match draw(st.sampled_from(["value", "topic", "absent", "extra", "twice", "byte", "more", "less", "blank", "joined", "spaces"])):
            case "value":
                lines[n] = json.dumps({**row, field: draw(VALUES)}, separators=(",", ":")).encode()
            case "topic":
                topics = json.loads(LINES[0])["topics"][: draw(st.integers(0, 4))]
                lines[n] = json.dumps({**row, "topics": [*topics, draw(VALUES)]}).encode()
            case "absent":
                lines[n] = json.dumps({name: value for name, value in row.items() if name != field}).encode()
            case "extra":
                value = draw(VALUES)
                lines = [line.replace(b"{", b'{"more":' + json.dumps(value).encode() + b",", 1) for line in lines]
            case "twice":
                lines[n] = line[:-1] + b"," + json.dumps({field: draw(VALUES)}).encode()[1:]
            case "byte":
                place = draw(st.integers(0, max(len(line) - 1, 0)))
                lines[n] = line[:place] + draw(BYTES) + line[place + 1 :]
            case "more":
                place = draw(st.integers(0, len(line)))
                lines[n] = line[:place] + draw(BYTES) + line[place:]
            case "less":
                place = draw(st.integers(0, max(len(line) - 1, 0)))
                lines[n] = line[:place] + line[place + 1 :]
            case "blank":
                lines.insert(n, draw(st.sampled_from([b"", b"  ", b"\r"])))
            case "joined":
                lines[n] = line + draw(st.sampled_from([b"", b" ", b","])) + line
            case "spaces":
                lines[n] = json.dumps(row).encode()
    return b"\n".join(lines) + b"\n"


@pytest.mark.property
@given(spoilt_lines())
def test_lines_read_at_once_give_what_lines_read_one_by_one_give(chunk: bytes) -> None:
    """The same frame, or the same findings with their rows, whatever is damaged."""

    def outcome() -> pl.DataFrame | str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "logs.jsonl"
            path.write_bytes(chunk)
            try:
                parts = [piece() for piece in log_pieces([path], ADDRESSES, TOPICS, OLD_LAYOUTS, {})]
            except InputError as error:
                return str(error)
        return pl.concat(parts)

    at_once = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_lines, "table", lambda _: None)
        one_by_one = outcome()
    if isinstance(at_once, str) or isinstance(one_by_one, str):
        assert str(at_once) == str(one_by_one)
    else:
        assert_frame_equal(at_once, one_by_one)


def test_recorded_lines_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads them one by one is only for damaged lines: it takes three times as long."""
    monkeypatch.setattr(json_lines, "rows", None)
    assert read(written(tmp_path, LINES)).height == len(LINES)
