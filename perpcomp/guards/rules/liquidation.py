"""The three calls of SIP-2005: flag an account, liquidate it while both limits allow it, or force its liquidation.

Where the SIP's text and the deployed code differ, a call asks the market's profile. A call raises Revert where the contract reverts."""

from perpcomp.guards.rules import margins
from perpcomp.guards.rules.events import (
    DelayedOrderRemoved,
    Event,
    PositionFlagged,
    PositionLiquidated,
    PositionModified,
    Reason,
    Revert,
)
from perpcomp.guards.rules.margins import Position
from perpcomp.guards.rules.market import FEE_POOL, Call, Flag, Market
from perpcomp.guards.rules.profiles import Endorsed, PendingOrder, Reward


def flag(market: Market, sender: str, account: str) -> list[Event]:
    """Anyone flags an account whose margin is too small. Only a liquidation removes the flag."""
    call = Call(market)
    call.refuse_flagged(account)
    call.recompute()
    position, price = call.position(account), market.oracle.price
    if not margins.can_liquidate(position, price, call.accrued(position), market.parameters, market.profile):
        raise Revert(Reason.CANNOT_LIQUIDATE)
    paid = 0
    if market.profile.reward is Reward.AT_FLAG:
        paid = margins.keeper_fee(position.size, price, market.parameters, market.profile)
        call.issue(sender, paid)
    call.state.flags[account] = Flag(sender, paid)
    if account in call.state.orders:
        _drop_order(call, sender, account)
    call.log(PositionFlagged(position.id, account, sender, price, market.now))
    return call.commit()


def liquidate(market: Market, sender: str, account: str) -> list[Event]:
    """Anyone liquidates a flagged account, recovered or not, while both ratios are below their limits."""
    if market.profile.endorsed is Endorsed.BY_CALLER and sender in market.endorsed:
        return force_liquidate(market, sender, account)
    call = Call(market)
    call.require_flag(account)
    call.recompute()
    if margins.price_impact(call.position(account).size, market.parameters) >= market.parameters.max_liquidation_delta:
        raise Revert(Reason.IMPACT_EXCEEDED)
    if margins.premium(call.state.skew, market.parameters) >= market.parameters.max_pd:
        raise Revert(Reason.PREMIUM_EXCEEDED)
    _close(call, sender, account, market.parameters.keeper_liquidation_fee)
    return call.commit()


def force_liquidate(market: Market, sender: str, account: str) -> list[Event]:
    """An endorsed account liquidates a flagged account whatever the limits say, without a reward."""
    call = Call(market)
    call.require_flag(account)
    call.recompute()
    if sender not in market.endorsed:
        raise Revert(Reason.NOT_ENDORSED)
    _close(call, sender, account, 0)
    return call.commit()


def _drop_order(call: Call, flagger: str, account: str) -> None:
    """Remove the pending order of an account that is flagged. Only the margin of the position may change, not its price or funding index."""
    order, position = call.state.orders.pop(account), call.position(account)
    cancelled = call.market.profile.pending_order is PendingOrder.CANCELLED
    refund = order.keeper_deposit if cancelled else order.commit_deposit
    if refund:
        new = position._replace(margin=position.margin + refund)
        call.store(account, new)
        call.log(PositionModified(new.id, account, new.margin, new.size, 0, new.last_price, new.last_funding_index, 0, call.state.skew))
    if cancelled:
        call.correct_debt(position, call.position(account))
        call.issue(FEE_POOL, order.commit_deposit)
        call.log(DelayedOrderRemoved(account, order.size_delta, order.commit_deposit, order.keeper_deposit))
    else:
        call.issue(flagger, order.keeper_deposit)


def _close(call: Call, liquidator: str, account: str, liquidator_fee: int) -> None:
    """Close a flagged position at the oracle price, and pay flagger, liquidator and fee pool. The trader gets nothing."""
    position, price, flag = call.position(account), call.market.oracle.price, call.state.flags.pop(account)
    at_flag = call.market.profile.reward is Reward.AT_FLAG
    flagger_fee = flag.paid if at_flag else margins.keeper_fee(position.size, price, call.market.parameters, call.market.profile)
    remaining = margins.remaining_margin(position, price, call.accrued(position))
    paid = margins.settle(remaining, flagger_fee, liquidator_fee)
    call.state.skew -= position.size
    call.state.size -= abs(position.size)
    call.correct_debt(position, Position())
    del call.state.positions[account]
    call.issue(flag.flagger, 0 if at_flag else flagger_fee)
    call.issue(liquidator, liquidator_fee)
    call.issue(FEE_POOL, paid.stakers_fee)
    call.log(PositionModified(position.id, account, 0, 0, 0, price, len(call.state.entries) - 1, 0, call.state.skew))
    fees = (paid.flagger_fee, paid.liquidator_fee, paid.stakers_fee)
    call.log(PositionLiquidated(position.id, account, liquidator, position.size, price, *fees))
