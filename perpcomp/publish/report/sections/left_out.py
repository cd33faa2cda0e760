"""Who is not paid, and why: left out, excluded by name, liquidated and not compensated."""

from collections.abc import Iterator, Sequence

import polars as pl

from perpcomp.publish import facts
from perpcomp.publish.report.parts import Heading, Listing, Part, Section, Text
from perpcomp.publish.report.reasons import reasons
from perpcomp.publish.report.tables import grid
from perpcomp.publish.summary import Line
from perpcomp.run import Run
from perpcomp.tables.decide import EXCLUSIONS
from perpcomp.tables.liquidations import LEFT_OUT, LIQUIDATIONS
from perpcomp.tables.schema import Table
from perpcomp.window import affected_in_window

NOT_PAID = Table(
    "not compensated",
    LIQUIDATIONS.key,
    tuple(c for c in LIQUIDATIONS.columns if c.name in ("trader", "market_name", "side", "block_time", "size", "reason_code", "reason")),
)


def section(run: Run, said: Sequence[Line], taken: set[str]) -> Section:
    """The section. `taken` are ids of rows that the page has already."""
    return Section("left-out", "Who is left out, and why", list(_parts(run, said, taken)))


def _parts(run: Run, said: Sequence[Line], taken: set[str]) -> Iterator[Part]:
    others = facts.also(said)
    if run.incident.published_table is not None:
        yield Text(f"{facts.UNKNOWN_OTHERS} Of those who have:")
        yield Listing(others)
        return
    liquidated, left = (list(reasons(one)) for one in facts.who_is_not(run))
    names = {market.amm: market.name for market in run.incident.markets}
    yield from left
    if run.left_out.height:
        frame = run.left_out.with_columns(pl.col("market").replace(names))
        yield from grid("Accounts left out", frame, LEFT_OUT, run, "left-out.csv", taken, hidden=("transaction_hash", "log_index"))
    yield from liquidated
    not_paid = affected_in_window(run.liquidations, run.incident).filter(~pl.col("eligible"))
    if not_paid.height:
        yield from grid(
            "Liquidations that are not compensated, exact", not_paid.select(*NOT_PAID.schema), NOT_PAID, run, "2-liquidations.csv", taken
        )
    if run.exclusions.height:
        yield Heading("Excluded by name")
        yield from grid(
            "Accounts that the incident file excludes, exact", run.exclusions, EXCLUSIONS, run, f"inputs/{run.incident.name}.toml", taken
        )
    yield Heading("Also")
    yield Listing(others)
