"""One step of an explanation: the rule in names, with its numbers, and the value."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from perpcomp.incident.incident import Incident

Row = Mapping[str, Any]


def step(name: str, rule: str, numbers: str, value: str, note: str = "") -> Iterator[str]:
    """`name = rule`, `= numbers`, `= value`; the second line falls away where it says no more than the third."""
    pad = " " * (2 + len(name))
    yield f"  {name} = {rule}" + (f"    [{note}]" if note else "")
    if numbers not in (value, value.split(" ")[0]):
        yield f"{pad} = {numbers}"
    yield f"{pad} = {value}"


def earlier_than(row: Row) -> pl.Expr:
    """Earlier than a row's log."""
    number, place = pl.lit(row["block_number"]), pl.lit(row["log_index"])
    return (pl.col("block_number") < number) | ((pl.col("block_number") == number) & (pl.col("log_index") < place))


def market_source(incident: Incident, market: str) -> tuple[str, ...]:
    """The source keys of the market at that address."""
    return next(m.source for m in incident.markets if m.amm == market)


def source_texts(incident: Incident, keys: tuple[str, ...]) -> str:
    """The texts behind source keys, in one line."""
    return "; ".join(f"{key}: {incident.sources[key].text}" for key in keys)
