"""The table [claims]: until when claims are accepted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from perpcomp.incident.description import Key
from perpcomp.incident.kinds import TEXT
from perpcomp.incident.sources import SOURCE
from perpcomp.incident.times import TIME


@dataclass(frozen=True)
class ClaimPeriod:
    """Claims are accepted before `until`, not at it; `then` says what happens to what nobody claimed."""

    until: Annotated[datetime, Key(TIME, "When claims end: the last claim is accepted one second before.", "2022-06-01T00:00:00Z")]
    then: Annotated[str, Key(TEXT, "What happens then to what nobody claimed.", '"it returns to the treasury"')]
    source: Annotated[tuple[str, ...], SOURCE]
