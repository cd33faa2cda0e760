"""What one set of rules says about one market now: whether an account may be flagged, and whether anybody may liquidate it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from perpcomp.curve import Reserves
from perpcomp.fixed import ONE, mul_integers
from perpcomp.guards.counterfactual.maintenance import Maintenance
from perpcomp.guards.counterfactual.market import Market
from perpcomp.guards.counterfactual.position import EMPTY, Closed, Position
from perpcomp.guards.counterfactual.rules import Rules
from perpcomp.guards.limits import NO_LIMIT, Limit
from perpcomp.guards.ratios import premium, price_impact, ratio_at_index


@dataclass
class Gate:
    """The rules at one market. `index` is the index price now (None: unknown); the rest is what holds in the action's block."""

    rules: Rules
    market: Market
    limit: Limit
    index: int | None = None
    maintenance: int = 0
    over_position_notional: bool = False
    watch: Maintenance = field(init=False)
    _premium_answer: tuple[Reserves | None, int | None, bool] = (None, None, False)  # of (pool, index): the last answer of premium_blocks
    # The cache of _below_at_index: who is known, and who of them is below; for which index, premium fraction, maintenance and migrations;
    # and how many of the market's `moved` are in it.
    _known: set[str] = field(default_factory=set)
    _below: set[str] = field(default_factory=set)
    _holds: tuple[int, ...] = ()
    _looked: int = 0

    def __post_init__(self) -> None:
        self.watch = Maintenance(self.market)
        if not self.rules.limited:
            self.limit = NO_LIMIT

    @property
    def limits_decidable(self) -> bool:
        """Whether the limits can be compared: an index price is known, or there is no limit."""
        return self.index is not None or self.limit.blocks(None, None) is not None

    # Flagging

    def flaggable(self, traders: Collection[str]) -> set[str] | None:
        """Of these traders those below maintenance by the flag rule; None where the rule needs an index price and none is known."""
        if self.rules.flag_rule == "index":
            return None if self.index is None else self._below_at_index(traders, self.index)
        below = self.watch.below(traders, self.maintenance, self.over_position_notional)
        if self.rules.spread is None or self.index is None or premium(self.market.pool, self.index) < self.rules.spread:
            return below
        return self._below_at_index(below, self.index)

    def _below_at_index(self, traders: Iterable[str], index: int) -> set[str]:
        """Of these traders those whose margin ratio with the profit at the index price is below maintenance."""
        market, asked, latest = self.market, {*traders}, len(self.market.timeline.migrations) - 1
        if self._holds != (holds := (index, market.premium, self.maintenance, latest)):
            self._known, self._below, self._holds = set(), set(), holds
        self._known.difference_update(market.moved[self._looked :])
        self._looked = len(market.moved)
        for trader in asked - self._known:
            position = market.position(trader)
            below = position.size != 0 and self._ratio_at_index(position, index) < self.maintenance
            (self._below.add if below else self._below.discard)(trader)
            if market.positions.get(trader, EMPTY).migration == latest:  # else its size follows the pool
                self._known.add(trader)
        return asked & self._below

    def _ratio_at_index(self, position: Position, index: int) -> int:
        return ratio_at_index(position.size, position.margin, position.open_notional, self.market.owed(position), index)

    # The two limits

    def premium_blocks(self) -> bool:
        """Whether the market's price is too far from the index, so that nobody may liquidate any account of the market."""
        if self.limit.pd is None:
            return False
        if self._premium_answer[0] is not self.market.pool or self._premium_answer[1] != self.index:
            blocked = self.index is None or premium(self.market.pool, self.index) >= self.limit.pd
            self._premium_answer = (self.market.pool, self.index, blocked)
        return self._premium_answer[2]

    def limits_block(self, size: int) -> bool:
        """Whether a limit keeps ordinary keepers from closing this size (signed base)."""
        if self.premium_blocks():
            return True
        if self.limit.delta is None:
            return False
        return self.index is None or price_impact(self.market.pool, size, self.index) >= self.limit.delta

    # V1's own rules

    def part_to_close(self, position: Position, in_history: int | None, fee_ratio: int) -> int | None:
        """The part (1e-18) of the position that a liquidation closes, by the rules or else as in history; None: all of it."""
        if self.rules.partial is None:
            return in_history
        at_spot, better = self.market.ratios(position, self.over_position_notional)
        healthy = (at_spot if self.rules.partial_by_spot else better) > fee_ratio
        return self.rules.partial if healthy and 0 < self.rules.partial < ONE else None

    def exceeds_fluctuation(self, pool: Reserves) -> bool:
        """Whether a pool's price is farther from the last other block's price than a block may move it."""
        return self._exceeds(pool, self.market.last_other_block)

    def v1_reverts(self, before: Reserves, closed: Closed, part: int | None, liquidator: str | None) -> bool:
        """Whether V1's contract reverts the liquidation just made from the pool `before`.

        liquidator None: whoever is allowed to. throttles "liquidations": the price may not end outside the fluctuation limit, unless
        this liquidation alone moves it by more than the limit. "blocks": the price may not be outside before the liquidation.
        """
        if self.rules.backstop is not None and part is None and closed.left < 0:
            listed = liquidator in self.rules.backstop if liquidator else bool(self.rules.backstop)
            if not listed:
                return True
        if self.rules.throttles == "liquidations":
            return self.exceeds_fluctuation(self.market.pool) and not self._exceeds(self.market.pool, before)
        return self.rules.throttles == "blocks" and self.exceeds_fluctuation(before)

    def _exceeds(self, pool: Reserves, base: Reserves) -> bool:
        limit = self.rules.fluctuation
        return limit is not None and not mul_integers(base.spot, ONE - limit) <= pool.spot <= mul_integers(base.spot, ONE + limit)
