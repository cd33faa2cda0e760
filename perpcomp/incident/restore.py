"""The incident file's [restore]."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from perpcomp.incident import toml
from perpcomp.incident.sources import Source, read_source
from perpcomp.incident.toml import Section
from perpcomp.incident.valuation import block_or_moment

ORDERS = ("each-alone", "as-liquidated", "largest-first", "smallest-first")


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


def read_restore(section: Section, known: dict[str, Source]) -> Restore:
    pools = {}
    for entry in section.each("pool"):
        name, quote, base = (
            entry.take("market", toml.text),
            entry.take("quote_reserve", toml.amount),
            entry.take("base_reserve", toml.amount),
        )
        entry.close()
        pools[name or ""] = (quote or Decimal(1), base or Decimal(1))
    restore = Restore(
        at=section.take("at", block_or_moment, required=False),
        pools=pools,
        order=section.take("order", toml.choice(ORDERS)) or "",
        spread=section.take("spread", toml.amount_or_zero) or Decimal(0),
        source=read_source(section, known),
    )
    section.close()
    return restore
