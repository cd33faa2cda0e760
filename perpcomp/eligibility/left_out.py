"""The left-out table: every trader with an event in the window who is not compensated, with one reason."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

import polars as pl

from perpcomp import fixed
from perpcomp.incident.incident import Incident
from perpcomp.ingest.raw_frame import LOG_ORDER, log_order
from perpcomp.systems.system import Each
from perpcomp.tables.liquidations import LEFT_OUT
from perpcomp.tables.schema import check
from perpcomp.window import in_window

NAMED, ORDER = ("trader", "market", "transaction_hash", "log_index"), ("block_number", "log_index")
FLAGGED = ["flag", "flag before the window"]  # the kinds of event that _flagged gives


def left_out(
    liquidations: pl.DataFrame,
    each: Each,
    incident: Incident,
    other_actions: Mapping[str, str],
    flag_event: str | None = None,
) -> pl.DataFrame:
    """The left-out table: every trader with an event in the window, or flagged then, and no eligible liquidation.

    `liquidations` is the published table, `each` gives a function the events table and the other events by name, part by part;
    `other_actions` says which of these are a trader's own actions, and what each is called. A trader who was
    liquidated in the window has the reason of the first of those liquidations. Any other trader has the last event in the window, and
    the counts of all of them in words. `flag_event` names the event that flags a position: who was flagged in the window, or earlier
    and not yet liquidated when it began, stands here too.
    """
    eligible = liquidations.filter("eligible").select("trader").unique()
    taken_out = liquidations.filter(in_window(incident)).join(eligible, on="trader", how="anti", maintain_order="left")
    taken_out = taken_out.unique("trader", keep="first", maintain_order=True).select(*NAMED, "reason_code", "reason")
    known = pl.concat([eligible, taken_out.select("trader")])
    ended = None if flag_event is None else liquidations.select("trader", "market", "block_time", *ORDER)
    of_window = partial(_rows, in_window(incident), incident.eligibility.start, incident.eligibility.end, ended, other_actions, flag_event)

    # A row a trader and kind, not an event, is put in order; then only the last event of each trader is read.
    kinds = _added_up([*each(partial(_kinds, of_window, known))])
    kinds = kinds.with_columns(pl.format("{} {}", "len", "kind").alias("counted"), pl.col("kind").is_in(FLAGGED).alias("flagged"))
    by_trader = kinds.sort("counted").group_by("trader")  # each group keeps this order
    told = by_trader.agg(pl.col("counted").str.join(", "), pl.col("place").max(), pl.col("under_water", "flagged").any())
    last = pl.concat(each(partial(_at, of_window, told.get_column("place")))).join(told, on=["trader", "place"]).unique("trader")
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
    rest = last.select(*NAMED, code.alias("reason_code"), (sentence + pl.col("counted")).alias("reason"))
    return check(pl.concat([taken_out, rest]), LEFT_OUT)


def _rows(
    inside: pl.Expr,
    start: datetime,
    end: datetime,
    ended: pl.DataFrame | None,
    other_actions: Mapping[str, str],
    flag_event: str | None,
    events: pl.LazyFrame,
    tables: Mapping[str, pl.LazyFrame],
) -> pl.LazyFrame:
    """The traders' actions and flags of the window, and earlier flags that still stood when it began."""
    seen = [events.select(*NAMED, "block_number", "block_time", "kind", "bad_debt")]
    for name, kind in other_actions.items():
        if name in tables:
            seen.append(
                tables[name].select(
                    *NAMED, "block_number", "block_time", pl.lit(kind).alias("kind"), pl.lit(None, dtype=fixed.AMOUNT).alias("bad_debt")
                )
            )
    rows = pl.concat(seen).filter(inside)
    if flag_event is None or ended is None:
        return rows
    return pl.concat([rows, _flagged(tables[flag_event], ended, start, end).select(rows.collect_schema().names())])


def _kinds(
    of_window: Callable[..., pl.LazyFrame], known: pl.DataFrame, events: pl.LazyFrame, tables: Mapping[str, pl.LazyFrame]
) -> pl.DataFrame:
    """How often a trader, beside those known, did each kind of thing, the last place, and whether anything was closed under water."""
    place, under_water = LOG_ORDER.max().alias("place"), (pl.col("bad_debt") > 0).any().alias("under_water")
    others = of_window(events, tables).join(known.lazy(), on="trader", how="anti")
    return others.group_by("trader", "kind").agg(pl.len(), place, under_water).collect(engine="streaming")


def _added_up(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The `_kinds` of all parts of the input, of which several may hold one trader."""
    if len(parts) == 1:
        return parts[0]
    sums = pl.col("len").sum(), pl.col("place").max(), pl.col("under_water").any()
    return pl.concat(parts).group_by("trader", "kind").agg(sums)


def _at(
    of_window: Callable[..., pl.LazyFrame], places: pl.Series, events: pl.LazyFrame, tables: Mapping[str, pl.LazyFrame]
) -> pl.DataFrame:
    """The rows at these places."""
    rows = of_window(events, tables).select(*NAMED, LOG_ORDER.alias("place"))
    return rows.filter(pl.col("place").is_in(places.implode())).collect(engine="streaming")


def _flagged(flags: pl.LazyFrame, liquidations: pl.DataFrame, start: datetime, end: datetime) -> pl.LazyFrame:
    """The flags of the window, and the earlier ones whose position was not yet liquidated when it began."""
    place = ["market", *ORDER]
    done = liquidations.lazy().filter(pl.col("block_time") < start).select("trader", *place)
    ended = flags.join(done, on=["trader", "market"], suffix="_of_end")
    ended = ended.filter(log_order(pl.col("block_number_of_end"), pl.col("log_index_of_end")) > LOG_ORDER)
    waiting = flags.filter(pl.col("block_time") < end).join(ended, on=["trader", *place], how="anti")
    kind = pl.when(pl.col("block_time") < start).then(pl.lit(FLAGGED[1])).otherwise(pl.lit(FLAGGED[0]))
    return waiting.with_columns(kind.alias("kind"), pl.lit(None, dtype=fixed.AMOUNT).alias("bad_debt"))
