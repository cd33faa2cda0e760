"""One TOML file -> one frozen Incident: the window, the markets, and every policy with its source.

Policy never stands in Python. A policy table without a source, an unknown key, a number that is no plain decimal, an address with a
wrong checksum: each is an error that names the table and the key, and all of them come at once.
"""

import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.fixed import to_integer

MAX_QUERY_BYTES = 2**20
SYSTEMS = ("perpetual-v1",)
T = TypeVar("T")


@dataclass(frozen=True)
class Chain:
    """Where the protocol lives. liquidation_fee_ratio (/1) is assumed where no log of the ClearingHouse states it."""

    id: int
    clearing_house: str
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
    exclusions: tuple[Exclusion, ...]
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
class Expectation:
    """A published figure, compared with the result and never used. `what` says which; trader or token where it needs one."""

    what: str
    value: Decimal | None
    trader: str | None
    token: str | None
    note: str
    source: tuple[str, ...]


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
    formula: str
    formula_source: tuple[str, ...]
    rounding_to: str
    allocation_source: tuple[str, ...]
    settlement: tuple[Leg, ...]
    vesting: Vesting
    budgets: tuple[Budget, ...]
    expectations: tuple[Expectation, ...]
    sources: dict[str, Source]
    raw: bytes
    folder: Path

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def affected(self) -> tuple[Market, ...]:
        return tuple(market for market in self.markets if market.affected)


EXPECTED = ("traders", "positions", "liquidations", "entitlement", "margin", "amount", "eligible")


def shelf() -> Path:
    """The folder of the built-in incident files: in the wheel beside the code, in a checkout beside the package."""
    packaged = Path(__file__).parent / "queries"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "queries"


def find(query: str) -> Path:
    """The file behind a path or a built-in name; InputError with the near miss."""
    path = Path(query)
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
        document = tomllib.loads(raw.decode("utf-8"), parse_float=_exact)
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


class _BadNumber(str):
    """A TOML float that is no plain decimal (1e5, nan, inf), kept to be named where it stands."""


def _exact(text: str) -> Decimal | _BadNumber:
    plain = text.replace("_", "")
    return Decimal(plain) if re.fullmatch(r"[+-]?[0-9]+\.[0-9]+", plain, re.ASCII) else _BadNumber(text)


class Section:
    """One table of the file while it is read: hands out checked values, collects problems, knows which keys were never asked for."""

    def __init__(self, file: str, path: str, table: dict[str, Any], problems: list[Finding]) -> None:
        self.file, self.path, self.table, self.problems = file, path, table, problems
        self.asked: set[str] = set()

    def problem(self, key: str, what: str, what_to_do: str) -> None:
        place = f"{self.file}: {self.path + ' ' if self.path else ''}{key}".strip()
        self.problems.append(Finding("error", place, what, what_to_do))

    def take(self, key: str, read: Callable[[Any], T], default: T | None = None, *, required: bool = True) -> T | None:
        """The value of a key through `read`, which raises ValueError(what is wrong, what to do)."""
        self.asked.add(key)
        if key not in self.table:
            if required and default is None:
                self.problem(key, "is missing.", f"Add it to {self.path or 'the file'}.")
            return default
        try:
            return read(self.table[key])
        except ValueError as error:
            if len(error.args) != 2:  # not ours: an integer too long to be shown
                error = ValueError("is a number of thousands of digits.", "Correct it.")
            self.problem(key, *error.args)
            return default

    def sub(self, key: str, *, required: bool = True) -> "Section":
        self.asked.add(key)
        value = self.table.get(key)
        if value is None and required:
            self.problem(f"[{key}]", "is missing.", "Every incident states it.")
        if value is not None and not isinstance(value, dict):
            self.problem(key, "is not a table.", f"Write [{key}].")
        if isinstance(value, dict):
            return Section(self.file, f"[{key}]", value, self.problems)
        return Section(self.file, f"[{key}]", {}, [])  # what it would miss is said already

    def each(self, key: str, *, required: bool = False) -> "list[Section]":
        self.asked.add(key)
        values = self.table.get(key, [])
        name = f"[[{self.path[1:-1] + '.' if self.path else ''}{key}]]"
        if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
            self.problem(key, "is not a list of tables.", f"Write {name}.")
        elif required and not values:
            self.problem(name, "is missing.", "Every incident states at least one.")
        else:
            return [Section(self.file, f"{name} {n}", value, self.problems) for n, value in enumerate(values, 1)]
        return []

    def close(self) -> None:
        """Whatever was never asked for is unknown."""
        for key in self.table:
            if key not in self.asked:
                self.problem(key, "is unknown.", near_miss(key, self.asked))


