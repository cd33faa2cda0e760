"""One TOML file -> one frozen Incident: the window, the markets, and every policy with its source.

Policy never stands in Python. A policy table without a source, an unknown key, a number that is no plain decimal, an address with a
wrong checksum: each is an error that names the table and the key, and all of them come at once.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from perpcomp import reading
from perpcomp.findings import InputError, near_miss, refusal
from perpcomp.reading import Section

MAX_QUERY_BYTES = 2**20
SYSTEMS = ("perpetual-v1", "synthetix_v2")
RESERVED = ("profiles", "vectors")  # words of `perpcomp guards`, where a query's name stands
FUND = "insurance fund"  # its name as a source of funds, beside the names of the budgets


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


SERIES = ".csv"
PRICES = ("reference", "mark", "curve", "twap", "index")
ORDERS = ("each-alone", "as-liquidated", "largest-first", "smallest-first")
VERDICTS = (
    *("LIQUIDATED", "FLAG_ONLY_DELTA", "FLAG_ONLY_PD", "FLAG_ONLY_BOTH"),
    *("NOT_FLAGGABLE_AT_INDEX", "NO_INDEX", "UNKNOWN"),
)
EXPECTED = ("traders", "positions", "liquidations", "entitlement", "margin", "amount", "eligible")


def shelf() -> Path:
    """The folder of the built-in incident files: in the wheel beside the code, in a checkout beside the package."""
    packaged = Path(__file__).parent / "queries"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "queries"


def find(query: str) -> Path:
    """The file behind a path or a built-in name; InputError with the near miss."""
    path = Path(query)
    if path.stem in RESERVED:
        raise refusal(query, f"'{path.stem}' is a word of `perpcomp guards` and no name for an incident.", "Rename the file.")
    if path.suffix == ".toml" and path.is_file():
        return path
    built_in = {p.stem: p for p in shelf().glob("*.toml")}
    if query in built_in:
        return built_in[query]
    if path.suffix == ".toml" or "/" in query:
        raise refusal(
            query, "There is no such file.", "Give the path of an incident file, or a built-in name: " + ", ".join(sorted(built_in))
        )
    raise refusal(query, "is no incident file and no built-in query.", near_miss(query, built_in))


def load(query: str) -> Incident:
    """The incident behind a path or a built-in name."""
    path = find(query)
    if path.stat().st_size > MAX_QUERY_BYTES:
        raise refusal(
            path.name, f"is {path.stat().st_size} bytes long; an incident file has at most {MAX_QUERY_BYTES}.", "Is it the right file?"
        )
    return parse(path.read_bytes(), path.stem, path.parent)


def parse(raw: bytes, name: str, folder: Path) -> Incident:
    """An Incident from the bytes of its file. InputError carries every problem found."""
    file = f"{name}.toml"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,79}", name):
        raise refusal(file, "is no name for an incident.", "Use lower-case letters, digits and hyphens: results go to outputs/NAME.")
    try:
        document = tomllib.loads(raw.decode("utf-8"), parse_float=reading.exact)
    except tomllib.TOMLDecodeError as error:
        raise refusal(file, f"is not valid TOML: {error}.", "Correct the line named.") from None
    except UnicodeDecodeError as error:
        raise refusal(file, f"is not UTF-8 (byte {error.start}).", "Save it as UTF-8 text.") from None
    except (RecursionError, ValueError):
        raise refusal(file, "nests too deeply or holds a number of thousands of digits.", "Is it the right file?") from None
    top = Section(file, "", document, [])
    incident = _incident(top, raw, name, folder)
    top.close()
    if top.problems:
        raise InputError(top.problems)
    assert incident is not None
    return incident


def _in_known(known: dict[str, Source], value: Any) -> tuple[str, ...]:
    keys = [value] if isinstance(value, str) else value
    if not isinstance(keys, list) or not keys or not all(isinstance(k, str) for k in keys):
        raise ValueError(f"is {reading.shown(value)}.", "Name a key of [sources], or a list of them.")
    for key in keys:
        if key not in known:
            raise ValueError(f'names "{key}", which is not in [sources].', near_miss(key, known))
    return tuple(keys)


def _source(section: Section, known: dict[str, Source]) -> tuple[str, ...]:
    """Every policy table names where it comes from."""
    if "source" not in section.table:
        section.asked.add("source")
        section.problem("", "has no source.", 'A voter must be able to see where it comes from. Add source = "<a key of [sources]>".')
        return ()
    return section.take("source", partial(_in_known, known)) or ()


def _sources(section: Section) -> dict[str, Source]:
    known = {}
    for key in section.table:
        if isinstance(section.table[key], dict):
            entry = Section(section.file, f"[sources.{key}]", section.table[key], section.problems)
            text, url = entry.take("text", reading.text), entry.take("url", reading.text, required=False)
            entry.close()
        else:
            text, url = section.take(key, reading.text), None
        section.asked.add(key)
        known[key] = Source(text or "", url)
    return known


def _incident(top: Section, raw: bytes, name: str, folder: Path) -> Incident | None:
    """The whole file. Values may be None where a problem was noted: the caller raises before anybody sees them."""
    known = _sources(top.sub("sources"))
    given = top.sub("input", required=False)
    formula, allocation = top.sub("formula"), top.sub("allocation")
    valuation, one_price = _valuation(top.sub("valuation"), known) if "valuation" in top.table else (Valuation(), None)
    incident = Incident(
        name=name,
        title=top.take("title", reading.text) or "",
        notice=top.take("notice", reading.text, "", required=False) or "",
        system=top.take("system", reading.choice(SYSTEMS)) or "",
        chain=_chain(top.sub("chain"), known, "settings" if top.table.get("system") == "synthetix_v2" else "clearing_house"),
        input=given.take("file", reading.inside, required=False),
        blocks=given.take("blocks", reading.inside, required=False),
        markets=tuple(_market(section, known, valuation, one_price) for section in top.each("market", required=True)),
        eligibility=_eligibility(top.sub("eligibility"), known),
        valuation=valuation,
        restore=_restore(top.sub("restore"), known) if "restore" in top.table else None,
        formula=formula.take("name", reading.text) or "",
        formula_source=_source(formula, known),
        rounding_to=allocation.take("rounded_off_to", reading.text) or "",
        allocation_source=_source(allocation, known),
        settlement=tuple(_leg(section, known) for section in top.each("settlement", required=True)),
        vesting=_vesting(top.sub("vesting"), known),
        budgets=tuple(_budget(section, known) for section in top.each("budget")),
        insurance_fund=_insurance_fund(top.sub("insurance_fund"), known) if "insurance_fund" in top.table else None,
        expectations=tuple(_expectation(section, known) for section in top.each("expect")),
        guards=_guards(top.sub("guards"), known) if "guards" in top.table else Guards(),
        sources=known,
        raw=raw,
        folder=folder,
    )
    for section in (given, formula, allocation):
        section.close()
    if not top.problems:
        _across(top, incident)
    return incident


def _across(top: Section, incident: Incident) -> None:
    """What no single key shows: shares that do not add up, names that stand twice, a window that ends before it starts."""
    if incident.system == "synthetix_v2" and (incident.replays or incident.restore or incident.fund_in_logs):
        what = (
            "has no pool, no fund and no replay: [valuation] at and price, [restore], [insurance_fund] and rules before the crash need one."
        )
        top.problem("system", f'"{incident.system}" {what}', "Remove them.")
    if sum((leg.share for leg in incident.settlement), Fraction()) != 1:
        top.problem("[[settlement]]", "shares do not add up to 1.", "Two legs of one half each: share = 0.5 in both.")
    for what, names in (
        ("[[market]] name", [m.name for m in incident.markets]),
        ("[[market]] amm", [m.amm for m in incident.markets]),
        ("[[settlement]] token", [leg.token for leg in incident.settlement]),
        ("[[eligibility.exclude]] address", [e.address for e in incident.eligibility.exclusions]),
        ("[[guards.limits]] market", [one.market or "every market" for one in incident.guards.limits]),
        ("[[budget]] name", [b.name for b in incident.budgets] + [FUND] * (incident.insurance_fund is not None)),
        ("[insurance_fund] address or token", _contracts(incident)),
    ):
        for twice in sorted({n for n in names if names.count(n) > 1}):
            top.problem(what, f'"{twice}" stands twice.', "Keep one.")
    if incident.valuation.price == "reference" and "price" in top.table.get("valuation", {}) and len(incident.affected) > 1:
        what = f"is one number for {len(incident.affected)} markets."
        top.problem("[valuation] price", what, "Give each affected [[market]] its own reference_price instead.")
    if incident.restore is not None:
        missing = [m.name for m in incident.affected if m.name not in incident.restore.pools]
        if incident.restore.at is None and missing:
            top.problem("[restore]", f"does not say at which pool {missing[0]} is opened again.", "Add at = BLOCK, or [[restore.pool]].")
        for name in incident.restore.pools:
            if name not in [m.name for m in incident.affected]:
                names = [m.name for m in incident.affected]
                top.problem("[[restore.pool]] market", f'"{name}" is no affected market.', near_miss(name, names))
    limited = [one.market for one in incident.guards.limits if one.market is not None]
    for name in sorted({n for n in limited if n not in [m.name for m in incident.markets]}):
        what = f'"{name}" is no market of this incident.'
        top.problem("[[guards.limits]] market", what, near_miss(name, [m.name for m in incident.markets]))
    if not incident.affected:
        top.problem("[[market]]", "none is affected.", "Set affected = true for the market that crashed.")
    if incident.eligibility.start >= incident.eligibility.end:
        written = incident.eligibility.as_written
        top.problem("[eligibility]", f"the window holds no second: {written}.", "Let it end after it starts; from is inside, to is not.")


def _contracts(incident: Incident) -> list[str]:
    """The contracts whose logs are told apart by address: with an insurance fund they must all differ."""
    fund = incident.fund_in_logs
    if fund is None:
        return []
    return [*{incident.chain.clearing_house, *(market.amm for market in incident.markets)}, fund.address, fund.token]


def _chain(section: Section, known: dict[str, Source], house: str) -> Chain:
    chain = Chain(
        id=section.take("id", reading.count) or 0,
        clearing_house=section.take(house, reading.address) or "",
        genesis=section.take("genesis", reading.block_hash, required=False),
        first_block=section.take("first_block", reading.count, required=False),
        liquidation_fee_ratio=section.take("liquidation_fee_ratio", reading.amount, required=False),
        source=_source(section, known),
    )
    section.close()
    return chain


def _market(section: Section, known: dict[str, Source], valuation: Valuation, one_price: Decimal | None) -> Market:
    affected = section.take("affected", reading.flag, False, required=False) or False
    elsewhere = valuation.price != "reference" or one_price is not None
    market = Market(
        name=section.take("name", reading.text) or "",
        amm=section.take("amm", reading.address) or "",
        affected=affected,
        reference_price=section.take("reference_price", reading.amount, required=affected and not elsewhere),
        crash_below=section.take("crash_below", reading.amount, required=False),
        source=_source(section, known),
    )
    section.close()
    if elsewhere and market.reference_price is not None:
        section.problem("reference_price", "stands beside the price of [valuation].", "Keep one of the two.")
    if affected and one_price is not None:
        return replace(market, reference_price=one_price, source=tuple(dict.fromkeys(market.source + valuation.source)))
    return market


def _valuation(section: Section, known: dict[str, Source]) -> tuple[Valuation, Decimal | None]:
    """The valuation, and its price where that is a number: it then is the reference price of the affected market."""
    price: str | Decimal | None = section.take("price", _price, required=False)
    valuation = Valuation(
        at=section.take("at", partial(_block_or_moment, or_words=("liquidation",)), required=False),
        price=price if isinstance(price, str) else "reference",
        source=_source(section, known),
    )
    section.close()
    return valuation, price if isinstance(price, Decimal) else None


def _price(value: Any) -> str | Decimal:
    if isinstance(value, str) and value.endswith(SERIES):
        return reading.inside(value)
    if isinstance(value, str):
        try:
            return reading.choice(PRICES)(value)
        except ValueError as error:
            raise ValueError(error.args[0], f"{error.args[1]} Or a number without quotes, or a {SERIES} file of prices.") from None
    return reading.amount(value)


def _block_or_moment(value: Any, or_words: tuple[str, ...] = ()) -> int | datetime | None:
    """A block or a time for all; None for one of the words."""
    if value in or_words:
        return None
    if isinstance(value, datetime):
        return reading.moment(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return reading.count(value)
    words = "".join(f'"{word}", ' for word in or_words)
    raise ValueError(f"is {reading.shown(value)}.", f"Write {words}a block as 13_500_195, or a time as 2021-02-20T22:45:00Z.")


def _restore(section: Section, known: dict[str, Source]) -> Restore:
    pools = {}
    for entry in section.each("pool"):
        name, quote, base = (
            entry.take("market", reading.text),
            entry.take("quote_reserve", reading.amount),
            entry.take("base_reserve", reading.amount),
        )
        entry.close()
        pools[name or ""] = (quote or Decimal(1), base or Decimal(1))
    restore = Restore(
        at=section.take("at", _block_or_moment, required=False),
        pools=pools,
        order=section.take("order", reading.choice(ORDERS)) or "",
        spread=section.take("spread", reading.amount_or_zero) or Decimal(0),
        source=_source(section, known),
    )
    section.close()
    return restore


def _eligibility(section: Section, known: dict[str, Source]) -> Eligibility:
    zone = section.take("time_zone", reading.zone, required=False)
    policy = reading.choice(("include", "exclude"))
    never = datetime.min.replace(tzinfo=UTC)
    start, end = section.take("from", partial(reading.moment, zone=zone)), section.take("to", partial(reading.moment, zone=zone))
    written = f"{section.table['from']} to {section.table['to']}" + (f" ({zone})" if zone else "") if start and end else ""
    exclusions = []
    for entry in section.each("exclude"):
        address, reason, evidence = (
            entry.take("address", reading.address),
            entry.take("reason", reading.text),
            entry.take("evidence", reading.text),
        )
        entry.close()
        exclusions.append(Exclusion(address or "", reason or "", evidence or ""))
    eligibility = Eligibility(
        start=start or never,
        end=end or never,
        as_written=written,
        rebound_shorts=section.take("rebound_shorts", policy) or "",
        opened_in_window=section.take("opened_in_window", policy) or "",
        second_life=section.take("second_life", policy) or "",
        self_liquidation=section.take("self_liquidation", policy) or "",
        surviving_life=section.take("surviving_life", reading.choice(("closed-share", "whole")), "closed-share", required=False) or "",
        minimum_leverage=section.take("minimum_leverage", reading.amount, required=False),
        maximum_leverage=section.take("maximum_leverage", reading.amount, required=False),
        minimum_leverage_before_crash=section.take("minimum_leverage_before_crash", reading.amount, required=False),
        maximum_leverage_before_crash=section.take("maximum_leverage_before_crash", reading.amount, required=False),
        liquidation_price_below=section.take("liquidation_price_below", reading.amount, required=False),
        minimum_index_drawdown=section.take("minimum_index_drawdown", reading.amount, required=False),
        maximum_index_drawdown=section.take("maximum_index_drawdown", reading.amount_or_zero, required=False),
        guard_verdicts=section.take("guard_verdicts", _verdicts, (), required=False) or (),
        exclusions=tuple(exclusions),
        source=_source(section, known),
    )
    section.close()
    return eligibility


def _leg(section: Section, known: dict[str, Source]) -> Leg:
    leg = Leg(
        token=section.take("token", reading.text) or "",
        decimals=section.take("decimals", _choice_of_decimals) or 0,
        address=section.take("address", reading.address, required=False),
        share=section.take("share", reading.ratio) or Fraction(),
        price=section.take("price", reading.amount) or Decimal(1),
        price_policy=section.take("price_policy", reading.text) or "",
        source=_source(section, known),
    )
    section.close()
    return leg


def _choice_of_decimals(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 18:
        raise ValueError(f"is {reading.shown(value)}.", "A token here has 1 to 18 decimals; USDC has 6, PERP 18.")
    return value


def _vesting(section: Section, known: dict[str, Source]) -> Vesting:
    calendar = section.take("calendar", reading.choice(("calendar-months", "fixed-days", "seconds", "blocks"))) or ""
    in_blocks = calendar == "blocks"
    vesting = Vesting(
        upfront=section.take("upfront", reading.ratio) or Fraction(),
        calendar=calendar,
        length=section.take("length", reading.count) or 1,
        tranches=section.take("tranches", reading.count) or 1,
        binding=section.take("binding", reading.choice(("tranches", "line")), "tranches", required=False) or "",
        start=section.take("start", reading.moment) or datetime.min.replace(tzinfo=UTC),
        start_block=section.take("start_block", reading.count, required=in_blocks),
        block_seconds=section.take("block_seconds", reading.amount, required=in_blocks),
        source=_source(section, known),
    )
    if not in_blocks and (vesting.start_block or vesting.block_seconds):
        section.problem("start_block", "belongs to a calendar of blocks.", 'Remove it and block_seconds, or set calendar = "blocks".')
    if vesting.tranches > 1000:
        section.problem("tranches", f"is {vesting.tranches}.", "At most 1000 dates; a finer schedule is a line.")
    section.close()
    return vesting


def _budget(section: Section, known: dict[str, Source]) -> Budget:
    budget = Budget(
        name=section.take("name", reading.text) or "",
        token=section.take("token", reading.text) or "",
        amount=section.take("amount", reading.amount) or Decimal(1),
        source=_source(section, known),
    )
    section.close()
    return budget


def _insurance_fund(section: Section, known: dict[str, Source]) -> InsuranceFund:
    given = "balance" in section.table
    fund = InsuranceFund(
        balance=section.take("balance", reading.amount_or_zero, required=False),
        address=section.take("address", reading.address, required=not given) or "",
        token=section.take("token", reading.address, required=not given) or "",
        decimals=section.take("decimals", _choice_of_decimals, required=not given) or 0,
        source=_source(section, known),
    )
    if given and (fund.address or fund.token or fund.decimals):
        what = "is given beside address, token or decimals, by which the logs would tell it."
        section.problem("balance", what, "Keep the number, or the contract: two balances could differ.")
    section.close()
    return fund


def _expectation(section: Section, known: dict[str, Source]) -> Expectation:
    what = section.take("what", reading.choice(EXPECTED)) or ""
    expectation = Expectation(
        what=what,
        value=section.take("value", reading.amount, required=what != "eligible"),
        trader=section.take("trader", reading.address, required=what == "eligible"),
        token=section.take("token", reading.text, required=what == "amount"),
        note=section.take("note", reading.text, "", required=False) or "",
        source=_source(section, known),
    )
    section.close()
    return expectation


def _guards(section: Section, known: dict[str, Source]) -> Guards:
    limits, index = [], None
    for one in section.each("limits"):
        most = (one.take("max_liquidation_delta", reading.limit), one.take("max_pd", reading.limit))
        limits.append(Limits(one.take("market", reading.text, required=False), *most, _source(one, known)))
        one.close()
    if "index" in section.table:
        given = section.sub("index")
        file, interval = given.take("file", reading.inside), given.take("interval", reading.count)
        index = IndexPrices(file or "", interval or 1, _source(given, known))
        given.close()
    guards = Guards(
        flag_rule=section.take("flag_rule", reading.choice(("index", "v1")), "index", required=False) or "",
        keeper=section.take("keeper", reading.choice(("historical", "eager")), "historical", required=False) or "",
        endorsed=section.take("endorsed", _addresses, (), required=False) or (),
        forced_delay=section.take("forced_delay", reading.count, 0, required=False) or 0,
        fluctuation_limit=section.take("fluctuation_limit", reading.amount, required=False),
        partial_liquidation_ratio=section.take("partial_liquidation_ratio", reading.amount, required=False),
        backstop_providers=section.take("backstop_providers", _addresses, (), required=False) or (),
        limits=tuple(limits),
        index=index,
        source=_source(section, known),
    )
    section.close()
    return guards


def _verdicts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"is {reading.shown(value)}, not a list.", f"Write verdicts in brackets, of {', '.join(VERDICTS)}.")
    return tuple(reading.choice(VERDICTS)(one) for one in value)


def _addresses(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"is {reading.shown(value)}, not a list.", "Write addresses in brackets, each in quotes.")
    return tuple(reading.address(one) for one in value)
