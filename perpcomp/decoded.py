"""The decoded events of an input: whole, or part by part where the input is large."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import polars as pl
from msgspec import Struct

from perpcomp.engine import LOCAL, Engine
from perpcomp.findings import Finding
from perpcomp.ingest.spill import Spill
from perpcomp.tables.events import EVENTS
from perpcomp.tables.schema import check

if TYPE_CHECKING:
    from perpcomp.ingest.shuffle import Stored, Tables

Result = TypeVar("Result")
MARKETS_AT_ONCE = 500_000  # logs of an event, about, whose sums a market are looked at together


class Events(Struct, frozen=True, dict=True):
    """The decoded input, lazily: the events table, and every other event by name as far as the input holds it.

    `table` and `others` are the same in memory, for a history that fits there. `spill` or `folder` keeps what lies on disk alive. Where the
    engine's workers decoded the input, `stored` are its parts, and the workers do what the methods below are given.
    """

    lazy: pl.LazyFrame
    lazy_others: dict[str, pl.LazyFrame]
    spill: Spill | None = None
    findings: tuple[Finding, ...] = ()  # about the input as a whole
    engine: Engine = LOCAL
    stored: "Stored | None" = None
    folder: "tempfile.TemporaryDirectory[str] | None" = None

    @property
    def logs(self) -> list[pl.LazyFrame]:
        """Every table of decoded logs, in any order."""
        return [self.lazy, *self.lazy_others.values()] if self.stored is None else [*self.stored.unsorted().values()]

    @cached_property
    def table(self) -> pl.DataFrame:
        return check(self.lazy.collect(), EVENTS)

    @cached_property
    def others(self) -> dict[str, pl.DataFrame]:
        return {name: table.collect() for name, table in self.lazy_others.items()}

    def each(self, function: Callable[..., Result]) -> Iterator[Result]:
        """function(events, others) of every part of the input: each log is in one, and those of a position are in one, in order."""
        if self.stored is None:
            return iter([function(self.lazy, self.lazy_others)])
        return self.engine.map(partial(_of, function), [partial(self.stored.share, bucket) for bucket in self.stored.buckets])

    def each_market(self, function: Callable[..., Result], markets: Sequence[str], apart: bool) -> Iterator[Result]:
        """function(own, events, others) of the logs of markets, part by part, beside which stand the protocol's `summed` columns; `own` are
        those of `markets` that are in the part. There is more than one where they are `apart`: no market depends on
        another.
        """
        parts = self._parts_of_markets() if apart else 1
        if parts == 1:
            return self.each(partial(function, markets))
        from perpcomp.ingest.shuffle import by_bucket

        own = by_bucket(markets, parts)
        if self.stored is None:
            return (function(own[n], *self._of_markets(n, parts)) for n in range(parts))
        return self.engine.map(partial(_of_own, function), [(own[n], partial(self.stored.of_markets, n)) for n in self.stored.buckets])

    def _parts_of_markets(self) -> int:
        """In how many parts the markets are looked at: memory then grows no further with their logs."""
        if self.stored is not None:
            return len(self.stored.buckets)
        counts = pl.concat(table.select(pl.len()) for table in self.lazy_others.values() or [self.lazy])
        logs: int = counts.max().collect().item()
        return -(-logs // MARKETS_AT_ONCE) or 1

    def _of_markets(self, part: int, parts: int) -> "Tables":
        from perpcomp.ingest.shuffle import of_bucket

        own = {name: of_bucket(table, part, parts) for name, table in self.lazy_others.items() if "market" in table.collect_schema()}
        return of_bucket(self.lazy, part, parts), {**self.lazy_others, **own}

    def whole(self, function: Callable[..., Result]) -> Result:
        """function(events, others) of the whole input, on one worker."""
        if self.stored is None:
            return function(self.lazy, self.lazy_others)
        found: Result = next(self.engine.map(partial(_of, function), [self.stored.whole]))
        return found


def _of(function: Callable[..., Result], load: "Callable[[], Tables]") -> Result:
    return function(*load())


def _of_own(function: Callable[..., Result], part: "tuple[Sequence[str], Callable[[], Tables]]") -> Result:
    own, load = part
    return function(own, *load())


def no_events() -> Events:
    """The input of a run that starts from claims."""
    return Events(EVENTS.empty().lazy(), {})
