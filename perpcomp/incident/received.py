"""The table [[received]]: what a trader got already for the same loss."""

from decimal import Decimal
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key
from perpcomp.incident.kinds import ADDRESS, AMOUNT, EXAMPLE_ADDRESS, TEXT
from perpcomp.incident.sources import SOURCE


class Received(Struct, frozen=True):
    """An amount that a trader got already, by cover, by hand or in an earlier round. It is taken off the trader's entitlement."""

    address: Annotated[str, Key(ADDRESS, "The account that traded.", EXAMPLE_ADDRESS)]
    amount: Annotated[Decimal, Key(AMOUNT, "What it got already.", "4_000", unit="quote asset")]
    reason: Annotated[str, Key(TEXT, "From whom, and for what.", '"paid by its cover"', default="")]
    source: Annotated[tuple[str, ...], SOURCE]
