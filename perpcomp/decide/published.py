"""Results against figures that others published: budgets and expectations. Compared, never used, and never silently."""

from decimal import Decimal

import polars as pl

from perpcomp import fixed
from perpcomp.against_input.seen import did_you_mean
from perpcomp.entitlement import COMPLETE_FIRST, are_incomplete
from perpcomp.findings import Finding
from perpcomp.incident.expect import Expectation
from perpcomp.incident.incident import Incident
from perpcomp.number_text import in_full
from perpcomp.payees import UNPAYABLE
from perpcomp.systems.units import units
from perpcomp.totals import counts, entitled, total_of
from perpcomp.window import affected_in_window

UNPAID = pl.col("reason").str.starts_with(UNPAYABLE).fill_null(False)


def check_budgets(payouts: pl.DataFrame, incident: Incident, incomplete: int = 0, stopped: bool = False) -> list[Finding]:
    """One finding a budget: a note where the payouts fit it, a warning where they do not or cannot be compared with it.

    `incomplete` is how many traders have a liquidation that cannot be valued: the known part may exceed a budget, but while there is
    one, no budget is said to fit; nor is any while payment is `stopped`. A budget in a token that is paid is compared with the amount paid in that token, one in the asset of its prices otherwise with all entitlements.
    """
    findings = []
    paid, unit = {leg.token for leg in incident.settlement}, units(incident).paid
    for budget in incident.budgets:
        where = f"{incident.name}.toml [[budget]] {budget.name}"
        limit = fixed.to_integer(budget.amount)
        stated = f"the budget of {in_full(limit)} {budget.token} ({', '.join(budget.source)})"
        if budget.token not in paid | {unit}:
            what = f"{stated[0].upper()}{stated[1:]} cannot be compared: nothing is paid in {budget.token}."
            advice = f"Compare the {unit} values by hand, or settle in that token."
            findings.append(Finding("warning", where, what, advice, code="budget-not-comparable"))
            continue
        if stopped:
            what = f"{stated[0].upper()}{stated[1:]} cannot be compared: a finding stops payment, so all payouts are 0."
            advice = "Resolve the findings that stop payment: see findings.csv."
            findings.append(Finding("warning", where, what, advice, code="budget-not-comparable"))
            continue
        in_token = budget.token in paid
        total = total_of(payouts, "amount", budget.token) if in_token else total_of(payouts, "value")
        needed = f"{'Payouts' if in_token else 'Entitlements'} of {'at least ' if incomplete else ''}{in_full(total)} {budget.token}"
        missing = f" The entitlement of {are_incomplete(incomplete)}." if incomplete else ""
        if in_token and (unpayable := total_of(payouts.filter(UNPAID), "value", budget.token)):
            missing += f" {in_full(unpayable)} {unit} are not counted, because their addresses cannot be paid: see payee.csv."
        if total <= limit and incomplete:
            what = f"{needed} are to be paid from {stated}, so at most {in_full(limit - total)} {budget.token} are left.{missing}"
            findings.append(Finding("warning", where, what, COMPLETE_FIRST, code="budget-not-comparable"))
        elif total <= limit:
            what = f"{needed} fit {stated}: {in_full(limit - total)} {budget.token} left.{missing}"
            findings.append(Finding("note", where, what, "Nothing.", code="budget"))
        else:
            what = f"{needed} exceed {stated} by {in_full(total - limit)} {budget.token}.{missing}"
            advice = "Scale or cap the formula, or choose another. A budget does not reduce payouts."
            findings.append(Finding("warning", where, what, advice, code="budget-exceeded"))
    return findings


def check_expectations(liquidations: pl.DataFrame, payouts: pl.DataFrame, incident: Incident) -> list[Finding]:
    """One finding an [[expect]]: a note where the result equals the published figure, a warning where it differs."""
    findings = []
    for expected in incident.expectations:
        source = ", ".join(expected.source)
        advice = "Find out which is right before the vote."
        if expected.what == "eligible":
            met, what = _compare_eligible(expected, source, liquidations)
            traders = liquidations.get_column("trader").unique().to_list()
            if expected.trader is not None and expected.trader not in traders:
                advice = f"{did_you_mean(expected.trader, traders)} {advice}"
        else:
            met, what = _compare_figure(expected, source, _result(expected, liquidations, payouts, incident), units(incident).quote)
        note = f" {expected.note}" if expected.note else ""
        findings.append(
            Finding(
                "note" if met else "warning",
                f"{incident.name}.toml [[expect]]",
                what + note,
                "Nothing." if met else advice,
                code="published-figure-met" if met else "published-figure-differs",
            )
        )
    return findings


def _compare_eligible(expected: Expectation, source: str, liquidations: pl.DataFrame) -> tuple[bool, str]:
    """Whether a trader who was published as eligible is eligible, and that as a sentence."""
    own = liquidations.filter(pl.col("trader") == expected.trader)
    if own.filter("eligible").height:
        return True, f"{expected.trader} is eligible, as published ({source})."
    reason = own.get_column("reason")[-1] if own.height else "it was not liquidated in this input"
    return False, f"{expected.trader} is not eligible, but was published as eligible ({source}): {reason}."


def _compare_figure(expected: Expectation, source: str, found: int, quote: str) -> tuple[bool, str]:
    """Whether a figure (integer of 1e-18) equals the published one, and that as a sentence."""
    assert expected.value is not None
    published = fixed.to_integer(expected.value)
    unit = {"margin": f"{quote} of margin", "entitlement": f"{quote} of entitlements", "amount": f"{expected.token} paid"}.get(
        expected.what
    )
    unit = unit or (expected.what[:-1] if found == fixed.ONE else expected.what)
    if found == published:
        return True, f"{in_full(found)} {unit}, as published ({source})."
    if how := _shortened(found, expected.value):
        return True, f"{in_full(found)} {unit}, which {how} to the {expected.value:,f} published ({source})."
    return False, f"{in_full(found)} {unit}, but {in_full(published)} was published ({source})."


def _shortened(found: int, published: Decimal) -> str:
    """How a figure (integer of 1e-18) becomes the published one with its places: "rounds", "cuts" (towards zero), or "" where it does not."""
    exponent = published.as_tuple().exponent
    assert isinstance(exponent, int)
    unit, digits = 10 ** max(0, 18 + min(0, exponent)), fixed.to_integer(published)
    sign, size = (-1 if found < 0 else 1), abs(found)
    if sign * ((size + unit // 2) // unit * unit) == digits:
        return "rounds"
    return "cuts" if sign * (size // unit * unit) == digits else ""


def _result(expected: Expectation, liquidations: pl.DataFrame, payouts: pl.DataFrame, incident: Incident) -> int:
    """The run's own figure, as an integer of 1e-18. Counts and margin are those of the affected markets within the window.

    Of a run that starts from claims, traders are the accounts that are paid.
    """
    rows = liquidations if incident.published_table is not None else affected_in_window(liquidations, incident)
    counted = counts(rows)
    figures = {
        "traders": (counted.traders if incident.published_table is None else payouts.get_column("trader").n_unique()) * fixed.ONE,
        "positions": counted.positions * fixed.ONE,
        "liquidations": counted.liquidations * fixed.ONE,
        "margin": sum(fixed.to_integer(margin) for margin in rows.get_column("margin")),
        "entitlement": entitled(payouts),
        "amount": total_of(payouts, "amount", expected.token),
    }
    return figures[expected.what]
