"""What amounts are in: the protocol's quote asset, and the asset of the settlement's prices where [quote] names another."""

from dataclasses import dataclass

from perpcomp.incident.incident import Incident
from perpcomp.systems.system import find


@dataclass(frozen=True)
class Units:
    """`quote` is what entitlements are counted in, `paid` what the prices of [[settlement]] are in."""

    quote: str
    paid: str

    def of(self, unit: str) -> str:
        """The unit of a table's column in an incident: tables say USDC for the quote asset, and PAID."""
        return unit.replace("USDC", self.quote).replace("PAID", self.paid)


def units(incident: Incident) -> Units:
    """The units of an incident."""
    quote = find(incident.system).quote_unit
    return Units(quote, quote if incident.quote is None else incident.quote.priced_in)
