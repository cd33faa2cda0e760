"""The decoder against the chain's own encoding: topics by keccak, words by eth_abi and web3, and words made to break it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import eth_abi
import polars as pl
import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from perpcomp import fixed
from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.ingest.decode import Event, decode, event
from perpcomp.ingest.raw_frame import RAW_SCHEMA
from perpcomp.systems.perpetual_v1 import events
from perpcomp.systems.perpetual_v1.events import (
    CLEARING_HOUSE_EVENTS,
    MARGIN_CHANGED,
    MARKET_EVENTS,
    POSITION_ADJUSTED,
    POSITION_LIQUIDATED,
)
from tests.raw_logs import read_logs

EVENTS = CLEARING_HOUSE_EVENTS + MARKET_EVENTS
each_event = pytest.mark.parametrize("event", EVENTS, ids=lambda e: e.name)
PAYER, PAYEE = "0x" + "ab" * 20, "0x" + "0c" * 20


def solidity_types(event: Event) -> list[str]:
    """The contract's own types of an event's arguments. A count is a uint256, but for a swap's direction, an enum."""
    special = {("SwapInput", "dir"): "uint8", ("SwapOutput", "dir"): "uint8"}
    own = {"address": "address", "uint": "uint256", "int": "int256", "count": "uint256"}
    return [special.get((event.name, a.name), own[a.type]) for a in event.arguments]


def recorded() -> pl.DataFrame:
    loaded = incident_file.load("rehearsal")
    addresses = [loaded.chain.clearing_house, *(m.amm for m in loaded.markets)]
    return read_logs(loaded.folder / "rehearsal" / "logs.jsonl.gz", addresses, events.TOPICS)


def raw(event: Event, *rows: tuple[list[bytes], bytes]) -> pl.DataFrame:
    """A raw frame of logs made by hand: (indexed topics, data) a row."""
    made = [
        {
            "row": n,
            "address": "0x" + "ee" * 20,
            "topic0": event.topic0,
            "topic1": topics[0] if topics else b"",
            "topic2": topics[1] if len(topics) > 1 else b"",
            "topics": len(topics) + 1,
            "data": data,
            "block_number": n,
            "block_time": None,
            "block_hash": "0x" + "00" * 32,
            "transaction_hash": f"0x{n:064x}",
            "transaction_index": 0,
            "log_index": n,
        }
        for n, (topics, data) in enumerate(rows, 1)
    ]
    return pl.DataFrame(made, schema=RAW_SCHEMA)


def word(value: int) -> bytes:
    return (value % 2**256).to_bytes(32)


def address_topics(event: Event) -> list[bytes]:
    return [word(int(address, 16)) for address in (PAYER, PAYEE)][: len(event.indexed)]


def with_words(event: Event, **values: int) -> pl.DataFrame:
    """One log whose words are 1 (addresses too), but for those named."""
    return raw(event, (address_topics(event), b"".join(word(values.get(a.name, 1)) for a in event.words)))


def value_of(cell: Any) -> Any:
    return fixed.to_integer(cell) if isinstance(cell, Decimal) else cell


def refused(frame: pl.DataFrame, event: Event) -> str:
    with pytest.raises(InputError) as caught:
        decode(frame, event)
    return str(caught.value)


# The events as described


@each_event
def test_topic0_is_the_keccak_of_the_signature(event: Event) -> None:
    assert event.topic0 == "0x" + keccak(text=f"{event.name}({','.join(solidity_types(event))})").hex()


def test_no_two_events_share_a_topic() -> None:
    assert len({e.topic0 for e in EVENTS}) == len(EVENTS) == len(events.TOPICS)


@pytest.mark.parametrize("prefix", events.OLD_LAYOUTS)
def test_an_older_layout_is_no_known_topic(prefix: str) -> None:
    assert not any(topic.startswith(prefix) for topic in events.TOPICS)


# Against other decoders, on every recorded log


