"""The parameters that the guards and margins of a Perps V2 market depend on, by market and date, each with its source."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.fixed import to_integer
from perpcomp.incident import toml
from perpcomp.incident.incident_file import shelf
from perpcomp.incident.toml import Section

FILE = "parameters/synthetix-perps-v2.toml"


@dataclass(frozen=True, slots=True)
class Parameters:
    """One market's parameters, integers of 1e-18. InputError where the skew scale is 0 or a value is negative.

    Units: skew_scale in units of the asset; the two limits, the ratios and fees a share (/1); max_funding_velocity /1 a day, a day;
    the keeper fees sUSD. A limit of 0 is what a market has whose limit was never set: only endorsed accounts can liquidate there.
    """

    skew_scale: int
    max_funding_velocity: int
    max_liquidation_delta: int
    max_pd: int
    liquidation_premium_multiplier: int
    liquidation_buffer_ratio: int
    min_keeper_fee: int
    max_keeper_fee: int
    liquidation_fee_ratio: int
    keeper_liquidation_fee: int
    taker_fee: int = 0
    maker_fee: int = 0

    def __post_init__(self) -> None:
        if problems := _impossible("parameters", {name: getattr(self, field) for name, field in NAMES.items()}):
            raise InputError(problems)


# The contracts' names -> ours. The two trading fees are those of the offchain delayed orders, by which nearly all trading is done.
NAMES = {
    "skewScale": "skew_scale",
    "maxFundingVelocity": "max_funding_velocity",
    "maxLiquidationDelta": "max_liquidation_delta",
    "maxPD": "max_pd",
    "liquidationPremiumMultiplier": "liquidation_premium_multiplier",
    "liquidationBufferRatio": "liquidation_buffer_ratio",
    "minKeeperFee": "min_keeper_fee",
    "maxKeeperFee": "max_keeper_fee",
    "liquidationFeeRatio": "liquidation_fee_ratio",
    "keeperLiquidationFee": "keeper_liquidation_fee",
    "takerFeeOffchainDelayedOrder": "taker_fee",
    "makerFeeOffchainDelayedOrder": "maker_fee",
}
OF_ALL_MARKETS = ("minKeeperFee", "maxKeeperFee", "liquidationFeeRatio", "keeperLiquidationFee")
NEEDED = tuple(name for name, field in NAMES.items() if field in {f.name for f in fields(Parameters)} - {"taker_fee", "maker_fee"})


def from_names(where: str, values: Mapping[str, int]) -> Parameters:
    """Parameters from the contracts' names and integers of 1e-18; InputError names what is missing or unknown."""
    problems = [Finding("error", where, f"{name} is unknown.", near_miss(name, NAMES)) for name in values if name not in NAMES]
    problems += [
        Finding("error", where, f"{name} is missing.", "The guards cannot be computed without it.") for name in NEEDED if name not in values
    ]
    if problems := problems or _impossible(where, values):
        raise InputError(problems)
    return Parameters(**{NAMES[name]: value for name, value in values.items()})


def _impossible(where: str, values: Mapping[str, int]) -> list[Finding]:
    """What no market has: a parameter below 0, a skew scale of 0."""
    negative = [name for name, value in values.items() if value < 0]
    problems = [
        Finding("error", where, f"{name} is {values[name]}, below 0.", "No parameter of a market is negative.") for name in negative
    ]
    if values.get("skewScale") == 0:
        advice = "Both guards divide by it: give the market's skew scale, in units of its asset."
        problems.append(Finding("error", where, "skewScale is 0.", advice))
    return problems


@dataclass(frozen=True)
class Dated:
    """The parameters of a market at a time, the time of the change that they stand by, and each one's source in words."""

    market: str
    since: datetime
    parameters: Parameters
    sources: dict[str, str]


@dataclass(frozen=True)
class _Change:
    on: datetime
    values: dict[str, int]
    unset: tuple[str, ...]
    source: str


