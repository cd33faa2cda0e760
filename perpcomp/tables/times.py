"""The forms of a time that other tools write: UTC to the second, with or without a zone that says so, or unix seconds."""

import polars as pl

from perpcomp.tables.schema import CSV_TIME

TIME = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.0+)?(?: ?UTC|Z|\+00(?::?00)?)?$"
UNIX = r"^[0-9]{1,10}$"


def unix_seconds(text: pl.Expr) -> pl.Expr:
    """A text in one of these forms in unix seconds; null where it is another, or no day of the calendar. Without a zone it is UTC."""
    upper = text.str.to_uppercase()
    parts = upper.str.extract_groups(TIME)
    stamp = (parts.struct["1"] + " " + parts.struct["2"]).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False).dt.epoch("s")
    return stamp.fill_null(pl.when(upper.str.contains(UNIX)).then(upper).str.to_integer(strict=False))


def canonical(text: pl.Expr) -> pl.Expr:
    """The same time as our files write it; another text unchanged."""
    return pl.from_epoch(unix_seconds(text)).dt.strftime(CSV_TIME).fill_null(text)
