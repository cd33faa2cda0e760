"""0.5 to 5 million logs from Parquet to payouts: CPU and memory of a process each, and whether time grows with their number alone.

The history is the recorded chain many times: see `write`. Every liquidation in it is paid, so none is cheaper than another. The sizes take
their turn in every round, so that a slow moment of the host meets them all. A process first computes the rehearsal, which loads what a run
imports: this start-up is shown, and counted nowhere else.
The peers read the decoded events of the largest history and do the join and the sums alone; their sums are compared with ours.
"""

import hashlib
import importlib.util
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import polars as pl

from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1.events import POSITION_LIQUIDATED, TOPICS
from tests.bench.measure import ROOT, Line
from tests.raw_logs import read_logs

QUERY = ROOT / "tests/lab/large.toml"
RECORDED = ROOT / "tests/lab/large/logs.jsonl.gz"
SIZES = (500_000, 1_000_000, 2_000_000, 5_000_000)
PUBLISHED = SIZES[0]  # how many logs a run is also published of
ROUNDS = 3
CPU_SECONDS, MEMORY_MB, EXPONENT = 9, 1000, 1.0
OTHER_PRICE = 2_000  # of a market that has none in the recording
MARKET = '[[market]]\nname = "{name}"\namm = "{amm}"\naffected = true\nreference_price = {price}\nsource = "recording"\n\n'
CHANGED, LIQUIDATED = "changed.parquet", "liquidated.parquet"
KEY, SUMMED = ("transaction_hash", "trader", "market"), ("realized_pnl", "liquidation_penalty", "liquidation_fee", "fee_shortfall")

# Arguments: incident file, logs, where to publish or "", where to write decoded events or "".
CHILD = """
import sys, time
from pathlib import Path
import perpcomp
from perpcomp import pipeline
from perpcomp.publish.files import CSV_FILES
from tests.bench import scaling
from tests.bench.measure import peak_memory
query, logs, out, decoded = sys.argv[1:]
perpcomp.compute("rehearsal")
startup = time.process_time()
seconds, run = scaling.timed(lambda: perpcomp.compute(query, Path(logs)))
peak = peak_memory()
kinds = run.events.lazy.select("kind").collect(engine="streaming").to_series().value_counts(sort=True).rows()
assert run.liquidations.get_column("eligible").all() and not [p for p in run.problems if p.level == 'error']
publishing = plain = 0
if out:
    publishing, _ = scaling.timed(lambda: perpcomp.publish_run(run, Path(out)))
    written = [run.events.table, *run.events.others.values()], [getattr(run, name) for name, _ in CSV_FILES.values()]
    plain, _ = scaling.timed(lambda: scaling.write_plain(*written))
digest = ""
if decoded:
    for event, name in (("PositionChanged", scaling.CHANGED), ("PositionLiquidated", scaling.LIQUIDATED)):
        run.events.lazy_others[event].sink_parquet(Path(decoded) / name)
    sums = run.events.lazy.filter(scaling.pl.col("liquidator").is_not_null()).group_by("trader").agg(scaling.SUMS)
    digest = scaling.digest(sums.collect().rows())
    assert run.liquidations.height == run.events.lazy_others["PositionLiquidated"].collect().height
found = run.liquidations.height, run.payouts.height, publishing, plain, ", ".join(f"{n:,} {kind}" for kind, n in kinds), digest
print(startup, seconds, peak / 1e6, *found, sep=";")
"""

PEER = """
import sys
from tests.bench import scaling
work = scaling.PEERS[sys.argv[1]](sys.argv[2])
seconds, rows = scaling.timed(work)
print(seconds, scaling.digest(rows), sep=";")
"""
SUMS = [pl.len(), *(pl.col(name).sum() for name in SUMMED)]

