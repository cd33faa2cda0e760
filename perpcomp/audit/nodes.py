"""What nodes of the chain say of a run: chain, blocks, every log of its range, and whether its contracts have code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from perpcomp.audit.compare import Difference
from perpcomp.findings import NETWORK, refusal
from perpcomp.ingest.node.codes import read_code
from perpcomp.ingest.node.fetch import Fetcher
from perpcomp.ingest.node.held import Options, subject
from perpcomp.ingest.node.nodes import check_chain, make_pool, run_until_done
from perpcomp.ingest.node.pull import logs_by, range_of
from perpcomp.ingest.node.refusals import Range
from perpcomp.ingest.node.results import read_object
from perpcomp.ingest.node.store import Subject, read_range
from perpcomp.input import pieces_of_any_contract
from perpcomp.number_text import counted
from perpcomp.publish.read_back import Published
from perpcomp.systems.system import find

BLOCKS = 10  # whose hashes a node is asked for
MOST = 1_000  # logs that are named
KEY = ["block_number", "log_index"]


@dataclass(frozen=True)
class _Answers:
    """What one node says: the hash of each block asked for, the raw logs of a range, and the code of each contract."""

    node: str
    hashes: Mapping[int, object]
    asked: Range
    logs: pl.DataFrame
    codes: Mapping[str, str]


def subject_of(run: Published) -> Subject:
    """Which logs a run needs: of its contracts and markets, with its protocol's events."""
    return subject(run.incident, sorted(find(run.incident.system).topics))


def logs_of(run: Published) -> pl.DataFrame | None:
    """The raw frame of those logs in a run's input; None where another tool decoded them."""
    pieces = pieces_of_any_contract(run.input, find(run.incident.system))
    if pieces is None:
        return None
    return pl.concat([piece() for piece in pieces]).filter(pl.col("address").is_in(subject_of(run).addresses))


def compare(run: Published, urls: Sequence[str]) -> tuple[str, list[Difference]]:
    """What was compared with each node, in words, and where a node says otherwise. InputError (exit 3) where one cannot be asked."""
    blocks, logs, about = _some_blocks(run), logs_of(run), subject_of(run)
    held = run.events.table if logs is None else logs
    answers = [run_until_done(_ask(url, run, about, blocks, held)) for url in urls]
    wrong = list[Difference]()
    for one in answers:
        here = f"by {one.node}"
        wrong += [Difference(f"block {n}", blocks[n], f"{found} {here}") for n, found in one.hashes.items() if found != blocks[n]]
        wrong += [
            Difference(f"code of {contract}", "a contract", f"no code {here}") for contract, code in one.codes.items() if code == "0x"
        ]
        theirs = _decoded(run, one.logs) if logs is None else one.logs
        wrong += _differing(held.filter(pl.col("block_number").is_between(*one.asked)), theirs, one.node)
    for contract in about.addresses:
        if len({one.codes[contract] for one in answers}) > 1:
            wrong.append(Difference(f"code of {contract}", "one code", "the nodes give different ones"))
    first, last = answers[0].asked
    what = [
        f"chain {run.incident.chain.id}",
        f"the hashes of {counted(len(blocks), 'block')}",
        f"the code of {counted(len(about.addresses), 'contract')}",
        f"{counted(held.height, 'event' if logs is None else 'log')} of blocks {first} to {last}",
    ]
    return f"{', '.join(what)}, by {counted(len(urls), 'node')}", wrong


async def _ask(url: str, run: Published, about: Subject, blocks: Mapping[int, str], held: pl.DataFrame) -> _Answers:
    options = Options(Path())
    pool = make_pool([url], options)
    (node,) = pool.endpoints
    try:
        await check_chain(node, pool, run.incident)
        headers = await pool.call_many("eth_getBlockByNumber", [[hex(number), False] for number in blocks], read_object)
        codes = await pool.call_many("eth_getCode", [[contract, "latest"] for contract in about.addresses], read_code)
        asked = await _range(run, held, Fetcher(pool, about, options.settings), node.name)
        logs = await logs_by(pool, about, options, asked)
    finally:
        await pool.close()
    hashes = {number: header.get("hash") for number, header in zip(blocks, headers, strict=True)}
    return _Answers(node.name, hashes, asked, logs, dict(zip(about.addresses, codes, strict=True)))


