"""Positions valued at the end of one block: the rows of the POSITIONS table, and why something in them is null."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import polars as pl

from perpcomp.curve import Reserves, Reverts, out_price
from perpcomp.findings import Finding
from perpcomp.fixed import AMOUNT, LIMIT
from perpcomp.systems.perpetual_v1.replay.contract import (
    QUARTER_HOUR,
    Average,
    average_out_price,
    funding_owed,
    margin_ratio,
    mark_pnl,
    pnl,
)
from perpcomp.systems.perpetual_v1.replay.history import PULL
from perpcomp.systems.perpetual_v1.replay.liquidation_price import liquidation_price
from perpcomp.systems.perpetual_v1.replay.state import NO_PREMIUM, History, Market, Position, average_before, size_now
from perpcomp.tables.schema import KINDS, Table

T = TypeVar("T")


class Place:
    """One market at the end of one block, where positions are valued: what they share is worked out once."""

    def __init__(
        self, replayed: History, market: Market, block: int, now: int | None, maintenance: int, over_position_notional: bool | None
    ) -> None:
        self.market, self.block, self.now = market, block, now
        self.maintenance, self.over_position_notional = maintenance, over_position_notional
        self.moment, self.lacks = market.at(block), replayed.lacks
        self.pool: Reserves | None = None
        self.average: Average | None = None
        if (moment := self.moment) and not self.lacks["reserves"]:
            self.pool = moment.pool
            if moment.pool and now is not None:
                self.average = average_before(market, moment.snapshots, moment.first_snapshot, now, QUARTER_HOUR)

    def row(self, trader: str, state: Position, mark: int | None = None, triggers: bool = True) -> tuple[Any, ...]:
        """A row of POSITIONS: this trader's stored position, valued here."""
        unknown: list[str] = []
        size, margin, open_notional = self.stored(state, unknown)
        latest, last, owed = self.funding(state, size, unknown)
        with_funding = None if margin is None or owed is None else max(0, margin - owed)

        if self.pool is None:
            missing = " and ".join(self.lacks["reserves"]) or "a ReserveSnapshotted before this block"
            unknown.append(f"the price: {missing} not in the logs")
        elif self.average is None and size != 0:
            no_time = f"block {self.block} logged nothing, and block_times does not give its time"
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
            unknown.append("the margin ratio: the logs show later code here, but later_ratio_from does not")
        elif size and margin is not None and open_notional is not None and owed is not None and self.pool is not None:
            over = bool(self.over_position_notional)
            if curve is not None and twap is not None and at_spot is not None and by_twap is not None:
                better, notional = (at_spot, curve) if at_spot > by_twap else (by_twap, twap)
                ratio = _or_none(margin_ratio, margin + better - owed, notional if over else open_notional)
            if triggers:
                trigger = liquidation_price(size, margin, open_notional, owed, self.pool, self.maintenance, over)
                when, price = trigger.when, trigger.price
        amounts = [size, margin, open_notional, latest, last, owed, with_funding, marked, curve, at_spot, twap, by_twap, ratio, price]
        if any(amount is not None and abs(amount) >= LIMIT for amount in amounts):
            unknown.append("a value of more than 38 digits")
            amounts = [None if amount is None or abs(amount) >= LIMIT else amount for amount in amounts]
        reserves = (self.pool.spot, self.pool.quote, self.pool.base) if self.pool else (None, None, None)
        head = (self.block, self.now, trader, self.market.address, state.life)
        return (*head, *amounts, when, *reserves, "; ".join(unknown) or None)

    def stored(self, state: Position, unknown: list[str]) -> tuple[int | None, int | None, int | None]:
        """Size, margin and open notional."""
        if state.size == 0:
            margin = None if self.lacks["margin"] else state.margin
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
            if missing := self.lacks[what]:
                why, value = f"{' and '.join(missing)} not in the logs", None
            if value is None:
                unknown.append(f"{what}: {why}")
            values.append(value)
        return values[0], values[1], values[2]

    def funding(self, state: Position, size: int | None, unknown: list[str]) -> tuple[int | None, int | None, int | None]:
        """The market's premium fraction, the position's, and what it owes."""
        if missing := self.lacks["funding"]:
            unknown.append(f"funding: {' and '.join(missing)} not in the logs")
            return None, None if size != 0 else 0, None if size != 0 else 0
        now, then = self.moment.premium if self.moment else NO_PREMIUM, state.premium
        latest = now.value if now.stretch == 0 else None
        if latest is None:
            unknown.append("premium fractions: FundingRateUpdated or ReserveSnapshotted since the launch not all in the logs")
        if size == 0:
            return latest, 0, 0
        last = then.value if then and then.stretch == 0 else None
        if size is None or then is None or then.stretch != now.stretch:
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


def to_frame(rows: Sequence[tuple[Any, ...]], table: Table) -> pl.DataFrame:
    """Rows of whole wei and unix seconds as a frame of the table."""
    columns = []
    for values, column in zip(zip(*rows, strict=True) if rows else [[]] * len(table.columns), table.columns, strict=True):
        if column.kind == "amount":
            series = pl.Series(column.name, values, dtype=pl.Int128).reinterpret(dtype=AMOUNT)
        elif column.kind == "time":
            series = pl.from_epoch(pl.Series(column.name, values, dtype=pl.Int64), "s").dt.cast_time_unit("us").dt.replace_time_zone("UTC")
        else:
            series = pl.Series(column.name, values, dtype=KINDS[column.kind][0])
        columns.append(series)
    return pl.DataFrame(columns)


def doubts(frame: pl.DataFrame) -> list[Finding]:
    """The `unknown` of a POSITIONS frame as findings: one for each thing, with the first row that lacks it and how many do."""
    found: dict[str, tuple[str, int]] = {}
    for trader, market, block, unknown in frame.select("trader", "market", "block_number", "unknown").drop_nulls().iter_rows():
        for what in unknown.split("; "):
            first, count = found.get(what, (f"trader {trader} market {market} block {block}", 0))
            found[what] = (first, count + 1)
    return [Finding("warning", where, f"Unknown: {what}; in {n} rows.", PULL) for what, (where, n) in found.items()]
