"""The state of a Perps V2 market, its views, and what every call on it has in common. The calls: liquidation.py and trading.py.

A call works on a copy of the state and hands back the events it logged; the copy becomes the state only where nothing reverted, so a
reverting call changes nothing, the funding that it recomputed included. Time and oracle are the driver's to set between calls.
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
    """The price (sUSD, 1e-18) and what may be wrong: a stale rate, a tripped circuit breaker, a suspended market."""

    price: int
    invalid: bool = False
    broken: bool = False
    suspended: bool = False


@dataclass(frozen=True)
class Order:
    """A delayed order that waits: its signed size, and the deposits taken from the margin (commit_deposit is from older contracts)."""

    size_delta: int
    keeper_deposit: int
    commit_deposit: int = 0


@dataclass(frozen=True)
class Flag:
    """Who flagged an account, and what they were paid at once: nothing by the deployed code."""

    flagger: str
    paid: int = 0


@dataclass
class State:
    """Everything that a market stores. Sizes in the asset, debt correction in sUSD."""

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
        """One that can be changed without this one."""
        return replace(self, entries=[*self.entries], positions={**self.positions}, orders={**self.orders}, flags={**self.flags})


class Market:
    """One market under one profile. `now` (unix seconds), `oracle`, `parameters` and `endorsed` may be set between calls.

    `minted` sums what every account was ever issued, less what was burned. A call raises Revert with its Reason.
    """

    def __init__(self, parameters: Parameters, oracle: Oracle, now: int, profile: Profile = DEPLOYED, state: State | None = None) -> None:
        self.parameters, self.oracle, self.now, self.profile = parameters, oracle, now, profile
        self.state = state if state is not None else State(recomputed_at=now)
        self.endorsed: set[str] = set()
        self.through_proxy = True
        self.minted: dict[str, int] = {}

    def position(self, account: str) -> Position:
        """An account's position; an empty one where there is none."""
        return self.state.positions.get(account, Position())

    def funding(self) -> Funding:
        """The funding that a recomputation now would store."""
        last = Funding(self.state.entries[-1], self.state.rate, self.state.recomputed_at)
        return funding.recomputed(last, self.state.skew, self.oracle.price, self.now, self.parameters)

    def accrued(self, account: str) -> int:
        """Funding (sUSD) that a position has accrued until now, + it receives."""
        position = self.position(account)
        if position.last_funding_index == 0:
            return 0
        return mul_integers(position.size, self.funding().entry - self.state.entries[position.last_funding_index])

    def remaining_margin(self, account: str) -> int:
        """What is left of an account's margin now, not below 0."""
        return margins.remaining_margin(self.position(account), self.oracle.price, self.accrued(account))

    def can_liquidate(self, account: str) -> bool:
        """The view: whether an account could be flagged, as far as price and suspension go. It does not see the circuit breaker."""
        if self.oracle.invalid or self.oracle.suspended or self.oracle.price == 0:
            return False
        return margins.can_liquidate(self.position(account), self.oracle.price, self.accrued(account), self.parameters, self.profile)


class Call:
    """One call while it runs: a copy of the state, the events so far and what they mint. Only `commit` touches the market."""

    def __init__(self, market: Market) -> None:
        if not market.through_proxy:
            raise Revert(Reason.NOT_PROXY)
        self.market, self.state = market, market.state.copy()
        self.events: list[Event] = []
        self.minted = {**market.minted}

    def refuse_flagged(self, account: str) -> None:
        """The account's flag blocks the call."""
        if account in self.state.flags:
            raise Revert(Reason.FLAGGED)

    def require_flag(self, account: str) -> None:
        """The call is for flagged accounts."""
        if account not in self.state.flags:
            raise Revert(Reason.NOT_FLAGGED)

    def require_price(self) -> None:
        """The market is open and the oracle's price may be used."""
        if self.market.oracle.suspended:
            raise Revert(Reason.SUSPENDED)
        if self.market.oracle.invalid or self.market.oracle.broken:
            raise Revert(Reason.INVALID_PRICE)

    def recompute(self) -> None:
        """Store the funding until now, after the checks of the price."""
        self.require_price()
        new = self.market.funding()  # nothing in a call comes before it
        self.state.entries.append(new.entry)
        self.state.rate, self.state.recomputed_at = new.rate, new.recomputed_at
        self.log(FundingRecomputed(new.entry, new.rate, len(self.state.entries) - 1, self.market.now))

    def position(self, account: str) -> Position:
        """An account's position as of now in this call."""
        return self.state.positions.get(account, Position())

    def accrued(self, position: Position) -> int:
        """What a position has accrued until the newest entry."""
        if position.last_funding_index == 0:
            return 0
        return mul_integers(position.size, self.state.entries[-1] - self.state.entries[position.last_funding_index])

    def store(self, account: str, position: Position) -> None:
        """Keep an account's position."""
        self.state.positions[account] = position

    def correct_debt(self, old: Position, new: Position) -> None:
        """Let the market's debt correction follow from one position to another."""
        self.state.debt_correction += self._correction(new) - self._correction(old)

    def _correction(self, position: Position) -> int:
        start = self.state.entries[position.last_funding_index]
        return position.margin - mul_integers(position.size, position.last_price + start)

    def log(self, event: Event) -> None:
        """An event, in order."""
        self.events.append(event)

    def issue(self, account: str, value: int) -> None:
        """Mint sUSD, if any."""
        if value:
            self.minted[account] = self.minted.get(account, 0) + value
            self.log(Issued(account, value))

    def commit(self) -> list[Event]:
        """The call succeeded: its state is the market's."""
        self.market.state, self.market.minted = self.state, self.minted
        return self.events
