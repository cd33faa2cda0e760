"""What one rulebook says about one market: whether an account is flagged, and whether anybody may liquidate it now."""

from dataclasses import dataclass

from perpcomp.curve import Reserves, Reverts
from perpcomp.fixed import ONE, mul_integers
from perpcomp.guards.counterfactual.market import Venue
from perpcomp.guards.counterfactual.position import Closed, Holding
from perpcomp.guards.counterfactual.rules import Rules
from perpcomp.guards.curve import premium, price_impact, ratio_at_index
from perpcomp.guards.limits import NO_LIMIT, Limit


@dataclass
class Gate:
    """The rules at one market. `index` is the index price now, None where none is known; maintenance and ratio code are the block's."""

    rules: Rules
    venue: Venue
    limit: Limit
    index: int | None = None
    maintenance: int = 0
    over_position_notional: bool = False
    _asked: tuple[Reserves | None, int | None, bool] = (None, None, False)  # the last answer of premium_blocks

    def __post_init__(self) -> None:
        if not self.rules.limited:
            self.limit = NO_LIMIT

    @property
    def judges(self) -> bool:
        """Whether the limits can be compared: with an index price, or because there are none."""
        return self.index is not None or self.limit.blocks(None, None) is not None

    # Flagging

    def below(self, trader: str) -> bool | None:
        """Whether the account is below maintenance by the flag rule; None where that needs an index price that is not known."""
        held = self.venue.holding(trader)
        if self.rules.flag_rule == "index":
            return None if self.index is None else held.size != 0 and self._at_index(held, self.index) < self.maintenance
        try:
            if held.size == 0 or not self.venue.below(trader, self.maintenance, self.over_position_notional):
                return False
        except Reverts:  # then liquidating reverts too
            return False
        if self.rules.spread is not None and self.index is not None and premium(self.venue.pool, self.index) >= self.rules.spread:
            return self._at_index(held, self.index) < self.maintenance
        return True

    def _at_index(self, held: Holding, index: int) -> int:
        return ratio_at_index(held.size, held.margin, held.open_notional, self.venue.owed(held), index)

    # The two limits

    def premium_blocks(self) -> bool:
        """Whether the market is too far from the index for anybody to liquidate anything."""
        if self.limit.pd is None:
            return False
        if self._asked[0] is not self.venue.pool or self._asked[1] != self.index:
            far = self.index is None or premium(self.venue.pool, self.index) >= self.limit.pd
            self._asked = (self.venue.pool, self.index, far)
        return self._asked[2]

    def blocks(self, part: int) -> bool:
        """Whether a limit keeps ordinary keepers from closing this part (signed base)."""
        if self.premium_blocks():
            return True
        if self.limit.delta is None:
            return False
        return self.index is None or price_impact(self.venue.pool, part, self.index) >= self.limit.delta

    # V1's own rules

    def share(self, held: Holding, in_history: int | None, fee_ratio: int) -> int | None:
        """The part (1e-18) that a liquidation closes, by the rules or else as in history; None: all."""
        if self.rules.partial is None:
            return in_history
        at_spot, better = self.venue.ratios(held, self.over_position_notional)
        healthy = (at_spot if self.rules.partial_by_spot else better) > fee_ratio
        return self.rules.partial if healthy and 0 < self.rules.partial < ONE else None

    def outside(self, pool: Reserves) -> bool:
        """Whether a pool's price is farther from the last other block's than a block may move it."""
        return self._apart(pool, self.venue.last_other_block)

    def refuses(self, before: Reserves, closed: Closed, share: int | None, liquidator: str | None) -> bool:
        """Whether the contract reverts a liquidation just made from the pool `before`. liquidator None: anybody who may."""
        if self.rules.backstop is not None and share is None and closed.left < 0:
            listed = liquidator in self.rules.backstop if liquidator else bool(self.rules.backstop)
            if not listed:
                return True
        if self.rules.throttles == "liquidations":  # those that alone move further are not asked
            return self.outside(self.venue.pool) and not self._apart(self.venue.pool, before)
        return self.rules.throttles == "blocks" and self.outside(before)

    def _apart(self, pool: Reserves, base: Reserves) -> bool:
        limit = self.rules.fluctuation
        return limit is not None and not mul_integers(base.spot, ONE - limit) <= pool.spot <= mul_integers(base.spot, ONE + limit)
