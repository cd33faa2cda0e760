"""A command that reads little gives Polars one thread, in time and only where the user set no number."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perpcomp.cli import threads
from tests.test_cli import ROOT

OWN = {"query": "rehearsal"}


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLE, "7")  # so that it is as before behind the test
    monkeypatch.delenv(threads.VARIABLE)


def number(**arguments: Any) -> str | None:
    threads.fit(arguments)
    return os.environ.get(threads.VARIABLE)


def holding(size: int, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as opened:
        opened.truncate(size)
    return file


def test_the_input_that_the_incident_file_names_counts() -> None:
    assert number(**OWN) == "1"


def test_a_number_of_the_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLE, "3")
    assert number(**OWN) == "3"


@pytest.mark.parametrize(("size", "found"), [(threads.LITTLE - 1, "1"), (threads.LITTLE, None)])
def test_a_given_input_counts_instead(size: int, found: str | None, tmp_path: Path) -> None:
    assert number(**OWN, input=holding(size, tmp_path / "logs.jsonl")) == found


@pytest.mark.parametrize(("size", "found"), [(threads.LITTLE // 2 - 5_000, "1"), (threads.LITTLE // 2, None)])
@pytest.mark.parametrize(("named", "inside"), [("input", "."), ("run", "inputs")])
def test_the_files_of_a_folder_count_together(named: str, inside: str, size: int, found: str | None, tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        holding(size, tmp_path / inside / name)
    holding(threads.LITTLE, tmp_path / "elsewhere" / "deep" / "c.parquet")  # a folder of folders may be a whole disk: it is not walked
    assert number(**OWN, **{named: tmp_path}) == found


@pytest.mark.parametrize(
    "arguments",
    [{}, {"query": "2021-02-21-btc-flash-crash"}, {"query": "no-such"}, {**OWN, "rpc": ["URL"]}, {**OWN, "input": Path("no-such")}],
    ids=["nothing", "no-input", "no-query", "rpc", "no-file"],
)
def test_what_is_not_known_before_changes_nothing(arguments: dict[str, Any]) -> None:
    assert number(**arguments) is None


def test_no_command_has_imported_polars_before_it_runs() -> None:
    """Else the number would come too late."""
    script = "import sys; from perpcomp.cli import panels, main; panels.load([]); print('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_pool_has_one_thread() -> None:
    script = (
        "import sys, atexit; from perpcomp.cli.main import main; sys.argv = ['perpcomp', 'payouts', '--json'];"
        "atexit.register(lambda: print(sys.modules['polars'].thread_pool_size(), file=sys.stderr)); main()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "1"
