"""A rule applied to a population: its base, then its steps in order, each with what was before and after it."""

from collections.abc import Callable, Mapping
from fractions import Fraction

import polars as pl
from msgspec import Struct

from perpcomp.entitlement import Entitlement
from perpcomp.findings import refusal
from perpcomp.incident.rule_steps import KEPT, Step
from perpcomp.incident.rules import Rule
from perpcomp.number_text import counted
from perpcomp.rules import allocation, base, each, taken_off, unwind
from perpcomp.rules.amounts import Amounts
from perpcomp.rules.population import Population
from perpcomp.rules.sentence import step_text
from perpcomp.rules.standing import Done, Result, Standing
from perpcomp.tables.payouts import RULE_STEPS
from perpcomp.tables.schema import check, frame_of

STEPS: dict[str, Callable[[Step, Standing], Result]] = {
    "scale": each.scale,
    "haircut": each.haircut,
    "uplift": each.uplift,
    "flat": each.flat,
    "cap-per-trader": lambda step, before: (each.cap if step.excess == KEPT else allocation.redistributed_cap)(step, before),
    "tiers": each.tiers,
    "drop-below": each.drop_below,
    "net-of-refund": taken_off.net_of_refund,
    "net-bad-debt": taken_off.net_bad_debt,
    "leverage-filter": taken_off.leverage_filter,
    "address-remap": taken_off.address_remap,
    "pro-rata-budget": allocation.pro_rata,
    "small-first": allocation.small_first,
    "equal-per-address": allocation.equal_per_address,
    "cap-total": allocation.cap_total,
    "set-aside": allocation.pro_rata,
    "amm-unwind": unwind.amm_unwind,
}


class Outcome(Struct, frozen=True):
    """What a rule gives: `begin` is its base, `steps` what each step did, in order; the last one's standing is the result.

    `below` are the outcomes of the rules that are its bases.
    """

    rule: Rule
    begin: Standing
    steps: tuple[Done, ...]
    below: tuple["Outcome", ...] = ()

    def all_rules(self) -> list["Outcome"]:
        """This and every outcome below it, each rule once, those below first."""
        found = {one.rule.name: one for base in self.below for one in base.all_rules()}
        return [*found.values(), self]

    @property
    def end(self) -> Standing:
        """The standing after the last step."""
        return self.steps[-1].result.standing if self.steps else self.begin

    @property
    def traders(self) -> list[str]:
        """Who has an amount, by address: traders, or payees where the rule has address-remap."""
        return list(self.end.traders)

    @property
    def amounts(self) -> Amounts:
        """The result, in 1e-18 of the quote asset, exact, in the order of `traders`."""
        return self.end.amounts

    @property
    def left_over(self) -> Fraction:
        """What of the pots and above caps nobody got, in 1e-18 of the quote asset."""
        return sum((done.result.left_over or Fraction(0) for done in self.steps), Fraction(0))

    def entitlements(self) -> dict[str, Entitlement]:
        """The result as exact entitlements by address, with how many liquidations of each are not known."""
        end = self.end
        off = end.taken_off or [Fraction(0)] * len(end.traders)
        rows = zip(end.traders, end.unknown, end.rows, off, strict=True)
        return {trader: Entitlement(end.amounts[n], unknown, count, taken) for n, (trader, unknown, count, taken) in enumerate(rows)}

    def why_nothing(self) -> dict[str, str]:
        """Who had something at the base and ends with nothing -> the step that took it, with its reason."""
        found: dict[str, str] = {}
        for done in self.steps:
            had = {trader for n, trader in enumerate(done.before.traders) if done.before.amounts.numerators[n]}
            after = done.result.standing
            for n, trader in enumerate(after.traders):
                if trader in had and not after.amounts.numerators[n]:
                    found[trader] = done.result.reasons.get(n, f"{done.step.kind}: step {done.number} of {self.rule.name} leaves nothing")
        return found

    def table(self) -> pl.DataFrame:
        """The rule-steps table of this rule: for each trader and step the amount before and after it, and why. Step 0 is the base."""
        begin = self.begin
        rows = [
            _row(
                self.rule.name,
                0,
                "base",
                trader,
                None,
                begin.amounts,
                n,
                f"unknown: {counted(lacking, 'liquidation')}" if lacking else None,
            )
            for n, (trader, lacking) in enumerate(zip(begin.traders, begin.unknown, strict=True))
        ]
        for done in self.steps:
            after, at = done.result.standing, {trader: n for n, trader in enumerate(done.before.traders)}
            for n, trader in enumerate(after.traders):
                earlier = done.before.amounts[at[trader]] if trader in at else None
                rows.append(
                    _row(self.rule.name, done.number, done.step.kind, trader, earlier, after.amounts, n, done.result.reasons.get(n))
                )
        return check(frame_of(rows, RULE_STEPS), RULE_STEPS)


