"""One target a parser: what it reads from a file, whole seeds, and how it may refuse. Anything else that it raises is a fault."""

import asyncio
import contextlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

from polars.exceptions import PolarsError

from perpcomp import text_file
from perpcomp.audit import ledger, levels, signatures, standalone
from perpcomp.audit.recount import check as recount
from perpcomp.audit.recount.listing import read_listing
from perpcomp.audit.sheet import check as check_sheet
from perpcomp.audit.sheet import csv_file
from perpcomp.claims import claimed, payee_list
from perpcomp.claims import signatures as accepted
from perpcomp.claims.claim_file import read_claim_file
from perpcomp.claims.verify import check_claims
from perpcomp.coverage import coverage
from perpcomp.decide.votes import read_votes
from perpcomp.findings import InputError
from perpcomp.guards.rules import vectors
from perpcomp.incident import incident_file
from perpcomp.incident.ledger_file import read_ledger
from perpcomp.ingest.exports.read import times_of_blocks
from perpcomp.ingest.node.answers import read_logs_answer
from perpcomp.ingest.node.codes import read_code
from perpcomp.ingest.node.results import BadAnswer, read_block_info, read_object
from perpcomp.ingest.node.rpc import _REPLY, BatchRefused, Endpoint, RpcError
from perpcomp.ingest.node.store import LOGS, RANGE, _parquet
from perpcomp.ingest.proof.headers import in_chain, split
from perpcomp.ingest.proof.receipts import ordered_root, receipt_values
from perpcomp.input import Input, read_events
from perpcomp.publish.read_back import FILE_OF, Published
from perpcomp.publish.stated import parse_manifest, read_manifest
from perpcomp.publish.workbook.book import planned
from perpcomp.rules.sources import of_claims
from perpcomp.tables.files import read_prices
from tests import stated
from tests.fuzz import seeds


@dataclass(frozen=True)
class Target:
    """A parser: it reads a file with this ending, and may raise what `refuses` names."""

    ending: str
    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]
    refuses: tuple[type[BaseException], ...] = (InputError,)

    def run(self, data: bytes, folder: Path) -> bool:
        """Whether these bytes are read, from a file in the folder, and not refused. Whatever else is raised is a fault."""
        (file := folder / f"input{self.ending}").write_bytes(data)
        try:
            self.read(file)
        except self.refuses:
            return False
        return True


# The input of a run.


def of_input(file: Path) -> None:
    """Logs, an export or an events table, and how far it reaches."""
    source = Input(file, None)
    events = read_events(source, seeds.REHEARSAL)
    coverage(events, source, seeds.REHEARSAL)


def of_incident(file: Path) -> None:
    incident_file.parse(file.read_bytes(), "input", file.parent)


def of_list(changes: Callable[[str, str], dict[str, str]], file: Path) -> None:
    """A list that an incident file names with its hash."""
    text = seeds.build.QUERY
    for old, new in changes(file.name, sha256(file.read_bytes()).hexdigest()).items():
        text = text.replace(old, new)
    incident_file.parse(text.encode(), "made-up", file.parent)


def payees(name: str, digest: str) -> dict[str, str]:
    return {"[sources]\n": f'[payees]\nmap = "{name}"\nmap_sha256 = "{digest}"\nsource = "test"\n\n[sources]\n'}


def codes(name: str, digest: str) -> dict[str, str]:
    return {"[sources]\n": f'[payees]\ncode = "{name}"\ncode_sha256 = "{digest}"\nsource = "test"\n\n[sources]\n'}


def excluded(name: str, digest: str) -> dict[str, str]:
    return {"[formula]": f'exclude_file = "{name}"\nexclude_sha256 = "{digest}"\n\n[formula]'}


def of_ledger(file: Path) -> None:
    read_ledger(file.name, file.read_bytes(), ("test",), 100)