def _some_blocks(run: Published) -> dict[int, str]:
    """Number and hash of the first and the last block with a trade, eight between, and the last one that is proved."""
    table = run.events.lazy.select("block_number", "block_hash").drop_nulls().unique().sort("block_number").collect()
    rows: list[tuple[int, str]] = table.rows()
    last = len(rows) - 1
    found = dict(rows[n] for n in sorted({last * k // (BLOCKS - 1) for k in range(BLOCKS)})) if rows else {}
    proved = run.input.proved
    return found if proved is None else found | {proved.last: proved.anchor}


async def _range(run: Published, held: pl.DataFrame, fetcher: Fetcher, node: str) -> Range:
    """The blocks whose logs the input should hold: of its store, or of the incident's window and of all that it holds.

    InputError (exit 3) where the node does not reach so far.
    """
    if run.input.range is not None:
        stated = read_range(run.input.file.parent)
        return int(stated["first"]), int(stated["last"])
    number = pl.col("block_number")
    ends: tuple[int, int] = held.select(number.min().alias("a"), number.max().alias("b")).row(0)
    rules, head = run.incident.eligibility, await fetcher.head()
    over = rules.to_block <= head if rules.to_block is not None else (await fetcher.header(head)).timestamp >= rules.end.timestamp()
    if head < ends[1] or not over:
        what = f"The newest block of {node} is {head}, and the run's logs or its window reach further."
        raise refusal("--rpc", what, "Name another node, or wait until the window is over.", NETWORK)
    first, last = await range_of(run.incident, fetcher, head)
    return min(first, ends[0]), max(last, ends[1])


def _decoded(run: Published, raw: pl.DataFrame) -> pl.DataFrame:
    """The events table of a node's logs."""
    system, chain = find(run.incident.system), run.incident.chain
    tables = system.decode(raw, chain.id, chain.clearing_house, None)
    return system.events_table({name: table.lazy() for name, table in tables.items()}).collect()


def _differing(ours: pl.DataFrame, theirs: pl.DataFrame, node: str) -> list[Difference]:
    """Each log that only one of the two has, and each cell that differs, in columns without gaps: exporters leave some of them out."""
    missing = theirs.join(ours, on=KEY, how="anti").select(KEY).iter_rows()
    invented = ours.join(theirs, on=KEY, how="anti").select(KEY).iter_rows()
    found = [(place, "", "no such log", f"a log by {node}") for place in missing]
    found += [(place, "", "a log", f"no such log by {node}") for place in invented]
    columns = [name for name in ours.columns if name in theirs.columns and name not in (*KEY, "row") and not ours[name].null_count()]
    both = ours.select(*KEY, *columns).join(theirs.select(*KEY, *columns), on=KEY, suffix=" theirs")
    for name in columns:
        other = pl.col(f"{name} theirs")
        cells = both.filter(pl.col(name).ne_missing(other)).select(*KEY, name, other).iter_rows()
        found += [((block, index), f" {name}", _text(our), f"{_text(their)} by {node}") for block, index, our, their in cells]
    named = [Difference(f"block {block} log {index}{cell}", our, their) for (block, index), cell, our, their in sorted(found)]
    more = [Difference("logs", f"{len(named) - MOST:,} more differ", f"by {node}")] if len(named) > MOST else []
    return named[:MOST] + more


def _text(cell: object) -> str:
    return f"0x{cell.hex()}" if isinstance(cell, bytes) else str(cell)
