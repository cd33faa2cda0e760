"""Whether logs are missing from an input, as far as the rest of it shows."""

from collections.abc import Collection
from functools import partial

import polars as pl
from msgspec.structs import replace

from perpcomp.decoded import Events
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.systems.system import Tables, find


def gaps(events: Events, incident: Incident) -> list[Finding]:
    """Where logs are missing from the input.

    A position starts from another size than its previous event ended at, or the sums of a market's events do not add up. Findings are
    put in order and counted over the whole input. So where a part of it has any, the whole is looked at.
    """
    of_positions, of_markets = partial(_gaps, incident.system), partial(_lost_logs, incident)
    found = [*events.each(of_positions)]
    markets, apart = [market.amm for market in incident.markets], find(incident.system).summed is not None
    lost = [*events.each_market(of_markets, markets, apart)]
    everything = partial(of_markets, markets)
    return [
        *(found[0] if len(found) == 1 or not any(found) else events.whole(of_positions)),
        *(lost[0] if len(lost) == 1 or not any(lost) else events.whole(everything)),
    ]


def _gaps(system: str, events: pl.LazyFrame, others: Tables) -> list[Finding]:
    return find(system).gaps(events, others)


def _lost_logs(incident: Incident, markets: Collection[str], events: pl.LazyFrame, others: Tables) -> list[Finding]:
    """The lost logs of some markets."""
    own = replace(incident, markets=tuple(market for market in incident.markets if market.amm in markets))
    return find(incident.system).lost_logs(events, others, own)