@each_event
def test_every_recorded_log_decodes_as_eth_abi_and_web3_do(event: Event) -> None:
    """The ABI's own decoder and web3's, to the last digit, in every row and argument."""
    rows = recorded().filter(pl.col("topic0") == event.topic0)
    assert rows.height > 0, f"the recording holds no {event.name}"
    ours = decode(rows, event)
    assert list(ours.columns) == [*RAW_SCHEMA, *event.schema]
    types = solidity_types(event)
    inputs = [{"name": a.name, "type": t, "indexed": a.indexed} for a, t in zip(event.arguments, types, strict=True)]
    contract = Web3().eth.contract(abi=[{"type": "event", "name": event.name, "anonymous": False, "inputs": inputs}])
    for row in ours.iter_rows(named=True):
        topics = [row["topic1"], row["topic2"]][: len(event.indexed)]
        encoded = b"".join(topics) + row["data"]
        in_order = [a for a in event.arguments if a.indexed] + [a for a in event.arguments if not a.indexed]
        abi_types = [types[event.arguments.index(a)] for a in in_order]
        by_abi = dict(zip([a.name for a in in_order], eth_abi.decode(abi_types, encoded), strict=True))
        log = {
            "address": Web3.to_checksum_address(row["address"]),
            "topics": [bytes.fromhex(event.topic0[2:]), *topics],
            "data": row["data"],
            "blockNumber": row["block_number"],
            "blockHash": bytes(32),
            "transactionHash": bytes(32),
            "transactionIndex": 0,
            "logIndex": row["log_index"],
        }
        by_web3 = contract.events[event.name]().process_log(log)["args"]
        for argument in event.arguments:
            scaled = argument.type == "count" and not isinstance(row[argument.name], str)
            mine = row[argument.name] if scaled else value_of(row[argument.name])
            assert by_abi[argument.name] == mine, argument.name
            theirs = by_web3[argument.name]
            assert (theirs.lower() if argument.type == "address" else theirs) == mine, argument.name


# Words made to break it


FITS = {
    "uint": [0, 1, 10**18, 2**64 - 1, 2**64, 2**126, 10**38 - 1],
    "int": [0, 1, -1, 2**64, -(2**64), 10**38 - 1, -(10**38) + 1],
    "count": [0, 1, 2**31, 2**63 - 1],
}
TOO_LARGE = {
    "uint": [10**38, 2**127 - 1, 2**127, 2**127 + 1, 2**128 - 1, 2**128, 2**128 + 1, 2**255, 2**256 - 1, 2**192],
    "int": [
        10**38,
        -(10**38),
        2**127 - 1,
        -(2**127),
        2**127,
        -(2**127) - 1,
        2**128,
        -(2**128),
        2**128 + 1,
        -(2**128) - 1,
        2**255 - 1,
        -(2**255),
    ],
    "count": [2**63, 2**64, 2**127, 2**128, 2**128 + 5, 2**255, 2**256 - 1],
}
POSITIONS = [(event, a.name, a.type) for event in EVENTS for a in event.words if a.type != "address"]
each_position = pytest.mark.parametrize(("event", "name", "type_"), POSITIONS, ids=[f"{e.name}.{n}" for e, n, _ in POSITIONS])


@each_position
def test_every_word_that_fits_comes_out_exactly(event: Event, name: str, type_: str) -> None:
    for value in FITS[type_]:
        row = decode(with_words(event, **{name: value}), event)
        assert value == value_of(row[name].item())
        for other in event.words:
            if other.name != name:
                assert value_of(row[other.name].item()) in (1, "0x" + "00" * 19 + "01")


@each_position
def test_every_word_that_does_not_fit_is_refused_by_name(event: Event, name: str, type_: str) -> None:
    for value in TOO_LARGE[type_]:
        said = refused(with_words(event, **{name: value}), event)
        assert said.startswith(f"row 1 (tx 0x{1:064x} log 1)"), value
        assert f": {name} is {value}, out of range." in said, value
        assert "fetch it again" in said


def test_minus_one_is_no_uint() -> None:
    """Its word is 2^256 - 1."""
    assert f": bad_debt is {2**256 - 1}, out of range" in refused(with_words(events.POSITION_CHANGED, bad_debt=-1), events.POSITION_CHANGED)


def test_one_bad_word_among_many_rows_is_found() -> None:
    good = (address_topics(MARGIN_CHANGED), word(5) + word(-7))
    bad = (address_topics(MARGIN_CHANGED), word(5) + word(10**38))
    said = refused(raw(MARGIN_CHANGED, *[good] * 50, bad, *[good] * 50), MARGIN_CHANGED)
    assert len(said.splitlines()) == 1
    assert said.startswith(f"row 51 (tx 0x{51:064x} log 51)")
    assert said.endswith(f": funding_payment is {10**38}, out of range. The row is damaged or belongs to another contract: fetch it again.")


def test_beside_a_bad_word_the_largest_good_ones_are_not_named() -> None:
    kinds = event("0x" + "12" * 32, "Made(address who, bool yes, count number, uint256 units, int256 change, bytes32 key)")
    largest = {"who": 2**160 - 1, "yes": 1, "number": 2**63 - 1, "units": 10**38 - 1, "change": 10**38 - 1, "key": 2**256 - 1}
    rows = [with_words(kinds, **largest), with_words(kinds, **{**largest, "change": 1 - 10**38})]
    assert [decode(one, kinds)["number"].item() for one in rows] == [2**63 - 1] * 2
    for name, beyond in largest.items():
        if name != "key":
            said = refused(with_words(kinds, **{**largest, name: beyond + 1}), kinds)
            assert said.splitlines() == [said]
            assert f": {name} is {beyond + 1}, out of range" in said


