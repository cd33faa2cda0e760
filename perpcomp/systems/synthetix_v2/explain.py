"""Size, margin and open notional of a Perps V2 position, as arithmetic."""

from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp.arithmetic import plain, term
from perpcomp.steps import Row, Step, earlier_than
from perpcomp.systems.synthetix_v2.timeline import ORDER


def position(_: pl.LazyFrame, others: Mapping[str, pl.LazyFrame], row: Row, __: Row, n: Mapping[str, str], quote: str) -> Iterator[Step]:
    """Size, margin and open notional from the position's PositionModified before the liquidation, which settled it last."""
    mine = (pl.col("trader") == row["trader"]) & (pl.col("market") == row["market"]) & earlier_than(row)
    last = others["PositionModified"].filter(mine).sort(ORDER).collect().row(-1, named=True)
    left = {f"{name}_left": plain(term(last[name])) for name in ("size", "margin", "last_price")}
    place = "PositionModified before it, which settled the position last"
    yield Step(place, transaction=last["transaction_hash"], log=last["log_index"])
    yield Step("size", n["size"], "size_left", {"size_left": left["size_left"]}, "base")
    yield Step("margin", n["margin"], "margin_left", {"margin_left": left["margin_left"]}, quote)
    closing = {name: left[name] for name in ("size_left", "last_price_left")}
    yield Step("open_notional", n["open_notional"], "trunc(abs(size_left) * last_price_left)", closing, quote)