def of_range(file: Path) -> None:
    """A store whose statement of its range is damaged, though its hash fits."""
    (folder := file.parent / "store").mkdir(exist_ok=True)
    data, said = _log_file(), json.loads(file.read_bytes())
    (folder / LOGS).write_bytes(data)
    (folder / RANGE).write_text(json.dumps({**said, "sha256": sha256(data).hexdigest()} if isinstance(said, dict) else said))
    source = Input(folder / LOGS, None)
    coverage(read_events(source, seeds.REHEARSAL), source, seeds.REHEARSAL)
    assert source.evidence == []


@cache
def _log_file() -> bytes:
    return _parquet(seeds.frame_of(seeds.logs()[1].splitlines(keepends=True)))


@cache
def _claims_incident() -> Any:
    return incident_file.load(str(seeds.ROOT / "tests" / "precedents" / "s04-op4.toml"))


# A node.


def of_reply(file: Path) -> None:
    """The body of a reply, and its result as each kind of answer."""
    body = file.read_bytes()

    async def send(self: Endpoint, request: Any) -> tuple[int, bytes, None]:
        return 200, body, None

    node = Endpoint("http://x")
    node._send = send.__get__(node)  # type: ignore[method-assign]
    with contextlib.suppress(BadAnswer, RpcError, BatchRefused):
        asyncio.run(node._batch("eth_getCode", [["0x"], ["0x"]]))
    raw = _result(body)
    for read in (
        read_block_info,
        read_object,
        read_code,
        partial(read_logs_answer, asked=(0, 2**40), addresses=seeds.HERE, topics=seeds.TOPICS),
    ):
        with contextlib.suppress(BadAnswer):
            read(raw)


def _result(body: bytes) -> bytes:
    """The result in a reply, by the endpoint itself."""
    node = Endpoint("http://x")
    reply = node._decode(_REPLY, body, 200, None)
    return node._result(reply, 1, 200, None, "eth_getLogs")


def of_headers(file: Path) -> None:
    list(in_chain(list(split(file.read_bytes())), None, None, signatures=True))


def of_receipts(file: Path) -> None:
    ordered_root(receipt_values(file.read_bytes()))


# What others publish.


def of_claims_file(file: Path) -> None:
    check_claims(read_claim_file(file), file.name)


def of_payee_list(file: Path) -> None:
    payee_list.check(payee_list.read_list(file), file.name)


def of_listing(file: Path) -> None:
    recount.check(read_listing(file), recount.Asked())


def of_bundle(file: Path) -> None:
    """By perpcomp, up to where files are parsed, and by the verifier that needs Python alone."""
    alone([str(file)])
    levels.open_bundle(file)


def alone(arguments: list[str]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert standalone.main(arguments) in (0, 1, 2, 4)


def of_manifest(file: Path) -> None:
    says = parse_manifest(file.read_bytes(), "manifest.json")
    signatures.typed_data(says, "0" * 64)


def of_signatures(file: Path) -> None:
    signatures.signers_of(file, seeds.published_run().stated, "0" * 64, required=True)


def of_wallet(file: Path) -> None:
    signatures.signer(signatures.typed_data(dict(seeds.published_run().stated), "0" * 64), file.read_text(errors="surrogateescape"))


def of_table(file: Path) -> None:
    """A run whose first table is damaged, though every hash fits: by perpcomp, which reads it back, and by the verifier that stands alone.

    The first line of the input names the table.
    """
    name, _, data = file.read_bytes().partition(b"\n")
    table = name.decode(errors="replace")
    if table not in seeds.run_files():
        return
    files = {**seeds.run_files(), table: data}
    says = parse_manifest(files["manifest.json"], "")
    with contextlib.suppress(Exception):  # a table that does not even have its columns has no total to state
        stated.in_line(says, files)
    says["files"][table] = {"sha256": sha256(data).hexdigest()}
    files["manifest.json"] = stated.written(says)
    load, standalone.load = standalone.load, lambda _: files
    try:
        alone(["x"])
    finally:
        standalone.load = load
    place = seeds.spoiled_folder(file.parent, table, data)
    held = Published(place, read_manifest(place))
    for attribute in FILE_OF.keys() - {"findings"} | {"problems", "incident"}:
        with contextlib.suppress(InputError):
            getattr(held, attribute)


# Sheets that were passed on.


def of_sheet(file: Path) -> None:
    """A workbook: as a copy of a run's, where the run is not computed again; its adjustments; and as a published list."""
    made = {"_run": lambda _: seeds.computed_run(), "planned": lambda _: _plan(), "workbook": lambda _: seeds.run_files()["vote.xlsx"]}
    with patch.multiple(check_sheet, **made):
        for read in (partial(check_sheet.check, folder=file.parent), ledger.from_sheet, of_listing):
            with contextlib.suppress(InputError):
                read(file)


@cache
def _plan() -> Any:
    return planned(seeds.computed_run())


def of_part(file: Path) -> None:
    """A workbook of which one part is damaged; the first line of the input names it."""
    name, _, part = file.read_bytes().partition(b"\n")
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(seeds.workbook())) as whole, zipfile.ZipFile(made, "w") as target:
        if name.decode(errors="replace") not in whole.namelist():
            return
        for one in whole.namelist():
            target.writestr(one, part if one.encode() == name else whole.read(one))
    file.with_name("part.xlsx").write_bytes(made.getvalue())
    of_sheet(file.with_name("part.xlsx"))


