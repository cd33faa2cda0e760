"""Applies a market's own events: snapshots, swaps, liquidity migrations and funding payments. `time` is the block's, in unix seconds."""

from perpcomp.curve import Reserves
from perpcomp.fixed import div_integers
from perpcomp.systems.perpetual_v1.replay.contract import HOUR, premium_fraction
from perpcomp.systems.perpetual_v1.replay.market_replay import MarketReplay
from perpcomp.systems.perpetual_v1.replay.state import Migration, Premium, average_before


def snapshot(replay: MarketReplay, _: int, quote: int, base: int, stamp: int) -> None:
    """ReserveSnapshotted: the pool after a swap, or at launch."""
    market = replay.market
    replay.pool_before_swap, replay.pool, replay.pool_was_sure = replay.pool, Reserves.of(quote, base), replay.pool_sure
    if market.from_launch and not market.times:
        market.migrations[0] = Migration(0, replay.pool)
    if replay.snapshot_block == replay.block:  # the last of a block wins
        market.pools[-1] = replay.pool
    else:
        market.times.append(stamp)
        market.pools.append(replay.pool)
        replay.snapshot_block = replay.block
    if replay.log[0] in replay.unexplained:
        replay.report("A swap, or the launch of another market at this address, has no PositionChanged: it is missing.")
        replay.pool_before_swap = None
        replay.mark_gap()
    else:
        replay.expect_swap(False)
        replay.swap_due = market.migrations[0] is None or len(market.times) > 1
    replay.pool_sure = len(market.moments)


def swap_input(replay: MarketReplay, _: int, direction: int, quote: int, base: int) -> None:
    """SwapInput: a swap of an amount of USDC; direction 0 adds them to the pool."""
    _swapped(replay, quote if direction == 0 else -quote, -base if direction == 0 else base)


def swap_output(replay: MarketReplay, _: int, direction: int, quote: int, base: int) -> None:
    """SwapOutput: a swap of an amount of base; direction 0 adds it to the pool."""
    _swapped(replay, -quote if direction == 0 else quote, base if direction == 0 else -base)


def _swapped(replay: MarketReplay, quote: int, base: int) -> None:
    """What a swap added to the pool; its snapshot came just before."""
    replay.expect_swap(True)
    before, after = replay.pool_before_swap, replay.pool
    if before is not None and after is not None and (before.quote + quote, before.base + base) != (after.quote, after.base):
        replay.report("The pool before a swap is not the one after the previous log: a ReserveSnapshotted or LiquidityChanged is missing.")
        replay.mark_gap(replay.pool_was_sure)
    if replay.cumulative is not None:
        replay.cumulative += quote


def migration(replay: MarketReplay, _: int, quote: int, base: int, cumulative: int) -> None:
    """LiquidityChanged: the pool is scaled, without a snapshot."""
    if replay.cumulative not in (None, cumulative):
        replay.report("Swaps do not sum up to the cumulative notional: a SwapInput or SwapOutput is missing.")
        replay.mark_gap(replay.pool_sure)
    replay.pool = Reserves.of(quote, base)
    replay.cumulative = None if replay.missing["sizes after a migration"] else cumulative
    replay.market.migrations.append(Migration(cumulative, replay.pool))
    replay.pool_sure = len(replay.market.moments)


def funding(replay: MarketReplay, time: int, rate: int, underlying: int) -> None:
    """FundingRateUpdated: the premium fraction is that of the last hour's average price."""
    replay.index_price = underlying
    average = average_before(replay.market, len(replay.market.times), replay.first_snapshot, time, HOUR)
    if average is None:
        replay.lose_premium()
        return
    fraction = premium_fraction(average.of(lambda pool: pool.spot), underlying)
    if div_integers(fraction, underlying) != rate:
        replay.report("A funding rate is not that of the last hour's prices: a ReserveSnapshotted is missing.")
        replay.lose_premium()
        return
    replay.premium = Premium(replay.premium.segment, replay.premium.value + fraction)
