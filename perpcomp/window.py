"""Which rows happened in the incident's window, and which of those in an affected market; and a window in blocks, dated by the input."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache

import polars as pl
from msgspec.structs import replace

from perpcomp.findings import refusal
from perpcomp.incident.incident import Incident
from perpcomp.tables.schema import CSV_TIME


def dated(incident: Incident, logs: Iterable[pl.LazyFrame]) -> Incident:
    """The incident with the times of its window, where the file states blocks: from the first log in them to a second after the last.

    `logs` are all tables of the input, with block_number and block_time: what happened in these blocks then happened in these times.
    InputError where the blocks hold no log, or where a block outside has the same time as one inside.
    """
    first, last = incident.eligibility.from_block, incident.eligibility.to_block
    if first is None or last is None:
        return incident
    block, time = pl.col("block_number"), pl.col("block_time")
    edges = pl.concat([table.select("block_number", "block_time") for table in logs]).select(
        time.filter(block < first).max().alias("before"),
        time.filter(block.is_between(first, last)).min().alias("start"),
        time.filter(block.is_between(first, last)).max().alias("end"),
        time.filter(block > last).min().alias("after"),
        block.min().alias("lowest"),
        block.max().alias("highest"),
    )
    found = edges.collect(engine="streaming").row(0, named=True)
    where = f"{incident.name}.toml [eligibility]"
    if found["start"] is None:
        what = f"No log of the input is in blocks {first} to {last}: its logs are in blocks {found['lowest']} to {found['highest']}."
        raise refusal(where, what, "Correct from_block and to_block, or pass the logs of these blocks.")
    for outside, inside, key in (("before", "start", "from_block"), ("after", "end", "to_block")):
        same = found[outside] is not None and (found[outside] - found[inside]) * (1 if outside == "before" else -1) >= timedelta()
        if same:
            what = f"The blocks on both sides of {key} have logs of one time, {found[inside].strftime(CSV_TIME)}, so times cannot tell them apart."
            raise refusal(where, what, f"Set {key} to a block between two times, or state the window as from and to.")
    rules = replace(incident.eligibility, from_time=found["start"], to_time=found["end"] + timedelta(seconds=1))
    return replace(incident, eligibility=rules)


def in_window(incident: Incident) -> pl.Expr:
    """Whether a row's block_time lies in the window [start, end)."""
    return _between(incident.eligibility.start, incident.eligibility.end)


@lru_cache(maxsize=1)  # Polars takes 0.3 ms to make the two times literals, and a run asks a dozen times
def _between(start: datetime, end: datetime) -> pl.Expr:
    return (pl.col("block_time") >= start) & (pl.col("block_time") < end)


def may_be_compensated(incident: Incident) -> pl.Expr:
    """Whether a row happened in the window and in an affected market. No other liquidation is ever compensated."""
    return in_window(incident) & pl.col("market").is_in([market.amm for market in incident.affected])


def affected_in_window(liquidations: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    """The rows of affected markets inside the window, eligible or not."""
    return liquidations.filter(may_be_compensated(incident))
