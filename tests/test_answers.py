"""Answers to eth_getLogs: what is read at once is what is read log by log, and whatever is odd is refused in the same words."""

import gzip
import json
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.incident import incident_file
from perpcomp.ingest.node import answers
from perpcomp.ingest.node.answers import read_logs_answer, read_logs_of_receipts
from perpcomp.ingest.node.results import BadAnswer
from perpcomp.ingest.raw_frame import UNDATED, Log
from perpcomp.systems.perpetual_v1.events import POSITION_CHANGED, RESERVE_SNAPSHOTTED, TOPICS

REHEARSAL = incident_file.load("rehearsal")
ADDRESSES = frozenset({REHEARSAL.chain.clearing_house, *(market.amm for market in REHEARSAL.markets)})
RECORDED = [json.loads(line) for line in gzip.decompress((REHEARSAL.folder / "rehearsal" / "logs.jsonl.gz").read_bytes()).splitlines()]
LOGS = [log for log in RECORDED if log["address"] in ADDRESSES and log["topics"][0] in TOPICS]
EVERY = (0, 2**40)
# One with three topics, one with one, and what stands between them.
FIRST = next(n for n, log in enumerate(LOGS) if log["topics"][0] == POSITION_CHANGED.topic0)
SOME = sorted([LOGS[FIRST], *[log for log in LOGS if log["topics"][0] == RESERVE_SNAPSHOTTED.topic0][:2], LOGS[FIRST + 5]],
              key=lambda log: (int(log["blockNumber"], 16), int(log["logIndex"], 16)))  # fmt: skip

Pairs = list[tuple[str, str]]  # a log as its keys and values, each as JSON text: so a key may stand twice


def text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def pairs(log: dict[str, Any]) -> Pairs:
    return [(text(key), text(value)) for key, value in log.items()]


def answer(logs: list[Pairs]) -> bytes:
    return ("[" + ",".join("{" + ",".join(f"{key}:{value}" for key, value in log) + "}" for log in logs) + "]").encode()


def of(logs: list[dict[str, Any]]) -> bytes:
    return answer([pairs(log) for log in logs])


def at_once(raw: bytes, asked: tuple[int, int] = EVERY) -> pl.DataFrame | None:
    try:
        logs = msgspec.json.decode(raw, type=list[Log])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return answers.at_once(logs, len(raw), asked, ADDRESSES, TOPICS)


