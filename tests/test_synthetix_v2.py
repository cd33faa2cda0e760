"""Synthetix Perps V2 end to end: the recorded contracts' own events, as raw logs under their real topics, through a whole run.

There is no recorded chain of Synthetix here. The logs are encoded from the events that the real contracts emitted in
tests/lab/guards/vectors.json.gz, with eth_abi and the signatures of topics.json; each state gets a market and a trader of its own, and a
PositionModified and FundingRecomputed logs from which it begins.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

import perpcomp
from perpcomp.decoded import Events
from perpcomp.explain import explain as explanation
from perpcomp.explain.explain import explain
from perpcomp.findings import InputError
from perpcomp.fixed import ONE, from_integer, mul_integers, to_integer, truncate
from perpcomp.guards.rules import recorded
from perpcomp.guards.rules.liquidation import flag, liquidate
from perpcomp.guards.rules.market import Market, Oracle
from perpcomp.guards.rules.profiles import DEPLOYED, Profile
from perpcomp.guards.rules.recorded import Vector
from perpcomp.guards.rules.trading import close, deposit, modify, transfer_margin
from perpcomp.guards.rules.vectors import opened
from perpcomp.incident import incident_file
from perpcomp.ingest.raw_frame import no_logs
from perpcomp.run import Run
from perpcomp.systems.columns import SINCE_CRASH
from perpcomp.systems.synthetix_v2 import events as v2
from perpcomp.systems.synthetix_v2.liquidations import liquidations as v2_liquidations
from perpcomp.systems.synthetix_v2.lives import with_lives
from perpcomp.systems.synthetix_v2.timeline import before_each
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import to_csv
from tests.commands import call
from tests.test_explain import evaluated, steps, value_of
from tests.test_guards_rules_sip import PARAMETERS
from tests.test_guards_rules_vectors import LAB, VECTORS

TOPICS: list[dict[str, Any]] = [t for t in json.loads((LAB / "topics.json").read_text()) if t["system"] == "synthetix-perps-v2"]
FILE = recorded.read(VECTORS)
assert isinstance(FILE, recorded.Vectors)
LIQUIDATED = [v for v in FILE.vectors if any(step.revert is None for step in v.liquidation_steps)]

SETTINGS, EARLIER, START = "0x" + "5e" * 20, 1_699_990_000, 1_700_000_000
KEY = "s{}PERP"


def address(role: str, vector: Vector) -> str:
    roles = {"A": 1, "flagger": 2, "flagger2": 3, "random": 4, "endorsed": 5, "feePool": 6, "market": 7}
    return f"0x{roles[role]:02x}{'7a' * 12}{vector.id:014x}"


class Chain:
    """Raw logs as a node returns them, one block a call."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.block = 1000

    def next_block(self, timestamp: int) -> None:
        self.block, self.timestamp, self.index = self.block + 1, timestamp, 0

    def log(self, emitter: str, name: str, arguments: Sequence[Any], count: int | None = None) -> None:
        """One event by name; `count` chooses the layout with so many arguments."""
        entry = next(t for t in TOPICS if t["signature"].startswith(name + "(") and len(t["args"]) == (count or len(arguments)))
        types = entry["signature"].split("(")[1].rstrip(")").split(",")
        cells = [(t, self._value(t, v), n in entry["indexed"]) for t, v, n in zip(types, arguments, entry["args"], strict=True)]
        topics = [entry["topic0"], *("0x" + encode([t], [v]).hex() for t, v, indexed in cells if indexed)]
        data = encode([t for t, _, i in cells if not i], [v for _, v, i in cells if not i])
        self.rows.append(
            {
                "address": emitter,
                "topics": topics,
                "data": "0x" + data.hex(),
                "blockNumber": hex(self.block),
                "blockTimestamp": hex(self.timestamp),
                "blockHash": f"0x{self.block:064x}",
                "transactionHash": f"0x{self.block:063x}a",
                "transactionIndex": "0x0",
                "logIndex": hex(self.index),
                "removed": False,
            }
        )
        self.index += 1

    @staticmethod
    def _value(type_: str, value: Any) -> Any:
        if type_ == "address":
            return value
        return value.encode().ljust(32, b"\0") if type_ == "bytes32" else int(value)

    def write(self, path: Path) -> Path:
        """The rows, with blocks numbered by time: the markets' histories lie side by side."""
        times = {row["blockNumber"]: int(row["blockTimestamp"], 16) for row in self.rows}
        numbers = {block: hex(n) for n, block in enumerate(sorted(times, key=lambda block: (times[block], int(block, 16))), 1001)}
        rows = sorted(self.rows, key=lambda row: (int(numbers[row["blockNumber"]], 16), int(row["logIndex"], 16)))
        path.write_text("".join(json.dumps(row | {"blockNumber": numbers[row["blockNumber"]]}) + "\n" for row in rows))
        return path


