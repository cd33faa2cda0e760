"""The events that a call of a Perps V2 market logs, and the reasons for which it reverts, in the contracts' words.

Amounts are integers of 1e-18: margins, fees and prices in sUSD, sizes and skews in the market's asset. Times are unix seconds. The
fields have the order of the arguments in the contracts' signatures, by which recorded events are compared.
"""

from enum import Enum
from typing import NamedTuple


class Reason(Enum):
    """Why a call reverted: the contracts' revert texts."""

    NOT_PROXY = "Only the proxy can call"
    FLAGGED = "Position flagged"
    NOT_FLAGGED = "Position not flagged"
    SUSPENDED = "Market suspended"
    SYNTH_SUSPENDED = "Synth is suspended. Operation prohibited"
    INVALID_PRICE = "Invalid price"
    CANNOT_LIQUIDATE = "Position cannot be liquidated"
    CAN_LIQUIDATE = "Position can be liquidated"
    IMPACT_EXCEEDED = "price impact of liquidation exceeded"
    PREMIUM_EXCEEDED = "instantaneous P/D exceeded"
    NOT_ENDORSED = "address not endorsed"
    INSUFFICIENT_MARGIN = "Insufficient margin"
    NIL_ORDER = "Cannot submit empty order"
    NO_POSITION = "No position open"
    NO_ORDER = "no previous order"
    ORDER_EXISTS = "previous order exists"
    ORDER_PENDING = "Pending order exists"


class Revert(Exception):
    """A call reverted and changed nothing."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.value)


class FundingRecomputed(NamedTuple):
    """A new entry of the funding sequence (sUSD per unit of the asset), and the funding rate (/1 a day) from now on."""

    funding: int
    funding_rate: int
    sequence_index: int
    timestamp: int


class PositionModified(NamedTuple):
    """A position after a change. trade_size is 0 where only its margin changed."""

    id: int
    account: str
    margin: int
    size: int
    trade_size: int
    last_price: int
    funding_index: int
    fee: int
    skew: int


class PositionFlagged(NamedTuple):
    """An account was flagged at an oracle price."""

    id: int
    account: str
    flagger: str
    price: int
    timestamp: int


class PositionLiquidated(NamedTuple):
    """A position was liquidated at an oracle price, with what each receiver got of its margin."""

    id: int
    account: str
    liquidator: str
    size: int
    price: int
    flagger_fee: int
    liquidator_fee: int
    stakers_fee: int


class MarginTransferred(NamedTuple):
    """Margin was moved: + a deposit, - a withdrawal."""

    account: str
    margin_delta: int


class DelayedOrderSubmitted(NamedTuple):
    """A delayed order was submitted. Only those of the contracts' arguments that concern money."""

    account: str
    size_delta: int
    commit_deposit: int
    keeper_deposit: int


class DelayedOrderRemoved(NamedTuple):
    """A delayed order was executed or cancelled. Only those of the contracts' arguments that concern money."""

    account: str
    size_delta: int
    commit_deposit: int
    keeper_deposit: int


class Issued(NamedTuple):
    """sUSD minted to an account."""

    account: str
    value: int


class Burned(NamedTuple):
    """sUSD burned from an account."""

    account: str
    value: int


Event = (
    FundingRecomputed
    | PositionModified
    | PositionFlagged
    | PositionLiquidated
    | MarginTransferred
    | DelayedOrderSubmitted
    | DelayedOrderRemoved
    | Issued
    | Burned
)
