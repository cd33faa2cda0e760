"""Perpetual Protocol V1 replayed: the state of every position and market at any block, from the logs alone.

    done = replay(events.others, events.table)      # events: an input.Events
    done.positions(block=13_500_195)                # every open position, one row each
    done.at_many([(trader, market, block), ...])    # chosen positions, open or not
    done.price_path(market, start, end)             # spot, average and index price, block by block

Every amount is, integer for integer, what the contracts' own views give at that block (getPosition,
getPositionNotionalAndUnrealizedPnl, getMarginRatio, getSpotPrice): contract.py has the formulas, history.py says what is read from
which event, liquidation_price.py finds liquidation prices. What cannot be determined from the logs is null: the row's `unknown` says
why, and `Replay.findings` names the events that are missing.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from perpcomp.curve import Average, Reserves
from perpcomp.findings import Finding, refusal
from perpcomp.fixed import to_integer
from perpcomp.systems.perpetual_v1.code import BY_OPEN_NOTIONAL, Denominators, assumption, at_block
from perpcomp.systems.perpetual_v1.events import MAINTENANCE, MARGIN_RATIO_CHANGED
from perpcomp.systems.perpetual_v1.replay.history import read_history
from perpcomp.systems.perpetual_v1.replay.in_order import integers
from perpcomp.systems.perpetual_v1.replay.market_state import MarketState
from perpcomp.systems.perpetual_v1.replay.state import History, Market, Position, Timeline, before_first_event, known_after_gap
from perpcomp.systems.replay import VALUED, Price
from perpcomp.tables.liquidations import POSITIONS, PRICES
from perpcomp.tables.schema import frame_of

Point = tuple[str, str, int]  # trader, market, block


class Replay(Struct, frozen=True):
    """The states of every position and market that the logs give (systems/replay.py says what each verb answers). Made by `replay`."""

    history: History
    findings: tuple[Finding, ...]
    maintenance: Sequence[tuple[int, int]]  # (first block, ratio of 1e-18), in order
    denominators: Denominators
    proved: Denominators  # those of `denominators` that nothing but an assumption says are unknown here
    blocks: Sequence[int]  # those whose time is known, in order
    times: Mapping[int, int]  # block -> unix seconds

    @property
    def markets(self) -> Mapping[str, Market]:
        """The markets' timelines by address."""
        return self.history.markets

    @property
    def timelines(self) -> Mapping[str, Mapping[str, Timeline]]:
        """The stored positions' timelines by market and trader."""
        return self.history.positions

    def block_at(self, time: datetime) -> int:
        """The last block at or before a time, of those whose time is known: they logged something, or the block list has them.

        InputError where the logs begin later.
        """
        n = bisect_right(self.blocks, _unix(time), key=self.times.__getitem__)
        if n == 0:
            raise refusal(f"time {time.isoformat()}", "The time is before the first log.", "Ask for a later time, or pull earlier logs.")
        return self.blocks[n - 1]

    def positions(
        self,
        block: int | None = None,
        time: datetime | None = None,
        *,
        markets: Collection[str] | None = None,
        traders: Collection[str] | None = None,
        mark_prices: Mapping[str, Price] | None = None,
        triggers: bool = True,
    ) -> pl.DataFrame:
        """Every position that is open at the end of a block, or that may be open as its size is unknown: a POSITIONS frame.

        With `block` alone, now is that block's timestamp. With `time` alone, the block is the last one at or before it, and now is
        still that block's timestamp. With both, now is the time: what the views would say at that second with no block since.
        `mark_prices` gives a price for a market, USDC per base. `triggers` False leaves the liquidation prices null.
        """
        if block is None:
            if time is None:
                raise TypeError("positions() needs a block, a time or both")
            block, time = self.block_at(time), None
        self._now(block, time)  # refuses a block outside the logs also where no position is open
        points = [
            (trader, market, block)
            for market, timelines in self.timelines.items()
            if markets is None or market in markets
            for trader in timelines
            if (traders is None or trader in traders) and self.stored(trader, market, block).size != 0
        ]
        return self._valued(points, time, mark_prices, triggers).sort(POSITIONS.key)

    def at_many(
        self,
        points: Iterable[Point],
        time: datetime | None = None,
        *,
        mark_prices: Mapping[str, Price] | None = None,
        triggers: bool = True,
    ) -> pl.DataFrame:
        """Each point valued at the end of its block: a POSITIONS frame in the order given. `time` is as in `positions`.

        A point without a position is a row of size 0; its margin then is what the trader put in before any position.
        """
        return self._valued(list(points), time, mark_prices, triggers)

    def valued(self, points: pl.DataFrame) -> pl.DataFrame:
        """Each point (trader, market, block_number, time, size) valued: a VALUED frame in the points' order."""
        states: dict[tuple[str, int, datetime | None], tuple[MarketState, dict[str, int | None]]] = {}
        rows: list[dict[str, Any]] = []
        for trader, market, block, time, size in points.select("trader", "market", "block_number", "time", "size").iter_rows():
            if (market, block, time) not in states:
                state = self._state(self._market(market), block, self._now(block, time))
                states[market, block, time] = (state, state.prices())
            state, prices = states[market, block, time]
            row = state.row(trader, self.stored(trader, market, block)) if size is None else state.closing(trader, to_integer(size))
            rows.append({**row, **prices})
        return frame_of(rows, VALUED)

    def pool(self, market: str, block: int) -> Reserves | None:
        """A market's pool at the end of a block."""
        return self._state(self._market(market), block, self._now(block, None)).pool

    def average(self, market: str, block: int, now: datetime | None) -> Average | None:
        """The pools of the 15 minutes before `now` (None: the block's timestamp), as known at the end of a block."""
        return self._state(self._market(market), block, self._now(block, now)).average

    def time_of(self, block: int) -> datetime:
        """A block's timestamp. InputError where it logged nothing and the block list does not have it."""
        if block not in self.times:
            raise refusal(f"block {block}", "The block logged nothing, so its time is not known.", "Give the time instead of the block.")
        return datetime.fromtimestamp(self.times[block], UTC)

    def price_path(self, market: str, start: datetime, end: datetime) -> pl.DataFrame:
        """The prices of a market at every block from start to end, both inclusive, in which it logged something: a PRICES frame."""
        lines, first, last = self._market(market), _unix(start), _unix(end)
        rows: list[dict[str, Any]] = []
        for block in lines.blocks:
            if first <= (time := self.times[block]) <= last:
                state = self._state(lines, block, time)
                spot = None if state.pool is None else state.pool.spot
                rows.append({"block_time": time, "block_number": block, "spot_price": spot, **state.prices()})
        return frame_of(rows, PRICES)

    def stored(self, trader: str, market: str, block: int) -> Position:
        """A position as the ClearingHouse stores it at the end of a block, not adjusted for liquidity migrations since."""
        lines, timeline = self._market(market), self.timelines[market].get(trader)
        state, moment = timeline.at(block) if timeline else before_first_event(lines), lines.at(block)
        return known_after_gap(state, moment.gap) if moment else state

    def assumed_at(self, block: int) -> Finding | None:
        """A warning where the code of a block, on which margin ratios and liquidation prices depend, is only assumed."""
        return assumption(self.proved, self.denominators, block)

    def otherwise(self) -> "Replay":
        """The same replay with the other code wherever one is only assumed."""
        blocks = sorted({block for block, _ in (*self.proved, *self.denominators)})
        taken = [(block, at_block(self.denominators, block), at_block(self.proved, block)) for block in blocks]
        other = [(block, over if over is None or sure is not None else not over) for block, over, sure in taken]
        return replace(self, denominators=other, proved=other)

    def ratio_over_position_notional(self, block: int) -> bool | None:
        """Which code computes the margin ratio at a block (see `replay`); None where that is unknown."""
        return at_block(self.denominators, block)

    def _market(self, market: str) -> Market:
        if market not in self.markets:
            raise refusal(f"market {market}", "The market has no log in the input.", f"Markets with logs: {', '.join(self.markets)}.")
        return self.markets[market]

    def _state(self, market: Market, block: int, now: int | None) -> MarketState:
        return MarketState(self.history, market, block, now, ratio_at(self.maintenance, block), self.ratio_over_position_notional(block))

    def _valued(
        self, points: Sequence[Point], time: datetime | None, mark_prices: Mapping[str, Price] | None, triggers: bool
    ) -> pl.DataFrame:
        marks = {market: _price(price) for market, price in (mark_prices or {}).items()}
        grouped: dict[tuple[str, int], list[int]] = {}
        for n, (_, market, block) in enumerate(points):
            grouped.setdefault((market, block), []).append(n)
        rows: list[dict[str, Any]] = [{}] * len(points)
        for (market, block), numbers in grouped.items():
            state = self._state(self._market(market), block, self._now(block, time))
            for n in numbers:
                trader = points[n][0]
                rows[n] = state.row(trader, self.stored(trader, market, block), marks.get(market), triggers)
        return frame_of(rows, POSITIONS)

    def _now(self, block: int, time: datetime | None) -> int | None:
        """What the averages at a block take as now, unix seconds; None where the block's time is not known."""
        if not self.blocks or not self.blocks[0] <= block <= self.blocks[-1]:
            known = f"The logs reach from block {self.blocks[0]} to {self.blocks[-1]}." if self.blocks else "The input holds no log."
            raise refusal(
                f"block {block}",
                "The block is outside the logs.",
                known + " A block list (blocks of [input]) dates blocks that logged nothing.",
            )
        mined = self.times.get(block)
        if time is None:
            return mined
        if mined is not None and _unix(time) < mined:
            raise refusal(f"block {block}", f"The block was mined after {time.isoformat()}.", "Ask for a later time or an earlier block.")
        return _unix(time)


