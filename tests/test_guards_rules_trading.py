"""The calls around the guards: margin transfers, trades and delayed orders, and the market's sums against its positions."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.fixed import ONE, mul_integers
from perpcomp.guards.rules import margins
from perpcomp.guards.rules.events import DelayedOrderRemoved, PositionModified, Reason, Revert
from perpcomp.guards.rules.liquidation import flag, force_liquidate, liquidate
from perpcomp.guards.rules.market import FEE_POOL, Market, Oracle
from perpcomp.guards.rules.profiles import DEPLOYED, SIP
from perpcomp.guards.rules.trading import (
    cancel_order,
    close,
    deposit,
    execute_order,
    modify,
    submit_close_order,
    submit_order,
    transfer_margin,
    withdraw_all,
)
from tests.test_guards_rules_sip import FLAGGABLE, amount, at, flagged, opened, reverts


def test_a_keeper_who_executes_an_order_gets_its_deposit() -> None:
    market = opened(DEPLOYED)
    submit_order(market, "A", -10 * ONE)
    market.minted.clear()
    events = execute_order(market, "keeper", "A")
    assert market.minted["keeper"] == 20 * ONE
    assert isinstance(events[-1], DelayedOrderRemoved)
    # 10 sold at 250.1375, against the skew: the maker fee of 0.1 %
    fill, fee = amount("250.1375"), amount("2.501375")
    assert market.position("A")[2:] == (amount("953.494") - fee, fill, 30 * ONE)
    assert market.minted[FEE_POOL] == fee
    assert (market.state.skew, market.state.size) == (50 * ONE, 50 * ONE)
    reverts(Reason.NO_ORDER, execute_order, market, "keeper", "A")


def test_the_owner_who_executes_an_order_has_the_deposit_back() -> None:
    market = opened(DEPLOYED)
    submit_order(market, "A", -10 * ONE)
    market.minted.clear()
    execute_order(market, "A", "A")
    assert "A" not in market.minted
    assert market.position("A").margin == amount("973.494") - amount("2.501375")


@pytest.mark.parametrize(("sender", "margin", "minted"), [("A", "967.994", {}), ("keeper", "953.494", {"keeper": 20 * ONE})])
def test_the_account_that_cancels_an_order_gets_its_deposit(sender: str, margin: str, minted: dict[str, int]) -> None:
    """The owner's margin is priced anew, at 250: 973.494 - 5.5 of price difference."""
    market = opened(DEPLOYED)
    submit_order(market, "A", -10 * ONE)
    reverts(Reason.ORDER_EXISTS, submit_order, market, "A", ONE)
    market.minted.clear()
    cancel_order(market, sender, "A")
    assert market.position("A").margin == amount(margin)
    assert market.minted == minted
    reverts(Reason.NO_ORDER, cancel_order, market, sender, "A")


def test_a_delayed_close_order_closes_the_position() -> None:
    market = opened(DEPLOYED)
    submit_close_order(market, "A")
    execute_order(market, "keeper", "A")
    assert market.position("A").size == 0
    withdraw_all(market, "A")
    assert market.position("A").margin == 0


def test_a_trade_across_the_skew_pays_both_fees() -> None:
    """C sells 100 into a skew of 60: 60 bring it down (maker), 40 drive it up on the other side (taker)."""
    market = opened(DEPLOYED)
    deposit(market, "C", 10_000 * ONE)
    *_, event = modify(market, "C", -100 * ONE)
    assert isinstance(event, PositionModified)
    fill = amount("250.025")  # 250 * (1 + (0.0006 - 0.0004) / 2)
    assert event.last_price == fill
    assert event.fee == amount("25002.5") * 4 // 10 * 3 // 1000 + amount("25002.5") * 6 // 10 // 1000
    assert (event.size, event.skew) == (-100 * ONE, -40 * ONE)


def test_calls_that_the_market_reverts() -> None:
    market = opened(DEPLOYED)
    reverts(Reason.NIL_ORDER, modify, market, "A", 0)
    reverts(Reason.NO_POSITION, close, market, "C")
    reverts(Reason.INSUFFICIENT_MARGIN, transfer_margin, market, "A", -968 * ONE)
    reverts(Reason.CAN_LIQUIDATE, transfer_margin, market, "A", -910 * ONE)
    reverts(Reason.INSUFFICIENT_MARGIN, transfer_margin, market, "A", -903 * ONE)  # above the liquidation margin, below it with the premium
    reverts(Reason.CAN_LIQUIDATE, modify, market, "A", 1000 * ONE)
    at(market, FLAGGABLE)
    reverts(Reason.CAN_LIQUIDATE, modify, market, "A", -ONE)
    reverts(Reason.CAN_LIQUIDATE, deposit, market, "A", ONE)
    assert transfer_margin(market, "A", 0)[0].__class__.__name__ == "FundingRecomputed"


