"""The table [formula]: the formula or rule that pays."""

from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key
from perpcomp.incident.kinds import TEXT
from perpcomp.incident.sources import SOURCE


class Formula(Struct, frozen=True):
    """The formula or the rule by its name."""

    name: Annotated[
        str, Key(TEXT, "An installed formula, as `perpcomp formulas` lists them, or a [[rule]] of this file.", '"margin-upl-funding"')
    ]
    source: Annotated[tuple[str, ...], SOURCE]