def start(chain: Chain, vector: Vector) -> None:
    """The logs from which a vector's state begins: its parameters, its funding entry, its position."""
    given, market = vector.input, address("market", vector)
    chain.next_block(EARLIER)
    for name in ("skewScale", "maxLiquidationDelta", "maxPD"):
        chain.log(SETTINGS, "ParameterUpdated", (KEY.format(vector.id), name, given.settings[name]))
    chain.next_block(EARLIER + 1)
    for index, entry in enumerate(given.market.funding_sequence):
        chain.log(market, "FundingRecomputed", (entry, 0, index, EARLIER + 1))
    p = given.position
    stored = (p.id, address("A", vector), p.margin, p.size, p.size, p.last_price, p.last_funding_index, 0, given.market.skew)
    chain.log(market, "PositionModified", stored)
    if given.preflagged_by:
        chain.next_block(EARLIER + 2)
        chain.log(market, "PositionFlagged", (p.id, address("A", vector), address(given.preflagged_by, vector), 7, EARLIER + 2))


def play(chain: Chain, vector: Vector) -> None:
    """The events of the calls that succeeded, as the contract emitted them; sUSD's own are another contract's."""
    for step in (*vector.steps, *vector.liquidation_steps):
        if step.revert is None:
            assert step.timestamp is not None
            chain.next_block(step.timestamp)
            for name, arguments in step.events:
                if name != "Issued":
                    chain.log(
                        address("market", vector), name, [address(a, vector) if a.isalnum() and not a.isdigit() else a for a in arguments]
                    )


MARKET = """
[[market]]
name = "{name}"
amm = "{amm}"
affected = true
reference_price = {price}
source = "test"
"""
QUERY = """
title = "A made-up crash on Perps V2"
system = "synthetix_v2"

[chain]
id = 10
settings = "{settings}"
source = "test"
{markets}
[eligibility]
from = 2023-11-14T22:13:20Z
to = 2023-11-16T00:00:00Z
rebound_shorts = "include"
opened_in_window = "exclude"
second_life = "exclude"
self_liquidation = "include"
source = "test"

[formula]
name = "{formula}"
source = "test"

[allocation]
rounded_off_to = "the treasury"
source = "test"

[[settlement]]
token = "SNX"
decimals = 18
share = 1
price = 3
price_policy = "fixed"
source = "test"

[vesting]
upfront = 0.5
calendar = "calendar-months"
length = 3
tranches = 3
start = 2023-12-01T00:00:00Z
source = "test"

[sources]
test = "a test"
"""


def query(folder: Path, vectors: Sequence[Vector], formula: str = "margin-only") -> Path:
    prices = {v.id: f"{from_integer(int(v.input.position.last_price) + 1):f}" for v in vectors}
    markets = "".join(MARKET.format(name=KEY.format(v.id), amm=address("market", v), price=prices[v.id]) for v in vectors)
    path = folder / "made-up-v2.toml"
    path.write_text(QUERY.format(settings=SETTINGS, markets=markets, formula=formula))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("v2")
    chain = Chain()
    for vector in LIQUIDATED:
        start(chain, vector)
        play(chain, vector)
    chain.write(folder / "logs.jsonl")
    query(folder, LIQUIDATED)
    return folder


@pytest.fixture(scope="module")
def done(place: Path) -> Run:
    return perpcomp.compute(str(place / "made-up-v2.toml"), place / "logs.jsonl")


def liquidation_of(vector: Vector) -> tuple[int, dict[str, str]]:
    """(time, arguments by name) of the recorded PositionLiquidated."""
    names = next(t["args"] for t in TOPICS if t["topic0"] == v2.POSITION_LIQUIDATED.topic0)
    found = [(s, dict(zip(names, a, strict=True))) for s in vector.liquidation_steps for n, a in s.events if n == "PositionLiquidated"]
    assert len(found) == 1
    assert found[0][0].timestamp is not None
    return found[0][0].timestamp, found[0][1]


