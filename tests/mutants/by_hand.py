"""Mutants made by hand, each with the test that kills it (by_hand.toml). `python -m tests.mutants.by_hand` runs them all."""

import json
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

from tests.mutants.forks import Forks
from tests.mutants.plant import MUTANT, ROOT

SECONDS = 60  # of CPU time that one test may take


class Made(NamedTuple):
    """A text of a file, which stands there once, what replaces it, and the test that must fail then."""

    file: str
    text: str
    becomes: str
    killed_by: str


def made() -> list[Made]:
    """The table."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return [Made(**row) for row in table["mutant"]]


def survives(mutant: Made, forks: Forks) -> bool:
    """Whether its test passes. RuntimeError where the test cannot run at all: nothing is killed by that."""
    planted = {"file": mutant.file, "text": mutant.text, "becomes": mutant.becomes}
    done = forks.run(["-p", "tests.mutants.plant", mutant.killed_by], SECONDS, {MUTANT: json.dumps(planted)})
    if done.code not in (0, 1):
        raise RuntimeError(f"{mutant.killed_by} did not run on {mutant.file}, {mutant.becomes!r}:\n{done.output}")
    return done.code == 0


def main() -> None:
    """Run all of them, and name those that survive."""
    mutants, survivors = made(), 0
    with Forks(Path(sys.executable), ROOT) as forks:
        for mutant in mutants:
            if survives(mutant, forks):
                survivors += 1
                print(f"{mutant.file}\n- {mutant.text}\n+ {mutant.becomes}\nsurvives {mutant.killed_by}\n", flush=True)
    print(f"{len(mutants)} mutants by hand, {survivors} survive")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
