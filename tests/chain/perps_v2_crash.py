"""A small crash on Perps V2 with every kind of keeper's call: flags, spontaneous and forced liquidations, and refusals of each kind.

Each trader is there for one thing, and named for it. Limits: a liquidation of less than 8 ETH, a skew of less than 16 ETH.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.chain.anvil import chain
from tests.chain.node import NodeTools
from tests.chain.perps_v2 import ASSET, E18, KEY, STALE, PerpsV2, contracts, setter, word

FIRST, START = 105_300_000, 1_686_198_777
OPTIMISM = 10
NO_LIMIT = 2**254  # a buyer's highest fill price
UPDATES = {"maxLiquidationDelta": 8 * 10**14, "maxPD": 16 * 10**14}

# Size and margin of each position as it is opened: size * 1,850 / margin is the leverage.
OPENED = {
    "hedge": (-25.5, 20_000),
    "spontaneous": (5, 450),  # flagged, liquidated
    "just_under": (8 - 1e-15, 800),  # the largest that passes maxLiquidationDelta
    "exact": (8, 800),  # the smallest that does not: forced
    "pending": (2, 250),  # flagged while an order waits; then every operation is blocked
    "recovered": (3.25, 420),  # held back by maxPD, healthy again when liquidated: the fee pool gets the rest
    "own_flag": (1.5, 140),  # flags and liquidates itself
    "under_water": (2.5, 330),  # the margin is gone; the fees are minted all the same
    "flag_only": (0.75, 100),  # stays flagged
    "survivor": (3, 1_200),
    "closed": (1.125, 160),
    "rebound": (-4, 1_060),  # a short
}


@dataclass(frozen=True)
class CrashV2:
    """The chain after the script; its node still answers for every block."""

    world: PerpsV2
    url: str
    traders: dict[str, str]
    reference_block: int  # the last one before the window
    window: tuple[int, int]  # unix seconds, half-open
    last_block: int

    def incident(self) -> str:
        """The text of an incident file over this chain."""
        start, end = (datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for t in self.window)
        values = {"SETTINGS": self.world.at["PerpsV2MarketSettings"], "MARKET": self.world.market, "FROM": start, "TO": end}
        text = INCIDENT
        for name, value in values.items():
            text = text.replace(f"<{name}>", value)
        return text


@contextmanager
def perps_v2_crash(tools: NodeTools) -> Iterator[CrashV2]:
    """Perps V2 as of April 2023, traded and still running."""
    with chain(tools.anvil, FIRST, START, chain_id=OPTIMISM) as url:
        yield _trade(PerpsV2(url, contracts(tools.modules), START, 1850 * E18), url)


def _trade(w: PerpsV2, url: str) -> CrashV2:
    t = dict(zip(OPENED, w.free, strict=False))
    for trader in t.values():
        w.own("MultiCollateralSynth", "issue", trader, 50_000 * E18, to=w.at["SynthsUSD"])
    w.own("FuturesMarketManager", "addEndorsedAddresses", [w.endorsed])
    w.blocks.step()
    for name, (size, margin) in OPENED.items():
        w.act(t[name], "transferMargin", margin * E18)
        modify(w, t[name], round(size * 10**15) * 10**3 + (1 if size < 0 else 0))
    for parameter, value in UPDATES.items():
        w.own("PerpsV2MarketSettings", setter(parameter), word(KEY), value)
    w.blocks.step(3600)
    modify(w, t["survivor"], E18 // 3, seconds=7200)
    w.act(t["survivor"], "transferMargin", -(10 * E18 + 7))
    w.act(t["survivor"], "submitDelayedOrder", -E18 // 7, 60, 0)
    w.act(w.keeper, "executeDelayedOrder", t["survivor"], seconds=61)  # gets the deposit
    w.act(t["survivor"], "submitDelayedOrder", -E18 // 8, 60, 0)
    w.act(t["survivor"], "cancelDelayedOrder", t["survivor"], seconds=200)  # gets it back into the margin
    w.blocks.step(3600)  # an empty block: the reference
    reference, start = w.blocks.head(), w.blocks.clock + 1

    w.price(1800 * E18)
    for call, sender in (("flagPosition", w.keeper), ("liquidatePosition", w.keeper), ("forceLiquidatePosition", w.endorsed)):
        w.act(sender, call, t["spontaneous"])  # neither flaggable nor flagged
    w.act(t["pending"], "submitDelayedOrder", -E18 // 2, 60, 0)
    for call, args in (("transferMargin", (10 * E18,)), ("modifyPosition", (-E18, 0)), ("closePosition", (0,)), ("withdrawAllMargin", ())):
        w.act(t["pending"], call, *args)  # its own order is in the way
    w.act(t["pending"], "submitDelayedOrder", -E18, 60, 0)
    w.act(t["closed"], "closePosition", 0)
    w.act(t["closed"], "withdrawAllMargin")

    w.price(1753 * E18 + 123_456_789)
    for name in ("spontaneous", "just_under", "exact"):
        w.act(w.keeper, "flagPosition", t[name])
    w.act(w.second_keeper, "flagPosition", t["spontaneous"])  # a second time
    w.act(w.second_keeper, "liquidatePosition", t["spontaneous"])
    w.act(w.keeper, "liquidatePosition", t["just_under"])
    w.act(w.keeper, "liquidatePosition", t["exact"])
    w.act(w.endorsed, "liquidatePosition", t["exact"])  # endorsed or not
    w.act(w.keeper, "forceLiquidatePosition", t["exact"])

    w.price(1725 * E18)
    w.act(w.second_keeper, "flagPosition", t["pending"])  # gets the deposit of the order
    _blocked(w, t["pending"])
    w.act(t["own_flag"], "flagPosition", t["own_flag"])
    w.act(t["hedge"], "closePosition", NO_LIMIT)  # the skew goes past maxPD
    w.price(1700 * E18)
    w.act(w.keeper, "flagPosition", t["recovered"])
    w.act(w.second_keeper, "liquidatePosition", t["recovered"])  # maxPD
    w.act(w.second_keeper, "liquidatePosition", t["exact"])  # both limits
    w.act(t["own_flag"], "liquidatePosition", t["own_flag"])
    w.act(w.endorsed, "forceLiquidatePosition", t["exact"])  # forced past both
    w.act(t["own_flag"], "liquidatePosition", t["own_flag"])  # and with it the skew is back below maxPD
    w.act(w.endorsed, "forceLiquidatePosition", t["pending"])  # forced though nothing held it back
    w.act(t["pending"], "transferMargin", 100 * E18)  # free again
    _system(w, t["under_water"], t["recovered"])
    w.price(1650 * E18)
    w.act(w.keeper, "flagPosition", t["under_water"])
    w.act(w.second_keeper, "flagPosition", t["flag_only"])
    w.act(w.keeper, "liquidatePosition", t["under_water"])
    w.price(1790 * E18)
    w.act(w.keeper, "liquidatePosition", t["recovered"])
    w.price(2100 * E18)
    w.act(w.keeper, "flagPosition", t["rebound"], seconds=1800)
    w.act(w.second_keeper, "liquidatePosition", t["rebound"])
    end = w.blocks.clock + 1
    w.blocks.step(600)
    return CrashV2(w, url, t, reference, (start, end), w.blocks.head())


def modify(w: PerpsV2, trader: str, size: int, seconds: int = 5) -> None:
    """A direct trade at any price."""
    w.act(trader, "modifyPosition", size, NO_LIMIT if size > 0 else 0, seconds=seconds)


def _blocked(w: PerpsV2, trader: str) -> None:
    """Everything that the owner of a flagged position may try."""
    w.act(trader, "transferMargin", 100 * E18)
    w.act(trader, "transferMargin", -E18)
    w.act(trader, "withdrawAllMargin")
    modify(w, trader, E18)
    modify(w, trader, -E18)
    w.act(trader, "closePosition", 0)
    w.act(trader, "submitDelayedOrder", -E18, 60, 0)
    w.act(trader, "cancelDelayedOrder", trader)
    w.act(trader, "executeDelayedOrder", trader)


def _system(w: PerpsV2, flaggable: str, flagged: str) -> None:
    """A suspended market, a suspended synth, a price that trips the circuit breaker, a stale price: each stops every call."""
    for section, name in (("FuturesMarket", KEY), ("Synth", ASSET)):
        w.own("SystemStatus", f"suspend{section}", word(name), 1)
        w.blocks.step()
        _stopped(w, flaggable, flagged)
        w.own("SystemStatus", f"resume{section}", word(name))
        w.blocks.step()
    w.price(500 * E18)
    _stopped(w, flaggable, flagged)
    w.price(1699 * E18)
    w.blocks.step(STALE + 1)
    _stopped(w, flaggable, flagged)


def _stopped(w: PerpsV2, flaggable: str, flagged: str) -> None:
    w.act(w.keeper, "flagPosition", flaggable)
    w.act(w.keeper, "liquidatePosition", flagged)
    w.act(w.endorsed, "forceLiquidatePosition", flagged)
    w.act(flagged, "transferMargin", E18)


INCIDENT = """title = "A crash of Perps V2 made on this machine"
notice = "The real contracts with scripted traders; no incident."
system = "synthetix_v2"

[chain]
id = 10
settings = "<SETTINGS>"
source = "script"

[[market]]
name = "sETHPERP"
amm = "<MARKET>"
affected = true
reference_price = 1790
source = "script"

[eligibility]
from = <FROM>
to = <TO>
rebound_shorts = "include"
opened_in_window = "include"
second_life = "include"
self_liquidation = "include"
source = "script"

[formula]
name = "margin-only"
source = "script"

[allocation]
rounded_off_to = "nobody: a test"
source = "script"

[[settlement]]
token = "sUSD"
decimals = 18
share = 1
price = 1
price_policy = "one dollar"
source = "script"

[vesting]
upfront = 1
calendar = "fixed-days"
length = 1
tranches = 1
start = 2023-12-01T00:00:00Z
source = "script"

[sources]
script = "the script that made the chain"
"""
