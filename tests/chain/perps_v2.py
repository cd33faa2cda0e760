"""Synthetix Perps V2 on a fresh chain: its deployment, and what traders, keepers and the owner do on one market.

Real, with the bytecode of the npm package: the market (ProxyPerpsV2, PerpsV2MarketState, PerpsV2Market, PerpsV2MarketLiquidate,
PerpsV2MarketDelayedIntent, PerpsV2MarketDelayedExecution, PerpsV2MarketViews), PerpsV2MarketSettings, PerpsV2ExchangeRate,
FuturesMarketManager, ExchangeRates, CircuitBreaker and sUSD (MultiCollateralSynth) as deployed on Optimism; AddressResolver,
SystemStatus, FlexibleStorage, SafeDecimalMath, TokenState and ProxyERC20 as deployed on mainnet, because Optimism's own bytecode of these
is for its first virtual machine.

Stand-ins: the price aggregator, Exchanger (no dynamic fee, nothing to settle) and FeePool (only its fee address) are STAND_IN below. The
owner's account is the Issuer and SystemSettings, so it mints the traders' sUSD and sets the two system settings that are read. Pyth is
absent: traders trade directly and let on-chain orders wait, at the aggregator's price. The package ships its own test helpers as source
only, and nothing here compiles Solidity.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from tests.chain.blocks import Blocks, View
from tests.chain.rpc import Contract

E18 = 10**18
ASSET, KEY = "sETH", "sETHPERP"
FEE_ADDRESS = "0xfeefeefeefeefeefeefeefeefeefeefeefeefeef"
ZERO = "0x" + "00" * 20
STALE = 6 * 3600  # seconds after which a price may not be used
OF_MAINNET = ("AddressResolver", "SystemStatus", "FlexibleStorage", "SafeDecimalMath", "TokenState", "ProxyERC20")

# The calls of the market, by the contract that the proxy routes them to.
ROUTES = {
    "PerpsV2Market": ("transferMargin", "withdrawAllMargin", "modifyPosition", "closePosition", "recomputeFunding"),
    "PerpsV2MarketLiquidate": ("flagPosition", "liquidatePosition", "forceLiquidatePosition"),
    "PerpsV2MarketDelayedIntent": ("submitDelayedOrder",),
    "PerpsV2MarketDelayedExecution": ("executeDelayedOrder", "cancelDelayedOrder"),
    "PerpsV2MarketViews": (
        *("positions", "remainingMargin", "canLiquidate", "isFlagged", "liquidationFee", "accruedFunding", "profitLoss", "notionalValue"),
        *("liquidationPrice", "fillPrice", "assetPrice", "baseAsset", "marketKey", "marketSize", "marketSkew", "marketDebt"),
        *("currentFundingRate", "currentFundingVelocity", "unrecordedFunding", "fundingSequence", "fundingSequenceLength"),
        *("fundingLastRecomputed", "fundingRateLastRecomputed", "delayedOrders"),
    ),
}
# In the order of the settings contract's struct: ratios of 1e-18, times in seconds. The three kinds of trades cost the same.
MARKET = {
    "takerFee": E18 // 1000,
    "makerFee": E18 // 2000,
    "takerFeeDelayedOrder": E18 // 1000,
    "makerFeeDelayedOrder": E18 // 2000,
    "takerFeeOffchainDelayedOrder": E18 // 1000,
    "makerFeeOffchainDelayedOrder": E18 // 2000,
    "maxLeverage": 25 * E18,
    "maxMarketValue": 10**6 * E18,
    "maxFundingVelocity": 9 * E18,
    "skewScale": 10_000 * E18,
    "nextPriceConfirmWindow": 2,
    "delayedOrderConfirmWindow": 120,
    "minDelayTimeDelta": 60,
    "maxDelayTimeDelta": 6000,
    "offchainDelayedOrderMinAge": 2,
    "offchainDelayedOrderMaxAge": 30,
    "offchainMarketKey": b"ocETHPERP".ljust(32, b"\0"),
    "offchainPriceDivergence": E18 // 50,
    "liquidationPremiumMultiplier": 15625 * 10**14,
    "liquidationBufferRatio": 75 * 10**14,
    "maxLiquidationDelta": 15 * 10**14,
    "maxPD": 30 * 10**14,
}
EVERYWHERE = {  # in the order in which each setter accepts it beside the others
    "minInitialMargin": 50 * E18,
    "maxKeeperFee": 100 * E18,
    "minKeeperFee": 4 * E18,
    "liquidationFeeRatio": 2 * 10**14,
    "keeperLiquidationFee": 2 * E18,
}


def word(text: str) -> bytes:
    """A name as 32 bytes."""
    return text.encode().ljust(32, b"\0")


def _stand_in() -> Contract:
    """A contract that answers each call with the five words stored from the call's selector on; selector 0 stores a word in a slot."""
    store = "600035 60e01c 80 6012 57 602435 600435 55 00"  # unless the selector is not 0: sstore(argument 1, argument 2)
    read = "5b" + "".join(f"80 54 60{32 * n:02x} 52 6001 01" for n in range(5)) + "60a0 6000 f3"
    code = bytes.fromhex(store + read)
    return Contract({"bytecode": f"60{len(code):02x}80600b6000396000f3" + code.hex(), "abi": []})


