"""The evidence of a proof: fetched once, kept in the store (kept.py says where), and checked offline as often as wanted.

Each file is written whole or not at all.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp.findings import refusal
from perpcomp.ingest.node.block_receipts import receipts_of
from perpcomp.ingest.node.fetch import all_of
from perpcomp.ingest.node.pool import Pool
from perpcomp.ingest.node.refusals import Range
from perpcomp.ingest.node.results import read_object
from perpcomp.ingest.node.segments import HEADERS_AT_ONCE
from perpcomp.ingest.proof.bloom import LogFilter, blocks_to_open
from perpcomp.ingest.proof.headers import encode_header, split
from perpcomp.ingest.proof.kept import HEADERS, RECEIPTS, receipts_in
from perpcomp.ingest.proof.prove import Proof, prove
from perpcomp.ingest.proof.receipts import encode_receipts
from perpcomp.writing import write_whole

BATCHES = 8  # batches of headers in flight


def filters(addresses: Collection[str], topics: Collection[str]) -> list[LogFilter]:
    """The logs that a fetch asks for: every contract with every event."""
    return [(address, topic) for address in addresses for topic in topics]


async def collect(pool: Pool, asked: Range, wanted: list[LogFilter], folder: Path) -> None:
    """Fetch those headers and receipts of a range that the folder does not hold."""
    (folder / RECEIPTS).mkdir(parents=True, exist_ok=True)
    headers = folder / HEADERS
    if not headers.exists():
        numbers = list(range(asked[0], asked[1] + 1))
        batches = [numbers[n : n + HEADERS_AT_ONCE] for n in range(0, len(numbers), HEADERS_AT_ONCE)]
        blob = bytearray()
        for n in range(0, len(batches), BATCHES):
            calls = [
                pool.call_many("eth_getBlockByNumber", [[hex(b), False] for b in batch], read_object) for batch in batches[n : n + BATCHES]
            ]
            blob += b"".join(encode_header(header) for part in await all_of(calls) for header in part)
        write_whole(headers, bytes(blob))
    for number in blocks_to_open(split(headers.read_bytes()), wanted):
        path = folder / RECEIPTS / f"{number}.bin"
        if not path.exists():
            write_whole(path, encode_receipts(await receipts_of(pool, number)))


def check(folder: Path, asked: Range, wanted: list[LogFilter], logs: pl.DataFrame, anchor: str) -> Proof:
    """The proof that the raw frame holds all logs of the range, unaltered, from the evidence in the folder alone.

    `anchor` is the hash of the range's last block. Unproved (exit 1) names block by block what is missing, altered or invented.
    """
    headers = folder / HEADERS
    if not headers.is_file():
        raise refusal(str(folder), "The folder holds no headers.", "Fetch them with --prove.")
    blob = headers.read_bytes()
    receipts = {number: path.read_bytes() for number, path in receipts_in(folder).items()}
    inside = logs.filter(pl.col("block_number").is_between(*asked))
    return prove(split(blob), receipts, wanted, _as_returned(inside), anchor, asked[0])


def _as_returned(logs: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows of a raw frame as eth_getLogs returned them."""
    for row in logs.iter_rows(named=True):
        indexed = [row[f"topic{n}"] for n in range(1, row["topics"])]
        yield {
            "address": row["address"],
            "topics": [row["topic0"], *("0x" + topic.hex() for topic in indexed)],
            "data": "0x" + row["data"].hex(),
            "blockNumber": hex(row["block_number"]),
            "blockTimestamp": hex(int(row["block_time"].timestamp())),
            "blockHash": row["block_hash"],
            "transactionHash": row["transaction_hash"],
            "transactionIndex": hex(row["transaction_index"]),
            "logIndex": hex(row["log_index"]),
        }
