"""Times as other programs write them, in unix seconds: the one reader for exports, block lists and files of prices."""

import polars as pl

from perpcomp.tables.schema import CSV_TIME

ADVICE = "It must be a time in UTC, to the second, or unix seconds."

# A date, T or a space, a time and at most a zone that is UTC. A time without a zone is UTC.
WRITTEN = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.0+)?(?: ?UTC|Z|\+00(?::?00)?)?$"
SECONDS = r"^([0-9]{9,10})(?:\.0+)?$"  # from 1973 on: the eight digits of 20210220 are a date, not seconds
MILLISECONDS = r"^([0-9]{10})000(?:\.0+)?$"
YEARS = (-62_167_219_200, 253_402_300_799)  # 0000-01-01T00:00:00Z to 9999-12-31T23:59:59Z
HEX = r"^0X0*([0-9A-F]{7,8})$"  # a quantity of a node


def seconds(times: pl.Series) -> pl.Series:
    """The unix seconds of a column of times, as Int64; null where a cell is null, or not a time in UTC to the second.

    The cells are text, dates with a time, or numbers: unix seconds, or milliseconds that are whole seconds. Text may be a node's hex.
    """
    if isinstance(times.dtype, pl.Datetime):
        in_utc = times.dt.convert_time_zone("UTC") if times.dtype.time_zone else times
        found = in_utc.dt.epoch("s").cast(pl.Int64)
        whole = (in_utc.dt.truncate("1s") == in_utc) & found.is_between(*YEARS)
        return found if whole.all() else found.set(~whole.fill_null(True), None)
    if times.dtype.is_float():  # a whole number below 2**53 is exact
        times = times.cast(pl.Int64, strict=False).set((times != times.floor()).fill_null(False), None)
    text = times.cast(pl.String).str.to_uppercase().str.strip_chars()
    parts = text.str.extract_groups(WRITTEN).struct.unnest()
    written = (parts["1"] + " " + parts["2"]).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False).dt.epoch("s")  # null: 2021-02-30
    unix = text.str.extract(SECONDS).fill_null(text.str.extract(MILLISECONDS)).cast(pl.Int64)
    return written.fill_null(unix).fill_null(text.str.extract(HEX).str.to_integer(base=16, strict=False)).alias(times.name)


def canonical(text: pl.Expr) -> pl.Expr:
    """The same time as our files write it; another text unchanged."""
    unix = text.map_batches(seconds, return_dtype=pl.Int64)
    return pl.from_epoch(unix).dt.strftime(CSV_TIME).fill_null(text)
