"""CPU seconds of the replay: the recorded chain of 114,231 logs, decoded before; then views of it, which must be the contracts' own."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import TypeVar

from perpcomp.fixed import to_integer
from perpcomp.incident import incident_file
from perpcomp.input import find_input, read_events
from perpcomp.systems.perpetual_v1.replay.replay import replay
from tests.bench.measure import ROOT, ROUNDS, Line

LAB = ROOT / "tests/lab"
REPLAY_SECONDS = 3.0
REFERENCE_TIME = 1613859460  # of the recording's block list: the block logged nothing

# Our columns and the recording's.
NAMES = {
    "size": "size",
    "margin": "margin",
    "open_notional": "openNotional",
    "unrealized_pnl_curve": "spotUpl",
    "unrealized_pnl_twap": "twapUpl",
    "margin_ratio": "marginRatio",
}

T = TypeVar("T")


def lines() -> Iterator[Line]:
    query = incident_file.load(str(LAB / "large.toml"))
    events = read_events(find_input(query, None), query)
    truth = json.loads(gzip.decompress((LAB / "large/truth.json.gz").read_bytes()))
    block = truth["reference_block"]

    done, seconds = _timed(lambda: replay(events.others, events.table, block_times={block: REFERENCE_TIME}))
    assert not done.findings
    count = sum(len(timeline.states) for timelines in done.timelines.values() for timeline in timelines.values())
    snapshots = sum(len(market.times) for market in done.markets.values())
    what = f"replay the large chain: {count:,} position states, {snapshots:,} snapshots"
    yield Line(what, f"{seconds:.2f} CPU-s", target=f"< {REPLAY_SECONDS:g} CPU-s", met=seconds < REPLAY_SECONDS)

    amms = {market.name: market.amm for market in query.markets}
    views = {(t, amms[m], block): view for m, traders in truth["reference_positions"].items() for t, view in traders.items()}
    frame, seconds = _timed(lambda: done.at_many(views))
    for row, view in zip(frame.iter_rows(named=True), views.values(), strict=True):
        assert [to_integer(row[name]) for name in NAMES] == [int(view[name]) for name in NAMES.values()], "not the contract's view"
    yield Line(f"value the {len(views)} recorded reference positions", f"{seconds:.2f} CPU-s")

    frame, seconds = _timed(lambda: done.positions(block))
    yield Line(f"value all {frame.height:,} positions of that block", f"{seconds:.2f} CPU-s")
    frame, seconds = _timed(lambda: done.positions(block, triggers=False))
    yield Line("the same without liquidation prices", f"{seconds:.2f} CPU-s")

    rows = events.table.filter(events.table["liquidator"].is_not_null()).select("trader", "market", "block_number")
    points = [(trader, market, number - 1) for trader, market, number in rows.iter_rows()]
    frame, seconds = _timed(lambda: done.at_many(points, triggers=False))
    yield Line(f"value {frame.height:,} liquidated positions, each a block earlier", f"{seconds:.2f} CPU-s")


def _timed(function: Callable[[], T]) -> tuple[T, float]:
    """A function's result, and its CPU seconds: median of 5."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return result, median(seconds)
