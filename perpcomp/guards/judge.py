"""A verdict on every liquidation of an incident: one entry, answered by the module of the incident's system."""

from collections.abc import Mapping

import polars as pl

from perpcomp.findings import refusal
from perpcomp.guards import perpetual_v1, perps_v2
from perpcomp.guards.verdicts import Verdicts
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1.events import SYSTEM as PERPETUAL_V1
from perpcomp.systems.synthetix_v2.events import SYSTEM as PERPS_V2


def judge(liquidations: pl.DataFrame, events: pl.DataFrame, tables: Mapping[str, pl.DataFrame], incident: Incident) -> Verdicts:
    """A verdict on every row of a liquidations table. `events` is the events table, `tables` holds the other events by name.

    InputError where limits or index prices cannot be determined, and for a system without verdicts.
    """
    if incident.system == PERPETUAL_V1:
        return perpetual_v1.judge(liquidations, events, tables, incident)
    if incident.system == PERPS_V2:
        return perps_v2.judge(liquidations, tables, incident)
    what = f"Its system is {incident.system}, for which the liquidation guards have no verdicts."
    raise refusal(f"{incident.name}.toml", what, f"They judge {PERPETUAL_V1} and {PERPS_V2}. Leave [guards] out.")
