"""What each liquidated position was worth, by the moment and the price that [valuation] names.

By default a position is valued as its liquidation found it, at the market's reference price: one price for all, without slippage, and
from the liquidation's event alone. Every other moment and price comes from the protocol's replay, which is asked once, for all points.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted
from perpcomp.price_file import prices_of
from perpcomp.systems.replay import Replay, unknown_values
from perpcomp.systems.system import find
from perpcomp.tables.schema import TIME
from perpcomp.window import may_be_compensated

AT_REFERENCE = {
    "size_at_reference": ("size", "size"),
    "margin_at_reference": ("margin", "margin"),
    "open_notional_at_reference": ("open_notional", "open_notional"),
    "funding_at_reference": ("funding_payment", "funding_owed"),
}  # column -> its name in a liquidation, and in a replayed position
WITHOUT_SLIPPAGE = {
    "mark": "spot_price",
    "index": "index_price",
}  # [valuation] price -> the column of VALUED that is multiplied by the size
CLOSING = {
    "curve": ("spot_price", "notional_curve"),
    "twap": ("twap_price", "notional_twap"),
}  # [valuation] price -> the column that is null where it is unknown, and what closing the position moves


def at_reference(
    liquidations: pl.DataFrame, incident: Incident, replayed: Replay | None, prices: Path | None
) -> tuple[pl.DataFrame, list[Finding]]:
    """Adds market_name and all that [valuation] gives (tables/liquidations.py has the columns' meanings) to a system's liquidations.

    unrealized_pnl_at_reference is notional - open notional for a long, the reverse for a short; |size| * price is truncated. Where the
    contracts store the entry price, it is size * (price - entry price), truncated once, as they compute it. A value
    that cannot be determined from the logs is null, with a finding. `replayed` may be None where nothing asks for it, `prices` where
    no file of prices is named. InputError: a market that the incident file does not name (its traders would be neither paid nor left
    out for a reason), a moment after a liquidation that it is to value, a series of prices with a gap.
    """
    table = _named(liquidations, incident)
    then, there, findings = None, None, list[Finding]()
    if replayed is not None:
        if not incident.valuation.by_event_alone or incident.eligibility.by_replay:
            findings += replayed.findings
        then, there = _replayed_states(table, incident, replayed)
        if then is not None:
            _refuse_later_moment(table, incident, replayed)
            findings += _unknown(table, incident, then)
            then, doubts = _by_either_code(table, incident, replayed, then)
            findings += doubts
        elif incident.eligibility.by_replay:
            what = "The logs begin inside the window, so the positions before the crash are unknown."
            advice = "Pull the logs from the positions' opening on."
            findings.append(Finding("warning", f"{incident.name}.toml [eligibility]", what, advice, code="before-crash-unknown"))
    table = _at_moment(table, incident, then).with_columns(**_before_crash_columns(table, then))
    by_file = None
    if prices is not None:
        by_file, ages = prices_of(table, incident, replayed, prices)
        findings += ages
    table = _priced(table, incident, there, by_file)
    notional, open_notional = pl.col("notional_at_reference"), pl.col("open_notional_at_reference")
    profit = pl.when(pl.col("side") == "long").then(notional - open_notional).otherwise(open_notional - notional)
    if find(incident.system).stores_entry_price:
        profit = fixed.mul(pl.col("size_at_reference"), pl.col("reference_price") - pl.col("entry_price"))
    table = table.with_columns(
        profit.alias("unrealized_pnl_at_reference"),
        notional.alias("restore_notional"),
        pl.when(notional.is_not_null()).then(fixed.amount(0)).alias("restore_fee"),
    )
    return table, findings + _unvalued(table, incident)


def crash_begins(incident: Incident, replayed: Replay) -> tuple[int, datetime | None]:
    """The block whose end is before the crash, and what averages take as now there: as the window begins, or [valuation] at."""
    at = incident.valuation.at
    if isinstance(at, int):
        return at, None
    start = incident.eligibility.start
    return (replayed.block_at(start - timedelta(seconds=1)), start) if at is None else (replayed.block_at(at), at)


def _reaches_back(incident: Incident, replayed: Replay) -> bool:
    """Whether the logs reach back before the crash. A moment that [valuation] names must be in them: the replay refuses it otherwise."""
    return incident.valuation.at is not None or replayed.time_of(replayed.blocks[0]) < incident.eligibility.start


def is_before_crash(incident: Incident) -> pl.Expr:
    """Whether a row with block_number and block_time happened before the crash."""
    at = incident.valuation.at
    if isinstance(at, int):
        return pl.col("block_number") <= at
    return pl.col("block_time") < incident.eligibility.start if at is None else pl.col("block_time") <= at


def _replayed_states(table: pl.DataFrame, incident: Incident, replayed: Replay) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
    """Two VALUED frames in the rows' order, by one question to the replay.

    First each row's trader and market before the crash (its `life` may be another than the row's; None: the logs begin later). Then
    the market where the row's position is valued, with what closing it moves (None: [valuation] price does not ask for it).
    """
    numbered, points = table.with_row_index("row"), []
    if _reaches_back(incident, replayed):
        block, now = crash_begins(incident, replayed)
        fixed_point = (
            pl.lit(block, pl.Int64()).alias("block_number"),
            pl.lit(now, TIME).alias("time"),
            pl.lit(None, fixed.AMOUNT).alias("size"),
        )
        points.append(numbered.select("row", "trader", "market", *fixed_point))
    asks_market = incident.valuation.price in (*WITHOUT_SLIPPAGE, *CLOSING)
    if asks_market and incident.valuation.at is None:
        earlier = pl.col("block_number") - 1  # as the block before the liquidation left the market
        beside = numbered.select("row", "trader", "market", earlier.alias("block_number"), pl.col("block_time").alias("time"), "size")
        points.append(beside.filter(pl.col("block_number") >= replayed.blocks[0]))
    if not points:
        return None, None
    asked = pl.concat(points)
    answers = asked.select("row").hstack(replayed.valued(asked))
    then = answers.head(table.height).drop("row") if _reaches_back(incident, replayed) else None
    if not asks_market or incident.valuation.at is not None:
        return then, then if asks_market else None
    there = answers.tail(points[-1].height)
    return then, numbered.select("row").join(there, on="row", how="left", maintain_order="left").drop("row")


def _by_either_code(table: pl.DataFrame, incident: Incident, replayed: Replay, then: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
    """The positions before the crash without the liquidation prices that would decide otherwise by code that may have run instead."""
    limit = incident.eligibility.liquidation_price_below
    assumed = None if limit is None else replayed.assumed_at(crash_begins(incident, replayed)[0])
    if assumed is None or then.get_column("liquidation_price").is_null().all():
        return then, []
    other, _ = _replayed_states(table, incident, replayed.otherwise())
    assert other is not None
    below = (pl.col("liquidation_price") < limit).fill_null(False)
    differ = then.select(below).to_series() != other.select(below).to_series()
    known = then.with_columns(pl.when(~differ).then("liquidation_price").alias("liquidation_price"))
    doubtful = table.filter(differ & table.select(may_be_compensated(incident)).to_series()).sort("block_number", "log_index")
    if doubtful.is_empty():
        return known, [assumed]
    what = (
        f"liquidation_price_below decides otherwise of {counted(doubtful.height, 'liquidation')} by the code that may have run instead; first"
        f" {doubtful.item(0, 'trader')}. Their liquidation prices are empty, so nothing is paid by them."
    )
    where = f"{incident.name}.toml [eligibility] liquidation_price_below"
    return known, [assumed, Finding("error", where, what, assumed.what_to_do, code="code-decides")]


def _before_crash_columns(table: pl.DataFrame, then: pl.DataFrame | None) -> dict[str, pl.Series | pl.Expr]:
    """leverage_before_crash and liquidation_price_before_crash of the row's own life."""
    if then is None:
        none = pl.lit(None, dtype=fixed.AMOUNT)
        return {"leverage_before_crash": none, "liquidation_price_before_crash": none}
    equity = pl.col("margin") + pl.col("unrealized_pnl_curve") - pl.col("funding_owed")
    same = pl.col("life") == table.get_column("life")
    leverage = fixed.ratio(pl.col("notional_curve"), pl.when(equity > 0).then(equity))
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
                f"The file does not name the market {market}: {counted(count, 'liquidation')}, first in block {block}.",
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
        what = f"The moment is block {block}, but a position was liquidated in block {row['block_number']}, tx {row['transaction_hash']}."
        raise refusal(f"{incident.name}.toml [valuation] at", what, "Name a block before the window's first liquidation.")