def _price(price: Price) -> int:
    if isinstance(price, float):
        raise TypeError(f"{price!r} is a float; a price is an int, a Decimal or a text of digits")
    return to_integer(Decimal(price))


def _unix(time: datetime) -> int:
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone")
    since = time - datetime.fromtimestamp(0, UTC)
    return since.days * 86400 + since.seconds


def replay(
    tables: Mapping[str, pl.DataFrame],
    events: pl.DataFrame,
    *,
    block_times: Mapping[int, int] | None = None,
    denominators: Denominators = BY_OPEN_NOTIONAL,
    proved: Denominators | None = None,
    maintenance: Price = MAINTENANCE,
) -> Replay:
    """Replay an input's events: `tables` are the other events by name, `events` the events table (input.Events has both).

    block_times (block -> unix seconds, as ingest.block_times reads them) dates blocks that logged nothing: without it the
    averages at such a block, and what needs them, are null.
    denominators say from which block on the code's margin ratio divides by the position's notional, at the price of the better profit,
    instead of by its open notional (protocol change c545db7; it came before partial liquidation, which the former may not follow).
    code.py determines them; where they are unknown, margin ratios and liquidation prices are null. `proved` are those without assumptions
    (None: nothing is assumed).
    maintenance (/1), the margin ratio below which a position may be liquidated, is assumed until a MarginRatioChanged states it.
    """
    read = read_history(tables, events)
    frames = [frame.select("block_number", pl.col("block_time").dt.epoch("s").alias("time")) for frame in (events, *tables.values())]
    logged = dict(pl.concat(frames).unique("block_number").iter_rows())
    first = min(logged, default=0)
    for block, time in (block_times or {}).items():
        if block < first:
            continue  # no log says what a position was then
        if logged.setdefault(block, time) != time:
            raise refusal(
                f"block {block}", f"Its time is {logged[block]} in the logs and {time} in the block list.", "Give the blocks of one chain."
            )
    findings = list(read.findings)
    partial = events.filter(pl.col("kind") == "partial-liquidation").get_column("block_number").min()
    if isinstance(partial, int) and at_block(denominators, partial) is False:
        what = (
            "A partial liquidation is of code whose margin ratio is over the position's notional, but denominators say the open notional."
        )
        advice = "Correct denominators. Margin ratios and liquidation prices from here on are null."
        findings.append(Finding("error", f"block {partial}", what, advice, code="denominator-contradicted"))
        earlier = [change for change in denominators if change[0] < partial]
        denominators = (*earlier, (partial, None), *(change for change in denominators if change[0] > partial and change[1]))
    return Replay(
        read, tuple(findings), maintenance_ratios(tables, maintenance), denominators, proved or denominators, sorted(logged), logged
    )


def maintenance_ratios(tables: Mapping[str, pl.DataFrame], assumed: Price = MAINTENANCE) -> list[tuple[int, int]]:
    """(first block, ratio of 1e-18), in order: `assumed` until a MarginRatioChanged states one."""
    ratios = [(-1, _price(assumed))]
    if (changes := tables.get(MARGIN_RATIO_CHANGED.name)) is not None:
        changes = changes.sort("block_number", "log_index")
        ratios += zip(changes.get_column("block_number"), integers(changes.get_column("margin_ratio")), strict=True)
    return ratios


def ratio_at(ratios: Sequence[tuple[int, int]], block: int) -> int:
    """The maintenance ratio in force at a block."""
    return ratios[bisect_right(ratios, block, key=lambda change: change[0]) - 1][1]
