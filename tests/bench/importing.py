"""Millions of logs from a file to payouts: CPU and memory of one process, and whether time grows with their number alone."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from perpcomp import incident
from perpcomp.ingest.logs import read_logs
from perpcomp.systems.perpetual_v1.events import TOPICS
from tests.bench.measure import ROOT, Line

QUERY = ROOT / "tests/lab/large.toml"
MILLIONS = (500_000, 5_000_000)
CHILD = """
import resource, sys, time
from pathlib import Path
from perpcomp import incident, pipeline
base = resource.getrusage(resource.RUSAGE_SELF)
query, folder, stage = incident.load(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
start = time.process_time()
if stage == "import":
    events = pipeline.read_events(pipeline.Input(folder, None), query)
    rows = events.lazy.select("block_number").collect(engine="streaming").height
else:
    run = pipeline.compute(query, pipeline.Input(folder, None))
    rows = run.liquidations.height
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, rows)
"""


def lines() -> Iterator[Line]:
    """The figures of 0.5 and 5 million logs of recorded shape, from Parquet with binary columns."""
    taken = {}
    with TemporaryDirectory() as place:
        for logs in MILLIONS:
            folder = Path(place) / str(logs)
            folder.mkdir()
            changed = write(folder, logs)
            for stage in ("import", "compute"):
                command = [sys.executable, "-c", CHILD, str(QUERY), str(folder), stage]
                seconds, megabytes, rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                taken[logs, stage] = float(seconds)
                big = logs == MILLIONS[-1]
                what = f"{logs:,} logs: {'decoded to events' if stage == 'import' else 'to payouts'} ({int(rows):,} rows)"
                limit = 15.0
                speed = "" if stage == "import" or not big else f"< {limit:g} CPU-s"
                met = None if not speed else float(seconds) < limit
                yield Line(what, f"{float(seconds):.1f} CPU-s", target=speed, met=met)
                yield Line(
                    "   its peak memory", f"{megabytes} MB", target="< 1,500 MB" if big else "", met=int(megabytes) < 1500 if big else None
                )
            assert changed
        small, large = (taken[logs, "compute"] for logs in MILLIONS)
        yield Line("time for ten times as many logs", f"{large / small:.1f} x")


def write(folder: Path, logs: int) -> int:
    """Copies of the recorded chain, one behind the other: other blocks, transactions and traders; how many logs were written.

    Each copy's traders are its own, so its lives are whole; a file a copy, as exporters write.
    """
    query = incident.load(str(QUERY))
    addresses = [query.chain.clearing_house, *(market.amm for market in query.markets)]
    raw = read_logs(ROOT / "tests/lab/large/logs.jsonl.gz", addresses, TOPICS)
    first, last = (int(raw["block_number"][n]) for n in (0, -1))
    # Adjusted and settled positions index the market first: none is in this recording, so topic1 is the trader wherever there is one.
    of_trader = pl.col("topics") == 3
    copies = -(-logs // raw.height)
    for n in range(copies):
        mark = n.to_bytes(4)
        other = hashlib.sha256(mark).digest()[:8].hex()
        copy = raw.with_columns(
            pl.col("block_number") + n * (last - first + 1),
            (pl.lit("0x" + other) + pl.col("transaction_hash").str.slice(18)).alias("transaction_hash"),
            (pl.lit("0x" + other) + pl.col("block_hash").str.slice(18)).alias("block_hash"),
            pl.when(of_trader).then(pl.lit(bytes(12) + mark) + pl.col("topic1").bin.slice(16, 16)).otherwise("topic1").alias("topic1"),
        )
        copy.drop("row").head(logs - n * raw.height).write_parquet(folder / f"{n:05}.parquet", row_group_size=50_000)
    return copies * raw.height
