"""The table [quote]: the asset in which the protocol counts, and what it is worth where the settlement's prices are in another."""

from decimal import Decimal
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Condition, Key
from perpcomp.incident.kinds import AMOUNT, TEXT
from perpcomp.incident.sources import SOURCE

_PRICED = Condition("asset is absent or priced_in is given", lambda table, _: "asset" not in table or "priced_in" in table)
_HAS_PRICE = Condition("asset is absent or price is given", lambda table, _: "asset" not in table or "price" in table)


class Quote(Struct, frozen=True):
    """The quote asset where it is not the protocol's usual one (None: it is), and its price: so many units of `priced_in` each, as
    sUSD was worth 0.70 USDC on a day (both None: the settlement's prices are in the quote asset).
    """

    asset: Annotated[
        str | None, Key(TEXT, "The quote asset, where it is not the one that the protocol counts in elsewhere.", '"DAI"', default=None)
    ]
    price: Annotated[
        Decimal | None,
        Key(AMOUNT, "What one unit of the quote asset is worth.", "0.70", "priced_in per quote asset", default=None, required_if=_PRICED),
    ]
    priced_in: Annotated[
        str | None,
        Key(TEXT, "The asset of that price and of the prices in [[settlement]].", '"USDC"', default=None, required_if=_HAS_PRICE),
    ]
    source: Annotated[tuple[str, ...], SOURCE]