@pytest.mark.parametrize("profile", [SIP, DEPLOYED], ids=lambda profile: profile.name)
@pytest.mark.parametrize(
    ("oracle", "reason"),
    [
        (Oracle(ONE, invalid=True), Reason.INVALID_PRICE),
        (Oracle(ONE, broken=True), Reason.INVALID_PRICE),
        (Oracle(ONE, suspended=True), Reason.SUSPENDED),
        (Oracle(ONE, synth_suspended=True), Reason.SYNTH_SUSPENDED),
    ],
    ids=["stale", "circuit tripped", "suspended", "synth suspended"],
)
def test_an_invalid_price_stops_every_call_even_a_forced_liquidation(profile: object, oracle: Oracle, reason: Reason) -> None:
    assert profile in (SIP, DEPLOYED)
    market = flagged(SIP if profile == SIP else DEPLOYED)
    market.oracle = oracle
    for call, who in ((liquidate, "anyone"), (force_liquidate, "endorsed")):
        reverts(reason, call, market, who, "A")
    for account in ("A", "B"):  # the contracts look at the price first, then at the flag
        reverts(reason, deposit, market, account, ONE)
        reverts(reason, modify, market, account, ONE)
        reverts(reason, close, market, account)


@pytest.mark.parametrize(
    ("oracle", "seen"),
    [("invalid", True), ("broken", True), ("synth_suspended", True), ("suspended", False)],
)
def test_the_view_sees_a_bad_price_and_a_suspended_synth_but_no_suspended_market(oracle: str, seen: bool) -> None:
    market = at(opened(DEPLOYED), FLAGGABLE)
    assert market.can_liquidate("A")
    market.oracle = replace(market.oracle, **{oracle: True})
    assert market.can_liquidate("A") != seen


def test_a_waiting_order_blocks_every_other_change_of_the_position() -> None:
    market = opened(DEPLOYED)
    submit_order(market, "A", -10 * ONE)
    reverts(Reason.ORDER_PENDING, deposit, market, "A", ONE)
    reverts(Reason.ORDER_PENDING, transfer_margin, market, "A", -ONE)
    reverts(Reason.ORDER_PENDING, withdraw_all, market, "A")
    reverts(Reason.ORDER_PENDING, modify, market, "A", ONE)
    reverts(Reason.ORDER_PENDING, close, market, "A")
    cancel_order(market, "A", "A")
    deposit(market, "A", ONE)


STEPS: dict[str, Callable[[Market, str, int], object]] = {
    "deposit": lambda market, account, size: deposit(market, account, 1 + abs(size)),
    "withdraw": lambda market, account, size: transfer_margin(market, account, -1 - abs(size)),
    "trade": modify,
    "close": lambda market, account, _: close(market, account),
    "submit": submit_order,
    "execute": lambda market, account, _: execute_order(market, "keeper", account),
    "cancel": lambda market, account, _: cancel_order(market, account, account),
    "flag": lambda market, account, _: flag(market, "keeper", account),
    "liquidate": lambda market, account, _: liquidate(market, "keeper", account),
}


@pytest.mark.property
@given(
    st.sampled_from([SIP, DEPLOYED]),
    st.lists(
        st.tuples(
            st.sampled_from([*STEPS]),
            st.sampled_from("ABC"),
            st.integers(-50 * ONE, 50 * ONE),
            st.integers(100 * ONE, 400 * ONE),
            st.integers(0, 86_400),
        ),
        max_size=12,
    ),
)
def test_market_sums_equal_the_sums_over_positions(profile: object, steps: list[tuple[str, str, int, int, int]]) -> None:
    """Skew and size exactly; the debt, which is kept as one running correction, within the truncations of each step."""
    market = opened(SIP if profile == SIP else DEPLOYED)
    deposit(market, "C", 5000 * ONE)
    done = 6
    for name, account, size, price, seconds in steps:
        market.oracle, market.now = Oracle(price), market.now + seconds
        try:
            STEPS[name](market, account, size)
            done += 1
        except Revert:
            continue
    state = market.state
    assert state.skew == sum(position.size for position in state.positions.values())
    assert state.size == sum(abs(position.size) for position in state.positions.values())
    worth = sum(margins.margin_with_profit(p, market.oracle.price, market.accrued(a)) for a, p in state.positions.items())
    debt = mul_integers(state.skew, market.oracle.price + market.funding().entry) + state.debt_correction
    assert abs(debt - worth) <= 4 * done
    assert set(state.flags) <= set(state.positions)
    assert not set(state.flags) & set(state.orders)
