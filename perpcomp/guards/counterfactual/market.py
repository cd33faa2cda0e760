"""One market executed again: the pool, the averages, the funding and the positions that V1's contracts would have held.

Every operation is the contract's own, by the formulas of replay/contract.py, on integers of 1e-18. An operation takes what its sender
gave: an opening its USDC, a close and a liquidation their base. With history's actions it leaves history's pools, digit for digit.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace

from perpcomp.curve import Average, Reserves, Reverts, in_price, out_price
from perpcomp.fixed import div_integers, mul_integers
from perpcomp.guards.counterfactual.position import EMPTY, Closed, Position, ratio
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
    moved: list[str] = field(default_factory=list)  # whose position has changed, in order; who looks remembers how far
    _average: tuple[tuple[int, int, Reserves] | None, Average | None, int, int] = (None, None, 0, 0)  # the cache of quarter_hour

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
        self._hold(trader, saved.position)

    def _hold(self, trader: str, position: Position | None) -> None:
        """Store a position, or None where the trader has none."""
        if position is None:
            self.positions.pop(trader, None)
        else:
            self.positions[trader] = position
        self.moved.append(trader)

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
        self._hold(trader, replace(position, margin=position.margin + amount))

    def settle(self, trader: str) -> None:
        """Pay a position out of a closed market."""
        self._hold(trader, None)

    def adjust(self, trader: str) -> None:
        """Adjust the stored size for the liquidity changes since."""
        self._hold(trader, self.position(trader))

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
        self._hold(trader, Position(size, margin, position.open_notional + abs(quote), self.premium, position.migration))

    def _reduce(self, trader: str, position: Position, quote: int) -> int:
        """Close for an amount of USDC and return the base bought. The profit is realized in proportion, truncated as in the contract."""
        profit = pnl(position.size, position.open_notional, out_price(position.size, self.pool))
        base = self.swap_quote(quote)
        realized = div_integers(mul_integers(profit, abs(base)), abs(position.size))
        closed = abs(quote) - realized if position.size > 0 else abs(quote) + realized
        margin = max(0, position.margin + realized - self.owed(position))
        self._hold(trader, Position(position.size + base, margin, position.open_notional - closed, self.premium, position.migration))
        return base

    def close(self, trader: str) -> Closed:
        """closePosition, and the swap of a full liquidation."""
        position = self.position(trader)
        notional = self.swap_base(position.size)
        left = position.margin + pnl(position.size, position.open_notional, notional) - self.owed(position)
        self._hold(trader, replace(EMPTY, migration=position.migration))
        return Closed(position.size, notional, left)

    def close_part(self, trader: str, part: int, fee_ratio: int) -> Closed:
        """A partial liquidation: close `part` (1e-18) of the size for its USDC value now. `left` is the penalty taken."""
        position = self.position(trader)
        notional = out_price(mul_integers(position.size, part), self.pool)
        base = self._reduce(trader, position, -notional if position.size > 0 else notional)
        penalty, after = mul_integers(notional, fee_ratio), self.positions[trader]
        self._hold(trader, replace(after, margin=max(0, after.margin - penalty)))
        return Closed(-base, notional, penalty)

    # Margin ratios. They raise Reverts where the contract's view reverts.

    def ratios(self, position: Position, over_position_notional: bool) -> tuple[int, int]:
        """The margin ratio at spot, and the better one of spot and average."""
        notionals = out_price(position.size, self.pool), average_out_price(position.size, self.quarter_hour()[0])
        owed = self.owed(position)
        at_spot, by_average = (ratio(position, owed, notional, over_position_notional) for notional in notionals)
        return at_spot, max(at_spot, by_average)

    def equity(self, trader: str) -> int | None:
        """What closing now would leave, at least 0; None without a position, or where the pool cannot close it."""
        position = self.position(trader)
        with suppress(Reverts):
            notional = out_price(position.size, self.pool)
            left = position.margin + pnl(position.size, position.open_notional, notional) - self.owed(position)
            return max(0, left) if position.size else None
        return None

    def quarter_hour(self) -> tuple[Average, int, int]:
        """The 15 minutes that the liquidation check averages, their average spot price, and the least base reserve in them."""
        key = (len(self.timeline.times), self.clock, self.timeline.pools[-1])  # a swap of the same block changes the last pool alone
        if self._average[0] != key:
            average = average_before(self.timeline, key[0], 0, self.clock, QUARTER_HOUR)
            assert average is not None  # a market executed from its launch has one
            self._average = (key, average, average.of(lambda pool: pool.spot), min(pool.base for pool, _ in average.pools))
        _, average, spot, base = self._average
        assert average is not None
        return average, spot, base
