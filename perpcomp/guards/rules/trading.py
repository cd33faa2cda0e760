"""What traders do on a Perps V2 market beside being liquidated: move margin, trade, let orders wait. A flag blocks all of it.

Modelled as far as the guards go. Not modelled, because no guard depends on it: maximum leverage, market size and minimum initial margin,
slippage limits, the dynamic fee, and when a delayed order may be executed or cancelled. One taker and one maker fee serve all kinds of
orders.
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
    """Margin (sUSD above 0) into an account."""
    return transfer_margin(market, account, amount)


def withdraw(market: Market, account: str, amount: int) -> list[Event]:
    """Margin (sUSD above 0) out of an account."""
    return transfer_margin(market, account, -amount)


def withdraw_all(market: Market, account: str) -> list[Event]:
    """All margin out of an account without a position. With one, a stated amount must be withdrawn: what may go depends on the maximum leverage."""
    return transfer_margin(market, account, -market.remaining_margin(account))


def transfer_margin(market: Market, account: str, delta: int) -> list[Event]:
    """+ a deposit, - a withdrawal; a withdrawal may not bring an open position to its liquidation margin."""
    call = Call(market)
    call.refuse_flagged(account)
    call.recompute()
    if delta > 0:
        call.minted[account] = call.minted.get(account, 0) - delta
        call.log(Burned(account, delta))
    call.issue(account, max(0, -delta))
    if delta:
        _move_margin(call, account, market.oracle.price, delta, MarginTransferred(account, delta))
    return call.commit()


def modify(market: Market, account: str, size_delta: int) -> list[Event]:
    """Trade a signed size at the fill price of this moment."""
    call = Call(market)
    call.refuse_flagged(account)
    call.recompute()
    _trade(call, account, size_delta)
    return call.commit()


def close(market: Market, account: str) -> list[Event]:
    """Trade the whole position away."""
    Call(market).refuse_flagged(account)
    size = market.position(account).size
    if size == 0:
        raise Revert(Reason.NO_POSITION)
    return modify(market, account, -size)


def submit_order(market: Market, account: str, size_delta: int) -> list[Event]:
    """Let an order wait that would succeed now. The keeper deposit leaves the margin; the position is priced anew at the order's fill price."""
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
    """An order that waits to close the position."""
    return submit_order(market, account, -market.position(account).size)


def execute_order(market: Market, sender: str, account: str) -> list[Event]:
    """Anyone executes an account's order; the keeper deposit goes to whoever does."""
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
    """The keeper deposit goes back to the owner's margin, or to the keeper who cancels."""
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
    """The margin with profit, funding and a change settled into it. A position at its liquidation margin cannot be changed."""
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
    """The position after a trade at a fill price, and its fee; Revert where the market would refuse it."""
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
    """Change the position, the market's skew and size, and pay the fee."""
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
    """The maker fee for what brings the skew down, the taker fee for what drives it up."""
    parameters, skew = call.market.parameters, call.state.skew
    notional, after = mul_integers(size_delta, fill), skew + size_delta
    if after * skew >= 0:  # the skew keeps its side: one rate for the whole
        return abs(mul_integers(notional, parameters.taker_fee if notional * skew >= 0 else parameters.maker_fee))
    taker_share = abs(div_integers(after, size_delta))
    taker = abs(notional) * taker_share // ONE * parameters.taker_fee // ONE
    return taker + abs(notional) * (ONE - taker_share) // ONE * parameters.maker_fee // ONE