def test_an_indexed_count_has_at_most_56_bits() -> None:
    """So it is positive in 64."""
    kind = event("0x" + "12" * 32, "Made(count indexed id)")
    assert decode(raw(kind, ([word(2**56 - 1)], b"")), kind)["id"].to_list() == [2**56 - 1]
    assert "id is not a number below 2^56" in refused(raw(kind, ([word(2**56)], b"")), kind)


@pytest.mark.parametrize("size", [1, 32, 64 * 7, 64 * 100])
def test_where_batches_end_does_not_matter(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Also not for the row that is named."""
    rows = [(address_topics(MARGIN_CHANGED), word(n) + word(-n)) for n in range(100)]
    whole = decode(raw(MARGIN_CHANGED, *rows), MARGIN_CHANGED)
    monkeypatch.setattr("perpcomp.ingest.decode.BATCH_BYTES", size)
    assert decode(raw(MARGIN_CHANGED, *rows), MARGIN_CHANGED).equals(whole)
    rows[70] = (address_topics(MARGIN_CHANGED), word(10**38) + word(0))
    said = refused(raw(MARGIN_CHANGED, *rows), MARGIN_CHANGED)
    assert said.startswith(f"row 71 (tx 0x{71:064x} log 71)")
    assert f": amount is {10**38}" in said


def test_extremes_of_both_signs_in_one_column_are_told_apart() -> None:
    """A column's bounds are checked by halves; one row must not hide another."""
    values = [-1, 0, 1, 10**38 - 1, -(10**38) + 1, -(2**64), 2**64]
    rows = [(address_topics(MARGIN_CHANGED), word(value) + word(-value)) for value in values]
    decoded = decode(raw(MARGIN_CHANGED, *rows), MARGIN_CHANGED)
    assert values == [fixed.to_integer(v) for v in decoded["amount"]]
    assert [-v for v in values] == [fixed.to_integer(v) for v in decoded["funding_payment"]]


@each_event
@pytest.mark.parametrize(
    "change",
    [lambda d: d[:-1], lambda d: d + b"\0", lambda d: d + bytes(32), lambda d: d[:-32]],
    ids=["short", "long", "word more", "word less"],
)
def test_data_of_another_length_is_refused(event: Event, change: Callable[[bytes], bytes]) -> None:
    data = b"".join(word(1) for _ in event.words)
    spoilt = change(data)
    if spoilt == data:  # an event without data cannot be short
        return
    said = refused(raw(event, (address_topics(event), spoilt)), event)
    assert said.startswith(f"row 1 (tx 0x{1:064x} log 1)")
    assert f": The data is not {len(data)} bytes long, as {event.name} requires." in said


@pytest.mark.parametrize("event", [e for e in EVENTS if e.words], ids=lambda e: e.name)
def test_empty_data_is_refused(event: Event) -> None:
    assert f": The data is not {32 * len(event.words)} bytes long" in refused(raw(event, (address_topics(event), b"")), event)


@pytest.mark.parametrize("event", [e for e in EVENTS if e.indexed], ids=lambda e: e.name)
@pytest.mark.parametrize("dirt", [1 << 160, 1 << 255, (1 << 256) - (1 << 160)])
def test_a_topic_that_is_no_padded_address_is_refused(event: Event, dirt: int) -> None:
    for n, argument in enumerate(event.indexed):
        topics = address_topics(event)
        topics[n] = word(int.from_bytes(topics[n]) + dirt)
        said = refused(raw(event, (topics, b"".join(word(1) for _ in event.words))), event)
        assert said.startswith(f"row 1 (tx 0x{1:064x} log 1)")
        assert f": {argument.name} is not an address." in said


@pytest.mark.parametrize("topic", [b"", bytes(31), bytes(33), bytes(20)])
def test_a_topic_of_another_length_is_refused(topic: bytes) -> None:
    frame = raw(MARGIN_CHANGED, ([word(1), topic], word(1) * 2))
    assert ": market is not an address." in refused(frame, MARGIN_CHANGED)


@pytest.mark.parametrize("dirt", [1 << 160, 1 << 191, 1 << 192, 1 << 255, (1 << 256) - (1 << 160)])
def test_an_address_word_with_dirty_high_bytes_is_refused(dirt: int) -> None:
    """Solidity would revert on it; taking the low 20 bytes would name a liquidator who is none."""
    value = int(PAYER, 16) + dirt
    said = refused(with_words(POSITION_LIQUIDATED, liquidator=value), POSITION_LIQUIDATED)
    assert f": liquidator is {value}, out of range." in said


@pytest.mark.parametrize("value", [0, 1, 2**160 - 1, 2**159, int(PAYER, 16)])
def test_an_address_word_is_read_whole(value: int) -> None:
    assert f"0x{value:040x}" == decode(with_words(POSITION_LIQUIDATED, liquidator=value), POSITION_LIQUIDATED)["liquidator"].item()


@each_event
def test_too_few_or_too_many_topics_are_refused(event: Event) -> None:
    data = b"".join(word(1) for _ in event.words)
    for topics in (address_topics(event)[:-1], [*address_topics(event), word(1)]):
        if len(topics) != len(event.indexed):
            said = refused(raw(event, (topics, data)), event)
            assert f": The log does not have the {len(event.indexed)} indexed arguments of {event.name}." in said


@each_event
def test_no_rows_give_typed_columns(event: Event) -> None:
    assert dict(decode(raw(event), event).schema) == {**RAW_SCHEMA, **event.schema}


def test_at_most_20_problems_are_listed() -> None:
    assert len(refused(raw(MARGIN_CHANGED, *[(address_topics(MARGIN_CHANGED), b"")] * 50), MARGIN_CHANGED).splitlines()) == 20


# Properties


def values_of(type_: str) -> st.SearchStrategy[Any]:
    return {
        "address": st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex()),
        "uint": st.integers(0, 10**38 - 1),
        "int": st.integers(-(10**38) + 1, 10**38 - 1),
        "count": st.integers(0, 2**63 - 1),
    }[type_]


