"""README, CONTRIBUTING and CHANGELOG agree with the code: every README command is run, every file and formula exists."""

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from perpcomp import formula
from perpcomp.publish.files import files
from perpcomp.run import Run
from tests.commands import call

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
EXAMPLES = [line for block in re.findall(r"^```text\n(.*?)^```", README, re.M | re.S) for line in block.splitlines()]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a reader has after `make run`."""
    place = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "outputs" / "rehearsal", place / "outputs" / "rehearsal")
    shutil.copy(ROOT / "queries" / "rehearsal" / "logs.jsonl.gz", place / "logs.jsonl.gz")
    shutil.copytree(ROOT / "tests" / "lab" / "guards", place / "tests" / "lab" / "guards")
    return place


def published(name: str, column: str) -> list[str]:
    """A column of a published table of the rehearsal."""
    with (ROOT / "outputs" / "rehearsal" / name).open() as file:
        return [row[column] for row in csv.DictReader(file)]


EXPLAINED = "0xf014343bdffbed8660a9d8721dec985126f189f3"
# README command -> texts that its output must hold, from the published files or the recording.
OUTPUTS = {
    f"perpcomp explain {EXPLAINED}": dict(
        zip(published("3-payouts.csv", "trader"), ([units] for units in published("3-payouts.csv", "amount_base_units")), strict=True)
    )[EXPLAINED],
    "perpcomp compare": [*published("comparison.csv", "trader"), *published("comparison.csv", "formula"), "smallest-first"],
    "perpcomp formulas": [*published("comparison.csv", "formula"), "= margin_at_reference", "forum F1, april A1"],
    "perpcomp positions --at 2021-02-20T22:45:00Z": [
        "0x27e53c8f3863e9a2c070b7fe842ad926cd49db2f",
        "-0.5263",
        "unrealized_pnl_mark (USDC)",
    ],
    "perpcomp prices": ["2021-02-20T22:20:00Z", "56,468.56", "120 blocks in which the market logged something"],
    "perpcomp liquidations": published("2-liquidations.csv", "trader"),
    "perpcomp payouts --formula margin-only": [*published("3-payouts.csv", "trader"), "10,000.00", "1,442.48"],
    "perpcomp claims --json": [*(f'"{units}"' for units in published("4-claims.csv", "amount_base_units")), "the tranche dates bind"],
    "perpcomp events": ["2021-01-05T10:00:35Z", "2021-02-21T03:00:35Z", "position_size_after (base)"],
    "perpcomp verify outputs/rehearsal": ["PASS: ", " files compared, 0 differences."],
    "perpcomp guards": [*published("2-liquidations.csv", "trader"), "verdicts.csv in outputs/rehearsal/guards."],
    "perpcomp guards --replay --sweep": ["verdicts.csv, replay.csv, paths.csv, dropped.csv, sweep.csv in outputs/rehearsal/guards."],
    "perpcomp events 2021-02-21-btc-flash-crash --dry-run": ["Range: from block 13,507,324", "Nothing was sent."],
    "perpcomp guards profiles": ["May be flagged when", "remaining margin < liquidation margin"],
    "perpcomp guards vectors tests/lab/guards/vectors.json.gz": [" passed, 0 failed"],
    "perpcomp run --engine dask": ["outputs/rehearsal"],
}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("perpcomp ")])
def test_every_perpcomp_command_of_the_readme_works(command: str, workplace: Path) -> None:
    """Its output holds what the command is for."""
    done = call(*shlex.split(command)[1:], cwd=workplace, COLUMNS="400")  # wide enough for every column and whole addresses
    assert done.returncode == 0, done.stderr
    answer = done.stdout + done.stderr
    assert [words for words in OUTPUTS[command] if words not in answer] == []


def test_every_expected_output_belongs_to_a_command_of_the_readme() -> None:
    assert {*OUTPUTS} == {command for command in COMMANDS if command.startswith("perpcomp ")}


def test_make_run_and_make_test_are_what_they_say() -> None:
    """Both run in CI on a clean checkout; here, that they are the commands of the Makefile and of the README."""
    makes = [c for c in COMMANDS if c.startswith("make ")]
    assert makes == ["make run", "make test"]
    ci = (ROOT / ".ci" / "run").read_text()
    for command in makes:
        assert re.search(rf"^{command}$", ci, re.M)
        plan = subprocess.run(["make", "-n", command.split()[1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert {"make run": "perpcomp run", "make test": "pytest"}[command] in plan


def test_the_real_incidents_commands_reach_their_input(workplace: Path) -> None:
    """The two commands whose logs are not in the repository: with other logs, and with a node that does not exist."""
    fetch, given = (line for line in EXAMPLES if line.startswith("perpcomp "))
    done = call(*shlex.split(given)[1:], cwd=workplace)
    assert done.returncode == 2
    assert "holds no PositionChanged of the ClearingHouse 0x5d9593586b4b5edbd23e7eba8d88fd8f09d83ebd" in done.stderr
    words = shlex.split(fetch.replace("URL", "ipc:///nowhere"))[1:]
    done = call(*words, cwd=workplace)
    assert done.returncode == 3
    assert "cannot be reached" in done.stderr or "failed" in done.stderr


def test_the_files_that_the_readme_names_are_those_of_a_run(rehearsal: Run) -> None:
    table = README[README.index("| file | what it is |") :].split("\n\n")[0]
    named = set(re.findall(r"`([^`]+)`", table.replace("`amount_base_units`", "")))
    made = {f"{name.split('/')[0]}/" if "/" in name else name for name in files(rehearsal)} | {"manifest.json"}
    assert named == made


def test_the_formula_of_the_readme_is_a_formula(tmp_path: Path) -> None:
    code = re.search(r"^```python\n(.*?)^```", README, re.M | re.S)
    assert code
    (tmp_path / "capped_margin.py").write_text(code[1])
    script = "import capped_margin, perpcomp.formula as f; print(f.tree(capped_margin.capped_margin), f.reads(capped_margin.capped_margin))"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert "['margin_at_reference']" in done.stdout


def test_every_formula_quotes_its_source_and_stands_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    for name in ("margin-only", "margin-upl-funding", "restore-position", "split-50-50", "realized-loss"):
        found = formula.find(name)
        assert '> "' in found.quote, f"{name} quotes no text"
        assert found.source
        assert f"`{name}`" in changelog


def test_the_map_names_every_module() -> None:
    """And no module that does not exist."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in (ROOT / "perpcomp").iterdir():
        if path.suffix == ".py" or (path / "__init__.py").exists():
            assert f"`{path.name}{'/' if path.is_dir() else ''}" in text, path.name
    for path in (ROOT / "perpcomp" / "ingest").glob("[a-z]*.py"):
        assert path.name in text, path.name
    for name in re.findall(r"^\| `([\w/]+\.py)`", text, re.M):
        assert (ROOT / "perpcomp" / name).exists()


def test_the_changelog_begins_every_version_with_what_changes_payouts() -> None:
    for section in (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]:
        assert section.split("\n", 2)[2].lstrip().startswith("**Changes payouts:**")
