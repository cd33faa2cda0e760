"""A position as V1's ClearingHouse stores it, its margin ratio, and the notional at which that ratio crosses maintenance.

Amounts are integers of 1e-18: sizes in base units (+ long), margins and notionals in USDC, ratios /1.
"""

from dataclasses import dataclass

from perpcomp.curve import Reverts
from perpcomp.fixed import ONE
from perpcomp.systems.perpetual_v1.replay.contract import margin_ratio, pnl


@dataclass(frozen=True, slots=True)
class Position:
    """A position as the ClearingHouse stores it."""

    size: int = 0
    margin: int = 0
    open_notional: int = 0
    premium: int = 0  # cumulative premium fraction at its last settlement
    migration: int = 0  # how many liquidity changes its size has been adjusted for


EMPTY = Position()


@dataclass(frozen=True, slots=True)
class Closed:
    """What a close did: base closed (signed), USDC moved, and what was left of the margin (negative: bad debt)."""

    size: int
    notional: int
    left: int


def ratio(position: Position, owed: int, notional: int, over_position_notional: bool) -> int:
    """The margin ratio where closing moves `notional`. `owed`: + funding that the trader owes."""
    equity = position.margin + pnl(position.size, position.open_notional, notional) - owed
    return margin_ratio(equity, notional if over_position_notional else position.open_notional)


def maintenance_notional(position: Position, owed: int, maintenance: int, over_position_notional: bool) -> int:
    """The notional of closing at which the margin ratio is just not below maintenance (above 0).

    For a long it is the least such notional, for a short the greatest. Reverts where the ratio divides by an open notional of 0.
    """
    if position.open_notional == 0 and not over_position_notional:
        raise Reverts("the margin ratio divides by 0")
    if position.size > 0:
        cost = position.open_notional - position.margin + owed
        if over_position_notional:
            return -(-cost * ONE // (ONE - maintenance))
        return cost - (-maintenance * position.open_notional // ONE)
    worth = position.open_notional + position.margin - owed
    if over_position_notional:
        return worth * ONE // (ONE + maintenance)
    return worth + (-maintenance * position.open_notional // ONE)
