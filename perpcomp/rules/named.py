"""A rule where a formula may stand: with its name, source, sentence and the code that computes its bases."""

import hashlib
from collections.abc import Iterator, Mapping

from msgspec import Struct

from perpcomp import formula
from perpcomp.entitlement import Entitlement, net
from perpcomp.formula import Formula
from perpcomp.incident.incident import Incident
from perpcomp.incident.rules import Rule
from perpcomp.rules.apply import Known, Outcome, apply
from perpcomp.rules.population import Population
from perpcomp.rules.sentence import sentence


class NamedRule(Struct, frozen=True):
    """A rule of an incident with every rule that it stands on (its own last), and the formulas that these begin with."""

    rules: tuple[Rule, ...]
    formulas: tuple[Formula, ...]

    negative = False  # a rule never gives less than 0

    @property
    def rule(self) -> Rule:
        """The rule itself."""
        return self.rules[-1]

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def source(self) -> str:
        """The keys of [sources] that it names."""
        return ", ".join(self.rule.source)

    @property
    def quote(self) -> str:
        """The rule and those below it, each as a sentence."""
        return "\n".join(f"{one.name}: {sentence(one)}" for one in reversed(self.rules))

    @property
    def code_sha256(self) -> str:
        """sha256 of its sentences and of the code of its formulas."""
        return hashlib.sha256("\n".join([self.quote, *(one.code_sha256 for one in self.formulas)]).encode()).hexdigest()

    @property
    def shares_a_pot(self) -> bool:
        """Whether its result is a share of a pot, whose total is to be met to the unit."""
        return any(step.pot is not None for rule in self.rules for step in rule.steps)


Paying = Formula | NamedRule  # what a run can pay by


def formulas_of(one: Paying) -> tuple[Formula, ...]:
    """The formulas that a rule begins with; a formula itself."""
    return one.formulas if isinstance(one, NamedRule) else (one,)


def named(incident: Incident, name: str) -> Paying:
    """The rule of the incident, or else the installed formula, of that name; InputError with the nearest one."""
    rules = {rule.name: rule for rule in incident.rules}
    if name not in rules:
        return formula.find(name)
    below = tuple(dict.fromkeys(_below(name, rules)))
    bases = dict.fromkeys(base for one in below for base in rules[one].base if base not in rules)
    formulas = () if incident.published_table is not None else tuple(formula.find(base) for base in bases)
    return NamedRule(tuple(rules[one] for one in below), formulas)


def outcome(one: NamedRule, population: Population, known: Known | None = None) -> Outcome:
    """What the rule gives this population; `known` keeps what rules gave it already."""
    return apply(one.rule, population, {rule.name: rule for rule in one.rules}, known)


def entitlements(done: Outcome, population: Population) -> Mapping[str, Entitlement]:
    """The result by address, less what was received already where no step of the rule took it off."""
    found = done.entitlements()
    return found if done.end.taken_off is not None else net(found, population.received)


def _below(name: str, rules: Mapping[str, Rule]) -> Iterator[str]:
    """The names of the rules that a rule stands on, each before those above it; its own last."""
    for base in rules[name].base:
        if base in rules:
            yield from _below(base, rules)
    yield name
