"""Every compensation that the rules come from, as an incident file without new Python: its published totals come out.

With the folder of published tables in PERPCOMP_PUBLISHED, as `make precedents` passes it, the whole tables are reproduced too.
"""

from pathlib import Path

import pytest

from perpcomp import pipeline
from perpcomp.incident import incident_file
from perpcomp.input import find_input
from perpcomp.run import Run

pytestmark = pytest.mark.money

FILES = sorted((Path(__file__).parent / "precedents").glob("*.toml"))


def run_of(file: Path) -> Run:
    loaded = incident_file.load(str(file))
    return pipeline.compute(loaded, find_input(loaded, None))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_published_totals_come_out(file: Path) -> None:
    run = run_of(file)
    met = [problem for problem in run.problems if problem.code == "published-figure-met"]
    assert not [str(problem) for problem in run.problems if problem.level != "note"]
    assert len(met) == len(run.incident.expectations)
