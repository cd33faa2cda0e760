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
# Every README of the project; queries/README.md has a test module of its own (test_queries.py).
READMES = (
    "README.md",
    "outputs/README.md",
    "perpcomp/audit/README.md",
    "perpcomp/formulas/README.md",
    "perpcomp/guards/README.md",
    "perpcomp/ingest/README.md",
)


def lines(readme: str, language: str) -> list[str]:
    """The lines in the blocks of a language of a README."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / readme).read_text(), re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


COMMANDS = {readme: [line for line in lines(readme, "sh") if line.startswith("perpcomp ")] for readme in READMES}


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with what a reader has after `make run`, and logs in a file."""
    shutil.copytree(ROOT / "outputs" / "rehearsal", tmp_path / "outputs" / "rehearsal")
    shutil.copy(ROOT / "queries" / "rehearsal" / "logs.jsonl.gz", tmp_path / "logs.jsonl.gz")
    shutil.copytree(ROOT / "tests" / "lab" / "guards", tmp_path / "tests" / "lab" / "guards")
    return tmp_path


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
    "perpcomp run --charts figures": ["10 files in figures: price-path, payout-distribution, formulas-compared, sensitivity, vesting."],
    "perpcomp compare": [*published("comparison.csv", "trader"), *published("comparison.csv", "formula"), "sources of funds"],
    "perpcomp sensitivity": ["margin-upl-funding is linear", "starts to get something above it", "the total fits on-chain analysis"],
    "perpcomp budget --amount 45000": ["45000 USDC, by cap:", "The next, ", "left over"],
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
    "perpcomp bundle outputs/rehearsal": ["outputs/rehearsal.bundle.zip: ", "Manifest sha256 "],
    "perpcomp verify outputs/rehearsal.bundle.zip": [
        "integrity PASS: ",
        "recompute PASS: ",
        " files compared, 0 differences.",
    ],
    "perpcomp sign outputs/rehearsal.bundle.zip": ['"primaryType": "Manifest"', '"total": "8220331472917692825739"'],
    "perpcomp verify outputs/rehearsal": ["PASS: ", " files compared, 0 differences."],
    "perpcomp guards": [*published("2-liquidations.csv", "trader"), "verdicts.csv in outputs/rehearsal/guards."],
    "perpcomp guards --replay --sweep": ["verdicts.csv, replay.csv, paths.csv, dropped.csv, sweep.csv in outputs/rehearsal/guards."],
    "perpcomp events 2021-02-21-btc-flash-crash --dry-run": ["Range: from block 13,507,324", "Nothing was sent."],
    "perpcomp guards profiles": ["May be flagged when", "remaining margin < liquidation margin"],
    "perpcomp guards vectors tests/lab/guards/vectors.json.gz": [" passed, 0 failed"],
    "perpcomp run --engine dask --out elsewhere": ["elsewhere"],
    f"perpcomp explain {EXPLAINED} --run outputs/rehearsal": [EXPLAINED, "base units"],
    "perpcomp claims --at 2021-04-15T00:00:00Z": [*published("3-payouts.csv", "trader"), "Unlocked at"],
    "perpcomp init my-incident --input logs.jsonl.gz --yes": ["my-incident.toml"],
    "perpcomp check my-incident.toml": ["all tables and keys are as they must be", "Evidence: "],
    "perpcomp run my-incident.toml": ["outputs/my-incident"],
    "perpcomp compare --run outputs/my-incident": published("comparison.csv", "formula"),
    "perpcomp verify outputs/my-incident": ["PASS: ", " files compared, 0 differences."],
    "perpcomp proposal outputs/my-incident --space perp.eth --from 0x69e1cb5cfca8a311586e3406ed0301c06fb839a2"
    " --timestamp 2021-03-01T12:00:00Z --snapshot 11950000": [
        '"primaryType": "Proposal"',
        '"No compensation"',
        "The vote runs from 2021-03-01",
    ],
}


@pytest.mark.parametrize("readme", READMES)
def test_every_perpcomp_command_of_a_readme_works(readme: str, workplace: Path) -> None:
    """In the order of the page. Its output holds what the command is for."""
    assert COMMANDS[readme]
    for command in COMMANDS[readme]:
        done = call(*shlex.split(command)[1:], cwd=workplace, COLUMNS="400")  # wide enough for every column and whole addresses
        assert done.returncode == 0, (command, done.stderr)
        answer = done.stdout + done.stderr
        assert [words for words in OUTPUTS[command] if words not in answer] == [], command


def test_every_expected_output_belongs_to_a_command_of_a_readme() -> None:
    assert {*OUTPUTS} == {command for commands in COMMANDS.values() for command in commands}


def test_every_readme_is_tested_and_every_link_leads_somewhere() -> None:
    """A README without commands has none in a block of its own."""
    tracked = subprocess.run(["git", "ls-files", "*README.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        text = (ROOT / name).read_text()
        if name not in (*READMES, "queries/README.md") and not name.startswith(("outputs/rehearsal", "tests/manifests")):
            assert not [line for line in lines(name, "sh") if line.startswith("perpcomp ")], name
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert ((ROOT / name).parent / target).exists(), (name, target)


def test_the_readme_is_short() -> None:
    assert README.count("\n") <= 150


def test_make_run_and_make_test_are_what_they_say() -> None:
    """Both run in CI on a clean checkout; here, that they are the commands of the Makefile and of the README."""
    makes = [line for line in lines("README.md", "sh") if line.startswith("make ")]
    assert makes == ["make run", "make test"]
    ci = (ROOT / ".ci" / "run").read_text()
    for command in makes:
        assert re.search(rf"^{command}$", ci, re.M)
        plan = subprocess.run(["make", "-n", command.split()[1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert {"make run": "perpcomp run", "make test": "pytest"}[command] in plan


# An object store that is not there.
NO_STORE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_MAX_ATTEMPTS": "1"}


@pytest.mark.parametrize("readme", ["README.md", "perpcomp/ingest/README.md"])
def test_the_real_incidents_commands_reach_their_input(readme: str, workplace: Path, scheduler: str) -> None:
    """The commands whose logs are not in the repository: with other logs, and with a node that does not exist, also on a cluster."""
    fetch, given, *others = (line for line in lines(readme, "text") if line.startswith("perpcomp "))
    done = call(*shlex.split(given)[1:], cwd=workplace)
    assert done.returncode == 2
    assert "holds no PositionChanged of the ClearingHouse 0x5d9593586b4b5edbd23e7eba8d88fd8f09d83ebd" in done.stderr
    for command in (fetch, *others):
        words = command.replace("URL", "ipc:///nowhere").replace("tcp://HOST:8786", scheduler)
        done = call(*shlex.split(words)[1:], cwd=workplace, **NO_STORE)
        assert done.returncode == 3
        assert re.search("cannot be reached|failed|did not give what was asked", done.stderr)


def test_the_files_that_the_readme_names_are_those_of_a_run(rehearsal: Run) -> None:
    table = README[README.index("| file | what it is |") :].split("\n\n")[0]
    named = set(re.findall(r"`([^`]+)`", table.replace("`amount_base_units`", "")))
    made = {f"{name.split('/')[0]}/" if "/" in name else name for name in files(rehearsal)} | {"manifest.json"}
    assert named == made


def test_the_formula_of_the_page_on_formulas_is_a_formula(tmp_path: Path) -> None:
    code = re.search(r"^```python\n(.*?)^```", (ROOT / "perpcomp/formulas/README.md").read_text(), re.M | re.S)
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
