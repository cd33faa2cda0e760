"""The summary of a run: what happened, who is paid how much by which rule, and what is not included."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.coverage import Coverage
from perpcomp.decide.compare import totals
from perpcomp.incident.incident import Incident
from perpcomp.incident.settlement import Leg
from perpcomp.number_text import counted, in_full
from perpcomp.payouts import rounding
from perpcomp.rules.named import NamedRule
from perpcomp.rules.sentence import sentence
from perpcomp.run import Run, kind_in_words
from perpcomp.systems.units import units
from perpcomp.tables.liquidations import LIQUIDATIONS
from perpcomp.tables.payouts import PAYOUTS
from perpcomp.tables.schema import CSV_TIME
from perpcomp.totals import counts, total_of
from perpcomp.vesting.schedule import end_in_words
from perpcomp.vesting.words import claims_end, in_words
from perpcomp.window import affected_in_window

# label of a line -> codes of the findings that it shows
COMPARED = {
    "Age of prices": ("price-age", "price-interval-unknown", "price-too-old"),
    "Budget": ("budget", "budget-exceeded", "budget-not-comparable"),
    "Published figure": ("published-figure-met", "published-figure-differs"),
    "Exclusion": ("exclusion-of-nobody",),
    "Adjusted": ("adjusted", "adjusted-more"),
    "Frozen": ("frozen", "frozen-differs", "freeze-undone"),
    "Not in the input": ("market-without-log", "contract-without-log", "name-not-met"),
    "Check": (
        *("price-far-from-spot", "vesting-before-window-end", "window-start-estimated"),
        *("claims-end-before-unlock", "payout-below-tranches"),
    ),
    "Insurance fund": ("fund-covers", "fund-short", "fund-cover-unknown", "fund-balance-unknown"),
}


class Line(Struct, frozen=True):
    """A label, its value, and the source of the value."""

    label: str
    value: str
    source: str = ""


@lru_cache(maxsize=1)
def summary(run: Run) -> Sequence[Line]:
    """The run in about twenty lines, with every digit of an amount."""
    incident = run.incident
    lines, unit = [Line("Incident", incident.title)], units(incident)
    if incident.notice:
        lines.append(Line("Please note", incident.notice))
    if run.overrides:
        stated = f"{kind_in_words(run.overrides)}, not the run that the incident file states"
        lines.append(Line("WHAT-IF", f"This is {stated}.", "manifest.json"))
    if any(problem.stops for problem in run.problems):
        lines.append(
            Line("PAYMENT IS STOPPED", "A finding puts the amounts in doubt. Every payout is 0 until it is resolved.", "findings.csv")
        )
    lines += _of_claims(run) if run.coverage is None else _of_logs(run, run.coverage)
    lines += [
        *_paying(run),
        Line("Sum of entitlements", f"{in_full(run.due.total if not any(problem.stops for problem in run.problems) else 0)} {unit.quote}"),
        *(Line("Already received", problem.what, "3-payouts.csv") for problem in run.problems if problem.code == "already-received"),
        *_unpayable(run),
        *(Line("Not paid", problem.what, "findings.csv") for problem in run.problems if problem.code == "unpaid-liquidation"),
    ]
    if incident.quote is not None and incident.quote.price is not None:
        lines.append(Line(f"Price of {unit.quote}", f"{incident.quote.price} {unit.paid}", cite(incident, incident.quote.source)))
    for leg in incident.settlement:
        lines.append(
            Line(
                f"To be paid in {leg.token}",
                f"{in_full(total_of(run.payouts, 'amount', leg.token))} {leg.token}",
                _part(run, leg),
            )
        )
        lines.append(Line(f"Price of {leg.token}", f"{leg.price} {unit.paid}", f"{leg.price_policy}; {cite(incident, leg.source)}"))
    rounded = in_full(total_of(run.payouts, "rounded_off"))
    lines += [
        Line("Rounded off", f"{rounded} {unit.paid}, left with: {incident.rounding_to}", cite(incident, incident.allocation_source)),
        Line("Vesting", in_words(incident.vesting), cite(incident, incident.vesting.source)),
        Line("All unlocked", end_in_words(incident.vesting)),
    ]
    if incident.claims is not None:
        lines.append(Line("Claims end", claims_end(incident.claims), cite(incident, incident.claims.source)))
    lines += [Line(label, problem.what) for label, codes in COMPARED.items() for problem in run.problems if problem.code in codes]
    for name, total, winners, losers, incomplete in totals(run.comparison):
        below = (f", {losers} below 0" if losers else "") + (f", {incomplete} incomplete" if incomplete else "")
        lines.append(Line(f"Under {name}", f"{in_full(total)} {unit.quote}, {counted(winners, 'account')} above 0{below}"))
    levels = Counter(problem.level for problem in run.problems)
    found = ", ".join(counted(levels[level], level) for level in ("error", "warning", "note") if levels[level])
    lines += [
        Line("Findings", found or "none", "findings.csv"),
        Line("Liquidations, row hash", run.row_hash("liquidations", LIQUIDATIONS)),
        Line("Payouts, row hash", run.row_hash("payouts", PAYOUTS)),
    ]
    return lines


def _of_logs(run: Run, coverage: Coverage) -> list[Line]:
    """The window, how far the logs reach, and how many were compensated."""
    incident, rules = run.incident, run.incident.eligibility
    window = f"{rules.window} (UTC, end not included)"
    if rules.from_block is not None:
        last = rules.end - timedelta(seconds=1)
        window = f"{rules.window} (their logs are from {rules.start.strftime(CSV_TIME)} to {last.strftime(CSV_TIME)})"
    inside, paid = counts(affected_in_window(run.liquidations, incident)), counts(run.liquidations.filter("eligible"))
    return [
        Line("Window", window, f"written {rules.as_written}; {cite(incident, rules.source)}"),
        Line("Input reaches", str(coverage), f"by {coverage.stated}"),
        *_valued(incident),
        Line(
            "In the window",
            f"{counted(inside.traders, 'account')}, {counted(inside.positions, 'position')}, {counted(inside.liquidations, 'liquidation')}",
        ),
        Line("Compensated", f"{counted(paid.traders, 'account')}, {counted(paid.positions, 'position')}"),
        Line("Not compensated", _not_included(run), "2-liquidations.csv, left-out.csv"),
        *_excluded(run),
    ]


def _part(run: Run, leg: Leg) -> str:
    """Which part of an entitlement a token pays."""
    if leg.rule is not None:
        return f"rule {leg.rule}"
    return f"share {leg.share}" if not run.due.legs else "the rest of each entitlement"


def _of_claims(run: Run) -> list[Line]:
    """What the run starts from instead of logs."""
    accounts = len(run.due.outcomes[0].begin.traders) if run.due.outcomes else 0
    rows = sum(run.due.outcomes[0].begin.rows) if run.due.outcomes else 0
    text = (
        f"{counted(rows, 'claim')} of {counted(accounts, 'account')}, as published: who is in and what was lost is not checked against logs"
    )
    return [Line("Starts from", text, run.input.file.name)]


def _paying(run: Run) -> list[Line]:
    """The formula that pays; or the rule with the sentences of it and of the rules below it."""
    cited = cite(run.incident, run.incident.formula_source)
    if not isinstance(run.formula, NamedRule):
        return [Line("Formula", run.formula.name, f"{run.formula.source}; {cited}")]
    below = [Line(f"Rule {rule.name}", sentence(rule), cite(run.incident, rule.source)) for rule in reversed(run.formula.rules)]
    by_token = [Line(f"Pays {leg.token}", f"rule {leg.rule}") for leg in run.incident.settlement if leg.rule is not None]
    return [
        Line("Rule that pays", run.formula.name, cited),
        *below,
        *by_token,
        *(Line("Left over", problem.what) for problem in run.problems if problem.code == "rule-left-over"),
        Line("Rounding", f"{rounding(run.formula, run.incident)} of base units"),
    ]


def _unpayable(run: Run) -> list[Line]:
    """What is owed to addresses that cannot be paid."""
    addresses = run.payees.filter(pl.col("unpayable") > 0).get_column("payee").n_unique()
    amount = f"{in_full(total_of(run.payees, 'unpayable'))} {units(run.incident).paid}"
    return [Line("UNPAYABLE", f"{amount} of {counted(addresses, 'address')}", "payee.csv, findings.csv")] if addresses else []


def _valued(incident: Incident) -> list[Line]:
    """At which moment and price positions are valued, and on which pools they would be restored."""
    lines, valuation, restore = [], incident.valuation, incident.restore
    for market in incident.affected:
        if market.reference_price is not None:
            lines.append(
                Line(f"Reference price {market.name}", f"{market.reference_price} {units(incident).quote}", cite(incident, market.source))
            )
    if valuation.source:
        kinds = {
            "reference": "the reference price",
            "mark": "the market's own spot price, without slippage",
            "curve": "closing on the market's curve, with slippage",
            "twap": "closing on the market's curve, averaged over the 15 minutes before",
            "index": "the market's index price, without slippage",
        }
        when = "its own liquidation" if valuation.at is None else moment_in_words(valuation.at)
        price = kinds.get(valuation.price, f"the prices of {valuation.price}")
        lines.append(Line("Valuation", f"each position as of {when}, by {price}", cite(incident, valuation.source)))
    if restore is not None:
        pool = "the pools stated" if restore.at is None else f"the pools of {moment_in_words(restore.at)}"
        lines.append(Line("Restoring", f"on {pool}, {restore.order}, spread {restore.spread}", cite(incident, restore.source)))
    return lines


def moment_in_words(at: int | datetime) -> str:
    """A block or a time in words."""
    return f"block {at}" if isinstance(at, int) else at.strftime(CSV_TIME)


def cite(incident: Incident, keys: tuple[str, ...]) -> str:
    """The texts of source keys."""
    return "; ".join(incident.sources[key].text for key in keys)


def _excluded(run: Run) -> list[Line]:
    """How many accounts the incident file excludes, and what that keeps back."""
    table = run.exclusions
    if table.is_empty():
        return []
    quote = units(run.incident).quote
    met, unknown = table.filter(pl.col("liquidations") > 0).height, table.get_column("kept_back").null_count()
    sum_of = in_full(sum(fixed.to_integer(value) for value in table.get_column("kept_back").drop_nulls()))
    missing = f" and what {counted(unknown, 'account')} cannot be valued for" if unknown else ""
    value = f"{counted(table.height, 'account')} named, {met} of them liquidated in the window; they keep back {sum_of} {quote}{missing}"
    return [Line("Excluded by name", value, cite(run.incident, run.incident.eligibility.source))]


def _not_included(run: Run) -> str:
    """How many liquidations in the window each rule took out, and how many accounts are left out."""
    rows = affected_in_window(run.liquidations, run.incident)
    codes = Counter(code for code in rows.get_column("reason_code") if code != "eligible")
    fallen = ", ".join(f"{count} {code}" for code, count in sorted(codes.items())) or "none"
    return f"liquidations: {fallen}; {counted(run.left_out.height, 'account')} seen in the window and left out"
