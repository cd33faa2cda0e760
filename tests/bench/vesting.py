"""The claims table of 100,000 traders in 13 weekly tranches, and the same rows by the definition, one trader after the other."""

from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from math import floor

import polars as pl
from msgspec.structs import replace

from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.vesting.vest import vest
from tests.bench.measure import Line, rates

TRADERS, PEER_TRADERS, WEEKS = 100_000, 10_000, 13
SECONDS = 2

Row = tuple[str, int, int, int]  # trader, unix time, base units, unlocked by then


def lines() -> Iterator[Line]:
    rehearsal = incident_file.load("rehearsal")
    weekly = replace(rehearsal.vesting, upfront=Fraction(0), calendar="fixed-days", length=7 * WEEKS, tranches=WEEKS)
    incident = replace(rehearsal, vesting=weekly)
    # Up to 10,000 tokens each, no two alike, the last digits as odd as those of real payouts.
    payouts = pl.DataFrame({
        "trader": [f"0x{n:040x}" for n in range(TRADERS)],
        "token": [incident.settlement[0].token] * TRADERS,
        "amount_base_units": [str(1 + n * 7_777_777_777_777_777_777_777 % 10**22) for n in range(TRADERS)],
    })  # fmt: skip
    few = payouts.head(PEER_TRADERS)
    ours = vest(few, incident).with_columns(total=pl.col("cumulative").reinterpret(dtype=pl.Int128))
    wanted = _peer(few, incident)
    found = ours.select("trader", "unlocks_at_unix", pl.col("amount_base_units").cast(pl.Int128), "total").rows()
    assert found == wanted, "the definition gives other rows"
    rate = rates({"ours": (TRADERS, lambda: vest(payouts, incident)), "peer": (PEER_TRADERS, lambda: _peer(few, incident))})
    seconds, peer = (TRADERS / rate[name].steady for name in ("ours", "peer"))
    what = f"unlock table of {TRADERS:,} traders x {WEEKS} tranches"
    by_definition = f"{peer:.2f} (its definition in fractions, row by row)"
    yield Line(what, f"{seconds:.2f} CPU-s", by_definition, f"{peer / seconds:.1f} x", f"< {SECONDS} CPU-s", seconds < SECONDS)
    yield Line("unlock table, first call", f"{TRADERS / rate['ours'].first:.2f} CPU-s")


def _peer(payouts: pl.DataFrame, incident: Incident) -> list[Row]:
    start, rows = incident.vesting.start, []
    for trader, text in payouts.select("trader", "amount_base_units").iter_rows():
        before = 0
        for week in range(WEEKS + 1):
            unlocked = floor(int(text) * Fraction(week, WEEKS))
            rows.append((trader, int((start + timedelta(weeks=week)).timestamp()), unlocked - before, unlocked))
            before = unlocked
    return rows
