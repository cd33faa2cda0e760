"""A market at the end of one block, and the positions valued there: rows by column name, with the reason of each null."""

from collections.abc import Callable
from typing import Any, TypeVar

from perpcomp.curve import Average, Reserves, Reverts, out_price
from perpcomp.fixed import LIMIT
from perpcomp.systems.perpetual_v1.replay.contract import QUARTER_HOUR, average_out_price, funding_owed, margin_ratio, mark_pnl, pnl
from perpcomp.systems.perpetual_v1.replay.liquidation_price import liquidation_price
from perpcomp.systems.perpetual_v1.replay.state import NO_PREMIUM, History, Market, Position, average_before, size_now
from perpcomp.tables.liquidations import POSITIONS

T = TypeVar("T")


class MarketState:
    """One market at the end of one block. What all positions valued there share is computed once.

    `now` is what averages take as now, unix seconds; None where the block's time is unknown.
    """

    def __init__(
        self, history: History, market: Market, block: int, now: int | None, maintenance: int, over_position_notional: bool | None
    ) -> None:
        self.market, self.block, self.now = market, block, now
        self.maintenance, self.over_position_notional = maintenance, over_position_notional
        self.moment, self.missing = market.at(block), history.missing
        self.pool: Reserves | None = None
        self.average: Average | None = None
        if (moment := self.moment) and not self.missing["reserves"]:
            self.pool = moment.pool
            if moment.pool and now is not None:
                self.average = average_before(market, moment.snapshots, moment.first_snapshot, now, QUARTER_HOUR)
        pool = self.pool
        self.shared = {
            "block_number": block,
            "time": now,
            "market": market.address,
            "spot_price": None if pool is None else pool.spot,
            "quote_reserve": None if pool is None else pool.quote,
            "base_reserve": None if pool is None else pool.base,
        }

    def row(self, trader: str, state: Position, mark: int | None = None, triggers: bool = True) -> dict[str, Any]:
        """A row of POSITIONS: this trader's stored position, valued here. `triggers` False leaves the liquidation price null."""
        unknown: list[str] = []
        size, margin, open_notional = self.stored(state, unknown)
        latest, last, owed = self.funding(state, size, unknown)
        with_funding = None if margin is None or owed is None else max(0, margin - owed)

        if self.pool is None:
            missing = " and ".join(self.missing["reserves"]) or "a ReserveSnapshotted before this block"
            unknown.append(f"the price: {missing} not in the logs")
        elif self.average is None and size != 0:
            no_time = f"block {self.block} logged nothing, and the block list (blocks of [input]) does not give its time"
            unknown.append(
                f"the TWAP: {no_time if self.now is None else 'ReserveSnapshotted of the 15 minutes before not all in the logs'}"
            )
        curve = self.notional(size, self.pool, out_price, unknown)
        twap = self.notional(size, self.average, average_out_price, unknown)
        marked = at_spot = by_twap = None
        if size is not None and open_notional is not None:
            marked = None if mark is None else mark_pnl(size, open_notional, mark)
            at_spot = None if curve is None else pnl(size, open_notional, curve)
            by_twap = None if twap is None else pnl(size, open_notional, twap)
        ratio = when = price = None
        if size and self.over_position_notional is None:
            unknown.append(
                "the margin ratio and the liquidation price: neither the logs nor [[chain.code]] say which code ran in this block"
            )
        elif size and margin is not None and open_notional is not None and owed is not None and self.pool is not None:
            over = bool(self.over_position_notional)
            if curve is not None and twap is not None and at_spot is not None and by_twap is not None:
                better, notional = (at_spot, curve) if at_spot > by_twap else (by_twap, twap)
                ratio = _or_none(margin_ratio, margin + better - owed, notional if over else open_notional)
            if triggers:
                trigger = liquidation_price(size, margin, open_notional, owed, self.pool, self.maintenance, over)
                when, price = trigger.when, trigger.price
        amounts: dict[str, Any] = {
            "size": size,
            "margin": margin,
            "open_notional": open_notional,
            "latest_premium_fraction": latest,
            "last_premium_fraction": last,
            "funding_owed": owed,
            "margin_with_funding": with_funding,
            "unrealized_pnl_mark": marked,
            "notional_curve": curve,
            "unrealized_pnl_curve": at_spot,
            "notional_twap": twap,
            "unrealized_pnl_twap": by_twap,
            "margin_ratio": ratio,
            "liquidation_price": price,
        }
        if any(amount is not None and abs(amount) >= LIMIT for amount in amounts.values()):
            unknown.append("a value of more than 38 digits")
            amounts = {name: None if amount is None or abs(amount) >= LIMIT else amount for name, amount in amounts.items()}
        reasons = "; ".join(unknown) or None
        amounts.update(
            self.shared, trader=trader, life=state.life, liquidatable_when=when, unknown=reasons
        )  # in place: cheaper than a copy
        return amounts

    def closing(self, trader: str, size: int) -> dict[str, Any]:
        """A row of POSITIONS that says what closing `size` would move here, whoever holds it; the position's own columns are null."""
        unknown: list[str] = []
        values = {
            "trader": trader,
            "life": 0,
            "size": size,
            "notional_curve": self.notional(size, self.pool, out_price, unknown),
            "notional_twap": self.notional(size, self.average, average_out_price, unknown),
        }
        return {**dict.fromkeys(POSITIONS.schema), **self.shared, **values, "unknown": "; ".join(unknown) or None}

    def prices(self) -> dict[str, int | None]:
        """The market's average and index price here, as VALUED has them."""
        twap = None if self.average is None else self.average.of(lambda pool: pool.spot)
        return {"twap_price": twap, "index_price": None if self.moment is None else self.moment.index_price}

    def stored(self, state: Position, unknown: list[str]) -> tuple[int | None, int | None, int | None]:
        """Size, margin and open notional."""
        if state.size == 0:
            margin = None if self.missing["margin"] else state.margin
            if margin is None:
                unknown.append("margin without a position: MarginChanged not all in the logs")
            return 0, margin, 0
        now = size_now(self.market, self.moment, state) if self.moment else state.size
        reason = "the PositionChanged that would tell is not in the logs"
        migrated = "the swaps since the market's launch, by which a migration changed it, are not all in the logs"
        values = []
        for what, value, why in (
            ("size", now, reason if state.size is None else migrated),
            ("margin", state.margin, reason),
            ("open notional", state.open_notional, "the PositionChanged that opened this life is not in the logs"),
        ):
            if missing := self.missing[what]:
                why, value = f"{' and '.join(missing)} not in the logs", None
            if value is None:
                unknown.append(f"{what}: {why}")
            values.append(value)
        return values[0], values[1], values[2]

    def funding(self, state: Position, size: int | None, unknown: list[str]) -> tuple[int | None, int | None, int | None]:
        """The market's premium fraction, the position's, and what it owes."""
        if missing := self.missing["funding"]:
            unknown.append(f"funding: {' and '.join(missing)} not in the logs")
            return None, None if size != 0 else 0, None if size != 0 else 0
        now, then = self.moment.premium if self.moment else NO_PREMIUM, state.premium
        latest = now.value if now.segment == 0 else None
        if latest is None:
            unknown.append("premium fractions: FundingRateUpdated or ReserveSnapshotted since the launch not all in the logs")
        if size == 0:
            return latest, 0, 0
        last = then.value if then and then.segment == 0 else None
        if size is None or then is None or then.segment != now.segment:
            unknown.append(
                "funding: FundingRateUpdated and the ReserveSnapshotted of the hour before, since its last settlement, not all in the logs"
            )
            return latest, last, None
        return latest, last, funding_owed(size, now.value, then.value)

    def notional(self, size: int | None, source: T | None, value: Callable[[int, T], int], unknown: list[str]) -> int | None:
        """USDC that closing moves, by the pool or by the average of pools."""
        if not size:
            return size
        notional = None if source is None else _or_none(value, size, source)
        if source is not None and notional is None:
            unknown.append("a notional: the contract's view reverts, the short is as large as the pool")
        return notional


def _or_none(function: Callable[..., int], *values: Any) -> int | None:
    try:
        return function(*values)
    except Reverts:
        return None