def test_every_topic_is_the_hash_of_its_signature() -> None:
    types = {"count": "uint256", "uint": "uint256", "int": "int256"}
    layouts = [layout for group in (*v2.MARKET_EVENTS, (v2.PARAMETER_UPDATED,)) for layout in group]
    for layout in layouts:
        signature = f"{layout.name}({','.join(types.get(a.type, a.type) for a in layout.arguments)})"
        assert layout.topic0 == "0x" + keccak(signature.encode()).hex()
        entry = next(t for t in TOPICS if t["topic0"] == layout.topic0)
        assert entry["signature"] == signature
        assert len(entry["indexed"]) == len(layout.indexed)
    assert len({layout.topic0 for layout in layouts}) == len(layouts) == 11


def accrued_at_liquidation(vector: Vector) -> int:
    """By the state machine, driven to that moment: it recomputes funding at the flag too."""
    machine = opened("test", vector)
    for step in (*vector.steps, *vector.liquidation_steps):
        if step.revert is None:
            machine.now = step.timestamp or machine.now
            if step.call != "flagPosition":
                machine.oracle = replace(machine.oracle, price=int(vector.new_price))
                return machine.accrued("A")
            flag(machine, step.sender, "A")
    raise AssertionError("it was never liquidated")


def test_every_recorded_liquidation_is_in_the_table_with_the_position_before_it(done: Run) -> None:
    assert len(LIQUIDATED) == 83
    rows = {row["trader"]: row for row in done.liquidations.iter_rows(named=True)}
    assert len(rows) == done.liquidations.height == 83
    for vector in LIQUIDATED:
        row, (time, event) = rows[address("A", vector)], liquidation_of(vector)
        machine = opened("test", vector)
        order = machine.state.orders.get("A")
        position = machine.position("A")
        deposit = order.commit_deposit if order and not vector.input.preflagged_by else 0  # added to the margin by the flag
        price, size = int(event["price"]), position.size
        profit = mul_integers(size, price - position.last_price)
        remaining = int(event["flaggerFee"]) + int(event["liquidatorFee"]) + int(event["stakersFee"])
        assert int(row["block_time"].timestamp()) == time
        assert (row["market"], row["market_name"]) == (address("market", vector), KEY.format(vector.id))
        assert row["side"] == ("long" if size > 0 else "short")
        assert to_integer(row["size"]) == size == int(event["size"])
        assert to_integer(row["margin"]) == position.margin + deposit
        assert to_integer(row["open_notional"]) == truncate(abs(size) * position.last_price, 10**18)
        assert to_integer(row["realized_pnl"]) == profit
        assert to_integer(row["spot_price"]) == price
        assert to_integer(row["liquidation_fee"]) == int(event["liquidatorFee"])
        assert row["liquidator"] == address(event["liquidator"], vector)
        assert to_integer(row["funding_payment"]) == -accrued_at_liquidation(vector)
        total = position.margin + deposit + profit - to_integer(row["funding_payment"])
        assert to_integer(row["remaining_margin"]) == max(0, total)
        assert to_integer(row["bad_debt"]) == max(0, -total)
        if int(event["stakersFee"]):
            assert max(0, total) == remaining  # the event itself says what was left
        assert (row["era"], row["life"], row["partial"], row["eligible"]) == (None, 1, False, True)
    assert not [p for p in done.problems if p.level == "error"]


def test_the_flags_table_says_who_flagged_who_was_paid_and_what_the_market_was(done: Run) -> None:
    assert done.flags is not None
    rows = {row["trader"]: row for row in done.flags.iter_rows(named=True)}
    assert done.flags.select("block_number", "log_index").equals(done.liquidations.select("block_number", "log_index"))
    for vector in LIQUIDATED:
        row, (_, event), settings = rows[address("A", vector)], liquidation_of(vector), vector.input.settings
        flagged_before = vector.input.preflagged_by
        assert row["flagger"] == address(flagged_before or "flagger", vector)
        assert to_integer(row["flag_price"]) == (7 if flagged_before else int(vector.input.market.price))
        fees = [to_integer(row[name]) for name in ("flagger_fee", "liquidator_fee", "stakers_fee")]
        assert fees == [int(event[name]) for name in ("flaggerFee", "liquidatorFee", "stakersFee")]
        assert to_integer(row["trader_loss"]) + to_integer(row["debt_pool_loss"]) == sum(fees)
        skew, size, scale = int(vector.input.market.skew), int(event["size"]), int(settings["skewScale"])
        assert to_integer(row["skew_before"]) == skew
        assert to_integer(row["skew_scale"]) == scale
        assert to_integer(row["price_impact"]) == abs(size) * ONE // scale
        assert to_integer(row["premium"]) == abs(skew) * ONE // scale
        spontaneous = any(step.call == "liquidatePosition" and step.revert is None for step in vector.liquidation_steps)
        if spontaneous:  # then both guards let it go, by the limits of its market
            assert row["price_impact"] < row["max_liquidation_delta"]
            assert row["premium"] < row["max_pd"]
        else:
            assert row["liquidator_fee"] == 0


