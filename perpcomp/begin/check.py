"""What is wrong with an incident file and its input, without writing anything."""

from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from perpcomp import formula, pipeline
from perpcomp.engine import LOCAL, Engine
from perpcomp.findings import NETWORK, Finding, InputError, refusal
from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.incident.places import line_of, lines
from perpcomp.input import find_input
from perpcomp.rules.named import formulas_of, named
from perpcomp.run import Run
from perpcomp.window import affected_in_window


@dataclass(frozen=True)
class Unread:
    """A formula, the terms that it reads, and in how many of the window's liquidations of affected markets a term is empty."""

    formula: str
    reads: tuple[str, ...]
    empty: dict[str, int]
    liquidations: int


@dataclass(frozen=True)
class Checked:
    """A sound incident file. With an input at hand: what a run of it would find, and what formulas could not read."""

    incident: Incident
    run: Run | None
    formulas: tuple[Unread, ...]
    problems: tuple[Finding, ...]  # those of the run, or why there is no input


def check(query: str, given: Path | None = None, engine: Engine = LOCAL) -> Checked:
    """Read the file, and the input that is given, named or fetched, if there is one. InputError with every problem of the file."""
    incident = incident_file.load(query)
    _check_formula(incident)
    try:
        source = find_input(incident, given)
    except InputError as error:
        if given is None and error.exit_code == NETWORK:  # no input at hand
            return Checked(incident, None, (), tuple(replace(one, level="note", code="no-input") for one in error.problems))
        raise
    run = pipeline.compute(incident, source, engine=engine)
    rows = run.liquidations if incident.published_table is not None else affected_in_window(run.liquidations, run.incident)
    formulas = {base.name: base for one in run.compared for base in formulas_of(one)}
    return Checked(run.incident, run, tuple(_unread(one, rows) for one in formulas.values()), run.problems)


def _check_formula(incident: Incident) -> None:
    try:
        named(incident, incident.formula)
    except InputError as error:
        file = f"{incident.name}.toml"
        line = line_of(lines(incident.raw.decode()), "[formula]", 0, "name")
        problem = error.problems[0]
        what = f'[formula] name is "{incident.formula}". {problem.what}'
        raise refusal(f"{file} line {line}", what, problem.what_to_do) from None


def _unread(one: formula.Formula, rows: pl.DataFrame) -> Unread:
    terms = formula.reads(one)
    empty = {term: rows.get_column(term).null_count() for term in terms}
    return Unread(one.name, tuple(terms), {term: count for term, count in empty.items() if count}, rows.height)
