"""Two small crashes: one on the contracts of February 2021 (era 1), one on the later ones (era 2, partial liquidations).

Each trader is there for one thing, and named for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from tests.chain.anvil import chain
from tests.chain.node import NodeTools
from tests.chain.traded import TradedChain, traded
from tests.chain.world import BUY, E18, SELL, World, contracts

BTC, ETH = "BTCUSDC", "ETHUSDC"


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


@contextmanager
def crash(tools: NodeTools, options: tuple[str, ...] = ()) -> Iterator[TradedChain]:
    """Era 1, traded and still running. `options` are further ones of the node."""
    first = 14_000_000
    with chain(tools.anvil, first, _at("2021-02-19T00:00:00"), options=options) as url:
        world = World(url, contracts(tools.modules), _at("2021-02-20T12:00:00"))
        yield _trade_crash(world, first)


def _trade_crash(w: World, first: int) -> TradedChain:
    w.deploy({BTC: (12_250_000, 56_000), ETH: (10_000_000, 1_900)})
    names = "long10 long9 long7 long5 long2 bad_debt twice added removed reduced reversed closed short late_short eth_long eth_short"
    t = dict(zip(names.split(), w.free, strict=False))
    w.give([w.whale, w.arbitrageur, *t.values()], 5_000_000)
    w.blocks.clock = _at("2021-02-20T19:00:00")
    longs = [("long10", 900, 10), ("long9", 1_000, 9), ("long7", 1_250, 7), ("long5", 1_777.777777, 5), ("long2", 5_000, 2)]
    longs += [("bad_debt", 2_000, 10), ("twice", 800, 10), ("added", 1_200, 6), ("removed", 2_000, 4), ("reduced", 2_500, 4)]
    for name, quote, leverage in [*longs, ("reversed", 1_600, 3), ("closed", 1_500, 5)]:
        w.open(t[name], BTC, BUY, quote, leverage)
        w.blocks.step(50)
    w.open(t["short"], BTC, SELL, 2_000, 2.5)
    w.open(t["eth_long"], ETH, BUY, 3_000, 10)
    w.open(t["eth_short"], ETH, SELL, 1_000, 3)
    w.blocks.step(30)
    w.funding(BTC, 55_500, _at("2021-02-20T20:00:05"))  # longs pay
    w.remove(t["removed"], BTC, 600)
    w.add(t["added"], BTC, 250.5)
    w.open(t["long5"], BTC, BUY, 200, 10)  # an increase
    w.blocks.step(30)
    w.funding(ETH, 1_890, _at("2021-02-20T21:00:05"))
    w.blocks.step(at=_at("2021-02-20T22:44:55"))  # an empty block: the reference
    reference, start = w.blocks.head(), _at("2021-02-20T22:45:00")

    watched = [t[n] for n in names.split() if not n.startswith("eth") and n not in ("bad_debt", "short")]
    w.push(BTC, 50_500, w.whale, 20)
    w.add(t["added"], BTC, 400)
    w.close(t["closed"], BTC)
    w.blocks.step(20)
    _wait(w, 9, watched)
    w.funding(BTC, 55_900, max(w.blocks.clock + 20, _at("2021-02-20T23:00:05")))  # shorts pay
    w.open(t["twice"], BTC, BUY, 900, 8)  # a second life
    w.blocks.step(15)
    w.open(t["reduced"], BTC, SELL, 1_500, 1)
    w.open(t["reversed"], BTC, SELL, 2_500, 3)
    w.blocks.step(15)
    w.push(BTC, 41_500, w.whale, 20)
    w.push(ETH, 1_740, w.arbitrageur, 15)
    _wait(w, 9, watched)
    w.open(t["late_short"], BTC, SELL, 1_000, 10)
    w.blocks.step(15)
    w.sweep(BTC, [t["bad_debt"]])  # far under water by now
    w.sweep(ETH, [t["eth_long"], t["eth_short"]])
    w.push(BTC, 54_000, w.whale, 45)
    _wait(w, 6, [t["late_short"], t["short"], t["reversed"]])
    w.funding(BTC, 55_000, max(w.blocks.clock + 20, _at("2021-02-21T01:00:05")))
    return traded(w, first, reference, (start, w.blocks.clock + 1), t)


def _wait(w: World, minutes: int, watched: list[str], market: str = BTC) -> None:
    """Keepers at work. They must wait: the contracts liquidate by the better of spot and a 15 minute average."""
    for _ in range(minutes):
        w.blocks.step(60)
        w.sweep(market, watched)


@contextmanager
def later_crash(tools: NodeTools) -> Iterator[TradedChain]:
    """Era 2, traded and still running."""
    first = 16_000_000
    options = ("--code-size-limit", "30000")  # this ClearingHouse is larger than a mainnet allows
    with chain(tools.anvil, first, _at("2021-05-18T00:00:00"), options=options) as url:
        world = World(url, contracts(tools.modules, later=True), _at("2021-05-19T00:00:00"))
        yield _trade_later(world, first)


def _trade_later(w: World, first: int) -> TradedChain:
    w.deploy({BTC: (12_250_000, 40_000)})
    w.house(w.owner, "setPartialLiquidationRatio", (E18 // 4,))
    w.blocks.step()
    t = dict(zip(["long10", "long9", "long8", "short10", "whole"], w.free, strict=False))
    w.give([w.whale, *t.values()], 5_000_000)
    w.blocks.clock = _at("2021-05-19T02:00:00")
    longs = [("long10", 1_000, 10), ("long9", 1_200, 9), ("long8", 1_500, 8), ("whole", 800, 10)]
    for name, side, quote, leverage in [*((n, BUY, q, lev) for n, q, lev in longs), ("short10", SELL, 900, 10)]:
        w.open(t[name], BTC, side, quote, leverage)
        w.blocks.step(60)
    w.funding(BTC, 39_700, _at("2021-05-19T03:00:05"))
    w.blocks.step(at=_at("2021-05-19T03:59:55"))
    reference = w.blocks.head()

    kept = [user for name, user in t.items() if name != "whole"]
    w.push(BTC, 37_600, w.whale, 30)
    _wait_later(w, 12, kept)
    w.push(BTC, 35_000, w.whale, 30)
    _wait_later(w, 12, list(t.values()))
    w.push(BTC, 43_000, w.whale, 30)
    _wait_later(w, 12, list(t.values()))
    return traded(w, first, reference, (_at("2021-05-19T04:00:00"), w.blocks.clock + 1), t)


def _wait_later(w: World, minutes: int, watched: list[str]) -> None:
    """The oracle follows the market, so that the spread guard of these contracts stays out of the way."""
    for _ in range(minutes):
        w.index(BTC, w.price(BTC))
        w.blocks.step(60)
        w.sweep(BTC, watched)
