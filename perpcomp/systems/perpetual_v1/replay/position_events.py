"""Applies the events of positions: trades, liquidations, margin changes, adjustments and settlements."""

from bisect import bisect_left

from msgspec.structs import replace

from perpcomp.systems.perpetual_v1.replay.contract import funding_owed
from perpcomp.systems.perpetual_v1.replay.market_replay import MarketReplay
from perpcomp.systems.perpetual_v1.replay.state import UNKNOWN, Position, before_first_event


def margin(replay: MarketReplay, _: int, trader: str, amount: int, payment: int) -> None:
    """MarginChanged: taking margin out settles funding, putting it in does not."""
    state = replay.state(trader)
    if amount < 0:
        _check_payment(replay, trader, state, payment)
        state = replace(state, premium=replay.premium)
    replay.store(trader, replace(state, margin=None if state.margin is None else state.margin + amount - payment))


def adjustment(replay: MarketReplay, _: int, trader: str, size: int) -> None:
    """PositionAdjusted: the stored size follows the liquidity changes, just before a trade or on request."""
    replay.store(trader, replace(replay.state(trader), size=size, migration=len(replay.market.migrations) - 1))


def settlement(replay: MarketReplay, _: int, trader: str) -> None:
    """PositionSettled, after the market's shutdown: the position is closed."""
    replay.store(trader, _closed(replay, replay.state(trader).life))


def change(
    replay: MarketReplay,
    _: int,
    trader: str,
    kind: str,
    margin: int,
    notional: int,
    exchanged: int,
    after: int,
    realized: int,
    payment: int,
    spot: int,
    penalty: int,
    bad_debt: int,
) -> None:
    """PositionChanged: a trade or a liquidation. It states size and margin; the open notional follows from the events before."""
    if replay.pool is not None and replay.pool.spot != spot:
        replay.report("The spot price that PositionChanged states is not the pool's: a ReserveSnapshotted is missing.")
        replay.pool = None
        replay.mark_gap()
    replay.expect_swap(False)
    before, start = after - exchanged, None
    state = replay.state(trader)
    if before == 0 and trader not in replay.positions:
        state = start = replace(before_first_event(replay.market), life=0, size=0)
    if state.size is not None and state.size != before:
        what = "The size before it is not the size after the previous event: a PositionChanged, PositionAdjusted or PositionSettled is missing."
        replay.report(what, trader)
        replay.retract(trader, whole=True)
        state = replace(UNKNOWN, life=max(1, state.life))
    _check_payment(replay, trader, state, payment)
    if (
        state.margin is not None
        and not replay.missing["margin"]
        and not fits_margin(state.margin, kind, margin, realized - payment, penalty, bad_debt)
    ):
        replay.report("The margin before it is not the margin after the previous event: a MarginChanged is missing.", trader)
        replay.retract(trader, whole=False)
    life = state.life + 1 if kind in ("open", "reverse") else max(1, state.life)
    if after == 0:
        replay.store(trader, _closed(replay, life), start)
        return
    open_notional = None
    if before == 0 or state.open_notional is not None:
        # Signed like the size, it changes by the USDC exchanged and the profit realized, whatever the event did (see lives.py).
        signed = 0 if before == 0 else (state.open_notional or 0) * (1 if before > 0 else -1)
        open_notional = abs(signed + (notional if exchanged > 0 else -notional) + realized)
    replay.store(trader, Position(life, after, margin, open_notional, replay.premium, len(replay.market.migrations) - 1), start)


def fits_margin(before: int, kind: str, after: int, gained: int, penalty: int, bad_debt: int) -> bool:
    """Whether a PositionChanged agrees with the margin before it; `gained` is what it realized, less the funding paid.

    A full liquidation's penalty is the margin that remained, in later code the margin before (eras.py determines which).
    """
    if bad_debt:
        return before == -bad_debt - gained
    if kind in ("reduce", "partial-liquidation"):
        return after == max(0, before + gained - penalty)
    return kind != "liquidation" or penalty in (before, before + gained)


def _closed(replay: MarketReplay, life: int) -> Position:
    """No position, after that life."""
    return Position(life, 0, 0, 0, None, len(replay.market.migrations) - 1)


def _check_payment(replay: MarketReplay, trader: str, state: Position, payment: int) -> None:
    """The funding that an event settles must be the one computed; otherwise logs are missing."""
    if replay.missing["funding"] or not state.size or state.premium is None or state.premium.segment != replay.premium.segment:
        return
    if payment != funding_owed(state.size, replay.premium.value, state.premium.value):
        what = "The funding that it settles is not the one computed: a FundingRateUpdated or MarginChanged is missing."
        replay.report(what, trader)
        timeline = replay.positions[trader]
        settled = next((n for n in range(len(timeline.states), 0, -1) if timeline.states[n - 1].premium is not state.premium), 0)
        replay.lose_premium(bisect_left(replay.market.blocks, timeline.blocks[settled]))
        replay.retract(trader, whole=False)
