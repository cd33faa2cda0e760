"""A run: every table that one incident and its input give, checked."""

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from perpcomp.coverage import Coverage
from perpcomp.findings import Finding
from perpcomp.formula import Formula
from perpcomp.incident.incident import Incident
from perpcomp.input import Events, Input
from perpcomp.systems.replay import Replay
from perpcomp.tables.decide import FINDINGS
from perpcomp.tables.schema import check


@dataclass(frozen=True)
class Run:
    """Every table of a run, checked, with what they were computed from and every problem found."""

    incident: Incident
    input: Input
    formula: Formula
    compared: tuple[Formula, ...]
    events: Events
    liquidations: pl.DataFrame
    payouts: pl.DataFrame
    payees: pl.DataFrame
    redirected: pl.DataFrame
    claims: pl.DataFrame
    left_out: pl.DataFrame
    comparison: pl.DataFrame
    capacity: pl.DataFrame
    in_kind: pl.DataFrame
    restore_orders: pl.DataFrame
    replayed: Replay | None
    problems: tuple[Finding, ...]
    exclusions: pl.DataFrame
    coverage: Coverage
    flags: pl.DataFrame | None = None  # None where the protocol liquidates without flagging first

    @cached_property
    def findings(self) -> pl.DataFrame:
        """The findings table, in the order found."""
        rows = [{"number": number, **vars(problem)} for number, problem in enumerate(self.problems, 1)]
        return check(pl.DataFrame(rows, schema=FINDINGS.schema), FINDINGS)