def test_the_whole_command_and_its_verification(place: Path) -> None:
    out = place / "out"
    words = ["run", str(place / "made-up-v2.toml"), "--input", str(place / "logs.jsonl"), "--out", str(out)]
    shown = call(*words, cwd=place)
    assert shown.returncode == 0, shown.stderr
    assert (out / "flags.csv").read_text().count("\n") == 84
    assert (out / "2-liquidations.csv").read_text().count("\n") == 84
    assert (out / "4-claims.csv").read_text().count("\n") > 84
    verified = call("verify", str(out), cwd=place)
    assert verified.returncode == 0, verified.stderr
    (out / "flags.csv").write_text((out / "flags.csv").read_text().replace("0x02", "0x22", 1))
    assert call("verify", str(out), cwd=place).returncode == 1


@pytest.mark.parametrize("formula", ["margin-only", "margin-upl-funding", "restore-position", "split-50-50"])
def test_every_formula_pays_and_every_payout_is_explained(place: Path, formula: str) -> None:
    done = perpcomp.compute(str(place / "made-up-v2.toml"), place / "logs.jsonl", formula)
    assert not [p for p in done.problems if p.level == "error"]
    total = {row["trader"]: row["margin"] for row in done.liquidations.iter_rows(named=True)}
    paid = {row["trader"]: row["entitlement"] for row in done.payouts.iter_rows(named=True)}
    assert len(paid) == 83
    if formula == "margin-only":
        assert paid == total
    assert done.claims.get_column("amount").sum() == done.payouts.get_column("amount").sum()
    for trader in paid:
        lines = explain(done, trader)
        assert any(line.startswith(f"  {formula} = ") for line in lines)
        assert any("PositionModified before it, which settled the position last: tx 0x" in line for line in lines)


def test_the_lines_of_an_explanation_are_true(done: Run) -> None:
    """The numbers of a step, evaluated as they stand, are the value below them."""
    seen = set()
    for trader in done.liquidations.get_column("trader"):
        for step in explanation.steps(done, trader):
            assert not step.expression or evaluated(step.fields()) == value_of(step.result), step
        for name, numbers, value in steps(explain(done, trader)):
            assert value_of(numbers) == value_of(value), (trader, name, numbers)
            seen.add(name)
    assert {"open_notional", "unrealized_pnl_at_reference", "SNX base units"} <= seen


# A history driven through the state machine: trades, margin moves, a second life.


def driven(folder: Path) -> tuple[Path, Path, Market]:
    vector = LIQUIDATED[0]
    market = opened_by_trades(DEPLOYED)
    chain, proxy = Chain(), address("market", vector)
    names = {"A": "A", "B": "flagger2", "anyone": "random", "flagger": "flagger"}
    seconds = iter(range(START - 1500, START + 10**6, 600))

    def run(call: Any, *arguments: Any, price: str | None = None) -> None:
        market.now = next(seconds)
        if price is not None:
            market.oracle = Oracle(to_integer(Decimal(price)))
        chain.next_block(market.now)
        for event in call(market, *arguments):
            if type(event).__name__ not in ("Issued", "Burned"):
                chain.log(proxy, type(event).__name__, [address(names[a], vector) if isinstance(a, str) else a for a in event])

    for account in ("A", "B"):
        run(deposit, account, 1000 * ONE, price="250")
    run(modify, "A", 30 * ONE)
    run(modify, "B", 20 * ONE)
    run(modify, "A", 20 * ONE, price="251")
    run(transfer_margin, "A", -50 * ONE)
    run(modify, "A", -10 * ONE, price="249.5")
    run(modify, "B", -50 * ONE)  # a reverse
    run(flag, "flagger", "A", price="226")
    run(liquidate, "anyone", "A", price="226.5")
    run(deposit, "A", 500 * ONE, price="230")
    run(modify, "A", -20 * ONE)
    run(flag, "flagger", "A", price="256")
    run(liquidate, "anyone", "A")
    run(close, "B")
    path = query(folder, [vector])
    return path, chain.write(folder / "driven.jsonl"), market