Result = TypeVar("Result")
Work = Callable[[], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Measured:
    """What a run of so many logs took, and what it found. `plain` are the CPU seconds of writing its tables alone."""

    logs: int
    startup: float
    seconds: float
    megabytes: float
    liquidations: int
    payouts: int
    publishing: float
    plain: float
    kinds: str
    digest: str


def lines() -> Iterator[Line]:
    """CPU seconds and peak memory by the number of logs beside the peers', and the straight line through them."""
    with TemporaryDirectory() as name:
        places = [Path(name) / str(size) for size in SIZES]
        histories = [(place, *write(place, size)) for place, size in zip(places, SIZES, strict=True)]
        rounds = [[_run(*history) for history in histories] for _ in range(ROUNDS)]
        runs = [_median(same) for same in zip(*rounds, strict=True)]
        peers = {peer: _peer(peer, places[-1], runs[-1].digest) for peer in PEERS}
    for run in runs:
        largest = run is runs[-1]
        what = f"{run.logs:,} logs, {run.liquidations:,} liquidations, {run.payouts:,} payouts"
        limit = (f"< {CPU_SECONDS} CPU-s", run.seconds < CPU_SECONDS) if largest else ("", None)
        yield Line(what, f"{run.seconds:.1f} CPU-s", "", f"{run.logs / run.seconds:,.0f} logs/CPU-s", *limit)
        limit = (f"< {MEMORY_MB:,} MB", run.megabytes < MEMORY_MB) if largest else ("", None)
        yield Line("   its peak memory", f"{run.megabytes:,.0f} MB", "", "", *limit)
        if run.logs == runs[0].logs:
            words = f"{run.plain:.2f} CPU-s (Polars, its tables as CSV and Parquet alone)"
            yield Line("   publishing it besides", f"{run.publishing:.1f} CPU-s", words, f"{run.publishing / run.plain:.1f} x")
    for peer, seconds in peers.items():
        words = (
            f"not measured: {peer} is not installed" if seconds is None else f"{seconds:.1f} CPU-s ({peer}, decoded: join and sums alone)"
        )
        yield Line(
            "   of the last, beside", f"{runs[-1].seconds:.1f} CPU-s", words, f"{runs[-1].seconds / seconds:.1f} x" if seconds else ""
        )
    yield Line(f"   of the last: {runs[-1].kinds}", "")
    yield from _fit(runs)


def _median(runs: tuple[Measured, ...]) -> Measured:
    """The same run several times as one, with the medians of what was measured."""
    assert len({(run.logs, run.liquidations, run.payouts, run.kinds, run.digest) for run in runs}) == 1, "a run found something else"
    names = ("startup", "seconds", "megabytes", "publishing", "plain")
    return replace(runs[0], **{name: median(getattr(run, name) for run in runs) for name in names})


def _fit(runs: list[Measured]) -> Iterator[Line]:
    """The least-squares line through the seconds, how far each run lies from it, and the exponent of a power law."""
    millions, seconds = [run.logs / 1e6 for run in runs], [run.seconds for run in runs]
    slope, start = least_squares(millions, seconds)
    rest = [second - start - slope * million for million, second in zip(millions, seconds, strict=True)]
    mean = sum(seconds) / len(seconds)
    explained = 1 - sum(r * r for r in rest) / sum((second - mean) ** 2 for second in seconds)
    fit = f"{start:.2f} + {slope:.2f} CPU-s a million"
    yield Line("the straight line through them", fit, f"R2 {explained:.4f}", f"off by {max(map(abs, rest)):.2f} CPU-s at most")
    exponent, _ = least_squares([math.log(million) for million in millions], [math.log(second) for second in seconds])
    startup = f"start-up of {median(run.startup for run in runs):.2f} CPU-s not counted"
    yield Line("CPU-s grow as logs to the power of", f"{exponent:.2f}", startup, "", f"<= {EXPONENT:g}", round(exponent, 2) <= EXPONENT)


def least_squares(xs: list[float], ys: list[float]) -> tuple[float, float]:
    """Slope and intercept."""
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)
    return slope, y - slope * x


def _run(place: Path, query: Path, logs: int) -> Measured:
    """A run of the history in `place`. The smallest is also published; the events of the largest are kept there for the peers."""
    out, decoded = (str(place / "out") if place.name == str(PUBLISHED) else ""), (str(place) if place.name == str(SIZES[-1]) else "")
    said = _child(CHILD, str(query), str(place / "logs"), out, decoded)
    shutil.rmtree(place / "out", ignore_errors=True)
    startup, seconds, megabytes, liquidations, payouts, publishing, plain, kinds, found = said
    numbers = float(megabytes), int(liquidations), int(payouts), float(publishing), float(plain)
    return Measured(logs, float(startup), float(seconds), *numbers, kinds, found)


