"""Liquidations against the contracts' own views, to the wei; eras, lives and what must stop payment."""

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest

import perpcomp
from perpcomp import fixed, pipeline
from perpcomp.decoded import Events
from perpcomp.findings import Finding, InputError
from perpcomp.fixed import from_integer, to_integer
from perpcomp.incident import incident_file
from perpcomp.incident.chain import Chain, Code
from perpcomp.input import Input, find_input, read_events
from perpcomp.run import Run
from perpcomp.systems.columns import SINCE_CRASH
from perpcomp.systems.perpetual_v1 import events as v1
from perpcomp.systems.perpetual_v1 import liquidations
from perpcomp.systems.perpetual_v1.eras import tell_eras
from perpcomp.systems.system import Each
from tests import build, made_logs
from tests.conftest import LAB, truth
from tests.raw_logs import read_logs
from tests.variants import CODE

LOGS = incident_file.shelf() / "rehearsal" / "logs.jsonl.gz"
CHANGED = v1.POSITION_CHANGED.topic0
LIQUIDATED = v1.POSITION_LIQUIDATED.topic0
MARGIN = v1.MARGIN_CHANGED.topic0


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.open(path, "rt")]


def run_with(tmp_path: Path, rows: list[dict[str, Any]], query: str = "rehearsal") -> Run:
    """The run of a query over other logs."""
    file = tmp_path / "logs.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return pipeline.compute(incident_file.load(query), Input(file, None))


def differences(run: Run, name: str) -> tuple[int, list[tuple[Any, ...]]]:
    """How many views were compared, and where margin, size or open notional is not the view at the block before."""
    found = {(r["transaction_hash"], r["trader"], r["market"]): r for r in run.liquidations.iter_rows(named=True)}
    compared, wrong = 0, []
    for one in truth(name)["liquidations"]:
        row = found[one["tx"], one["trader"], one["amm"]]
        assert row["log_index"] == one["logIndex"] + 1, "the row is named by its PositionChanged, the log after PositionLiquidated"
        if view := one.get("block_before"):
            compared += 1
            for column, key in (("size", "size"), ("margin", "margin"), ("open_notional", "openNotional")):
                if to_integer(row[column]) != int(view[key]):
                    wrong.append((one["label"], column, row[column], view[key]))
    return compared, wrong


def in_window(run: Run) -> pl.DataFrame:
    rules = run.incident.eligibility
    return run.liquidations.filter(
        pl.col("block_time").is_between(rules.start, rules.end, closed="left"), pl.col("market_name") == "BTCUSDC"
    )


def test_every_liquidation_of_february_equals_the_contract_views(rehearsal: Run) -> None:
    assert rehearsal.liquidations.height == 36
    assert differences(rehearsal, "february") == (36, [])


def test_every_liquidation_of_the_later_contracts_equals_the_contract_views(later: Run) -> None:
    assert later.liquidations.height == 17
    assert later.liquidations["partial"].sum() == 12
    assert differences(later, "later-contracts") == (17, [])


def test_every_liquidation_of_large_is_found_and_the_sampled_views_are_equal(large: Run) -> None:
    rows = large.liquidations
    assert rows.height == 1179
    compared, wrong = differences_of_sample(large)
    assert (compared, wrong) == (63, [])
    assert sum(map(to_integer, rows["margin"])) == 563_676_318995828685575595


def differences_of_sample(run: Run) -> tuple[int, list[tuple[Any, ...]]]:
    return differences(run, "large")


def test_the_rehearsal_loses_no_victim_of_bad_debt(rehearsal: Run) -> None:
    """12 of the 31 show a penalty of 0: whoever filters by penalty loses them."""
    rows = in_window(rehearsal)
    assert (rows.height, rows["trader"].n_unique()) == (31, 30)
    ruined = rows.filter(pl.col("bad_debt") > 0)
    assert ruined.height == 12
    assert (ruined["remaining_margin"] == 0).all()


def test_the_sums_of_the_lab(rehearsal: Run) -> None:
    rows = in_window(rehearsal)
    sums = {name: sum(map(to_integer, rows[name])) for name in ("margin", "funding_payment", "realized_pnl", "unrealized_pnl_at_reference")}
    assert sums == {
        "margin": 49082625487494371690771,
        "funding_payment": 1208507738210223265590,
        "realized_pnl": -48840556297285647856612,
        "unrealized_pnl_at_reference": 6570462738024521740575,
    }
    link = rehearsal.liquidations.filter(pl.col("market_name") == "LINKUSDC")
    assert link["margin"].to_list() == [Decimal(1200)]


def test_a_life_is_paid_once_and_by_its_closed_share(later: Run) -> None:
    """7,400 in 6 lives, not 15,804 in 17 events; short10 keeps 9/16, so 6,893.75 is payable."""
    assert sum(map(to_integer, later.liquidations["margin"])) == 15804078886425686066056
    eligible = later.liquidations.filter("eligible")
    assert eligible.height == 6
    assert sum(map(to_integer, eligible["margin"])) == 7_400 * 10**18
    survivor = eligible.filter(pl.col("compensated_size") != pl.col("size").abs())
    assert survivor["side"].to_list() == ["short"]
    views = [t for t in truth("later-contracts")["liquidations"] if t["trader"] == survivor["trader"][0]]
    before, after = abs(int(views[0]["block_before"]["size"])), abs(int(views[-1]["after"]["size"]))
    share = 900 * 10**18 * (before - after) // before  # the contract closes floored quarters, so 7/16 less some wei
    paid = later.payouts.filter(pl.col("trader") == survivor["trader"][0])
    assert [to_integer(e) for e in paid["entitlement"]] == [share]
    total = sum(map(to_integer, later.payouts["entitlement"]))
    assert total == 6_500 * 10**18 + share
    assert round(from_integer(total), 2) == Decimal("6893.75")


def test_a_surviving_life_is_paid_whole_where_the_query_says_so(tmp_path: Path) -> None:
    text = (LAB / "later-contracts.toml").read_text()
    text = text.replace('self_liquidation = "include"', 'self_liquidation = "include"\nsurviving_life = "whole"')
    query = incident_file.parse(text.encode(), "whole", LAB)
    done = pipeline.compute(query, find_input(query, None))
    assert sum(map(to_integer, done.payouts["entitlement"])) == 7_400 * 10**18


def test_the_eras_are_told_from_the_data(rehearsal: Run, later: Run) -> None:
    assert rehearsal.liquidations["era"].unique().to_list() == [1]
    assert later.liquidations["era"].unique().to_list() == [2]
    assert rehearsal.liquidations["era_rule"].str.contains("liquidator-fee").all()
    assert (later.liquidations["era_rule"] == "flags, liquidator-fee, identity").all()