def slowly(raw: bytes, asked: tuple[int, int] = EVERY) -> pl.DataFrame | str:
    """The rows, or the words of the refusal, by the path that looks at one log after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "at_once", lambda *_: None)
        try:
            return read_logs_answer(raw, asked, ADDRESSES, TOPICS).drop("row")
        except BadAnswer as fault:
            return str(fault)


def same(raw: bytes, asked: tuple[int, int] = EVERY) -> bool:
    """Whether the answer was read at once; both ways must come to the same."""
    quick = at_once(raw, asked)
    try:
        read: pl.DataFrame | str = read_logs_answer(raw, asked, ADDRESSES, TOPICS).drop("row")
    except BadAnswer as fault:
        read = str(fault)
    expected = slowly(raw, asked)
    if isinstance(read, str) or isinstance(expected, str):
        assert read == expected
        assert quick is None
    else:
        assert dict(read.schema) == dict(expected.schema)
        assert read.equals(expected)
    if quick is not None:
        assert quick.drop("row").rows() == plainly(raw), "by nothing but Python's own parser"
    return quick is not None


def plainly(raw: bytes) -> list[tuple[Any, ...]]:
    """The rows by json and int and bytes.fromhex; an AssertionError where a key is missing, unknown or duplicate."""

    def once(found: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in found]
        assert len(set(keys)) == len(keys)
        assert set(keys) | {"blockTimestamp", "removed"} == {*LOGS[0], "blockTimestamp", "removed"}
        return dict(found)

    rows = []
    for log in json.loads(raw, object_pairs_hook=once):
        assert log.get("removed", False) is False
        topic0, *indexed = log["topics"]
        one, two = [bytes.fromhex(topic.removeprefix("0x")) for topic in [*indexed, "", ""][:2]]
        data = bytes.fromhex(log["data"].removeprefix("0x"))
        time = int(log["blockTimestamp"], 16) if "blockTimestamp" in log else None
        place = (int(log["blockNumber"], 16), time, log["blockHash"], log["transactionHash"])
        rows.append(
            (log["address"], topic0, one, two, 1 + len(indexed), data, *place, int(log["transactionIndex"], 16), int(log["logIndex"], 16))
        )
    return rows


# What is read


def test_the_whole_recording_is_read_at_once() -> None:
    raw = of(LOGS)
    assert same(raw)
    read = read_logs_answer(raw, EVERY, ADDRESSES, TOPICS)
    assert dict(read.schema) == UNDATED
    assert read.height == len(LOGS)


def test_no_logs_are_no_rows() -> None:
    assert read_logs_answer(b"[]", EVERY, ADDRESSES, TOPICS).is_empty()
    assert dict(read_logs_answer(b"[]", EVERY, ADDRESSES, TOPICS).schema) == UNDATED


@pytest.mark.parametrize("without", [{"removed"}, {"blockTimestamp"}, {"removed", "blockTimestamp"}])
def test_what_a_node_may_leave_out(without: set[str]) -> None:
    """In every log, or in some."""
    bare = [{key: value for key, value in log.items() if key not in without} for log in SOME]
    assert same(of(bare))
    assert same(of([*bare[:2], *SOME[2:]]))


@given(st.permutations(list(SOME[0])), st.permutations(list(SOME[1])))
def test_keys_may_stand_in_any_order(one: list[str], other: list[str]) -> None:
    logs = [{key: log[key] for key in order} for log, order in zip(SOME, [one, other, one, one], strict=True)]
    assert same(of(logs))


@pytest.mark.parametrize("raw", [of(SOME).replace(b",", b", "), b" " + of(SOME), of(SOME) + b"\n", json.dumps(SOME, indent=1).encode()])
def test_blanks_are_read_slowly(raw: bytes) -> None:
    assert not same(raw)
    assert read_logs_answer(raw, EVERY, ADDRESSES, TOPICS).height == len(SOME)


def test_fields_that_a_node_adds_are_read_slowly() -> None:
    raw = of([{**log, "logType": "mined", "nested": {"a": [1, None]}} for log in SOME])
    assert not same(raw)
    assert read_logs_answer(raw, EVERY, ADDRESSES, TOPICS).height == len(SOME)


def test_upper_case_is_read_slowly_and_made_lower() -> None:
    loud = [{**log, "address": "0x" + log["address"][2:].upper(), "blockHash": "0x" + log["blockHash"][2:].upper()} for log in SOME]
    assert not same(of(loud))
    assert (
        read_logs_answer(of(loud), EVERY, ADDRESSES, TOPICS)
        .drop("row")
        .equals(read_logs_answer(of(SOME), EVERY, ADDRESSES, TOPICS).drop("row"))
    )


def test_a_receipts_logs_are_those_of_the_answer() -> None:
    block = (int(SOME[0]["blockNumber"], 16),) * 2
    logs = [log for log in LOGS if log["blockNumber"] == SOME[0]["blockNumber"]]
    foreign = {**logs[0], "address": "0x" + "12" * 20}
    receipts = [{"logs": [foreign, *logs[:1]]}, {"logs": logs[1:]}]
    expected = read_logs_answer(of(logs), block, ADDRESSES, TOPICS)
    assert read_logs_of_receipts(receipts, block, ADDRESSES, TOPICS).drop("row").equals(expected.drop("row"))
    for bad in ([{}], [{"logs": [5]}], [{"logs": [{**logs[0], "data": 5}]}]):
        with pytest.raises(BadAnswer, match="a receipt holds something that is not a log"):
            read_logs_of_receipts(bad, block, ADDRESSES, TOPICS)


# What is refused, and in which words

KEYS = ["address", "topics", "data", "blockHash", "blockNumber", "transactionHash", "transactionIndex", "logIndex"]


def refused(raw: bytes, asked: tuple[int, int] = EVERY) -> str:
    assert not same(raw, asked)
    with pytest.raises(BadAnswer) as caught:
        read_logs_answer(raw, asked, ADDRESSES, TOPICS)
    return str(caught.value)


def changed(n: int, **fields: Any) -> bytes:
    return of([log if at != n else {**log, **fields} for at, log in enumerate(SOME)])


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_refused(key: str) -> None:
    raw = of([*SOME[:2], {k: v for k, v in SOME[2].items() if k != key}, SOME[3]])
    assert refused(raw) == f"the answer holds something that is not a log (Object missing required field `{key}` - at `$[2]`)"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [None, 5, 5.5, True, {"a": "0x5"}, 10**40])
def test_a_value_of_another_type_is_refused(key: str, value: Any) -> None:
    assert f"$[1].{key}" in refused(changed(1, **{key: value}))


@pytest.mark.parametrize("key", [*KEYS, "blockTimestamp", "removed"])
def test_a_duplicate_key_is_refused_at_every_position(key: str) -> None:
    for again in (text(SOME[1][key]), text("0x5"), "null", "true", "false"):
        for place in (0, 3, 99):
            logs = [pairs(log) for log in SOME]
            logs[1].insert(place, (text(key), again))
            assert not same(answer(logs))
            with pytest.raises(BadAnswer):
                read_logs_answer(answer(logs), EVERY, ADDRESSES, TOPICS)


def test_a_key_in_disguise_is_refused() -> None:
    logs = [pairs(log) for log in SOME]
    logs[1].append(('"d\\u0061ta"', '"0x"'))
    assert refused(answer(logs)) == "the answer holds a log with a duplicate or escaped key"


def test_a_text_in_place_of_the_topics_is_refused_also_where_blanks_make_up_for_its_brackets() -> None:
    alone = next(n for n, log in enumerate(SOME) if len(log["topics"]) == 1)
    raw = changed(alone, topics=SOME[alone]["topics"][0])
    for padded in (raw, raw[:-1] + b"  ]", raw.replace(b'"topics":"', b'"topics":  "'), raw[:-2] + b',"":1}]', raw[:-2] + b',"[[":""}]'):
        assert "$[" in refused(padded)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"removed": True}, "was removed by a reorganisation"),
        ({"removed": None}, "Expected `bool`"),
        ({"removed": 0}, "Expected `bool`"),
        ({"removed": "false"}, "Expected `bool`"),
        ({"address": "0x" + "12" * 20}, "belongs to another contract or event"),
        ({"topics": ["0x" + "12" * 32]}, "belongs to another contract or event"),
        ({"topics": []}, "belongs to another contract or event"),
        ({"topics": [SOME[0]["topics"][0], None]}, "Expected `str`, got `null`"),
        ({"topics": [SOME[0]["topics"][0], 5]}, "Expected `str`, got `int`"),
        ({"topics": [SOME[0]["topics"][0], ""]}, 'log row 1: topic1 is ""'),
        ({"topics": [SOME[0]["topics"][0], "0x5"]}, 'log row 1: topic1 is "0x5"'),
        ({"topics": [SOME[0]["topics"][0], "0x" + "g" * 64]}, "log row 1: topic1 is"),
        ({"data": "0x5"}, 'log row 1: data is "0x5", which is not 0x and hex digits of the right length'),
        ({"data": "0xzz"}, 'log row 1: data is "0xzz"'),
        ({"data": "00"}, 'log row 1: data is "00"'),
        ({"blockHash": "0x12"}, 'log row 1: block_hash is "0x12"'),
        ({"transactionHash": SOME[0]["transactionHash"][:-1] + "g"}, "log row 1: transaction_hash is"),
        ({"transactionIndex": "5"}, "log row 1: transaction_index is"),
        ({"transactionIndex": "0x+5"}, "log row 1: transaction_index is"),
        ({"logIndex": "0x"}, "'0x' is not a hex number"),
        ({"blockNumber": "0x" + "0" * 16 + "5"}, "'0x00000000000000005' is not a hex number"),
        ({"logIndex": "0x" + "0" * 16 + "5"}, "'0x00000000000000005' is not a hex number"),
        ({"blockNumber": "0x-5"}, "'0x-5' is not a hex number"),
        ({"blockNumber": "0xffffff"}, "is in the answer for"),
        ({"blockTimestamp": "1613861100"}, "log row 1: block_time is"),
    ],
)
def test_the_refusal_names_what_is_wrong(fields: dict[str, Any], said: str) -> None:
    inside = (int(SOME[0]["blockNumber"], 16), int(SOME[-1]["blockNumber"], 16))
    assert said in refused(changed(0, **fields), inside)


def test_order_and_doubles() -> None:
    assert "out of order or duplicate" in refused(of([SOME[1], SOME[0], *SOME[2:]]))
    assert "out of order or duplicate" in refused(of([SOME[0], SOME[0], *SOME[1:]]))
    block = int(SOME[0]["blockNumber"], 16)
    places = [{**SOME[0], "blockNumber": hex(block + 1), "logIndex": "0x0"}, {**SOME[0], "logIndex": hex(2**20 + 1)}]
    assert refused(of(places)) == f"the logs of block {block} are out of order or duplicate"


def test_blocks_before_and_behind_what_was_asked() -> None:
    first, last = (int(SOME[n]["blockNumber"], 16) for n in (0, -1))
    assert same(of(SOME), (first, last))
    assert refused(of(SOME), (first + 1, last)) == f"a log of block {first} is in the answer for {first + 1} to {last}"
    assert refused(of(SOME), (first, last - 1)) == f"a log of block {last} is in the answer for {first} to {last - 1}"


ABSENT = object()
THREE = next(log for log in SOME if len(log["topics"]) == 3)["topics"]


@pytest.mark.parametrize(
    "fields",
    [
        *({key: value} for key in KEYS for value in (ABSENT, None, 5)),
        {"removed": True},
        {"removed": None},
        {"blockTimestamp": 5},
        {"blockTimestamp": "0x"},
        {"topics": []},
        {"topics": THREE[0]},
        {"topics": [*THREE[:1], None]},
        {"topics": [None, *THREE[1:]]},
        {"topics": [*THREE[:2], 5]},
        {"topics": [*THREE, 5]},
        {"topics": [*THREE[:2], THREE[2][:-1]]},
        {"topics": [*THREE[:2], "00" + THREE[2][2:]]},
        {"topics": [*THREE[:2], ""]},
        {"data": "00" * 32},
    ],
)
def test_what_is_odd_is_not_read_at_once_whatever_blanks_make_up_for_its_length(fields: dict[str, Any]) -> None:
    odd = [
        {key: value for key, value in {**log, **(fields if n == 1 else {})}.items() if value is not ABSENT} for n, log in enumerate(SOME)
    ]
    for blanks in range(110):
        assert at_once(of(odd).replace(b":", b":" + b" " * blanks, 1)) is None


@pytest.mark.parametrize("raw", [b"", b"null", b"5", b"{}", b'"x"', b"[{}]", b"[5]", b"[null]", b"[[]]", of(SOME)[:-1], of(SOME)[:-2], of(SOME)[1:],
                                 of(SOME) + b"]", of(SOME)[:200], b"[" + of(SOME) + b"]", b"\xef\xbb\xbf" + of(SOME), of(SOME[:1])[1:-1],
                                 of(SOME).replace(b"0x", b"\xff\xfe", 1), b"[" * 5000, of(SOME) + of(SOME), of(SOME).replace(b"},{", b"}{")])  # fmt: skip
def test_what_is_no_list_of_logs_is_refused(raw: bytes) -> None:
    assert "the answer holds something that is not a log" in refused(raw)


# Anything at all

VALUES = st.sampled_from(
    [
        *(
            "null",
            "true",
            "false",
            "0",
            "5",
            "-5",
            "5.5",
            "1e5",
            "NaN",
            "1" + "0" * 40,
            "[]",
            "{}",
            '""',
            '"0x"',
            '"0x0"',
            '"0x5"',
            '"0X5"',
        ),
        *('"0xzz"', '"0x+5"', '"0x 5"', '"\\u0030x5"', '"0x5\\n"', '"0x１"', '["0x5"]', '[["0x5"]]', '{"a":"0x5"}', '"\\ud800"', '"0x5\n"'),
        *('"0x0000000000005"', '"0x' + "0" * 16 + '5"', '"0x' + "f" * 13 + '"', text("0x" + "ab" * 32), text("0x" + "AB" * 32)),
        *(
            text(SOME[0]["address"]),
            text(SOME[0]["address"].upper()),
            text(SOME[0]["topics"]),
            text(SOME[0]["topics"] * 2),
            text(SOME[0]["data"]),
        ),
        text([*SOME[0]["topics"][:1], None]),
    ]
)
NAMES = st.sampled_from([*map(text, SOME[0]), '"extra"', '""', '"Data"', '"d\\u0061ta"', '"[["', '"topics\\":[\\""'])
BYTES = st.sampled_from(
    [b" ", b"  ", b"\n", b",", b"{", b"}", b"[", b"]", b'"', b":", b"\\", b"0", b"x", b"null", b"\xff", b"", b'"topics":["']
)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A good answer with up to four changes: of keys, values, logs, and then of bytes; and sometimes as long as it was before."""
    logs = [pairs(log) for log in SOME]
    for _ in range(draw(st.integers(0, 3))):
        log = draw(st.sampled_from(logs))
        place = draw(st.integers(0, max(len(log) - 1, 0)))
        what = draw(st.sampled_from(["value", "drop", "insert", "move", "copy", "log"]))
        if what == "log":
            at = draw(st.integers(0, len(logs) - 1))
            logs.insert(draw(st.integers(0, len(logs))), logs[at] if draw(st.booleans()) else logs.pop(at))
        elif what == "insert":
            log.insert(place, (draw(NAMES), draw(VALUES)))
        elif log and what == "value":
            log[place] = (log[place][0], draw(VALUES))
        elif log and what == "drop":
            log.pop(place)
        elif log and what == "move":
            log.append(log.pop(place))
        elif log:
            log.insert(draw(st.integers(0, len(log))), log[place])
    raw = answer(logs)
    if draw(st.booleans()):
        start = draw(st.integers(0, len(raw)))
        raw = raw[:start] + draw(BYTES) + raw[start + draw(st.integers(0, 2)) :]
    missing = len(of(SOME)) - len(raw)
    if missing > 0 and draw(st.booleans()):
        place = draw(st.sampled_from([0, raw.find(b":") + 1, raw.rfind(b",") + 1, len(raw)]))
        raw = raw[:place] + b" " * missing + raw[place:]
    return raw


@pytest.mark.property
@given(spoilt())
def test_whatever_an_answer_holds_both_ways_come_to_the_same(raw: bytes) -> None:
    same(raw)
