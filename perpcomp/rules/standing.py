"""What each trader has between two steps, and what one step did."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from msgspec import Struct, field
from msgspec.structs import replace

from perpcomp.incident.payees import Payee
from perpcomp.incident.rule_steps import Step
from perpcomp.rules.amounts import Amounts
from perpcomp.rules.population import Population


class Moved(Struct, frozen=True):
    """A trader's amount at the moment when the payee map took over: `share` of it goes to `payee`, by `entry`."""

    trader: str
    payee: str
    amount: Fraction
    entry: Payee


class Standing(Struct, frozen=True):
    """What each trader has so far. `claims` are the amounts before any step; `unknown` counts rows that no base can value.

    `taken_off` (1e-18) is what was received already and is off the amounts; None where no step took it off. `moved` lists what the payee
    map moved; None before it acted. From then on `traders` are payees.
    """

    population: Population
    traders: Sequence[str]
    amounts: Amounts
    claims: Amounts
    unknown: Sequence[int]
    rows: Sequence[int]
    taken_off: Sequence[Fraction] | None = None
    moved: tuple[Moved, ...] | None = None

    def having(self, amounts: Amounts) -> "Standing":
        """The same with other amounts."""
        return replace(self, amounts=amounts)


class Result(Struct, frozen=True):
    """What a step leaves: the standing after it, why for some traders (place -> text), what of a pot nobody took, and how, in words."""

    standing: Standing
    reasons: Mapping[int, str] = field(default_factory=dict)
    left_over: Fraction | None = None
    how: str = ""


class Done(Struct, frozen=True):
    """One step that was done, from `before` to `result`. Its number counts from 1 within its rule."""

    number: int
    step: Step
    before: Standing
    result: Result
