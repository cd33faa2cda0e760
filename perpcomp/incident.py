"""What is known of one incident, and every policy for it: the window, the markets, who is compensated, by which rule, in what, and when.

All of it comes from one file (incident_file.py), each policy with its source; nothing of it stands in Python.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

SYSTEMS = ("perpetual-v1", "synthetix_v2")
FUND = "insurance fund"  # its name as a source of funds, beside the names of the budgets
SERIES = ".csv"  # how the name of a file of prices ends
PRICES = ("reference", "mark", "curve", "twap", "index")
ORDERS = ("each-alone", "as-liquidated", "largest-first", "smallest-first")
VERDICTS = (
    *("LIQUIDATED", "FLAG_ONLY_DELTA", "FLAG_ONLY_PD", "FLAG_ONLY_BOTH"),
    *("NOT_FLAGGABLE_AT_INDEX", "NO_INDEX", "UNKNOWN"),
)
EXPECTED = ("traders", "positions", "liquidations", "entitlement", "margin", "amount", "eligible")


@dataclass(frozen=True)
class Chain:
    """Where the protocol lives. clearing_house is the contract beside the markets whose logs count: the ClearingHouse, or for synthetix_v2
    PerpsV2MarketSettings, named by the key `settings`. genesis is the hash of the chain's first block. liquidation_fee_ratio (/1) is assumed where no log of the ClearingHouse states it."""

    id: int
    clearing_house: str
    genesis: str | None
    first_block: int | None
    liquidation_fee_ratio: Decimal | None
    source: tuple[str, ...]


@dataclass(frozen=True)
class Market:
    """One market. Only the affected ones are compensated; reference_price is USDC per base."""

    name: str
    amm: str
    affected: bool
    reference_price: Decimal | None
    crash_below: Decimal | None
    source: tuple[str, ...]


@dataclass(frozen=True)
class Exclusion:
    """An address that is not compensated, whatever happened to it."""

    address: str
    reason: str
    evidence: str


@dataclass(frozen=True)
class Eligibility:
    """Who is in. The window is half-open, [start, end), in UTC; the policies are 'include' or 'exclude'."""

    start: datetime
    end: datetime
    as_written: str
    rebound_shorts: str
    opened_in_window: str
    second_life: str
    self_liquidation: str
    surviving_life: str
    minimum_leverage: Decimal | None
    maximum_leverage: Decimal | None
    minimum_leverage_before_crash: Decimal | None
    maximum_leverage_before_crash: Decimal | None
    liquidation_price_below: Decimal | None
    minimum_index_drawdown: Decimal | None
    maximum_index_drawdown: Decimal | None
    guard_verdicts: tuple[str, ...]  # only liquidations of these; empty: not asked
    exclusions: tuple[Exclusion, ...]
    source: tuple[str, ...]

    @property
    def by_replay(self) -> bool:
        """Whether a rule asks what only a replay of the market tells."""
        asked = (self.minimum_leverage_before_crash, self.maximum_leverage_before_crash, self.liquidation_price_below)
        return any(limit is not None for limit in asked)


@dataclass(frozen=True)
class Valuation:
    """When a position is looked at, and what it is worth then.

    at None: each at its own liquidation, by the event alone; else a block, or a time, for all. price: reference (each market's
    reference_price), mark (the market's spot), curve, twap, index, or the name of a file of prices.
    """

    at: int | datetime | None = None
    price: str = "reference"
    source: tuple[str, ...] = ()

    @property
    def series(self) -> str | None:
        """The file of prices, where `price` names one."""
        return self.price if self.price.endswith(SERIES) else None

    @property
    def by_event_alone(self) -> bool:
        """Whether it needs nothing but the liquidation's own event: no other moment, and no price of the market's."""
        return self.at is None and (self.price == "reference" or self.series is not None)


@dataclass(frozen=True)
class Restore:
    """Giving the same sizes back on the AMM's curve: at which pool, in which order, with which fee (spread, /1, of what is moved).

    at is the block or time whose reserves are taken; pools states them instead, by market name: (USDC, base).
    """

    at: int | datetime | None
    pools: Mapping[str, tuple[Decimal, Decimal]]
    order: str
    spread: Decimal
    source: tuple[str, ...]


@dataclass(frozen=True)
class Leg:
    """One token that is paid: its share of the value, and the price (USDC per token) at which that value is converted."""

    token: str
    decimals: int
    address: str | None
    share: Fraction
    price: Decimal
    price_policy: str
    source: tuple[str, ...]


