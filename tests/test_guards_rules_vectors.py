"""The rules of SIP-2005 against the real contracts: 300 random states, 39 scenarios, and invariants of any state."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.findings import InputError
from perpcomp.fixed import ONE
from perpcomp.guards.rules import margins, profiles, recorded, trading
from perpcomp.guards.rules.events import PositionLiquidated, Revert
from perpcomp.guards.rules.liquidation import flag, force_liquidate, liquidate
from perpcomp.guards.rules.market import Market, Oracle
from perpcomp.guards.rules.profiles import DEPLOYED, SIP
from perpcomp.guards.rules.vectors import check, opened
from tests.commands import call

LAB = Path(__file__).parent / "lab" / "guards"
VECTORS, CASES = LAB / "vectors.json.gz", LAB / "cases.json"


def document(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())


def test_the_rules_give_every_recorded_value_of_300_states() -> None:
    """17 values in each of 4 views of 300 states, the revert and the events of 703 calls, 5 minted balances and the debt correction."""
    checked = check(VECTORS)
    assert checked.findings == []
    assert checked.passed == 300 * (4 * 17 + 5 + 1) + 703 * 2 == 23_606


def test_the_rules_give_every_recorded_value_of_39_scenarios() -> None:
    checked = check(CASES)
    assert checked.findings == []
    cases = document(CASES)["cases"]
    assert len(cases) == 39
    assert checked.passed == sum(2 * 9 + 2 * len(case["steps"]) + len(case["minted"]) for case in cases)


def _first(steps: list[Any]) -> Any:
    return next(step for step in steps if step["events"])


CHANGES: list[tuple[str, str, Callable[[Any], None], str]] = [
    ("a view", "vectors", lambda v: v["view_end"].update(marketSkew="7"), "view_end: marketSkew: recorded 7, by the rules -"),
    ("a verdict", "vectors", lambda v: v["view_before"].update(canLiquidate=False), "view_before: canLiquidate: recorded False, by the rules True"),
    ("a revert", "vectors", lambda v: v["steps"][0].update(revert=None), "steps[0] flagPosition: revert: recorded None, by the rules Position flagged"),
    (
        "an event's argument",
        "vectors",
        lambda v: _first(v["liquidation_steps"])["events"][3][1].__setitem__(5, "1"),
        "liquidation_steps[0] forceLiquidatePosition: events[3] PositionLiquidated argument 5: recorded 1, by the rules 1000000000000000000",
    ),
    ("an event", "vectors", lambda v: _first(v["liquidation_steps"])["events"].pop(), "events: recorded ['FundingRecomputed', 'Issued', 'PositionModified']"),
    ("minted", "vectors", lambda v: v["minted"].update(flagger2="5"), "minted flagger2: recorded 5, by the rules 1000000000000000000"),
    ("the debt", "vectors", lambda v: v.update(entryDebtCorrectionEnd="1"), "entryDebtCorrectionEnd: recorded 1, by the rules 0"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), [(change, said) for _, _, change, said in CHANGES], ids=[name for name, *_ in CHANGES])
def test_a_difference_is_named_with_vector_step_and_field(change: Callable[[Any], None], said: str, tmp_path: Path) -> None:
    vectors = document(VECTORS)["vectors"]
    assert vectors[1]["id"] == 1
    change(vectors[1])
    file = tmp_path / "changed.json"
    file.write_text(json.dumps({"vectors": vectors[:5]}))
    checked = check(file)
    assert checked.failed == 1, [str(finding) for finding in checked.findings]
    assert str(checked.findings[0]).startswith("changed.json vector 1 (sSHIBPERP)")
    assert said in str(checked.findings[0])
    done = call("guards", "vectors", str(file), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.strip() == f"{checked.passed} passed, 1 failed"
    assert said in done.stderr


def test_the_command_counts(tmp_path: Path) -> None:
    done = call("guards", "vectors", str(VECTORS), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "23,606 passed, 0 failed\n", "")


BROKEN: list[tuple[str, bytes, tuple[str, ...]]] = [
    ("no JSON", b"# readme", ("The file is not one of recorded answers", "malformed")),
    ("no object", b"[]", ("Expected `object`",)),
    ("neither kind", b'{"meta": 1}', ('neither "vectors" nor "cases"', "meta")),
    ("no vectors", b'{"vectors": []}', ("length >= 1", "$.vectors")),
    ("a missing field", b'{"vectors": [{"id": 1}]}', ("missing required field `market`", "$.vectors[0]")),
    ("bytes", b"\xff\xfe", ("The file is not one of recorded answers",)),
]


@pytest.mark.parametrize(("data", "said"), [(data, said) for _, data, said in BROKEN], ids=[name for name, *_ in BROKEN])
def test_a_file_of_another_schema_is_refused(data: bytes, said: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    file.write_bytes(data)
    _refused(file, *said)


def test_a_missing_file_or_broken_archive_is_refused(tmp_path: Path) -> None:
    _refused(tmp_path / "none.json", "cannot be read (No such file or directory)")
    (tmp_path / "plain.json.gz").write_bytes(b"{}")
    _refused(tmp_path / "plain.json.gz", "cannot be read", "gzipped")
    (tmp_path / "cut.json.gz").write_bytes(VECTORS.read_bytes()[:1000])
    _refused(tmp_path / "cut.json.gz", "cannot be read")


WRONG: list[tuple[str, Callable[[Any], None], tuple[str, ...]]] = [
    ("a float", lambda v: v["input"]["market"].update(price=1.5), ("$.vectors[0].input.market.price",)),
    ("no integer", lambda v: v["input"]["position"].update(margin="1e18"), ("$.vectors[0].input.position.margin",)),
    ("an unknown key", lambda v: v["input"]["market"].update(prise="1"), ("unknown field `prise`",)),
    ("no limit", lambda v: v["input"]["settings"].pop("maxPD"), ("vector 0", "maxPD is missing")),
    ("a misspelt parameter", lambda v: v["input"]["settings"].update(maxPd="1"), ("maxPd is not a known parameter", "Did you mean 'maxPD'?")),
    ("skew scale 0", lambda v: v["input"]["settings"].update(skewScale="0"), ("vector 0", "skewScale", "is 0")),
    ("a negative fee", lambda v: v["input"]["settings"].update(minKeeperFee="-1"), ("minKeeperFee", "below 0")),
    ("an unknown call", lambda v: v["steps"][0].update(call="flag"), ('steps[0] flag: "flag" is not a call of a market.', "flagPosition")),
    ("an index beyond", lambda v: v["input"]["position"].update(lastFundingIndex="99"), ("lastFundingIndex is 99", "entries")),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), [(change, said) for _, change, said in WRONG], ids=[name for name, *_ in WRONG])
def test_a_vector_that_cannot_be_computed_is_refused(change: Callable[[Any], None], said: tuple[str, ...], tmp_path: Path) -> None:
    vector = document(VECTORS)["vectors"][0]
    change(vector)
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({"vectors": [vector]}))
    _refused(file, *said)


def _refused(file: Path, *said: str) -> None:
    with pytest.raises(InputError) as refused:
        check(file)
    assert refused.value.exit_code == 2
    text = str(refused.value)
    assert text.startswith(file.name)
    for words in said:
        assert words in text


def test_the_differences_are_made_from_the_profiles(tmp_path: Path) -> None:
    """One row a field whose answers differ, in the words of those answers; and the documents' table is that one."""
    rows = profiles.differences()
    behaviour = [row for row in rows if row[1] != "(not said)"]
    assert [row[0] for row in behaviour] == [*profiles.QUESTIONS.values()]
    assert all(text != code for _, text, code in behaviour)
    assert [row[0] for row in rows if row[1] == "(not said)"] == [*profiles.SILENT]
    done = call("guards", "profiles", cwd=tmp_path, COLUMNS="400")
    assert done.returncode == 0
    for row in rows:
        for cell in row:
            assert cell in done.stdout


