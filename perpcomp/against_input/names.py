"""Markets, contracts and accounts of the incident file that the input does not hold: a mistyped name, or logs that are missing."""

from collections.abc import Iterator

import polars as pl

from perpcomp.against_input.seen import Seen, did_you_mean
from perpcomp.findings import Finding
from perpcomp.incident.guards import Guards
from perpcomp.incident.incident import Incident
from perpcomp.systems.system import System
from perpcomp.window import affected_in_window


def check_names(incident: Incident, seen: Seen, liquidations: pl.DataFrame, system: System) -> list[Finding]:
    """A finding for each name that meets nothing in the input; an error where victims may be missing. `liquidations`: the published table."""
    return [
        *_markets(incident, seen),
        *_contract(incident, seen, system),
        *_limits(incident, liquidations),
        *_liquidators(incident, liquidations),
        *_verdicts(incident, liquidations),
    ]


def _markets(incident: Incident, seen: Seen) -> Iterator[Finding]:
    named = {market.amm for market in incident.markets}
    for market in incident.markets:
        if market.amm in seen.spot_prices or market.amm in seen.markets:  # nearly always the first, which is known already
            continue
        where = f"{incident.name}.toml [[market]] {market.name}"
        near = did_you_mean(market.amm, seen.markets.keys() - named)
        if market.affected:
            what = f"The input has no log of the affected market {market.name}, {market.amm}: nobody in it can be found or paid."
            advice = f"{near} Correct the address, or pull this market's logs."
            yield Finding("error", where, what, advice, code="market-without-log")
        else:
            what = f"The input has no log of {market.name}, {market.amm}, which is not affected."
            yield Finding("note", where, what, f"{near} No payout depends on it.", code="unaffected-market-without-log")


def _contract(incident: Incident, seen: Seen, system: System) -> Iterator[Finding]:
    tables = [table for name, table in seen.events.lazy_others.items() if name in system.contract_events]
    if tables and all(table.head(1).collect().is_empty() for table in tables):
        what = f"The input has no log of the contract {incident.chain.clearing_house}."
        advice = "Correct the address, or pull this contract's logs: parameters that they state are unknown without them."
        yield Finding("warning", f"{incident.name}.toml [chain] {system.contract_key}", what, advice, code="contract-without-log")


def _limits(incident: Incident, liquidations: pl.DataFrame) -> Iterator[Finding]:
    liquidated = set(liquidations.get_column("market_name").unique())
    for one in incident.guards.limits:
        if one.market is not None and one.market not in liquidated:
            what = f"The limits of {one.market} decide nothing: no position was liquidated in it in this input."
            yield _unmet(incident, "[[guards.limits]] market", what, "Check that these limits belong to the market meant.")


def _liquidators(incident: Incident, liquidations: pl.DataFrame) -> Iterator[Finding]:
    liquidators = set(liquidations.get_column("liquidator").drop_nulls().unique())
    for key, addresses in _of_guards(incident.guards).items():
        for address in addresses:
            if address not in liquidators:
                what = f"{address} liquidated nobody in this input, so being named here changes nothing."
                near = did_you_mean(address, liquidators - {*addresses})
                yield _unmet(incident, f"[guards] {key}", what, f"{near} Compare every digit with the source.")


def _of_guards(guards: Guards) -> dict[str, tuple[str, ...]]:
    return {"endorsed": guards.endorsed, "backstop_providers": guards.backstop_providers}


def _verdicts(incident: Incident, liquidations: pl.DataFrame) -> Iterator[Finding]:
    found = set(affected_in_window(liquidations, incident).get_column("guard_verdict"))
    for verdict in incident.eligibility.guard_verdicts:
        if verdict not in found:
            what = f"No liquidation of an affected market in the window has the verdict {verdict}."
            advice = "Check that it is the verdict meant; `perpcomp guards verdicts` lists what each liquidation has."
            yield _unmet(incident, "[eligibility] guard_verdicts", what, advice)


def _unmet(incident: Incident, place: str, what: str, what_to_do: str) -> Finding:
    return Finding("warning", f"{incident.name}.toml {place}", what, what_to_do, code="name-not-met")
