"""What is recorded of mutants is true: texts and tests are where the lists say, figures add up, and a handful is killed for real."""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants import by_hand, modules
from tests.mutants.by_hand import Made
from tests.mutants.forks import Forks
from tests.mutants.listed import README, Mutant, listed, tried

ROOT = Path(__file__).parent.parent
MADE = by_hand.made()
LISTED = listed()
# Tests that take less than a second, each of another kind.
HANDFUL = (
    "test_a_product_is_the_integers_own_or_raises",
    "test_a_0_has_the_last_reason_that_made_it_one",
    "test_the_window_is_half_open",
    "test_a_pot_smaller_than_the_claims_is_met_to_the_unit",
    "test_a_price_holds_from_its_own_second_on_also_the_first_and_the_last",
    "test_a_limit_of_leverage_still_passes_and_one_unit_beyond_does_not",
)


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
    mutant = next(one for one in MADE if one.text.endswith(":"))  # a whole line, behind which a comment may stand
    mutant = mutant._replace(becomes=mutant.text + "  # as before")
    with Forks(Path(sys.executable), ROOT) as forks:
        assert by_hand.survives(mutant, forks)


@pytest.mark.parametrize("survivor", LISTED, ids=lambda one: f"{Path(one.module).stem}: {one.after[:60]}")
def test_a_listed_survivor_stands_in_its_module_and_has_a_reason(survivor: Mutant) -> None:
    lines = (line.strip() for line in (ROOT / survivor.module).read_text().splitlines())
    assert survivor.before in " ".join(lines)
    assert survivor.after != survivor.before
    assert LISTED[survivor].endswith(".")


def test_the_figures_of_the_machine_add_up() -> None:
    """Every module of the money path is named, with its figures or as one that was not tried; and every survivor is listed."""
    figures, survivors, text = tried(), Counter(one.module for one in LISTED), " ".join(README.read_text().split())
    assert [*figures] == [module for module in modules.tests_of(ROOT) if module in figures]
    assert [module for module in modules.tests_of(ROOT) if f"`{module}`" not in text] == []
    assert survivors.keys() <= figures.keys()
    for module, counts in figures.items():
        assert counts.tried == counts.killed + counts.survived <= counts.mutants, module
        assert counts.survived == survivors[module], module
    mutants, made, killed, survived = map(sum, zip(*figures.values(), strict=True))
    assert f"{len(figures)} modules have {mutants:,} mutants. {made:,} were tried" in text
    assert f"**{killed:,} were killed, {survived:,} survived ({100 * survived / made:.1f} %)**" in text
    assert survived < made / 10


def test_nothing_is_lost_of_the_list() -> None:
    """A survivor whose lines are not in the form that is parsed would be none."""
    assert README.read_text().count("\n- `` ") == len(LISTED)
