"""Where a command's tables come from: an incident and its input, or with --run the folder of a published run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.findings import refusal

if TYPE_CHECKING:
    from perpcomp.run import RunTables

PublishedRun = Annotated[
    Path | None,
    typer.Option("--run", metavar="FOLDER", help="Show a published run's folder, once its hashes are checked; compute nothing."),
]
# Parameters that say what to compute: beside --run they would do nothing.
COMPUTING = {
    "query": "QUERY",
    "input": "--input",
    "formula": "--formula",
    "engine": "--engine",
    "scheduler": "--scheduler",
    "scratch": "--scratch",
}


def tables(
    context: typer.Context, run: Path | None, query: str, input: Path | None, formula: str | None = None, alone: bool = False
) -> "RunTables":
    """The tables of the published run, or else of the run that is computed now. `alone`: what pays is compared with nothing."""
    import perpcomp

    return perpcomp.compute(query, input, formula, alone=alone) if run is None else published(context, run)


def published(context: typer.Context, run: Path) -> "RunTables":
    """The published run. InputError where the command line also says what to compute."""
    import perpcomp

    sources = {name: context.get_parameter_source(name) for name in COMPUTING}
    given = [COMPUTING[name] for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        what = f"The tables are read from {run}, and nothing is computed. {'It' if len(given) == 1 else 'Each of them'} would do nothing."
        raise refusal(", ".join(given), what, "Leave it out, or leave --run out.")
    return perpcomp.published(run)
