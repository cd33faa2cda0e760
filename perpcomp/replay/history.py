"""From events, in the order of the chain, to what stood at the end of each block: markets and positions, on whole wei.

A market is its pool, its snapshots, its cumulative premium fraction and its liquidity migrations; a position is what the
ClearingHouse stores of it. The two kinds of log check each other: a swap must lead from the pool before it to the pool after it, a
trade must state that pool's spot price, and each funding rate and payment must be the one computed. Where they disagree logs are
missing, and everything that would need them is unknown (None), from the last log that still fitted until events state it anew.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import polars as pl

from perpcomp.findings import Finding
from perpcomp.fixed import AMOUNT, div_integers
from perpcomp.ingest.decode import Event
from perpcomp.replay.contract import HOUR, Average, Reserves, Reverts, funding_owed, premium_fraction, size_after_migrations, twap
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


@dataclass(frozen=True, slots=True)
class Premium:
    """A cumulative premium fraction, USDC per base. Two can be subtracted if no funding between them is unknown: the same stretch."""

    stretch: int  # 0: counted from the market's launch, so the value is the contract's own
    value: int


@dataclass(frozen=True, slots=True)
class Position:
    """A position as the ClearingHouse stores it; None where the logs do not tell."""

    life: int  # of this trader in this market: 1, 2 ...; 0 before the first
    size: int | None  # as of the last event; a migration since then has changed it
    margin: int | None
    open_notional: int | None
    premium: Premium | None  # at its last settlement
    migration: int  # how many liquidity changes it has followed


UNKNOWN = Position(1, None, None, None, None, 0)
NO_PREMIUM = Premium(0, 0)
NO_STRETCH = Premium(-1, 0)  # of a market's moment only: nothing can be subtracted from it


@dataclass(frozen=True, slots=True)
class Migration:
    """The pool and the USDC that had come in, net, when the liquidity was set."""

    cumulative_notional: int
    pool: Reserves


@dataclass(frozen=True, slots=True)
class Moment:
    """A market at the end of a block."""

    pool: Reserves | None
    cumulative_notional: int | None  # USDC that swaps brought in since launch, net
    migrations: int  # liquidity changes so far: the last index of Market.migrations
    hole: int  # positions that followed fewer may have changed in a hole of the logs
    snapshots: int
    first_snapshot: int  # the first one that no hole follows
    premium: Premium
    index_price: int | None  # what the last funding compared with


@dataclass
class Market:
    """One market's timeline: `moments[n]` stands from the end of block `blocks[n]` until the next."""

    address: str
    from_launch: bool  # its logs begin with its launch: nothing was before, and a trader without an event has no position
    blocks: list[int] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    times: list[int] = field(default_factory=list)  # of snapshots, unix seconds
    pools: list[Reserves] = field(default_factory=list)
    migrations: list[Migration | None] = field(default_factory=lambda: [None])

    def at(self, block: int) -> Moment | None:
        """The end of a block; None before the first log."""
        n = bisect_right(self.blocks, block)
        return self.moments[n - 1] if n else None


@dataclass
class Timeline:
    """One position's states: `states[n]` stands from the end of block `blocks[n]` until the next, `start` before the first."""

    start: Position
    blocks: list[int] = field(default_factory=list)
    states: list[Position] = field(default_factory=list)

    def at(self, block: int) -> Position:
        """The end of a block."""
        n = bisect_right(self.blocks, block)
        return self.states[n - 1] if n else self.start


@dataclass(frozen=True)
class History:
    """All of it."""

    markets: dict[str, Market]
    positions: dict[str, dict[str, Timeline]]  # market -> trader
    lacks: dict[str, tuple[str, ...]]  # quantity (a key of NEEDS) -> the events that are not in the input
    findings: tuple[Finding, ...]


def nobody(market: Market) -> Position:
    """What a trader has before the first event: nothing, if the market's logs are whole; else who knows."""
    return replace(UNKNOWN, life=0, size=0, margin=0, open_notional=0) if market.from_launch else UNKNOWN


def unless_changed_unseen(state: Position, hole: int) -> Position:
    """The position, or one of which only the life is known where a hole in the logs came after its last event."""
    return state if state.migration >= hole else replace(UNKNOWN, life=max(1, state.life))


def read(tables: Mapping[str, pl.DataFrame], events: pl.DataFrame) -> History:
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


Handler = Callable[..., None]
What = TypeVar("What")
Line = tuple[int, int, int, str, str, What, tuple[Any, ...]]


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


def in_order(reads: Sequence[tuple[pl.DataFrame | None, What, tuple[str, ...]]]) -> Sequence[Line[What]]:
    """(block, log index, unix time, transaction, market, what, values) of every event, in the order of the chain.

    `reads` are event tables as far as the input holds them, each with what it is and the columns that are its values.
    """
    lines: list[Line[What]] = []
    for frame, handle, columns in reads:
        if frame is None or frame.is_empty():
            continue
        identity = [frame.get_column(n).to_list() for n in ("block_number", "log_index")]
        identity += [frame.get_column("block_time").dt.epoch("s").to_list()]
        identity += [frame.get_column(n).to_list() for n in ("transaction_hash", "market")]
        values = zip(*(integers(frame.get_column(n)) for n in columns), strict=True)
        lines += [(*where, handle, what) for where, what in zip(zip(*identity, strict=True), values, strict=True)]
    return sorted(lines, key=lambda line: line[:2])


def integers(column: pl.Series) -> list[Any]:
    """A column's values, amounts as integers of 1e-18."""
    return column.reinterpret(dtype=pl.Int128).to_list() if column.dtype == AMOUNT else column.to_list()


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


def average_before(market: Market, count: int, first: int, now: int, interval: int) -> Average | None:
    """What the time before now is averaged over, of a market's first `count` snapshots; None where those at hand do not reach."""
    return twap(market.times, market.pools, count, first, now, interval, market.from_launch and first == 0)


def size_now(market: Market, moment: Moment, position: Position) -> int | None:
    """A position's size, adjusted for liquidity changes that it has not followed yet (ClearingHouse.getPosition)."""
    if not position.size or position.migration == moment.migrations:
        return position.size
    then = market.migrations[position.migration]
    if then is None or moment.pool is None or moment.cumulative_notional is None:
        return None
    try:
        return size_after_migrations(position.size, then.cumulative_notional, then.pool, moment.cumulative_notional, moment.pool)
    except Reverts:
        return None
