"""CPU seconds and size of report.html for a thousand accounts, whose amounts have all places."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from perpcomp.publish.report import report
from tests import build
from tests.bench.measure import ROUNDS, Line

ACCOUNTS = 1_000
SECONDS, BYTES = 1.0, 300_000


def lines() -> Iterator[Line]:
    """The page of a run that is there; its tables are computed once."""
    with TemporaryDirectory() as folder:
        run = build.many(Path(folder), ACCOUNTS)
        size, seconds = len(report(run)), []
        for _ in range(ROUNDS):
            start = time.process_time()
            report(run)
            seconds.append(time.process_time() - start)
    took = median(seconds)
    yield Line(f"report.html of {ACCOUNTS:,} accounts", f"{took:.2f} CPU-s", target=f"< {SECONDS:g} CPU-s", met=took < SECONDS)
    yield Line("   its size", f"{size:,} bytes", target=f"< {BYTES:,} bytes", met=size < BYTES)
