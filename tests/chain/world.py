"""Perpetual Protocol V1 on a fresh chain: deployment behind proxies, and what traders, keepers and owners do."""

import json
import math
from pathlib import Path
from typing import Any

from tests.chain.blocks import Blocks
from tests.chain.rpc import Contract

E18 = 10**18
BUY, SELL = 0, 1
MAINTENANCE = 625 * 10**14  # a position below a margin ratio of 6.25 % may be liquidated
LIQUIDATION_FEE = 125 * 10**14
SHARED = ("ClearingHouse", "Amm", "InsuranceFund", "MetaTxGateway", "ERC20Fake", "L2PriceFeedMock")


def wei(amount: float) -> int:
    """An 18-digit integer, rounded to the 6 digits that USDC has."""
    return round(amount * 10**6) * 10**12


def contracts(modules: Path, later: bool = False) -> dict[str, Contract]:
    """The compiled contracts: version 1.1.0 of February 2021, or with `later` the core of 2.2.0 over the same mocks."""
    first = modules / "@perp" / "contract" / "build" / "contracts"
    proxies = modules / "@openzeppelin" / "contracts" / "build" / "contracts"
    found = {name: first / f"{name}.json" for name in SHARED}
    if later:
        second = modules / "perp-contract-later" / "build" / "contracts" / "src"
        found |= {name: second / f"{name}.sol" / f"{name}.json" for name in ("ClearingHouse", "Amm", "InsuranceFund")}
    found |= {name: proxies / f"{name}.json" for name in ("TransparentUpgradeableProxy", "ProxyAdmin")}
    return {name: Contract(json.loads(path.read_text())) for name, path in found.items()}


