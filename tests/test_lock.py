"""Two runs into one folder, what a killed run leaves, and Ctrl-C at any moment: real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perpcomp.findings import InputError
from perpcomp.lock import LOCK, locked
from perpcomp.publish.manifest import MANIFEST
from tests.commands import PERPCOMP, call

WAITS = """
import sys, time
from pathlib import Path
from perpcomp.lock import locked
with locked(Path(sys.argv[1]), "--out"):
    print("held", flush=True)
    time.sleep(60)
"""
# Stops the program when it opens a file whose name ends so, or (where the ending begins with /) renames one to it, and says so.
STOPS = """
import sys, time
from perpcomp.cli.main import main

ending = sys.argv.pop(1)

def stop(event, arguments):
    renames = ending.startswith("/")
    if event == ("os.rename" if renames else "open") and str(arguments[renames]).endswith(ending):
        print("stopped", file=sys.stderr, flush=True)
        time.sleep(60)

sys.addaudithook(stop)
main()
"""


def started(script: str, *arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def test_a_folder_that_another_process_writes_is_refused_with_its_id(tmp_path: Path) -> None:
    other = started(WAITS, "o", cwd=tmp_path)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    done = call("run", "--out", "o", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: o: Process {other.pid} is writing into this folder. Wait until it ends, or choose another folder with --out.\n"
    )
    assert [path.name for path in (tmp_path / "o").iterdir()] == [LOCK]
    killed(other)
    done = call("run", "--out", "o", cwd=tmp_path)
    assert done.returncode == 0
    assert f"Process {other.pid} ended without finishing its work in o; this run replaces what it left." in done.stderr
    assert call("verify", "o", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "o" / LOCK).exists()


def test_of_two_runs_at_once_one_is_refused_and_the_folder_is_whole(tmp_path: Path) -> None:
    both = [subprocess.Popen([PERPCOMP, "run", "--out", "o", "--quiet"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    words = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], words
    assert "is writing into this folder." in "".join(words)
    assert call("verify", "o", cwd=tmp_path).returncode == 0


def test_an_inner_call_finds_the_folder_locked_by_its_own_process(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b", "--out"), locked(tmp_path / "a" / "b", "--out"):
        assert (tmp_path / "a" / "b" / LOCK).read_text() == str(os.getpid())
    assert not (tmp_path / "a").exists(), "folders that were made and are still empty are removed"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "inner", tmp_path / ("x" * 300), Path("/proc/x")):
        with pytest.raises(InputError, match="--store") as caught, locked(folder, "--store"):
            pass
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("ending", [".manifest.json.partial", "/3-payouts.csv", "/manifest.json"], ids=["writing", "renaming", "last"])
@pytest.mark.parametrize("older", [False, True], ids=["first run", "second run"])
def test_a_run_killed_at_any_step_is_replaced_by_the_next(ending: str, older: bool, tmp_path: Path) -> None:
    if older:
        assert call("run", "--out", "o", "--formula", "margin-only", cwd=tmp_path).returncode == 0
    words = ("run", "--out", "o", *(("--force",) if older else ()))  # the older run is a what-if
    running = started(STOPS, ending, *words, cwd=tmp_path)
    assert running.stderr is not None
    assert running.stderr.readline() == "stopped\n"
    killed(running)
    if ending.endswith(".partial") and older:
        assert call("verify", "o", cwd=tmp_path).returncode == 0, "the older run is whole"
    else:
        assert not (tmp_path / "o" / MANIFEST).exists(), "no folder with some new files is taken for a run"
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert call("verify", "o", cwd=tmp_path).returncode == 0
    assert not list((tmp_path / "o").rglob(".*"))


@pytest.mark.parametrize("delay", [0.05, 0.3, 0.6, 1.0, 1.5])
def test_ctrl_c_at_any_moment_ends_with_130_and_one_sentence(delay: float, tmp_path: Path) -> None:
    """While imports run, before the command starts, during it; a run that was faster than the delay is complete."""
    running = subprocess.Popen(
        [sys.executable, "-c", "import perpcomp.cli.main as m; print('up', flush=True); m.main()", "run", "--out", "o", "--quiet"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    time.sleep(delay)
    running.send_signal(signal.SIGINT)
    _, words = running.communicate(timeout=60)
    if running.returncode == 0:
        assert words == ""
        assert call("verify", "o", cwd=tmp_path).returncode == 0
        return
    assert (running.returncode, words) == (130, "Interrupted. No file was left incomplete. Type the same command to start again.\n")
    assert not (tmp_path / "o").exists() or call("verify", "o", cwd=tmp_path).returncode == 0


SWALLOWS = """
import os, signal
import polars as pl
import perpcomp.cli.main as m
from perpcomp import payouts

pay = payouts.pay

def swallowing(*arguments):
    try:
        {}
    except KeyboardInterrupt:
        {}
    return pay(*arguments)

payouts.pay = swallowing
m.main()
"""
CTRL_C = "os.kill(os.getpid(), signal.SIGINT)"


INSIDE = f"pl.Series([1]).map_elements(lambda one: {CTRL_C} or print('the end of it') or one, return_dtype=pl.Int64)"


@pytest.mark.parametrize(
    ("does", "instead", "said"),
    [(CTRL_C, "pass", ""), (CTRL_C, "raise TypeError('as Polars makes of it')", ""), (INSIDE, "raise", "the end of it\n")],
    ids=["dropped", "another error", "inside Polars"],
)
def test_a_ctrl_c_that_other_code_loses_ends_the_run_all_the_same(does: str, instead: str, said: str, tmp_path: Path) -> None:
    """Else a formula in which it came would be left out, and the run be published without it. What Polars has called is not interrupted: Rust
    would print a panic.
    """
    script = SWALLOWS.format(does, instead)
    done = subprocess.run(
        [sys.executable, "-c", script, "run", "--out", "o", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "Interrupted. No file was left incomplete. Type the same command to start again.\n")
    assert done.stdout == said
    assert not (tmp_path / "o").exists()


def test_a_command_runs_where_there_is_no_timer_for_signals(tmp_path: Path) -> None:
    """As on Windows, where published runs can be verified."""
    script = "import signal; del signal.SIGALRM, signal.setitimer\nfrom perpcomp.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", script, "formulas"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "margin-only" in done.stdout


def test_ctrl_c_while_files_are_renamed_waits_until_the_run_is_whole(tmp_path: Path) -> None:
    script = STOPS.replace("time.sleep(60)", "time.sleep(2)")
    running = started(script, "/3-payouts.csv", "run", "--out", "o", cwd=tmp_path)
    assert running.stderr is not None
    assert running.stderr.readline() == "stopped\n"
    running.send_signal(signal.SIGINT)
    _, words = running.communicate(timeout=60)
    assert (running.returncode, words) == (130, "Interrupted. No file was left incomplete. Type the same command to start again.\n")
    assert call("verify", "o", cwd=tmp_path).returncode == 0
