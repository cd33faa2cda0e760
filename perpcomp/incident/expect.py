"""The table [[expect]]: published figures that results are compared with."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from perpcomp.incident.description import Condition, Key
from perpcomp.incident.kinds import ADDRESS, AMOUNT, EXAMPLE_ADDRESS, TEXT, choice
from perpcomp.incident.sources import SOURCE

EXPECTED = ("traders", "positions", "liquidations", "entitlement", "margin", "amount", "eligible")


def _says(*words: str) -> Condition:
    return Condition(" or ".join(f'what = "{word}"' for word in words), lambda table, _: table.get("what") in words)


@dataclass(frozen=True)
class Expectation:
    """A published figure, compared with the result and never used. `what` says which; trader or token where it needs one."""

    what: Annotated[str, Key(choice(*EXPECTED), "Which figure was published; eligible: that the trader is compensated.", '"traders"')]
    value: Annotated[
        Decimal | None,
        Key(AMOUNT, "The figure.", "22", unit="as `what`", default=None, required_if=_says(*(w for w in EXPECTED if w != "eligible"))),
    ]
    trader: Annotated[
        str | None,
        Key(
            ADDRESS,
            "The account that the figure is about.",
            EXAMPLE_ADDRESS,
            default=None,
            required_if=_says("eligible"),
        ),
    ]
    token: Annotated[str | None, Key(TEXT, "The token that the figure counts.", '"PERP"', default=None, required_if=_says("amount"))]
    note: Annotated[str, Key(TEXT, "What a reader should know of the figure.", '"A victim\'s count."', default="")]
    source: Annotated[tuple[str, ...], SOURCE]
