"""The left-out table: every trader with an event in the window who is not compensated, with one reason."""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.incident.incident import Incident
from perpcomp.ingest.raw_frame import LOG_ORDER, log_order
from perpcomp.tables.liquidations import LEFT_OUT
from perpcomp.tables.schema import check
from perpcomp.window import in_window

FLAGGED = ["flag", "flag before the window"]  # the kinds of event that _flagged gives


def left_out(
    liquidations: pl.DataFrame,
    events: pl.LazyFrame,
    tables: Mapping[str, pl.LazyFrame],
    incident: Incident,
    other_actions: Mapping[str, str],
    flag_event: str | None = None,
) -> pl.DataFrame:
    """The left-out table: every trader with an event in the window, or flagged then, and no eligible liquidation.

    `liquidations` is the published table, `events` the events table, and `tables` the other events by name;
    `other_actions` says which of these are a trader's own actions, and what each is called. A trader who was
    liquidated in the window has the reason of the first of those liquidations. Any other trader has the last event in the window, and
    the counts of all of them in words. `flag_event` names the event that flags a position: who was flagged in the window, or earlier
    and not yet liquidated when it began, stands here too.
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
    rows = pl.concat(seen).filter(in_window(incident))
    if flag_event is not None:
        rows = pl.concat([rows, _flagged(tables[flag_event], liquidations, incident).select(rows.collect_schema().names())])
    # A row a trader and kind, not an event, is put in order; then only the last event of each trader is read.
    place, under_water = LOG_ORDER.alias("place"), (pl.col("bad_debt") > 0).any().alias("under_water")
    others = rows.join(known, on="trader", how="anti").group_by("trader", "kind").agg(pl.len(), place.max(), under_water)
    kinds = others.collect(engine="streaming").with_columns(
        pl.format("{} {}", "len", "kind").alias("counted"), pl.col("kind").is_in(FLAGGED).alias("flagged")
    )
    by_trader = kinds.sort("trader", "counted").group_by("trader", maintain_order=True)
    told = by_trader.agg(pl.col("counted").str.join(", "), pl.col("place").max(), pl.col("under_water", "flagged").any())
    at_last = pl.col("place").is_in(told.get_column("place").implode())
    last = rows.select(*named, place).filter(at_last).collect(engine="streaming").join(told, on=["trader", "place"]).unique("trader")
    code = (
        pl.when("under_water")
        .then(pl.lit("closed-under-water"))
        .when("flagged")
        .then(pl.lit("flagged-not-liquidated"))
        .otherwise(pl.lit("not-liquidated"))
    )
    sentence = (
        pl.when("under_water")
        .then(pl.lit("closed a position under water by their own order, which is no liquidation; in the window: "))
        .when("flagged")
        .then(pl.lit("flagged, but not liquidated in the window: "))
        .otherwise(pl.lit("not liquidated in the window; in it: "))
    )
    rest = last.select(*named, code.alias("reason_code"), (sentence + pl.col("counted")).alias("reason"))
    return check(pl.concat([taken_out, rest]), LEFT_OUT)


def _flagged(flags: pl.LazyFrame, liquidations: pl.DataFrame, incident: Incident) -> pl.LazyFrame:
    """The flags of the window, and the earlier ones whose position was not yet liquidated when it began."""
    start, end = incident.eligibility.start, incident.eligibility.end
    place = ["market", "block_number", "log_index"]
    done = liquidations.lazy().filter(pl.col("block_time") < start).select("trader", *place)
    ended = flags.join(done, on=["trader", "market"], suffix="_of_end")
    ended = ended.filter(log_order(pl.col("block_number_of_end"), pl.col("log_index_of_end")) > LOG_ORDER)
    waiting = flags.filter(pl.col("block_time") < end).join(ended, on=["trader", *place], how="anti")
    kind = pl.when(pl.col("block_time") < start).then(pl.lit(FLAGGED[1])).otherwise(pl.lit(FLAGGED[0]))
    return waiting.with_columns(kind.alias("kind"), pl.lit(None, dtype=fixed.AMOUNT).alias("bad_debt"))
