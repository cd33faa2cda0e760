"""The first hour: from a file of logs to a verified folder, as a person types it, on a real terminal of 80 and 120 columns.

`python -m tests.test_walk` writes the snapshots again. Look at the difference before it is committed.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.commands import read_terminal, terminal_of
from tests.conftest import LAB
from tests.test_terminal import SNAPSHOTS, shortened_text

EDITS = {
    'title = "Draft of trial"  # check': 'title = "BTC flash crash of 2021-05-19, 04:57 UTC"',
    'name = "margin-only"  # check': 'name = "margin-upl-funding"',
    "upfront = 1  # check": 'preset = "perp-3m"',
}
# The program in one process, so that imports are paid once; `edit` is what the person does in an editor.
DRIVER = """
import csv, json, pathlib, shlex, sys
from perpcomp.cli import watch
from perpcomp.cli.main import main

watch.PATIENCE = watch.LINES = 3600
edits, lines = map(json.loads, sys.argv[1:])
for line in lines:
    if line == "edit":
        file = pathlib.Path("trial.toml")
        text = file.read_text()
        for old, new in edits.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        file.write_text(text)
        continue
    if "ADDRESS" in line:
        with open("outputs/trial/3-payouts.csv") as payouts:
            line = line.replace("ADDRESS", max(csv.DictReader(payouts), key=lambda row: int(row["amount_base_units"]))["trader"])
    print(f"$ perpcomp {line}", flush=True)
    sys.argv[1:] = shlex.split(line)
    try:
        main()
    except SystemExit as ending:
        print(f"[exit {ending.code}]", flush=True)
"""
STEPS = (
    "init trial --input logs.jsonl.gz --yes",
    "edit",
    "check trial.toml",
    "run trial.toml",
    "explain ADDRESS --run outputs/trial",
    "verify outputs/trial",
)


def walked(width: int, place: Path) -> str:
    """What the terminal of that width shows of the walk, without styles."""
    shutil.copy(LAB / "later-contracts" / "logs.jsonl.gz", place)
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "PERPCOMP_RPC_URL")}
    ours, theirs = terminal_of(width)
    command = [sys.executable, "-c", DRIVER, json.dumps(EDITS), json.dumps(STEPS)]
    running = subprocess.Popen(command, cwd=place, env=environment | {"TERM": "xterm-256color"}, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = read_terminal(ours)
    assert running.wait() == 0, text
    return text


@pytest.fixture(scope="module", params=[80, 120])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path, str]:
    place = tmp_path_factory.mktemp("walk")
    return request.param, place, walked(request.param, place)


def test_the_walk_is_what_was_looked_at(seen: tuple[int, Path, str]) -> None:
    width, _, text = seen
    assert shortened_text(text) == (SNAPSHOTS / f"walk-{width}.txt").read_text()
    assert [line for line in text.splitlines() if cell_len(line) > width and not line.startswith("$ ")] == []


def test_no_command_of_the_walk_fails(seen: tuple[int, Path, str]) -> None:
    """Three edited values, no source read, and every step exits with 0."""
    _, _, text = seen
    assert re.findall(r"\[exit (\d+)\]", text) == ["0"] * (len(STEPS) - 1)


def test_the_walk_ends_with_money_and_a_folder_that_verifies(seen: tuple[int, Path, str]) -> None:
    """Each account of the payouts is paid what its tranches add up to, half of it at once."""
    _, place, text = seen
    assert "PASS: " in text
    with (place / "outputs/trial/3-payouts.csv").open() as payouts, (place / "outputs/trial/4-claims.csv").open() as claims:
        paid = {row["trader"]: int(row["amount_base_units"]) for row in csv.DictReader(payouts)}
        tranches = list(csv.DictReader(claims))
    assert len([amount for amount in paid.values() if amount]) == 5
    for trader, amount in paid.items():
        parts = [int(row["amount_base_units"]) for row in tranches if row["trader"] == trader]
        assert sum(parts) == amount
        assert not amount or parts[0] == amount // 2
    assert "BTC flash crash of 2021-05-19, 04:57 UTC" in (place / "outputs/trial/README.md").read_text()


if __name__ == "__main__":
    for columns in (80, 120):
        with tempfile.TemporaryDirectory() as folder:
            (SNAPSHOTS / f"walk-{columns}.txt").write_text(shortened_text(walked(columns, Path(folder))))
