"""The state of a Perps V2 market, its views, and what every call on it has in common. The calls are in liquidation.py and trading.py.

A call works on a copy of the state and returns the events it logged. The copy becomes the state only if nothing reverted, so a reverting
call changes nothing, not even the funding that it recomputed. Whoever drives the market sets its time and oracle between calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from perpcomp.fixed import mul_integers
from perpcomp.guards.rules import funding, margins
from perpcomp.guards.rules.events import Event, FundingRecomputed, Issued, Reason, Revert
from perpcomp.guards.rules.funding import Funding
from perpcomp.guards.rules.margins import Position
from perpcomp.guards.rules.parameters import Parameters
from perpcomp.guards.rules.profiles import DEPLOYED, Profile

FEE_POOL = "feePool"


@dataclass(frozen=True)
class Oracle:
    """The price (sUSD, 1e-18), and what may be wrong with it.

    `invalid`: the rate is stale. `broken`: its circuit breaker tripped. `suspended`: the market. `synth_suspended`: the asset's synth.
    """

    price: int
    invalid: bool = False
    broken: bool = False
    suspended: bool = False
    synth_suspended: bool = False


@dataclass(frozen=True)
class Order:
    """A pending delayed order: its signed size and the deposits taken from the margin (commit_deposit exists in older contracts only)."""

    size_delta: int
    keeper_deposit: int
    commit_deposit: int = 0


@dataclass(frozen=True)
class Flag:
    """Who flagged an account, and what the flagger was paid at once (by the deployed code: nothing)."""

    flagger: str
    paid: int = 0


@dataclass
class State:
    """Everything that a market stores: sizes in the asset, entries in sUSD per unit, debt correction in sUSD."""

    skew: int = 0
    size: int = 0
    entries: list[int] = field(default_factory=lambda: [0])
    rate: int = 0
    recomputed_at: int = 0
    debt_correction: int = 0
    next_id: int = 1
    positions: dict[str, Position] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    flags: dict[str, Flag] = field(default_factory=dict)

    def copy(self) -> State:
        """An independent copy."""
        return replace(self, entries=[*self.entries], positions={**self.positions}, orders={**self.orders}, flags={**self.flags})


class Market:
    """One market under one profile. `now` (unix seconds), `oracle`, `parameters` and `endorsed` may be set between calls.

    `minted` is the sUSD that each account was issued, less what was burned. A call raises Revert with its Reason.
    """

    def __init__(self, parameters: Parameters, oracle: Oracle, now: int, profile: Profile = DEPLOYED, state: State | None = None) -> None:
        self.parameters, self.oracle, self.now, self.profile = parameters, oracle, now, profile
        self.state = state if state is not None else State(recomputed_at=now)
        self.endorsed: set[str] = set()
        self.through_proxy = True
        self.minted: dict[str, int] = {}

    def position(self, account: str) -> Position:
        """An account's position; an empty one where the account has none."""
        return self.state.positions.get(account, Position())

    def funding(self) -> Funding:
        """The funding that a recomputation now would store."""
        last = Funding(self.state.entries[-1], self.state.rate, self.state.recomputed_at)
        return funding.recomputed(last, self.state.skew, self.oracle.price, self.now, self.parameters)

    def accrued(self, account: str) -> int:
        """Funding (sUSD) that a position has accrued until now: + the trader receives."""
        position = self.position(account)
        if position.last_funding_index == 0:
            return 0
        return mul_integers(position.size, self.funding().entry - self.state.entries[position.last_funding_index])

    def remaining_margin(self, account: str) -> int:
        """What is left of an account's margin now, not below 0."""
        return margins.remaining_margin(self.position(account), self.oracle.price, self.accrued(account))

    def can_liquidate(self, account: str) -> bool:
        """The view: whether an account may be flagged. It checks price, circuit breaker and synth, but not a suspension of the market."""
        oracle = self.oracle
        if oracle.invalid or oracle.broken or oracle.synth_suspended or oracle.price == 0:
            return False
        return margins.can_liquidate(self.position(account), oracle.price, self.accrued(account), self.parameters, self.profile)


class Call:
    """One call while it runs: a copy of the state, the events so far, and minted amounts. Only `commit` changes the market."""

    def __init__(self, market: Market) -> None:
        if not market.through_proxy:
            raise Revert(Reason.NOT_PROXY)
        self.market, self.state = market, market.state.copy()
        self.events: list[Event] = []
        self.minted = {**market.minted}

    def refuse_flagged(self, account: str) -> None:
        """Revert where the account is flagged."""
        if account in self.state.flags:
            raise Revert(Reason.FLAGGED)

    def refuse_pending_order(self, account: str) -> None:
        """Revert where the account has a pending order."""
        if account in self.state.orders:
            raise Revert(Reason.ORDER_PENDING)

    def require_flag(self, account: str) -> None:
        """Revert where the account is not flagged."""
        if account not in self.state.flags:
            raise Revert(Reason.NOT_FLAGGED)

    def require_price(self) -> None:
        """Revert where the market or the synth is suspended or the oracle price is invalid."""
        if self.market.oracle.suspended:
            raise Revert(Reason.SUSPENDED)
        if self.market.oracle.synth_suspended:
            raise Revert(Reason.SYNTH_SUSPENDED)
        if self.market.oracle.invalid or self.market.oracle.broken:
            raise Revert(Reason.INVALID_PRICE)

    def recompute(self) -> None:
        """Check the price, then store the funding until now."""
        self.require_price()
        new = self.market.funding()  # no call changes the state before this, so the market's view holds
        self.state.entries.append(new.entry)
        self.state.rate, self.state.recomputed_at = new.rate, new.recomputed_at
        self.log(FundingRecomputed(new.entry, new.rate, len(self.state.entries) - 1, self.market.now))

    def position(self, account: str) -> Position:
        """An account's position as of now in this call."""
        return self.state.positions.get(account, Position())

    def accrued(self, position: Position) -> int:
        """Funding (sUSD) that a position has accrued until the newest entry."""
        if position.last_funding_index == 0:
            return 0
        return mul_integers(position.size, self.state.entries[-1] - self.state.entries[position.last_funding_index])

    def store(self, account: str, position: Position) -> None:
        """Store an account's position."""
        self.state.positions[account] = position

    def correct_debt(self, old: Position, new: Position) -> None:
        """Replace one position's part of the market's debt correction by another's."""
        self.state.debt_correction += self._correction(new) - self._correction(old)

    def _correction(self, position: Position) -> int:
        start = self.state.entries[position.last_funding_index]
        return position.margin - mul_integers(position.size, position.last_price + start)

    def log(self, event: Event) -> None:
        """Add an event."""
        self.events.append(event)

    def issue(self, account: str, value: int) -> None:
        """Mint sUSD where the value is not 0."""
        if value:
            self.minted[account] = self.minted.get(account, 0) + value
            self.log(Issued(account, value))

    def commit(self) -> list[Event]:
        """The call succeeded: make its state the market's, and return its events."""
        self.market.state, self.market.minted = self.state, self.minted
        return self.events
