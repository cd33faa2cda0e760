"""The incident file's [chain] and [[market]]."""

from dataclasses import dataclass, replace
from decimal import Decimal

from perpcomp.incident import toml
from perpcomp.incident.sources import Source, read_source
from perpcomp.incident.toml import Section
from perpcomp.incident.valuation import Valuation


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


def read_chain(section: Section, known: dict[str, Source], house: str) -> Chain:
    chain = Chain(
        id=section.take("id", toml.count) or 0,
        clearing_house=section.take(house, toml.address) or "",
        genesis=section.take("genesis", toml.block_hash, required=False),
        first_block=section.take("first_block", toml.count, required=False),
        liquidation_fee_ratio=section.take("liquidation_fee_ratio", toml.amount, required=False),
        source=read_source(section, known),
    )
    section.close()
    return chain


def read_market(section: Section, known: dict[str, Source], valuation: Valuation, one_price: Decimal | None) -> Market:
    affected = section.take("affected", toml.flag, False, required=False) or False
    elsewhere = valuation.price != "reference" or one_price is not None
    market = Market(
        name=section.take("name", toml.text) or "",
        amm=section.take("amm", toml.address) or "",
        affected=affected,
        reference_price=section.take("reference_price", toml.amount, required=affected and not elsewhere),
        crash_below=section.take("crash_below", toml.amount, required=False),
        source=read_source(section, known),
    )
    section.close()
    if elsewhere and market.reference_price is not None:
        section.problem("reference_price", "stands beside the price of [valuation].", "Keep one of the two.")
    if affected and one_price is not None:
        return replace(market, reference_price=one_price, source=tuple(dict.fromkeys(market.source + valuation.source)))
    return market
