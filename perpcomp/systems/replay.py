"""What a protocol's replay answers: every position and market at any block, from the logs alone."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import polars as pl

from perpcomp.curve import Average, Reserves
from perpcomp.findings import Finding
from perpcomp.number_text import counted
from perpcomp.tables.liquidations import POSITIONS
from perpcomp.tables.schema import Column, Table

Price = Decimal | int | str

VALUED = Table(
    "valued points",
    POSITIONS.key,
    (
        *POSITIONS.columns,
        Column("twap_price", "amount", "QUOTE per base", "the average spot price of the 15 minutes before time", optional=True),
        Column("index_price", "amount", "QUOTE per base", "the underlying's price at the last funding payment", optional=True),
    ),
)


class Replay(Protocol):
    """The states that the logs of an input give. A state that they do not give is null, never a guess."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The logs that are missing, and what cannot be determined without them."""

    @property
    def blocks(self) -> Sequence[int]:
        """The blocks whose time is known, in order."""

    @property
    def markets(self) -> Collection[str]:
        """The addresses of the markets that logged something."""

    def block_at(self, time: datetime) -> int:
        """The last block of `blocks` at or before a time. InputError where the logs begin later."""

    def time_of(self, block: int) -> datetime:
        """A block's timestamp. InputError where it is not known."""

    def positions(
        self, block: int | None = None, time: datetime | None = None, *, mark_prices: Mapping[str, Price] | None = None
    ) -> pl.DataFrame:
        """Every open position at the end of a block, or at a time: a POSITIONS frame."""

    def valued(self, points: pl.DataFrame) -> pl.DataFrame:
        """Each point valued at the end of its block: a VALUED frame in the points' order.

        points has trader, market, block_number, time and size. `time` is what averages take as now (null: the block's timestamp).
        A point with a size (base, signed) says what closing that size would move; one without says the trader's own position.
        """

    def assumed_at(self, block: int) -> Finding | None:
        """A warning where the code of a block, on which margin ratios and liquidation prices depend, is only assumed; None elsewhere."""

    def otherwise(self) -> "Replay":
        """The same replay with the other code wherever one is only assumed."""

    def pool(self, market: str, block: int) -> Reserves | None:
        """A market's pool at the end of a block."""

    def average(self, market: str, block: int, now: datetime | None) -> Average | None:
        """The pools of the 15 minutes before `now` (None: the block's timestamp), as known at the end of a block."""

    def price_path(self, market: str, start: datetime, end: datetime) -> pl.DataFrame:
        """The prices of a market at every block from start to end, both inclusive, in which it logged something: a PRICES frame."""


def unknown_values(
    frame: pl.DataFrame, what_to_do: str = "Pull every log of the protocol's contracts, from their first block on."
) -> list[Finding]:
    """The `unknown` column of a POSITIONS frame as findings: one for each unknown, with its first row and the number of rows."""
    found: dict[str, tuple[str, int]] = {}
    for trader, market, block, unknown in frame.select("trader", "market", "block_number", "unknown").drop_nulls().iter_rows():
        for what in unknown.split("; "):
            first, count = found.get(what, (f"trader {trader} market {market} block {block}", 0))
            found[what] = (first, count + 1)
    return [
        Finding("warning", where, f"A value is unknown in {counted(n, 'row')}: {what}.", what_to_do, code="value-unknown")
        for what, (where, n) in found.items()
    ]
