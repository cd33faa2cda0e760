"""The events of V1 in order, applied one by one: from logs to the state of every position and market."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from perpcomp.curve import Reserves
from perpcomp.findings import Finding
from perpcomp.fixed import div_integers
from perpcomp.ingest.decode import Event
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
from perpcomp.systems.perpetual_v1.replay.contract import HOUR, funding_owed, premium_fraction
from perpcomp.systems.perpetual_v1.replay.in_order import Handler, Line, in_order
from perpcomp.systems.perpetual_v1.replay.state import (
    NO_PREMIUM,
    NO_STRETCH,
    UNKNOWN,
    History,
    Market,
    Migration,
    Moment,
    Position,
    Premium,
    Timeline,
    average_before,
    nobody,
    unless_changed_unseen,
)

# What each quantity is made of, besides PositionChanged.
NEEDS: dict[str, tuple[Event, ...]] = {
    "size": (POSITION_ADJUSTED, POSITION_SETTLED, LIQUIDITY_CHANGED),
    "margin": (MARGIN_CHANGED, POSITION_SETTLED),
    "open notional": (POSITION_SETTLED,),
    "reserves": (RESERVE_SNAPSHOTTED, LIQUIDITY_CHANGED),
    "sizes after a migration": (SWAP_INPUT, SWAP_OUTPUT),
    "funding": (FUNDING_RATE_UPDATED, RESERVE_SNAPSHOTTED, MARGIN_CHANGED),
}

PULL = "Pull every log of the ClearingHouse and of the markets, from their first block on."


def read_history(tables: Mapping[str, pl.DataFrame], events: pl.DataFrame) -> History:
    """Every event of the input, once, in order."""
    lacks = {what: tuple(e.name for e in needs if e.name not in tables) for what, needs in NEEDS.items()}
    findings = []
    for name in sorted({name for names in lacks.values() for name in names}):
        unknown = " and ".join(what for what, names in lacks.items() if name in names)
        findings.append(Finding("warning", f"event {name}", f"It was not pulled, so {unknown} cannot be known.", PULL))
    launched, unexplained = _launches(tables, events)
    names = {m for frame in (events, *tables.values()) if "market" in frame.columns for m in frame.get_column("market").unique()}
    players = {m: _Player(Market(m, m in launched), lacks, unexplained) for m in sorted(names)}
    for block, log, time, transaction, market, handle, values in _of_players(tables, events):
        player = players[market]
        if block != player.block:
            player.end_block()
            player.block = block
        player.here = (transaction, log)
        handle(player, time, *values)
    for player in players.values():
        player.end_block()
        findings += player.closing_words()
    return History({m: p.market for m, p in players.items()}, {m: p.positions for m, p in players.items()}, lacks, tuple(findings))


def _launches(tables: Mapping[str, pl.DataFrame], events: pl.DataFrame) -> tuple[set[str], set[str]]:
    """Markets whose first snapshot is that of their launch; and transactions with a swap that no PositionChanged explains.

    A market takes a snapshot when it is initialized and at each swap. Only the ClearingHouse swaps, and logs a PositionChanged in
    the same transaction. So a market's first log is its launch if it is a snapshot without one and without a swap, and there is no
    second.
    """
    if RESERVE_SNAPSHOTTED.name not in tables:
        return set(), set()
    place = (pl.col("block_number") * 10**6 + pl.col("log_index")).alias("place")
    snapshots = tables[RESERVE_SNAPSHOTTED.name].select("market", "transaction_hash", place)
    alone = snapshots.join(events, on=["market", "transaction_hash"], how="anti")
    begun = pl.concat([snapshots.select("market", "place"), events.select("market", place)]).group_by("market").agg(pl.col("place").min())
    launches = alone.join(begun, on=["market", "place"], how="semi")
    for swaps in (tables[kind.name] for kind in (SWAP_INPUT, SWAP_OUTPUT) if kind.name in tables):
        launches = launches.join(swaps, on=["market", "transaction_hash"], how="anti")
    others = alone.join(launches, on=["market", "place"], how="anti")
    return set(launches.get_column("market")), set(others.get_column("transaction_hash"))


def _of_players(tables: Mapping[str, pl.DataFrame], events: pl.DataFrame) -> Sequence[Line[Handler]]:
    """Every event with what a player does about it."""
    reads: list[tuple[pl.DataFrame | None, Handler, tuple[str, ...]]] = [
        (tables.get(RESERVE_SNAPSHOTTED.name), _Player.snapshot, ("quote_asset_reserve", "base_asset_reserve", "timestamp")),
        (tables.get(SWAP_INPUT.name), _Player.swap_input, ("dir", "quote_asset_amount", "base_asset_amount")),
        (tables.get(SWAP_OUTPUT.name), _Player.swap_output, ("dir", "quote_asset_amount", "base_asset_amount")),
        (tables.get(LIQUIDITY_CHANGED.name), _Player.migrate, ("quote_reserve", "base_reserve", "cumulative_notional")),
        (tables.get(FUNDING_RATE_UPDATED.name), _Player.fund, ("rate", "underlying_price")),
        (tables.get(MARGIN_CHANGED.name), _Player.margin, ("trader", "amount", "funding_payment")),
        (tables.get(POSITION_ADJUSTED.name), _Player.adjust, ("trader", "new_position_size")),
        (tables.get(POSITION_SETTLED.name), _Player.settle, ("trader",)),
        (
            events,
            _Player.change,
            (
                *("trader", "kind", "margin", "position_notional", "exchanged_position_size", "position_size_after", "realized_pnl"),
                *("funding_payment", "spot_price", "liquidation_penalty", "bad_debt"),
            ),
        ),
    ]
    return in_order(reads)


class _Player:
    """Plays one market's events, and those of the positions in it."""

    def __init__(self, market: Market, lacks: Mapping[str, tuple[str, ...]], unexplained: set[str]) -> None:
        self.market, self.unexplained, self.positions = market, unexplained, dict[str, Timeline]()
        self.block, self.here = -1, ("", 0)
        self.lacks = lacks
        self.pool: Reserves | None = None
        self.before_swap: Reserves | None = None
        self.cumulative: int | None = 0 if market.from_launch and not lacks["sizes after a migration"] else None
        self.hole = self.first_snapshot = 0
        self.snapshot_block = -1
        self.premium = NO_PREMIUM if market.from_launch else Premium(1, 0)
        self.index_price: int | None = None
        self.swap_due = False  # a swap's snapshot was read, its own log not yet
        self.pool_sure = self.pool_was_sure = 0  # how many moments were written before the last log that moved the pool
        self.findings: list[Finding] = []
        self.told: dict[str, int] = {}

    # Bookkeeping

    def end_block(self) -> None:
        """Write down how the block ended."""
        if self.block >= 0:
            self.market.blocks.append(self.block)
            self.market.moments.append(
                Moment(
                    self.pool,
                    self.cumulative,
                    len(self.market.migrations) - 1,
                    self.hole,
                    len(self.market.times),
                    self.first_snapshot,
                    self.premium,
                    self.index_price,
                )
            )

    def state(self, trader: str) -> Position:
        """A position now."""
        state = self.positions[trader].states[-1] if trader in self.positions else nobody(self.market)
        return unless_changed_unseen(state, self.hole)

    def store(self, trader: str, state: Position, start: Position | None = None) -> None:
        """A position from now on; the last state of a block wins."""
        timeline = self.positions.get(trader)
        if timeline is None:
            timeline = self.positions[trader] = Timeline(start or nobody(self.market))
        if timeline.blocks and timeline.blocks[-1] == self.block:
            timeline.states[-1] = state
        else:
            timeline.blocks.append(self.block)
            timeline.states.append(state)

    def say(self, what: str, whose: str = "") -> None:
        """A finding here. The first 5 of a kind are told, the rest counted."""
        self.told[what] = self.told.get(what, 0) + 1
        if self.told[what] <= 5:
            transaction, log = self.here
            self.findings.append(Finding("error", f"tx {transaction} log {log}", what + (f" Trader {whose}." if whose else ""), PULL))

    def closing_words(self) -> Iterator[Finding]:
        """The findings of this market."""
        where = f"market {self.market.address}"
        if not self.market.times and not self.lacks["reserves"]:
            yield Finding("warning", where, "No ReserveSnapshotted of it is in the logs: its price is unknown.", PULL)
        elif self.market.times and not self.market.from_launch:
            what = "Its logs do not begin with its launch: what ReserveSnapshotted and FundingRateUpdated said before is unknown."
            yield Finding("warning", where, what, PULL)
        unopened = sum(timeline.start.size is None for timeline in self.positions.values())
        if unopened:
            what = f"{unopened} traders held something in it before the first PositionChanged at hand: what they had until then is unknown."
            yield Finding("warning", where, what, PULL)
        yield from self.findings
        for what, count in self.told.items():
            if count > 5:
                yield Finding("error", where, f"{count - 5} times more: {what}", PULL)

    def mark_hole(self, since: int | None = None) -> None:
        """Logs are missing before this one: averages, funding and untouched positions from before it are unknown.

        They are missing here, or somewhere after moment number `since`: what was written down from there on is taken back.
        """
        self.market.migrations.append(None)
        self.hole = len(self.market.migrations) - 1
        self.first_snapshot = len(self.market.times) if self.pool is None else len(self.market.times) - 1
        self.cumulative = None
        self.lose_premium()
        moments = self.market.moments
        for n in range(len(moments) if since is None else since, len(moments)):
            moments[n] = replace(moments[n], pool=None, cumulative_notional=None, hole=self.hole, premium=NO_STRETCH)

    def lose_premium(self, since: int | None = None) -> None:
        """A funding payment is unknown: fractions from before it and after it cannot be subtracted. `since` as in mark_hole."""
        self.premium = Premium(self.premium.stretch + 1, 0)
        moments = self.market.moments
        if since is None or since >= len(moments):
            return
        for n in range(since, len(moments)):
            moments[n] = replace(moments[n], premium=NO_STRETCH)
        for timeline in self.positions.values():  # whoever was settled since then has a wrong mark
            for n in range(bisect_left(timeline.blocks, self.market.blocks[since]), len(timeline.states)):
                timeline.states[n] = replace(timeline.states[n], premium=None)

    def take_back(self, trader: str, all_of_it: bool) -> None:
        """An event of the trader is missing since the last one at hand: what was written down then is taken back."""
        if trader in self.positions:
            states = self.positions[trader].states
            states[-1] = replace(states[-1], margin=None, premium=None)
            if all_of_it:
                states[-1] = replace(states[-1], size=None, open_notional=None)

    # The market's events. `time` is the block's.

    def snapshot(self, time: int, quote: int, base: int, stamp: int) -> None:
        """ReserveSnapshotted: the pool after a swap, or at launch."""
        market = self.market
        self.before_swap, self.pool, self.pool_was_sure = self.pool, Reserves.of(quote, base), self.pool_sure
        if market.from_launch and not market.times:
            market.migrations[0] = Migration(0, self.pool)
        if self.snapshot_block == self.block:  # the last of a block wins
            market.pools[-1] = self.pool
        else:
            market.times.append(stamp)
            market.pools.append(self.pool)
            self.snapshot_block = self.block
        if self.here[0] in self.unexplained:
            self.say("A swap, or the launch of another market at this address: its PositionChanged is missing.")
            self.before_swap = None
            self.mark_hole()
        else:
            self.expect_swap(False)
            self.swap_due = market.migrations[0] is None or len(market.times) > 1
        self.pool_sure = len(market.moments)

    def expect_swap(self, done: bool) -> None:
        """A snapshot's swap is logged right behind it. Without it the sum of all swaps is unknown."""
        if self.swap_due and not done and not self.lacks["sizes after a migration"]:
            self.say("A ReserveSnapshotted has no SwapInput or SwapOutput behind it: that is missing.")
            self.cumulative = None
        self.swap_due = False

    def swap_input(self, _: int, direction: int, quote: int, base: int) -> None:
        """A swap of an amount of USDC; direction 0 adds them to the pool."""
        self.swapped(quote if direction == 0 else -quote, -base if direction == 0 else base)

    def swap_output(self, _: int, direction: int, quote: int, base: int) -> None:
        """A swap of an amount of base; direction 0 adds it to the pool."""
        self.swapped(-quote if direction == 0 else quote, base if direction == 0 else -base)

    def swapped(self, quote: int, base: int) -> None:
        """What a swap added to the pool; its snapshot came just before."""
        self.expect_swap(True)
        before, after = self.before_swap, self.pool
        if before is not None and after is not None and (before.quote + quote, before.base + base) != (after.quote, after.base):
            self.say("The pool before a swap is not what the logs left: a ReserveSnapshotted or LiquidityChanged is missing.")
            self.mark_hole(self.pool_was_sure)
        if self.cumulative is not None:
            self.cumulative += quote

    def migrate(self, _: int, quote: int, base: int, cumulative: int) -> None:
        """LiquidityChanged: the pool is scaled, without a snapshot."""
        if self.cumulative not in (None, cumulative):
            self.say("Swaps do not sum up to the cumulative notional: a SwapInput or SwapOutput is missing.")
            self.mark_hole(self.pool_sure)
        self.pool = Reserves.of(quote, base)
        self.cumulative = None if self.lacks["sizes after a migration"] else cumulative
        self.market.migrations.append(Migration(cumulative, self.pool))
        self.pool_sure = len(self.market.moments)

    def fund(self, time: int, rate: int, underlying: int) -> None:
        """FundingRateUpdated: the premium fraction is that of the last hour's average price."""
        self.index_price = underlying
        average = average_before(self.market, len(self.market.times), self.first_snapshot, time, HOUR)
        if average is None:
            self.lose_premium()
            return
        fraction = premium_fraction(average.of(lambda pool: pool.spot), underlying)
        if div_integers(fraction, underlying) != rate:
            self.say("A funding rate is not that of the last hour's prices: a ReserveSnapshotted is missing.")
            self.lose_premium()
            return
        self.premium = Premium(self.premium.stretch, self.premium.value + fraction)

    # The positions' events

    def margin(self, _: int, trader: str, amount: int, payment: int) -> None:
        """MarginChanged: taking margin out settles funding, putting it in does not."""
        state = self.state(trader)
        if amount < 0:
            self.check_payment(trader, state, payment)
            state = replace(state, premium=self.premium)
        self.store(trader, replace(state, margin=None if state.margin is None else state.margin + amount - payment))

    def adjust(self, _: int, trader: str, size: int) -> None:
        """PositionAdjusted: the stored size follows the liquidity changes, just before a trade or on request."""
        self.store(trader, replace(self.state(trader), size=size, migration=len(self.market.migrations) - 1))

    def settle(self, _: int, trader: str) -> None:
        """PositionSettled, after the market's shutdown: the position is gone."""
        self.store(trader, self.gone(self.state(trader).life))

    def gone(self, life: int) -> Position:
        """No position, after that life."""
        return Position(life, 0, 0, 0, None, len(self.market.migrations) - 1)

    def change(
        self,
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
        """PositionChanged: a trade or a liquidation. It states size and margin; the open notional follows from those before."""
        if self.pool is not None and self.pool.spot != spot:
            self.say("The spot price it states is not that of the pool: a ReserveSnapshotted is missing.")
            self.pool = None
            self.mark_hole()
        self.expect_swap(False)
        before, start = after - exchanged, None
        state = self.state(trader)
        if before == 0 and trader not in self.positions:
            state = start = replace(nobody(self.market), life=0, size=0)
        if state.size is not None and state.size != before:
            what = "The size before it is not what the logs left: a PositionChanged, PositionAdjusted or PositionSettled is missing."
            self.say(what, trader)
            self.take_back(trader, all_of_it=True)
            state = replace(UNKNOWN, life=max(1, state.life))
        self.check_payment(trader, state, payment)
        if (
            state.margin is not None
            and not self.lacks["margin"]
            and not fits_margin(state.margin, kind, margin, realized - payment, penalty, bad_debt)
        ):
            self.say("The margin before it is not what the logs left: a MarginChanged is missing.", trader)
            self.take_back(trader, all_of_it=False)
        life = state.life + 1 if kind in ("open", "reverse") else max(1, state.life)
        if after == 0:
            self.store(trader, self.gone(life), start)
            return
        open_notional = None
        if before == 0 or state.open_notional is not None:
            # Signed like the size, it moves by the USDC exchanged and the profit realized, whatever the event did (see lives.py).
            signed = 0 if before == 0 else (state.open_notional or 0) * (1 if before > 0 else -1)
            open_notional = abs(signed + (notional if exchanged > 0 else -notional) + realized)
        self.store(trader, Position(life, after, margin, open_notional, self.premium, len(self.market.migrations) - 1), start)

    def check_payment(self, trader: str, state: Position, payment: int) -> None:
        """The funding that an event settles is the one computed; otherwise some is missing."""
        if self.lacks["funding"] or not state.size or state.premium is None or state.premium.stretch != self.premium.stretch:
            return
        if payment != funding_owed(state.size, self.premium.value, state.premium.value):
            self.say("The funding it settles is not what the logs give: a FundingRateUpdated or MarginChanged is missing.", trader)
            timeline = self.positions[trader]
            settled = next((n for n in range(len(timeline.states), 0, -1) if timeline.states[n - 1].premium is not state.premium), 0)
            self.lose_premium(bisect_left(self.market.blocks, timeline.blocks[settled]))
            self.take_back(trader, all_of_it=False)


def fits_margin(before: int, kind: str, after: int, gained: int, penalty: int, bad_debt: int) -> bool:
    """Whether a PositionChanged agrees with the margin before it; `gained` is what it realized, less the funding paid.

    A full liquidation's penalty is the margin that remained, in later code the margin before (eras.py tells which).
    """
    if bad_debt:
        return before == -bad_debt - gained
    if kind in ("reduce", "partial-liquidation"):
        return after == max(0, before + gained - penalty)
    return kind != "liquidation" or penalty in (before, before + gained)
