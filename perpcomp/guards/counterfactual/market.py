"""One market executed again: the pool, the averages, the funding and the positions that V1's contracts would have held.

Every operation is the contract's own, by the formulas of replay/contract.py, on integers of 1e-18. An operation takes what its sender
gave: an opening its USDC, a close and a liquidation their base. With history's actions it leaves history's pools, digit for digit.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from perpcomp.curve import Average, Reserves, Reverts, in_price, out_price
from perpcomp.fixed import ONE, div_integers, mul_integers
from perpcomp.guards.counterfactual.position import EMPTY, Closed, Position, maintenance_notional, ratio
from perpcomp.systems.perpetual_v1.replay import state
from perpcomp.systems.perpetual_v1.replay.contract import (
    HOUR,
    QUARTER_HOUR,
    average_out_price,
    funding_owed,
    pnl,
    premium_fraction,
    size_after_migrations,
)
from perpcomp.systems.perpetual_v1.replay.state import Migration, average_before


class ActionImpossible(Exception):
    """A trader's action cannot be executed in this market; the text says why."""


@dataclass(frozen=True, slots=True)
class Savepoint:
    """A market and one position in it before an operation."""

    pool: Reserves
    cumulative: int
    snapshot_block: int
    snapshots: int
    snapshot: Reserves
    position: Position | None


