"""The table [alarms]: what of the payouts is not plausible, by a stated policy."""

from fractions import Fraction
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key
from perpcomp.incident.kinds import SHARE
from perpcomp.incident.sources import SOURCE


class Alarms(Struct, frozen=True):
    """With it, a run warns of payouts that are more than a trader lost, more than the position's notional, or a large share of all."""

    largest_share: Annotated[
        Fraction, Key(SHARE, "The largest share of all entitlements that one trader may have without a warning.", '"1/4"', unit="/1")
    ]
    source: Annotated[tuple[str, ...], SOURCE]