def _unknown(table: pl.DataFrame, incident: Incident, then: pl.DataFrame) -> list[Finding]:
    """Why a value is unknown of a position that is to be valued before the crash."""
    if incident.valuation.at is None:
        return []
    lacking = pl.any_horizontal(pl.col(replayed).is_null() for _, replayed in AT_REFERENCE.values())
    return unknown_values(then.filter(table.select(may_be_compensated(incident)).to_series() & then.select(lacking).to_series()))


def _at_moment(table: pl.DataFrame, incident: Incident, then: pl.DataFrame | None) -> pl.DataFrame:
    """Adds the position that is valued: that of the liquidation itself, or that of this row's life before the crash."""
    if incident.valuation.at is None or then is None:
        return table.with_columns(pl.col(own).alias(name) for name, (own, _) in AT_REFERENCE.items())
    nothing = (then.get_column("life") != table.get_column("life")) | (then.get_column("size") == 0).fill_null(False)
    return table.with_columns(
        pl.when(nothing).then(fixed.amount(0)).otherwise(then.get_column(replayed)).alias(name)
        for name, (_, replayed) in AT_REFERENCE.items()
    )


def _priced(table: pl.DataFrame, incident: Incident, there: pl.DataFrame | None, by_file: pl.Series | None) -> pl.DataFrame:
    """Adds reference_price and notional_at_reference: by the market's own state `there`, by a series of prices, or by [[market]]."""
    size, kind = pl.col("size_at_reference"), incident.valuation.price
    if there is not None and kind in CLOSING:
        price, closing = CLOSING[kind]
        known, moved = there.get_column(price).is_not_null(), there.get_column(closing)
        worth = pl.when(known & (size == 0)).then(fixed.amount(0)).when(known & size.is_not_null()).then(moved)
        return table.with_columns(pl.lit(None, dtype=fixed.AMOUNT).alias("reference_price"), worth.alias("notional_at_reference"))
    if there is not None:
        table = table.with_columns(there.get_column(WITHOUT_SLIPPAGE[kind]).alias("reference_price"))
    elif by_file is not None:
        table = table.with_columns(by_file.alias("reference_price"))
    # Lazily: Polars then computes the product once.
    return table.lazy().with_columns(fixed.mul(size.abs(), pl.col("reference_price")).alias("notional_at_reference")).collect()


def valued_at(row: Mapping[str, Any], incident: Incident, replayed: Replay) -> tuple[int, datetime | None]:
    """Where a liquidation's position is valued: the end of this block, and what the averages take as now."""
    if incident.valuation.at is None:
        return row["block_number"] - 1, row["block_time"]
    return crash_begins(incident, replayed)


def _unvalued(table: pl.DataFrame, incident: Incident) -> list[Finding]:
    """One finding a market for rows that the price asked for leaves without a value."""
    if incident.valuation.by_event_alone:
        return []
    lacking = table.filter(may_be_compensated(incident) & pl.col("notional_at_reference").is_null()).sort("block_number", "log_index")
    found = []
    for (market,), rows in lacking.group_by("market_name", maintain_order=True):
        first = rows.row(0, named=True)
        what = f"{counted(rows.height, 'liquidation')} of {market} {'has' if rows.height == 1 else 'have'} no value by [valuation] price = {incident.valuation.price}; first {first['trader']}."
        advice = "Pull the missing logs, or choose another price. Until then no formula that reads the value pays."
        found.append(Finding("warning", f"tx {first['transaction_hash']} log {first['log_index']}", what, advice, code="no-value"))
    return found
