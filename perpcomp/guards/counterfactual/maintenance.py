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
        self.looked = 0  # how many of the market's `moved` are in what precedes

    def below(self, asked: Container[str], maintenance: int, over_position_notional: bool) -> set[str]:
        """Of the traders asked about those who are below maintenance.

        None without a position, and none where the contract's view reverts, for then a liquidation reverts too.
        """
        self._sort(maintenance, over_position_notional)
        pool, found = self.market.pool, set[str]()
        longs, shorts, near = self.crossings.passed(pool.quote)
        unsure = [trader for _, trader, *_ in near if trader in asked and self._is_below_at_spot(*self.edges[trader])]
        for trader in self.unsized:
            if trader in asked:
                self.edges[trader] = self._edge(trader, maintenance, over_position_notional)
                if self._is_below_at_spot(*self.edges[trader]):
                    unsure.append(trader)
        if longs or shorts:
            _, spot, base = self.market.quarter_hour()
            longs, shorts = ([one for one in line if one[1] in asked] for line in (longs, shorts))
            shorts = [one for one in shorts if one[2] + min(base, pool.base) > 0]  # else spot or average reverts
            found = {trader for _, trader, _, most in longs if spot <= most} | {trader for _, trader, _, least in shorts if spot >= least}
            unsure += [one[1] for one in chain(longs, shorts) if one[1] not in found]
        found |= {trader for trader in unsure if self._is_below_on_average(*self.edges[trader])}
        return {one for one in found if out_price(self.edges[one][1], pool)} if over_position_notional else found

    def _is_below_on_average(self, edge: int | None, size: int) -> bool:
        """The same of a close on average; False where the contract's view reverts.

        A close at the average spot price with the slippage of the smallest pool is worse than any average. Where even that is not below,
        which is so for most, the slow average need not be computed. Three more or less cover what is rounded.
        """
        average, spot, base = self.market.quarter_hour()
        after = base + size
        if edge is None or (size > 0 and spot * size * base >= (edge + 3) * ONE * after):
            return False
        if size < 0 < after and (spot + 2) * -size * base <= (edge - 3 - ONE // after) * ONE * after:
            return False
        with suppress(Reverts):
            moved = average_out_price(size, average)
            return moved < edge if size > 0 else moved > edge
        return False

    def _is_below_at_spot(self, edge: int | None, size: int) -> bool:
        """Whether a close at spot moves less than the edge (a short's: more)."""
        pool = self.market.pool
        after = pool.base + size
        # A close moves `product / (base + size) - quote`, rounded up, or its negative for a long. This compares it with the edge without
        # dividing.
        return edge is not None and after > 0 and pool.product > (pool.quote - edge if size > 0 else pool.quote + edge) * after

    def _sort(self, maintenance: int, over_position_notional: bool) -> None:
        """Bring the edges up to date: all where a funding payment, a setting or a migration moved them, else those of changed positions."""
        market, latest = self.market, len(self.market.timeline.migrations) - 1
        if self.holds != (holds := (market.premium, maintenance, over_position_notional, latest)):
            self.holds, self.edges, self.crossings, self.unsized = holds, {}, Crossings(market.pool.product), set()
            moved = {*market.positions}
        else:
            moved = {*market.moved[self.looked :]}
        self.looked = len(market.moved)
        for trader in moved:
            self.crossings.drop(trader)
            self.unsized.discard(trader)
            position = market.positions.get(trader, EMPTY)
            if position.size and position.migration != latest:
                self.unsized.add(trader)
            elif position.size:
                edge, size = self.edges[trader] = self._edge(trader, maintenance, over_position_notional)
                if edge is not None:
                    self.crossings.put(trader, size, edge)

    def _edge(self, trader: str, maintenance: int, over_position_notional: bool) -> tuple[int | None, int]:
        """The notional at which a position's margin ratio crosses maintenance, None where the ratio reverts; and the position's size."""
        position = self.market.position(trader)
        with suppress(Reverts):
            return maintenance_notional(position, self.market.owed(position), maintenance, over_position_notional), position.size
        return None, position.size
