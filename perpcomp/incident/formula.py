"""The table [formula]: how much each liquidation is owed."""

from dataclasses import dataclass
from typing import Annotated

from perpcomp.incident.description import Key
from perpcomp.incident.kinds import TEXT
from perpcomp.incident.sources import SOURCE


@dataclass(frozen=True)
class Formula:
    """The formula by its name."""

    name: Annotated[str, Key(TEXT, "An installed formula; `perpcomp formulas` lists them.", '"margin-upl-funding"')]
    source: Annotated[tuple[str, ...], SOURCE]
