"""The calls of traders on a Perps V2 market: move margin, trade, submit and settle delayed orders. A flag blocks all of them.

A pending order blocks everything except its own execution and cancellation.

Not modelled, because the guards do not depend on it: maximum leverage, maximum market size, minimum initial margin, slippage limits, the
dynamic fee, and when a delayed order may be executed or cancelled. One taker and one maker fee hold for all kinds of orders. A call raises
Revert where the contract reverts.
"""

from perpcomp.fixed import ONE, div_integers, mul_integers
from perpcomp.guards.rules import margins
from perpcomp.guards.rules.events import (
    Burned,
    DelayedOrderRemoved,
    DelayedOrderSubmitted,
    Event,
    MarginTransferred,
    PositionModified,
    Reason,
    Revert,
)
from perpcomp.guards.rules.margins import Position
from perpcomp.guards.rules.market import FEE_POOL, Call, Market, Order


def deposit(market: Market, account: str, amount: int) -> list[Event]:
    """Add margin (sUSD above 0) to an account."""
    return transfer_margin(market, account, amount)


def withdraw_all(market: Market, account: str) -> list[Event]:
    """Take all margin out of an account without a position.

    With a position, how much may leave depends on the maximum leverage, so a stated amount must be withdrawn instead.
    """
    return transfer_margin(market, account, -market.remaining_margin(account))


def transfer_margin(market: Market, account: str, delta: int) -> list[Event]:
    """Move margin: + a deposit, - a withdrawal. A withdrawal may not bring an open position down to its liquidation margin."""
    call = Call(market)
    call.recompute()
    call.refuse_flagged(account)
    call.refuse_pending_order(account)
    if delta > 0:
        call.minted[account] = call.minted.get(account, 0) - delta
        call.log(Burned(account, delta))
    call.issue(account, max(0, -delta))
    if delta:
        _move_margin(call, account, market.oracle.price, delta, MarginTransferred(account, delta))
    return call.commit()


def modify(market: Market, account: str, size_delta: int) -> list[Event]:
    """Trade a signed size at the fill price now."""
    call = Call(market)
    call.refuse_pending_order(account)
    call.recompute()
    call.refuse_flagged(account)
    _trade(call, account, size_delta)
    return call.commit()


def close(market: Market, account: str) -> list[Event]:
    """Close the whole position by a trade."""
    Call(market).refuse_pending_order(account)
    size = market.position(account).size
    if size == 0:
        raise Revert(Reason.NO_POSITION)
    return modify(market, account, -size)


def submit_order(market: Market, account: str, size_delta: int) -> list[Event]:
    """Submit a delayed order that would succeed now.

    The keeper deposit leaves the margin, and the position's profit is settled at the order's fill price.
    """
    call = Call(market)
    call.refuse_flagged(account)
    if account in call.state.orders:
        raise Revert(Reason.ORDER_EXISTS)
    call.recompute()
    fill = _fill_price(call, size_delta)
    _after_trade(call, account, size_delta, fill)
    order = Order(size_delta, market.parameters.min_keeper_fee)
    _move_margin(call, account, fill, -order.keeper_deposit)
    call.state.orders[account] = order
    call.log(DelayedOrderSubmitted(account, order.size_delta, order.commit_deposit, order.keeper_deposit))
    return call.commit()


def submit_close_order(market: Market, account: str) -> list[Event]:
    """Submit a delayed order that closes the position."""
    return submit_order(market, account, -market.position(account).size)


def execute_order(market: Market, sender: str, account: str) -> list[Event]:
    """Anyone executes an account's order. The sender gets the keeper deposit, which for the owner returns to the margin."""
    call = Call(market)
    order = _order(call, account)
    own = sender == account
    call.require_price()
    call.issue(sender, 0 if own else order.keeper_deposit)
    call.recompute()
    refund = order.commit_deposit + (order.keeper_deposit if own else 0)
    if refund:
        _move_margin(call, account, _fill_price(call, order.size_delta), refund)
    _trade(call, account, order.size_delta)
    return _remove_order(call, account, order)


def cancel_order(market: Market, sender: str, account: str) -> list[Event]:
    """Cancel an account's order. The keeper deposit returns to the owner's margin, or goes to the keeper who cancels."""
    call = Call(market)
    order = _order(call, account)
    if sender == account:
        call.recompute()
        _move_margin(call, account, market.oracle.price, order.keeper_deposit)
    else:
        call.issue(sender, order.keeper_deposit)
    call.issue(FEE_POOL, order.commit_deposit)
    return _remove_order(call, account, order)


