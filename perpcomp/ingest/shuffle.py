"""Decoded logs on storage that several processes share, laid out so that each of them reads its part alone.

Every log of a position has one bucket, by a hash of trader and market; every log of a market has one, by a hash of the market. Who decodes
a piece of the input writes a file an event, sorted by bucket. A file's statistics then tell a reader which of its rows are of a bucket.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import polars as pl

from perpcomp.tables.events import EVENTS
from perpcomp.tables.schema import rising

POSITION, MARKET, HASH = ("trader", "market"), ("market",), ("hash",)
HASHES = "hashes"  # the table of the hashes of blocks and transactions: hash, block_number
PLANS = "plans"  # of the events table: for each bucket, how it is made of the logs there, which costs less than writing its rows
ORDER = ("block_number", "log_index")
BUCKET = "_bucket"
Tables = tuple[pl.LazyFrame, dict[str, pl.LazyFrame]]  # the events table, and every other event by name


@dataclass(frozen=True)
class Layout:
    """Where the tables lie and how they are cut. `summed` names the columns of positions' events that stand beside the logs of their
    market a second time, by event.
    """

    folder: Path
    buckets: int
    summed: Mapping[str, Sequence[str]]

    def write(self, piece: str, tables: Mapping[str, pl.DataFrame]) -> list[str]:
        """Write a piece's tables; the names of those with rows. Whoever writes the same piece again replaces it by the same rows."""
        wanted = [(name, frame, _key(frame.columns)) for name, frame in tables.items()]
        wanted += [(_beside(name), tables[name].select(columns), MARKET) for name, columns in self.summed.items() if name in tables]
        written = [(name, frame, key) for name, frame, key in wanted if frame.height]
        for name, frame, key in written:
            in_order = frame if key == HASH or rising(frame, ORDER) else frame.sort(ORDER)
            rows = in_order.with_columns(_bucket(key, self.buckets)).sort(BUCKET, maintain_order=True)
            with self.writing(name, piece) as file:
                rows.write_parquet(
                    file, compression="uncompressed", row_group_size=max(1_000, rows.height // self.buckets)
                )  # read soon, as in spill.py
        return [name for name, _, _ in written]

    @contextmanager
    def writing(self, table: str, piece: str | int) -> Iterator[Path]:
        """A temporary name, for a table's rows of a piece or a bucket's plan; its file is renamed at the end."""
        file = self.file(table, piece)
        file.parent.mkdir(exist_ok=True)  # and not its parents: where the storage is missing, writing fails
        temporary = file.with_name(f".{uuid4().hex}")
        try:
            yield temporary
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)

    def file(self, table: str, piece: str | int) -> Path:
        """Where a table's rows of a piece lie, or a bucket's plan."""
        return self.folder / table / str(piece)


def by_bucket(markets: Sequence[str], buckets: int) -> list[list[str]]:
    """For each bucket, those of the markets whose logs are in it."""
    named = pl.DataFrame({"market": markets}, schema={"market": pl.String()}).with_columns(_bucket(MARKET, buckets))
    return [named.filter(pl.col(BUCKET) == bucket).get_column("market").to_list() for bucket in range(buckets)]


def of_bucket(table: pl.LazyFrame, bucket: int, buckets: int) -> pl.LazyFrame:
    """The rows of the markets of a bucket."""
    return table.filter(_bucket(MARKET, buckets) == bucket)


@dataclass(frozen=True)
class Stored:
    """The decoded logs of an input on shared storage. It holds no log, so that a task can carry it.

    `schemas` are those of the tables, in the input's order; `pieces` are the pieces that have rows of a table. The column
    transaction_index is empty unless `indexed`.
    """

    layout: Layout
    schemas: Mapping[str, Mapping[str, pl.DataType]]
    pieces: Mapping[str, Sequence[str]] = field(default_factory=dict)
    indexed: bool = True

    @property
    def buckets(self) -> range:
        return range(self.layout.buckets)

    def share(self, bucket: int) -> Tables:
        """The logs of some positions and some markets, in the order of the chain; the first share also has those of neither."""
        return self._events([bucket]), self.logs(bucket)

    def logs(self, bucket: int) -> dict[str, pl.LazyFrame]:
        """A share without its events table, which is made of it."""
        return {name: self._table(name, schema, bucket) for name, schema in self.schemas.items()}

    def of_markets(self, bucket: int) -> Tables:
        """The logs of some markets, in the order of the chain, and the columns that stand beside them of positions' events."""
        own = {name: self._table(name, schema, bucket) for name, schema in self.schemas.items() if _key(schema) == MARKET}
        beside = {
            name: self._table(_beside(name), {column: self.schemas[name][column] for column in columns}, bucket)
            for name, columns in self.layout.summed.items()
        }
        return self._events([]), own | beside

    def hashes(self, bucket: int) -> pl.LazyFrame:
        """The hashes of blocks and transactions of a bucket, each with its block."""
        return self._table(HASHES, {"hash": pl.UInt64(), "block_number": pl.Int64()}, bucket)

    def whole(self) -> Tables:
        """Every log, in the order of the chain."""
        return self._events(self.buckets).sort(ORDER), {name: table.sort(ORDER) for name, table in self.unsorted().items()}

    def unsorted(self) -> dict[str, pl.LazyFrame]:
        """Every log, where the order does not matter, without the events table, which is made of them."""
        return {name: self._table(name, schema) for name, schema in self.schemas.items()}

    def _events(self, buckets: Collection[int]) -> pl.LazyFrame:
        plans = [pl.LazyFrame.deserialize(self.layout.file(PLANS, bucket)) for bucket in buckets]
        return pl.concat(plans) if plans else EVENTS.empty().lazy()

    def _table(self, name: str, schema: Mapping[str, pl.DataType], bucket: int | None = None) -> pl.LazyFrame:
        files = [self.layout.file(name, piece) for piece in self.pieces.get(name, ())]
        if not files:
            return pl.DataFrame(schema=schema).lazy()
        rows = pl.scan_parquet(files, glob=False)
        rows = (rows if bucket is None else rows.filter(pl.col(BUCKET) == bucket)).drop(BUCKET)
        return rows if self.indexed or "transaction_index" not in schema else rows.with_columns(transaction_index=pl.lit(None, pl.Int64()))


def _key(columns: Collection[str]) -> tuple[str, ...]:
    """The columns by which a table is cut; none for events of the whole protocol."""
    return next((key for key in (POSITION, MARKET, HASH) if set(key) <= set(columns)), ())


def _bucket(key: tuple[str, ...], buckets: int) -> pl.Expr:
    number = pl.struct(key).hash(0) % buckets if key else pl.lit(0)
    return number.cast(pl.UInt32).alias(BUCKET)


def _beside(name: str) -> str:
    return f"{name} by market"
