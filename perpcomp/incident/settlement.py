"""The table [[settlement]]: the tokens that are paid."""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Condition, Key, Raw
from perpcomp.incident.kinds import AMOUNT, DECIMALS, EXAMPLE_ADDRESS, SHARE, TEXT, TOKEN_ADDRESS
from perpcomp.incident.rule_kinds import NAME
from perpcomp.incident.sources import SOURCE


def _no_rules(document: Raw) -> bool:
    legs = document.get("settlement")
    return not any("rule" in leg for leg in (legs if isinstance(legs, list) else []) if isinstance(leg, dict))


_BY_SHARE = Condition("no token is paid by a rule", lambda _, document: _no_rules(document))


class Leg(Struct, frozen=True):
    """One token that is paid: its share of the value, or the rule that says its value or the rest, and the price of the token at which it is converted."""

    token: Annotated[str, Key(TEXT, "The token's symbol.", '"PERP"')]
    decimals: Annotated[int, Key(DECIMALS, "How many decimals the token has.", "18")]
    address: Annotated[
        str | None, Key(TOKEN_ADDRESS, "The token's contract, on the chain where it is paid.", EXAMPLE_ADDRESS, default=None)
    ]
    share: Annotated[
        Fraction,
        Key(
            SHARE,
            "The share of each entitlement that this token pays; all shares add up to 1.",
            "1",
            unit="/1",
            default=Fraction(0),
            required_if=_BY_SHARE,
        ),
    ]
    price: Annotated[Decimal, Key(AMOUNT, "The price at which an entitlement is converted.", "6.9325", unit="quote asset per token")]
    price_policy: Annotated[str, Key(TEXT, "Which price that is, in words.", '"close of 2021-02-21 UTC, fixed for all tranches"')]
    source: Annotated[tuple[str, ...], SOURCE]
    rule: Annotated[
        str | None,
        Key(
            NAME,
            "The rule that says what this token pays, instead of a share. Then every token has one, or the last has none and takes the rest.",
            '"rest"',
            default=None,
        ),
    ] = None