@dataclass
class Market:
    """One market. `timeline` holds its pool snapshots and migrations; `clock` and `block` are those of the action being executed."""

    timeline: state.Market
    pool: Reserves
    positions: dict[str, Position] = field(default_factory=dict)  # by trader, as stored
    premium: int = 0  # cumulative premium fraction
    cumulative: int = 0  # USDC that swaps brought in, net
    clock: int = 0  # unix seconds
    block: int = -1
    snapshot_block: int = -1  # the block of the last snapshot: the last swap of a block overwrites it
    _edges: dict[str, tuple[Position, int | None]] = field(default_factory=dict)  # the cache of below, for what _edges_hold says
    _edges_hold: tuple[int, int, bool] = (0, 0, False)  # premium, maintenance, over_position_notional
    _average: tuple[tuple[int, int], Average | None, int] = ((-1, -1), None, 0)  # the cache of _quarter_hour

    @classmethod
    def launched(cls, address: str, pool: Reserves, time: int, block: int) -> "Market":
        """A market at its launch."""
        timeline = state.Market(address, True, times=[time], pools=[pool], migrations=[Migration(0, pool)])
        return cls(timeline, pool, snapshot_block=block)

    @property
    def address(self) -> str:
        """The market's address."""
        return self.timeline.address

    def position(self, trader: str) -> Position:
        """A position, its size adjusted for later liquidity changes (ClearingHouse.getPosition)."""
        stored, latest = self.positions.get(trader, EMPTY), len(self.timeline.migrations) - 1
        if stored.migration == latest:
            return stored
        size, then = stored.size, self.timeline.migrations[stored.migration]
        if size:
            assert then is not None
            size = size_after_migrations(size, then.cumulative_notional, then.pool, self.cumulative, self.pool)
        return replace(stored, size=size, migration=latest)

    def positions_of(self, traders: Iterable[str]) -> list[tuple[str, Position]]:
        """`position` of many traders."""
        latest = len(self.timeline.migrations) - 1
        stored = [(trader, self.positions.get(trader, EMPTY)) for trader in traders]
        return [(trader, position if position.migration == latest else self.position(trader)) for trader, position in stored]

    def owed(self, position: Position) -> int:
        """Funding since its last settlement: + the trader owes."""
        return funding_owed(position.size, self.premium, position.premium)

    @property
    def last_other_block(self) -> Reserves:
        """The pool after the last block with a swap, other than this block."""
        pools = self.timeline.pools
        return pools[-2] if self.snapshot_block == self.block and len(pools) > 1 else pools[-1]

    def savepoint(self, trader: str) -> Savepoint:
        """What an operation of this trader may change."""
        pools = self.timeline.pools
        return Savepoint(self.pool, self.cumulative, self.snapshot_block, len(pools), pools[-1], self.positions.get(trader))

    def restore(self, trader: str, saved: Savepoint) -> None:
        """Undo the operations of this trader since the savepoint."""
        self.pool, self.cumulative, self.snapshot_block = saved.pool, saved.cumulative, saved.snapshot_block
        del self.timeline.times[saved.snapshots :], self.timeline.pools[saved.snapshots :]
        self.timeline.pools[-1] = saved.snapshot
        if saved.position is None:
            self.positions.pop(trader, None)
        else:
            self.positions[trader] = saved.position

    # Swaps. They raise Reverts where the pool cannot give what is asked.

    def swap_base(self, size: int) -> int:
        """Close `size` (+ a long) and return the USDC moved."""
        quote = out_price(size, self.pool)
        self._swapped(-quote if size > 0 else quote, size)
        return quote

    def swap_quote(self, quote: int) -> int:
        """Buy for `quote` USDC, or sell where it is negative, and return the base bought (signed)."""
        base = in_price(quote > 0, abs(quote), self.pool)
        base = base if quote > 0 else -base
        self._swapped(quote, -base)
        return base

    def _swapped(self, quote: int, base: int) -> None:
        self.pool = Reserves.of(self.pool.quote + quote, self.pool.base + base)
        self.cumulative += quote
        if self.block == self.snapshot_block:
            self.timeline.pools[-1] = self.pool
        else:
            self.timeline.times.append(self.clock)
            self.timeline.pools.append(self.pool)
            self.snapshot_block = self.block

    # The market's own events

    def migrate(self, before: Reserves, after: Reserves) -> None:
        """Scale the liquidity as history scaled its own pool."""
        scaled = Reserves.of(self.pool.quote * after.quote // before.quote, self.pool.base * after.base // before.base)
        self.pool = scaled
        self.timeline.migrations.append(Migration(self.cumulative, scaled))

    def fund(self, underlying: int) -> None:
        """A funding payment at this price of the underlying, by the average of this curve's last hour."""
        average = average_before(self.timeline, len(self.timeline.times), 0, self.clock, HOUR)
        assert average is not None  # a market executed from its launch has one
        self.premium += premium_fraction(average.of(lambda pool: pool.spot), underlying)

    # Operations of traders

    def add_margin(self, trader: str, amount: int) -> None:
        """Add margin, or remove it where `amount` is negative, which settles funding."""
        position = self.position(trader)
        if amount < 0:
            position = replace(position, margin=position.margin - self.owed(position), premium=self.premium)
        if position.margin + amount < 0:
            raise ActionImpossible("the margin is less than what is taken out")
        self.positions[trader] = replace(position, margin=position.margin + amount)

    def adjust(self, trader: str) -> None:
        """Adjust the stored size for the liquidity changes since."""
        self.positions[trader] = self.position(trader)

    def trade(self, trader: str, quote: int, backing: tuple[int, int] | None) -> bool:
        """openPosition: buy for `quote` USDC, or sell where it is negative. True where a position ended.

        A trade against a position reduces it, or closes it and opens the other side with the rest. `backing` is (margin, USDC): the
        margin that came with this much USDC of an opening. It is None where history only reduced, so no log states it: then the trade
        opens nothing.
        """
        position = self.position(trader)
        if position.size == 0 or (position.size > 0) == (quote > 0):
            if backing is None:
                raise ActionImpossible("the trade only reduced in history, so no log states with which margin it would open")
            self._increase(trader, position, quote, backing)
            return False
        if out_price(position.size, self.pool) > abs(quote):
            self._reduce(trader, position, quote)
            return False
        rest = abs(quote) - self.close(trader).notional
        if backing is not None and rest > 0:
            self._increase(trader, self.position(trader), rest if quote > 0 else -rest, backing)
        return True

    def _increase(self, trader: str, position: Position, quote: int, backing: tuple[int, int]) -> None:
        margin = position.margin + abs(quote) * backing[0] // backing[1] - self.owed(position)
        if margin < 0:
            raise ActionImpossible("the funding owed is more than the margin")
        size = position.size + self.swap_quote(quote)
        self.positions[trader] = Position(size, margin, position.open_notional + abs(quote), self.premium, position.migration)

    def _reduce(self, trader: str, position: Position, quote: int) -> int:
        """Close for an amount of USDC and return the base bought. The profit is realized in proportion, truncated as in the contract."""
        profit = pnl(position.size, position.open_notional, out_price(position.size, self.pool))
        base = self.swap_quote(quote)
        realized = div_integers(mul_integers(profit, abs(base)), abs(position.size))
        closed = abs(quote) - realized if position.size > 0 else abs(quote) + realized
        margin = max(0, position.margin + realized - self.owed(position))
        self.positions[trader] = Position(position.size + base, margin, position.open_notional - closed, self.premium, position.migration)
        return base

    def close(self, trader: str) -> Closed:
        """closePosition, and the swap of a full liquidation."""
        position = self.position(trader)
        notional = self.swap_base(position.size)
        left = position.margin + pnl(position.size, position.open_notional, notional) - self.owed(position)
        self.positions[trader] = replace(EMPTY, migration=position.migration)
        return Closed(position.size, notional, left)

    def close_part(self, trader: str, part: int, fee_ratio: int) -> Closed:
        """A partial liquidation: close `part` (1e-18) of the size for its USDC value now. `left` is the penalty taken."""
        position = self.position(trader)
        notional = out_price(mul_integers(position.size, part), self.pool)
        base = self._reduce(trader, position, -notional if position.size > 0 else notional)
        penalty, after = mul_integers(notional, fee_ratio), self.positions[trader]
        self.positions[trader] = replace(after, margin=max(0, after.margin - penalty))
        return Closed(-base, notional, penalty)

    # Margin ratios. They raise Reverts where the contract's view reverts.

    def below(self, traders: Iterable[str], maintenance: int, over_position_notional: bool) -> dict[str, bool]:
        """Trader -> whether the margin ratio, with the better profit of spot and average, is below maintenance.

        False without a position, and where the contract's view reverts, for then a liquidation reverts too. All are asked at once,
        because they are asked after every action.
        """
        if self._edges_hold != (holds := (self.premium, maintenance, over_position_notional)):
            self._edges, self._edges_hold = {}, holds
        answers = {}
        quote, base, product = self.pool.quote, self.pool.base, self.pool.product
        average: Average | None = None
        for trader, position in self.positions_of(traders):
            known = self._edges.get(trader)
            if known is None or known[0] is not position:
                known = self._edges[trader] = (position, self._edge(position, maintenance, over_position_notional))
            edge, size, answers[trader] = known[1], position.size, False
            if edge is None:
                continue
            # What a close at spot moves is `product / (base + size) - quote`, rounded up, or its negative for a long. So this compares
            # it with the edge without dividing, which is the answer for most accounts most of the time.
            if base + size <= 0 or product <= (quote - edge if size > 0 else quote + edge) * (base + size):
                continue
            if over_position_notional and out_price(size, self.pool) == 0:
                continue
            if average is None:
                average, spot = self._quarter_hour()
            # Closing without slippage at the average spot price is better than any average of closing. Where even that is below
            # maintenance, which is so for most, the slow average need not be computed. One more or less covers what is rounded.
            if size * (spot + 1) < (edge - 1) * ONE if size > 0 else -size * spot >= (edge + 2) * ONE:
                answers[trader] = True
            else:
                with suppress(Reverts):
                    by_average = average_out_price(size, average)
                    answers[trader] = by_average < edge if size > 0 else by_average > edge
        return answers

    def _edge(self, position: Position, maintenance: int, over_position_notional: bool) -> int | None:
        """The notional at which the margin ratio crosses maintenance; None without a position or where the ratio reverts."""
        if position.size == 0:
            return None
        with suppress(Reverts):
            return maintenance_notional(position, self.owed(position), maintenance, over_position_notional)
        return None

    def ratios(self, position: Position, over_position_notional: bool) -> tuple[int, int]:
        """The margin ratio at spot, and the better one of spot and average."""
        notionals = out_price(position.size, self.pool), average_out_price(position.size, self._quarter_hour()[0])
        owed = self.owed(position)
        at_spot, by_average = (ratio(position, owed, notional, over_position_notional) for notional in notionals)
        return at_spot, max(at_spot, by_average)

    def _quarter_hour(self) -> tuple[Average, int]:
        """The 15 minutes that the liquidation check averages, and their average spot price."""
        key = (len(self.timeline.times), self.clock)
        if self._average[0] != key:
            average = average_before(self.timeline, key[0], 0, self.clock, QUARTER_HOUR)
            assert average is not None  # a market executed from its launch has one
            self._average = (key, average, average.of(lambda pool: pool.spot))
        assert self._average[1] is not None
        return self._average[1], self._average[2]
