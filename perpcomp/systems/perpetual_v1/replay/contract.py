"""The contracts' formulas on whole wei: what Amm and ClearingHouse of Perpetual Protocol V1 compute, digit for digit.

Every number is an integer of 1e-18 and every division truncates as Solidity's does. Sizes are signed, + long and - short; a funding
payment is + where the trader pays. Names and formulas are those of the project's facts about V1, measured against the contracts of
npm @perp/contract 1.1.0 and 2.2.0.
"""

from collections.abc import Sequence

from perpcomp.curve import Average, Reserves, Reverts, in_price, moved_to, out_price
from perpcomp.fixed import div_integers, mul_integers, truncate

QUARTER_HOUR, HOUR, DAY = 900, 3600, 86400  # seconds: the TWAP of margin ratios, of funding, and what a funding rate is quoted for


def pnl(size: int, open_notional: int, notional: int) -> int:
    """Profit of closing for `notional`, before funding."""
    return notional - open_notional if size > 0 else open_notional - notional if size < 0 else 0


def mark_pnl(size: int, open_notional: int, price: int) -> int:
    """Profit at a price chosen by somebody, without slippage. No contract view gives it."""
    return mul_integers(size, price) + (-open_notional if size > 0 else open_notional)


def funding_owed(size: int, latest: int, last: int) -> int:
    """+ the trader pays. `latest` and `last` are cumulative premium fractions, USDC per base: now and at the last settlement."""
    return mul_integers(latest - last, size)


def premium_fraction(twap_1h: int, underlying: int) -> int:
    """What one funding payment adds to the cumulative premium fraction."""
    return truncate((twap_1h - underlying) * HOUR, DAY)


def margin_ratio(equity: int, denominator: int) -> int:
    """equity = margin + profit - funding owed; the denominator is the open notional, by later code the position's notional."""
    if denominator == 0:
        raise Reverts("nothing divides by 0")
    return div_integers(equity, denominator)


def size_after_migrations(size: int, cumulative_then: int, pool_then: Reserves, cumulative_now: int, pool_now: Reserves) -> int:
    """The size that a position opened before a liquidity migration has today (ClearingHouse.calcPositionAfterLiquidityMigration).

    The old pool is moved by the USDC that came in since then (cumulative notional), the position is valued there, and its value
    is turned into a size on today's pool.
    """
    came_in = cumulative_now - cumulative_then
    pool = moved_to(pool_then.quote + came_in, pool_then) if came_in else pool_then
    new = in_price(size < 0, out_price(size, pool), pool_now)
    return new if size > 0 else -new


def average_out_price(size: int, average: Average) -> int:
    """TWAP position notional: what closing would have moved on average (Amm.getOutputTwap)."""
    return average.of(lambda pool: out_price(size, pool))


def twap(times: Sequence[int], pools: Sequence[Reserves], count: int, first: int, now: int, interval: int, whole: bool) -> Average | None:
    """The average over the `interval` before `now`, of the first `count` snapshots: one a block, the last, at the block's time.

    The newest snapshot counts until now, the oldest from now - interval on. A market younger than that is averaged over its life,
    and a single snapshot is used as it is. Snapshots before number `first` are not to be relied on, and only if `whole` there were
    none before it; None where the average needs one of those.
    """
    newest = count - 1
    if newest < first:
        return None
    start = now - interval
    if times[newest] <= start or (newest == first and whole):
        return Average([(pools[newest], 1)], 1)
    parts, until = [], now
    for n in range(newest, first - 1, -1):
        since = max(times[n], start)
        parts.append((pools[n], until - since))
        until = since
        if times[n] <= start:
            return Average(parts, interval)
    return Average(parts, now - until) if whole else None
