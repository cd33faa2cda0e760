"""A run: every table that one incident and its input give, checked; and what a reader of a run needs of it.

What no command needs but those that show or publish it is imported where it is computed.
"""

from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

import polars as pl
from msgspec import Struct

from perpcomp.coverage import Coverage
from perpcomp.decoded import Events
from perpcomp.entitlement import Entitlement
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.input import Input
from perpcomp.owed import Due
from perpcomp.rules.apply import Known
from perpcomp.rules.named import Paying
from perpcomp.rules.population import Population
from perpcomp.systems.replay import Replay
from perpcomp.tables.decide import FINDINGS
from perpcomp.tables.files import to_csv
from perpcomp.tables.payouts import RULE_STEPS
from perpcomp.tables.schema import Table, check

if TYPE_CHECKING:
    from perpcomp.decide.field import Field


class RunTables(Protocol):
    """What explanations and printed tables read of a run: one that was just computed (Run), or one that was published (publish/read_back.py)."""

    @property
    def incident(self) -> Incident: ...

    @property
    def input(self) -> Input: ...

    @property
    def formula(self) -> Paying: ...

    @property
    def due(self) -> Due: ...

    @property
    def events(self) -> Events: ...

    @property
    def liquidations(self) -> pl.DataFrame: ...

    @property
    def payouts(self) -> pl.DataFrame: ...

    @property
    def payees(self) -> pl.DataFrame: ...

    @property
    def redirected(self) -> pl.DataFrame: ...

    @property
    def adjusted(self) -> pl.DataFrame: ...

    @property
    def claims(self) -> pl.DataFrame: ...

    @property
    def left_out(self) -> pl.DataFrame: ...

    @property
    def comparison(self) -> pl.DataFrame: ...

    @property
    def capacity(self) -> pl.DataFrame: ...

    @property
    def differences(self) -> pl.DataFrame: ...

    @property
    def preferences(self) -> pl.DataFrame: ...

    @property
    def elections(self) -> pl.DataFrame: ...

    @property
    def fairness(self) -> pl.DataFrame: ...

    @property
    def sensitivity(self) -> pl.DataFrame: ...

    @property
    def in_kind(self) -> pl.DataFrame: ...

    @property
    def restore_orders(self) -> pl.DataFrame: ...

    @property
    def replayed(self) -> Replay | None: ...

    @property
    def problems(self) -> tuple[Finding, ...]: ...


# A run is equal to itself alone, so what pages say of it is worked out once: lru_cache.
class Run(Struct, frozen=True, eq=False, dict=True):
    """Every table of a run, checked, with what they were computed from and every problem found.

    `formula` is the formula or rule that pays, `due` what it gives each trader. `owed` is what it and all that are compared give, by name,
    and `outcomes` how the rules among them do. `population` is whom rules are applied to.
    """

    incident: Incident
    input: Input
    formula: Paying
    compared: tuple[Paying, ...]
    events: Events
    liquidations: pl.DataFrame
    payouts: pl.DataFrame
    payees: pl.DataFrame
    redirected: pl.DataFrame
    adjusted: pl.DataFrame
    claims: pl.DataFrame
    left_out: pl.DataFrame
    comparison: pl.DataFrame
    capacity: pl.DataFrame
    replayed: Replay | None
    problems: tuple[Finding, ...]
    exclusions: pl.DataFrame
    coverage: Coverage | None  # None where the run starts from claims
    due: Due
    population: Population
    owed: Mapping[str, Mapping[str, Entitlement]]
    outcomes: Known
    flags: pl.DataFrame | None = None  # None where the protocol liquidates without flagging first

    @property
    def overrides(self) -> dict[str, str]:
        return overrides(self.incident, self.formula.name, self.input.instead)

    @cached_property
    def _texts(self) -> dict[str, bytes]:
        return {}

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {}

    def text(self, attribute: str, table: Table) -> bytes:
        """The canonical text of one of its tables, named by its attribute; made once, because several files hold it or state its hash."""
        if attribute not in self._texts:
            self._texts[attribute] = to_csv(getattr(self, attribute), table)
        return self._texts[attribute]

    def row_hash(self, attribute: str, table: Table) -> str:
        """The row hash of one of its tables, named by its attribute."""
        if attribute not in self._hashes:
            self._hashes[attribute] = sha256(self.text(attribute, table)).hexdigest()
        return self._hashes[attribute]

    @cached_property
    def rule_steps(self) -> pl.DataFrame:
        """The rule-steps table: what each step of the rule that pays does, and of every rule below it; empty where a formula pays."""
        return check(pl.concat([RULE_STEPS.empty(), *(one.table() for one in self.due.every_rule)]), RULE_STEPS)

    @cached_property
    def field(self) -> "Field":
        """What is compared, trader by trader."""
        from perpcomp.decide.side_by_side import field_of

        return field_of(self.compared, self.owed, self.liquidations, self.population, self.outcomes)

    @cached_property
    def differences(self) -> pl.DataFrame:
        """The differences table: what each other formula and rule gives a trader more or less than the one that pays."""
        from perpcomp.decide import preferences

        return preferences.differences(self.field, self.formula.name)

    @cached_property
    def preferences(self) -> pl.DataFrame:
        """The preferences table: who prefers which formula or rule, and the money that moves."""
        from perpcomp.decide import preferences

        return preferences.table(preferences.matrix(self.field))

    @cached_property
    def elections(self) -> pl.DataFrame:
        """The elections table: what each voting type would elect."""
        from perpcomp.decide import elections

        return elections.table(elections.elections(self.field))

    @cached_property
    def fairness(self) -> pl.DataFrame:
        """The fairness table: the measures of each formula and rule."""
        from perpcomp.decide import fairness

        return fairness.table(fairness.fairness(self.field))

    @cached_property
    def sensitivity(self) -> pl.DataFrame:
        """The sensitivity table of the formula or rule that pays."""
        from perpcomp.decide.sensitivity.table import sensitivity

        return sensitivity(self.formula, self.liquidations, self.incident, self.population)

    @cached_property
    def in_kind(self) -> pl.DataFrame:
        """The restore-in-kind table: the position to open again for each eligible life."""
        from perpcomp.decide.restore_orders import in_kind
        from perpcomp.restore import openings, pools

        asked = self.incident.restore
        opened = openings(self.liquidations, pools(self.incident, self.replayed), asked, asked.order) if asked else ()
        return in_kind(self.liquidations, opened)

    @cached_property
    def restore_orders(self) -> pl.DataFrame:
        """The restore-orders table: what each order of restoring costs."""
        from perpcomp.decide.restore_orders import orders
        from perpcomp.restore import pools

        return orders(self.liquidations, self.incident, pools(self.incident, self.replayed))

    @cached_property
    def findings(self) -> pl.DataFrame:
        """The findings table, in the order found."""
        rows = [
            {"number": number, **vars(problem), "what_to_do": problem.what_to_do or None} for number, problem in enumerate(self.problems, 1)
        ]
        return check(pl.DataFrame(rows, schema=FINDINGS.schema), FINDINGS)


def overrides(incident: Incident, formula: str | None, instead: str) -> dict[str, str]:
    """What a command states instead of the incident file: a formula, and the name of an input. With any, the run is a what-if."""
    stated = {"formula": formula} if formula is not None and formula != incident.formula else {}
    return stated | ({"input": instead} if instead else {})


def kind_in_words(stated: Mapping[str, str]) -> str:
    """What kind of run it is: "the official run", or "a what-if (formula margin-only)"."""
    said = ", ".join(f"{key} {value}" for key, value in stated.items())
    return f"a what-if ({said})" if said else "the official run"
