"""Raw logs whose columns have the raw frame's own types and whose cells are right as they stand: judged by whole columns, with a few looks."""

from collections.abc import Sequence

import polars as pl

from perpcomp.ingest.consistency import OTHER_BLOCK, OTHER_TRANSACTION
from perpcomp.ingest.decode import WORD
from perpcomp.ingest.exports.exporter import Wanted
from perpcomp.ingest.exports.sheet import WHOLE_NUMBERS, Sheet
from perpcomp.ingest.raw_frame import BLOCKS, LOGS_OF_A_BLOCK, PATTERNS, RAW_SCHEMA
from perpcomp.tables.schema import TIME
from perpcomp.tables.times import YEARS

BELOW = {"block_number": BLOCKS, "transaction_index": WHOLE_NUMBERS, "log_index": LOGS_OF_A_BLOCK}
TYPES = dict.fromkeys(("address", "topic0", "block_hash", "transaction_hash"), pl.String()) | {"data": pl.Binary(), "block_time": TIME}
ADDRESS, HASH = PATTERNS["address"], PATTERNS["topic0"]
# Of every row, wanted or not: whether its address and first topic are such. What is among the wanted ones needs no look.
KNOWN = (
    pl.col("here", "ours").is_not_null().all(),
    pl.col("address").filter(~pl.col("here")).str.contains(ADDRESS).all(),
    pl.col("topic0").filter(~pl.col("ours")).str.contains(HASH).all(),
    (pl.col("ours") | ~pl.col("here")).all(),
)


def plain_logs(sheets: Sequence[Sheet], wanted: Wanted) -> pl.DataFrame | None:
    """The wanted rows of sheets as one raw frame, with the sheets' row numbers. None where a column has another type, or a cell is not right:
    then raw_logs.py reads the cells one by one, and names what is wrong.
    """
    first = sheets[0]
    topics = ["topic1", "topic2", *(name for name in ("topic3",) if first.has(name))]
    schema = first.frame.schema
    numbers = all(first.has(name) and schema[name].is_integer() for name in BELOW)
    same = all(schema.get(name) == type_ for name, type_ in (TYPES | dict.fromkeys(topics, pl.Binary())).items())
    if not (numbers and same) or first.has("chain_id") or first.has("removed") or any(sheet.frame.schema != schema for sheet in sheets):
        return None
    # In one piece: else each query would copy all columns, because the column of row numbers is cut at other rows than a file's.
    frame = pl.concat([sheet.frame for sheet in sheets], rechunk=True)
    known = (("address", wanted.addresses), ("topic0", wanted.topics), ("topic0", wanted.anywhere))
    here, ours, anywhere = (pl.col(name).is_in(pl.Series([*some], dtype=pl.String).implode()) for name, some in known)
    told = frame.select_seq("address", "topic0", here=here, ours=ours, anywhere=anywhere)
    if not told.select_seq(pl.all_horizontal(*KNOWN)).item():
        return None
    keep = told.select_seq(keep=(pl.col("here") & pl.col("ours")) | pl.col("anywhere")).to_series()
    kept = frame if keep.all() else frame.filter(keep)
    if kept.height and not kept.select_seq(_right(topics)).item():
        return None
    count = pl.sum_horizontal(1, *((pl.col(name).bin.size() > 0).fill_null(False) for name in topics))
    return kept.with_columns_seq(pl.col("topic1", "topic2").fill_null(b""), topics=count).select_seq(
        pl.col(name).cast(type_) for name, type_ in RAW_SCHEMA.items()
    )


def _right(topics: Sequence[str]) -> pl.Expr:
    """Whether all cells of the wanted rows are right. A hash that is the one before it needs no look."""
    time = pl.col("block_time")
    rules = [pl.col(name).is_between(0, below - 1).all(ignore_nulls=name == "transaction_index") for name, below in BELOW.items()]
    rules += [pl.col(name).is_not_null().all() for name in ("data", "transaction_hash", "block_time")]
    rules += [pl.col("transaction_hash").filter(OTHER_TRANSACTION).str.contains(HASH).all()]
    rules += [pl.col("block_hash").filter(OTHER_BLOCK).str.contains(HASH).all()]
    rules += [((time == time.dt.truncate("1s")) & time.dt.epoch("s").is_between(*YEARS)).all()]
    rules += [pl.col(name).bin.size().is_in((0, WORD)).all() for name in topics]
    return pl.all_horizontal(rules)
