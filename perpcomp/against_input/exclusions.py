"""What each exclusion of the incident file keeps back: how much the account would be entitled to without it, or nothing."""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.against_input.seen import Seen, did_you_mean
from perpcomp.entitlement import Entitlement
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted
from perpcomp.tables.decide import EXCLUSIONS
from perpcomp.tables.schema import check
from perpcomp.window import affected_in_window


def kept_back(incident: Incident, seen: Seen, liquidations: pl.DataFrame, owed: Mapping[str, Entitlement]) -> pl.DataFrame:
    """The exclusions table. `owed` is what the formula gives each trader where nobody is excluded."""
    if not incident.eligibility.exclusions:
        return EXCLUSIONS.empty()
    counts = dict(affected_in_window(liquidations, incident).group_by("trader").len().iter_rows())
    rows = [
        {
            "address": one.address,
            "reason": one.reason,
            "evidence": one.evidence,
            "logs": seen.traders.get(one.address, 0),
            "liquidations": counts.get(one.address, 0),
            "kept_back": _amount(owed.get(one.address)),
        }
        for one in incident.eligibility.exclusions
    ]
    return check(pl.DataFrame(rows, schema=EXCLUSIONS.schema), EXCLUSIONS)


def _amount(owed: Entitlement | None) -> object:
    """0 where no rule but the exclusion could have paid; None where the formula cannot value it."""
    if owed is None:
        return fixed.from_integer(0)
    return None if owed.amount is None else fixed.from_integer(owed.amount)


def check_exclusions(table: pl.DataFrame, incident: Incident, seen: Seen) -> list[Finding]:
    """A warning for each exclusion that excludes nobody in this input."""
    findings = []
    where = f"{incident.name}.toml [[eligibility.exclude]]"
    others = seen.traders.keys() - {one.address for one in incident.eligibility.exclusions} if table.height else ()
    for address, logs, liquidations in table.select("address", "logs", "liquidations").iter_rows():
        if liquidations:
            continue
        if logs:
            what = f"{address} excludes nobody: it has {counted(logs, 'log')} in this input, but no liquidation of an affected market in the window."
            advice = "Check that it is the account that its evidence names."
        else:
            what = f"{address} excludes nobody in this input: no event has this trader."
            advice = (
                f"{did_you_mean(address, others)} Compare every digit with the evidence: one wrong digit pays the account that was meant."
            )
        findings.append(Finding("warning", where, what, advice, code="exclusion-of-nobody"))
    return findings
