"""Which names of an incident file the input holds: traders, markets with their spot prices, and the nearest address to a mistyped one."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cached_property, partial

import polars as pl
from msgspec import Struct

from perpcomp.decoded import Events
from perpcomp.findings import closest


class Seen(Struct, frozen=True, dict=True):
    """The names in an input. Each is looked for where something asks for it, because an input may hold millions of logs."""

    events: Events

    @cached_property
    def traders(self) -> dict[str, int]:
        """Trader -> position changes and other actions in the input."""
        return self._counts("trader")

    @cached_property
    def markets(self) -> dict[str, int]:
        """Market -> its logs in the input."""
        return self._counts("market")

    @cached_property
    def spot_prices(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Market -> its lowest and highest spot price in the logs; a market without one is absent."""
        ranges = pl.concat(self.events.each(_prices)).group_by("market").agg(pl.col("lowest").min(), pl.col("highest").max())
        return {market: (lowest, highest) for market, lowest, highest in ranges.iter_rows()}

    def _counts(self, column: str) -> dict[str, int]:
        return dict(pl.concat(self.events.each(partial(_counts, column))).group_by(column).agg(pl.col("logs").sum()).iter_rows())


def _prices(events: pl.LazyFrame, _: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """The lowest and highest spot price of each market."""
    price = pl.col("spot_price")
    ranges = events.filter(price > 0).group_by("market").agg(price.min().alias("lowest"), price.max().alias("highest"))
    return ranges.collect(engine="streaming")


def _counts(column: str, events: pl.LazyFrame, others: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """How many logs have each value of a column, in the tables that have it."""
    counts = [
        table.group_by(column).agg(pl.len().alias("logs"))
        for table in (events, *others.values())
        if column in table.collect_schema().names()
    ]
    return pl.concat(counts).collect(engine="streaming")


def nearest(address: str, known: Iterable[str]) -> str | None:
    """The known address that `address` is probably a misspelling of; None where no known one is similar."""
    near = [one for one in known if _alike(address, one)]
    return closest(address, near)


def _alike(one: str, other: str) -> bool:
    """The same beginning or end, as people compare addresses, or at most four other digits."""
    return one[:8] == other[:8] or one[-6:] == other[-6:] or sum(a != b for a, b in zip(one, other, strict=True)) <= 4


def did_you_mean(address: str, known: Iterable[str]) -> str:
    """Advice about an address that the input does not hold."""
    near = nearest(address, known)
    return f"Did you mean {near}, the nearest address in this input?" if near else "No address in this input is similar."
