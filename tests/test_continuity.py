"""A log missing in the middle of a position is found by the sizes around it, whoever's position it is; what is whole shows none."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import perpcomp
from perpcomp.decoded import Events
from perpcomp.findings import Finding
from perpcomp.run import Run
from perpcomp.systems.continuity import MOST
from perpcomp.systems.perpetual_v1 import liquidations as perpetual_v1
from perpcomp.systems.synthetix_v2 import liquidations as synthetix_v2
from tests.commands import call
from tests.test_perpetual_v1 import CHANGED, LIQUIDATED, LOGS, rows_of, run_with

POSITION = ["trader", "market"]


def gaps(events: Events, without: pl.Expr) -> list[Finding]:
    """What is found when the events of which the expression is true are not in the input."""
    return perpetual_v1.gaps(events.lazy.filter(~without), events.lazy_others)


def is_row(row: dict[str, Any]) -> pl.Expr:
    return (pl.col("block_number") == row["block_number"]) & (pl.col("log_index") == row["log_index"])


@pytest.mark.parametrize("name", ["rehearsal", "later", "large"])
def test_the_recorded_chains_have_no_gap(name: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    assert gaps(run.events, pl.lit(False)) == []
    assert not [p for p in run.problems if p.code == "gap-in-position"]


def test_each_single_event_that_is_missing_is_found_at_the_next_of_its_position(rehearsal: Run) -> None:
    """By its transaction and log. Before a position's first there is nothing to compare with, and its last, or one whose size a
    PositionAdjusted states anew, leaves no trace.
    """
    keys = [*POSITION, "block_number", "log_index", "transaction_hash"]
    named = {name: rehearsal.events.others[name] for name in ("PositionAdjusted", "PositionSettled")}
    named["PositionChanged"] = rehearsal.events.table
    line = pl.concat(table.select(*keys, pl.lit(name).alias("name")) for name, table in named.items()).sort(keys)
    before, tried = None, 0
    for row, following in zip(line.iter_rows(named=True), [*line.iter_rows(named=True)][1:], strict=False):
        of_one = [{*map(one.get, POSITION)} == {*map(row.get, POSITION)} for one in (before or {}, following)]
        if row["name"] == "PositionChanged":
            found = [finding.where for finding in gaps(rehearsal.events, is_row(row))]
            shows = all(of_one) and following["name"] == "PositionChanged"
            assert found == ([f"tx {following['transaction_hash']} log {following['log_index']}"] if shows else []), row
            tried += shows
        before = row
    assert tried > 100


def test_a_liquidation_that_is_missing_whole_is_found_where_its_trader_trades_again(rehearsal: Run, tmp_path: Path) -> None:
    """Both of its logs are gone; its swap is left over."""
    liquidations = rehearsal.liquidations
    again = liquidations.filter(pl.col("life") == 2).row(0, named=True)
    first = liquidations.filter(life=1, trader=again["trader"], market=again["market"]).row(0, named=True)
    rows = [
        row for row in rows_of(LOGS) if row["transactionHash"] != first["transaction_hash"] or row["topics"][0] not in (CHANGED, LIQUIDATED)
    ]
    run = run_with(tmp_path, rows)
    assert run.liquidations.height == liquidations.height - 1
    (found,) = [p for p in run.problems if p.code == "gap-in-position"]
    assert {p.code for p in run.problems if p.level == "error"} >= {"gap-in-position", "logs-missing"}
    assert found.what == f"The position of {first['trader']} starts from size {0:.18f}, but the previous event ended at {first['size']:f}."
    assert found.what_to_do == "A log between them is missing; it may be a liquidation: pull the logs again."
    assert [p for p in run.problems if p.level == "error"]


def test_sizes_that_were_adjusted_or_settled_between_are_no_gap(rehearsal: Run) -> None:
    """The recording's own adjustments, after a migration of liquidity; then one that is settled."""
    events, others = rehearsal.events, rehearsal.events.lazy_others
    adjusted = rehearsal.events.others["PositionAdjusted"]
    without = perpetual_v1.gaps(events.lazy, {name: table for name, table in others.items() if name != "PositionAdjusted"})
    assert 0 < len(without) <= adjusted.height
    assert {finding.level for finding in without} == {"warning"}, "it may be no more than that"
    assert without[0].what_to_do == "A log between them is missing, or PositionAdjusted was not pulled: pull the logs again."
    of_one = adjusted.filter(trader=without[0].what.split()[3]).head(1)
    settled = of_one.drop("new_position_size").with_columns(pl.col("log_index") + 1)
    (found,) = perpetual_v1.gaps(events.lazy, {**others, "PositionSettled": settled.lazy()})
    assert found.what.endswith("but the previous event ended at 0.000000000000000000.")
    assert found.level == "error"


