"""Which names of an incident file the input holds: traders, markets with their spot prices, and the nearest address to a mistyped one."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import polars as pl

from perpcomp.findings import closest
from perpcomp.input import Events


@dataclass(frozen=True)
class Seen:
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
        price = pl.col("spot_price")
        ranges = self.events.lazy.filter(price > 0).group_by("market").agg(price.min().alias("lowest"), price.max().alias("highest"))
        return {market: (lowest, highest) for market, lowest, highest in ranges.collect(engine="streaming").iter_rows()}

    def _counts(self, column: str) -> dict[str, int]:
        counts = [
            table.group_by(column).agg(pl.len().alias("logs")) for table in self.events.logs if column in table.collect_schema().names()
        ]
        found = pl.concat(counts).group_by(column).agg(pl.col("logs").sum()).collect(engine="streaming")
        return dict(found.iter_rows())


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
