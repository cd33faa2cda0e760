"""The formulas and rules of a run as one field: for each trader what each of them gives, exact, beside what the trader lost.

A rule that gives amounts to payees is compared by the traders whose amounts these were. Where a step of it follows address-remap, it
looks at payees alone, and no trader's amount is known.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from perpcomp.decide.compare import worth
from perpcomp.decide.field import Field, Option, option
from perpcomp.entitlement import Entitlement
from perpcomp.incident.rule_steps import Step
from perpcomp.rules.amounts import Amounts
from perpcomp.rules.apply import Known, Outcome
from perpcomp.rules.named import Paying
from perpcomp.rules.population import Population
from perpcomp.rules.standing import Standing
from perpcomp.rules.taken_off import net_of_refund


def field_of(
    compared: Sequence[Paying],
    owed: Mapping[str, Mapping[str, Entitlement]],
    liquidations: pl.DataFrame,
    population: Population,
    known: Known,
) -> Field:
    """The field of what is compared, by name. `owed` is what each gives, `known` the outcomes of those that are rules."""
    traders, lost = population.traders, worth(liquidations)
    options = []
    for one in sorted(compared, key=lambda one: one.name):
        if one.name in known:
            options.append(_of_outcome(known[one.name], traders))
        else:
            options.append(option(one.name, owed[one.name], traders, not one.negative))
    by_trader = {trader: known for trader, known, lacking in zip(lost.traders, lost.known, lost.unknown, strict=True) if not lacking}
    losses = [by_trader.get(trader) for trader in traders]
    return Field(traders, options, losses)


def _of_outcome(outcome: Outcome, traders: Sequence[str]) -> Option:
    standing = _by_trader(outcome)
    if standing is None:
        return Option(outcome.rule.name, Amounts([0] * len(traders)), [False] * len(traders))
    if standing.taken_off is None and standing.population.received:
        standing = net_of_refund(Step("net-of-refund"), standing).standing
    return Option(outcome.rule.name, standing.amounts, [not lacks for lacks in standing.unknown])


def _by_trader(outcome: Outcome) -> Standing | None:
    """The result before payees replace traders; None where a later step looks at payees."""
    if outcome.begin.moved is not None:
        return _by_trader(outcome.below[0]) if not outcome.steps else None
    last = next((done for done in outcome.steps if done.step.kind == "address-remap"), None)
    if last is None:
        return outcome.end
    return last.before if last is outcome.steps[-1] else None