def both_eras(window: str = "2021-05-19T05:44:46Z") -> tuple[list[dict[str, Any]], str]:
    """One file of two recordings: february's ClearingHouse, then the later contracts at the same address, with other traders."""
    later_rows = rows_of(LAB / "later-contracts" / "logs.jsonl.gz")
    market = "75c35c980c0d37ef46df04d31a140b65503c0eed"
    for row in later_rows:  # both chains were made by one script: its transactions and traders would stand twice
        row["transactionHash"] = "0xff" + row["transactionHash"][4:]
        row["topics"] = [t if n == 0 or t.endswith(market) else t[:26] + "ff" + t[28:] for n, t in enumerate(row["topics"])]
    text = (incident_file.shelf() / "rehearsal.toml").read_text()
    text = text.replace(CODE, "")
    return rows_of(LOGS) + later_rows, text.replace("to = 2021-02-21T08:45:01+08:00", f"to = {window}")


def test_one_file_may_hold_both_eras(tmp_path: Path) -> None:
    rows, text = both_eras()
    (tmp_path / "both.toml").write_text(text)
    done = run_with(tmp_path, rows, str(tmp_path / "both.toml"))
    assert done.liquidations["era"].to_list() == [1] * 36 + [2] * 17
    assert not [p for p in done.problems if p.stops]
    margins = done.liquidations["margin"].to_list()
    assert margins[:36] == perpcomp.liquidations("rehearsal")[0]["margin"].to_list()
    assert margins[36:] == perpcomp.liquidations(str(LAB / "later-contracts.toml"))[0]["margin"].to_list()


def test_eras_that_change_twice_stop_every_payment(tmp_path: Path) -> None:
    rows, text = both_eras()
    for row in rows:  # the later contracts' blocks before february's: era 2, then era 1
        if int(row["blockNumber"], 16) >= 16_000_000:
            row["blockNumber"] = hex(int(row["blockNumber"], 16) - 3_000_000)
            row["blockTimestamp"] = hex(int(row["blockTimestamp"], 16) - 365 * 86_400)
    (tmp_path / "both.toml").write_text(text)
    done = run_with(tmp_path, rows, str(tmp_path / "both.toml"))
    assert any(p.stops and "era" in p.what for p in done.problems)
    assert set(done.payouts["amount_base_units"]) == {"0"}
    assert [p for p in done.problems if p.level == "error"]


def test_an_upgraded_log_alone_is_no_change_of_era(rehearsal: Run) -> None:
    """The rehearsal holds the V1 to V2 upgrade, which changed no event."""
    assert rehearsal.events.others["Upgraded"].height == 1
    first, last = rehearsal.liquidations["block_number"].min(), rehearsal.liquidations["block_number"].max()
    upgraded = rehearsal.events.others["Upgraded"]["block_number"][0]
    assert first < upgraded < last  # type: ignore[operator]
    assert rehearsal.liquidations["era"].n_unique() == 1


def word(data: str, n: int, value: int) -> str:
    """The data with its n-th word replaced."""
    return data[: 2 + 64 * n] + f"{value % 2**256:064x}" + data[2 + 64 * (n + 1) :]


