"""The table [allocation]: who keeps what rounding leaves."""

from dataclasses import dataclass
from typing import Annotated

from perpcomp.incident.description import Key
from perpcomp.incident.kinds import TEXT
from perpcomp.incident.sources import SOURCE


@dataclass(frozen=True)
class Allocation:
    """Who keeps the amounts that rounding down to a token's unit leaves."""

    rounded_off_to: Annotated[str, Key(TEXT, "Who keeps the amounts that rounding down leaves.", '"DAO treasury"')]
    source: Annotated[tuple[str, ...], SOURCE]
