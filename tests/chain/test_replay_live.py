"""The replay against a chain that ran a moment ago: every trader's views at many blocks, and liquidation prices put to the proof."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from perpcomp.curve import Reserves
from perpcomp.fixed import to_integer
from perpcomp.incident import incident_file
from perpcomp.input import Input, read_events
from perpcomp.systems.perpetual_v1.replay import contract
from perpcomp.systems.perpetual_v1.replay.liquidation_price import ABOVE, BELOW
from perpcomp.systems.perpetual_v1.replay.replay import Replay, replay
from tests.chain.crash import BTC, crash, later_crash
from tests.chain.node import NodeTools
from tests.chain.rpc import RpcError
from tests.chain.traded import TradedChain
from tests.chain.world import BUY, E18, MAINTENANCE, SELL, World

HELD = 901  # seconds after which the 15 minute average is the spot price
VIEWS = {
    "size": "size",
    "margin": "margin",
    "open_notional": "open_notional",
    "notional_curve": "spot_notional",
    "unrealized_pnl_curve": "spot_unrealized_pnl",
    "notional_twap": "twap_notional",
    "unrealized_pnl_twap": "twap_unrealized_pnl",
    "margin_ratio": "margin_ratio",
    "last_premium_fraction": "last_premium_fraction",
    "latest_premium_fraction": "latest_premium_fraction",
    "spot_price": "spot_price",
    "quote_reserve": "quote_reserve",
    "base_reserve": "base_reserve",
}


def replayed(chain: TradedChain, folder: Path, later: bool) -> Replay:
    """The replay of all that the chain logged; every block's time is asked of the node."""
    chain.dump(folder / "logs.jsonl")
    query = incident_file.parse(chain.incident().encode(), "live", folder)
    events = read_events(Input(folder / "logs.jsonl", None), query)
    numbers = range(chain.first_block, chain.last_block + 1)
    blocks = chain.world.blocks.rpc.batch([("eth_getBlockByNumber", (hex(number), False)) for number in numbers])
    times = {int(block["number"], 16): int(block["timestamp"], 16) for block in blocks}
    done = replay(events.others, events.table, block_times=times, denominators=((0, later),))
    assert done.findings == ()
    return done


def compare(chain: TradedChain, done: Replay) -> int:
    """Every trader of the script at every block, open or not, and the set of open positions. How many views were equal."""
    first = min(timeline.blocks[0] for timelines in done.timelines.values() for timeline in timelines.values())
    compared = 0
    for block in range(first - 1, chain.last_block + 1):
        views = chain.views(block)
        points = [(trader, amm, block) for amm in chain.markets.values() for trader in chain.traders.values()]
        for row in done.at_many(points).iter_rows(named=True):
            view = views.get((row["market"], row["trader"]))
            if view is None:
                assert (row["size"], row["margin"], row["unknown"]) == (0, 0, None)
                continue
            ours = {name: None if row[name] is None else to_integer(row[name]) for name in VIEWS}
            assert ours == {name: getattr(view, theirs) for name, theirs in VIEWS.items()}, (block, row["trader"])
            compared += 1
        open_ones = done.positions(block, traders=list(chain.traders.values())).select("market", "trader").rows()
        assert set(open_ones) == {pair for pair, view in views.items() if view.size}
    return compared


def test_every_trader_at_many_blocks_of_era_1(crash_chain: TradedChain, tmp_path: Path) -> None:
    assert compare(crash_chain, replayed(crash_chain, tmp_path, later=False)) > 400


def test_every_trader_at_many_blocks_of_era_2(later_chain: TradedChain, tmp_path: Path) -> None:
    assert compare(later_chain, replayed(later_chain, tmp_path, later=True)) > 100


def move(w: World, quote: int) -> None:
    """The whale trades, a little a block, until the pool's quote reserve is just this, to the wei."""
    amm = w.amm[BTC]
    while (now := w.reserves(BTC)[0]) != quote:
        target = min(max(quote, now - now // 200), now + now // 200)  # 1 % of the price: a block may move 1.2 %
        side = BUY if target > now else SELL
        w.house(w.whale, "openPosition", amm, side, (abs(target - now),), (E18,), (0,))
        w.blocks.step(15)


def quote_at(w: World, price: int) -> int:
    """The quote reserve at which the spot price is this."""
    pool = Reserves.of(*w.reserves(BTC))
    low, high = 1, 100 * pool.quote
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if contract.moved_to(middle, pool).spot < price else (low, middle)
    return high


def may_be_liquidated(w: World, trader: str) -> bool:
    """What the ClearingHouse says when asked to liquidate, without doing it."""
    call = {"from": w.keeper, "to": w.at["ClearingHouse"], "data": w.blocks.abi["ClearingHouse"].data("liquidate", w.amm[BTC], trader)}
    try:
        w.blocks.rpc("eth_call", call, "latest")
    except RpcError as error:
        if "Margin ratio" not in str(error):
            raise
        return False
    return True


@pytest.mark.parametrize(("script", "later"), [(crash, False), (later_crash, True)], ids=["era 1", "era 2"])
def test_a_liquidation_price_is_the_edge_of_the_contracts_own_test(
    script: Callable[[NodeTools], AbstractContextManager[TradedChain]], later: bool, node_tools: NodeTools, tmp_path: Path
) -> None:
    """Spot is traded to one part in 10^9 on either side and held for 15 minutes: only beyond the price does the ratio fall short."""
    with script(node_tools) as chain:
        w = chain.world
        w.give([w.whale], 50_000_000)
        new = [("long10", BUY, 1_000, 8), ("long9", BUY, 1_500, 5), ("short10" if later else "late_short", SELL, 1_000, 7)]
        for name, side, quote, leverage in new:
            w.open(chain.traders[name], BTC, side, quote, leverage)
            w.blocks.step(20)
        w.funding(BTC, w.price(BTC) * 0.98, w.blocks.clock + 3700 - w.blocks.clock % 3600)  # longs pay
        w.blocks.step(HELD)
        chain = replace(chain, last_block=w.blocks.head())
        done = replayed(chain, tmp_path, later)
        frame = done.positions(chain.last_block, markets=[w.amm[BTC]], traders=[chain.traders[name] for name, *_ in new])
        assert frame.height == 3
        assert set(frame["liquidatable_when"]) == {BELOW, ABOVE}
        assert (frame["funding_owed"] != 0).all()
        for row in frame.sort(pl.col("liquidation_price"), descending=True).iter_rows(named=True):
            price, trader = to_integer(row["liquidation_price"]), row["trader"]
            for aside in (1, -1):
                target = price + aside * (price // 10**9)
                move(w, quote_at(w, target))
                if later:  # these contracts look at the oracle's price too
                    w.index(BTC, w.price(BTC))
                w.blocks.step(HELD)
                view = chain.view(w.amm[BTC], trader, w.blocks.head())
                assert abs(view.spot_price - target) * 10**12 < target
                assert view.spot_notional == view.twap_notional
                assert view.margin_ratio is not None
                beyond = (aside < 0) == (row["liquidatable_when"] == BELOW)
                assert (view.margin_ratio < MAINTENANCE) == beyond
                assert may_be_liquidated(w, trader) == beyond
                assert abs(view.margin_ratio - MAINTENANCE) < 10**11
