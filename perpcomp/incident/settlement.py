"""The incident file's [[settlement]]."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from perpcomp.incident import toml
from perpcomp.incident.sources import Source, read_source
from perpcomp.incident.toml import Section


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


def read_leg(section: Section, known: dict[str, Source]) -> Leg:
    leg = Leg(
        token=section.take("token", toml.text) or "",
        decimals=section.take("decimals", choice_of_decimals) or 0,
        address=section.take("address", toml.address, required=False),
        share=section.take("share", toml.ratio) or Fraction(),
        price=section.take("price", toml.amount) or Decimal(1),
        price_policy=section.take("price_policy", toml.text) or "",
        source=read_source(section, known),
    )
    section.close()
    return leg


def choice_of_decimals(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 18:
        raise ValueError(f"is {toml.shown(value)}.", "A token here has 1 to 18 decimals; USDC has 6, PERP 18.")
    return value
