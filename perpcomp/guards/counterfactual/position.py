"""A position as the ClearingHouse stores it, its margin ratio, and where that crosses maintenance."""

from dataclasses import dataclass

from perpcomp.curve import Reverts
from perpcomp.fixed import ONE
from perpcomp.systems.perpetual_v1.replay.contract import margin_ratio, pnl


@dataclass(frozen=True, slots=True)
class Holding:
    """A position as the ClearingHouse stores it."""

    size: int = 0
    margin: int = 0
    open_notional: int = 0
    premium: int = 0  # cumulative premium fraction at its last settlement
    migration: int = 0  # how many liquidity changes it has followed


EMPTY = Holding()


@dataclass(frozen=True, slots=True)
class Closed:
    """What closing did: base closed (signed), USDC moved, what was left of the margin (negative: bad debt)."""

    size: int
    notional: int
    left: int


def ratio(held: Holding, owed: int, notional: int, over_position_notional: bool) -> int:
    """The margin ratio if closing moved `notional`."""
    equity = held.margin + pnl(held.size, held.open_notional, notional) - owed
    return margin_ratio(equity, notional if over_position_notional else held.open_notional)


def bound(held: Holding, owed: int, maintenance: int, over_position_notional: bool) -> int:
    """The notional of closing at which that ratio is just not below maintenance (above 0): the least for a long, the most for a short."""
    if held.open_notional == 0 and not over_position_notional:
        raise Reverts("nothing divides by 0")
    if held.size > 0:
        cost = held.open_notional - held.margin + owed
        if over_position_notional:
            return -(-cost * ONE // (ONE - maintenance))
        return cost - (-maintenance * held.open_notional // ONE)
    worth = held.open_notional + held.margin - owed
    if over_position_notional:
        return worth * ONE // (ONE + maintenance)
    return worth + (-maintenance * held.open_notional // ONE)
