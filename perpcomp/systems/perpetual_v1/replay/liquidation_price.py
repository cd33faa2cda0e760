"""The liquidation price: the spot price at which a position's margin ratio reaches maintenance."""

from msgspec import Struct

from perpcomp.curve import Reserves, Reverts, moved_to, out_price
from perpcomp.fixed import LIMIT
from perpcomp.systems.perpetual_v1.replay.contract import margin_ratio, pnl

BELOW, ABOVE = "spot falls below", "spot rises above"
NEVER, ALWAYS = "never", "at every price"


class Trigger(Struct, frozen=True):
    """When a position may be liquidated: `when` the spot price is on that side of `price`; no price for NEVER and ALWAYS."""

    when: str
    price: int | None = None


def liquidation_price(
    size: int, margin: int, open_notional: int, owed: int, pool: Reserves, maintenance: int, over_position_notional: bool
) -> Trigger:
    """The last spot price on this pool's k at which the position is safe, once the TWAP has followed, funding and margin as now.

    The better of two profits counts, at spot and by TWAP. When spot has stood for 15 minutes they are one, so both are taken on the
    pool moved to that spot. The ratio rises with the quote reserve for a long and falls for a short, so the exact edge is found by
    halving an interval of whole wei. (Rounding to the wei makes the ratio waver by a few wei of quote at the edge itself: the price
    then is one of those neighbours, equal in 18 digits and more.)
    """

    def safe(quote: int) -> bool:
        try:
            notional = out_price(size, moved_to(quote, pool))
        except Reverts:  # a short that the pool cannot give back
            return False
        equity = margin + pnl(size, open_notional, notional) - owed
        denominator = notional if over_position_notional else open_notional
        return equity > 0 if denominator == 0 else margin_ratio(equity, denominator) >= maintenance

    long = size > 0
    if safe(1) == long:  # a long safe at price 0 is safe everywhere; a short that is not is nowhere
        return Trigger(NEVER if long else ALWAYS)
    near, far = 1, pool.quote  # `near` lies on the low side of the edge, `far` is to lie on the high side
    while safe(far) != long:
        near, far = far, 2 * far
        if far >= LIMIT**2:
            return Trigger(NEVER if not long else ALWAYS)
    while far - near > 1:
        middle = (near + far) // 2
        if safe(middle) == long:
            far = middle
        else:
            near = middle
    edge = moved_to(far if long else near, pool).spot
    if not 0 < edge < LIMIT:  # below the smallest price, or beyond what an amount holds
        return Trigger(NEVER)
    return Trigger(BELOW if long else ABOVE, edge)
