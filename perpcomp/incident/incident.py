"""An incident: the facts and policies that its file states, each with its source."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from msgspec import Struct, field

from perpcomp.fixed import to_integer
from perpcomp.incident.adjustments import Adjustment, Ledger, LedgerFile
from perpcomp.incident.alarms import Alarms
from perpcomp.incident.chain import Chain
from perpcomp.incident.claims import ClaimFiles, ClaimPeriod
from perpcomp.incident.eligibility import Eligibility
from perpcomp.incident.expect import Expectation
from perpcomp.incident.funds import Budget, InsuranceFund
from perpcomp.incident.guards import Guards
from perpcomp.incident.input import PublishedTable
from perpcomp.incident.lists import beside
from perpcomp.incident.market import Market
from perpcomp.incident.payees import Payee, PayeeFiles
from perpcomp.incident.quote import Quote
from perpcomp.incident.received import Received
from perpcomp.incident.restore import Restore
from perpcomp.incident.rules import Rule
from perpcomp.incident.settlement import Leg
from perpcomp.incident.sources import Source
from perpcomp.incident.valuation import Valuation
from perpcomp.incident.vesting import Vesting


class Incident(Struct, frozen=True):
    """One incident file, checked. `raw` is the file byte for byte; `folder` is where its relative paths start.

    published_table is the published table that the run starts from instead of logs. Exclusions, payees, adjustments and account_kinds
    (address -> what stands there on the chain that pays) hold the lists of the incident, too.
    """

    name: str
    title: str
    notice: str
    system: str
    chain: Chain
    input: str | None
    blocks: str | None
    published_table: PublishedTable | None
    markets: tuple[Market, ...]
    eligibility: Eligibility
    valuation: Valuation
    restore: Restore | None
    formula: str
    formula_source: tuple[str, ...]
    rules: tuple[Rule, ...]
    rounding: str | None
    rounding_to: str
    allocation_source: tuple[str, ...]
    settlement: tuple[Leg, ...]
    quote: Quote | None
    payees: tuple[Payee, ...]
    payee_files: PayeeFiles
    received: tuple[Received, ...]
    adjustments: tuple[Adjustment, ...]
    ledger: LedgerFile
    vesting: Vesting
    claims: ClaimPeriod | None
    claim_files: ClaimFiles | None
    budgets: tuple[Budget, ...]
    insurance_fund: InsuranceFund | None
    expectations: tuple[Expectation, ...]
    guards: Guards
    alarms: Alarms | None
    sources: dict[str, Source]
    raw: bytes
    folder: Path
    account_kinds: Mapping[str, str] = field(default_factory=dict)
    book: Ledger | None = None  # how the ledger ends

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def fund_in_logs(self) -> InsuranceFund | None:
        """The insurance fund, where logs give its balance."""
        fund = self.insurance_fund
        return fund if fund is not None and fund.balance is None else None

    @property
    def addresses_of_logs(self) -> list[str]:
        """The contracts whose logs a run reads: those of [chain], the markets, and the token of an insurance fund that logs give."""
        fund = self.fund_in_logs
        return [*self.chain.contracts, *(market.amm for market in self.markets), *([fund.token] if fund else [])]

    @property
    def affected(self) -> tuple[Market, ...]:
        return tuple(market for market in self.markets if market.affected)

    @property
    def judges_by_guards(self) -> bool:
        """Whether a run says what guards would have done."""
        return self.guards.stated or bool(self.eligibility.guard_verdicts)

    @property
    def index_file(self) -> Path | None:
        """The file of index prices, beside the incident file; a published run holds all inputs in one folder."""
        if self.guards.index is None:
            return None
        return beside(self.folder, self.guards.index.file)

    @property
    def lists(self) -> tuple[Path, ...]:
        """The lists that the incident file names: exclusions, payees, account codes, the ledger."""
        names = (self.eligibility.exclude_file, self.payee_files.map, self.payee_files.code, self.ledger.file)
        return tuple(beside(self.folder, name) for name in names if name is not None)

    @property
    def quote_price(self) -> Decimal:
        """What one unit of the quote asset is worth in the asset of the settlement's prices."""
        return Decimal(1) if self.quote is None or self.quote.price is None else self.quote.price

    @property
    def received_by(self) -> dict[str, int]:
        """Trader -> what it got already (1e-18 of the quote asset)."""
        sums: dict[str, int] = {}
        for one in self.received:
            sums[one.address] = sums.get(one.address, 0) + to_integer(one.amount)
        return sums

    @property
    def contracts(self) -> dict[str, str]:
        """Address -> what it is, of every contract that the incident names."""
        named = dict.fromkeys(self.chain.contracts, "the contract of [chain]")
        named |= {market.amm: f"the market {market.name}" for market in self.markets}
        if self.fund_in_logs is not None:
            named |= {self.fund_in_logs.address: "the insurance fund", self.fund_in_logs.token: "the token of the insurance fund"}
        named.pop("", None)  # an incident that starts from claims names no contract
        return named | {leg.address: f"the token {leg.token}" for leg in self.settlement if leg.address is not None}

    @property
    def replays(self) -> bool:
        """Whether anything needs the market's state at some block, which the events of liquidations do not hold."""
        at_block = self.restore is not None and self.restore.at is not None
        return not self.valuation.by_event_alone or self.eligibility.by_replay or at_block
