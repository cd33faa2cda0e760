"""The flag rule on a million positions: on columns, and in a loop over the same rows. Results are compared first."""

from collections.abc import Iterator

import polars as pl

from perpcomp.fixed import from_integer, mul_integers
from perpcomp.guards.rules import margins, recorded
from perpcomp.guards.rules.margins import Position
from perpcomp.guards.rules.screens import POSITIONS, Snapshot, screen
from perpcomp.guards.rules.vectors import opened
from tests.bench.measure import ROOT, Line, rates

RECORDED = ROOT / "tests/lab/guards/vectors.json.gz"
ROWS, LOOP_ROWS = 1_000_000, 100_000
SCREEN_SECONDS, MACHINE_RATE = 2, 40_000

Row = tuple[str, Position, int]  # market, position, funding a unit


def lines() -> Iterator[Line]:
    content = recorded.read(RECORDED)
    assert isinstance(content, recorded.Vectors)
    snapshots, recorded_rows = {}, []
    for vector in content.vectors:
        market = opened("bench", vector)
        name, position = str(vector.id), market.position("A")
        funding = market.funding().entry - market.state.entries[position.last_funding_index]
        snapshots[name] = Snapshot(market.parameters, market.oracle.price, market.state.skew)
        recorded_rows.append((name, position, funding if position.last_funding_index else 0))
    # The recorded states over and over with other margins: some may be flagged, some not.
    rows = [_moved(recorded_rows[n % len(recorded_rows)], n) for n in range(ROWS)]
    frame = pl.DataFrame([(m, *map(from_integer, (p.size, p.margin, p.last_price, f))) for m, p, f in rows], schema=POSITIONS, orient="row")

    by_columns = screen(frame, snapshots).get_column("can_liquidate")
    assert by_columns.to_list() == _loop(rows, snapshots), "the columns give other verdicts"
    rate = rates({"screen": (ROWS, lambda: screen(frame, snapshots)), "loop": (LOOP_ROWS, lambda: _loop(rows[:LOOP_ROWS], snapshots))})
    ours, loop = rate["screen"].steady, rate["loop"].steady
    what, seconds = f"screen {ROWS:,} positions, {by_columns.sum():,} of them flaggable", ROWS / ours
    peer = f"{ROWS / loop:.2f} (the state machine's rule in a loop)"
    yield Line(what, f"{seconds:.2f} CPU-s", peer, f"{ours / loop:.1f} x", f"< {SCREEN_SECONDS} CPU-s", seconds < SCREEN_SECONDS)
    yield Line("the state machine's can_liquidate", f"{loop:,.0f} /CPU-s", target=f">= {MACHINE_RATE:,}", met=loop >= MACHINE_RATE)
    yield Line("the columns, first call", f"{ROWS / rate['screen'].first:.2f} CPU-s")


def _moved(row: Row, n: int) -> Row:
    name, position, funding = row
    return name, position._replace(margin=position.margin * (n % 997) // 500), funding


def _loop(rows: list[Row], snapshots: dict[str, Snapshot]) -> list[bool]:
    found = []
    for name, position, funding in rows:
        market = snapshots[name]
        found.append(margins.can_liquidate(position, market.price, mul_integers(position.size, funding), market.parameters))
    return found