# Readers: a raw TOML value -> a checked one, or ValueError(what is wrong, what to do).


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {_shown(value)}, not a text.", "Write it in quotes.")
    bad = next(
        (c for c in value if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") or c in "\ufffe\uffff"),
        None,
    )
    if bad is not None:
        raise ValueError(f"holds the character U+{ord(bad):04X}.", "Remove it: it cannot be seen, and it changes what is shown.")
    if value.lstrip()[0] in "=+-@＝＋－＠":
        raise ValueError(f"starts with {value.lstrip()[0]!r}.", "A spreadsheet would read it as a formula: begin with a word.")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is {_shown(value)}.", "Write true or false.")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 10**15:
        raise ValueError(f"is {_shown(value)}.", "Write a whole number above 0.")
    return value


def _amount(value: Any) -> Decimal:
    """An exact number above 0 with at most 18 places, from a TOML integer or decimal."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        hint = "Write a plain decimal without quotes, as 0.5 or 50_000; no exponent, no nan, no inf."
        raise ValueError(f"is {_shown(value)}, not a plain decimal.", hint)
    try:
        integer = to_integer(Decimal(value))
    except ValueError:
        raise ValueError(f"is {_shown(value)}.", "Write a number below 1e20 with at most 18 decimals.") from None
    if integer <= 0:
        raise ValueError(f"is {_shown(value)}.", "It must be above 0.")
    return Decimal(value)


def _ratio(value: Any) -> Fraction:
    """A share between 0 and 1: a decimal, 0, 1, or a fraction in quotes."""
    match = re.fullmatch(r"([0-9]{1,9})/([1-9][0-9]{0,8})", value, re.ASCII) if isinstance(value, str) else None
    if match:
        ratio = Fraction(int(match[1]), int(match[2]))
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        ratio = Fraction(value)
    else:
        raise ValueError(f"is {_shown(value)}.", 'Write a share as 0.5 or as "1/3".')
    if not 0 <= ratio <= 1:
        raise ValueError(f"is {_shown(value)}.", "A share lies between 0 and 1.")
    return ratio


def _shown(value: Any) -> str:
    """A value as the file writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return f"{value}" if isinstance(value, _BadNumber | int) else f'"{value}"' if isinstance(value, str) else repr(value)


def _choice(allowed: Iterable[str]) -> Callable[[Any], str]:
    names = tuple(allowed)

    def read(value: Any) -> str:
        if value not in names:
            raise ValueError(f"is {_shown(value)}.", near_miss(str(value), names))
        return str(value)

    return read


def _address(value: Any) -> str:
    """A lower-case address. Mixed case must carry a right EIP-55 checksum."""
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-fA-F]{40}", value, re.ASCII):
        strange = next((c for c in value if not c.isascii()), None) if isinstance(value, str) else None
        if strange:
            raise ValueError(
                f"holds {strange!r} (U+{ord(strange):04X}).", "It only looks like a hex digit: copy the address from an explorer."
            )
        raise ValueError(f"is {_shown(value)}, not an address.", "Write 0x and 40 hex digits, in quotes.")
    if value[2:] not in (value[2:].lower(), value[2:].upper()) or value[2:].isupper():
        from eth_utils.address import to_checksum_address  # 0.1 s to import: only where there is something to check

        if to_checksum_address(value.lower()) != value:
            raise ValueError(
                f"{value} has a wrong checksum.",
                "A digit or its case is wrong: copy the address from an explorer, or write it in lower case.",
            )
    return value.lower()


