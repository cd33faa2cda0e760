"""One TOML file -> one frozen Incident.

A policy table without a source, an unknown key, a number that is no plain decimal, an address with a wrong checksum: each is an error
that names the table and the key, and all of them come at once.
"""

import re
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from perpcomp import reading
from perpcomp.findings import InputError, near_miss, refusal
from perpcomp.incident import (
    EXPECTED,
    FUND,
    ORDERS,
    PRICES,
    SERIES,
    SYSTEMS,
    VERDICTS,
    Budget,
    Chain,
    Eligibility,
    Exclusion,
    Expectation,
    Guards,
    Incident,
    IndexPrices,
    InsuranceFund,
    Leg,
    Limits,
    Market,
    Restore,
    Source,
    Valuation,
    Vesting,
)
from perpcomp.reading import Section

MAX_QUERY_BYTES = 2**20
RESERVED = ("profiles", "vectors")  # words of `perpcomp guards`, where a query's name stands


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