def opened_by_trades(profile: Profile) -> Market:
    return Market(replace(PARAMETERS, max_funding_velocity=90 * ONE), Oracle(250 * ONE), START - 1500, profile)


def test_trades_margin_moves_and_a_second_life(tmp_path: Path) -> None:
    path, logs, market = driven(tmp_path)
    done = perpcomp.compute(str(path), logs)
    assert not [p for p in done.problems if p.level == "error"], [str(problem) for problem in done.problems]
    assert done.liquidations.get_column("life").to_list() == [1, 2]
    assert done.liquidations.get_column("side").to_list() == ["long", "short"]
    assert all(done.liquidations.get_column("opened_at") < done.liquidations.get_column("block_time"))
    assert done.events.table.get_column("kind").to_list() == [
        *("open", "open", "increase", "reduce", "reverse", "liquidation", "open", "liquidation", "close"),
    ]
    # Funding has flowed between the trades, and what is left agrees with what the contract's rules paid out.
    table = done.events.table.filter(pl.col("kind") != "liquidation")
    assert (table.get_column("funding_payment") != 0).any()
    for row in done.liquidations.iter_rows(named=True):
        event = done.events.others["PositionLiquidated"].filter(pl.col("transaction_hash") == row["transaction_hash"]).row(0, named=True)
        paid = event["flagger_fee"] + event["liquidator_fee"] + event["stakers_fee"]
        assert row["remaining_margin"] == paid if event["stakers_fee"] else row["remaining_margin"] <= paid
    assert done.liquidations.get_column("reason_code").to_list() == ["eligible", "second-life"]
    assert market.minted["anyone"] == 4 * ONE
    # A had bought 30 at 250.0375 (with a fee of 22.503375) before the window begins; then: 20 more, 50 sUSD out, 10 less.
    first, second = (done.liquidations.select(SINCE_CRASH).row(n) for n in (0, 1))
    assert [f"{value.normalize():f}" for value in first] == ["30", "977.496625", "7501.125", "0", "50", "20", "10"]
    assert second == (0,) * 7  # its life was opened later


def rewritten(logs: Path, keep: Any) -> Path:
    rows = [json.loads(line) for line in logs.read_text().splitlines()]
    out = logs.with_name("rewritten.jsonl")
    out.write_text("".join(json.dumps(row) + "\n" for row in rows if keep(row)))
    return out


TOPIC = {"modified": v2.POSITION_MODIFIED.topic0, "funding": v2.FUNDING_RECOMPUTED.topic0, "liquidated": v2.POSITION_LIQUIDATED.topic0}


def test_what_is_missing_in_the_logs_is_named(tmp_path: Path) -> None:
    path, logs, _ = driven(tmp_path)
    rows = [json.loads(line) for line in logs.read_text().splitlines()]
    liquidations = [int(row["blockNumber"], 16) for row in rows if row["topics"][0] == TOPIC["liquidated"]]
    for keep, words in (
        (
            lambda r: int(r["blockNumber"], 16) >= liquidations[0],
            ("last PositionModified before it is not in the logs", "so the margin is unknown"),
        ),
        (lambda r: r["topics"][0] != TOPIC["funding"], ("FundingRecomputed of its funding indexes is not in the logs",)),
        (
            lambda r: not (r["topics"][0] == TOPIC["modified"] and int(r["blockNumber"], 16) == liquidations[1]),
            ("has no PositionModified in the logs", "Logs are missing"),
        ),
        (
            lambda r: r["topics"][0] != TOPIC["modified"] and r["topics"][0] != TOPIC["liquidated"],
            ("holds no PositionModified of the markets' proxies",),
        ),
    ):
        with pytest.raises(InputError) as refused:
            perpcomp.compute(str(path), rewritten(logs, keep))
        for word in words:
            assert word in str(refused.value)


def test_a_missing_trade_and_a_wrong_payout_stop_every_payment(tmp_path: Path) -> None:
    path, logs, _ = driven(tmp_path)
    rows = [json.loads(line) for line in logs.read_text().splitlines()]
    blocks = sorted({int(row["blockNumber"], 16) for row in rows})
    done = perpcomp.compute(str(path), rewritten(logs, lambda r: int(r["blockNumber"], 16) != blocks[6]))  # A's reduction
    errors = {p.code: p.stops for p in done.problems if p.level == "error"}
    assert errors.pop("hole-in-funding-index") is errors.pop("skew-does-not-add-up") is False
    assert [*errors.values()] == [True]
    assert "A size of 40" in str(next(p for p in done.problems if p.stops))
    assert done.payouts.get_column("amount").sum() == 0

    event = next(row for row in rows if row["topics"][0] == TOPIC["liquidated"])
    event["data"] = event["data"][:-1] + ("0" if event["data"][-1] != "0" else "1")
    logs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = perpcomp.compute(str(path), logs)
    assert "by the earlier logs, but the liquidation's event pays out" in str(next(p for p in done.problems if p.stops))


