"""The states that a replay keeps: of positions, funding and markets, at the end of every block."""

from bisect import bisect_right

from msgspec import Struct, field
from msgspec.structs import replace

from perpcomp.curve import Average, Reserves, Reverts
from perpcomp.findings import Finding
from perpcomp.systems.perpetual_v1.replay.contract import size_after_migrations, twap


class Premium(Struct, frozen=True):
    """A cumulative premium fraction, USDC per base. Two of one segment can be subtracted: every funding payment between them is known."""

    segment: int  # 0: counted from the market's launch, so the value is the contract's own
    value: int


class Position(Struct, frozen=True):
    """A position as the ClearingHouse stores it; None where the logs do not give it."""

    life: int  # of this trader in this market: 1, 2 ...; 0 before the first
    size: int | None  # as of the last event; a migration since then has changed it
    margin: int | None
    open_notional: int | None
    premium: Premium | None  # at its last settlement
    migration: int  # how many liquidity changes it has followed


UNKNOWN = Position(1, None, None, None, None, 0)

NO_PREMIUM = Premium(0, 0)

NO_SEGMENT = Premium(-1, 0)  # of a market's moment only: nothing can be subtracted from it


class Migration(Struct, frozen=True):
    """The pool and the USDC that had come in, net, when the liquidity was set."""

    cumulative_notional: int
    pool: Reserves


class Moment(Struct, frozen=True):
    """A market at the end of a block."""

    pool: Reserves | None
    cumulative_notional: int | None  # USDC that swaps brought in since launch, net
    migrations: int  # liquidity changes so far: the last index of Market.migrations
    gap: int  # positions that followed fewer may have changed in a gap of the logs
    snapshots: int
    first_snapshot: int  # the first one that no gap follows
    premium: Premium
    index_price: int | None  # what the last funding compared with


class Market(Struct):
    """One market's timeline: `moments[n]` holds from the end of block `blocks[n]` until the next."""

    address: str
    from_launch: bool  # its logs begin with its launch: nothing was before, and a trader without an event has no position
    blocks: list[int] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    times: list[int] = field(default_factory=list)  # of snapshots, unix seconds
    pools: list[Reserves] = field(default_factory=list)
    migrations: list[Migration | None] = field(default_factory=lambda: [None])

    def at(self, block: int) -> Moment | None:
        """The end of a block; None before the first log."""
        n = bisect_right(self.blocks, block)
        return self.moments[n - 1] if n else None


class Timeline(Struct):
    """One position's states: `states[n]` holds from the end of block `blocks[n]` until the next, `start` before the first."""

    start: Position
    blocks: list[int] = field(default_factory=list)
    states: list[Position] = field(default_factory=list)

    def at(self, block: int) -> Position:
        """The end of a block."""
        n = bisect_right(self.blocks, block)
        return self.states[n - 1] if n else self.start


class History(Struct, frozen=True):
    """The history of every market and position, and what is missing from the input."""

    markets: dict[str, Market]
    positions: dict[str, dict[str, Timeline]]  # market -> trader
    missing: dict[str, tuple[str, ...]]  # quantity (a key of NEEDS) -> the events that are not in the input
    findings: tuple[Finding, ...]


def before_first_event(market: Market) -> Position:
    """A trader's position before the first event: none if the market's logs are whole, else unknown."""
    return replace(UNKNOWN, life=0, size=0, margin=0, open_notional=0) if market.from_launch else UNKNOWN


def known_after_gap(state: Position, gap: int) -> Position:
    """The position, or one of which only the life is known where a gap in the logs came after its last event."""
    return state if state.migration >= gap else replace(UNKNOWN, life=max(1, state.life))


def average_before(market: Market, count: int, first: int, now: int, interval: int) -> Average | None:
    """What the time before now is averaged over, of a market's first `count` snapshots; None where the snapshots of the logs do not reach back so far."""
    return twap(market.times, market.pools, count, first, now, interval, market.from_launch and first == 0)


def size_now(market: Market, moment: Moment, position: Position) -> int | None:
    """A position's size, adjusted for liquidity changes that it has not followed yet (ClearingHouse.getPosition)."""
    if not position.size or position.migration == moment.migrations:
        return position.size
    then = market.migrations[position.migration]
    if then is None or moment.pool is None or moment.cumulative_notional is None:
        return None
    try:
        return size_after_migrations(position.size, then.cumulative_notional, then.pool, moment.cumulative_notional, moment.pool)
    except Reverts:
        return None