def test_vectors_takes_one_file_and_verdicts_one_query(tmp_path: Path) -> None:
    for words, missing in ((["vectors"], "Missing argument 'FILE'"), (["vector", str(VECTORS)], "Too many arguments")):
        done = call("guards", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert missing in done.stderr


# What must hold in any state. The states are those of the vectors, with margin, price and oracle moved.

FILE = recorded.read(VECTORS)
assert isinstance(FILE, recorded.Vectors)
STATES = FILE.vectors

CALLS: dict[str, Callable[[Market, int], object]] = {
    "flag": lambda market, _: flag(market, "flagger", "A"),
    "liquidate": lambda market, _: liquidate(market, "random", "A"),
    "liquidate, endorsed": lambda market, _: liquidate(market, "endorsed", "A"),
    "force": lambda market, _: force_liquidate(market, "random", "A"),
    "force, endorsed": lambda market, _: force_liquidate(market, "endorsed", "A"),
    "deposit": lambda market, size: trading.deposit(market, "A", 1 + abs(size)),
    "withdraw": lambda market, size: trading.transfer_margin(market, "A", -1 - abs(size)),
    "withdraw all": lambda market, _: trading.withdraw_all(market, "A"),
    "modify": lambda market, size: trading.modify(market, "A", size),
    "close": lambda market, _: trading.close(market, "A"),
    "submit": lambda market, size: trading.submit_order(market, "A", size),
    "submit close": lambda market, _: trading.submit_close_order(market, "A"),
    "execute": lambda market, _: trading.execute_order(market, "keeper", "A"),
    "cancel": lambda market, _: trading.cancel_order(market, "A", "A"),
}


@st.composite
def market_states(draw: st.DrawFn) -> Market:
    market = opened("state", draw(st.sampled_from(STATES)))
    market.profile = draw(st.sampled_from([SIP, DEPLOYED]))
    position = market.position("A")
    market.state.positions["A"] = position._replace(margin=draw(st.just(position.margin) | st.integers(0, 2 * position.margin + 10**21)))
    price = draw(st.just(market.oracle.price) | st.integers(market.oracle.price // 2, 2 * market.oracle.price))
    wrong = draw(st.sampled_from([(False, False, False)] * 3 + [(True, False, False), (False, True, False), (False, False, True)]))
    market.oracle = Oracle(price, *wrong)
    return market


@pytest.mark.property
@given(market_states(), st.lists(st.tuples(st.sampled_from([*CALLS]), st.integers(-(10**24), 10**24), st.integers(0, 10**6)), max_size=6))
def test_a_call_that_reverts_changes_nothing(market: Market, calls: list[tuple[str, int, int]]) -> None:
    for name, size, seconds in calls:
        market.now += seconds
        before, minted = market.state.copy(), {**market.minted}
        try:
            CALLS[name](market, size)
        except Revert:
            assert (market.state, market.minted) == (before, minted)
        else:
            assert market.state != before


@pytest.mark.property
@given(market_states(), st.booleans())
def test_a_liquidated_margin_is_distributed_to_the_last_wei(market: Market, forced: bool) -> None:
    """remaining + bad debt = flagger's fee + liquidator's fee + stakers' fee; what is minted is what the event states."""
    market.oracle = Oracle(market.oracle.price)
    market.parameters = replace(market.parameters, max_liquidation_delta=10**60, max_pd=10**60)
    if "A" not in market.state.flags:
        try:
            flag(market, "flagger", "A")
        except Revert:
            return
    remaining, paid_before = market.remaining_margin("A"), sum(market.minted.values())
    rewarded = market.state.flags["A"].paid
    *_, event = force_liquidate(market, "endorsed", "A") if forced else liquidate(market, "random", "A")
    assert isinstance(event, PositionLiquidated)
    fees = event.flagger_fee + event.liquidator_fee + event.stakers_fee
    bad_debt = max(0, event.flagger_fee + event.liquidator_fee - remaining)
    assert remaining + bad_debt == fees
    assert not (event.stakers_fee and bad_debt)
    assert sum(market.minted.values()) - paid_before + rewarded == fees
    assert event.liquidator_fee == (0 if forced else market.parameters.keeper_liquidation_fee)
    assert margins.settle(remaining, event.flagger_fee, event.liquidator_fee).stakers_fee == event.stakers_fee


@pytest.mark.property
@given(st.integers(0, 10**22), st.integers(1, 10**31), st.integers(-(10**31), 10**31))
def test_largest_passing_equals_the_division_with_a_strict_comparison(limit: int, scale: int, size: int) -> None:
    largest = margins.largest_passing(limit, scale)
    for value in (abs(size), max(0, largest - 1), max(0, largest), largest + 1):
        assert (value <= largest) == (value * ONE // scale < limit)


@pytest.mark.property
@given(market_states())
def test_the_code_allows_every_flag_that_the_text_allows(market: Market) -> None:
    """The code adds equality and a premium; its fee is the same wherever the maximum is not below the minimum."""
    if market.parameters.max_keeper_fee >= market.parameters.min_keeper_fee:
        market.profile = SIP
        by_text = market.can_liquidate("A")
        market.profile = DEPLOYED
        assert market.can_liquidate("A") or not by_text
