"""The 18 test cases of SIP-2005, in its order and words, under both profiles: its text, and the deployed code.

The set-up of every test: oracle 250; A deposits 1,000 and buys 40, B deposits 1,000 and buys 20, so the skew is 60 in a scale of 100,000.
Closing A has a price impact of 0.0004, the market's premium is 0.0006. At 226.26314925 A is flaggable. Numbers of the deployed code are
those that the real contracts gave (tests/lab/guards/cases.json).
"""

from dataclasses import replace
from decimal import Decimal

import pytest

from perpcomp.fixed import ONE, to_integer
from perpcomp.guards.rules.events import DelayedOrderRemoved, PositionFlagged, PositionLiquidated, Reason, Revert
from perpcomp.guards.rules.liquidation import flag, force_liquidate, liquidate
from perpcomp.guards.rules.market import FEE_POOL, Market, Oracle
from perpcomp.guards.rules.parameters import Parameters
from perpcomp.guards.rules.profiles import DEPLOYED, SIP, Profile
from perpcomp.guards.rules.trading import cancel_order, close, deposit, modify, submit_order

NOT_FLAGGABLE, FLAGGABLE, FLAGGABLE_WITH_ORDER = "250", "226.26314925", "226.81039925"
IMPACT, PREMIUM, WEI = 4 * ONE // 10_000, 6 * ONE // 10_000, 1
REWARD_AT_FLAG = "31.676840895"

BOTH = pytest.mark.parametrize("profile", [SIP, DEPLOYED], ids=lambda profile: profile.name)


def amount(text: str) -> int:
    return to_integer(Decimal(text))


PARAMETERS = Parameters(
    skew_scale=amount("100000"),
    max_funding_velocity=amount("0.1"),
    max_liquidation_delta=amount("10000"),
    max_pd=amount("10000"),
    liquidation_premium_multiplier=amount("1"),
    liquidation_buffer_ratio=amount("0.0025"),
    min_keeper_fee=amount("20"),
    max_keeper_fee=amount("1000"),
    liquidation_fee_ratio=amount("0.0035"),
    keeper_liquidation_fee=amount("2"),
    taker_fee=amount("0.003"),
    maker_fee=amount("0.001"),
)


def opened(profile: Profile, delta: int | None = None, pd: int | None = None) -> Market:
    market = Market(PARAMETERS, Oracle(amount(NOT_FLAGGABLE)), now=1_700_000_123, profile=profile)
    market.endorsed = {"endorsed"}
    for account in ("A", "B"):
        deposit(market, account, 1000 * ONE)
    for account, size in (("A", 40), ("B", 20)):
        modify(market, account, size * ONE)
    market.parameters = replace(
        PARAMETERS,
        max_liquidation_delta=PARAMETERS.max_liquidation_delta if delta is None else delta,
        max_pd=PARAMETERS.max_pd if pd is None else pd,
    )
    market.minted.clear()  # of the opening
    return market


def at(market: Market, price: str) -> Market:
    market.oracle = Oracle(amount(price))
    return market


def flagged(profile: Profile, delta: int | None = None, pd: int | None = None) -> Market:
    market = at(opened(profile, delta, pd), FLAGGABLE)
    flag(market, "flagger", "A")
    return market


def reverts(reason: Reason, call: object, market: Market, *arguments: object) -> None:
    """The call reverts for this reason, and nothing has changed."""
    before = (market.state.copy(), dict(market.minted))
    assert callable(call)
    with pytest.raises(Revert) as reverted:
        call(market, *arguments)
    assert reverted.value.reason is reason
    assert (market.state, market.minted) == before


def is_closed_and_free(market: Market) -> None:
    """A's position is closed and A may deposit and open again."""
    assert market.position("A").size == 0
    assert market.remaining_margin("A") == 0
    assert "A" not in market.state.flags
    deposit(market, "A", 1000 * ONE)
    modify(market, "A", ONE)
    assert market.position("A").size == ONE


def paid(market: Market) -> dict[str, int]:
    return {account: value for account, value in market.minted.items() if value}


def amounts(**texts: str) -> dict[str, int]:
    return {account: amount(text) for account, text in texts.items()}