def at(market: str, when: datetime, min_keeper_fee: Decimal | None = None) -> Dated:
    """The parameters of a market (as "sETHPERP") at a time with a zone.

    The dates are those of configuration commits: the transaction on the chain may be earlier or later, and the market's
    ParameterUpdated logs decide. min_keeper_fee (sUSD) must be given where it was moved continuously and no document holds it. InputError
    for an unknown market, with the near miss, and for a time at which a parameter had no value yet.
    """
    if when.tzinfo is None:
        raise refusal(market, f"{when.isoformat()} has no zone.", "Give a time in UTC.")
    changes, everywhere, until = _read(shelf() / FILE)
    if market not in changes:
        raise refusal(market, "is no market with known parameters.", near_miss(market, changes))
    if when > until:
        what = f"No parameters are known after {until:%Y-%m-%dT%H:%M:%SZ}."
        raise refusal(market, what, "Read the ParameterUpdated logs of PerpsV2MarketSettings from then on.")
    values: dict[str, int] = {}
    sources: dict[str, str] = {}
    dates = [change for change in (*everywhere, *changes[market]) if change.on <= when]
    for change in sorted(dates, key=lambda c: c.on):
        values |= change.values
        sources |= dict.fromkeys(change.values, change.source)
        for name in change.unset:
            values.pop(name, None)
            sources[name] = change.source
    if min_keeper_fee is not None:
        values["minKeeperFee"], sources["minKeeperFee"] = to_integer(min_keeper_fee), "given"
    missing = [name for name in NEEDED if name not in values]
    if "minKeeperFee" in missing and "minKeeperFee" in sources:
        what = f"has no fixed minKeeperFee on {when:%Y-%m-%d}: {sources['minKeeperFee']}."
        raise refusal(market, what, "Give the value of the last MinKeeperFeeUpdated log before that time.")
    if missing:
        first = _first_complete(changes[market])
        advice = f"The first time with all of them is {first:%Y-%m-%dT%H:%M:%SZ}." if first else "It never had all of them."
        raise refusal(market, f"has no {', '.join(missing)} on {when:%Y-%m-%d}.", advice)
    since = max(change.on for change in changes[market] if change.on <= when)
    return Dated(market, since, from_names(market, values), sources)


def markets() -> list[str]:
    """The markets with known parameters."""
    return sorted(_read(shelf() / FILE)[0])


def _first_complete(changes: list[_Change]) -> datetime | None:
    seen: set[str] = set(OF_ALL_MARKETS)
    for change in changes:
        seen |= set(change.values)
        if seen.issuperset(NEEDED):
            return change.on
    return None


@cache
def _read(path: Path) -> tuple[dict[str, list[_Change]], list[_Change], datetime]:
    """Market -> its changes in order of time; the changes that hold for all markets; when the file's knowledge ends."""
    document = tomllib.loads(path.read_text(), parse_float=toml.exact)
    top = Section(FILE, "", document, [])
    listed = top.sub("sources")
    known = {key: listed.take(key, toml.text) or "" for key in listed.table}
    for key in ("title", "notice", "snapshot"):
        top.take(key, toml.text)
    until = top.take("until", toml.moment) or datetime.min.replace(tzinfo=UTC)
    everywhere = [_change(section, known) for section in top.each("change", required=True)]
    changes = {}
    for section in top.each("market", required=True):
        key = section.take("key", toml.text) or ""
        section.take("asset", toml.text)
        section.take("proxy", toml.address)
        changes[key] = [_change(row, known) for row in section.each("change", required=True)]
        section.close()
    top.close()
    if top.problems:
        raise InputError(top.problems)
    return changes, everywhere, until


def _change(section: Section, known: Mapping[str, str]) -> _Change:
    on = section.take("on", toml.moment)
    values = {name: section.take(name, partial(_integer, name), required=False) for name in NAMES}
    unset = section.take("unset", _names, required=False) or ()
    note = section.take("note", toml.text, required=False)
    keys = section.take("source", partial(_known, known)) or ()
    section.close()
    source = "; ".join([*([note] if note else []), *(f"{key}: {known[key]}" for key in keys)])
    return _Change(on or datetime.min.replace(tzinfo=UTC), {n: v for n, v in values.items() if v is not None}, unset, source)


def _integer(name: str, value: Any) -> int:
    """An amount as an integer; 0 only where a fee may be nothing."""
    may_be_nothing = name.startswith(("taker", "maker"))
    return 0 if value == 0 and may_be_nothing and not isinstance(value, bool) else to_integer(Decimal(toml.amount(value)))


def _names(value: Any) -> tuple[str, ...]:
    return _known(NAMES, value)


def _known(known: Mapping[str, str], value: Any) -> tuple[str, ...]:
    keys = value if isinstance(value, list) else [value]
    if not keys:
        raise ValueError("has no source.", "Name at least one key of [sources].")
    for key in keys:
        if not isinstance(key, str) or key not in known:
            raise ValueError(f"names {toml.shown(key)}, which is not known.", near_miss(str(key), known))
    return tuple(keys)
