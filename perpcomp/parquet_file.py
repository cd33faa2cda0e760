"""Parquet files of others: a damaged one can end the process that reads it, so another process reads it first, with limits.

The format has no checksum that its readers demand. One flipped bit can make the library panic, ask for more memory than there is, which
ends the process and no `except` sees it, or count rows without end.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from perpcomp.findings import refusal

SECONDS = 300  # for all files together
BYTES = 16 * 2**30  # of addresses: threads and their stacks ask for many that they never use
ROWS = 200_000  # read at a time
# What the library refuses in words is no concern here: the reader refuses it again, and says more.
TRY = f"""
import sys
try:
    import resource
    for kind, most in ((resource.RLIMIT_AS, {BYTES}), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
except ImportError:
    pass
import polars as pl
for path in sys.argv[1:]:
    print(path, flush=True)
    try:
        rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
        for start in range(0, rows, {ROWS}):
            pl.scan_parquet(path, glob=False).slice(start, {ROWS}).collect()
    except (pl.exceptions.PolarsError, OSError):
        pass
"""


def parquet_rows(path: Path) -> pl.LazyFrame:
    """The rows of one Parquet file, on disk or in an object store."""
    return pl.scan_parquet(str(path), glob=False)


def refuse_damaged(paths: Sequence[Path]) -> None:
    """InputError where one of these Parquet files ends the process that reads it, or takes more than the limits."""
    if not paths:
        return
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", TRY, *map(str, paths)], capture_output=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        begun, why = error.stdout or b"", f"reading it did not end within {SECONDS} seconds"
    else:
        if not done.returncode:
            return
        begun, why = done.stdout, "the program that reads it breaks down on it"
    last = (begun.decode(errors="replace").splitlines() or [str(paths[0])])[-1]
    what = f"The Parquet file is damaged: {why}."
    raise refusal(Path(last).name, what, "Get the file again, or export the rows as CSV.")