def test_the_layouts_before_the_guards_are_read_too(tmp_path: Path) -> None:
    """No flag, one fee of all that remained, no skew; and the first PositionFlagged, which had no price."""
    vector, chain = LIQUIDATED[0], Chain()
    proxy, trader, liquidator = (address(role, vector) for role in ("market", "A", "random"))
    chain.next_block(START)
    chain.log(proxy, "FundingRecomputed", (0, 0, 1, START))
    chain.log(proxy, "PositionModified", (1, trader, 100 * ONE, 2 * ONE, 2 * ONE, 300 * ONE, 1, ONE))
    chain.next_block(START + 60)
    chain.log(proxy, "FundingRecomputed", (-ONE, 0, 2, START + 60))
    chain.log(proxy, "PositionModified", (1, trader, 0, 0, 0, 260 * ONE, 2, 0))
    chain.log(proxy, "PositionLiquidated", (1, trader, liquidator, 2 * ONE, 260 * ONE, 18 * ONE))
    chain.next_block(START + 70)
    chain.log(proxy, "PositionFlagged", (9, trader, liquidator, START + 70))
    done = perpcomp.compute(str(query(tmp_path, [vector])), chain.write(tmp_path / "old.jsonl"))
    row = done.liquidations.row(0, named=True)
    assert (row["margin"], row["realized_pnl"], row["funding_payment"], row["remaining_margin"]) == (100, -80, 2, 18)
    assert (row["liquidation_fee"], row["fee_shortfall"], row["bad_debt"]) == (18, 0, 0)
    assert done.flags is not None
    flags = done.flags.row(0, named=True)
    assert (flags["flagger"], flags["flagger_fee"], flags["stakers_fee"], flags["skew_before"], flags["max_pd"]) == (None,) * 5
    assert (flags["trader_loss"], flags["debt_pool_loss"]) == (18, 0)
    assert done.events.others["PositionFlagged"].get_column("price").to_list() == [None]


def logged(**events: list[dict[str, Any]]) -> dict[str, pl.DataFrame]:
    """Tables by event name, as decoded: rows of one transaction and position where they name no other, null where they say nothing."""
    tables = v2.decode_all(no_logs(), 10, "")
    same = {"transaction_hash": "0xa", "block_number": 1, "market": "m", "trader": "a", "id": 1}
    for name, rows in events.items():
        schema = tables[name].schema
        tables[name] = pl.DataFrame([dict.fromkeys(schema) | same | row for row in rows], schema=schema)
    return tables


def test_a_liquidation_is_the_event_before_its_positionliquidated_and_not_one_behind_it() -> None:
    events = [{"log_index": n, "size": size, "trade_size": 0, "margin": 5, "last_price": 3} for n, size in ((1, 2), (5, 0), (7, 0))]
    found = before_each(logged(PositionModified=events, PositionLiquidated=[{"log_index": 6, "size": 2, "liquidator": "k"}]))
    assert found.select("log_index", "liquidator", "size_before").rows() == [(1, None, 2), (5, "k", 2), (7, None, 0)]


@pytest.mark.parametrize("market", ["m", "other"])
def test_20_liquidations_without_a_position_are_named(market: str) -> None:
    """In one market, whose other logs are there, or one in each of many markets of which no position is."""
    liquidated = [{"log_index": n, "size": 1, "market": market if market == "m" else f"{market} {n}"} for n in range(21)]
    with pytest.raises(InputError) as caught:
        before_each(logged(PositionModified=[{"log_index": 50, "size": 1, "trade_size": 1}], PositionLiquidated=liquidated))
    assert len(caught.value.problems) == 20


def lived(modified: list[dict[str, Any]], transferred: Sequence[dict[str, Any]] = ()) -> pl.DataFrame:
    """The lives of these events, log after log at a price and margin of 1; the crash begins with the first."""
    events = [{"last_price": 1, "margin": 1, **event} for event in modified]
    tables = logged(PositionModified=events, MarginTransferred=[*transferred])
    return with_lives(before_each(tables), tables["MarginTransferred"], pl.lit(False)).sort("log_index")


