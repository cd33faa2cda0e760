"""0.5 to 5 million logs from Parquet to payouts: CPU and memory of a process each, and whether time grows with their number alone.

The history is the recorded chain many times: see `write`. Every liquidation in it is paid, so none is cheaper than another.
"""

import hashlib
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1.events import TOPICS
from tests.bench.measure import ROOT, Line
from tests.raw_logs import read_logs

QUERY = ROOT / "tests/lab/large.toml"
RECORDED = ROOT / "tests/lab/large/logs.jsonl.gz"
SIZES = (500_000, 1_000_000, 2_000_000, 5_000_000)
PUBLISHED = SIZES[0]  # how many logs a run is also published of
CPU_SECONDS, MEMORY_MB, EXPONENT = 9, 1000, 1.0
OTHER_PRICE = 2_000  # of a market that has none in the recording
MARKET = '[[market]]\nname = "{name}"\namm = "{amm}"\naffected = true\nreference_price = {price}\nsource = "recording"\n\n'

CHILD = """
import sys, time
from pathlib import Path
import perpcomp
from perpcomp import pipeline
from tests.bench.measure import peak_memory
start = time.process_time()
run = perpcomp.compute(sys.argv[1], Path(sys.argv[2]))
seconds, peak = time.process_time() - start, peak_memory()
kinds = run.events.lazy.select("kind").collect(engine="streaming").to_series().value_counts(sort=True).rows()
assert run.liquidations.get_column("eligible").all() and not [p for p in run.problems if p.level == 'error']
if len(sys.argv) > 3:
    start = time.process_time()
    perpcomp.publish_run(run, Path(sys.argv[3]))
publishing = time.process_time() - start
print(seconds, peak / 1e6, run.liquidations.height, run.payouts.height, publishing, ", ".join(f"{n:,} {kind}" for kind, n in kinds), sep=";")
"""


@dataclass(frozen=True)
class Measured:
    """What a run of so many logs took, and what it found."""

    logs: int
    seconds: float
    megabytes: float
    liquidations: int
    payouts: int
    publishing: float
    kinds: str


def lines() -> Iterator[Line]:
    """CPU seconds and peak memory by the number of logs, and the straight line through them."""
    runs = []
    for size in SIZES:
        with TemporaryDirectory() as place:
            query, logs = write(Path(place), size)
            runs.append(measured := _run(query, Path(place) / "logs", logs, Path(place) / "out" if size == PUBLISHED else None))
        largest = size == SIZES[-1]
        what = f"{logs:,} logs, {measured.liquidations:,} liquidations, {measured.payouts:,} payouts"
        limit = (f"< {CPU_SECONDS} CPU-s", measured.seconds < CPU_SECONDS) if largest else ("", None)
        yield Line(what, f"{measured.seconds:.1f} CPU-s", "", f"{logs / measured.seconds:,.0f} logs/CPU-s", *limit)
        limit = (f"< {MEMORY_MB:,} MB", measured.megabytes < MEMORY_MB) if largest else ("", None)
        yield Line("   its peak memory", f"{measured.megabytes:,.0f} MB", "", "", *limit)
        if size == PUBLISHED:
            yield Line("   publishing it besides", f"{measured.publishing:.1f} CPU-s")
    yield Line(f"   of the last: {runs[-1].kinds}", "")
    yield from _fit(runs)


def _fit(runs: list[Measured]) -> Iterator[Line]:
    """The least-squares line through the seconds, how far each run lies from it, and the exponent of a power law."""
    millions, seconds = [run.logs / 1e6 for run in runs], [run.seconds for run in runs]
    slope, start = least_squares(millions, seconds)
    rest = [second - start - slope * million for million, second in zip(millions, seconds, strict=True)]
    mean = sum(seconds) / len(seconds)
    explained = 1 - sum(r * r for r in rest) / sum((second - mean) ** 2 for second in seconds)
    exponent, _ = least_squares([math.log(million) for million in millions], [math.log(second) for second in seconds])
    fit = f"{start:.2f} + {slope:.2f} CPU-s a million"
    yield Line("the straight line through them", fit, f"R2 {explained:.4f}", f"off by {max(map(abs, rest)):.2f} CPU-s at most")
    yield Line("CPU-s grow as logs to the power of", f"{exponent:.2f}", target=f"<= {EXPONENT:g}", met=round(exponent, 2) <= EXPONENT)


