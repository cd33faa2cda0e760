"""The table [[settlement]]: the tokens that are paid."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from perpcomp.incident.description import Key
from perpcomp.incident.kinds import AMOUNT, DECIMALS, EXAMPLE_ADDRESS, SHARE, TEXT, TOKEN_ADDRESS
from perpcomp.incident.sources import SOURCE


@dataclass(frozen=True)
class Leg:
    """One token that is paid: its share of the value, and the price of the token at which that value is converted."""

    token: Annotated[str, Key(TEXT, "The token's symbol.", '"PERP"')]
    decimals: Annotated[int, Key(DECIMALS, "How many decimals the token has.", "18")]
    address: Annotated[
        str | None, Key(TOKEN_ADDRESS, "The token's contract, on the chain where it is paid.", EXAMPLE_ADDRESS, default=None)
    ]
    share: Annotated[Fraction, Key(SHARE, "The share of each entitlement that this token pays; all shares add up to 1.", "1", unit="/1")]
    price: Annotated[Decimal, Key(AMOUNT, "The price at which an entitlement is converted.", "6.9325", unit="quote asset per token")]
    price_policy: Annotated[str, Key(TEXT, "Which price that is, in words.", '"close of 2021-02-21 UTC, fixed for all tranches"')]
    source: Annotated[tuple[str, ...], SOURCE]