def of_sheet_csv(file: Path) -> None:
    csv_file.compare(file.read_bytes(), file.name, seeds.run_files())


TARGETS: dict[str, Target] = {
    "logs": Target(".jsonl", of_input, seeds.logs),
    "logs-gz": Target(".jsonl.gz", of_input, seeds.packed_logs),
    "exports-csv": Target(".csv", of_input, lambda: seeds.exports("csv")),
    "exports-json": Target(".json", of_input, lambda: seeds.exports("json")),
    "exports-parquet": Target(".parquet", of_input, lambda: seeds.exports("parquet")),
    "events-csv": Target(".csv", of_input, lambda: seeds.events("csv")),
    "events-parquet": Target(".parquet", of_input, lambda: seeds.events("parquet")),
    "blocks": Target(".jsonl", times_of_blocks, seeds.blocks),
    "range": Target(".json", of_range, seeds.ranges, (InputError, ValueError)),
    "incident": Target(".toml", of_incident, seeds.incidents),
    "prices": Target(".csv", read_prices, seeds.prices),
    "payees": Target(".csv", partial(of_list, payees), seeds.payees),
    "codes": Target(".csv", partial(of_list, codes), seeds.codes),
    "excluded": Target(".csv", partial(of_list, excluded), seeds.excluded),
    "ledger": Target(".csv", of_ledger, seeds.ledgers),
    "claims-table": Target(".csv", lambda file: of_claims(_claims_incident(), file), seeds.claims_tables),
    "reply": Target(".json", of_reply, seeds.answers, (InputError, BadAnswer, RpcError)),
    "headers": Target(".bin", of_headers, seeds.headers),
    "receipts": Target(".bin", of_receipts, seeds.receipts),
    "claims": Target(".json", of_claims_file, seeds.claim_files),
    "claimed": Target(".jsonl", lambda file: claimed.from_file(file, [seeds.CONTRACT]), seeds.claimed_logs),
    "payments": Target(".csv", of_payee_list, seeds.payments),
    "accepted": Target(".csv", accepted.read_signatures, seeds.accepted),
    "votes": Target(".csv", read_votes, seeds.votes),
    "listing": Target(".csv", of_listing, seeds.tables),
    "csv": Target(".csv", text_file.read_csv, seeds.tables, (InputError, OSError, EOFError, ValueError, PolarsError)),
    "vectors": Target(".json", vectors.check, seeds.guards),
    "bundle": Target(".zip", of_bundle, seeds.bundles),
    "manifest": Target(".json", of_manifest, seeds.manifests),
    "signatures": Target(".json", of_signatures, seeds.signed),
    "wallet": Target(".txt", of_wallet, seeds.wallets, (ValueError,)),
    "table": Target(".csv", of_table, seeds.named_tables),
    "sheet": Target(".xlsx", of_sheet, seeds.whole_workbooks),
    "sheet-part": Target(".bin", of_part, seeds.workbook_parts),
    "sheet-csv": Target(".csv", of_sheet_csv, seeds.tables),
}