def contracts(modules: Path) -> dict[str, Contract]:
    """The package's compiled contracts by name, and STAND_IN. They link SafeDecimalMath, which `PerpsV2` deploys first."""
    deployed = modules / "synthetix" / "publish" / "deployed"
    mainnet, optimism = (json.loads((deployed / n / "deployment.json").read_text())["sources"] for n in ("mainnet", "mainnet-ovm"))
    names = ("PerpsV2MarketState", "PerpsV2MarketSettings", "PerpsV2ExchangeRate", "FuturesMarketManager", "ExchangeRates")
    found = {name: Contract(optimism[name]) for name in (*ROUTES, *names, "CircuitBreaker", "MultiCollateralSynth", "ProxyPerpsV2")}
    return found | {name: Contract(mainnet[name]) for name in OF_MAINNET} | {"STAND_IN": _stand_in()}


@dataclass(frozen=True)
class Act:
    """One call of the market, alone in its block, and what the contracts answered: the revert text, or the events in order."""

    block: int
    time: int
    sender: str
    call: str
    args: tuple[Any, ...]
    reason: str | None
    events: tuple[tuple[str, dict[str, Any]], ...]


class PerpsV2:
    """The deployed protocol with its one market, and everybody's hands on it. Every `act` is kept in `acts`."""

    def __init__(self, url: str, abi: dict[str, Contract], clock: int, price: int) -> None:
        self.blocks = Blocks(url, abi, clock)
        self.owner, self.keeper, self.second_keeper, self.endorsed, *self.free = self.blocks.accounts()
        self.acts: list[Act] = []
        self.at: dict[str, str] = {}
        self._round = 0
        self._deploy_system()
        self.market, self.state = self._deploy_market(price)

    def act(self, sender: str, call: str, *args: Any, seconds: int = 5) -> Act:
        """A call of the market in a block of its own, whether it succeeds or reverts."""
        name = next(name for name, calls in ROUTES.items() if call in calls)
        self.blocks.send(sender, self.market, self.blocks.abi[name].data(call, *args), call, must=False, gas=3_000_000)
        (done,) = self.blocks.step(seconds)
        events = tuple(event for log in done.receipt["logs"] if (event := self._event(log)))
        self.acts.append(Act(int(done.receipt["blockNumber"], 16), self.blocks.clock, sender, call, args, done.reason, events))
        return self.acts[-1]

    def _event(self, log: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """An event of the market, or sUSD that was issued or burned."""
        if log["address"].lower() == self.at["ProxysUSD"]:
            found = self.blocks.abi["MultiCollateralSynth"].event(log)
            return found if found and found[0] in ("Issued", "Burned") else None
        if log["address"].lower() != self.market:
            return None
        return next(filter(None, (self.blocks.abi[name].event(log) for name in ROUTES)), None)

    def price(self, price: int, seconds: int = 20) -> None:
        """The aggregator's next answer, in a block of its own."""
        self._round += 1
        time = self.blocks.clock + seconds
        self._store("latestRoundData()", self._round, price, time, time, self._round)
        self._store("latestRound()", self._round)
        self.blocks.step(seconds)

    def own(self, name: str, function: str, *args: Any, to: str | None = None) -> None:
        """The owner's call of a contract, in the next block."""
        address = to or self.at[name]
        self.blocks.send(self.owner, address, self.blocks.abi[name].data(function, *args), function, gas=6_000_000)

    def view(self, function: str, *args: Any) -> View:
        """A view of the market, to be called."""
        return ("PerpsV2MarketViews", self.market, function, args)

    # Deployment

    def _store(self, signature: str, *words: int, to: str = "aggregator") -> None:
        slot = int.from_bytes(keccak(text=signature)[:4])
        for n, value in enumerate(words):
            data = "0x" + (bytes(4) + (slot + n).to_bytes(32) + value.to_bytes(32)).hex()
            self.blocks.send(self.owner, self.at[to], data, f"{to} {signature}")

    def _deploy(self, name: str, *args: Any) -> str:
        return self.blocks.deploy(self.owner, name, *args)

    def _deploy_system(self) -> None:
        owner, at = self.owner, self.at
        library = self._deploy("SafeDecimalMath")
        for contract in self.blocks.abi.values():
            contract.link(library)
        resolver = at["AddressResolver"] = self._deploy("AddressResolver", owner)
        at["SystemStatus"] = self._deploy("SystemStatus", owner)
        at["FlexibleStorage"] = self._deploy("FlexibleStorage", resolver)
        at["TokenState"], at["ProxysUSD"] = self._deploy("TokenState", owner, owner), self._deploy("ProxyERC20", owner)
        synth = (at["ProxysUSD"], at["TokenState"], "Synth sUSD", "sUSD", owner, word("sUSD"), 0, resolver)
        at["SynthsUSD"] = self._deploy("MultiCollateralSynth", *synth)
        cached = ("ExchangeRates", "CircuitBreaker", "FuturesMarketManager", "PerpsV2MarketSettings", "PerpsV2ExchangeRate")
        at |= {name: self._deploy(name, owner, resolver) for name in cached}
        at |= {name: self._deploy("STAND_IN") for name in ("Exchanger", "FeePool", "aggregator")}
        named = ("SystemStatus", "FlexibleStorage", "SynthsUSD", "Exchanger", "FeePool", *cached)
        known = {name: at[name] for name in named}
        known |= dict.fromkeys(("Issuer", "SystemSettings", "CollateralManager", "EtherWrapper", "WrapperFactory"), owner)
        self.own("AddressResolver", "importAddresses", [word(name) for name in known], [*known.values()])
        self.own("TokenState", "setAssociatedContract", at["SynthsUSD"])
        self.own("ProxyERC20", "setTarget", at["SynthsUSD"], to=at["ProxysUSD"])
        self.own("MultiCollateralSynth", "rebuildCache", to=at["SynthsUSD"])
        self.blocks.step()
        for name in cached:
            self.own(name, "rebuildCache")
        for setting, value in (("rateStalePeriod", STALE), ("priceDeviationThresholdFactor", 3 * E18)):
            self.own("FlexibleStorage", "setUIntValue", word("SystemSettings"), word(setting), value)
        for section in ("Futures", "Synth"):
            self.own("SystemStatus", "updateAccessControl", word(section), owner, True, True)
        self._store("FEE_ADDRESS()", int(FEE_ADDRESS, 16), to="FeePool")
        self._store("decimals()", 18)
        for name, value in EVERYWHERE.items():
            self.own("PerpsV2MarketSettings", setter(name), value)
        self.own("ExchangeRates", "addAggregator", word(ASSET), at["aggregator"])
        self.blocks.step()

    def _deploy_market(self, price: int) -> tuple[str, str]:
        owner, resolver = self.owner, self.at["AddressResolver"]
        proxy = self._deploy("ProxyPerpsV2", owner)
        state = self._deploy("PerpsV2MarketState", owner, [owner], word(ASSET), word(KEY), ZERO)
        parts = {name: self._deploy(name, *(() if name == "PerpsV2MarketViews" else (proxy,)), state, owner, resolver) for name in ROUTES}
        for name, address in parts.items():
            self.own(name, "rebuildCache", to=address)
        self.own("PerpsV2MarketState", "removeAssociatedContracts", [owner], to=state)
        self.own("PerpsV2MarketState", "addAssociatedContracts", [*parts.values()], to=state)
        self.own("PerpsV2MarketState", "linkOrInitializeState", to=state)
        self.blocks.step()
        for name, functions in ROUTES.items():
            for function in functions:
                route = (self.blocks.abi[name].selector(function), parts[name], name == "PerpsV2MarketViews")
                self.blocks.send(owner, proxy, self.blocks.abi["ProxyPerpsV2"].data("addRoute", *route), f"route {function}", gas=400_000)
        self.blocks.step()
        self.price(price)
        self.own("FuturesMarketManager", "addProxiedMarkets", [proxy])
        self.own("PerpsV2MarketSettings", "setParameters", word(KEY), tuple(MARKET.values()))
        self.blocks.step()
        return proxy, state


def setter(parameter: str) -> str:
    """The settings contract's function that sets a parameter."""
    return f"set{parameter[0].upper()}{parameter[1:]}"
