"""What `perpcomp guards` finds out: verdicts, the counterfactual and the sweep as tables, and their CSV files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from perpcomp import progress
from perpcomp.findings import Finding, refusal
from perpcomp.guards.counterfactual.rules import rules_named
from perpcomp.guards.counterfactual.scenarios import Scenarios, scenarios
from perpcomp.guards.judge import judge
from perpcomp.guards.sweep import grid, sweep
from perpcomp.guards.verdicts import Verdicts
from perpcomp.incident.incident import Incident
from perpcomp.lock import locked
from perpcomp.systems.perpetual_v1.events import SYSTEM
from perpcomp.tables.files import to_csv
from perpcomp.tables.guards import COUNTERFACTUAL, DROPPED, PATHS, SWEEP, VERDICTS
from perpcomp.tables.schema import Table
from perpcomp.writing import write_whole

FILES: dict[str, tuple[str, Table]] = {  # name of a table in a report -> its file
    "verdicts": ("verdicts.csv", VERDICTS),
    "replay": ("replay.csv", COUNTERFACTUAL),
    "paths": ("paths.csv", PATHS),
    "dropped": ("dropped.csv", DROPPED),
    "sweep": ("sweep.csv", SWEEP),
}


@dataclass(frozen=True)
class Report:
    """The verdicts; the counterfactual and the sweep where they were asked for."""

    verdicts: Verdicts
    replay: Scenarios | None
    sweep: pl.DataFrame | None

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        found = {"verdicts": self.verdicts.table}
        if self.replay is not None:
            found |= {"replay": self.replay.outcomes, "paths": self.replay.paths, "dropped": self.replay.dropped}
        return found if self.sweep is None else {**found, "sweep": self.sweep}

    @property
    def findings(self) -> list[Finding]:
        return [*self.verdicts.findings, *(self.replay.findings if self.replay else ())]


def make_report(
    liquidations: pl.DataFrame,
    events: pl.DataFrame,
    tables: Mapping[str, pl.DataFrame],
    incident: Incident,
    rules: str | None,
    swept: bool,
) -> Report:
    """The whole report. `rules` names the rules of the counterfactual; None: no counterfactual.

    `events` is the events table, `tables` holds the other events by name. InputError where one of the parts cannot be made.
    """
    if rules is not None and incident.system != SYSTEM:
        what = f"Its system is {incident.system}, but a crash is executed again on the curve of {SYSTEM} only."
        raise refusal(f"{incident.name}.toml", what, "Leave --replay and --rules out: the verdicts and --sweep need neither.")
    chosen = None if rules is None else rules_named(rules, incident)
    progress.now("Judging each liquidation by the guards")
    verdicts = judge(liquidations, events, tables, incident)
    progress.now("Executing history again under the guards")
    replayed = None if chosen is None else scenarios(chosen, liquidations, events, tables, incident)
    return Report(verdicts, replayed, sweep(verdicts.table, *grid(verdicts)) if swept else None)


def write(report: Report, folder: Path) -> list[str]:
    """Write the tables as CSV files and return the files' names. Files of an earlier report that this one does not make are deleted."""
    files = {FILES[name][0]: to_csv(frame, FILES[name][1]) for name, frame in report.tables.items()}
    with locked(folder, "--out"):
        try:
            for left in folder.glob(".*.csv.*.partial"):  # by a process that was ended while it wrote
                left.unlink()
            for name, data in files.items():
                write_whole(folder / name, data)
            for name, _ in FILES.values():
                if name not in files:
                    (folder / name).unlink(missing_ok=True)
        except OSError as error:
            what = f"The CSV files cannot be written ({error.strerror})."
            raise refusal(str(folder), what, "Choose another folder with --out.") from None
    return list(files)
