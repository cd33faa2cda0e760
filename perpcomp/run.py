"""A run: everything that one incident comes to, as checked tables."""

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from perpcomp.findings import Finding
from perpcomp.formula import Formula
from perpcomp.incident.incident import Incident
from perpcomp.input import Events, Input
from perpcomp.systems.perpetual_v1.replay.replay import Replay
from perpcomp.tables.decide import FINDINGS
from perpcomp.tables.schema import check


@dataclass(frozen=True)
class Run:
    """Everything one incident comes to, as checked tables."""

    incident: Incident
    input: Input
    formula: Formula
    compared: tuple[Formula, ...]
    events: Events
    liquidations: pl.DataFrame
    payouts: pl.DataFrame
    claims: pl.DataFrame
    left_out: pl.DataFrame
    comparison: pl.DataFrame
    capacity: pl.DataFrame
    in_kind: pl.DataFrame
    restore_orders: pl.DataFrame
    replayed: Replay | None
    problems: tuple[Finding, ...]
    flags: pl.DataFrame | None = None  # where the protocol flags before it liquidates

    @cached_property
    def findings(self) -> pl.DataFrame:
        """The findings table, in the order found."""
        rows = [{"number": number, **vars(problem)} for number, problem in enumerate(self.problems, 1)]
        return check(pl.DataFrame(rows, schema=FINDINGS.schema), FINDINGS)
