"""Whether the logs of a whole input fit together: no log twice, one time and hash a block, times that rise, one block a transaction."""

from collections.abc import Iterator
from functools import reduce
from itertools import chain
from operator import xor

import polars as pl

from perpcomp.findings import Finding, InputError
from perpcomp.ingest.raw_frame import LOG_ORDER, LOGS_OF_A_BLOCK, increases

BLOCK = ["block_number", "block_time", "block_hash"]
# Rows of a block are usually adjacent: few rows have another block than the row before, and every difference is among these.
OTHER_BLOCK = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in BLOCK)
# The block too: else a transaction whose logs in two blocks are adjacent would seem to be in one.
OTHER_TRANSACTION = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in ("transaction_hash", "block_number"))
NO_CONTENT = {"row", *BLOCK, "log_index"}  # columns that say where a log is, not what it holds
TWO_CHAINS = "The rows come from two chains or a reorganisation: fetch them again."


class Consistency:
    """Remembers every log, block and transaction of an input, in the order of its pieces, and checks them at the end.

    Holds some 30 bytes a log, so that millions can be checked, and 64 bits of a transaction's hash. Two transactions that share these
    bits are refused although they differ: one chance in a million at five million transactions, and never a wrong result.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.logs: list[pl.DataFrame] = []
        self.blocks: list[pl.DataFrame] = []
        self.transactions: list[pl.DataFrame] = []

    def add(self, raw: pl.DataFrame) -> None:
        """Remember the rows of one more raw frame or table of events."""
        cells = [pl.col(name).hash(n) for n, name in enumerate(sorted({*raw.columns} - NO_CONTENT))]
        self.logs.append(
            raw.select(
                "row",
                LOG_ORDER.alias("order"),
                reduce(xor, cells).alias("content"),
                pl.col("transaction_hash").hash(0).alias("transaction"),
            )
        )
        self.blocks.append(raw.select(*BLOCK, "row").filter(OTHER_BLOCK).unique(BLOCK, keep="first", maintain_order=True))
        first = raw.select("transaction_hash", "block_number", "transaction_index", "row").filter(OTHER_TRANSACTION)
        self.transactions.append(first.with_columns(pl.col("transaction_hash").hash(0)))

    def join(self, later: "Consistency") -> None:
        """Remember what another one does, of later rows of the same input."""
        self.logs += later.logs
        self.blocks += later.blocks
        self.transactions += later.transactions

    def check(self) -> None:
        """InputError names the rows of duplicate logs, of blocks with two times or hashes, of hashes of two blocks, of blocks dated before
        an earlier one, and of transactions in two blocks.
        """
        if not self.logs:
            return
        contradictory = chain(self._contradictory_blocks(), self._contradictory_transactions())
        problems = [*self._duplicate_logs()] or [*contradictory] or [*self._falling_times()]
        if problems:
            raise InputError(problems)

    def in_order(self) -> bool:
        """Whether each log lies behind the one before it, in the order of the chain."""
        return not self.logs or increases(pl.concat(self.logs).get_column("order"))

    def ends(self) -> "Consistency":
        """Of logs that are in order and were checked: all that logs before or behind them can contradict, but for a hash that comes again."""
        ends = Consistency(self.name)
        if (logs := pl.concat(self.logs)).is_empty():
            return ends
        first_or_last = pl.col("block_number").is_in([logs.item(row, "order") // LOGS_OF_A_BLOCK for row in (0, -1)])
        ends.logs = [logs.gather([0, -1]).unique(maintain_order=True)]
        ends.blocks = [pl.concat(self.blocks).filter(first_or_last).unique(BLOCK, keep="first", maintain_order=True)]
        ends.transactions = [pl.concat(self.transactions).filter(first_or_last)]
        return ends

    def hashes(self) -> pl.DataFrame:
        """64 bits of the hash of every transaction and block, with the block: `hash`, `block_number`. A hash in two blocks contradicts itself."""
        block_hash = pl.col("block_hash").hash(0).alias("hash")
        blocks = pl.concat(self.blocks).drop_nulls("block_hash").select(block_hash, "block_number")
        return pl.concat([blocks, pl.concat(self.transactions).select(pl.col("transaction_hash").alias("hash"), "block_number")]).unique()

    def shared_index(self) -> tuple[int, int] | None:
        """A block in which two transactions have one index, and that index. None where each has its own, or the input gives none."""
        if not self.transactions:
            return None
        indexed = pl.concat(self.transactions).drop_nulls("transaction_index")
        block, index, transaction = (pl.col(name) for name in ("block_number", "transaction_index", "transaction_hash"))
        in_order = (block > block.shift()) | ((block == block.shift()) & (index >= index.shift()))
        if not indexed.select(in_order.all()).item():  # almost every input is in order, and a sort of millions is not cheap
            indexed = indexed.sort("block_number", "transaction_index", maintain_order=True)
        shared = indexed.filter((block == block.shift()) & (index == index.shift()) & (transaction != transaction.shift()))
        return shared.select(block, index).row(0) if shared.height else None

    def _duplicate_logs(self) -> Iterator[Finding]:
        logs = pl.concat(self.logs)
        if increases(logs.get_column("order")):
            return
        twice = logs.filter(pl.col("order").is_duplicated()).sort("order", "row").head(20)
        for (key,), rows in twice.group_by("order", maintain_order=True):
            block, index = divmod(key, LOGS_OF_A_BLOCK)
            listed = "rows " + " and ".join(map(str, rows.get_column("row")))
            if rows.get_column("content").n_unique() == 1:
                what = f"Log {index} of block {block} is listed twice."
                advice = f"Remove the duplicate: {listed} are equal in every column."
            elif rows.get_column("transaction").n_unique() > 1:
                what = (
                    f"Log {index} of block {block} is in {listed}, but these belong to different transactions: they are different logs, not"
                    " duplicates. Some gateways count logIndex inside each transaction instead of inside the block."
                )
                advice = "Keep all of them, and fetch the logs with --rpc from a node that counts inside the block."
            else:
                what = f"Log {index} of block {block} is in {listed} with different values: at least one of them was altered."
                advice = "Keep all of them, because each may hold a victim, and fetch the logs again with --rpc or from another service."
            for row in rows.get_column("row"):
                yield Finding("error", f"{self.name} row {row}", what, advice, code="shared-log-index")

    def _contradictory_blocks(self) -> Iterator[Finding]:
        blocks = pl.concat(self.blocks).unique(BLOCK, keep="first", maintain_order=True)
        for number, row in _first_rows(blocks, "block_number"):
            what = f"Block {number} has more than one timestamp or hash."
            yield Finding("error", f"{self.name} row {row}", what, TWO_CHAINS)
        blocks = blocks.unique("block_number", keep="first", maintain_order=True)
        for block_hash, row in _first_rows(blocks.filter(pl.col("block_hash").is_not_null()), "block_hash"):
            what = f"The block hash {block_hash} is given for more than one block."
            yield Finding("error", f"{self.name} row {row}", what, TWO_CHAINS)

    def _falling_times(self) -> Iterator[Finding]:
        """Of blocks that have one time each."""
        dated = pl.concat(self.blocks).select("block_number", "block_time", "row").drop_nulls().sort("block_number", "row")
        earlier = dated.with_columns(pl.col("block_number", "block_time").shift().name.suffix("_before"))
        falls = earlier.filter(pl.col("block_time") < pl.col("block_time_before")).head(20)
        for number, time, row, before, time_before in falls.iter_rows():
            what = f"Block {number} is dated {time:%Y-%m-%d %H:%M:%S}Z, before block {before} of {time_before:%Y-%m-%d %H:%M:%S}Z."
            yield Finding("error", f"{self.name} row {row}", what, "Times rise with block numbers: export both again from one source.")

    def _contradictory_transactions(self) -> Iterator[Finding]:
        transactions = pl.concat(self.transactions)
        if transactions.get_column("transaction_hash").n_unique() == transactions.height:
            return
        apart = transactions.unique(["transaction_hash", "block_number"], keep="first")  # one's logs may not be adjacent
        for _, row in _first_rows(apart, "transaction_hash"):
            yield Finding("error", f"{self.name} row {row}", "The same transaction is in another block too.", TWO_CHAINS)


def _first_rows(frame: pl.DataFrame, key: str) -> list[tuple[int, int]]:
    """The values of a key that occur in more than one row, each with the first of these rows."""
    if frame.get_column(key).n_unique() == frame.height:
        return []
    return frame.filter(pl.col(key).is_duplicated()).group_by(key).agg(pl.col("row").min()).sort("row").head(20).rows()