@st.composite
def logs_of_one_event(draw: st.DrawFn) -> tuple[Event, list[dict[str, Any]]]:
    event = draw(st.sampled_from(EVENTS))
    row = st.fixed_dictionaries({a.name: values_of(a.type) for a in event.arguments})
    return event, draw(st.lists(row, min_size=1, max_size=6))


@pytest.mark.property
@given(logs_of_one_event())
def test_what_eth_abi_encodes_the_decoder_gives_back(made: tuple[Event, list[dict[str, Any]]]) -> None:
    event, rows = made
    types = {"address": "address", "uint": "uint256", "int": "int256", "count": "uint256"}
    encoded = [
        (
            [eth_abi.encode(["address"], [row[a.name]]) for a in event.indexed],
            eth_abi.encode([types[a.type] for a in event.words], [row[a.name] for a in event.words]),
        )
        for row in rows
    ]
    decoded = decode(raw(event, *encoded), event).select(*event.schema)
    assert rows == [{name: value_of(cell) for name, cell in row.items()} for row in decoded.iter_rows(named=True)]


@pytest.mark.property
@given(st.sampled_from([e for e in EVENTS if e.words]), st.data())
def test_any_words_are_decoded_right_or_refused(event: Event, data: st.DataObject) -> None:
    """No third way: the values are those of the words, or the word that does not fit is named."""
    words = data.draw(
        st.lists(
            st.integers(0, 2**256 - 1) | st.integers(0, 2**130) | st.integers(2**256 - 2**130, 2**256 - 1),
            min_size=len(event.words),
            max_size=len(event.words),
        )
    )
    meant = {a.name: w - 2**256 if a.type == "int" and w >= 2**255 else w for a, w in zip(event.words, words, strict=True)}
    limits = {"address": 2**160, "uint": 10**38, "int": 10**38, "count": 2**63}
    too_large = [a.name for a in event.words if abs(meant[a.name]) >= limits[a.type]]
    frame = raw(event, (address_topics(event), b"".join(word(w) for w in words)))
    if too_large:
        said = refused(frame, event)
        assert all(f": {name} is {meant[name]}, out of range" in said for name in too_large)
    else:
        row = decode(frame, event)
        for a in event.words:
            expected = f"0x{meant[a.name]:040x}" if a.type == "address" else meant[a.name]
            assert expected == value_of(row[a.name].item())


def test_a_count_is_no_amount() -> None:
    """An index of 3 is 3, not 3e-18."""
    row = decode(with_words(POSITION_ADJUSTED, old_liquidity_index=3, new_position_size=3), POSITION_ADJUSTED)
    assert (3, Decimal("0.000000000000000003")) == (row["old_liquidity_index"].item(), row["new_position_size"].item())
