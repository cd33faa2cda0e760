"""A chain after its script: where it answers, what stands on it, and the contracts' own views at any block."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from tests.chain.anvil import CHAIN_ID
from tests.chain.world import World

LIQUIDATED = "0x" + keccak(text="PositionLiquidated(address,address,uint256,uint256,uint256,address,uint256)").hex()


@dataclass(frozen=True)
class View:
    """A position as the contracts show it at the end of a block; whole wei."""

    block: int
    size: int
    margin: int
    open_notional: int
    spot_notional: int
    spot_unrealized_pnl: int
    twap_notional: int
    twap_unrealized_pnl: int
    margin_ratio: int | None  # None without a position
    last_premium_fraction: int  # at the position's last settlement
    latest_premium_fraction: int
    spot_price: int
    quote_reserve: int
    base_reserve: int


@dataclass(frozen=True)
class Liquidation:
    """One PositionLiquidated, read from its log here and not by perpcomp."""

    transaction_hash: str
    log_index: int
    block: int
    trader: str
    amm: str
    liquidator: str


@dataclass(frozen=True)
class TradedChain:
    """What a script leaves. The node still runs: `url` answers eth_getLogs, eth_call of old blocks, and everything else."""

    url: str
    chain_id: int
    clearing_house: str
    markets: dict[str, str]
    traders: dict[str, str]
    first_block: int
    last_block: int
    reference_block: int  # the last one before the window
    window: tuple[int, int]  # unix seconds, half-open
    world: World

    def logs(self) -> list[dict[str, Any]]:
        """Every log of the chain as eth_getLogs returns it."""
        asked = {"fromBlock": hex(self.first_block), "toBlock": hex(self.last_block)}
        found: list[dict[str, Any]] = self.world.blocks.rpc("eth_getLogs", asked)
        return found

    def dump(self, file: Path) -> int:
        """Write the logs as JSON lines; returns how many."""
        rows = self.logs()
        file.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
        return len(rows)

    def liquidations(self) -> list[Liquidation]:
        """Every one, in order."""
        return [
            Liquidation(
                row["transactionHash"],
                int(row["logIndex"], 16),
                int(row["blockNumber"], 16),
                "0x" + row["topics"][1][26:],
                "0x" + row["topics"][2][26:],
                "0x" + row["data"][2 + 64 * 3 + 24 : 2 + 64 * 4],
            )
            for row in self.logs()
            if row["topics"][0] == LIQUIDATED and row["address"].lower() == self.clearing_house
        ]

    def view(self, amm: str, trader: str, block: int) -> View:
        """One position at the end of a block."""
        return self._views([(amm, trader)], block)[amm, trader]

    def views(self, block: int) -> dict[tuple[str, str], View]:
        """(market, trader) to the view of every trader of the script who has size or margin at the end of a block."""
        pairs = [(amm, trader) for amm in self.markets.values() for trader in self.traders.values()]
        return {pair: view for pair, view in self._views(pairs, block).items() if view.size or view.margin}

    def _views(self, pairs: list[tuple[str, str]], block: int) -> dict[tuple[str, str], View]:
        house, asked = self.clearing_house, []
        for amm, trader in pairs:
            asked += [
                ("ClearingHouse", house, "getPosition", (amm, trader)),
                ("ClearingHouse", house, "getPositionNotionalAndUnrealizedPnl", (amm, trader, 0)),
                ("ClearingHouse", house, "getPositionNotionalAndUnrealizedPnl", (amm, trader, 1)),
                ("ClearingHouse", house, "getMarginRatio", (amm, trader)),
                ("ClearingHouse", house, "getLatestCumulativePremiumFraction", (amm,)),
                ("Amm", amm, "getSpotPrice", ()),
                ("Amm", amm, "quoteAssetReserve", ()),
                ("Amm", amm, "baseAssetReserve", ()),
            ]
        answers = iter(self.world.blocks.calls(asked, block))
        views = {}
        for pair in pairs:
            position, spot, twap, ratio, premium, price, quote, base = (next(answers) for _ in range(8))
            size, margin, notional, settled = (field[0] for field in position[:4])
            views[pair] = View(
                block,
                size,
                margin,
                notional,
                *(spot[0][0], spot[1][0], twap[0][0], twap[1][0]),
                ratio[0] if ratio and size else None,
                *(settled, premium[0], price[0], quote, base),
            )
        return views

    def incident(self, file: str = "logs.jsonl") -> str:
        """The text of an incident file over these logs; every liquidation is in, the first market is the affected one."""
        start, end = (datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for t in self.window)
        affected = ("affected = true\nreference_price = 50_000\n", *[""] * (len(self.markets) - 1))
        markets = "".join(
            f'[[market]]\nname = "{name}"\namm = "{amm}"\n{terms}source = "script"\n\n'
            for (name, amm), terms in zip(self.markets.items(), affected, strict=True)
        )
        values = {"FILE": file, "CHAIN": str(self.chain_id), "HOUSE": self.clearing_house, "MARKETS": markets, "FROM": start, "TO": end}
        text = INCIDENT
        for name, value in values.items():
            text = text.replace(f"<{name}>", value)
        return text


def traded(world: World, first: int, reference: int, window: tuple[int, int], traders: dict[str, str]) -> TradedChain:
    """The chain as its script leaves it."""
    house = world.at["ClearingHouse"]
    return TradedChain(
        world.blocks.rpc.url, CHAIN_ID, house, dict(world.amm), dict(traders), first, world.blocks.head(), reference, window, world
    )


INCIDENT = """title = "A crash made on this machine"
notice = "The real contracts with scripted traders; no incident."
system = "perpetual-v1"

[input]
file = "<FILE>"

[chain]
id = <CHAIN>
clearing_house = "<HOUSE>"
liquidation_fee_ratio = 0.0125
source = "script"

<MARKETS>[eligibility]
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
token = "USDC"
decimals = 6
share = 1
price = 1
price_policy = "one dollar"
source = "script"

[vesting]
upfront = 1
calendar = "fixed-days"
length = 1
tranches = 1
start = 2021-06-01T00:00:00Z
source = "script"

[sources]
script = "the script that made the chain"
"""
