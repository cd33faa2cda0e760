"""Every parser of foreign input reads its whole seeds, and refuses damaged ones with a sentence; `python -m tests.fuzz` goes on for longer."""

import os
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS

DAMAGED = 400 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 15


@pytest.mark.property
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_read_or_refused(name: str, tmp_path: Path) -> None:
    """No traceback, whatever it is. Some seed is read and not refused, or the target would never get far."""
    target, chance = TARGETS[name], Random(name)
    whole = target.seeds()
    assert any(target.run(seed, tmp_path) for seed in whole)
    for _ in range(DAMAGED // 5 if target.ending == ".parquet" else DAMAGED):  # each of these is read by a process of its own
        target.run(mutated(chance.choice(whole), whole, chance), tmp_path)