def test_tests_of_one_row_that_disagree_stop_payment(tmp_path: Path) -> None:
    """A liquidator's fee of half the ratio says era 2; the margin replayed from earlier logs says era 1."""
    rows = rows_of(LOGS)
    pairs = [(n, r) for n, r in enumerate(rows) if r["topics"][0] == LIQUIDATED and int(rows[n + 1]["data"][2 + 64 * 8 : 2 + 64 * 9], 16)]
    n, row = pairs[5]
    fee = int(row["data"][2 + 64 * 2 : 2 + 64 * 3], 16)
    rows[n]["data"] = word(row["data"], 2, fee // 2)
    done = run_with(tmp_path, rows)
    assert [p for p in done.problems if p.stops and "disagree" in p.what and "liquidator-fee says era 2" in p.what]
    assert set(done.payouts["amount_base_units"]) == {"0"}
    assert set(done.payouts["reason"]) == {"payment is stopped by a finding: see findings.csv"}


def test_a_missing_margin_change_is_found_and_stops_payment(tmp_path: Path) -> None:
    rows = rows_of(LOGS)
    last: dict[tuple[str, str], dict[str, Any]] = {}
    dropped = None
    for row in rows:  # a margin change right before a liquidation; an earlier one is in the next event's margin
        if row["topics"][0] == LIQUIDATED and last[row["topics"][1], row["topics"][2]]["topics"][0] == MARGIN:
            dropped = last[row["topics"][1], row["topics"][2]]
        elif row["topics"][0] in (MARGIN, CHANGED):
            last[row["topics"][1], row["topics"][2]] = row
    assert dropped is not None
    done = run_with(tmp_path, [r for r in rows if r is not dropped])
    assert [p for p in done.problems if p.stops and "margin change is missing" in p.what_to_do]


def test_a_missing_opening_makes_a_partial_liquidations_open_notional_null(tmp_path: Path) -> None:
    """margin-only still pays; a formula that reads the open notional does not, and says so."""
    rows = rows_of(LAB / "later-contracts" / "logs.jsonl.gz")
    partial = perpcomp.liquidations(str(LAB / "later-contracts.toml"))[0].filter("partial").row(0, named=True)
    opening = next(r for r in rows if r["topics"][0] == CHANGED and r["topics"][1][26:] == partial["trader"][2:])
    text = (LAB / "later-contracts.toml").read_text()
    for name, expected in (("margin-only", partial["margin"]), ("margin-upl-funding", Decimal(0))):
        (tmp_path / "cut.toml").write_text(text.replace('name = "margin-only"', f'name = "{name}"'))
        done = run_with(tmp_path, [r for r in rows if r is not opening], str(tmp_path / "cut.toml"))
        mine = done.liquidations.filter(pl.col("trader") == partial["trader"], pl.col("partial"))
        assert mine["open_notional"].null_count() == mine.height
        assert [p for p in done.problems if p.level == "error" and "open notional is unknown" in p.what]
        paid = done.payouts.filter(pl.col("trader") == partial["trader"]).row(0, named=True)
        assert paid["entitlement"] == expected
        if not expected:
            assert paid["reason"].startswith("unknown")
        assert [p for p in done.problems if p.level == "error"]


def test_a_missing_event_inside_a_life_is_named(tmp_path: Path) -> None:
    """Without one increase the size before the next event is not what the event before left."""
    rows = rows_of(LAB / "later-contracts" / "logs.jsonl.gz")
    partials = perpcomp.liquidations(str(LAB / "later-contracts.toml"))[0].filter("partial")
    trader = partials["trader"][0]
    dropped = partials.filter(pl.col("trader") == trader).row(0, named=True)
    kept = [r for r in rows if not (r["transactionHash"] == dropped["transaction_hash"] and r["topics"][0] in (CHANGED, LIQUIDATED))]
    done = run_with(tmp_path, kept, str(LAB / "later-contracts.toml"))
    assert [p for p in done.problems if p.code == "gap-in-position"]
    assert [p for p in done.problems if p.level == "error"]


@pytest.mark.parametrize("topic", [LIQUIDATED, CHANGED])
def test_half_a_liquidation_is_refused(tmp_path: Path, topic: str) -> None:
    rows = rows_of(LOGS)
    pairs = {r["transactionHash"] for r in rows if r["topics"][0] == LIQUIDATED}
    dropped = [r for r in rows if r["topics"][0] == topic and r["transactionHash"] in pairs][3]
    with pytest.raises(perpcomp.findings.InputError, match="has no Position") as error:
        run_with(tmp_path, [r for r in rows if r is not dropped])
    assert dropped["transactionHash"] in str(error.value)


def test_a_bad_debt_liquidation_without_its_position_liquidated_is_refused(tmp_path: Path) -> None:
    """It shows no penalty; that it closed for no fee gives it away."""
    rows = rows_of(LOGS)
    ruined = perpcomp.liquidations("rehearsal")[0].filter(pl.col("bad_debt") > 0)["transaction_hash"][0]
    kept = [r for r in rows if not (r["transactionHash"] == ruined and r["topics"][0] == LIQUIDATED)]
    with pytest.raises(perpcomp.findings.InputError, match="has no PositionLiquidated"):
        run_with(tmp_path, kept)


def test_an_under_water_close_is_no_liquidation(rehearsal: Run) -> None:
    closed = rehearsal.events.table.filter((pl.col("kind") == "close") & (pl.col("bad_debt") > 0))
    assert closed.height == 1
    assert closed["liquidator"].null_count() == 1


def test_events_are_classified_as_the_lab_counts_them(rehearsal: Run) -> None:
    kinds = dict(rehearsal.events.table.group_by("kind").len().iter_rows())
    assert kinds == {"open": 68, "increase": 127, "reduce": 51, "reverse": 2, "close": 5, "liquidation": 36}


def test_what_another_contract_logs_as_the_clearing_house_does_is_not_counted(tmp_path: Path) -> None:
    """Its address may stand before or behind that of the ClearingHouse."""
    logs, others = made_logs.crash([1_000]), [f"0x{digits * 40}" for digits in "0f"]
    strays = [{**logs[0], "address": other, "logIndex": hex(n)} for n, other in enumerate(others, len(logs))]
    (tmp_path / "logs.jsonl").write_text("".join(json.dumps(log) + "\n" for log in logs + strays))
    raw = read_logs(tmp_path / "logs.jsonl", [made_logs.HOUSE, *others], v1.TOPICS)
    assert raw.filter(topic0=CHANGED)["address"].n_unique() == 3
    assert v1.decode_all(raw, 100, made_logs.HOUSE)["PositionChanged"].height == 2, "opened and liquidated"


def test_two_liquidations_of_one_trader_in_one_transaction_keep_their_pairs() -> None:
    """Partial liquidations through a contract: same transaction, trader and market; only the order tells them apart."""
    later_events = read_events(
        Input(LAB / "later-contracts" / "logs.jsonl.gz", None), incident_file.load(str(LAB / "later-contracts.toml"))
    )
    changed, liquidated = later_events.others["PositionChanged"], later_events.others["PositionLiquidated"]
    trader = liquidated.group_by("trader", maintain_order=True).len().filter(pl.col("len") > 1)["trader"][0]
    one_tx, one_block = liquidated["transaction_hash"][0], liquidated["block_number"][0]
    merged = {}
    for name, frame in later_events.others.items():
        if name in ("PositionChanged", "PositionLiquidated"):
            mine = pl.col("trader") == trader
            if name == "PositionChanged":
                mine = mine & pl.col("transaction_hash").is_in(liquidated["transaction_hash"].implode())
            frame = frame.filter(mine).with_columns(
                (pl.col("log_index") + 100 * pl.col("block_number").rank("dense").cast(pl.Int64)).alias("log_index"),
                pl.lit(one_tx).alias("transaction_hash"),
                pl.lit(one_block, dtype=pl.Int64).alias("block_number"),
            )
        merged[name] = frame
    table = v1.events_table({name: frame.lazy() for name, frame in merged.items()}).collect()
    paired = table.filter(pl.col("liquidator").is_not_null()).sort("log_index")
    assert (
        paired.height
        == changed.filter(pl.col("trader") == trader, pl.col("transaction_hash").is_in(liquidated["transaction_hash"].implode())).height
    )
    expected = liquidated.filter(pl.col("trader") == trader).sort("block_number")["liquidation_fee"].to_list()
    assert paired["liquidation_fee"].to_list() == expected


def test_an_events_table_gives_the_same_liquidations_as_the_logs(rehearsal: Run, later: Run, tmp_path: Path) -> None:
    from perpcomp.tables.events import EVENTS
    from perpcomp.tables.files import to_csv, to_parquet

    for done in (rehearsal, later):
        (tmp_path / "events.csv").write_bytes(to_csv(done.events.table, EVENTS))
        (tmp_path / "events.parquet").write_bytes(to_parquet(done.events.table))
        for name in ("events.csv", "events.parquet"):
            again = pipeline.compute(done.incident, Input(tmp_path / name, None))
            by_replay = ("leverage_before_crash", "liquidation_price_before_crash", "restore_notional", "restore_fee")
            needs_more = ("era_rule", *SINCE_CRASH, *by_replay)
            assert again.liquidations.drop(needs_more).equals(done.liquidations.drop(needs_more))
            for column in needs_more[1:]:  # Other events tell some of it: without them it is null, never another figure
                pairs = zip(again.liquidations[column], done.liquidations[column], strict=True)
                assert all(ours in (None, whole) for ours, whole in pairs), column
            assert again.payouts.equals(done.payouts)


def found_in(run: Run, each: Each) -> tuple[list[dict[str, Any]], list[Finding]]:
    """The liquidations of a run's input and what is wrong with them, as `each` gives the input."""
    events, before_crash = run.events, pl.col("block_number") < run.liquidations["block_number"][0]
    table, findings = liquidations.liquidations(events.lazy, events.lazy_others, run.incident.chain, before_crash, each)
    return table.rows(named=True), findings


def test_lives_that_are_followed_a_few_at_a_time_are_the_same(later: Run) -> None:
    """All rows of a position are in one part, and in no other."""
    whole = found_in(later, later.events.each)
    with mock.patch.object(liquidations, "PARTITION", 10):
        assert found_in(later, later.events.each) == whole


def test_liquidations_of_an_input_in_parts_are_those_of_the_whole_in_their_order(later: Run) -> None:
    def each(function: Any) -> Any:
        for part in range(3):
            own = pl.struct("trader", "market").hash() % 3 == part
            of_traders = {name: table.filter(own) for name, table in events.lazy_others.items() if "trader" in table.collect_schema()}
            yield function(events.lazy.filter(own), {**events.lazy_others, **of_traders})

    events = later.events
    assert found_in(later, each) == found_in(later, events.each)


def test_the_vectors_of_the_facts(rehearsal: Run, later: Run) -> None:
    """C_top (bad debt), B_relever (profit), short_bottom (short), p10 (era 2, partial)."""
    rows = pl.concat([rehearsal.liquidations, later.liquidations])

    def one(exchanged: int) -> dict[str, Any]:
        return rows.filter((pl.col("size") - pl.col("size_after")) == from_integer(-exchanged)).row(0, named=True)

    for exchanged, size, margin, notional, upl in (
        (-1000878885529645220, 1000878885529645220, 10000000000000000000000, 55000000000000000000000, -4956055723517739000000),
        (-1634676084073001480, 1634676084073001480, 127372883264117290264, 65000000000000000000000, 16733804203650074000000),
        (270630160060194758, -270630160060194758, 1000000000000000000000, 10000000000000000000000, -3531508003009737900000),
        (-62449021207177814, 249796084828711256, 1000000000000000000000, 10000000000000000000000, None),
    ):
        row = one(exchanged)
        assert [to_integer(row[n]) for n in ("size", "margin", "open_notional")] == [size, margin, notional]
        if upl is not None:
            assert to_integer(row["unrealized_pnl_at_reference"]) == upl


def test_trap_the_forums_examples_could_not_have_been_liquidated(tmp_path: Path, rehearsal: Run, later: Run, large: Run) -> None:
    """A stood at 73 % of its open notional, B at 58 %, C at 15 %; the contracts liquidate below 6.25 %. None of the recordings' does."""
    rows = [
        *build.position(1, build.address(1), 1, 30_000, 10_000, 42_000),
        *build.position(2, build.address(2), 1, 30_000, 2_500, 45_000),
        *build.position(3, build.address(3), 1, 52_000, 10_000, 50_000),
        *build.position(4, build.address(4), 1, 52_000, 5_200, 50_000),
    ]
    said = [p for p in build.run(tmp_path, rows).problems if p.code == "margin-ratio-too-high"]
    assert [p.what.split("Margin ratio was ")[1][:6] for p in said] == ["0.7333", "0.5833", "0.1538"]
    assert {p.level for p in said} == {"warning"}
    for done in (rehearsal, later, large):
        assert not [p for p in done.problems if p.code == "margin-ratio-too-high"]


ERA_1, ERA_2 = {"liquidation_fee": "12.5"}, {"liquidation_fee": "6.25"}  # of a notional of 1,000, at a ratio of 0.0125
# A notional of 0 has a fee of 0, whole or half; and era 1 would make its margin 150, era 2 100.
UNDECIDED = {"position_notional": "0", "liquidation_penalty": "100", "realized_pnl": "-50"}


def chain_of(ratio: str | None = "0.0125", code: tuple[Code, ...] = ()) -> Chain:
    return Chain(100, f"0x{'aa' * 20}", None, None, None if ratio is None else Decimal(ratio), ("test",), code)


def judged(
    rows: list[dict[str, Any]], upgrades: tuple[int, ...] = (), code: tuple[Code, ...] = (), ratio: str = "0.0125", **tables: pl.DataFrame
) -> tuple[pl.DataFrame, list[Finding]]:
    """Made-up liquidations with their eras, in blocks 10, 20 ... and log 7 where they name none, and what is found. Upgrades are blocks."""
    base = {
        "block_number": 0,
        "log_index": 7,
        "kind": "liquidation",
        **dict.fromkeys(("liquidation_penalty", "bad_debt", "realized_pnl", "funding_payment", "margin", "liquidation_fee"), "0"),
        "position_notional": "1000",
        "margin_replayed": None,
        "fee_shortfall": None,
    }
    amounts = [name for name, value in base.items() if value is None or (isinstance(value, str) and name != "kind")]
    made = [{**base, "block_number": 10 * n, "transaction_hash": f"0x{n:064x}", **row} for n, row in enumerate(rows, 1)]
    frame = pl.DataFrame(
        [{name: Decimal(v) if name in amounts and v is not None else v for name, v in row.items()} for row in made],
        schema_overrides=dict.fromkeys(amounts, fixed.AMOUNT),
    )
    if upgrades:
        tables["Upgraded"] = pl.DataFrame({"block_number": upgrades, "log_index": range(len(upgrades))})
    found, findings = tell_eras(frame, tables, chain_of(ratio, code), True)
    return found.sort("block_number", "log_index"), findings


def told(rows: list[dict[str, Any]], *more: Any, **named: Any) -> tuple[list[tuple[int, str]], list[Finding]]:
    """(era, rule) of made-up liquidations, and what is found."""
    found, findings = judged(rows, *more, **named)
    return found.select("era", "era_rule").rows(), findings


@pytest.mark.parametrize(
    ("upgrades", "era", "rule"),
    [
        ((), None, "unknown"),
        ((11,), 2, "upgraded"),
        ((20,), 2, "upgraded"),  # in its own block
        ((21,), 1, "upgraded"),
        ((30,), 1, "upgraded"),  # in the block of the first that is known to be era 2
        ((10,), None, "unknown"),  # in the block of the last that is known to be era 1: after it, or before it
        ((31,), None, "unknown"),
        ((11, 21), None, "unknown"),  # two upgrades: either may be the change
        ((9, 11, 31), 2, "upgraded"),
    ],
)
def test_the_era_of_an_undecided_row_between_two_eras_needs_the_upgraded_log(upgrades: tuple[int, ...], era: int | None, rule: str) -> None:
    """Nothing else tells it. Where that log does not either, the row is not paid."""
    eras, findings = told([ERA_1, UNDECIDED, ERA_2], upgrades)
    assert [e for e, _ in eras] == [1, era, 2]
    assert eras[1][1] == rule
    assert [(f.where, f.level, f.stops) for f in findings] == ([(f"tx 0x{2:064x} log 7", "error", False)] if rule == "unknown" else [])


def test_an_undecided_row_takes_the_era_of_the_side_on_which_it_stands() -> None:
    eras, findings = told([UNDECIDED, ERA_1, ERA_2, UNDECIDED])
    assert eras == [(1, "inherited"), (1, "liquidator-fee"), (2, "liquidator-fee"), (2, "inherited")]
    assert findings == []


def test_an_undecided_row_alone_has_no_margin() -> None:
    found, findings = judged([UNDECIDED])
    assert found.select("era", "era_rule", "margin_before").rows() == [(None, "unknown", None)]
    assert [(f.level, f.code) for f in findings] == [("error", "era-unknown")]
    assert "150.000000000000000000 in era 1 and 100.000000000000000000 in era 2" in findings[0].what
    assert "[[chain.code]]" in findings[0].what_to_do


@pytest.mark.parametrize(
    ("rows", "upgrades", "eras"),
    [
        ([ERA_1, UNDECIDED], (), [(1, "liquidator-fee"), (None, "unknown")]),
        ([UNDECIDED, ERA_2], (), [(None, "unknown"), (2, "liquidator-fee")]),
        ([ERA_1, UNDECIDED], (15,), [(1, "liquidator-fee"), (None, "unknown")]),
        ([UNDECIDED, ERA_2], (15,), [(None, "unknown"), (2, "liquidator-fee")]),
        ([ERA_1, UNDECIDED], (5,), [(1, "liquidator-fee"), (1, "upgraded")]),
        ([ERA_1, UNDECIDED], (25,), [(1, "liquidator-fee"), (1, "upgraded")]),
        ([UNDECIDED, ERA_2], (5,), [(2, "upgraded"), (2, "liquidator-fee")]),
        ([UNDECIDED, ERA_2], (25,), [(2, "upgraded"), (2, "liquidator-fee")]),  # the first upgrade is behind both
    ],
)
def test_an_era_is_not_inherited_across_a_possible_change(
    rows: list[dict[str, str]], upgrades: tuple[int, ...], eras: list[tuple[int | None, str]]
) -> None:
    """After the last row of era 1 and before the first of era 2 only an Upgraded log in the input shows when the code changed."""
    found, findings = told(rows, upgrades)
    assert found == eras
    assert [f.code for f in findings] == ["era-unknown"] * sum(era is None for era, _ in eras)


def test_an_upgrade_in_a_block_counts_from_its_own_log_on() -> None:
    """The row is log 7 of block 20: an upgrade by log 6 came before it, and one by log 8 after it."""
    for log, era in ((6, 2), (8, 1)):
        upgraded = pl.DataFrame({"block_number": [20], "log_index": [log]})
        assert told([ERA_1, UNDECIDED, ERA_2], Upgraded=upgraded)[0][1] == (era, "upgraded")


@pytest.mark.parametrize("upgrades", [(), (15,), (25, 35)])
def test_where_eras_go_back_no_other_row_inherits_one(upgrades: tuple[int, ...]) -> None:
    eras, findings = told([UNDECIDED, ERA_2, UNDECIDED, ERA_1, UNDECIDED], upgrades)
    assert [one for one in eras if one[1] != "liquidator-fee"] == [(None, "unknown")] * 3
    assert [f.code for f in findings if f.stops] == ["era-goes-back"]


def code(*entries: tuple[int, int]) -> tuple[Code, ...]:
    """[[chain.code]] of (from_block, meaning)."""
    return tuple(Code(block, meaning, "position-notional", ("test",)) for block, meaning in entries)


def test_the_stated_code_decides_where_no_test_does() -> None:
    rows = [UNDECIDED, UNDECIDED, UNDECIDED]
    for first, second in ((15, 25), (20, 30)):  # also in the block from which it is stated
        assert told(rows, code=code((first, 1), (second, 2)))[0] == [(None, "unknown"), (1, "stated"), (2, "stated")]
    assert told([UNDECIDED, ERA_2], (5,), code=code((5, 1)))[0] == [(1, "stated"), (2, "liquidator-fee")], "before the same code"
    assert told([ERA_1, UNDECIDED], (5,), code=code((5, 2)))[0] == [(1, "liquidator-fee"), (2, "stated")]
    assert told([UNDECIDED, ERA_1], code=code((5, 1))) == ([(1, "inherited"), (1, "liquidator-fee")], [])


def test_a_stated_code_that_the_rows_contradict_is_an_error() -> None:
    """A row decides against it. Where only a stated fee ratio does, two statements contradict each other, and nothing is paid."""
    partial = {**UNDECIDED, "kind": "partial-liquidation"}
    for row, era, stops in ((partial, 2, False), (REFUTES_2, 1, False), (ERA_1, 1, True)):
        found, findings = told([row], code=code((5, 3 - era)))
        assert found[0][0] == era
        assert [(f.level, f.stops, f.code) for f in findings] == [("error", stops, "code-statement-contradicted")]
        assert f"states the meaning {3 - era}" in findings[0].what
        assert ("liquidation_fee_ratio of [chain] may be wrong" in findings[0].what_to_do) == stops


def test_payment_stops_where_one_of_the_rows_that_contradict_the_code_has_only_a_stated_ratio() -> None:
    """The first row is before the log that states the same ratio, the second one behind it."""
    columns = {"block_number": [15], "log_index": [0], "liquidation_fee_ratio": [Decimal("0.0125")]}
    logged = pl.DataFrame(columns, schema_overrides={"liquidation_fee_ratio": fixed.AMOUNT})
    for rows, stops in (([ERA_1, ERA_1], True), ([{**ERA_1, "block_number": 20}, ERA_1], False)):
        _, findings = told(rows, code=code((5, 2)), LiquidationFeeRatioChanged=logged)
        assert [(f.code, f.stops) for f in findings] == [("code-statement-contradicted", stops)]


# A penalty of 1,050 after a loss of 18,950 without bad debt: the margin before was not 1,050. The fee is that of a notional of 1,000.
REFUTES_2 = {"liquidation_penalty": "1050", "realized_pnl": "-18950", "liquidation_fee": "12.5", "position_notional": "0"}


@pytest.mark.parametrize(
    ("row", "era"),
    [
        (REFUTES_2, 1),
        ({**REFUTES_2, "funding_payment": "1050", "realized_pnl": "-0.000000000000000001"}, 1),
        ({**UNDECIDED, "liquidation_penalty": "0", "bad_debt": "5"}, 1),  # in era 2 the penalty is the margin: 45
        ({**UNDECIDED, "realized_pnl": "101"}, 2),  # in era 1 the margin was -1
        ({**UNDECIDED, "liquidation_fee": "60", "fee_shortfall": "0"}, 1),  # in era 1 100 remained, in era 2 50
        ({**UNDECIDED, "liquidation_fee": "60", "fee_shortfall": "10"}, 2),
        ({**UNDECIDED, "liquidation_fee": "60", "fee_shortfall": "20"}, None),  # more than either lacks
        ({**UNDECIDED, "liquidation_fee": "150", "fee_shortfall": "20"}, None),  # less than the 50 and the 100 that they lack
        ({**UNDECIDED, "liquidation_fee": "150", "fee_shortfall": "70"}, None),  # between them
        ({**UNDECIDED, "liquidation_fee": "50", "fee_shortfall": "0"}, None),  # both leave enough
        ({**UNDECIDED, "realized_pnl": "-100"}, None),  # in era 2 exactly nothing remained
        ({**UNDECIDED, "realized_pnl": "200", "liquidation_fee": "150", "fee_shortfall": "50"}, 2),  # the margin of era 1 was -100
    ],
)
def test_the_rows_own_numbers_refute_an_era(row: dict[str, str], era: int | None) -> None:
    found, _ = told([row])
    assert found == [(era, "unknown" if era is None else "numbers")]


def test_numbers_that_fit_no_era_stop_payment() -> None:
    """Penalty 100 and loss 50 leave no bad debt in era 2, and both together are not of era 1."""
    _, findings = told([{**UNDECIDED, "bad_debt": "5"}])
    assert [(f.level, f.stops, f.code) for f in findings] == [("error", True, "impossible-numbers")]


FULL_1 = {**REFUTES_2, "position_notional": "1000"}


def test_a_stated_ratio_that_no_row_confirms_decides_nothing() -> None:
    """Twice the ratio would make the whole fee the half, half the ratio would make it neither. The row itself says era 1."""
    for ratio, undecided in (("0.025", "unknown"), ("0.00625", "unknown"), ("0.0125", "liquidator-fee")):
        found, findings = told([FULL_1, {**UNDECIDED, **ERA_1, "position_notional": "1000"}], ratio=ratio)
        assert found[0] == (1, "liquidator-fee" if ratio == "0.0125" else "numbers")
        assert found[1][1] == undecided
        codes = [f.code for f in findings]
        assert codes == ([] if ratio == "0.0125" else ["fee-ratio-contradicted", "era-unknown"])
        if codes:
            assert (findings[0].level, findings[0].stops) == ("error", False)
            assert f"is {ratio}, but the liquidator got 0.012500" in findings[0].what
            assert "this row fits 0.012500" in findings[0].what_to_do


def test_a_row_to_which_both_eras_give_the_same_margin_stops_nothing() -> None:
    eras, findings = told([ERA_1, {**UNDECIDED, "realized_pnl": "0"}, ERA_2])
    assert eras[1][1] == "either"
    assert findings == []


def test_a_fee_of_0_and_a_fee_of_neither_half_tell_no_era() -> None:
    assert told([UNDECIDED])[0][0][1] == "unknown"
    (finding,) = told([{"liquidation_fee": "7"}])[1]
    assert (finding.level, finding.stops, finding.code) == ("error", False, "fee-ratio-contradicted")
    (finding,) = told([FULL_1, {**FULL_1, "liquidation_fee": "7"}])[1]  # another row confirms the ratio
    assert (finding.level, finding.stops, finding.code) == ("error", False, "fee-fits-no-era")
    assert "neither the whole nor half" in finding.what


def test_an_odd_fee_is_halved_as_the_contract_does() -> None:
    """240 units of 1e-18 at 0.0125 are a fee of 3, and the half of it 1."""
    odd = {"position_notional": "0.00000000000000024"}
    assert [told([{**odd, "liquidation_fee": f"0.00000000000000000{fee}"}])[0][0][0] for fee in (3, 1)] == [1, 2]


def test_the_fee_ratio_is_that_of_the_last_log_before_the_row_also_in_its_block() -> None:
    """Doubled in block 5 log 3: what was the whole fee before it is the half of the fee behind it."""
    changed = pl.DataFrame(
        {"block_number": [5], "log_index": [3], "liquidation_fee_ratio": [Decimal("0.025")]},
        schema_overrides={"liquidation_fee_ratio": fixed.AMOUNT},
    )
    rows = [{**ERA_1, "block_number": 5, "log_index": log} for log in (2, 4)]
    eras, _ = told(rows, LiquidationFeeRatioChanged=changed)
    assert eras == [(1, "liquidator-fee"), (2, "liquidator-fee")]


def test_a_penalty_beside_bad_debt_says_era_2() -> None:
    eras, _ = told([{**UNDECIDED, "bad_debt": "5"}])
    assert eras == [(2, "flags")]


def test_a_partial_liquidation_is_never_of_era_1() -> None:
    """Also where the earlier logs leave the margin that era 1 would read: then no era fits, and nobody is paid."""
    eras, findings = told([{**UNDECIDED, "kind": "partial-liquidation", "margin": "1", "margin_replayed": "150"}])
    assert eras == [(2, "flags")]
    assert [f.what.split(" 1")[0] for f in findings] == ["No era's formula gives the margin"]
    assert findings[0].stops


def test_the_eras_are_told_without_a_stated_fee_ratio(tmp_path: Path) -> None:
    rows, text = both_eras()
    (tmp_path / "both.toml").write_text(text)
    source = tmp_path / "logs.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    events = read_events(Input(source, None), incident_file.load(str(tmp_path / "both.toml")))
    others = {k: v for k, v in events.lazy_others.items() if k != "LiquidationFeeRatioChanged"}
    found, findings = liquidations.liquidations(events.lazy, others, chain_of(None), pl.lit(False), Events(events.lazy, others).each)
    assert found["era"].to_list() == [1] * 36 + [2] * 17
    assert not found["era_rule"].str.contains("liquidator-fee").any()
    assert not [f for f in findings if f.stops]


@pytest.mark.parametrize("complete", [True, False])
def test_an_event_missing_before_a_reverse_makes_the_next_lifes_open_notional_unknown(complete: bool) -> None:
    """A reverse carries the open notional over: 1 long at 100, 1 more at 110, reversed to 1 short by selling 3 for 330, 10 realized."""
    one, trader = Decimal(1), build.address(1)
    rows = [build.opened(1, trader, build.START, one, Decimal(100), Decimal(50))]
    more = {"margin": Decimal(50), "spot_price": Decimal(110)}
    if complete:
        rows.append(
            build.event(
                2,
                trader,
                build.START,
                kind="increase",
                position_notional=Decimal(110),
                exchanged_position_size=one,
                position_size_after=2 * one,
                **more,
            )
        )
    rows.append(
        build.event(
            3,
            trader,
            build.START,
            kind="reverse",
            position_notional=Decimal(330),
            exchanged_position_size=-3 * one,
            position_size_after=-one,
            realized_pnl=Decimal(10),
            **more,
        )
    )
    rows.append(
        build.event(
            4,
            trader,
            build.START,
            kind="liquidation",
            position_notional=Decimal(105),
            exchanged_position_size=one,
            position_size_after=0 * one,
            **more,
        )
    )
    last = build.lives(build.table(rows), {}, pl.lit(False)).row(-1, named=True)
    assert last["life"] == 2
    assert last["continuous"] is complete
    # 330 in all, of which 220 closed 2 long of 210: 110 opened the short.
    assert last["open_notional_replayed"] == (Decimal(110) if complete else None)
    # Of the 110 that it opened, not of the 330 that it moved; and not that of the life before, which was 2.
    assert last["leverage_at_open"] == (Decimal("2.2") if complete else None)


@pytest.mark.parametrize("complete", [True, False])
def test_an_event_missing_early_in_a_life_makes_the_life_after_a_reverse_unknown(complete: bool) -> None:
    """1 long at 100, 1 more at 110 (which may be missing), 1 more at 120, reversed to 1 short by selling 4 for 480, 30 realized."""
    moves = [("increase", 1, 110, 2, 0), ("increase", 1, 120, 3, 0), ("reverse", -4, 480, -1, 30), ("liquidation", 1, 125, 0, 0)]
    rows = [build.opened(1, build.address(1), build.START, Decimal(1), Decimal(100), Decimal(50))]
    for n, (kind, exchanged, notional, after, realized) in enumerate(moves if complete else moves[1:], 2):
        amounts = {
            "position_notional": notional,
            "exchanged_position_size": exchanged,
            "position_size_after": after,
            "realized_pnl": realized,
        }
        exact = {name: Decimal(value) for name, value in amounts.items()}
        rows.append(build.event(n, build.address(1), build.START, kind=kind, margin=Decimal(50), spot_price=Decimal(120), **exact))
    last = build.lives(build.table(rows), {}, pl.lit(False)).row(-1, named=True)
    expected = (True, Decimal(120), Decimal("2.4")) if complete else (False, None, None)
    assert (last["continuous"], last["open_notional_replayed"], last["leverage_at_open"]) == expected


def test_an_event_missing_after_the_opening_leaves_the_leverage_of_the_opening_known() -> None:
    """1 long at 100 with a margin of 50; an increase is missing; 2 long are liquidated."""
    rows = [build.opened(1, build.address(1), build.START, Decimal(1), Decimal(100), Decimal(50))]
    rows.append(build.liquidated(3, build.address(1), build.START, Decimal(2), Decimal(210), Decimal(60), Decimal(200)))
    last = build.lives(build.table(rows), {}, pl.lit(False)).row(-1, named=True)
    assert (last["continuous"], last["open_notional_replayed"], last["leverage_at_open"]) == (False, None, Decimal(2))


# The events


def test_the_fee_ratio_is_that_of_the_last_log() -> None:
    stated = pl.DataFrame({"block_number": [2, 1], "log_index": [0, 0], "liquidation_fee_ratio": [Decimal("0.02"), Decimal("0.01")]})
    assert v1.fee_ratio(pl.LazyFrame(), {"LiquidationFeeRatioChanged": stated.lazy()}) == Decimal("0.02")


def test_only_a_position_changed_shows_a_clearing_house() -> None:
    topics = ["0x" + "00" * 32, v1.POSITION_CHANGED.topic0, "0x" + "ff" * 32]
    raw = pl.DataFrame({"address": ["a", "b", "c"], "topic0": topics, "topic2": [bytes(32)] * 3})
    assert v1.contracts_in(raw)["contract"].to_list() == ["b"]


def test_a_market_charges_where_a_trade_paid_a_fee() -> None:
    changed = pl.DataFrame({"market": ["a", "b", "b"], "fee": [Decimal(0), Decimal(0), Decimal("1e-18")]})
    assert v1.charging({"PositionChanged": changed.lazy()}) == {"b"}


def test_a_liquidation_of_an_events_table_states_all_three_or_none(rehearsal: Run) -> None:
    table, empty = rehearsal.events.table, pl.lit(None, fixed.AMOUNT)
    assert v1.recheck(table, 100).equals(table)
    for lacking in (["fee_shortfall"], ["liquidation_fee", "fee_shortfall"]):
        with pytest.raises(InputError, match="Some of liquidator, liquidation_fee, fee_shortfall are empty and some are not"):
            v1.recheck(table.with_columns(empty.alias(name) for name in lacking), 100)


def test_of_many_liquidations_without_their_log_twenty_are_named(rehearsal: Run) -> None:
    """The recording has 36."""
    tables = rehearsal.events.lazy_others
    with pytest.raises(InputError) as error:
        v1.events_table({**tables, "PositionLiquidated": tables["PositionLiquidated"].filter(pl.lit(False))})
    assert len(error.value.problems) == 20


# One liquidation by itself


def alone(row: dict[str, Any], **tables: pl.DataFrame) -> tuple[dict[str, Any], list[Finding]]:
    """The one liquidation of an events table of one row, and what is found."""
    others = {name: frame.lazy() for name, frame in tables.items()}
    table = build.table([row]).lazy()
    found, findings = liquidations.liquidations(table, others, chain_of(), pl.lit(False), Events(table, others).each)
    return found.row(0, named=True), findings


def too_well(findings: list[Finding]) -> bool:
    return any(f.code == "margin-ratio-too-high" for f in findings)


WEI = Decimal("0.000000000000000001")


def test_a_position_at_the_maintenance_ratio_could_not_be_liquidated_and_one_unit_below_could() -> None:
    """1 BTC bought for 50,000: 6.25 % of that is 3,125. In era 2 it is of what closing fetched, 48,000: 3,000."""
    one, bought = Decimal(1), Decimal(50_000)
    for short, said in ((Decimal(0), True), (20_000 * WEI, False)):
        margin = 5_000 - short
        first = build.liquidated(1, build.address(1), build.START, one, bought, margin, Decimal(48_125))
        found, findings = alone(first)
        assert (found["era"], found["open_notional"], too_well(findings)) == (1, 50_000, said)
        fetched = Decimal(48_000)
        half = fetched * Decimal("0.00625")
        second = build.liquidated(1, build.address(1), build.START, one, bought, margin, fetched, liquidation_fee=half)
        found, findings = alone({**second, "liquidation_penalty": margin, "fee_shortfall": Decimal(0)})
        assert (found["era"], found["margin"], too_well(findings)) == (2, margin, said)


def test_the_maintenance_ratio_is_that_of_the_last_log_before() -> None:
    """At 3,125 of 50,000 a ratio of 7 % may liquidate, one of 6 % may not; a later change does not count."""
    row = build.liquidated(5, build.address(1), build.START, Decimal(1), Decimal(50_000), Decimal(5_000), Decimal(48_125))
    for changes, said in (({4: "0.07"}, False), ({3: "0.07", 4: "0.06"}, True), ({4: "0.06", 6: "0.07"}, True), ({6: "0.07"}, True)):
        logged = pl.DataFrame(
            {"block_number": list(changes), "log_index": [0] * len(changes), "margin_ratio": [Decimal(r) for r in changes.values()]},
            schema_overrides={"margin_ratio": fixed.AMOUNT},
        )
        assert too_well(alone(row, MarginRatioChanged=logged)[1]) is said, changes


def test_a_shorts_open_notional_is_what_the_close_cost_less_its_loss() -> None:
    row, _ = alone(build.liquidated(1, build.address(1), build.START, Decimal(-2), Decimal(100_000), Decimal(5_000), Decimal(104_000)))
    assert [row[name] for name in ("side", "size", "position_notional", "realized_pnl")] == ["short", -2, 104_000, -4_000]
    assert (row["open_notional"], row["entry_price"]) == (100_000, 50_000)


def test_a_liquidation_of_size_0_stops_payment() -> None:
    row = build.liquidated(1, build.address(1), build.START, Decimal(1), Decimal(50_000), Decimal(5_000), Decimal(45_500))
    _, findings = alone({**row, "exchanged_position_size": Decimal(0)})
    assert [(f.level, f.stops) for f in findings if "size 0 was liquidated" in f.what] == [("error", True)]
    assert not [f for f in alone(row)[1] if f.stops]


def test_a_margin_of_0_before_a_liquidation_is_no_margin_below_0() -> None:
    row = build.liquidated(1, build.address(1), build.START, Decimal(1), Decimal(50_000), Decimal(0), Decimal(50_000))
    found, findings = alone({**row, "exchanged_position_size": Decimal(0)})
    assert (found["margin"], [f.code for f in findings if f.stops]) == (0, ["size-zero"])


def test_an_open_notional_that_the_events_before_contradict_stops_payment() -> None:
    """Bought for 100 by the opening, and for 100 and one unit by the liquidation's own event."""
    one, bought = Decimal(1), Decimal(100)
    opening = build.opened(1, build.address(1), build.START, one, bought, Decimal(50))
    for more, stops in ((Decimal(0), []), (WEI, ["open-notional-differs"])):
        closing = build.liquidated(2, build.address(1), build.START, one, bought + more, Decimal(50), Decimal(60))
        table = build.table([opening, closing]).lazy()
        _, findings = liquidations.liquidations(table, {}, chain_of(), pl.lit(False), Events(table, {}).each)
        assert [f.code for f in findings if f.stops] == stops


def test_a_margin_below_0_before_a_liquidation_stops_payment() -> None:
    """Era 1 makes it penalty - bad debt - realized PnL + funding: here -1."""
    row = build.liquidated(1, build.address(1), build.START, Decimal(1), Decimal(50_000), Decimal(-1), Decimal(50_000))
    found, findings = alone(row)
    assert found["margin"] == -1
    assert [f.stops for f in findings if "the contract stores no margin below 0" in f.what] == [True]
    assert found["remaining_margin"] == 0


# What the logs between an opening and a liquidation change


def of_position(**columns: Any) -> pl.DataFrame:
    """One event of the position of trader 1 that is none of the events table."""
    base = {"trader": build.address(1), "market": build.MARKET, "block_number": 2, "log_index": 0, "block_time": build.START}
    amounts = {name: fixed.AMOUNT for name, value in columns.items() if isinstance(value, Decimal)}
    return pl.DataFrame([{**base, **columns}], schema_overrides={**amounts, "block_time": pl.Datetime("us", "UTC")})


def before_one(size: Decimal, tables: dict[str, pl.DataFrame], crash_from: int = 1) -> dict[str, Any]:
    """1 BTC bought for 100 with 50 in block 1; what is known as `size` of it is liquidated in block 9."""
    opened = build.opened(1, build.address(1), build.START, Decimal(1), Decimal(100), Decimal(50))
    closed = build.liquidated(9, build.address(1), build.START, size, Decimal(100), Decimal(50), Decimal(60))
    return build.lives(build.table([opened, closed]), tables, pl.col("block_number") < crash_from).row(-1, named=True)


PART = Decimal("0.9")


def test_a_migration_that_adjusts_a_size_breaks_no_life() -> None:
    adjusted = of_position(new_position_size=PART)
    assert before_one(PART, {"PositionAdjusted": adjusted})["continuous"] is True
    assert before_one(PART, {})["continuous"] is False
    assert before_one(Decimal(1), {"PositionAdjusted": adjusted})["continuous"] is False


def test_what_is_liquidated_after_a_settlement_was_opened_by_a_log_that_is_missing() -> None:
    found = before_one(Decimal(1), {"PositionSettled": of_position()})
    assert (found["continuous"], found["open_notional_replayed"]) == (False, None)
    assert before_one(Decimal(1), {})["open_notional_replayed"] == 100


def test_a_size_that_a_migration_before_the_crash_changed_is_unknown_until_it_is_stated_again() -> None:
    def migrated(*blocks: int) -> pl.DataFrame:
        return pl.DataFrame({"market": [build.MARKET] * len(blocks), "block_number": blocks, "block_time": [build.START] * len(blocks)})

    stated, elsewhere = of_position(new_position_size=PART, block_number=6), of_position(new_position_size=PART, trader=build.address(2))
    for blocks, adjusted, size in (((0, 5), elsewhere, None), ((0,), elsewhere, 1), ((8,), elsewhere, 1), ((0, 5), stated, PART)):
        found = before_one(PART, {"LiquidityChanged": migrated(*blocks), "PositionAdjusted": adjusted}, crash_from=7)
        assert found["size_before_crash"] == size, blocks


def test_margin_moved_by_hand_since_the_crash_is_added_or_removed_and_pays_its_funding() -> None:
    for amount, added, removed in (("10", 10, 0), ("-10", 0, 10)):
        changed = of_position(amount=Decimal(amount), funding_payment=Decimal(3))
        for crash_from in (1, 3):
            found = before_one(Decimal(1), {"MarginChanged": changed}, crash_from)
            assert found["margin_replayed"] == 50 + Decimal(amount) - 3
            since = (added, removed) if crash_from == 1 else (0, 0)
            assert (found["margin_added"], found["margin_removed"]) == since
            if crash_from == 3:
                assert found["margin_before_crash"] == 50 + Decimal(amount) - 3


def test_a_leverage_below_1_is_known_also_one_that_is_cut_to_0() -> None:
    """1 long at 100 with a margin of 400; at 10 with as much as a column holds."""
    one, start = Decimal(1), build.START
    for price, margin, leverage in ((100, 400, Decimal("0.25")), (10, 10**20 - 1, Decimal(0))):
        rows = [build.opened(1, build.address(1), start, one, Decimal(price), Decimal(margin))]
        rows.append(build.liquidated(2, build.address(1), start, one, Decimal(price), Decimal(margin), Decimal(price)))
        assert build.lives(build.table(rows), {}, pl.lit(False)).row(-1, named=True)["leverage_at_open"] == leverage


def test_a_leverage_that_no_column_holds_is_unknown_and_not_that_of_the_life_before() -> None:
    """1 long at 100 with a margin of 50, closed; 1 long at 55,000 with a margin of 20 wei or below 0, liquidated."""
    one = Decimal(1)
    trader, start = build.address(1), build.START
    rows = [build.opened(1, trader, start, one, Decimal(100), Decimal(50))]
    closed = {"position_notional": Decimal(100), "exchanged_position_size": -one, "position_size_after": 0 * one, "realized_pnl": 0 * one}
    rows.append(build.event(2, trader, start, kind="close", margin=0 * one, spot_price=Decimal(100), **closed))
    for margin in (Decimal(20) / 10**18, Decimal(-1), Decimal(-1_000_000)):
        second = [build.opened(3, trader, start, one, Decimal(55_000), margin)]
        second.append(build.liquidated(4, trader, start, one, Decimal(55_000), margin, Decimal(55_000)))
        last = build.lives(build.table(rows + second), {}, pl.lit(False)).row(-1, named=True)
        assert (last["life"], last["continuous"], last["leverage_at_open"]) == (2, True, None), margin
