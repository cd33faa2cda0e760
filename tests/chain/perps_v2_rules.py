"""The Perps V2 market by the rules of perpcomp (guards/rules), driven by the calls of the chain, and the contracts' views to hold it against."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from perpcomp.fixed import mul_integers
from perpcomp.guards.rules import funding, liquidation, margins, trading
from perpcomp.guards.rules.events import Event, Revert
from perpcomp.guards.rules.funding import Funding
from perpcomp.guards.rules.market import FEE_POOL, Market, Oracle
from perpcomp.guards.rules.parameters import NAMES, OF_ALL_MARKETS, Parameters
from tests.chain.blocks import View
from tests.chain.perps_v2 import ASSET, FEE_ADDRESS, KEY, Act, PerpsV2, word

# The market's calls by the rules.
CALLS: dict[str, Callable[[Market, str, Sequence[Any]], list[Event]]] = {
    "transferMargin": lambda market, sender, args: trading.transfer_margin(market, sender, args[0]),
    "withdrawAllMargin": lambda market, sender, args: trading.withdraw_all(market, sender),
    "modifyPosition": lambda market, sender, args: trading.modify(market, sender, args[0]),
    "closePosition": lambda market, sender, args: trading.close(market, sender),
    "submitDelayedOrder": lambda market, sender, args: trading.submit_order(market, sender, args[0]),
    "executeDelayedOrder": lambda market, sender, args: trading.execute_order(market, sender, args[0]),
    "cancelDelayedOrder": lambda market, sender, args: trading.cancel_order(market, sender, args[0]),
    "flagPosition": lambda market, sender, args: liquidation.flag(market, sender, args[0]),
    "liquidatePosition": lambda market, sender, args: liquidation.liquidate(market, sender, args[0]),
    "forceLiquidatePosition": lambda market, sender, args: liquidation.force_liquidate(market, sender, args[0]),
}
OF_TRADER = (
    *("positions", "isFlagged", "canLiquidate", "remainingMargin", "accruedFunding", "profitLoss", "notionalValue"),
    *("liquidationFee", "liquidationPrice"),
)
OF_MARKET = ("marketSize", "marketSkew", "currentFundingRate", "currentFundingVelocity", "unrecordedFunding", "marketDebt")


def of(world: PerpsV2, views: Sequence[View], block: int, time: int | None = None) -> list[Any]:
    """What views answer, none of which may revert; of a (value, invalid) the value."""
    answers = world.blocks.calls([*views], block, time)
    assert None not in answers
    return [a[0] if isinstance(a, tuple) and len(a) == 2 and isinstance(a[1], bool) else a for a in answers]


def parameters(world: PerpsV2, block: int) -> Parameters:
    """As the settings contract gives them."""
    views = [("PerpsV2MarketSettings", world.at["PerpsV2MarketSettings"], n, () if n in OF_ALL_MARKETS else (word(KEY),)) for n in NAMES]
    return Parameters(**dict(zip(NAMES.values(), of(world, views, block), strict=True)))


def balances(world: PerpsV2, accounts: Sequence[str], block: int) -> list[int]:
    """sUSD of each."""
    return of(world, [("MultiCollateralSynth", world.at["SynthsUSD"], "balanceOf", (a,)) for a in accounts], block)


def mirrored(world: PerpsV2) -> Market:
    """The market by the rules, before the first call."""
    block = world.acts[0].block - 1
    entries, recomputed_at, skew, size = of(
        world, [world.view(n) for n in ("fundingSequenceLength", "fundingLastRecomputed", "marketSkew", "marketSize")], block
    )
    assert (entries, skew, size) == (1, 0, 0)
    market = Market(parameters(world, block), Oracle(0), recomputed_at)
    market.endorsed = {world.endorsed}
    return market


def oracle(world: PerpsV2, act: Act) -> Oracle:
    """What the market meets when it is called."""
    rates, breaker, status = ((name, world.at[name]) for name in ("ExchangeRates", "CircuitBreaker", "SystemStatus"))
    before = act.block - 1
    price, stale, suspended, synth = of(
        world,
        [
            (*rates, "rateForCurrency", (word(ASSET),)),
            (*rates, "rateIsStale", (word(ASSET),)),
            (*status, "futuresMarketSuspension", (word(KEY),)),
            (*status, "synthSuspended", (word(ASSET),)),
        ],
        before,
        act.time,
    )
    (broken,) = of(world, [(*breaker, "isInvalid", (world.at["aggregator"], price))], before)
    return Oracle(price, stale, broken, suspended[0], synth)


def by_the_rules(market: Market, trader: str) -> dict[str, Any]:
    """The contracts' views of a trader."""
    position, price = market.position(trader), market.oracle.price
    accrued_by_one = market.funding().entry - market.state.entries[position.last_funding_index]
    may_be_flagged = market.can_liquidate(trader)
    return {
        "positions": tuple(position),
        "isFlagged": trader in market.state.flags,
        "canLiquidate": may_be_flagged,
        "remainingMargin": market.remaining_margin(trader),
        "accruedFunding": market.accrued(trader),
        "profitLoss": margins.profit(position, price),
        "notionalValue": mul_integers(position.size, price),
        "liquidationFee": margins.keeper_fee(position.size, price, market.parameters) if may_be_flagged else 0,
        "liquidationPrice": margins.liquidation_price(position, price, accrued_by_one, market.parameters),
    }


def market_by_the_rules(market: Market) -> dict[str, Any]:
    """The contracts' views of the market."""
    state, now = market.state, market.funding()
    last = Funding(state.entries[-1], state.rate, state.recomputed_at)
    debt = mul_integers(state.skew, market.oracle.price + now.entry) + state.debt_correction
    return {
        "marketSize": state.size,
        "marketSkew": state.skew,
        "currentFundingRate": now.rate,
        "currentFundingVelocity": funding.velocity(state.skew, market.parameters),
        "unrecordedFunding": funding.unrecorded(last, state.skew, market.oracle.price, market.now, market.parameters),
        "marketDebt": max(0, debt),
    }


def played(market: Market, act: Act) -> tuple[str | None, list[Event]]:
    """What a call does by the rules: the revert text, or its events."""
    try:
        return None, CALLS[act.call](market, act.sender, act.args)
    except Revert as reverted:
        return reverted.reason.value, []


def in_contract_names(event: Event, of_contract: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """An event by the rules under the names of the contract's, whose other arguments the rules do not model."""
    fields = {re.sub("_(.)", lambda m: m[1].upper(), name).replace("sequenceIndex", "index"): v for name, v in event._asdict().items()}
    values = {name: FEE_ADDRESS if value == FEE_POOL else value for name, value in fields.items()}
    return type(event).__name__, of_contract[1] | values