def _inside(value: Any) -> str:
    """A relative path that stays in the incident file's folder."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._/-]{1,120}", value):
        raise ValueError(
            f"is {_shown(value)}, not a plain file name.",
            "Use letters, digits and . _ - /, at most 120, and rename the file where it has others.",
        )
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError(
            f"is {_shown(value)}, which leaves the folder of the incident file.",
            "Put the file beside or below the incident file and name it from there.",
        )
    return value


def _moment(value: Any, zone: str | None = None) -> datetime:
    """A time in UTC: from one with an offset, or from a local one and a zone's name."""
    if not isinstance(value, datetime):
        raise ValueError(f"is {_shown(value)}, not a time.", "Write 2021-02-20T22:45:00Z, without quotes.")
    if value.microsecond:
        raise ValueError(f"is {value.isoformat()}.", "Whole seconds only: a block has no fraction of one.")
    if not 1970 <= value.year < 9999:
        raise ValueError(f"is {value.isoformat()}.", "No block is that old or that new: correct the year.")
    if value.tzinfo is not None:
        return value.astimezone(UTC)
    if zone is None:
        raise ValueError(f"is {value.isoformat()} without a zone.", 'Add Z or an offset as +08:00, or time_zone = "Asia/Taipei" beside it.')
    local = value.replace(tzinfo=ZoneInfo(zone))
    if (
        local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != value
        or local.utcoffset() != local.replace(fold=1).utcoffset()
    ):
        raise ValueError(
            f"{value.isoformat()} happens twice or not at all in {zone}.", "The clocks change there: write it in UTC, with a Z."
        )
    return local.astimezone(UTC)


def _zone(value: Any) -> str:
    if value not in available_timezones():
        raise ValueError(f"is {_shown(value)}, no time zone.", 'Write the name of the zone database, as "Asia/Taipei", or "UTC".')
    return str(value)


def _in_known(known: dict[str, Source], value: Any) -> tuple[str, ...]:
    keys = [value] if isinstance(value, str) else value
    if not isinstance(keys, list) or not keys or not all(isinstance(k, str) for k in keys):
        raise ValueError(f"is {_shown(value)}.", "Name a key of [sources], or a list of them.")
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
            text, url = entry.take("text", _text), entry.take("url", _text, required=False)
            entry.close()
        else:
            text, url = section.take(key, _text), None
        section.asked.add(key)
        known[key] = Source(text or "", url)
    return known


