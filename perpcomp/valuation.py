"""What each liquidated position was worth, as [valuation] says: when it is looked at, and at which price.

By default each position is that of its own liquidation and the price is the market's reference price: one price for all, no
slippage, and nothing is read but the liquidation's event. Every other moment and price comes from the replay.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp import fixed
from perpcomp.curve import Reverts, out_price
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1.replay.contract import average_out_price
from perpcomp.systems.perpetual_v1.replay.replay import Place, Replay, doubts
from perpcomp.tables.files import read
from perpcomp.tables.liquidations import PRICE_SERIES
from perpcomp.tables.schema import CSV_TIME
from perpcomp.window import may_be_compensated

# A position's size in base and the market it is in -> (price in USDC per base, what it is worth in USDC), as far as they are known.
Worth = tuple[int | None, int | None]

AT_REFERENCE = {
    "size_at_reference": ("size", "size"),
    "margin_at_reference": ("margin", "margin"),
    "open_notional_at_reference": ("open_notional", "open_notional"),
    "funding_at_reference": ("funding_payment", "funding_owed"),
}  # column -> where it stands in a liquidation, and in a replayed position


def at_reference(
    liquidations: pl.DataFrame, incident: Incident, replayed: Replay | None, prices: Path | None
) -> tuple[pl.DataFrame, list[Finding]]:
    """Adds market_name and all that [valuation] gives (tables.py has the columns' meanings) to a system's liquidations.

    unrealized_pnl_at_reference is notional - open notional for a long, the reverse for a short; |size| * price is truncated. Null
    is what the logs do not tell: the findings say why. `replayed` may be None where nothing asks for it, `prices` where no file of
    prices is named. InputError: a market that the incident file does not name (its traders would be neither paid nor left out for a
    reason), a moment that lies after a liquidation it is to value, a series of prices with a gap.
    """
    table = _named(liquidations, incident)
    then, findings = None, list[Finding]()
    if replayed is not None:
        if not incident.valuation.by_event_alone or incident.eligibility.by_replay:
            findings += replayed.findings
        if _reaches_back(incident, replayed):
            then = before_crash(table, incident, replayed)
            _refuse_later_moment(table, incident, replayed)
            findings += _unknown(table, incident, then)
        elif incident.eligibility.by_replay:
            what = "The logs begin inside the window: what positions stood at before the crash is not known."
            findings.append(
                Finding("warning", f"{incident.name}.toml [eligibility]", what, "Pull the logs from the positions' opening on.")
            )
    table = _at_moment(table, incident, then).with_columns(**_before_crash_columns(table, then))
    table = _priced(table, incident, replayed, prices)
    notional, open_notional = pl.col("notional_at_reference"), pl.col("open_notional_at_reference")
    table = table.with_columns(
        pl.when(pl.col("side") == "long")
        .then(notional - open_notional)
        .otherwise(open_notional - notional)
        .alias("unrealized_pnl_at_reference"),
        notional.alias("restore_notional"),
        pl.when(notional.is_not_null()).then(fixed.amount(0)).alias("restore_fee"),
    )
    return table, findings + _unvalued(table, incident)


def crash_begins(incident: Incident, replayed: Replay) -> tuple[int, datetime | None]:
    """The block at whose end a position is one from before the crash, and what is now then: as the window begins, or [valuation] at."""
    at = incident.valuation.at
    if isinstance(at, int):
        return at, None
    start = incident.eligibility.start
    return (replayed.block_at(start - timedelta(seconds=1)), start) if at is None else (replayed.block_at(at), at)


def _reaches_back(incident: Incident, replayed: Replay) -> bool:
    """Whether the logs tell anything of the time before the crash. A moment that [valuation] names must lie in them: else InputError."""
    return incident.valuation.at is not None or replayed.time_of(replayed.blocks[0]) < incident.eligibility.start


def is_before_crash(incident: Incident) -> pl.Expr:
    """The same of a row with block_number and block_time: whether it happened before the crash."""
    at = incident.valuation.at
    if isinstance(at, int):
        return pl.col("block_number") <= at
    return pl.col("block_time") < incident.eligibility.start if at is None else pl.col("block_time") <= at


def before_crash(liquidations: pl.DataFrame, incident: Incident, replayed: Replay) -> pl.DataFrame:
    """A POSITIONS frame: what stood before the crash where each row's position was, in the rows' order. Its `life` may be another."""
    block, now = crash_begins(incident, replayed)
    points = [(trader, market, block) for trader, market in liquidations.select("trader", "market").iter_rows()]
    return replayed.at_many(points, time=now)


def _before_crash_columns(table: pl.DataFrame, then: pl.DataFrame | None) -> dict[str, pl.Series | pl.Expr]:
    """leverage_before_crash and liquidation_price_before_crash of the row's own life."""
    if then is None:
        none = pl.lit(None, dtype=fixed.AMOUNT)
        return {"leverage_before_crash": none, "liquidation_price_before_crash": none}
    equity = pl.col("margin") + pl.col("unrealized_pnl_curve") - pl.col("funding_owed")
    same = pl.col("life") == table.get_column("life")
    leverage = fixed.div(pl.col("notional_curve"), pl.when(equity > 0).then(equity))
    found = then.select(
        pl.when(same).then(leverage).alias("leverage_before_crash"),
        pl.when(same).then("liquidation_price").alias("liquidation_price_before_crash"),
    )
    return {name: found.get_column(name) for name in found.columns}


def _named(liquidations: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    """Adds market_name and the market's reference_price."""
    markets = pl.DataFrame(
        {
            "market": [m.amm for m in incident.markets],
            "market_name": [m.name for m in incident.markets],
            "reference_price": [m.reference_price for m in incident.markets],
        },
        schema={"market": pl.String(), "market_name": pl.String(), "reference_price": fixed.AMOUNT},
    )
    priced = liquidations.join(markets, on="market", how="left", maintain_order="left")
    unknown = priced.filter(pl.col("market_name").is_null()).group_by("market").agg(pl.len(), pl.col("block_number").min()).sort("market")
    if unknown.height:
        advice = "Add [[market]] with its name and amm; affected = false where it did not crash."
        raise InputError(
            Finding(
                "error",
                f"{incident.name}.toml",
                f"does not name the market {market}: {count} liquidations, first in block {block}.",
                advice,
            )
            for market, count, block in unknown.iter_rows()
        )
    return priced


def _refuse_later_moment(table: pl.DataFrame, incident: Incident, replayed: Replay) -> None:
    if incident.valuation.at is None:
        return
    block, _ = crash_begins(incident, replayed)
    late = table.filter(may_be_compensated(incident) & (pl.col("block_number") <= block)).sort("block_number", "log_index")
    if late.height:
        row = late.row(0, named=True)
        what = f"is block {block}, but a position was liquidated in block {row['block_number']} already, tx {row['transaction_hash']}."
        raise refusal(f"{incident.name}.toml [valuation] at", what, "Name a block before the window's first liquidation.")


def _unknown(table: pl.DataFrame, incident: Incident, then: pl.DataFrame) -> list[Finding]:
    """Why something is not known of a position that is to be valued before the crash."""
    if incident.valuation.at is None:
        return []
    lacking = pl.any_horizontal(pl.col(replayed).is_null() for _, replayed in AT_REFERENCE.values())
    return doubts(then.filter(table.select(may_be_compensated(incident)).to_series() & then.select(lacking).to_series()))


def _at_moment(table: pl.DataFrame, incident: Incident, then: pl.DataFrame | None) -> pl.DataFrame:
    """Adds the position that is valued: of the liquidation itself, or what this row's life was before the crash."""
    if incident.valuation.at is None or then is None:
        return table.with_columns(pl.col(own).alias(name) for name, (own, _) in AT_REFERENCE.items())
    nothing = (then.get_column("life") != table.get_column("life")) | (then.get_column("size") == 0).fill_null(False)
    return table.with_columns(
        pl.when(nothing).then(fixed.amount(0)).otherwise(then.get_column(replayed)).alias(name)
        for name, (_, replayed) in AT_REFERENCE.items()
    )


def _priced(table: pl.DataFrame, incident: Incident, replayed: Replay | None, prices: Path | None) -> pl.DataFrame:
    """Adds reference_price and notional_at_reference."""
    if incident.valuation.price == "reference":
        return table.with_columns(fixed.mul(pl.col("size_at_reference").abs(), pl.col("reference_price")).alias("notional_at_reference"))
    worth = _from_series(incident, replayed, prices) if prices is not None else _from_market(incident, replayed)
    inside, found = table.select(may_be_compensated(incident)).to_series(), list[Worth]()
    for row, judged in zip(table.iter_rows(named=True), inside, strict=True):
        size = row["size_at_reference"]
        found.append(worth(row, None if size is None else fixed.to_integer(size), judged))
    columns = zip(("reference_price", "notional_at_reference"), zip(*found, strict=True) if found else ((), ()), strict=True)
    return table.with_columns(pl.Series(name, values, dtype=pl.Int128).reinterpret(dtype=fixed.AMOUNT) for name, values in columns)


def _from_market(incident: Incident, replayed: Replay | None) -> Callable[[Any, int | None, bool], Worth]:
    """What the market itself says: its spot, its curve, its average or its index, as the block before the liquidation left them, or
    at the one moment for all.
    """
    assert replayed is not None
    place = cache(replayed.place)

    def worth(row: Any, size: int | None, _: bool) -> Worth:
        block, now = valued_at(row, incident, replayed)
        return (None, None) if block < replayed.blocks[0] else worth_at(incident.valuation.price, size, place(row["market"], block, now))

    return worth


def valued_at(row: Mapping[str, Any], incident: Incident, replayed: Replay) -> tuple[int, datetime | None]:
    """Where a liquidation's position is valued: the block at whose end, and what is now there."""
    if incident.valuation.at is None:
        return row["block_number"] - 1, row["block_time"]
    return crash_begins(incident, replayed)


def worth_at(kind: str, size: int | None, place: Place) -> Worth:
    """(price, notional) of a size by a kind of price: mark or index (without slippage), curve or twap (which have no one price)."""
    if kind in ("curve", "twap"):
        source: Any = place.pool if kind == "curve" else place.average
        if size is None or source is None:
            return None, None
        try:
            return None, out_price(size, source) if kind == "curve" else average_out_price(size, source)
        except Reverts:
            return None, None
    market: Any = place.moment if kind == "index" else place.pool
    price = None if market is None else market.index_price if kind == "index" else market.spot
    return price, None if size is None or price is None else fixed.mul_integers(abs(size), price)


def _from_series(incident: Incident, replayed: Replay | None, path: Path) -> Callable[[Any, int | None, bool], Worth]:
    """A file of prices: each holds until the next one of its market; before the first and after the last there is none."""
    series: dict[str, list[tuple[datetime, int]]] = {}
    for market, time, price in read(path, PRICE_SERIES).sort("time").iter_rows():
        series.setdefault(market, []).append((time, fixed.to_integer(price)))
    at = incident.valuation.at
    if isinstance(at, int):
        assert replayed is not None
        at = replayed.time_of(at)

    def worth(row: Any, size: int | None, judged: bool) -> Worth:
        moment, rows = at or row["block_time"], series.get(row["market_name"], [])
        n = bisect_right(rows, moment, key=lambda one: one[0])
        if n == 0 or (n == len(rows) and rows[-1][0] != moment):
            if not judged:
                return None, None
            reach = f"It reaches from {rows[0][0].strftime(CSV_TIME)} to {rows[-1][0].strftime(CSV_TIME)}." if rows else "It has none."
            what = f"has no price of {row['market_name']} for {moment.strftime(CSV_TIME)}. {reach}"
            raise refusal(path.name, what, "Add rows until the moment lies between two of them.")
        price = rows[n - 1][1]
        return price, None if size is None else fixed.mul_integers(abs(size), price)

    return worth


def _unvalued(table: pl.DataFrame, incident: Incident) -> list[Finding]:
    """One finding a market for rows that the price asked for leaves without a value."""
    if incident.valuation.by_event_alone:
        return []
    lacking = table.filter(may_be_compensated(incident) & pl.col("notional_at_reference").is_null()).sort("block_number", "log_index")
    found = []
    for (market,), rows in lacking.group_by("market_name", maintain_order=True):
        first = rows.row(0, named=True)
        what = f"{rows.height} liquidations of {market} have no value by [valuation] price = {incident.valuation.price}; first {first['trader']}."
        advice = "Pull the logs that tell it, or choose another price. Until then no formula that reads it pays."
        found.append(Finding("warning", f"tx {first['transaction_hash']} log {first['log_index']}", what, advice))
    return found