def least_squares(xs: list[float], ys: list[float]) -> tuple[float, float]:
    """Slope and intercept."""
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)
    return slope, y - slope * x


def _run(query: Path, folder: Path, logs: int, out: Path | None) -> Measured:
    command = [sys.executable, "-c", CHILD, str(query), str(folder), *([str(out)] if out else [])]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    seconds, megabytes, liquidations, payouts, publishing, kinds = said.strip().split(";")
    return Measured(logs, float(seconds), float(megabytes), int(liquidations), int(payouts), float(publishing), kinds)


def write(place: Path, size: int) -> tuple[Path, int]:
    """A history of at least `size` logs in `place`: the incident file, and how many logs stand in the files of `place`/logs.

    It is the recorded chain (opens, increases, reduces, reverses, closes and liquidations of 2,000 traders, margin changes, swaps,
    reserve snapshots, funding) many times, one behind the other, a file each: every copy has later blocks and times, and
    transactions, traders and markets of its own. The window runs from the first crash to the last.
    """
    query = incident_file.load(str(QUERY))
    raw = read_logs(RECORDED, [query.chain.clearing_house, *(market.amm for market in query.markets)], TOPICS)
    copies = -(-size // raw.height)
    (place / "logs").mkdir()
    for copy in range(copies):
        logs = _copy(raw, copy, query.chain.clearing_house)
        logs.drop("row").write_parquet(place / "logs" / f"{copy:05}.parquet", row_group_size=50_000)
    return _incident(place, query, copies), copies * raw.height


def _copy(raw: pl.DataFrame, copy: int, house: str) -> pl.DataFrame:
    """The recorded rows as one of many copies. Adjusted and settled positions index the market first: none is in the recording."""
    mark = copy.to_bytes(4)
    other = hashlib.sha256(mark).digest()[:8].hex()
    of_position = pl.col("topics") == 3
    block, time = pl.col("block_number"), pl.col("block_time")
    return raw.with_columns(
        pl.when(pl.col("address") == house).then("address").otherwise(pl.lit(_marked("", copy)) + pl.col("address").str.slice(10)),
        block + copy * (block.max() - block.min() + 1),
        time + copy * (time.max() - time.min()),
        *((pl.lit("0x" + other) + pl.col(name).str.slice(18)).alias(name) for name in ("transaction_hash", "block_hash")),
        *(
            pl.when(of_position).then(pl.lit(bytes(12) + mark) + pl.col(topic).bin.slice(16, 16)).otherwise(topic).alias(topic)
            for topic in ("topic1", "topic2")
        ),
    )


def _marked(address: str, copy: int) -> str:
    """An address as a copy has it."""
    return f"0x{copy.to_bytes(4).hex()}{address[10:]}"


def _incident(place: Path, query: Incident, copies: int) -> Path:
    """The recording's incident file with the markets of every copy, and a window over all of them."""
    markets = [
        MARKET.format(name=f"{market.name}-{copy}", amm=_marked(market.amm, copy), price=market.reference_price or OTHER_PRICE)
        for copy in range(copies)
        for market in query.markets
    ]
    start, end = QUERY.read_text().partition("[[market]]")[::2]
    start = start.replace(next(line for line in start.splitlines() if line.startswith("file =")), 'file = "logs"')
    rules = "[eligibility]" + end.partition("[eligibility]")[2]
    rules = rules.replace(f"to = {query.eligibility.end:%Y-%m-%dT%H:%M:%SZ}", "to = 2100-01-01T00:00:00Z")
    file = place / "history.toml"
    file.write_text(start + "".join(markets) + rules)
    return file