def _incident(top: Section, raw: bytes, name: str, folder: Path) -> Incident | None:
    """The whole file. Values may be None where a problem was noted: the caller raises before anybody sees them."""
    known = _sources(top.sub("sources"))
    given = top.sub("input", required=False)
    formula, allocation = top.sub("formula"), top.sub("allocation")
    incident = Incident(
        name=name,
        title=top.take("title", _text) or "",
        notice=top.take("notice", _text, "", required=False) or "",
        system=top.take("system", _choice(SYSTEMS)) or "",
        chain=_chain(top.sub("chain"), known),
        input=given.take("file", _inside, required=False),
        blocks=given.take("blocks", _inside, required=False),
        markets=tuple(_market(section, known) for section in top.each("market", required=True)),
        eligibility=_eligibility(top.sub("eligibility"), known),
        formula=formula.take("name", _text) or "",
        formula_source=_source(formula, known),
        rounding_to=allocation.take("rounded_off_to", _text) or "",
        allocation_source=_source(allocation, known),
        settlement=tuple(_leg(section, known) for section in top.each("settlement", required=True)),
        vesting=_vesting(top.sub("vesting"), known),
        budgets=tuple(_budget(section, known) for section in top.each("budget")),
        expectations=tuple(_expectation(section, known) for section in top.each("expect")),
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
    if sum((leg.share for leg in incident.settlement), Fraction()) != 1:
        top.problem("[[settlement]]", "shares do not add up to 1.", "Two legs of one half each: share = 0.5 in both.")
    for what, names in (
        ("[[market]] name", [m.name for m in incident.markets]),
        ("[[market]] amm", [m.amm for m in incident.markets]),
        ("[[settlement]] token", [leg.token for leg in incident.settlement]),
        ("[[eligibility.exclude]] address", [e.address for e in incident.eligibility.exclusions]),
    ):
        for twice in sorted({n for n in names if names.count(n) > 1}):
            top.problem(what, f'"{twice}" stands twice.', "Keep one.")
    if not incident.affected:
        top.problem("[[market]]", "none is affected.", "Set affected = true for the market that crashed.")
    if incident.eligibility.start >= incident.eligibility.end:
        written = incident.eligibility.as_written
        top.problem("[eligibility]", f"the window holds no second: {written}.", "Let it end after it starts; from is inside, to is not.")


def _chain(section: Section, known: dict[str, Source]) -> Chain:
    chain = Chain(
        id=section.take("id", _count) or 0,
        clearing_house=section.take("clearing_house", _address) or "",
        first_block=section.take("first_block", _count, required=False),
        liquidation_fee_ratio=section.take("liquidation_fee_ratio", _amount, required=False),
        source=_source(section, known),
    )
    section.close()
    return chain


def _market(section: Section, known: dict[str, Source]) -> Market:
    affected = section.take("affected", _flag, False, required=False) or False
    market = Market(
        name=section.take("name", _text) or "",
        amm=section.take("amm", _address) or "",
        affected=affected,
        reference_price=section.take("reference_price", _amount, required=affected),
        crash_below=section.take("crash_below", _amount, required=False),
        source=_source(section, known),
    )
    section.close()
    return market


def _eligibility(section: Section, known: dict[str, Source]) -> Eligibility:
    zone = section.take("time_zone", _zone, required=False)
    policy = _choice(("include", "exclude"))
    never = datetime.min.replace(tzinfo=UTC)
    start, end = section.take("from", partial(_moment, zone=zone)), section.take("to", partial(_moment, zone=zone))
    written = f"{section.table['from']} to {section.table['to']}" + (f" ({zone})" if zone else "") if start and end else ""
    exclusions = []
    for entry in section.each("exclude"):
        address, reason, evidence = entry.take("address", _address), entry.take("reason", _text), entry.take("evidence", _text)
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
        surviving_life=section.take("surviving_life", _choice(("closed-share", "whole")), "closed-share", required=False) or "",
        minimum_leverage=section.take("minimum_leverage", _amount, required=False),
        maximum_leverage=section.take("maximum_leverage", _amount, required=False),
        exclusions=tuple(exclusions),
        source=_source(section, known),
    )
    section.close()
    return eligibility


def _leg(section: Section, known: dict[str, Source]) -> Leg:
    leg = Leg(
        token=section.take("token", _text) or "",
        decimals=section.take("decimals", _choice_of_decimals) or 0,
        address=section.take("address", _address, required=False),
        share=section.take("share", _ratio) or Fraction(),
        price=section.take("price", _amount) or Decimal(1),
        price_policy=section.take("price_policy", _text) or "",
        source=_source(section, known),
    )
    section.close()
    return leg


def _choice_of_decimals(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 18:
        raise ValueError(f"is {_shown(value)}.", "A token here has 1 to 18 decimals; USDC has 6, PERP 18.")
    return value


def _vesting(section: Section, known: dict[str, Source]) -> Vesting:
    calendar = section.take("calendar", _choice(("calendar-months", "fixed-days", "seconds", "blocks"))) or ""
    in_blocks = calendar == "blocks"
    vesting = Vesting(
        upfront=section.take("upfront", _ratio) or Fraction(),
        calendar=calendar,
        length=section.take("length", _count) or 1,
        tranches=section.take("tranches", _count) or 1,
        binding=section.take("binding", _choice(("tranches", "line")), "tranches", required=False) or "",
        start=section.take("start", _moment) or datetime.min.replace(tzinfo=UTC),
        start_block=section.take("start_block", _count, required=in_blocks),
        block_seconds=section.take("block_seconds", _amount, required=in_blocks),
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
        name=section.take("name", _text) or "",
        token=section.take("token", _text) or "",
        amount=section.take("amount", _amount) or Decimal(1),
        source=_source(section, known),
    )
    section.close()
    return budget


def _expectation(section: Section, known: dict[str, Source]) -> Expectation:
    what = section.take("what", _choice(EXPECTED)) or ""
    expectation = Expectation(
        what=what,
        value=section.take("value", _amount, required=what != "eligible"),
        trader=section.take("trader", _address, required=what == "eligible"),
        token=section.take("token", _text, required=what == "amount"),
        note=section.take("note", _text, "", required=False) or "",
        source=_source(section, known),
    )
    section.close()
    return expectation
