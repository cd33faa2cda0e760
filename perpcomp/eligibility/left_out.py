"""The left-out table: each trader who was seen in the window and is not paid, with one reason."""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.incident.incident import Incident
from perpcomp.tables.liquidations import LEFT_OUT
from perpcomp.tables.schema import check
from perpcomp.window import in_window


def left_out(liquidations: pl.DataFrame, events: pl.LazyFrame, tables: Mapping[str, pl.LazyFrame], incident: Incident) -> pl.DataFrame:
    """The left-out table: every trader with an event in the window who has no eligible liquidation, with one reason.

    liquidations is the published table. A trader whose liquidations in the window all fell to a rule is named with the first of
    them; one who was not liquidated there, with the last event in the window and what was done in it.
    """
    eligible = liquidations.filter("eligible").select("trader").unique()
    named = ["trader", "market", "transaction_hash", "log_index"]
    fallen = liquidations.filter(in_window(incident)).join(eligible, on="trader", how="anti", maintain_order="left")
    fallen = fallen.unique("trader", keep="first", maintain_order=True).select(*named, "reason_code", "reason")

    words = {
        "MarginChanged": "margin change",
        "MarginTransferred": "margin change",
        "PositionAdjusted": "migration",
        "PositionSettled": "settlement",
    }
    seen = [events.select(*named, "block_number", "block_time", "kind", "bad_debt")]
    for name, kind in words.items():
        if name in tables:
            seen.append(
                tables[name].select(
                    *named, "block_number", "block_time", pl.lit(kind).alias("kind"), pl.lit(None, dtype=fixed.AMOUNT).alias("bad_debt")
                )
            )
    known = pl.concat([eligible, fallen.select("trader")]).lazy()
    others = pl.concat(seen).filter(in_window(incident)).join(known, on="trader", how="anti").collect(engine="streaming")
    counts = others.group_by("trader", "kind").len().sort("trader", "kind")
    deeds = counts.group_by("trader").agg(pl.format("{} {}", "len", "kind").sort().str.join(", ").alias("deeds"))
    under_water = pl.col("bad_debt") > 0
    last = (
        others.sort("block_number", "log_index").group_by("trader").agg(pl.col(*named[1:]).last(), under_water.any().alias("under_water"))
    )
    code = pl.when("under_water").then(pl.lit("closed-under-water")).otherwise(pl.lit("not-liquidated"))
    sentence = (
        pl.when("under_water")
        .then(pl.lit("closed a position under water by their own order, which is no liquidation; in the window: "))
        .otherwise(pl.lit("not liquidated in the window; in it: "))
    )
    rest = last.join(deeds, on="trader").select(*named, code.alias("reason_code"), (sentence + pl.col("deeds")).alias("reason"))
    return check(pl.concat([fallen, rest]), LEFT_OUT)