@BOTH
def test_t1_a_position_that_is_not_flaggable_cannot_be_flagged(profile: Profile) -> None:
    market = at(opened(profile), NOT_FLAGGABLE)
    assert not market.can_liquidate("A")
    reverts(Reason.CANNOT_LIQUIDATE, flag, market, "anyone", "A")


@BOTH
def test_t2_a_flaggable_position_is_flagged_and_the_flagger_is_rewarded(profile: Profile) -> None:
    market = at(opened(profile), FLAGGABLE)
    assert market.can_liquidate("A")
    *_, event = flag(market, "flagger", "A")
    assert isinstance(event, PositionFlagged)
    assert (event.account, event.flagger, event.price) == ("A", "flagger", amount(FLAGGABLE))
    # The text rewards the flag; the code pays nothing before the liquidation.
    assert paid(market) == (amounts(flagger=REWARD_AT_FLAG) if profile is SIP else {})
    liquidate(market, "anyone", "A")
    assert paid(market) == amounts(flagger=REWARD_AT_FLAG, anyone="2")


@BOTH
def test_t3_flagging_cancels_a_pending_order(profile: Profile) -> None:
    market = opened(profile)
    submit_order(market, "A", -10 * ONE)
    assert market.position("A").margin == amount("953.494")
    market.minted.clear()
    at(market, FLAGGABLE_WITH_ORDER)
    events = flag(market, "flagger", "A")
    assert "A" not in market.state.orders
    reverts(Reason.NO_ORDER, cancel_order, market, "A", "A")
    if profile is SIP:  # cancelled: its deposit is A's again, and an event says so
        assert paid(market) == amounts(flagger="31.753455895")
        assert market.position("A").margin == amount("973.494")
        assert [type(event) for event in events].count(DelayedOrderRemoved) == 1
    else:  # deleted: the flagger takes its deposit, and no event says so
        assert paid(market) == amounts(flagger="20")
        assert market.position("A").margin == amount("953.494")
        assert DelayedOrderRemoved not in map(type, events)
        liquidate(market, "anyone", "A")
        assert paid(market) == amounts(flagger="51.753455895", anyone="2")


@BOTH
def test_t4_a_flagged_position_cannot_be_flagged_again(profile: Profile) -> None:
    reverts(Reason.FLAGGED, flag, flagged(profile), "anyone", "A")


@BOTH
@pytest.mark.parametrize("limit", [IMPACT - WEI, IMPACT], ids=["above the limit", "at the limit"])
def test_t5_nobody_liquidates_while_the_price_impact_is_too_high(profile: Profile, limit: int) -> None:
    reverts(Reason.IMPACT_EXCEEDED, liquidate, flagged(profile, delta=limit), "anyone", "A")


@BOTH
def test_t6_an_endorsed_account_liquidates_although_the_price_impact_is_too_high(profile: Profile) -> None:
    market = flagged(profile, delta=IMPACT - WEI)
    _endorsed_liquidates(market)
    assert paid(market) == amounts(flagger=REWARD_AT_FLAG)
    is_closed_and_free(market)


@BOTH
def test_t7_anyone_liquidates_while_the_price_impact_is_below_the_limit(profile: Profile) -> None:
    market = flagged(profile, delta=IMPACT + WEI)
    liquidate(market, "anyone", "A")
    assert paid(market) == amounts(flagger=REWARD_AT_FLAG, anyone="2")
    is_closed_and_free(market)


@BOTH
def test_t8_an_endorsed_account_liquidates_below_the_limit_too_for_nothing(profile: Profile) -> None:
    market = flagged(profile, delta=IMPACT + WEI)
    _endorsed_liquidates(market)
    assert paid(market) == amounts(flagger=REWARD_AT_FLAG)
    is_closed_and_free(market)


@BOTH
def test_t9_anyone_liquidates_a_flagged_position_although_its_price_has_recovered(profile: Profile) -> None:
    market = at(flagged(profile, delta=IMPACT + WEI), NOT_FLAGGABLE)
    _recovered_and_liquidated(market)


@BOTH
@pytest.mark.parametrize("limit", [PREMIUM - WEI, PREMIUM], ids=["above the limit", "at the limit"])
def test_t10_nobody_liquidates_while_the_premium_is_too_high(profile: Profile, limit: int) -> None:
    reverts(Reason.PREMIUM_EXCEEDED, liquidate, flagged(profile, pd=limit), "anyone", "A")


