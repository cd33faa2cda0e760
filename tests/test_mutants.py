"""What is recorded of mutants (tests/mutants) is true: texts and tests are where the lists say, and a handful is killed for real."""

import re
import sys
from pathlib import Path

import pytest

from tests.mutants import by_hand, listed
from tests.mutants.by_hand import Made
from tests.mutants.forks import Forks
from tests.mutants.modules import tests_of

ROOT = Path(__file__).parent.parent
MADE = by_hand.made()
README = listed.README.read_text(encoding="utf-8")


@pytest.mark.parametrize("mutant", MADE, ids=lambda one: f"{Path(one.file).stem}: {one.becomes.strip()[:60]}")
def test_a_mutant_by_hand_has_its_text_and_its_test(mutant: Made) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.text) == 1
    assert mutant.becomes != mutant.text
    file, test = mutant.killed_by.split("::")
    assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.M)


def test_a_handful_of_mutants_by_hand_is_killed() -> None:
    with Forks(Path(sys.executable), ROOT) as forks:
        for place in HANDFUL:
            mutant = next(one for one in MADE if place in one.killed_by)
            assert not by_hand.survives(mutant, forks), mutant


def test_a_mutant_that_changes_nothing_survives() -> None:
    """The runner does not call everything killed."""
    mutant = MADE[0]._replace(becomes=MADE[0].text + "  # as before")
    with Forks(Path(sys.executable), ROOT) as forks:
        assert by_hand.survives(mutant, forks)


@pytest.mark.parametrize("mutant", listed.listed(), ids=lambda one: f"{Path(one.module).stem}: {one.after[:60]}")
def test_the_line_of_a_listed_survivor_still_stands(mutant: listed.Mutant) -> None:
    lines = " ".join(line.strip() for line in (ROOT / mutant.module).read_text().splitlines())
    assert mutant.before in lines
    assert mutant.before != mutant.after


def test_the_figures_of_the_campaign_are_those_of_its_list() -> None:
    """Every module has a row, whose survivors are listed; all rows add up to the last; less than a tenth survives."""
    rows = re.findall(r"^\| `?([\w./ ]+?)`? \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", README, re.M)
    figures = {name: [int(cell.replace(",", "")) for cell in cells] for name, *cells in rows}
    total = figures.pop("all")
    assert set(figures) == set(tests_of(ROOT))
    assert total == [sum(column) for column in zip(*figures.values(), strict=True)]
    survivors = [one.module for one in listed.listed()]
    for module, (mutants, tried, killed, survived) in figures.items():
        assert mutants >= tried == killed + survived
        assert survivors.count(module) == survived, module
    assert total[3] * 10 < total[1]
