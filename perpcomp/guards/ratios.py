"""The two ratios that the guards limit, measured on a constant-product curve, exact to the last digit.

Synthetix Perps V2 prices with a marginal price m(K) = P (1 + K / skewScale). So |size| / skewScale is the change of the marginal price in
units of the index, and |skew| / skewScale is the distance of the market's price from the index. The functions below give the same two
quantities for a pool of quote reserve Q and base reserve B, with spot price Q / B and index price I. Results are integers of 1e-18,
rounded down. A limit has 18 decimal places too, so `impact < limit` decides exactly as the unrounded ratio does.
"""

from perpcomp.curve import Reserves, Reverts
from perpcomp.fixed import ONE
from perpcomp.systems.perpetual_v1.replay.contract import margin_ratio, mark_pnl


def price_impact(pool: Reserves, size: int, index: int) -> int:
    """|p' - p| / I of closing `size` (+ long): p before, p' = Q B / (B + size)^2 after.

    Closing a short moves the price more than closing a long of the same size. Reverts where the short is as large as the pool.
    """
    after = pool.base + size
    if after <= 0:
        raise Reverts("the short is as large as the pool")
    moved = pool.quote * abs(after**2 - pool.base**2)
    return moved * ONE * ONE // (pool.base * after**2 * index)


def premium(pool: Reserves, index: int) -> int:
    """|p - I| / I, before any close."""
    return abs(pool.quote * ONE - index * pool.base) * ONE // (index * pool.base)


def ratio_at_index(size: int, margin: int, open_notional: int, owed: int, index: int) -> int:
    """V1's margin ratio with the profit at the index price: (margin + profit - funding owed) / open notional."""
    return margin_ratio(margin + mark_pnl(size, open_notional, index) - owed, open_notional)