@dataclass(frozen=True)
class Vesting:
    """When it unlocks: `upfront` at the start, the rest in `tranches` (or along a line) until the end.

    calendar is calendar-months, fixed-days, seconds or blocks, and `length` counts that unit. binding is tranches or line.
    start_block and block_seconds belong to a calendar of blocks.
    """

    upfront: Fraction
    calendar: str
    length: int
    tranches: int
    binding: str
    start: datetime
    start_block: int | None
    block_seconds: Decimal | None
    source: tuple[str, ...]


@dataclass(frozen=True)
class Budget:
    """An amount somebody named. Totals are compared with it; it does not cut them."""

    name: str
    token: str
    amount: Decimal
    source: tuple[str, ...]


@dataclass(frozen=True)
class InsuranceFund:
    """What the protocol could pay with by itself: a balance that is given (USDC), or else the contract whose Transfer logs give it.

    token is the ERC-20 that it holds, USDC, of so many decimals. Where the balance is given, address and token are "".
    """

    balance: Decimal | None
    address: str
    token: str
    decimals: int
    source: tuple[str, ...]


@dataclass(frozen=True)
class Expectation:
    """A published figure, compared with the result and never used. `what` says which; trader or token where it needs one."""

    what: str
    value: Decimal | None
    trader: str | None
    token: str | None
    note: str
    source: tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """A market's liquidation guards: the most one liquidation may move the price, and the most the price may differ from the index.

    Both are parts of the index price (/1); None: no limit. 0 lets nothing pass but a forced liquidation.
    """

    market: str | None  # None: every market without limits of its own
    max_liquidation_delta: Decimal | None
    max_pd: Decimal | None
    source: tuple[str, ...]


@dataclass(frozen=True)
class IndexPrices:
    """A file of index prices, with the columns market_name, time and price: a row every `interval` seconds or less of each market."""

    file: str
    interval: int
    source: tuple[str, ...]


@dataclass(frozen=True)
class Guards:
    """Liquidation guards to try on history. Without limits each market's own fees give them.

    flag_rule says at which price an account may be flagged: `index`, or `v1` by the contracts' own margin ratio. keeper: `historical`
    tries an account first when history liquidated it, `eager` as soon as it may be. Accounts of liquidators that are `endorsed` may be
    forced through the guards `forced_delay` seconds after the flag. The rest are settings that Perp V1's later guards need.
    """

    flag_rule: str = "index"
    keeper: str = "historical"
    endorsed: tuple[str, ...] = ()
    forced_delay: int = 0
    fluctuation_limit: Decimal | None = None
    partial_liquidation_ratio: Decimal | None = None
    backstop_providers: tuple[str, ...] = ()
    limits: tuple[Limits, ...] = ()
    index: IndexPrices | None = None
    source: tuple[str, ...] = ()

    @property
    def stated(self) -> bool:
        """Whether the incident file has them."""
        return bool(self.source)


@dataclass(frozen=True)
class Source:
    """A text that a policy comes from."""

    text: str
    url: str | None


@dataclass(frozen=True)
class Incident:
    """One incident file, checked. `raw` is the file byte for byte; `folder` is where its relative paths start."""

    name: str
    title: str
    notice: str
    system: str
    chain: Chain
    input: str | None
    blocks: str | None
    markets: tuple[Market, ...]
    eligibility: Eligibility
    valuation: Valuation
    restore: Restore | None
    formula: str
    formula_source: tuple[str, ...]
    rounding_to: str
    allocation_source: tuple[str, ...]
    settlement: tuple[Leg, ...]
    vesting: Vesting
    budgets: tuple[Budget, ...]
    insurance_fund: InsuranceFund | None
    expectations: tuple[Expectation, ...]
    guards: Guards
    sources: dict[str, Source]
    raw: bytes
    folder: Path

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def fund_in_logs(self) -> InsuranceFund | None:
        """The insurance fund, where its balance is to be read from logs."""
        fund = self.insurance_fund
        return fund if fund is not None and fund.balance is None else None

    @property
    def affected(self) -> tuple[Market, ...]:
        return tuple(market for market in self.markets if market.affected)

    @property
    def judges_by_guards(self) -> bool:
        """Whether a run asks what guards would have done."""
        return self.guards.stated or bool(self.eligibility.guard_verdicts)

    @property
    def index_file(self) -> Path | None:
        """The file of index prices, beside the incident file; in a published run all inputs stand in one folder."""
        if self.guards.index is None:
            return None
        beside = self.folder / self.guards.index.file
        return beside if beside.exists() else self.folder / beside.name

    @property
    def replays(self) -> bool:
        """Whether anything asks for the market's own state at some block, beyond the liquidations' events."""
        at_block = self.restore is not None and self.restore.at is not None
        return not self.valuation.by_event_alone or self.eligibility.by_replay or at_block