Known = dict[str, Outcome]  # outcomes over one population, by the name of the rule


def apply(rule: Rule, population: Population, rules: Mapping[str, Rule], known: Known | None = None) -> Outcome:
    """The rule over this population; `rules` are the others that it may name as a base. InputError names rule and step.

    `known` holds outcomes of such rules over the same population, and is filled: whoever applies several rules computes each once.

    Names and circles are checked with the incident file (incident/rules_across.py).
    """
    known = {} if known is None else known
    if rule.name in known and rules.get(rule.name) == rule:
        return known[rule.name]
    begin, below = _base(rule, population, rules, known)
    done, standing = list[Done](), begin
    for number, step in enumerate(rule.steps, 1):
        if step.rule_of_kind.shares or step.excess not in (None, KEPT):
            standing = _without_unknown(rule, number, standing)
        result = STEPS[step.kind](step, standing)
        done.append(Done(number, step, standing, result))
        standing = result.standing
    outcome = Outcome(rule, begin, tuple(done), below)
    if rules.get(rule.name) == rule:
        known[rule.name] = outcome
    return outcome


def _base(rule: Rule, population: Population, rules: Mapping[str, Rule], known: Known) -> tuple[Standing, tuple[Outcome, ...]]:
    """What the rule begins with, and the outcomes of the rules among its bases."""
    if not any(name in rules for name in rule.base) and (rule.combine is None or rule.level == "liquidation"):
        return base.of_rows(rule, population), ()
    bases = [apply(rules[name] if name in rules else Rule(name, (name,)), population, rules, known) for name in rule.base]
    ends = [one.end for one in bases]
    begin = base.of_traders(rule, population, ends) if len(ends) > 1 else _again(population, ends[0])
    return begin, tuple(one for one in bases if one.rule.name in rules)


def _again(population: Population, standing: Standing) -> Standing:
    """Another rule's result as the base of a rule."""
    return Standing(
        population,
        standing.traders,
        standing.amounts,
        standing.amounts,
        standing.unknown,
        standing.rows,
        standing.taken_off,
        standing.moved,
    )


def _without_unknown(rule: Rule, number: int, standing: Standing) -> Standing:
    """The standing with 0 for everybody whose claim is not known, where the rule sets them aside; InputError with their names otherwise."""
    unknown = [trader for trader, lacks in zip(standing.traders, standing.unknown, strict=True) if lacks]
    if not unknown:
        return standing
    if rule.unknown == "refuse":
        what = (
            f"The claim of {counted(len(unknown), 'trader')} on the pot is not known, and with it nobody's share: {', '.join(unknown[:20])}"
            f"{f' and {len(unknown) - 20} more' if len(unknown) > 20 else ''}."
        )
        advice = 'Resolve the findings on these liquidations, or write unknown = "set-aside" in the rule: these traders then get 0.'
        raise refusal(f"{standing.population.file} [[rule]] {rule.name} step {number} ({step_text(rule.steps[number - 1])})", what, advice)
    amounts = standing.amounts
    return standing.having(
        Amounts([0 if lacks else value for value, lacks in zip(amounts.numerators, standing.unknown, strict=True)], amounts.denominator)
    )


def _row(
    rule: str, number: int, kind: str, trader: str, before: Fraction | None, amounts: Amounts, n: int, reason: str | None
) -> dict[str, object]:
    after = amounts[n]
    return {
        "rule": rule,
        "step": number,
        "trader": trader,
        "kind": kind,
        "before": None if before is None else before.numerator // before.denominator,
        "after": after.numerator // after.denominator,
        "after_exact": str(after),
        "reason": reason,
    }
