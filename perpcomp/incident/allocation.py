"""The table [allocation]: who keeps what rounding leaves."""

from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key
from perpcomp.incident.kinds import TEXT, choice
from perpcomp.incident.sources import SOURCE


class Allocation(Struct, frozen=True):
    """Who keeps the amounts that rounding down to a token's unit leaves."""

    rounded_off_to: Annotated[str, Key(TEXT, "Who keeps the amounts that rounding down leaves.", '"DAO treasury"')]
    rounding: Annotated[
        str | None,
        Key(
            choice("floor", "largest-remainder"),
            "How amounts become base units: each cut down (floor), or the total met to the unit (largest-remainder)."
            " Without it, the total is met where a rule shares a pot.",
            '"largest-remainder"',
            default=None,
        ),
    ]
    source: Annotated[tuple[str, ...], SOURCE]
