"""What a Perps V2 position is worth, what its liquidation costs, and what the two guards measure: pure functions on integers of 1e-18.

Every product and quotient truncates towards zero, as the contracts' do, in the contracts' order: another order gives other wei. Prices,
margins and fees are sUSD, sizes and skews units of the market's asset (+ long), ratios /1. P is the oracle price throughout.
"""

from typing import NamedTuple

from perpcomp.fixed import ONE, div_integers, mul_integers
from perpcomp.guards.rules.parameters import Parameters
from perpcomp.guards.rules.profiles import DEPLOYED, FeeBounds, Flaggable, Profile

WORD = 2**256


class Position(NamedTuple):
    """An account's position as the contract stores it. Without a position only the margin may be above 0."""

    id: int = 0
    last_funding_index: int = 0
    margin: int = 0
    last_price: int = 0
    size: int = 0


class Settlement(NamedTuple):
    """Where a liquidated margin goes: remaining + bad_debt == flagger_fee + liquidator_fee + stakers_fee."""

    remaining: int
    flagger_fee: int
    liquidator_fee: int
    stakers_fee: int
    bad_debt: int


def profit(position: Position, price: int) -> int:
    """Unrealized profit at P, signed."""
    return mul_integers(position.size, price - position.last_price)


def margin_with_profit(position: Position, price: int, accrued: int) -> int:
    """Margin, profit and accrued funding (+ the trader gets) together; below 0 where the position is worse than worthless."""
    return position.margin + mul_integers(position.size, price - position.last_price) + accrued


def remaining_margin(position: Position, price: int, accrued: int) -> int:
    """What is left of the margin at P, not below 0."""
    return max(0, margin_with_profit(position, price, accrued))


def keeper_fee(size: int, price: int, parameters: Parameters, profile: Profile = DEPLOYED) -> int:
    """The flagger's reward for a position of this size at P: a share of the notional between two bounds."""
    proportional = abs(size) * price // ONE * parameters.liquidation_fee_ratio // ONE
    lowest, highest = parameters.min_keeper_fee, parameters.max_keeper_fee
    if profile.fee_bounds is FeeBounds.MINIMUM_WINS:
        return max(min(proportional, highest), lowest)
    return min(max(proportional, lowest), highest)


def liquidation_margin(size: int, price: int, parameters: Parameters, profile: Profile = DEPLOYED) -> int:
    """The margin a position must hold: a buffer, the flagger's fee and the liquidator's, the latter also where it is never paid."""
    buffer = abs(size) * price // ONE * parameters.liquidation_buffer_ratio // ONE
    return buffer + keeper_fee(size, price, parameters, profile) + parameters.keeper_liquidation_fee


def liquidation_premium(size: int, price: int, parameters: Parameters) -> int:
    """What closing the position from a flat market would cost in price, times a multiplier."""
    return price_impact(size, parameters) * (abs(size) * price // ONE) // ONE * parameters.liquidation_premium_multiplier // ONE


def can_liquidate(position: Position, price: int, accrued: int, parameters: Parameters, profile: Profile = DEPLOYED) -> bool:
    """Whether the position may be flagged at P. An empty one may not."""
    size = position.size
    if size == 0:
        return False
    remaining = remaining_margin(position, price, accrued)
    if profile.flaggable is Flaggable.BELOW:
        return remaining < liquidation_margin(size, price, parameters, profile)
    after_premium = max(0, remaining - liquidation_premium(size, price, parameters))
    return after_premium <= liquidation_margin(size, price, parameters, profile)


def price_impact(size: int, parameters: Parameters) -> int:
    """By how much (/1 of P) closing the position moves the price at which the next unit trades: what maxLiquidationDelta limits."""
    return abs(size) * ONE // parameters.skew_scale


def premium(skew: int, parameters: Parameters) -> int:
    """How far (/1 of P) the market's price is from the oracle's, without its sign: what maxPD limits."""
    return abs(skew) * ONE // parameters.skew_scale


def largest_passing(limit: int, skew_scale: int) -> int:
    """The largest |size| or |skew| whose ratio to the skew scale is strictly below the limit; -1 where none is, as for a limit of 0.

    floor(x * 1e18 / scale) < limit is the same as x * 1e18 < limit * scale: one comparison a row instead of a division.
    """
    return -(-limit * skew_scale // ONE) - 1


def fill_price(size_delta: int, price: int, skew: int, parameters: Parameters) -> int:
    """The average price of a trade: P adjusted by the mean of the skew before and after it.

    Unsigned as in the contract: below a skew of minus the skew scale it wraps modulo 2^256.
    """
    scale = parameters.skew_scale
    before = price + mul_integers(price, div_integers(skew, scale))
    after = price + mul_integers(price, div_integers(skew + size_delta, scale))
    return div_integers(before + after, 2 * ONE) % WORD


def liquidation_price(position: Position, price: int, funding: int, parameters: Parameters) -> int:
    """About where the position becomes liquidatable, by the margins at the present P; 0 without a position.

    funding is what one unit of the asset has accrued (+ the holder of a long gets) since the position last changed.
    """
    size = position.size
    if size == 0:
        return 0
    held = position.margin - liquidation_premium(size, price, parameters)
    wanted = liquidation_margin(size, price, parameters)
    return max(0, position.last_price + div_integers(wanted - held, size) - funding)


def settle(remaining: int, flagger_fee: int, liquidator_fee: int) -> Settlement:
    """Both fees are paid in full; the stakers get what the margin leaves, the debt pool bears what it lacks, the trader gets nothing."""
    fees = flagger_fee + liquidator_fee
    return Settlement(remaining, flagger_fee, liquidator_fee, max(0, remaining - fees), max(0, fees - remaining))
