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
    address, topic0 = sheet.cells("address", "address"), sheet.cells("topic0", "hash", optional=True)
    sheet.settle()
    here = address.is_in(list(wanted.addresses))
    old = topic0.str.contains(f"^({'|'.join(wanted.refused)})").fill_null(False) if wanted.refused else topic0.is_in([])
    for row, topic in sheet.frame.select("row").with_columns(topic0).filter(here & old).head(1).iter_rows():
        raise old_layout(f"{sheet.name} row {row}", topic)
    for row in sheet.frame.get_column("row").filter(here & topic0.is_null()).head(20):
        sheet.complain(row, "The log has no topic, but the contracts log none without.", "The row is damaged: export it again.")
    keep = (here & topic0.is_in(list(wanted.topics)) | topic0.is_in(list(wanted.anywhere))).fill_null(False)
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
