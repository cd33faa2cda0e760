"""From the input's tables to the history of every market and position: each event applied once, in the order of the chain."""

from collections.abc import Mapping, Sequence

import polars as pl

from perpcomp.findings import Finding
from perpcomp.ingest.decode import Event
from perpcomp.ingest.raw_frame import LOG_ORDER
from perpcomp.systems.perpetual_v1.events import (
    FUNDING_RATE_UPDATED,
    LIQUIDITY_CHANGED,
    MARGIN_CHANGED,
    POSITION_ADJUSTED,
    POSITION_SETTLED,
    RESERVE_SNAPSHOTTED,
    SWAP_INPUT,
    SWAP_OUTPUT,
)
from perpcomp.systems.perpetual_v1.replay import market_events, position_events
from perpcomp.systems.perpetual_v1.replay.in_order import Handler, Line, in_order
from perpcomp.systems.perpetual_v1.replay.market_replay import PULL, MarketReplay
from perpcomp.systems.perpetual_v1.replay.state import History, Market

# Quantity -> the events from which it is computed, besides PositionChanged.
NEEDS: dict[str, tuple[Event, ...]] = {
    "size": (POSITION_ADJUSTED, POSITION_SETTLED, LIQUIDITY_CHANGED),
    "margin": (MARGIN_CHANGED, POSITION_SETTLED),
    "open notional": (POSITION_SETTLED,),
    "reserves": (RESERVE_SNAPSHOTTED, LIQUIDITY_CHANGED),
    "sizes after a migration": (SWAP_INPUT, SWAP_OUTPUT),
    "funding": (FUNDING_RATE_UPDATED, RESERVE_SNAPSHOTTED, MARGIN_CHANGED),
}


def read_history(tables: Mapping[str, pl.DataFrame], events: pl.DataFrame) -> History:
    """Every event of the input applied once, in order. `tables` are the other events by name, `events` is the events table."""
    missing = {what: tuple(e.name for e in needs if e.name not in tables) for what, needs in NEEDS.items()}
    findings = []
    for name in sorted({name for names in missing.values() for name in names}):
        unknown = " and ".join(what for what, names in missing.items() if name in names)
        what = f"The event was not pulled, so {unknown} cannot be known."
        findings.append(Finding("warning", f"event {name}", what, PULL, code="event-not-pulled"))
    launched, unexplained = _launches(tables, events)
    names = {m for frame in (events, *tables.values()) if "market" in frame.columns for m in frame.get_column("market").unique()}
    replays = {m: MarketReplay(Market(m, m in launched), missing, unexplained) for m in sorted(names)}
    for block, log, time, transaction, market, apply, values in _handled(tables, events):
        replay = replays[market]
        if block != replay.block:
            replay.end_block()
            replay.block = block
        replay.log = (transaction, log)
        apply(replay, time, *values)
    for replay in replays.values():
        replay.end_block()
        findings += replay.all_findings()
    return History({m: r.market for m, r in replays.items()}, {m: r.positions for m, r in replays.items()}, missing, tuple(findings))


def _launches(tables: Mapping[str, pl.DataFrame], events: pl.DataFrame) -> tuple[set[str], set[str]]:
    """Markets whose first snapshot is that of their launch; and transactions with a swap that no PositionChanged explains.

    A market takes a snapshot when it is initialized and at each swap. Only the ClearingHouse swaps, and it logs a PositionChanged in
    the same transaction. So a market's first log is its launch if it is a snapshot without a PositionChanged and without a swap, and
    there is no second.
    """
    if RESERVE_SNAPSHOTTED.name not in tables:
        return set(), set()
    order = LOG_ORDER.alias("order")
    snapshots = tables[RESERVE_SNAPSHOTTED.name].select("market", "transaction_hash", order)
    alone = snapshots.join(events, on=["market", "transaction_hash"], how="anti")
    first = pl.concat([snapshots.select("market", "order"), events.select("market", order)]).group_by("market").agg(pl.col("order").min())
    launches = alone.join(first, on=["market", "order"], how="semi")
    for swaps in (tables[kind.name] for kind in (SWAP_INPUT, SWAP_OUTPUT) if kind.name in tables):
        launches = launches.join(swaps, on=["market", "transaction_hash"], how="anti")
    others = alone.join(launches, on=["market", "order"], how="anti")
    return set(launches.get_column("market")), set(others.get_column("transaction_hash"))


def _handled(tables: Mapping[str, pl.DataFrame], events: pl.DataFrame) -> Sequence[Line[Handler]]:
    """Every event with the function that applies it, in the order of the chain."""
    reads: list[tuple[pl.DataFrame | None, Handler, tuple[str, ...]]] = [
        (tables.get(RESERVE_SNAPSHOTTED.name), market_events.snapshot, ("quote_asset_reserve", "base_asset_reserve", "timestamp")),
        (tables.get(SWAP_INPUT.name), market_events.swap_input, ("dir", "quote_asset_amount", "base_asset_amount")),
        (tables.get(SWAP_OUTPUT.name), market_events.swap_output, ("dir", "quote_asset_amount", "base_asset_amount")),
        (tables.get(LIQUIDITY_CHANGED.name), market_events.migration, ("quote_reserve", "base_reserve", "cumulative_notional")),
        (tables.get(FUNDING_RATE_UPDATED.name), market_events.funding, ("rate", "underlying_price")),
        (tables.get(MARGIN_CHANGED.name), position_events.margin, ("trader", "amount", "funding_payment")),
        (tables.get(POSITION_ADJUSTED.name), position_events.adjustment, ("trader", "new_position_size")),
        (tables.get(POSITION_SETTLED.name), position_events.settlement, ("trader",)),
        (
            events,
            position_events.change,
            (
                *("trader", "kind", "margin", "position_notional", "exchanged_position_size", "position_size_after", "realized_pnl"),
                *("funding_payment", "spot_price", "liquidation_penalty", "bad_debt"),
            ),
        ),
    ]
    return in_order(reads)
