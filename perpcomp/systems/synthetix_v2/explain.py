"""Size, margin and open notional of a Perps V2 position, as arithmetic."""

from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp import arithmetic
from perpcomp.arithmetic import number
from perpcomp.steps import Row, earlier_than, step
from perpcomp.systems.synthetix_v2.timeline import ORDER


def position(_: pl.LazyFrame, others: Mapping[str, pl.LazyFrame], row: Row, __: Row, n: Mapping[str, str], quote: str) -> Iterator[str]:
    """Size, margin and open notional from the position's PositionModified before the liquidation, which settled it last."""
    mine = (pl.col("trader") == row["trader"]) & (pl.col("market") == row["market"]) & earlier_than(row)
    last = others["PositionModified"].filter(mine).sort(ORDER).collect().row(-1, named=True)
    size, price = (number(arithmetic.term(last[name])) for name in ("size", "last_price"))
    yield f"  PositionModified before it, which settled the position last: tx {last['transaction_hash']} log {last['log_index']}"
    yield from step("size", "size that it left", size, f"{n['size']} base")
    yield from step("margin", "margin that it stored", number(arithmetic.term(last["margin"])), f"{n['margin']} {quote}")
    yield from step("open_notional", "trunc(abs(size) * its last_price)", f"trunc(abs({size}) * {price})", f"{n['open_notional']} {quote}")
