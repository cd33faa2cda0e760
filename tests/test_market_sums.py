"""A log that an input lost is noticed by the sums of its market, also at the end of a position; what is whole gives no finding."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

from perpcomp import pipeline
from perpcomp.findings import Finding, InputError
from perpcomp.input import Input, read_events
from perpcomp.lost_logs import gaps
from perpcomp.run import Run
from perpcomp.systems.continuity import MOST
from perpcomp.systems.perpetual_v1.market_sums import lost_logs
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import to_csv
from tests.commands import call
from tests.test_perpetual_v1 import CHANGED, LIQUIDATED, LOGS, rows_of

CHAINS = ["rehearsal", "later", "large"]
SWAPS, POOLS = ("SwapInput", "SwapOutput"), ("ReserveSnapshotted", "LiquidityChanged")


def found(run: Run, tables: Mapping[str, pl.DataFrame]) -> list[Finding]:
    """What is found in a run's tables of events, after a change of them."""
    return lost_logs(run.events.lazy, {name: table.lazy() for name, table in tables.items()}, run.incident)


def without(tables: Mapping[str, pl.DataFrame], *names: str) -> dict[str, pl.DataFrame]:
    return {name: table for name, table in tables.items() if name not in names}


def names(finding: Finding) -> tuple[str, str, str]:
    return finding.level, finding.code, finding.where


