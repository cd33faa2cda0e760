"""One market while its events are applied: its state now, what is written down of it, and what is retracted where logs are missing."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from perpcomp.curve import Reserves
from perpcomp.findings import Finding
from perpcomp.number_text import counted
from perpcomp.systems.perpetual_v1.replay.state import (
    NO_PREMIUM,
    NO_SEGMENT,
    Market,
    Moment,
    Position,
    Premium,
    Timeline,
    before_first_event,
    known_after_gap,
)

PULL = "Pull every log of the ClearingHouse and of the markets, from their first block on."
MOST = 5  # findings of one kind that are listed; the rest is counted


class MarketReplay:
    """A market's state and that of its positions, up to the event that is being applied (market_events.py, position_events.py)."""

    def __init__(self, market: Market, missing: Mapping[str, tuple[str, ...]], unexplained: set[str]) -> None:
        self.market, self.unexplained, self.positions = market, unexplained, dict[str, Timeline]()
        self.block, self.log = -1, ("", 0)  # where the event is: block; transaction and log index
        self.missing = missing
        self.pool: Reserves | None = None
        self.pool_before_swap: Reserves | None = None
        self.cumulative: int | None = 0 if market.from_launch and not missing["sizes after a migration"] else None
        self.gap = self.first_snapshot = 0
        self.snapshot_block = -1
        self.premium = NO_PREMIUM if market.from_launch else Premium(1, 0)
        self.index_price: int | None = None
        self.swap_due = False  # a swap's snapshot was read, its own log not yet
        self.pool_sure = self.pool_was_sure = 0  # how many moments were written before the last log that moved the pool
        self.findings: list[Finding] = []
        self.counts: dict[str, int] = {}

    def end_block(self) -> None:
        """Write down how the block ended."""
        if self.block >= 0:
            self.market.blocks.append(self.block)
            self.market.moments.append(
                Moment(
                    pool=self.pool,
                    cumulative_notional=self.cumulative,
                    migrations=len(self.market.migrations) - 1,
                    gap=self.gap,
                    snapshots=len(self.market.times),
                    first_snapshot=self.first_snapshot,
                    premium=self.premium,
                    index_price=self.index_price,
                )
            )

    def state(self, trader: str) -> Position:
        """A position now."""
        state = self.positions[trader].states[-1] if trader in self.positions else before_first_event(self.market)
        return known_after_gap(state, self.gap)

    def store(self, trader: str, state: Position, start: Position | None = None) -> None:
        """A position from now on; the last state of a block wins. `start` is what a trader without an earlier event had before."""
        timeline = self.positions.get(trader)
        if timeline is None:
            timeline = self.positions[trader] = Timeline(start or before_first_event(self.market))
        if timeline.blocks and timeline.blocks[-1] == self.block:
            timeline.states[-1] = state
        else:
            timeline.blocks.append(self.block)
            timeline.states.append(state)

    def report(self, what: str, trader: str = "") -> None:
        """A finding at this event. The first MOST of a kind are listed, the rest is counted."""
        self.counts[what] = self.counts.get(what, 0) + 1
        if self.counts[what] <= MOST:
            transaction, log = self.log
            text = what + (f" Trader {trader}." if trader else "")
            self.findings.append(Finding("error", f"tx {transaction} log {log}", text, PULL, code="logs-missing"))

    def all_findings(self) -> Iterator[Finding]:
        """The findings of this market, once every event is applied."""
        where = f"market {self.market.address}"
        if not self.market.times and not self.missing["reserves"]:
            what = "No ReserveSnapshotted of this market is in the logs, so its price is unknown."
            yield Finding("warning", where, what, PULL, code="price-unknown")
        elif self.market.times and not self.market.from_launch:
            what = "The logs do not begin with the market's launch: what ReserveSnapshotted and FundingRateUpdated said before is unknown."
            yield Finding("warning", where, what, PULL, code="launch-missing")
        unopened = sum(timeline.start.size is None for timeline in self.positions.values())
        if unopened:
            what = f"{counted(unopened, 'trader')} held a position before the first PositionChanged of it in the logs: its state until then is unknown."
            yield Finding("warning", where, what, PULL, code="opening-missing")
        yield from self.findings
        for what, count in self.counts.items():
            if count > MOST:
                yield Finding("error", where, f"{count - MOST} more of this kind: {what}", PULL, code="logs-missing")

    def mark_gap(self, since: int | None = None) -> None:
        """Logs are missing before this one: averages, funding and untouched positions from before it are unknown.

        They are missing right here, or somewhere after moment number `since`: what was written down from there on is retracted.
        """
        self.market.migrations.append(None)
        self.gap = len(self.market.migrations) - 1
        self.first_snapshot = len(self.market.times) if self.pool is None else len(self.market.times) - 1
        self.cumulative = None
        self.lose_premium()
        moments = self.market.moments
        for n in range(len(moments) if since is None else since, len(moments)):
            moments[n] = replace(moments[n], pool=None, cumulative_notional=None, gap=self.gap, premium=NO_SEGMENT)

    def lose_premium(self, since: int | None = None) -> None:
        """A funding payment is unknown: fractions from before it and after it cannot be subtracted. `since` is as in mark_gap."""
        self.premium = Premium(self.premium.segment + 1, 0)
        moments = self.market.moments
        if since is None or since >= len(moments):
            return
        for n in range(since, len(moments)):
            moments[n] = replace(moments[n], premium=NO_SEGMENT)
        for timeline in self.positions.values():  # a position settled since then has a wrong fraction
            for n in range(bisect_left(timeline.blocks, self.market.blocks[since]), len(timeline.states)):
                timeline.states[n] = replace(timeline.states[n], premium=None)

    def retract(self, trader: str, whole: bool) -> None:
        """An event of the trader is missing since the last one in the logs: the state written down then is unknown.

        `whole` retracts size and open notional too, not only margin and premium.
        """
        if trader in self.positions:
            states = self.positions[trader].states
            states[-1] = replace(states[-1], margin=None, premium=None)
            if whole:
                states[-1] = replace(states[-1], size=None, open_notional=None)

    def expect_swap(self, done: bool) -> None:
        """A snapshot's swap is logged right behind it. Without it the sum of all swaps is unknown."""
        if self.swap_due and not done and not self.missing["sizes after a migration"]:
            self.report("A ReserveSnapshotted is not followed by its SwapInput or SwapOutput, which is missing.")
            self.cumulative = None
        self.swap_due = False