def _order(call: Call, account: str) -> Order:
    if account not in call.state.orders:
        raise Revert(Reason.NO_ORDER)
    return call.state.orders[account]


def _remove_order(call: Call, account: str, order: Order) -> list[Event]:
    del call.state.orders[account]
    call.log(DelayedOrderRemoved(account, order.size_delta, order.commit_deposit, order.keeper_deposit))
    return call.commit()


def _fill_price(call: Call, size_delta: int) -> int:
    return margins.fill_price(size_delta, call.market.oracle.price, call.state.skew, call.market.parameters)


def _margin_after(call: Call, position: Position, price: int, delta: int) -> int:
    """The margin with profit, funding and `delta` settled into it.

    Revert where it is negative, or not above the liquidation margin of an open position.
    """
    margin = margins.margin_with_profit(position, price, call.accrued(position)) + delta
    if margin < 0:
        raise Revert(Reason.INSUFFICIENT_MARGIN)
    if position.size and margin <= margins.liquidation_margin(position.size, price, call.market.parameters, call.market.profile):
        raise Revert(Reason.CAN_LIQUIDATE)
    return margin


def _move_margin(call: Call, account: str, price: int, delta: int, transfer: MarginTransferred | None = None) -> None:
    """Settle a position at a price and change its margin; then the debt correction and the events."""
    old, parameters, index = call.position(account), call.market.parameters, len(call.state.entries) - 1
    margin = _margin_after(call, old, price, delta)
    new = old._replace(margin=margin)
    if old.size:
        new = new._replace(last_price=price, last_funding_index=index)
        needed = margins.liquidation_margin(old.size, price, parameters, call.market.profile)
        if delta < 0 and margin <= needed + margins.liquidation_premium(old.size, price, parameters):
            raise Revert(Reason.INSUFFICIENT_MARGIN)
    call.correct_debt(old, new)
    call.store(account, new)
    if transfer is not None:
        call.log(transfer)
    call.log(PositionModified(new.id, account, margin, new.size, 0, price, index, 0, call.state.skew))


def _after_trade(call: Call, account: str, size_delta: int, fill: int) -> tuple[Position, int]:
    """The position after a trade at a fill price, and the fee. Revert where the market would reject the trade."""
    market, old = call.market, call.position(account)
    if size_delta == 0:
        raise Revert(Reason.NIL_ORDER)
    if margins.can_liquidate(old, market.oracle.price, call.accrued(old), market.parameters, market.profile):
        raise Revert(Reason.CAN_LIQUIDATE)
    fee = _fee(call, size_delta, fill)
    margin = _margin_after(call, old, fill, -fee)
    size = old.size + size_delta
    needed = margins.liquidation_margin(size, market.oracle.price, market.parameters, market.profile)
    if margin <= needed + margins.liquidation_premium(size, market.oracle.price, market.parameters):
        raise Revert(Reason.CAN_LIQUIDATE)
    return Position(old.id, len(call.state.entries) - 1, margin, fill, size), fee


def _trade(call: Call, account: str, size_delta: int) -> None:
    """Change the position and the market's skew and size, and pay the fee."""
    old, fill = call.position(account), _fill_price(call, size_delta)
    new, fee = _after_trade(call, account, size_delta, fill)
    call.state.skew += size_delta
    call.state.size += abs(new.size) - abs(old.size)
    call.issue(FEE_POOL, fee)
    call.correct_debt(old, new)
    if old.size == 0:
        new = new._replace(id=call.state.next_id)
        call.state.next_id += 1
    call.store(account, new if new.size else Position(margin=new.margin))
    call.log(PositionModified(new.id, account, new.margin, new.size, size_delta, fill, new.last_funding_index, fee, call.state.skew))


def _fee(call: Call, size_delta: int, fill: int) -> int:
    """The fee: maker rate for the part that reduces the skew, taker rate for the part that increases it."""
    parameters, skew = call.market.parameters, call.state.skew
    notional, after = mul_integers(size_delta, fill), skew + size_delta
    if after * skew >= 0:  # the skew does not change sides: one rate for all of it
        return abs(mul_integers(notional, parameters.taker_fee if notional * skew >= 0 else parameters.maker_fee))
    taker_share = abs(div_integers(after, size_delta))
    taker = abs(notional) * taker_share // ONE * parameters.taker_fee // ONE
    return taker + abs(notional) * (ONE - taker_share) // ONE * parameters.maker_fee // ONE
