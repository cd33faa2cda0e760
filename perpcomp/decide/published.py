"""Results against figures that others published: budgets and expectations. Compared, never used, and never silently."""

from decimal import Decimal

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding
from perpcomp.incident.expect import Expectation
from perpcomp.incident.incident import Incident
from perpcomp.number_text import in_full
from perpcomp.totals import USDC, counts, entitled, total_of
from perpcomp.window import affected_in_window


def check_budgets(payouts: pl.DataFrame, incident: Incident) -> list[Finding]:
    """One finding a budget: a note where the total fits, a warning where it does not or cannot be compared."""
    findings = []
    paid = {leg.token for leg in incident.settlement}
    for budget in incident.budgets:
        where = f"{incident.name}.toml [[budget]] {budget.name}"
        sources = ", ".join(budget.source)
        if budget.token not in paid | {USDC}:
            what = f"{budget.amount} {budget.token} ({sources}) cannot be compared: nothing is paid in {budget.token}."
            findings.append(Finding("warning", where, what, "Compare the USDC values by hand, or settle in that token."))
            continue
        total = total_of(payouts, "amount", budget.token) if budget.token in paid else entitled(payouts)
        limit = fixed.to_integer(Decimal(budget.amount))
        text = f"{in_full(total)} {budget.token} in all, against {budget.amount} {budget.token} ({sources})"
        if total <= limit:
            findings.append(Finding("note", where, f"{text}: fits, {in_full(limit - total)} left.", "Nothing."))
        else:
            advice = "Scale, cap or choose another formula; a budget here does not cut payouts."
            findings.append(Finding("warning", where, f"{text}: over by {in_full(total - limit)}.", advice))
    return findings


def check_expectations(liquidations: pl.DataFrame, payouts: pl.DataFrame, incident: Incident) -> list[Finding]:
    """One finding an [[expect]]: a note where the figure is met, a warning where it is not."""
    findings = []
    for expected in incident.expectations:
        met, found = _found(expected, liquidations, payouts, incident)
        wanted = f"{expected.what} {expected.trader or expected.value}"
        what = f"{', '.join(expected.source)} says {wanted}; {'so it is' if met else found}."
        note = f" {expected.note}" if expected.note else ""
        where = f"{incident.name}.toml [[expect]]"
        advice = "Nothing." if met else "Find out which is right before the vote."
        findings.append(Finding("note" if met else "warning", where, what + note, advice))
    return findings


def _found(expected: Expectation, liquidations: pl.DataFrame, payouts: pl.DataFrame, incident: Incident) -> tuple[bool, str]:
    """Whether an expectation is met, and what was found instead."""
    if expected.what == "eligible":
        mine = liquidations.filter(pl.col("trader") == expected.trader)
        if mine.filter("eligible").height:
            return True, ""
        return False, "it is not: " + (mine.get_column("reason")[-1] if mine.height else "it was not liquidated in this input")
    rows = affected_in_window(liquidations, incident)
    three = counts(rows)
    margins = sum(fixed.to_integer(m) for m in rows.get_column("margin"))
    totals = {
        "traders": three.traders * fixed.ONE,
        "positions": three.positions * fixed.ONE,
        "liquidations": three.liquidations * fixed.ONE,
        "margin": margins,
        "entitlement": entitled(payouts),
        "amount": total_of(payouts, "amount", expected.token),
    }
    found = totals[expected.what]
    assert expected.value is not None
    return found == fixed.to_integer(expected.value), f"it is {in_full(found)}"
