"""What every formula and rule of a run owes each trader, and what the rule that pays leaves over."""

import dataclasses
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cached_property

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from perpcomp import entitlement, payees
from perpcomp.entitlement import Entitlement, Sums, columns_of
from perpcomp.findings import Finding, InputError
from perpcomp.formula import Read
from perpcomp.incident.incident import Incident
from perpcomp.number_text import in_full
from perpcomp.payees import PAID_FOR, Part
from perpcomp.rules.apply import Known, Outcome
from perpcomp.rules.named import NamedRule, Paying, entitlements, named, outcome
from perpcomp.rules.population import Population
from perpcomp.rules.sentence import step_text
from perpcomp.systems.units import units


def of_all(
    asked: Iterable[Paying], table: pl.DataFrame, incident: Incident, population: Population, known: Known | None = None
) -> tuple[dict[str, Mapping[str, Entitlement]], list[Finding]]:
    """Name -> what each trader is owed, less what it received already. `table` is the published table of liquidations.

    The first one is the one that pays: InputError where it cannot be applied. A rule beside it that cannot be applied is named and left out.
    `known` is filled with the outcome of each rule.
    """
    owed, problems, known = dict[str, Mapping[str, Entitlement]](), list[Finding](), Known() if known is None else known
    eligible, given, read = table.filter("eligible"), dict[str, pl.Series](), Read()
    for one in dict.fromkeys(asked):
        if isinstance(one, NamedRule):
            try:
                owed[one.name] = entitlements(outcome(one, population, known), population)
            except InputError as error:
                if not owed and not given:
                    raise
                problems += not_compared(error)
        else:
            given[one.name] = entitlement.given(one, eligible, read)
    for name, sums in entitlement.each_per_trader(eligible.get_column("trader"), given).items():
        owed[name] = entitlement.net(sums, incident.received_by)
    return owed, problems


class Due(Struct, frozen=True, dict=True):
    """What the formula or rule that pays gives each trader (`owed`), exact, less what was received already.

    `outcomes` are what the rule that pays does, and then what the rules do that pay one token each; empty where a formula pays. `legs` is
    what each such token pays. `incident` has no payee map where the rule gave the traders' amounts to payees itself.
    """

    chosen: Paying
    owed: Mapping[str, Entitlement]
    incident: Incident
    outcomes: tuple[Outcome, ...] = ()
    legs: tuple[Mapping[str, Entitlement], ...] = ()

    @cached_property
    def parts(self) -> list[Part]:
        """What is owed, by trader and payee."""
        return payees.parts(self.owed, self.incident)

    @cached_property
    def paid_for(self) -> pl.DataFrame:
        """`parts` as columns: PAID_FOR."""
        if self.incident.payees:
            return pl.DataFrame({"payee": [part.payee for part in self.parts], "trader": [part.trader for part in self.parts]}, PAID_FOR)
        traders = pl.Series([*self.owed], dtype=pl.String)
        return pl.DataFrame({"payee": traders, "trader": traders})

    @cached_property
    def by_payee(self) -> Mapping[str, Entitlement]:
        """What is owed, by payee, sorted by address."""
        if self.incident.payees:
            return payees.per_payee(self.parts)
        return self.owed if isinstance(self.owed, Sums) else dict(sorted(self.owed.items()))

    @cached_property
    def total(self) -> int:
        """All that is owed, in whole 1e-18: of a rule the exact sum, cut once."""
        return int(sum(columns_of(self.owed)[0]))

    def before_received(self, trader: str) -> int | Fraction | None:
        """What a trader was owed before what it received already was taken off at the end, and before rulings; None where a step of a rule took it off."""
        if trader not in self.owed or (self.outcomes and self.outcomes[0].end.taken_off is not None):
            return None
        own = self.owed[trader]
        return own.known - (own.adjusted or 0) + own.taken_off

    @property
    def moved(self) -> list[Part]:
        """What the rule's address-remap moved from traders to payees."""
        moved = (self.outcomes[0].end.moved or ()) if self.outcomes else ()
        return [Part(one.trader, one.payee, Entitlement(one.amount, 0, 1), one.entry) for one in moved]

    @property
    def every_rule(self) -> list[Outcome]:
        """Every outcome and those below it, each rule once, those below first."""
        return list({one.rule.name: one for done in self.outcomes for one in done.all_rules()}.values())


def due_by(chosen: Paying, owed: Mapping[str, Entitlement], incident: Incident, population: Population) -> Due:
    """What `chosen` gives, of which each trader is `owed` so much."""
    if not isinstance(chosen, NamedRule):
        return Due(chosen, owed, incident)
    by_token = [named(incident, leg.rule) for leg in incident.settlement if leg.rule is not None]
    known = Known()
    outcomes = tuple(outcome(one, population, known) for one in (chosen, *by_token) if isinstance(one, NamedRule))
    mapped = replace(incident, payees=()) if outcomes[0].end.moved is not None else incident
    return Due(chosen, owed, mapped, outcomes, tuple(entitlements(done, population) for done in outcomes[1:]))


def left_over(due: Due, incident: Incident) -> list[Finding]:
    """A note on each step of the rule that pays, and of its tokens' rules, that leaves money over: nobody takes it."""
    found, unit = [], units(incident).quote
    for one in due.every_rule:
        for done in one.steps:
            if left := done.result.left_over:
                dots = "" if left.denominator == 1 else "…"
                what = f"Step {done.number} ({step_text(done.step)}) leaves {in_full(int(left))}{dots} {unit} over, which nobody is paid."
                where = f"{incident.name}.toml [[rule]] {one.rule.name}"
                found.append(Finding("note", where, what, "Let the vote say who keeps it.", code="rule-left-over"))
    return found


def not_compared(error: InputError) -> list[Finding]:
    """The problems of a formula or rule as warnings: it is left out of the comparison."""
    advice = "It is left out of the comparison."
    return [
        dataclasses.replace(p, level="warning", what_to_do=f"{advice} {p.what_to_do}", code="formula-not-compared") for p in error.problems
    ]
