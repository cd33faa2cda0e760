"""The table [[expect]]: published figures that results are compared with."""

from decimal import Decimal
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key, equals
from perpcomp.incident.kinds import ADDRESS, AMOUNT, EXAMPLE_ADDRESS, TEXT, choice
from perpcomp.incident.sources import SOURCE

EXPECTED = ("traders", "positions", "liquidations", "entitlement", "margin", "amount", "eligible")


class Expectation(Struct, frozen=True):
    """A published figure, compared with the result and never used. `what` says which; trader or token where it needs one."""

    what: Annotated[str, Key(choice(*EXPECTED), "Which figure was published; eligible: that the trader is compensated.", '"traders"')]
    value: Annotated[
        Decimal | None,
        Key(
            AMOUNT,
            "The figure.",
            "22",
            unit="as `what`",
            default=None,
            required_if=equals("what", *(w for w in EXPECTED if w != "eligible")),
        ),
    ]
    trader: Annotated[
        str | None,
        Key(
            ADDRESS,
            "The account that the figure is about.",
            EXAMPLE_ADDRESS,
            default=None,
            required_if=equals("what", "eligible"),
        ),
    ]
    token: Annotated[
        str | None, Key(TEXT, "The token that the figure counts.", '"PERP"', default=None, required_if=equals("what", "amount"))
    ]
    note: Annotated[str, Key(TEXT, "What a reader should know of the figure.", '"A victim\'s count."', default="")]
    source: Annotated[tuple[str, ...], SOURCE]
