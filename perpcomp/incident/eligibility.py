"""The incident file's [eligibility]."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from perpcomp.incident import toml
from perpcomp.incident.guards import VERDICTS
from perpcomp.incident.sources import Source, read_source
from perpcomp.incident.toml import Section


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


def read_eligibility(section: Section, known: dict[str, Source]) -> Eligibility:
    zone = section.take("time_zone", toml.zone, required=False)
    policy = toml.choice(("include", "exclude"))
    never = datetime.min.replace(tzinfo=UTC)
    start, end = section.take("from", partial(toml.moment, zone=zone)), section.take("to", partial(toml.moment, zone=zone))
    written = f"{section.table['from']} to {section.table['to']}" + (f" ({zone})" if zone else "") if start and end else ""
    exclusions = []
    for entry in section.each("exclude"):
        address, reason, evidence = (
            entry.take("address", toml.address),
            entry.take("reason", toml.text),
            entry.take("evidence", toml.text),
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
        surviving_life=section.take("surviving_life", toml.choice(("closed-share", "whole")), "closed-share", required=False) or "",
        minimum_leverage=section.take("minimum_leverage", toml.amount, required=False),
        maximum_leverage=section.take("maximum_leverage", toml.amount, required=False),
        minimum_leverage_before_crash=section.take("minimum_leverage_before_crash", toml.amount, required=False),
        maximum_leverage_before_crash=section.take("maximum_leverage_before_crash", toml.amount, required=False),
        liquidation_price_below=section.take("liquidation_price_below", toml.amount, required=False),
        minimum_index_drawdown=section.take("minimum_index_drawdown", toml.amount, required=False),
        maximum_index_drawdown=section.take("maximum_index_drawdown", toml.amount_or_zero, required=False),
        guard_verdicts=section.take("guard_verdicts", _verdicts, (), required=False) or (),
        exclusions=tuple(exclusions),
        source=read_source(section, known),
    )
    section.close()
    return eligibility


def _verdicts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"is {toml.shown(value)}, not a list.", f"Write verdicts in brackets, of {', '.join(VERDICTS)}.")
    return tuple(toml.choice(VERDICTS)(one) for one in value)