@pytest.mark.parametrize("name", CHAINS)
def test_the_recorded_chains_add_up(name: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    assert not [p for p in run.problems if p.code in ("logs-missing", "lost-liquidation-unseen")]
    assert found(run, without(run.events.others, *SWAPS)) == [], "by the pools alone too"


@pytest.mark.parametrize(("name", "every", "count"), [("rehearsal", 1, 36), ("later", 1, 17), ("large", 45, 27)])
@pytest.mark.parametrize("lacking", [(), SWAPS])
def test_each_liquidation_that_lost_both_of_its_logs_is_noticed(
    name: str, every: int, count: int, lacking: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    """Its swap names its transaction; without swaps in the input, the next pool of the market, or its own, is off."""
    run: Run = request.getfixturevalue(name)
    liquidations = run.liquidations.gather_every(every)
    assert liquidations.height == count
    tables = without(run.events.others, *lacking)
    for transaction, trader in liquidations.select("transaction_hash", "trader").iter_rows():
        left = dict(tables)
        for event in ("PositionChanged", "PositionLiquidated"):
            left[event] = tables[event].filter((pl.col("transaction_hash") != transaction) | (pl.col("trader") != trader))
        findings = found(run, left)
        assert ("error", "logs-missing") in [(one.level, one.code) for one in findings], transaction
        if not lacking:
            assert [names(one) for one in findings] == [("error", "logs-missing", f"tx {transaction}")]


@pytest.mark.parametrize(("name", "count"), [("rehearsal", 12), ("later", 1)])
def test_a_lost_last_transaction_of_a_market_is_noticed_by_the_funding_payment_behind_it(
    name: str, count: int, request: pytest.FixtureRequest
) -> None:
    """An input that ends with a funding payment, without the last trade before it; whole, it gives no finding."""
    run: Run = request.getfixturevalue(name)
    tried = set[str]()
    pools = run.events.others["ReserveSnapshotted"].sort("block_number", "log_index")
    for payment in run.events.others["FundingRateUpdated"].iter_rows(named=True):
        cut = {event: table.filter(_at_or_before(payment)) for event, table in run.events.others.items()}
        before = pools.filter(_at_or_before(payment) & (pl.col("market") == payment["market"]))
        if before.height < 2 or before.item(-1, "transaction_hash") in tried:
            continue
        lost = before.item(-1, "transaction_hash")
        tried.add(lost)
        assert found(run, cut) == []
        findings = found(run, {event: table.filter(pl.col("transaction_hash") != lost) for event, table in cut.items()})
        where = f"tx {payment['transaction_hash']} log {payment['log_index']}"
        assert names(findings[-1]) == ("error", "logs-missing", where)
    assert len(tried) == count


def _at_or_before(row: Mapping[str, Any]) -> pl.Expr:
    block, log = pl.col("block_number"), pl.col("log_index")
    return (block < row["block_number"]) | ((block == row["block_number"]) & (log <= row["log_index"]))


@pytest.mark.parametrize("event", ["PositionChanged", *SWAPS, *POOLS])
def test_each_single_log_that_the_sums_show_is_noticed_once(event: str, rehearsal: Run) -> None:
    """Only the pool at a market's launch is the first of its market: nothing before it says what it must be."""
    tables = rehearsal.events.others
    rows = tables[event].with_row_index("n")
    launches = rows.unique("market", keep="first")["n"].to_list() if event == "ReserveSnapshotted" else []
    for n in range(rows.height):
        findings = found(rehearsal, {**tables, event: rows.filter(pl.col("n") != n).drop("n")})
        assert [(one.level, one.code) for one in findings] == ([] if n in launches else [("error", "logs-missing")]), n


@pytest.mark.parametrize("name", ["rehearsal", "later"])
def test_each_transaction_that_lost_all_of_its_logs_makes_the_pool_jump(name: str, request: pytest.FixtureRequest) -> None:
    """Behind the last transaction of a market there is no pool that shows it: there the input ends."""
    run: Run = request.getfixturevalue(name)
    tables = run.events.others
    trades = tables["PositionChanged"].select("transaction_hash", "market")
    last = set(trades.unique("market", keep="last")["transaction_hash"])
    for transaction in trades["transaction_hash"].unique(maintain_order=True):
        findings = found(run, {name: table.filter(pl.col("transaction_hash") != transaction) for name, table in tables.items()})
        assert [(one.level, one.code) for one in findings] == ([] if transaction in last else [("error", "logs-missing")]), transaction


def test_the_finding_names_market_sizes_and_blocks(rehearsal: Run) -> None:
    row = rehearsal.events.table.filter(kind="liquidation").row(3, named=True)
    tables = rehearsal.events.others
    one = pl.col("transaction_hash") != row["transaction_hash"]
    (swap,) = found(rehearsal, {**tables, "PositionChanged": tables["PositionChanged"].filter(one)})
    amounts = f"{row['exchanged_position_size']:f} base for {row['position_notional']:f} quote"
    assert swap.what == f"In market {row['market']}, 1 swap has no PositionChanged: {amounts}."
    assert f"pull block {row['block_number']} again" in swap.what_to_do
    assert "a liquidation may be among them" in swap.what_to_do
    (jump,) = found(rehearsal, {name: table.filter(one) for name, table in tables.items()})
    assert f"The pool of market {row['market']} is " in jump.what
    assert f"{-row['exchanged_position_size']:f} base" in jump.what
    first, last = map(int, jump.what_to_do.partition("pull blocks ")[2].partition(" again")[0].split(" to "))
    assert first < row["block_number"] < last


def test_of_many_breaks_the_first_are_named_and_the_others_counted(rehearsal: Run) -> None:
    tables = rehearsal.events.others
    findings = found(rehearsal, {**tables, "PositionChanged": tables["PositionChanged"].filter(pl.col("fee") > 0)})
    lost = tables["PositionChanged"].filter(pl.col("fee") == 0)
    assert [one.where for one in findings[:MOST]] == [f"tx {transaction}" for transaction in lost["transaction_hash"][:MOST]]
    assert len(findings) == MOST + 1
    assert findings[-1].what.startswith(f"There are {lost.height - MOST} more places")


def test_markets_are_looked_at_part_by_part_where_they_have_many_logs(large: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perpcomp.decoded.MARKETS_AT_ONCE", 1_000)
    events, names = large.events, [market.amm for market in large.incident.markets]

    def seen(own: list[str], lazy: pl.LazyFrame, others: Mapping[str, pl.LazyFrame]) -> tuple[list[str], list[set[str]]]:
        read = [lazy, *(others[name] for name in ("PositionChanged", *SWAPS))]
        return own, [set(table.collect().get_column("market")) for table in read]

    parts = list(events.each_market(seen, names, apart=True))
    assert len(parts) == -(-max(table.height for table in events.others.values()) // 1_000)
    assert all(set(own) == markets for own, read in parts for markets in read)
    assert sorted(market for own, _ in parts for market in own) == sorted(names)
    for market in names:  # a lost log in any part, even the last
        changes = events.others["PositionChanged"]
        lost = changes.filter(market=market)["log_index", "transaction_hash"].row(-1)
        left = changes.filter(~((pl.col("log_index") == lost[0]) & (pl.col("transaction_hash") == lost[1])))
        spoilt = replace(events, lazy_others={**events.lazy_others, "PositionChanged": left.lazy()})
        findings = [one for one in gaps(spoilt, large.incident) if one.code == "logs-missing"]
        assert findings == found(large, {**events.others, "PositionChanged": left})
        assert [one.where for one in findings] == [f"tx {lost[1]}"]


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ((*SWAPS, *POOLS), "no SwapInput, SwapOutput or ReserveSnapshotted of BTCUSDC."),
        (POOLS, "no ReserveSnapshotted of BTCUSDC."),
    ],
)
def test_an_input_without_the_events_gives_exactly_one_warning(lacking: tuple[str, ...], words: str, rehearsal: Run) -> None:
    (warning,) = found(rehearsal, without(rehearsal.events.others, *lacking))
    assert (warning.level, warning.code) == ("warning", "lost-liquidation-unseen")
    assert warning.what == f"A lost liquidation could not be seen: the input holds {words}"
    assert warning.what_to_do.startswith("Pull these events of the market contracts too")


def test_position_changes_before_a_markets_first_log_give_the_warning(rehearsal: Run) -> None:
    """The markets' logs were pulled for the window alone."""
    later = pl.col("block_time") >= rehearsal.incident.eligibility.start
    tables = rehearsal.events.others
    (warning,) = found(rehearsal, {**tables, **{name: tables[name].filter(later) for name in (*SWAPS, *POOLS)}})
    first = tables["ReserveSnapshotted"].filter(later, market=rehearsal.incident.markets[0].amm)["block_number"][0]
    assert warning.what.endswith(f"the input holds no SwapInput, SwapOutput or ReserveSnapshotted of BTCUSDC before block {first}.")


def test_our_own_events_table_gives_the_one_warning_and_no_false_alarm(rehearsal: Run, tmp_path: Path) -> None:
    (tmp_path / "1-events.csv").write_bytes(to_csv(rehearsal.events.table, EVENTS))
    run = pipeline.compute(rehearsal.incident, Input(tmp_path / "1-events.csv", None))
    assert [p.code for p in run.problems].count("lost-liquidation-unseen") == 1
    assert not [p for p in run.problems if p.level == "error" and p not in rehearsal.problems]


@pytest.mark.parametrize("verb", ["events", "liquidations", "payouts"])
def test_every_verb_names_a_lost_liquidation_and_ends_with_1(verb: str, rehearsal: Run, tmp_path: Path) -> None:
    """The last event of its position, which nothing else shows."""
    table = rehearsal.events.table
    last = table.filter(kind="liquidation").join(
        table.unique(["trader", "market"], keep="last"), on=["block_number", "log_index"], how="semi"
    )
    row = last.row(0, named=True)
    kept = [
        one for one in rows_of(LOGS) if one["transactionHash"] != row["transaction_hash"] or one["topics"][0] not in (CHANGED, LIQUIDATED)
    ]
    (tmp_path / "logs.jsonl").write_text("\n".join(map(json.dumps, kept)))
    done = call(verb, "rehearsal", "--input", "logs.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    assert f"tx {row['transaction_hash']}" in done.stderr.replace("\n", " ")
    assert "1 swap has no PositionChanged" in done.stderr.replace("\n", " ")


def refused(rehearsal: Run, tmp_path: Path, row: int, **cells: Any) -> list[str]:
    """What is said of the rehearsal's events table, in which a row has other cells."""
    table = rehearsal.events.table.with_row_index("n")
    table = table.with_columns(
        pl.when(pl.col("n") == row).then(pl.lit(v)).otherwise(k).cast(table[k].dtype).alias(k) for k, v in cells.items()
    )
    (tmp_path / "1-events.csv").write_bytes(table.drop("n").write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode())
    with pytest.raises(InputError) as error:
        read_events(Input(tmp_path / "1-events.csv", None), rehearsal.incident)
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize(
    "name", ["margin", "position_notional", "fee", "bad_debt", "liquidation_penalty", "spot_price", "liquidation_fee", "fee_shortfall"]
)
def test_an_amount_that_the_contract_logs_without_a_sign_is_not_negative(name: str, rehearsal: Run, tmp_path: Path) -> None:
    liquidation = rehearsal.events.table.with_row_index("n").filter(kind="liquidation").row(0, named=True)
    (said,) = refused(rehearsal, tmp_path, liquidation["n"], **{name: -1})
    assert said.startswith(f"1-events.csv tx {liquidation['transaction_hash']} log {liquidation['log_index']}: {name} is below 0")


def test_times_rise_with_block_numbers(rehearsal: Run, tmp_path: Path) -> None:
    table = rehearsal.events.table
    (said,) = refused(rehearsal, tmp_path, 9, block_time=table["block_time"][0])
    assert said.startswith(
        f"1-events.csv row 11: Block {table['block_number'][9]} is dated {table['block_time'][0]:%Y-%m-%d %H:%M:%S}Z, before block"
    )


def test_a_hash_belongs_to_one_block(rehearsal: Run, tmp_path: Path) -> None:
    block_hash = rehearsal.events.table["block_hash"][0]
    (said,) = refused(rehearsal, tmp_path, 9, block_hash=block_hash)
    assert said.startswith(f"1-events.csv row 2: The block hash {block_hash} is given for more than one block. The rows come from two")
