"""The levels that need more than hashes. Each takes what was asked and gives its Level; InputError where it cannot be checked."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from perpcomp.audit import bundle
from perpcomp.audit.claims import check_files, compare_published
from perpcomp.audit.compare import Difference
from perpcomp.audit.in_child import Asked
from perpcomp.audit.level import Level, failed, skipped
from perpcomp.audit.statement import statement
from perpcomp.audit.verify import verify
from perpcomp.findings import NETWORK, WRONG_INPUT, InputError, refusal
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node.held import subject
from perpcomp.ingest.node.pool import Pool
from perpcomp.ingest.node.pull import check_chain
from perpcomp.ingest.node.results import BadAnswer, read_object
from perpcomp.ingest.node.rpc import Endpoint, RpcError
from perpcomp.ingest.proof import evidence
from perpcomp.ingest.proof.headers import Unproved
from perpcomp.input import pieces_of_any_contract
from perpcomp.number_text import counted
from perpcomp.publish.files import EVENTS_FILE
from perpcomp.publish.manifest import MANIFEST, read_manifest
from perpcomp.publish.read_back import Published, incident_of, input_of
from perpcomp.systems.system import find
from perpcomp.version import VERSION

BLOCKS = 10  # whose hashes a node is asked for


def recompute(asked: Asked) -> Level:
    """The run made again from its inputs, file by file; in a bundle also its manifest and, of the same version, lock and verifier."""
    verdict = verify(Path(asked.run))
    differences = [*verdict.differences, *(_of_bundle(Path(asked.bundle), Path(asked.run)) if asked.bundle else ())]
    said = f"{counted(verdict.files, 'file')} made again from the inputs, {counted(len(differences), 'difference')}"
    if differences:
        return failed("recompute", said, tuple(differences), verdict.notes, verdict.files)
    return Level("recompute", "PASS", said, files=verdict.files, notes=verdict.notes)


def _of_bundle(folder: Path, run: Path) -> list[Difference]:
    """Differences of what a bundle holds beside the run."""
    stated = read_manifest(run)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {name: (folder / name).read_bytes() for name in names if name != MANIFEST}
    incident = incident_of(run, stated)
    block = bundle.last_block(run, stated)
    again = statement(files, stated, incident.chain.id, block, incident.settlement, bundle.proved_range(run, stated))
    wrong = []
    if again != (found := (folder / MANIFEST).read_bytes()):
        theirs, ours = (json.loads(text)["predicate"] for text in (found, again))
        places = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)] or ["subject"]
        wrong += [Difference(f"{MANIFEST} {key}", str(theirs.get(key)), str(ours.get(key))) for key in places]
    if stated["tool"].get("version") == VERSION:
        own = {bundle.LOCK_FILE: bundle.lock(), bundle.VERIFIER: bundle.verifier()}
        wrong += [Difference(name, "other bytes", f"those of perpcomp {VERSION}") for name, data in own.items() if files.get(name) != data]
    return wrong


def proof(asked: Asked) -> Level:
    """Headers, Bloom filters and receipts of the bundle against the logs of the run's input, offline."""
    if asked.bundle is None:
        return skipped("proof", "the folder of a run holds no headers; a bundle of a run that was proved does (--prove)")
    run, folder = Path(asked.run), Path(asked.bundle) / bundle.PROOF
    stated = read_manifest(run)
    claimed = bundle.proved_range(run, stated)
    if claimed is None or not folder.is_dir():
        return skipped("proof", "the bundle holds no headers: the run was not made with --prove")
    incident = incident_of(run, stated)
    source, system = input_of(run, stated, incident), find(incident.system)
    about = subject(incident, sorted(system.topics))
    pieces = pieces_of_any_contract(source, system)
    if pieces is None:
        raise refusal(str(source.file.name), "The logs were decoded by another tool, so they cannot be compared with receipts.", "")
    logs = pl.concat([piece() for piece in pieces]).filter(pl.col("address").is_in(about.addresses))
    asked_for = (int(claimed["first"]), int(claimed["last"]))
    try:
        found = evidence.check(folder, asked_for, evidence.filters(about.addresses, about.topics), logs, claimed["anchor"])
    except Unproved as error:
        wrong = tuple(Difference(one.where, one.what, "proved by headers and receipts") for one in error.problems)
        return failed("proof", f"{counted(len(wrong), 'log')} not as the headers prove them", wrong)
    return Level("proof", "PASS", str(found).rstrip("."))


def rpc(asked: Asked) -> Level:
    """The chain, and the hashes of blocks of the events table, asked of each node."""
    if not asked.urls:
        return skipped("rpc", "no node was named: add --rpc URL")
    run = Path(asked.run)
    stated = read_manifest(run)
    if EVENTS_FILE not in stated["files"]:
        return skipped("rpc", "the run starts from a published table and has no events", WRONG_INPUT)
    incident = incident_of(run, stated)
    blocks = _some_blocks(Published(run, stated))
    if not blocks:
        return skipped("rpc", "the input states no block hash", WRONG_INPUT)
    wrong = [found for url in asked.urls for found in asyncio.run(_ask(Endpoint(url), incident, blocks))]
    said = f"chain {incident.chain.id} and the hashes of {counted(len(blocks), 'block')} by {counted(len(asked.urls), 'node')}"
    return failed("rpc", said, tuple(wrong)) if wrong else Level("rpc", "PASS", said)


def _some_blocks(run: Published) -> list[tuple[int, str]]:
    """Number and hash of the first, the last and eight blocks between, evenly spread."""
    table = run.events.table.lazy().select("block_number", "block_hash").drop_nulls().unique().sort("block_number").collect()
    rows: list[tuple[int, str]] = table.rows()
    last = len(rows) - 1
    return [rows[n] for n in sorted({last * k // (BLOCKS - 1) for k in range(BLOCKS)})] if rows else []


async def _ask(node: Endpoint, incident: Incident, blocks: Sequence[tuple[int, str]]) -> list[Difference]:
    pool = Pool([node], 3, 0.5, 4)
    try:
        await check_chain(node, pool, incident)
        answers = await pool.call_many("eth_getBlockByNumber", [[hex(number), False] for number, _ in blocks], read_object)
    except (RpcError, BadAnswer) as error:
        raise refusal("--rpc", f"{node.name} does not answer: {node.scrub(str(error))}.", "Name another node.", NETWORK) from None
    finally:
        await pool.close()
    return [
        Difference(f"block {number}", hashed, f"{answer.get('hash')} by {node.name}")
        for (number, hashed), answer in zip(blocks, answers, strict=True)
        if answer.get("hash") != hashed
    ]


def claims(asked: Asked) -> Level:
    """Every claim tree of the run built again from its own leaves; and a file served elsewhere against what the run pays."""
    run = Path(asked.run)
    checked, wrong = check_files(run)
    said = [f"{counted(checked, 'claim tree')} built again from their own claims"] if checked else []
    if asked.published is not None:
        try:
            same, found = compare_published(run, Path(asked.published))
        except InputError as error:
            return skipped("claims", "the file of --published cannot be read", WRONG_INPUT, tuple(error.problems))
        said.append(same)
        wrong += found
    if wrong:
        return failed("claims", ", ".join(said) or "a file served elsewhere", tuple(wrong))
    if not said:
        return skipped("claims", "the run wrote no claim trees ([claims] formats), and --published names no file")
    return Level("claims", "PASS", ", ".join(said))


CHECKS: dict[str, Callable[[Asked], Level]] = {"recompute": recompute, "proof": proof, "rpc": rpc, "claims": claims}
