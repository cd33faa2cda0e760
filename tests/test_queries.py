"""queries/README.md: every command in it does what it says."""

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.commands import call

ROOT = Path(__file__).parent.parent
README = (ROOT / "queries" / "README.md").read_text()


def commands(language: str) -> list[str]:
    """The lines of the blocks of a language that call perpcomp."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith("perpcomp ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with logs and what the first commands make of them."""
    folder = tmp_path_factory.mktemp("writer")
    shutil.copy(ROOT / "tests" / "lab" / "later-contracts" / "logs.jsonl.gz", folder)
    for command in commands("sh"):
        done = call(*shlex.split(command)[1:], cwd=folder)
        assert done.returncode == 0, (command, done.stderr)
    return folder


def test_the_walk_ends_with_a_verified_run(place: Path) -> None:
    assert [shlex.split(command)[1] for command in commands("sh")] == ["init", "check", "run", "compare", "verify"]
    assert (place / "outputs" / "my-incident" / "manifest.json").exists()


def test_the_files_and_words_that_it_names_exist(place: Path) -> None:
    for name in re.findall(r"`([\w./-]+\.(?:toml|sql|graphql|json|csv|xlsx))`", README.partition("<!-- keys -->")[0]):
        assert any((folder / name).exists() for folder in (ROOT / "queries", place, place / "outputs" / "my-incident")), name
    with (place / "outputs" / "my-incident" / "3-payouts.csv").open() as file:
        trader = next(row["trader"] for row in csv.DictReader(file))
    assert "`perpcomp explain ADDRESS --run outputs/my-incident`" in README
    explained = call("explain", trader, "--run", "outputs/my-incident", cwd=place)
    assert (explained.returncode, "base units" in explained.stdout) == (0, True)


def test_the_commands_that_need_a_node_or_an_export_reach_it(place: Path) -> None:
    found = commands("text")
    assert len(found) == 3
    (place / "logs").mkdir()
    shutil.copy(place / "logs.jsonl.gz", place / "logs")
    for command in found:
        words = shlex.split(command.replace("URL", "ipc:///nowhere"))[1:]
        if words[0] == "init":
            words[1] = "other"
        done = call(*words, cwd=place)
        if "--rpc" in words:
            # the incident of the walk has its own logs, so a run of it asks no node
            assert (done.returncode, "cannot be reached" in done.stderr) == ((3, True) if words[0] == "init" else (2, False)), done.stderr
        else:
            assert done.returncode == 0, done.stderr
