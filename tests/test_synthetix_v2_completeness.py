"""Lost logs of recorded Perps V2 chains: each log of a liquidation is removed alone, and each whole transaction, and must be missed."""

import gzip
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import polars as pl
import pytest

import perpcomp
from perpcomp.decoded import Events
from perpcomp.findings import Finding, InputError
from perpcomp.incident import incident_file
from perpcomp.input import find_input, read_events
from perpcomp.systems.synthetix_v2.system import SYNTHETIX_V2
from perpcomp.valuation import is_before_crash

LAB = Path(__file__).parent / "lab" / "perps-v2"
CHAINS = ("june", "upgrade")
Tables = Mapping[str, pl.DataFrame]


@cache
def recorded(chain: str) -> Tables:
    incident = incident_file.load(str(LAB / chain / "incident.toml"))
    return read_events(find_input(incident, None), incident).others


def errors(tables: Tables, chain: str) -> list[Finding]:
    """What a run says of an input with these logs, of the level error."""
    incident = incident_file.load(str(LAB / chain / "incident.toml"))
    lazy = {name: table.lazy() for name, table in tables.items()}
    try:
        events = SYNTHETIX_V2.events_table(lazy)
        _, contradictions = SYNTHETIX_V2.liquidations(events, lazy, incident.chain, is_before_crash(incident), Events(events, lazy).each)
        problems = contradictions + SYNTHETIX_V2.gaps(events, lazy) + SYNTHETIX_V2.lost_logs(events, lazy, incident)
    except InputError as error:
        problems = error.problems
    return [problem for problem in problems if problem.level == "error"]


def without(tables: Tables, name: str, row: int) -> Tables:
    return {**tables, name: tables[name].filter(pl.int_range(pl.len()) != row)}


def logs_of_liquidations(tables: Tables) -> Iterator[tuple[str, int]]:
    """(event, row) of every PositionLiquidated, of the PositionModified beside it, and of the flag before it."""
    liquidated = tables["PositionLiquidated"]
    for name, keys in (
        ("PositionLiquidated", ["transaction_hash", "log_index"]),
        ("PositionModified", ["transaction_hash", "trader", "market", "id"]),
        ("PositionFlagged", ["trader", "market", "id"]),
    ):
        numbered = tables[name].with_row_index("row")
        yield from ((name, row) for row in numbered.join(liquidated, on=keys, how="semi").get_column("row"))


@pytest.mark.parametrize("chain", CHAINS)
def test_a_whole_recording_has_no_error_and_no_warning(chain: str) -> None:
    assert errors(recorded(chain), chain) == []
    assert {problem.level for problem in perpcomp.compute(str(LAB / chain / "incident.toml")).problems} <= {"note"}


@pytest.mark.parametrize(("chain", "number"), [("june", 3 * 32), ("upgrade", 3 * 10 - 5)])
def test_every_log_of_a_liquidation_is_missed(chain: str, number: int) -> None:
    tables, removed = recorded(chain), 0
    for name, row in logs_of_liquidations(tables):
        assert errors(without(tables, name, row), chain), f"{name} {tables[name].row(row, named=True)}"
        removed += 1
    assert removed == number


@pytest.mark.parametrize(("chain", "number"), [("june", 31), ("upgrade", 10)])
def test_every_whole_transaction_of_a_liquidation_is_missed_but_a_markets_last(chain: str, number: int) -> None:
    tables = recorded(chain)
    transactions = tables["PositionLiquidated"].get_column("transaction_hash").unique()
    last = tables["FundingRecomputed"].group_by("market").agg(pl.col("transaction_hash").sort_by("block_number", "log_index").last())
    for transaction in transactions:
        rest = {name: table.filter(pl.col("transaction_hash") != transaction) for name, table in tables.items()}
        assert bool(errors(rest, chain)) == (transaction not in last.get_column("transaction_hash")), transaction
    assert len(transactions) == number


@pytest.mark.parametrize("chain", CHAINS)
def test_every_trade_and_every_funding_entry_is_missed_but_a_markets_first_entry(chain: str) -> None:
    tables = recorded(chain)
    for name, loses in (("PositionModified", pl.col("trade_size") != 0), ("FundingRecomputed", pl.col("funding_index") > 1)):
        rows = tables[name].with_row_index("row").filter(loses).get_column("row").gather_every(5)
        for row in rows:
            assert errors(without(tables, name, row), chain), f"{name} {tables[name].row(row, named=True)}"


@pytest.mark.parametrize(("chain", "number"), [("june", 44), ("upgrade", 14)])
def test_every_move_of_margin_is_missed(chain: str, number: int) -> None:
    tables = recorded(chain)
    moves = tables["MarginTransferred"]
    for row in range(moves.height):
        found = errors(without(tables, "MarginTransferred", row), chain)
        assert "lost-margin-change" in {problem.code for problem in found}, moves.row(row, named=True)
    assert moves.height == number


def test_a_lost_liquidation_stops_every_payment(tmp_path: Path) -> None:
    rows = gzip.decompress((LAB / "june" / "logs.jsonl.gz").read_bytes()).decode().splitlines()
    topic = next(iter(t for t in SYNTHETIX_V2.topics if t.startswith("0x8e83cfbf")))
    lost = next(row for row in rows if json.loads(row)["topics"][0] == topic)
    path = tmp_path / "logs.jsonl"
    path.write_text("".join(row + "\n" for row in rows if row != lost))
    run = perpcomp.compute(str(LAB / "june" / "incident.toml"), path)
    (said,) = [problem for problem in run.problems if problem.level == "error"]
    assert (said.code, said.stops) == ("lost-liquidation", True)
    assert "ends without a trade, so it was liquidated, but its PositionLiquidated is missing." in said.what
    assert run.payouts.get_column("amount").sum() == 0


def with_text(tmp_path: Path, old: str, new: str) -> str:
    text = (LAB / "june" / "incident.toml").read_text()
    assert old in text
    path = tmp_path / "incident.toml"
    path.write_text(text.replace(old, new))
    (tmp_path / "logs.jsonl.gz").write_bytes((LAB / "june" / "logs.jsonl.gz").read_bytes())
    return str(path)


def test_liquidations_in_a_market_that_the_incident_does_not_name_are_refused(tmp_path: Path) -> None:
    text = (LAB / "june" / "incident.toml").read_text()
    start = text.index("[[market]]", text.index("[[market]]") + 1)
    second = text[start : text.index("[eligibility]")]
    with pytest.raises(InputError) as refused:
        perpcomp.compute(with_text(tmp_path, second, ""))
    assert "market 0x394bfb86641bf8ca8a757a318499a580cc1f26c6: The input holds 12 flags or liquidations of this market" in str(
        refused.value
    )
    assert 'Add [[market]] with amm = "0x394bfb86641bf8ca8a757a318499a580cc1f26c6"' in str(refused.value)


def test_an_affected_market_without_a_log_is_an_error(tmp_path: Path) -> None:
    another = f"""[[market]]
name = "sLINKPERP"
amm = "0x{"7a" * 20}"
affected = true
reference_price = 6
source = "recording"

[eligibility]"""
    run = perpcomp.compute(with_text(tmp_path, "[eligibility]", another))
    (said,) = [problem for problem in run.problems if problem.level == "error"]
    assert said.code == "market-without-log"
    assert "sLINKPERP" in str(said)