@BOTH
def test_t11_an_endorsed_account_liquidates_although_the_premium_is_too_high(profile: Profile) -> None:
    market = flagged(profile, pd=PREMIUM - WEI)
    _endorsed_liquidates(market)
    assert paid(market) == amounts(flagger=REWARD_AT_FLAG)
    is_closed_and_free(market)


@BOTH
def test_t12_anyone_liquidates_while_the_premium_is_below_the_limit(profile: Profile) -> None:
    market = flagged(profile, pd=PREMIUM + WEI)
    liquidate(market, "anyone", "A")
    assert paid(market) == amounts(flagger=REWARD_AT_FLAG, anyone="2")
    is_closed_and_free(market)


@BOTH
def test_t13_an_endorsed_account_liquidates_below_the_premium_too_for_nothing(profile: Profile) -> None:
    market = flagged(profile, pd=PREMIUM + WEI)
    _endorsed_liquidates(market)
    assert paid(market) == amounts(flagger=REWARD_AT_FLAG)
    is_closed_and_free(market)


@BOTH
def test_t14_anyone_liquidates_below_the_premium_although_the_price_has_recovered(profile: Profile) -> None:
    market = at(flagged(profile, pd=PREMIUM + WEI), NOT_FLAGGABLE)
    _recovered_and_liquidated(market)


@BOTH
def test_t15_the_owner_of_a_flagged_position_cannot_deposit(profile: Profile) -> None:
    reverts(Reason.FLAGGED, deposit, flagged(profile), "A", ONE)


@BOTH
def test_t16_the_owner_of_a_flagged_position_cannot_close_it(profile: Profile) -> None:
    reverts(Reason.FLAGGED, close, flagged(profile), "A")


@BOTH
def test_t17_the_owner_of_a_flagged_position_cannot_increase_it(profile: Profile) -> None:
    reverts(Reason.FLAGGED, modify, flagged(profile), "A", ONE)


@BOTH
def test_t18_the_owner_of_a_flagged_position_cannot_decrease_it(profile: Profile) -> None:
    reverts(Reason.FLAGGED, modify, flagged(profile), "A", -ONE)


def test_an_endorsed_caller_of_liquidate_skips_limits_by_the_text_and_not_by_the_code() -> None:
    """Where the two profiles answer the same call differently: T6 and T8 by `liquidate`."""
    market = flagged(SIP, delta=IMPACT - WEI)
    liquidate(market, "endorsed", "A")
    assert paid(market) == amounts(flagger=REWARD_AT_FLAG)
    reverts(Reason.IMPACT_EXCEEDED, liquidate, flagged(DEPLOYED, delta=IMPACT - WEI), "endorsed", "A")
    market = flagged(DEPLOYED, delta=IMPACT + WEI)
    liquidate(market, "endorsed", "A")
    assert paid(market) == amounts(flagger=REWARD_AT_FLAG, endorsed="2")


def _endorsed_liquidates(market: Market) -> None:
    """By the text, liquidate is the only call. By the code, force_liquidate is a call for endorsed accounts only."""
    reverts(Reason.NOT_ENDORSED, force_liquidate, market, "anyone", "A")
    (liquidate if market.profile is SIP else force_liquidate)(market, "endorsed", "A")


def _recovered_and_liquidated(market: Market) -> None:
    """A is healthy again, with 967.994 left, and loses all of it. The text's reward is of the flag's price, the code's of today's."""
    assert not market.can_liquidate("A")
    assert market.remaining_margin("A") == amount("967.994")
    *_, liquidation = liquidate(market, "anyone", "A")
    assert isinstance(liquidation, PositionLiquidated)
    reward, pool = (REWARD_AT_FLAG, "934.317159105") if market.profile is SIP else ("35", "930.994")
    assert paid(market) == amounts(flagger=reward, anyone="2") | {FEE_POOL: amount(pool)}
    assert sum(paid(market).values()) == amount("967.994")
    assert (liquidation.flagger_fee, liquidation.stakers_fee) == (amount(reward), amount(pool))
    is_closed_and_free(market)