def test_a_reverse_from_either_side_begins_another_life() -> None:
    sizes = (1, -1, 1, 2, 0, -2, -1)
    trades = [after - before for before, after in zip((0, *sizes), sizes, strict=False)]
    found = lived([{"log_index": n, "size": size, "trade_size": trade} for n, (size, trade) in enumerate(zip(sizes, trades, strict=True))])
    assert found["life"].to_list() == [1, 2, 3, 3, 3, 4, 4]


def test_margin_that_was_put_in_before_the_opening_was_not_added_to_the_life() -> None:
    """Also where another trader's position is open then."""
    modified = [{"log_index": n, "size": size, "trade_size": 1, "trader": who} for n, who, size in ((1, "b", 1), (3, "a", 1), (5, "a", 2))]
    found = lived(modified, [{"log_index": 2, "margin_delta": 5}, {"log_index": 4, "margin_delta": 7}])
    assert found.select("trader", "margin_added").rows() == [("b", 0), ("a", 0), ("a", 7)]


def test_each_liquidation_of_another_size_than_the_logs_before_is_named() -> None:
    """Two traders hold 2, and of each 3 are liquidated."""
    modified, liquidated = list[dict[str, Any]](), list[dict[str, Any]]()
    for n, trader in ((0, "a"), (10, "b")):
        stored = {"trader": trader, "margin": 5, "last_price": 1, "funding_index": 0}
        modified += [{**stored, "log_index": n + log, "size": size, "trade_size": size} for log, size in ((1, 2), (5, 0))]
        liquidated.append({"trader": trader, "log_index": n + 6, "size": 3, "liquidator": "k", "liquidator_fee": 1})
    tables = {name: table.lazy() for name, table in logged(PositionModified=modified, PositionLiquidated=liquidated).items()}
    events, chain = pl.LazyFrame(), incident_file.load("rehearsal").chain
    _, findings = v2_liquidations(events, tables, chain, pl.lit(False), Events(events, tables).each)
    assert [one.code for one in findings] == ["gap-in-position"] * 2


def test_raw_logs_as_others_export_them_give_the_same(place: Path, tmp_path: Path, done: Run) -> None:
    rows = [json.loads(line) for line in (place / "logs.jsonl").read_text().splitlines()]
    table = pl.DataFrame(
        [
            {
                **{f"topic{n}": (row["topics"] + [None] * 4)[n] for n in range(4)},
                **{name: row[theirs] for name, theirs in (("address", "address"), ("data", "data"), ("block_hash", "blockHash"))},
                "transaction_hash": row["transactionHash"],
                **{name: int(row[theirs], 16) for name, theirs in (("block_number", "blockNumber"), ("log_index", "logIndex"))},
                "timestamp": int(row["blockTimestamp"], 16),
            }
            for row in rows
        ]
    )
    table.write_parquet(tmp_path / "logs.parquet")
    again = perpcomp.compute(str(place / "made-up-v2.toml"), tmp_path / "logs.parquet")
    assert again.liquidations.equals(done.liquidations)

    decoded = done.events.others["PositionModified"].drop("market").with_columns(event=pl.lit("PositionModified"))
    decoded = decoded.with_columns(
        pl.col(n).reinterpret(dtype=pl.Int128) for n in ("margin", "size", "trade_size", "last_price", "fee", "skew")
    )
    decoded.cast(pl.String).drop("block_time").with_columns(timestamp=pl.lit(str(START))).write_csv(tmp_path / "decoded.csv")
    with pytest.raises(InputError, match=r"decoded by another tool\. Export raw logs"):
        perpcomp.compute(str(place / "made-up-v2.toml"), tmp_path / "decoded.csv")