def _child(code: str, *arguments: str) -> list[str]:
    said = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return said.strip().split(";")


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """CPU seconds of this process, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def digest(rows: Iterable[tuple[Any, ...]]) -> str:
    """The hash of rows of a trader, a count and sums, in any order: sums by their digits."""
    texts = sorted(",".join([trader, str(count), *(f"{one:f}" for one in sums)]) for trader, count, *sums in rows)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def write_plain(events: list[pl.DataFrame], tables: list[pl.DataFrame]) -> None:
    """The tables of a run as Polars alone writes them: no check, no order, no sheet and no page."""
    with TemporaryDirectory() as folder:
        for n, frame in enumerate(events):
            frame.write_parquet(Path(folder) / f"{n}.parquet")
        for n, frame in enumerate(tables):
            frame.write_csv(Path(folder) / f"{n}.csv")


# The peers: of decoded events the liquidations with their fees, counted and added up by trader. Each imports, and returns the work.


def _peer(peer: str, folder: Path, wanted: str) -> float | None:
    """CPU seconds of a peer, whose sums must be ours: the median; None where it is not installed."""
    if importlib.util.find_spec(peer) is None:
        return None
    said = [_child(PEER, peer, str(folder)) for _ in range(ROUNDS)]
    assert {found for _, found in said} == {wanted}, f"{peer} has other sums"
    return median(float(seconds) for seconds, _ in said)


def _polars(folder: str) -> Work:
    changed, liquidated = (pl.scan_parquet(Path(folder) / name) for name in (CHANGED, LIQUIDATED))
    both = changed.join(liquidated.select(*KEY, "liquidation_fee", "fee_shortfall"), on=KEY)
    return lambda: both.group_by("trader").agg(SUMS).collect(engine="streaming").rows()


def _duckdb(folder: str) -> Work:
    import duckdb

    duckdb.execute("SET enable_progress_bar = false")  # of a slow query it is printed among the figures
    sums = ", ".join(f"sum({name})" for name in SUMMED)
    query = (
        f"SELECT trader, count(*), {sums} FROM '{folder}/{CHANGED}' JOIN '{folder}/{LIQUIDATED}' USING ({', '.join(KEY)}) GROUP BY trader"
    )
    return lambda: duckdb.sql(query).fetchall()


PEERS: dict[str, Callable[[str], Work]] = {"polars": _polars, "duckdb": _duckdb}


def write(place: Path, size: int, one_crash: bool = False) -> tuple[Path, int]:
    """A history of at least `size` logs in `place`: the incident file, and how many logs stand in the files of `place`/logs.

    It is the recorded chain (opens, increases, reduces, reverses, closes and liquidations of 2,000 traders, margin changes, swaps,
    reserve snapshots, funding) many times, one behind the other, a file each: every copy has later blocks and times, and
    transactions, traders and markets of its own. The window runs from the first crash to the last. With `one_crash` every copy but the last
    ends before its first liquidation.
    """
    query = incident_file.load(str(QUERY))
    raw = read_logs(RECORDED, [query.chain.clearing_house, *(market.amm for market in query.markets)], TOPICS)
    crash = raw.filter(topic0=POSITION_LIQUIDATED.topic0).get_column("block_number").min()
    calm = raw.filter(pl.col("block_number") < crash) if one_crash else raw
    before = -(-(size - raw.height) // calm.height)  # copies before the last
    (place / "logs").mkdir(parents=True)
    for copy in range(before + 1):
        logs = _copy(calm if copy < before else raw, copy, query.chain.clearing_house)
        logs.drop("row").write_parquet(place / "logs" / f"{copy:05}.parquet", row_group_size=50_000)
    return _incident(place, query, before + 1), before * calm.height + raw.height


def _copy(raw: pl.DataFrame, copy: int, house: str) -> pl.DataFrame:
    """Recorded rows as one of many copies. Adjusted and settled positions index the market first: none is in the recording."""
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
