"""Sheets of raw logs to the raw frame, for every exporter of raw logs."""

import polars as pl

from perpcomp.ingest.block_times import dated
from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.sheet import LOG_KEY, Sheet
from perpcomp.ingest.log_file import old_layout
from perpcomp.ingest.raw_frame import RAW_SCHEMA

COLUMNS = ("address", "topic0", "topic1", "topic2", "data", *LOG_KEY)


def raw_frame(exporter: Exporter, sheet: Sheet, wanted: Wanted, times: dict[int, int], earlier: int) -> pl.DataFrame:
    """The wanted rows of a sheet as a raw frame. `times` dates rows without a time; `earlier` is the row count of earlier files.

    InputError lists missing columns and malformed cells.
    """
    sheet = exporter.log_sheet(sheet)
    sheet.require(COLUMNS, exporter.name)
    addresses, firsts, anywhere = (pl.Series(list(some), dtype=pl.String) for some in (wanted.addresses, wanted.topics, wanted.anywhere))
    address = sheet.cells("address", "address", known=addresses)
    topic0 = sheet.cells("topic0", "hash", optional=True, known=firsts)
    sheet.settle()
    here, ours = address.is_in(addresses.implode()), topic0.is_in(firsts.implode())
    other = sheet.frame.select("row").with_columns(topic0).filter(here & ~ours.fill_null(False))  # few rows, if any
    old = pl.col("topic0").str.contains(f"^({'|'.join(wanted.refused)})") if wanted.refused else pl.lit(False)
    for row, topic in other.filter(old).head(1).iter_rows():
        raise old_layout(f"{sheet.name} row {row}", topic)
    for row in other.filter(pl.col("topic0").is_null()).get_column("row").head(20):
        sheet.complain(row, "The log has no topic, but the contracts log none without.", "The row is damaged: export it again.")
    keep = (here & ours | topic0.is_in(anywhere.implode())).fill_null(False)
    kept = sheet.where(keep)
    if kept.has("removed"):
        removed = kept.frame.get_column("removed").cast(pl.String).str.to_lowercase().is_in(["true", "1"]).fill_null(False)
        for row in kept.frame.get_column("row").filter(removed).head(20):
            what = "The log was removed by a reorganisation (removed: true)."
            kept.complain(row, what, "Fetch the range again below a final block.")
    topics = [kept.bytes(f"topic{n}", "topic").alias(f"topic{n}") for n in range(1, 4) if kept.has(f"topic{n}")]
    count = pl.sum_horizontal((pl.col(t.name).bin.size() > 0).cast(pl.Int64) for t in topics) + 1
    raw = pl.DataFrame([*kept.identity(wanted.chain_id), address.filter(keep), topic0.filter(keep), *topics, kept.bytes("data", "data")])
    sheet.settle()
    return dated(sheet.name, raw.with_columns(count.alias("topics")), times).select(RAW_SCHEMA.keys()).with_columns(pl.col("row") + earlier)
