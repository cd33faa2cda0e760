"""What every bench needs: a line of the table, and CPU seconds of a function or of a child process."""

import gc
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Line:
    """One line of the table. `met` is None where nothing was promised."""

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Rate:
    """Rows per CPU-second: `first` of a call after others ran, when freed memory has gone back to the system, `steady` of the next."""

    first: float
    steady: float


def rates(runs: Mapping[str, tuple[int, Callable[[], object]]]) -> dict[str, Rate]:
    """The rates of each run, given as (rows, function): medians of 5 rounds.

    All take their turn in every round, so that a slow moment of the host meets them all. CPU seconds are of the whole process, with
    the threads of Polars: more threads are no advantage. Freeing the result is not timed.
    """
    seconds: dict[str, list[list[float]]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, (_, function) in runs.items():
            seconds[name].append([_seconds(function) for _ in range(2)])
    return {name: Rate(*(rows / median(turn) for turn in zip(*seconds[name], strict=True))) for name, (rows, _) in runs.items()}


def _seconds(function: Callable[[], object]) -> float:
    gc.collect()
    start = time.process_time()
    result = function()
    seconds = time.process_time() - start
    del result
    return seconds


def child_seconds(command: Sequence[str], folder: Path) -> float:
    """CPU seconds, user and system, of a child process run in a folder: median of 5, after one that only warms the bytecode."""
    seconds = []
    for _ in range(1 + ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(seconds[1:])


def peak_memory() -> int:
    """The most memory this process held so far, in bytes. Linux counts in ru_maxrss what the parent held before: VmHWM is our own."""
    if STATUS.exists():
        return 1024 * next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
