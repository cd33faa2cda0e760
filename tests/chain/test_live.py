"""A chain that ran a moment ago, through the path of files: every liquidation, equal to the contracts' own views to the wei."""

from pathlib import Path

import pytest

from perpcomp import pipeline
from perpcomp.fixed import to_integer
from perpcomp.incident import incident_file
from perpcomp.input import Input
from perpcomp.run import Run
from tests.chain.crash import crash
from tests.chain.node import NodeTools
from tests.chain.traded import TradedChain


def run_of(chain: TradedChain, folder: Path) -> Run:
    """The chain's logs dumped and computed."""
    assert chain.dump(folder / "logs.jsonl") > 300
    query = incident_file.parse(chain.incident().encode(), "live", folder)
    return pipeline.compute(query, Input(folder / "logs.jsonl", None))


def compare(chain: TradedChain, run: Run) -> None:
    """Each liquidation is found, in order, and none besides; each position is what the contracts showed one block earlier."""
    found = list(run.liquidations.iter_rows(named=True))
    truth = chain.liquidations()
    # The row is named by its PositionChanged, the log after PositionLiquidated.
    expected = [(t.transaction_hash, t.log_index + 1, t.trader, t.amm, t.liquidator) for t in truth]
    assert [(r["transaction_hash"], r["log_index"], r["trader"], r["market"], r["liquidator"]) for r in found] == expected
    for row, liquidation in zip(found, truth, strict=True):
        view = chain.view(liquidation.amm, liquidation.trader, liquidation.block - 1)
        assert view.size
        figures = [to_integer(row[name]) for name in ("size", "margin", "open_notional")]
        assert figures == [view.size, view.margin, view.open_notional], liquidation
    assert not [p for p in run.problems if p.stops]


@pytest.fixture(scope="module")
def crashed(crash_chain: TradedChain, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(crash_chain, tmp_path_factory.mktemp("crash"))


@pytest.fixture(scope="module")
def crashed_later(later_chain: TradedChain, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(later_chain, tmp_path_factory.mktemp("later"))


def test_the_crash_has_one_of_everything(crash_chain: TradedChain, crashed: Run) -> None:
    """What the script is there for; a change of it that loses a case shows here."""
    rows, names = crashed.liquidations, {address: name for name, address in crash_chain.traders.items()}
    liquidated = [names[trader] for trader in rows["trader"]]
    assert liquidated.count("twice") == 2
    assert {"late_short", "eth_long", "bad_debt", "added", "removed"} <= set(liquidated)
    assert not {"closed", "long2", "short", "eth_short"} & set(liquidated)
    assert (rows["bad_debt"] > 0).any()
    assert {"open", "increase", "reduce", "reverse", "close", "liquidation"} <= set(crashed.events.table["kind"])
    assert set(rows["market"]) == set(crash_chain.markets.values())
    assert crashed.events.others["MarginChanged"].height == 3


def test_era_1_equals_the_contract_views(crash_chain: TradedChain, crashed: Run) -> None:
    compare(crash_chain, crashed)
    assert set(crashed.liquidations["era"]) == {1}


def test_era_2_equals_the_contract_views(later_chain: TradedChain, crashed_later: Run) -> None:
    compare(later_chain, crashed_later)
    assert set(crashed_later.liquidations["era"]) == {2}
    assert set(crashed_later.liquidations["partial"]) == {True, False}
    assert "short" in set(crashed_later.liquidations["side"])


def test_the_same_script_makes_the_same_chain(crash_chain: TradedChain, node_tools: NodeTools) -> None:
    with crash(node_tools) as again:
        assert again.logs() == crash_chain.logs()


def test_the_views_of_a_block_are_those_of_its_positions(crash_chain: TradedChain) -> None:
    views = crash_chain.views(crash_chain.reference_block)
    assert len(views) == 15  # everybody but the short that comes late
    for (amm, trader), view in views.items():
        assert view == crash_chain.view(amm, trader, crash_chain.reference_block)
        assert view.margin_ratio is not None
        assert view.spot_price == view.quote_reserve * 10**18 // view.base_reserve