class World:
    """The deployed protocol and everybody's hands on it."""

    def __init__(self, url: str, abi: dict[str, Contract], clock: int) -> None:
        self.blocks = Blocks(url, abi, clock)
        self.owner, self.arbitrageur, self.keeper, self.second_keeper, self.whale, self.funder, *self.free = self.blocks.accounts()
        self.at: dict[str, str] = {}
        self.amm: dict[str, str] = {}
        self.feed: dict[str, str] = {}

    # Deployment

    def _deploy(self, name: str, *args: Any) -> str:
        return self.blocks.deploy(self.owner, name, *args)

    def _proxy(self, name: str, implementation: str, *initialize: Any) -> str:
        first_call = bytes.fromhex(self.blocks.abi[name].data("initialize", *initialize)[2:])
        return self._deploy("TransparentUpgradeableProxy", implementation, self.at["ProxyAdmin"], first_call)

    def _own(self, name: str, to: str, function: str, *args: Any) -> None:
        self.blocks.send(self.owner, to, self.blocks.abi[name].data(function, *args), function)

    def deploy(self, markets: dict[str, tuple[float, float]]) -> None:
        """The whole protocol; a market is (quote reserve, price). Parameters as in production in February 2021."""
        self.at["ProxyAdmin"] = self._deploy("ProxyAdmin")
        usdc = self.at["USDC"] = self._deploy("ERC20Fake")
        self._own("ERC20Fake", usdc, "initializeERC20Fake", 10**18, "USD Coin on xDai", "USDC", 6)
        gateway = self._proxy("MetaTxGateway", self._deploy("MetaTxGateway"), "Perp", "1", 1)
        fund = self.at["InsuranceFund"] = self._proxy("InsuranceFund", self._deploy("InsuranceFund"))
        house = self.at["ClearingHouse"] = self._proxy(
            "ClearingHouse", self._deploy("ClearingHouse"), E18 // 10, MAINTENANCE, LIQUIDATION_FEE, fund, gateway
        )
        amm = self._deploy("Amm")
        for name, (quote, price) in markets.items():
            feed = self.feed[name] = self._deploy("L2PriceFeedMock", wei(price))
            # Trade limit 90 %, funding every hour, fluctuation limit 1.2 % a block, no toll, spread 0.1 %.
            terms = (wei(quote), wei(quote / price), 9 * E18 // 10, 3600, feed, name[:3].encode().ljust(32, b"\0"), usdc)
            self.amm[name] = self._proxy("Amm", amm, *terms, 12 * 10**15, 0, 10**15)
            self._own("Amm", self.amm[name], "setCounterParty", house)
            self._own("InsuranceFund", fund, "addAmm", self.amm[name])
            self._own("Amm", self.amm[name], "setOpen", True)
            self.index(name, price)
        self._own("InsuranceFund", fund, "setBeneficiary", house)
        self._own("ClearingHouse", house, "setWhitelist", self.arbitrageur)
        self._own("ERC20Fake", usdc, "transfer", fund, 20_000_000 * 10**6)
        self.blocks.step()

    def give(self, users: list[str], amount: int) -> None:
        """USDC to each, and the ClearingHouse's leave to take it."""
        for user in users:
            self._own("ERC20Fake", self.at["USDC"], "transfer", user, amount * 10**6)
            self.blocks.send(
                user, self.at["USDC"], self.blocks.abi["ERC20Fake"].data("approve", self.at["ClearingHouse"], 2**256 - 1), "approve"
            )
            if len(self.blocks.queued) >= 8:  # a block's gas limit holds no more of them
                self.blocks.step()
        self.blocks.step()

    # What people do, queued for the next block

    def house(self, sender: str, function: str, *args: Any, must: bool = True, gas: int = 1_500_000) -> None:
        """Any transaction to the ClearingHouse."""
        self.blocks.send(
            sender, self.at["ClearingHouse"], self.blocks.abi["ClearingHouse"].data(function, *args), f"{function} {args}", must, gas
        )

    def open(self, who: str, market: str, side: int, quote: float, leverage: float) -> None:
        """A market order: opens, increases, reduces or reverses."""
        self.house(who, "openPosition", self.amm[market], side, (wei(quote),), (wei(leverage),), (0,))

    def close(self, who: str, market: str) -> None:
        """The trader's own close."""
        self.house(who, "closePosition", self.amm[market], (0,))

    def add(self, who: str, market: str, amount: float) -> None:
        """Margin in."""
        self.house(who, "addMargin", self.amm[market], (wei(amount),))

    def remove(self, who: str, market: str, amount: float) -> None:
        """Margin out, which settles funding."""
        self.house(who, "removeMargin", self.amm[market], (wei(amount),))

    def index(self, market: str, price: float) -> None:
        """The oracle's price, both the average that funding reads and the spot that later contracts read."""
        for function in ("setTwapPrice", "setPrice"):
            self._own("L2PriceFeedMock", self.feed[market], function, wei(price))

    def funding(self, market: str, index: float, at: int) -> None:
        """A funding payment at a unix time, with the oracle at `index`."""
        self.index(market, index)
        self.house(self.funder, "payFunding", self.amm[market])
        self.blocks.step(at=at)

    # Prices and keepers

    def reserves(self, market: str) -> tuple[int, int]:
        """Quote and base reserve now."""
        amm = self.amm[market]
        quote, base = self.blocks.calls([("Amm", amm, f"{side}AssetReserve", ()) for side in ("quote", "base")])
        return quote, base

    def price(self, market: str) -> float:
        """The spot price, near enough to steer by."""
        quote, base = self.reserves(market)
        return quote / base

    def push(self, market: str, target: float, who: str, seconds: int, step: float = 1.0112) -> None:
        """Orders until spot is near the target, one a block, each below the 1.2 % that a block may move."""
        while abs(target / (price := self.price(market)) - 1) > 2e-4:
            factor = min(max(target / price, 1 / step), step)
            quote = abs(self.reserves(market)[0] * (math.sqrt(factor) - 1)) / E18
            self.open(who, market, BUY if factor > 1 else SELL, round(quote, 2), 1)
            self.blocks.step(seconds)

    def sweep(self, market: str, watched: list[str]) -> None:
        """Two keepers liquidate, in one block, whoever of the watched stands below maintenance."""
        house, amm = self.at["ClearingHouse"], self.amm[market]
        ratios = self.blocks.calls([("ClearingHouse", house, "getMarginRatio", (amm, user)) for user in watched])
        due = [user for user, ratio in zip(watched, ratios, strict=True) if ratio is not None and ratio[0] < MAINTENANCE]
        for n, user in enumerate(due[:3]):  # a block's gas limit holds no more
            self.house(self.second_keeper if n % 2 else self.keeper, "liquidate", amm, user, must=False, gas=3_000_000)
        if due:
            self.blocks.step(10)
