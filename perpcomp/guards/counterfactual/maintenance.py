"""Who of a market is below maintenance by V1's rule: the margin ratio with the better profit of spot and 15-minute average."""

from collections.abc import Container
from contextlib import suppress
from itertools import chain

from perpcomp.curve import Reverts, out_price
from perpcomp.fixed import ONE
from perpcomp.guards.counterfactual.crossings import Crossings
from perpcomp.guards.counterfactual.market import Market
from perpcomp.guards.counterfactual.position import EMPTY, maintenance_notional
from perpcomp.systems.perpetual_v1.replay.contract import average_out_price


class Maintenance:
    """The accounts of a market, sorted so that after every action only those near maintenance are computed."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.holds: tuple[int, ...] = ()  # premium, maintenance, over_position_notional and migrations of what follows
        self.edges: dict[str, tuple[int | None, int]] = {}  # trader -> the last answer of _edge
        self.crossings = Crossings(0)
        self.unsized = set[str]()  # traders whose size follows the pool, since a migration

    def below(self, asked: Container[str], maintenance: int, over_position_notional: bool) -> set[str]:
        """Of the traders asked about those who are below maintenance.

        None without a position, and none where the contract's view reverts, for then a liquidation reverts too.
        """
        self._sort(maintenance, over_position_notional)
        pool, found, latest = self.market.pool, set[str](), None
        for trader in chain(self.unsized, self.crossings.near(pool.quote)):
            if trader not in asked:
                continue
            edge, size = self._edge(trader, maintenance, over_position_notional) if trader in self.unsized else self.edges[trader]
            if edge is None:
                continue
            # What a close at spot moves is `product / (base + size) - quote`, rounded up, or its negative for a long. So this compares
            # it with the edge without dividing.
            after = pool.base + size
            if after <= 0 or pool.product <= (pool.quote - edge if size > 0 else pool.quote + edge) * after:
                continue
            if over_position_notional and out_price(size, pool) == 0:
                continue
            if latest is None:
                latest = self.market.quarter_hour()
            average, spot = latest
            # Closing without slippage at the average spot price is better than any average of closing. Where even that is below
            # maintenance, which is so for most, the slow average need not be computed. One more or less covers what is rounded.
            if size * (spot + 1) < (edge - 1) * ONE if size > 0 else -size * spot >= (edge + 2) * ONE:
                found.add(trader)
            else:
                with suppress(Reverts):
                    by_average = average_out_price(size, average)
                    if by_average < edge if size > 0 else by_average > edge:
                        found.add(trader)
        return found

    def _sort(self, maintenance: int, over_position_notional: bool) -> None:
        """Bring the edges up to date: all where a funding payment, a setting or a migration moved them, else those of changed positions."""
        market, latest = self.market, len(self.market.timeline.migrations) - 1
        if self.holds != (holds := (market.premium, maintenance, over_position_notional, latest)):
            self.holds, self.edges, self.crossings, self.unsized = holds, {}, Crossings(market.pool.product), set()
            market.moved = {*market.positions}
        for trader in market.moved:
            self.crossings.drop(trader)
            self.unsized.discard(trader)
            position = market.positions.get(trader, EMPTY)
            if position.size and position.migration != latest:
                self.unsized.add(trader)
            elif position.size:
                edge, size = self.edges[trader] = self._edge(trader, maintenance, over_position_notional)
                if edge is not None:
                    self.crossings.put(trader, size, edge)
        market.moved.clear()

    def _edge(self, trader: str, maintenance: int, over_position_notional: bool) -> tuple[int | None, int]:
        """The notional at which a position's margin ratio crosses maintenance, None where the ratio reverts; and the position's size."""
        position = self.market.position(trader)
        with suppress(Reverts):
            return maintenance_notional(position, self.market.owed(position), maintenance, over_position_notional), position.size
        return None, position.size
