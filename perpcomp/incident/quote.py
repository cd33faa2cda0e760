"""The table [quote]: what the asset is worth in which the protocol counts, where that is not the asset of the settlement's prices."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from perpcomp.incident.description import Key
from perpcomp.incident.kinds import AMOUNT, TEXT
from perpcomp.incident.sources import SOURCE


@dataclass(frozen=True)
class Quote:
    """The price of the protocol's quote asset: so many units of `priced_in` each, as sUSD was worth 0.70 USDC on a day."""

    price: Annotated[
        Decimal, Key(AMOUNT, "What one unit of the protocol's quote asset is worth.", "0.70", unit="priced_in per quote asset")
    ]
    priced_in: Annotated[str, Key(TEXT, "The asset of that price and of the prices in [[settlement]].", '"USDC"')]
    source: Annotated[tuple[str, ...], SOURCE]
