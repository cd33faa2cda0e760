"""What amounts are in: the protocol's quote asset, and the asset of the settlement's prices; [quote] may name another for each."""

import re

from msgspec import Struct

from perpcomp.incident.incident import Incident
from perpcomp.systems.system import find


class Units(Struct, frozen=True):
    """`quote` is what entitlements are counted in, `paid` what the prices of [[settlement]] are in."""

    quote: str
    paid: str

    def of(self, unit: str) -> str:
        """The unit of a table's column as an incident has it: tables write QUOTE and PAID."""
        named = {"QUOTE": self.quote, "PAID": self.paid}
        return re.sub("QUOTE|PAID", lambda word: named[word[0]], unit)


def units(incident: Incident) -> Units:
    """The units of an incident."""
    stated = incident.quote
    quote = (stated and stated.asset) or (
        find(incident.system).quote_unit if incident.published_table is None else incident.published_table.unit
    )
    return Units(quote, (stated and stated.priced_in) or quote)
