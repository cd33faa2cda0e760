"""The left-out table: every trader with an event in the window who is not compensated, with one reason."""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.incident.incident import Incident
from perpcomp.tables.liquidations import LEFT_OUT
from perpcomp.tables.schema import check
from perpcomp.window import in_window


def left_out(
    liquidations: pl.DataFrame,
    events: pl.LazyFrame,
    tables: Mapping[str, pl.LazyFrame],
    incident: Incident,
    other_actions: Mapping[str, str],
) -> pl.DataFrame:
    """The left-out table: every trader with an event in the window and no eligible liquidation.

    `liquidations` is the published table, `events` the events table, and `tables` the other events by name;
    `other_actions` says which of these are a trader's own actions, and what each is called. A trader who was
    liquidated in the window has the reason of the first of those liquidations. Any other trader has the last event in the window, and
    the counts of all of them in words.
    """
    eligible = liquidations.filter("eligible").select("trader").unique()
    named = ["trader", "market", "transaction_hash", "log_index"]
    taken_out = liquidations.filter(in_window(incident)).join(eligible, on="trader", how="anti", maintain_order="left")
    taken_out = taken_out.unique("trader", keep="first", maintain_order=True).select(*named, "reason_code", "reason")

    seen = [events.select(*named, "block_number", "block_time", "kind", "bad_debt")]
    for name, kind in other_actions.items():
        if name in tables:
            seen.append(
                tables[name].select(
                    *named, "block_number", "block_time", pl.lit(kind).alias("kind"), pl.lit(None, dtype=fixed.AMOUNT).alias("bad_debt")
                )
            )
    known = pl.concat([eligible, taken_out.select("trader")]).lazy()
    others = pl.concat(seen).filter(in_window(incident)).join(known, on="trader", how="anti").collect(engine="streaming")
    counts = others.group_by("trader", "kind").len().sort("trader", "kind")
    counted = counts.group_by("trader").agg(pl.format("{} {}", "len", "kind").sort().str.join(", ").alias("counted"))
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
    rest = last.join(counted, on="trader").select(*named, code.alias("reason_code"), (sentence + pl.col("counted")).alias("reason"))
    return check(pl.concat([taken_out, rest]), LEFT_OUT)