def test_of_many_gaps_the_first_are_named_and_the_others_counted(large: Run) -> None:
    blocks = large.events.table["block_number"]
    found = gaps(large.events, pl.col("block_number").is_between(blocks[blocks.len() // 3], blocks[2 * blocks.len() // 3]))
    assert len(found) == MOST + 1
    places = [(finding.where.split()[1], int(finding.where.split()[3])) for finding in found[:-1]]
    table = large.events.table.select("transaction_hash", "log_index", "block_number")
    order = [table.row(by_predicate=(pl.col("transaction_hash") == tx) & (pl.col("log_index") == log))[2] for tx, log in places]
    assert order == sorted(order)
    assert re.fullmatch(r"the input: 1,598 more such events exist; gaps are in 1,618 positions in all\. A log .*", str(found[-1]))


@pytest.mark.parametrize("verb", ["events", "liquidations", "payouts"])
def test_every_verb_says_so_and_ends_with_1(verb: str, rehearsal: Run, tmp_path: Path) -> None:
    row = rehearsal.events.table.filter(kind="increase").row(5, named=True)
    kept = [r for r in rows_of(LOGS) if (int(r["blockNumber"], 16), int(r["logIndex"], 16)) != (row["block_number"], row["log_index"])]
    (tmp_path / "logs.jsonl").write_text("\n".join(map(json.dumps, kept)))
    done = call(verb, "rehearsal", "--input", "logs.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    assert f"The position of {row['trader']} starts from size" in done.stderr
    assert "A log between them is missing" in done.stderr
    assert done.stdout


def test_of_perps_v2_too() -> None:
    """A trade, one that the logs lack, a third; then a liquidation, which states no size before, and an opening."""
    sizes = [(10, 10), (25, 5), (0, 0), (7, 7)]
    line = pl.DataFrame(
        {
            "trader": "0x" + "a" * 40,
            "market": "0x" + "b" * 40,
            "block_number": [1, 3, 4, 5],
            "log_index": 0,
            "transaction_hash": [f"0x{n}" for n in range(4)],
            "size": [size for size, _ in sizes],
            "trade_size": [trade for _, trade in sizes],
        }
    ).with_columns(pl.col("size", "trade_size").cast(pl.Decimal(38, 18)))
    (found,) = synthetix_v2.gaps(pl.LazyFrame(), {"PositionModified": line.lazy()})
    assert found.where == "tx 0x1 log 0"
    assert "starts from size 20.0" in found.what
    assert found.level == "error"


def test_a_range_that_begins_inside_positions_is_no_gap(rehearsal: Run) -> None:
    """There is nothing before a position's first event in the input."""
    later = pl.col("block_time") >= rehearsal.incident.eligibility.start
    others = {name: table.filter(later) for name, table in rehearsal.events.lazy_others.items()}
    assert perpetual_v1.gaps(rehearsal.events.lazy.filter(later), others) == []


def test_the_library_door_gives_them() -> None:
    table, problems = perpcomp.events("rehearsal")
    assert table.height > 0
    assert problems == []


def test_our_own_events_table_shows_no_gap_that_an_adjustment_explains(rehearsal: Run) -> None:
    """It holds no PositionAdjusted. One note says what is not judged, and another side than before is a gap nevertheless."""
    table = rehearsal.events.lazy
    (note,) = perpetual_v1.gaps(table, {})
    assert (note.level, note.code) == ("note", "adjustments-not-in-input")
    assert "a log lost there shows only in a run on the logs" in note.what_to_do
    opening = pl.col("position_size_after") == pl.col("exchanged_position_size")
    again = table.filter(opening).group_by(POSITION).agg(pl.len()).filter(pl.col("len") > 1).select(POSITION)
    closing = table.filter(pl.col("position_size_after") == 0).join(again, on=POSITION, how="semi").select("block_number", "log_index")
    without = table.join(closing, on=["block_number", "log_index"], how="anti")
    assert "gap-in-position" in {finding.code for finding in perpetual_v1.gaps(without, {})}
