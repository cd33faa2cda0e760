"""The worth of a Perps V2 position, the cost of its liquidation and the two ratios that the guards limit: functions on integers of 1e-18.

Every product and quotient is truncated towards zero, in the contracts' order: another order gives another last digit. Prices, margins and
fees are in sUSD, sizes and skews in units of the market's asset (+ long), ratios /1. P is the oracle price.
"""

from typing import NamedTuple

from perpcomp.fixed import ONE, div_integers, mul_integers
from perpcomp.guards.rules.parameters import Parameters
from perpcomp.guards.rules.profiles import DEPLOYED, FeeBounds, Flaggable, Profile

WORD = 2**256


class Position(NamedTuple):
    """An account's position as the contract stores it. An account without a position may still have a margin."""

    id: int = 0
    last_funding_index: int = 0
    margin: int = 0
    last_price: int = 0
    size: int = 0


class Settlement(NamedTuple):
    """Who gets a liquidated margin: remaining + bad_debt == flagger_fee + liquidator_fee + stakers_fee."""

    remaining: int
    flagger_fee: int
    liquidator_fee: int
    stakers_fee: int
    bad_debt: int


def profit(position: Position, price: int) -> int:
    """Unrealized profit (+) or loss (-) at P."""
    return mul_integers(position.size, price - position.last_price)


def margin_with_profit(position: Position, price: int, accrued: int) -> int:
    """Margin + profit + accrued funding (+ the trader receives); negative where the loss is more than the margin."""
    return position.margin + mul_integers(position.size, price - position.last_price) + accrued


def remaining_margin(position: Position, price: int, accrued: int) -> int:
    """What is left of the margin at P, at least 0."""
    return max(0, margin_with_profit(position, price, accrued))


def keeper_fee(size: int, price: int, parameters: Parameters, profile: Profile = DEPLOYED) -> int:
    """The flagger's reward for a position of this size at P: a part of the notional, between two bounds."""
    proportional = abs(size) * price // ONE * parameters.liquidation_fee_ratio // ONE
    lowest, highest = parameters.min_keeper_fee, parameters.max_keeper_fee
    if profile.fee_bounds is FeeBounds.MINIMUM_WINS:
        return max(min(proportional, highest), lowest)
    return min(max(proportional, lowest), highest)


def liquidation_margin(size: int, price: int, parameters: Parameters, profile: Profile = DEPLOYED) -> int:
    """The margin a position must have: a buffer, the flagger's fee and the liquidator's fee, even where a forced liquidation pays none."""
    buffer = abs(size) * price // ONE * parameters.liquidation_buffer_ratio // ONE
    return buffer + keeper_fee(size, price, parameters, profile) + parameters.keeper_liquidation_fee


def liquidation_premium(size: int, price: int, parameters: Parameters) -> int:
    """The cost of the price impact of closing the position from a skew of 0, times a multiplier."""
    return price_impact(size, parameters) * (abs(size) * price // ONE) // ONE * parameters.liquidation_premium_multiplier // ONE


def can_liquidate(position: Position, price: int, accrued: int, parameters: Parameters, profile: Profile = DEPLOYED) -> bool:
    """Whether the position may be flagged at P. An empty position may not."""
    size = position.size
    if size == 0:
        return False
    remaining = remaining_margin(position, price, accrued)
    if profile.flaggable is Flaggable.BELOW:
        return remaining < liquidation_margin(size, price, parameters, profile)
    after_premium = max(0, remaining - liquidation_premium(size, price, parameters))
    return after_premium <= liquidation_margin(size, price, parameters, profile)


def price_impact(size: int, parameters: Parameters) -> int:
    """How much (/1 of P) closing the position moves the price of the next unit traded. maxLiquidationDelta limits it."""
    return abs(size) * ONE // parameters.skew_scale


def premium(skew: int, parameters: Parameters) -> int:
    """The distance (/1 of P, unsigned) of the market's price from the oracle price. maxPD limits it."""
    return abs(skew) * ONE // parameters.skew_scale


def largest_passing(limit: int, skew_scale: int) -> int:
    """The largest |size| or |skew| whose ratio to the skew scale is strictly below the limit. -1 where even 0 is not, as for a limit of 0.

    floor(x * 1e18 / scale) < limit is equivalent to x * 1e18 < limit * scale, so a row needs one comparison and no division.
    """
    return -(-limit * skew_scale // ONE) - 1


def fill_price(size_delta: int, price: int, skew: int, parameters: Parameters) -> int:
    """The average price of a trade: P adjusted by the mean of the skew before and after it.

    Unsigned as in the contract: it wraps modulo 2^256 where the skew is below -(skew scale).
    """
    scale = parameters.skew_scale
    before = price + mul_integers(price, div_integers(skew, scale))
    after = price + mul_integers(price, div_integers(skew + size_delta, scale))
    return div_integers(before + after, 2 * ONE) % WORD


def liquidation_price(position: Position, price: int, funding: int, parameters: Parameters) -> int:
    """The approximate price at which the position becomes liquidatable, by the margins at the present P; 0 without a position.

    `funding` is what one unit of the asset has accrued (+ a long receives) since the position last changed.
    """
    size = position.size
    if size == 0:
        return 0
    held = position.margin - liquidation_premium(size, price, parameters)
    wanted = liquidation_margin(size, price, parameters)
    return max(0, position.last_price + div_integers(wanted - held, size) - funding)


def settle(remaining: int, flagger_fee: int, liquidator_fee: int) -> Settlement:
    """Both fees are paid in full. Stakers get the rest of the margin, the debt pool bears a shortfall, and the trader gets nothing."""
    fees = flagger_fee + liquidator_fee
    return Settlement(remaining, flagger_fee, liquidator_fee, max(0, remaining - fees), max(0, fees - remaining))
