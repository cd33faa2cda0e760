"""One market re-executed: the pool, the averages, the funding and the positions that V1's contracts would have held.

Every operation is the contract's own, by the formulas of replay/contract.py, on whole wei. What an operation is given is what its
sender gave: opening keeps its USDC, closing and liquidating keep the base. Fed with history it leaves history, digit for digit.
"""

from dataclasses import dataclass, field, replace

from perpcomp.curve import Average, Reserves, Reverts, in_price, out_price
from perpcomp.fixed import div_integers, mul_integers
from perpcomp.guards.counterfactual.position import EMPTY, Closed, Holding, bound, ratio
from perpcomp.systems.perpetual_v1.replay.contract import (
    HOUR,
    QUARTER_HOUR,
    average_out_price,
    funding_owed,
    pnl,
    premium_fraction,
    size_after_migrations,
)
from perpcomp.systems.perpetual_v1.replay.state import Market, Migration, average_before


class Refused(Exception):
    """The operation cannot be executed here; the text says why."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A market and one position in it before an operation."""

    pool: Reserves
    cumulative: int
    snapshot_block: int
    snapshots: int
    snapshot: Reserves
    holding: Holding | None


@dataclass
class Venue:
    """One market. `lines` holds its snapshots and migrations, `clock` is the time of the log that is being executed."""

    lines: Market
    pool: Reserves
    holdings: dict[str, Holding] = field(default_factory=dict)
    premium: int = 0
    cumulative: int = 0  # USDC that swaps brought in, net
    clock: int = 0
    block: int = -1
    snapshot_block: int = -1  # the last one of a block wins
    _bounds: dict[str, tuple[Holding, tuple[int, int, bool], int]] = field(default_factory=dict)
    _average: tuple[tuple[int, int], Average | None, int] = ((-1, -1), None, 0)

    @classmethod
    def launched(cls, market: str, pool: Reserves, time: int, block: int) -> "Venue":
        """A market at its launch."""
        lines = Market(market, True, times=[time], pools=[pool], migrations=[Migration(0, pool)])
        return cls(lines, pool, snapshot_block=block)

    def holding(self, trader: str) -> Holding:
        """A position, adjusted for liquidity changes that it has not followed yet (ClearingHouse.getPosition)."""
        held, latest = self.holdings.get(trader, EMPTY), len(self.lines.migrations) - 1
        if held.migration == latest:
            return held
        size, then = held.size, self.lines.migrations[held.migration]
        if size:
            assert then is not None
            size = size_after_migrations(size, then.cumulative_notional, then.pool, self.cumulative, self.pool)
        return replace(held, size=size, migration=latest)

    def owed(self, held: Holding) -> int:
        """Funding: + the trader owes."""
        return funding_owed(held.size, self.premium, held.premium)

    @property
    def last_other_block(self) -> Reserves:
        """The pool that the last block with a swap left, this block apart."""
        pools = self.lines.pools
        return pools[-2] if self.snapshot_block == self.block and len(pools) > 1 else pools[-1]

    def saved(self, trader: str) -> "Saved":
        """What an operation of this trader may change."""
        return Saved(
            self.pool, self.cumulative, self.snapshot_block, len(self.lines.pools), self.lines.pools[-1], self.holdings.get(trader)
        )

    def restore(self, trader: str, saved: "Saved") -> None:
        """Undo it."""
        self.pool, self.cumulative, self.snapshot_block = saved.pool, saved.cumulative, saved.snapshot_block
        del self.lines.times[saved.snapshots :], self.lines.pools[saved.snapshots :]
        self.lines.pools[-1] = saved.snapshot
        if saved.holding is None:
            self.holdings.pop(trader, None)
        else:
            self.holdings[trader] = saved.holding

    # Swaps. Reverts where the pool cannot give what is asked.

    def swap_base(self, size: int) -> int:
        """Close `size`, + a long: USDC moved."""
        quote = out_price(size, self.pool)
        self._swapped(-quote if size > 0 else quote, size)
        return quote

    def swap_quote(self, quote: int) -> int:
        """Buy for `quote` USDC, or sell where it is negative: base bought, signed."""
        base = in_price(quote > 0, abs(quote), self.pool)
        base = base if quote > 0 else -base
        self._swapped(quote, -base)
        return base

    def _swapped(self, quote: int, base: int) -> None:
        self.pool = Reserves.of(self.pool.quote + quote, self.pool.base + base)
        self.cumulative += quote
        if self.block == self.snapshot_block:
            self.lines.pools[-1] = self.pool
        else:
            self.lines.times.append(self.clock)
            self.lines.pools.append(self.pool)
            self.snapshot_block = self.block

    # The market's own events

    def migrate(self, before: Reserves, after: Reserves) -> None:
        """The liquidity is scaled as history scaled its own pool."""
        scaled = Reserves.of(self.pool.quote * after.quote // before.quote, self.pool.base * after.base // before.base)
        self.pool = scaled
        self.lines.migrations.append(Migration(self.cumulative, scaled))

    def fund(self, underlying: int) -> None:
        """A funding payment at this price of the underlying: by the last hour of this curve."""
        average = average_before(self.lines, len(self.lines.times), 0, self.clock, HOUR)
        assert average is not None  # a market replayed from its launch has one
        self.premium += premium_fraction(average.of(lambda pool: pool.spot), underlying)

    # Operations of traders

    def add_margin(self, trader: str, amount: int) -> None:
        """Put margin in; negative: take it out, which settles funding."""
        held = self.holding(trader)
        if amount < 0:
            held = replace(held, margin=held.margin - self.owed(held), premium=self.premium)
        if held.margin + amount < 0:
            raise Refused("less margin than is taken out")
        self.holdings[trader] = replace(held, margin=held.margin + amount)

    def adjust(self, trader: str) -> None:
        """Follow the liquidity changes on request."""
        self.holdings[trader] = self.holding(trader)

    def trade(self, trader: str, quote: int, backing: tuple[int, int] | None) -> bool:
        """openPosition: buy for `quote` USDC, or sell where it is negative. True where a position ended.

        Against a position it reduces that, or closes it and opens the other side with the rest. `backing` is the margin that came with
        so much USDC of an opening; None where history only reduced, so that no log tells it: then it opens nothing.
        """
        held = self.holding(trader)
        if held.size == 0 or (held.size > 0) == (quote > 0):
            if backing is None:
                raise Refused("it only reduced in history: with which margin it would open is in no log")
            self._increase(trader, held, quote, backing)
            return False
        if out_price(held.size, self.pool) > abs(quote):
            self._reduce(trader, held, quote)
            return False
        rest = abs(quote) - self.close(trader).notional
        if backing is not None and rest > 0:
            self._increase(trader, self.holding(trader), rest if quote > 0 else -rest, backing)
        return True

    def _increase(self, trader: str, held: Holding, quote: int, backing: tuple[int, int]) -> None:
        margin = held.margin + abs(quote) * backing[0] // backing[1] - self.owed(held)
        if margin < 0:
            raise Refused("the funding owed is more than the margin")
        size = held.size + self.swap_quote(quote)
        self.holdings[trader] = Holding(size, margin, held.open_notional + abs(quote), self.premium, held.migration)

    def _reduce(self, trader: str, held: Holding, quote: int) -> int:
        """Close for an amount of USDC: the base bought. The profit is realized in proportion, truncated as the contract does."""
        profit = pnl(held.size, held.open_notional, out_price(held.size, self.pool))
        base = self.swap_quote(quote)
        realized = div_integers(mul_integers(profit, abs(base)), abs(held.size))
        closed = abs(quote) - realized if held.size > 0 else abs(quote) + realized
        margin = max(0, held.margin + realized - self.owed(held))
        self.holdings[trader] = Holding(held.size + base, margin, held.open_notional - closed, self.premium, held.migration)
        return base

    def close(self, trader: str) -> Closed:
        """closePosition, and the swap of a full liquidation."""
        held = self.holding(trader)
        notional = self.swap_base(held.size)
        left = held.margin + pnl(held.size, held.open_notional, notional) - self.owed(held)
        self.holdings[trader] = replace(EMPTY, migration=held.migration)
        return Closed(held.size, notional, left)

    def close_share(self, trader: str, share: int, fee_ratio: int) -> Closed:
        """A partial liquidation: `share` (1e-18) of the size, for the USDC that this fetches now. `left` is the penalty it takes."""
        held = self.holding(trader)
        notional = out_price(mul_integers(held.size, share), self.pool)
        base = self._reduce(trader, held, -notional if held.size > 0 else notional)
        penalty, after = mul_integers(notional, fee_ratio), self.holdings[trader]
        self.holdings[trader] = replace(after, margin=max(0, after.margin - penalty))
        return Closed(-base, notional, penalty)

    # Margin ratios: Reverts where the contract's view has no answer

    def below(self, trader: str, maintenance: int, over_position_notional: bool) -> bool:
        """Whether the margin ratio, with the better profit of spot and average, is below maintenance."""
        held = self.holding(trader)
        key = (self.premium, maintenance, over_position_notional)
        known = self._bounds.get(trader)
        if known is None or known[0] is not held or known[1] != key:
            known = self._bounds[trader] = (held, key, bound(held, self.owed(held), maintenance, over_position_notional))
        edge, long = known[2], held.size > 0
        notional = out_price(held.size, self.pool)
        if over_position_notional and notional == 0:
            raise Reverts("nothing divides by 0")
        if notional >= edge if long else notional <= edge:
            return False
        average, spot = self._quarter_hour()
        # Most are below by far: closing without slippage at the average spot price is better than any average of closing.
        best = mul_integers(abs(held.size), spot + 1) + 1 if long else mul_integers(abs(held.size), spot) - 1
        if best < edge if long else best > edge:
            return True
        by_average = average_out_price(held.size, average)
        return by_average < edge if long else by_average > edge

    def ratios(self, held: Holding, over_position_notional: bool) -> tuple[int, int]:
        """The margin ratio at spot, and the better of it and the one by the average."""
        notionals = out_price(held.size, self.pool), average_out_price(held.size, self._quarter_hour()[0])
        at_spot, by_average = (ratio(held, self.owed(held), notional, over_position_notional) for notional in notionals)
        return at_spot, max(at_spot, by_average)

    def _quarter_hour(self) -> tuple[Average, int]:
        """The time before now that the liquidation check averages, and its average spot price."""
        key = (len(self.lines.times), self.clock)
        if self._average[0] != key:
            average = average_before(self.lines, key[0], 0, self.clock, QUARTER_HOUR)
            assert average is not None  # a market replayed from its launch has one
            self._average = (key, average, average.of(lambda pool: pool.spot))
        assert self._average[1] is not None
        return self._average[1], self._average[2]