def test_the_guards_say_of_each_recorded_liquidation_what_the_contracts_did(place: Path) -> None:
    """Whoever was liquidated by anybody passed both limits of the logs; where one held it back an endorsed account forced it."""
    _, found = perpcomp.guarded(str(place / "made-up-v2.toml"), place / "logs.jsonl", swept=True)
    verdicts = {row["market"]: row for row in found.verdicts.table.iter_rows(named=True)}
    assert len(verdicts) == len(LIQUIDATED)
    forced = 0
    for vector in LIQUIDATED:
        row, settings = verdicts[address("market", vector)], vector.input.settings
        call = next(s.call for s in vector.liquidation_steps if any(name == "PositionLiquidated" for name, _ in s.events))
        size, scale = abs(int(vector.input.position.size)), int(settings["skewScale"])
        skew = abs(int(vector.view_before_liquidation.market_skew))
        assert (to_integer(row["price_impact"]), to_integer(row["premium"])) == (size * 10**18 // scale, skew * 10**18 // scale)
        (_, event), price = liquidation_of(vector), to_integer(row["index_price"])
        assert (to_integer(row["closed_size"]), price) == (int(event["size"]), int(event["price"]))
        assert to_integer(row["notional"]) == size * price // 10**18
        fees, remaining = (
            sum(int(event[name]) for name in ("flaggerFee", "liquidatorFee", "stakersFee")),
            to_integer(row["remaining_margin"]),
        )
        assert remaining == fees if int(event["stakersFee"]) else remaining <= fees
        limits = int(settings["maxLiquidationDelta"]), int(settings["maxPD"])
        assert (to_integer(row["max_liquidation_delta"]), to_integer(row["max_pd"])) == limits
        held = size * 10**18 // scale >= int(settings["maxLiquidationDelta"]), skew * 10**18 // scale >= int(settings["maxPD"])
        expected = {
            (False, False): "LIQUIDATED",
            (True, False): "FLAG_ONLY_DELTA",
            (False, True): "FLAG_ONLY_PD",
            (True, True): "FLAG_ONLY_BOTH",
        }
        assert row["verdict"] == row["verdict_of_limits"] == expected[held]
        assert row["verdict"] == "LIQUIDATED" or call == "forceLiquidatePosition"
        assert row["parameters_source"] == f"ParameterUpdated of {row['market_name']}"
        forced += row["verdict"] != "LIQUIDATED"
    assert 0 < forced < len(LIQUIDATED)
    assert found.sweep is not None
    assert found.sweep.height > 0
    with pytest.raises(InputError, match=r"executed again on the curve of perpetual-v1 only"):
        perpcomp.guarded(str(place / "made-up-v2.toml"), place / "logs.jsonl", rules="sip-2005")


def test_without_parameters_in_the_logs_the_guards_take_the_documents_or_stop(place: Path, tmp_path: Path) -> None:
    topic = next(t["topic0"] for t in TOPICS if t["signature"].startswith("ParameterUpdated"))
    logs = rewritten(place / "logs.jsonl", lambda log: log["topics"][0] != topic)
    with pytest.raises(InputError, match="No parameters of this market are known"):
        perpcomp.guarded(str(place / "made-up-v2.toml"), logs)
    text = (place / "made-up-v2.toml").read_text()
    limits = '[guards]\nsource = "test"\n\n[[guards.limits]]\nmax_liquidation_delta = 0.002\nmax_pd = 0.004\nsource = "test"\n\n[sources]\n'
    (tmp_path / "stated-v2.toml").write_text(text.replace("[sources]\n", limits, 1))
    _, found = perpcomp.guarded(str(tmp_path / "stated-v2.toml"), logs)
    assert set(found.verdicts.table["verdict"]) == {"UNKNOWN"}, "no log gives the skew scale"
    assert len(found.findings) == len(LIQUIDATED)


def test_what_this_system_does_not_offer_says_so(place: Path, tmp_path: Path, done: Run) -> None:
    with pytest.raises(InputError, match=r"Positions cannot be replayed for the system synthetix_v2"):
        perpcomp.positions(str(place / "made-up-v2.toml"), None, place / "logs.jsonl")
    table = tmp_path / "1-events.csv"
    table.write_bytes(to_csv(done.events.table, EVENTS))
    with pytest.raises(InputError, match=r"does not hold the margins before"):
        perpcomp.compute(str(place / "made-up-v2.toml"), table)
    text = (place / "made-up-v2.toml").read_text() + '[valuation]\nprice = "mark"\nsource = "test"\n'
    with pytest.raises(
        InputError, match=r'system is "synthetix_v2", which has no pool and no replay, but the file has \[valuation\] at or price'
    ):
        incident_file.parse(text.replace("reference_price", "#").encode(), "made-up-v2", place)
    text = (place / "made-up-v2.toml").read_text().replace("settings = ", "clearing_house = ")
    with pytest.raises(InputError) as refused:
        incident_file.parse(text.encode(), "made-up-v2", place)
    assert "settings is missing" in str(refused.value)
    assert "clearing_house is unknown" in str(refused.value)
