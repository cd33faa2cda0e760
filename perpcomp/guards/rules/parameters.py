"""The parameters of Perps V2 markets that guards and margins depend on, by market and date, each with its source."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.fixed import to_integer
from perpcomp.incident import kinds, times, toml
from perpcomp.incident.description import Key, Table
from perpcomp.incident.reader import Problem, TableReader
from perpcomp.incident.shelf import shelf
from perpcomp.incident.sources import SOURCE, SOURCES

FILE = "parameters/synthetix-perps-v2.toml"


@dataclass(frozen=True, slots=True)
class Parameters:
    """One market's parameters, integers of 1e-18. InputError where the skew scale is 0 or a value is negative.

    Units: skew_scale in units of the asset; limits, ratios and trading fees /1; max_funding_velocity /1 a day, a day; keeper fees in sUSD.
    A limit that was never set is 0: then only endorsed accounts can liquidate.
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


# The contracts' names -> ours. The two trading fees are those of offchain delayed orders, which are nearly all trades.
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
    """Parameters from the contracts' names and integers of 1e-18. InputError names every missing, unknown or impossible value."""
    problems = [
        Finding("error", where, f"{name} is not a known parameter.", near_miss(name, NAMES)) for name in values if name not in NAMES
    ]
    problems += [
        Finding("error", where, f"{name} is missing.", "The guards cannot be computed without it.") for name in NEEDED if name not in values
    ]
    if problems := problems or _impossible(where, values):
        raise InputError(problems)
    return Parameters(**{NAMES[name]: value for name, value in values.items()})


def _impossible(where: str, values: Mapping[str, int]) -> list[Finding]:
    """Values that no market can have: a parameter below 0, a skew scale of 0."""
    negative = [name for name, value in values.items() if value < 0]
    problems = [Finding("error", where, f"{name} is {values[name]}, but it cannot be below 0.", "Correct it.") for name in negative]
    if values.get("skewScale") == 0:
        advice = "Both ratios divide by it. Give the market's skew scale, in units of its asset."
        problems.append(Finding("error", where, "skewScale is 0.", advice))
    return problems


@dataclass(frozen=True)
class Dated:
    """The parameters of a market at a time, the time of the market's last change before it, and the source of each in words."""

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
    """The parameters of a market (such as "sETHPERP") at a time with a time zone.

    The dates are those of configuration commits. The transaction on the chain may be earlier or later; the market's ParameterUpdated logs
    decide. min_keeper_fee (sUSD) must be given for times at which it changed continuously, because no document holds it then. InputError
    for an unknown market, and for a time at which a parameter had no value yet.
    """
    if when.tzinfo is None:
        raise refusal(market, f"The time {when.isoformat()} has no time zone.", "Give a time in UTC.")
    changes, everywhere, until = _read(shelf() / FILE)
    if market not in changes:
        raise refusal(market, "No parameters of this market are known.", near_miss(market, changes))
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
        what = f"minKeeperFee has no fixed value on {when:%Y-%m-%d}: {sources['minKeeperFee']}."
        raise refusal(market, what, "Give the value of the last MinKeeperFeeUpdated log before that time.")
    if missing:
        first = _first_complete(changes[market])
        advice = f"The first time with every value is {first:%Y-%m-%dT%H:%M:%SZ}." if first else "The market never had every value."
        raise refusal(market, f"{', '.join(missing)} had no value on {when:%Y-%m-%d}.", advice)
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


# The keys of the file, as description.py has them; amounts are exact decimals there and integers of 1e-18 here.
_MAY_BE_ZERO = ("takerFeeOffchainDelayedOrder", "makerFeeOffchainDelayedOrder")
_CHANGE: dict[str, Key | Table] = {
    "on": Key(times.TIME, "When the change was committed.", "2023-05-02T00:00:00Z", name="on"),
    **{
        name: Key(
            kinds.AMOUNT_OR_ZERO if name in _MAY_BE_ZERO else kinds.AMOUNT,
            f"The new {name}.",
            "1",
            unit="as Parameters",
            default=None,
            name=name,
        )
        for name in NAMES
    },
    "unset": Key(kinds.choices(*NAMES), "Parameters that no longer have one fixed value.", '["minKeeperFee"]', default=(), name="unset"),
    "note": Key(kinds.TEXT, "What else there is to know.", '"a module moves it"', default=None, name="note"),
    "source": replace(SOURCE, name="source"),
}


def _read_change(table: TableReader) -> _Change | None:
    given = table.values()
    if not table.sound:
        return None
    sources = table.document["sources"]
    words = [*([given["note"]] if given["note"] else []), *(f"{key}: {sources[key]}" for key in given["source"])]
    return _Change(
        given["on"], {name: to_integer(given[name]) for name in NAMES if given[name] is not None}, given["unset"], "; ".join(words)
    )


_CHANGES = Table(_Change, "states a change of parameters, by its date", many=True, keys=_CHANGE, read=_read_change, name="change")
KEYS: dict[str, Key | Table] = {
    **{name: Key(kinds.TEXT, f"The {name} of the file.", '"…"', name=name) for name in ("title", "notice", "snapshot")},
    "until": Key(times.TIME, "When the file's knowledge ends.", "2025-03-31T13:15:11Z", name="until"),
    "everywhere": _CHANGES,
    "markets": Table(
        dict,
        "names a market with its own changes",
        many=True,
        keys={
            "key": Key(kinds.TEXT, "The name of the market.", '"sETHPERP"', name="key"),
            "asset": Key(kinds.TEXT, "The asset that it trades.", '"sETH"', name="asset"),
            "proxy": Key(kinds.ADDRESS, "The market's proxy.", kinds.EXAMPLE_ADDRESS, name="proxy"),
            "changes": _CHANGES,
        },
        read=lambda table: table.build(dict, table.values()),
        name="market",
    ),
    "sources": SOURCES,
}


@cache
def _read(path: Path) -> tuple[dict[str, list[_Change]], list[_Change], datetime]:
    """Market -> its changes; the changes that hold for all markets; the time until which the file is complete."""
    problems: list[Problem] = []
    read = TableReader(toml.parse(path.read_bytes(), FILE), KEYS, problems).values()
    if problems:
        raise InputError(problem.finding(FILE) for problem in problems)
    return {market["key"]: [*market["changes"]] for market in read["markets"]}, [*read["everywhere"]], read["until"]
