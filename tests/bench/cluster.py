"""A long history with one crash, on a Dask cluster of two workers and in one process: CPU of each part, network, memory, and the same hashes.

The history is that of the bench `scaling`, with a window over its last copy: everybody who was liquidated there is paid. No other copy has a
crash, so the liquidations do not grow with the logs; a last run shows what they cost where every copy has one. Everything lies on this machine's
disk, as it would on storage that a cluster shares. What a billion logs cost follows from the straight line.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from tests.bench.measure import ROOT, Line
from tests.bench.scaling import least_squares, write

SIZES = (5_000_000, 10_000_000, 20_000_000)
WORKERS = 2
CLIENT, TOTAL, NETWORK_MB, MEMORY_MB = 0.05, 1.3, 1.0, 100  # of the total; of a local run; a million logs; more for four times the logs
BILLION, MACHINES = 1_000, (1, 10, 50)  # millions of logs; machines of 16 cores
CORES = 16

# Arguments: incident file, logs, and for a cluster scheduler and shared folder. Prints CPU seconds, peak memory and hashes.
CHILD = """
import resource, sys
from pathlib import Path
import perpcomp
from perpcomp.engine import open_engine
from perpcomp.publish.files import CSV_FILES
from perpcomp.tables.files import row_hash
from tests.bench.measure import peak_memory
query, logs, *cluster = sys.argv[1:]
with open_engine("dask" if cluster else "local", *cluster[:1], *map(Path, cluster[1:])) as engine:
    run = perpcomp.compute(query, Path(logs), engine=engine)
    assert (run.events.stored is not None) == bool(cluster)
took = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
seconds = sum(one.ru_utime + one.ru_stime for one in took)
held = ("2-liquidations.csv", "3-payouts.csv", "4-claims.csv", "comparison.csv", "left-out.csv", "findings.csv")
hashes = [row_hash(getattr(run, CSV_FILES[name][0]), CSV_FILES[name][1]) for name in held]
print(seconds, peak_memory() / 1e6, run.liquidations.height, *hashes)
"""


@dataclass(frozen=True)
class Measured:
    """CPU seconds and peak memory of one process, how many liquidations it found, and the hashes of its tables."""

    seconds: float
    megabytes: float
    liquidations: int
    hashes: list[str]


@dataclass(frozen=True)
class Size:
    """A history's runs: in one process, and on the cluster (the client), with the CPU of its scheduler and workers and the network's MB."""

    logs: int
    local: Measured
    client: Measured
    scheduler: float
    workers: float
    network: float

    @property
    def total(self) -> float:
        return self.client.seconds + self.scheduler + self.workers


def lines() -> Iterator[Line]:
    sizes: list[Size] = []
    for size, one_crash in (*((size, True) for size in SIZES), (SIZES[0], False)):
        with TemporaryDirectory() as place:
            one = _measure(Path(place), size, one_crash)
        if one_crash:
            sizes.append(one)
        largest = size == SIZES[-1]
        ratio, share, network = one.total / one.local.seconds, one.client.seconds / one.total, one.network / one.logs * 1e6
        what = f"{one.logs:,} logs, {one.client.liquidations:,} liquidations, on {WORKERS} workers"
        target = (f"< {TOTAL} x", ratio < TOTAL) if largest else ("", None)
        yield Line(what, f"{one.total:.1f} CPU-s", f"one process {one.local.seconds:.1f} CPU-s", f"{ratio:.2f} x", *target)
        same = one.client.hashes == one.local.hashes
        yield Line("   hashes of its tables", "the same" if same else "OTHERS", target="the same", met=same)
        target = (f"< {CLIENT:.0%}", share < CLIENT) if largest else ("", None)
        yield Line(
            "   of that the client", f"{one.client.seconds:.1f} CPU-s", f"scheduler {one.scheduler:.1f} CPU-s", f"{share:.1%}", *target
        )
        target = (f"< {NETWORK_MB:g} MB", network < NETWORK_MB) if largest else ("", None)
        yield Line("   network a million logs, all processes", f"{network:.2f} MB", "", "", *target)
        more = one.client.megabytes - sizes[0].client.megabytes
        target = (f"< {MEMORY_MB} MB more than with {sizes[0].logs:,}", more < MEMORY_MB) if largest else ("", None)
        words = f"one process {one.local.megabytes:,.0f} MB"
        yield Line("   the client's peak memory", f"{one.client.megabytes:,.0f} MB", words, f"{more:+,.0f} MB", *target)
    yield from _line(sizes)


def _line(sizes: list[Size]) -> Iterator[Line]:
    """The straight line through the sizes, and what it makes of a billion logs."""
    millions = [one.logs / 1e6 for one in sizes]
    slope, start = least_squares(millions, [one.total for one in sizes])
    own, begin = least_squares(millions, [one.client.seconds + one.scheduler for one in sizes])
    yield Line(
        "the straight line through them", f"{start:.1f} + {slope:.2f} CPU-s a million", f"client and scheduler {begin:.1f} + {own:.3f}"
    )
    alone = begin + own * BILLION
    for machines in MACHINES:
        hours = (alone + (slope - own) * BILLION / (machines * CORES)) / 3600
        yield Line(
            f"   a billion logs on {machines} x {CORES} cores, computed from it", f"{hours:.2f} hours", f"client alone {alone / 60:.0f} min"
        )


def _measure(place: Path, size: int, one_crash: bool) -> Size:
    query, logs = write(place, size, one_crash)
    last = pl.scan_parquet(max((place / "logs").iterdir())).select(pl.col("block_time").min()).collect().item()
    query.write_text(re.sub(r"(?m)^from = .*$", f"from = {last:%Y-%m-%dT%H:%M:%SZ}", query.read_text()))
    local = _run(query, place / "logs")
    before = _loopback()
    with _cluster(place) as (address, seconds):
        client = _run(query, place / "logs", address, str(place))
        network = (_loopback() - before) / 1e6
        scheduler, *workers = seconds()
    return Size(logs, local, client, scheduler, sum(workers), network)


def _run(query: Path, logs: Path, *cluster: str) -> Measured:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(query), str(logs), *cluster], cwd=ROOT, check=True, capture_output=True, text=True
    )
    seconds, megabytes, liquidations, *hashes = done.stdout.split()
    return Measured(float(seconds), float(megabytes), int(liquidations), hashes)


@contextmanager
def _cluster(place: Path) -> Iterator[tuple[str, Callable[[], list[float]]]]:
    """A scheduler and its workers, each a process of its own: the address, and CPU seconds of each."""
    file = place / "scheduler.json"
    common = {"cwd": place, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, "POLARS_MAX_THREADS": "1"}}
    host = ["--host", "127.0.0.1", "--no-dashboard"]
    words = ["-m", "distributed.cli.dask_scheduler", *host, "--port", "0", "--scheduler-file", str(file)]
    running = [subprocess.Popen([sys.executable, *words], **common)]
    try:
        while not file.exists():
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        words = ["-m", "distributed.cli.dask_worker", address, *host, "--no-nanny", "--nthreads", "1", "--memory-limit", "0"]
        running += [subprocess.Popen([sys.executable, *words], **common) for _ in range(WORKERS)]
        yield address, lambda: [_seconds(one.pid) for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()


def _seconds(pid: int) -> float:
    """CPU seconds of a running process and its children that ended, imports included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _loopback() -> int:
    """Bytes that went over this machine's own network so far; other programs' too."""
    return next(int(line.split()[1]) for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
