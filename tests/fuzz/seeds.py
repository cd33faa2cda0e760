"""Whole inputs for each parser, from the recorded chains and the vectors of the lab, small enough to be read many times a second."""

import gzip
import io
import json
import shutil
import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import xlsxwriter
from eth_account import Account
from eth_account.messages import encode_typed_data

import perpcomp
from perpcomp.audit import archive, signatures
from perpcomp.claims.claimed import LAYOUTS
from perpcomp.incident import incident_file
from perpcomp.ingest.log_file import log_pieces
from perpcomp.ingest.proof.headers import encode_header
from perpcomp.ingest.proof.receipts import encode_receipts
from perpcomp.ledger import chain
from perpcomp.publish.read_back import Published
from perpcomp.run import Run
from perpcomp.systems.system import find
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import to_csv, to_parquet
from tests import build, test_claims_follow, test_exports
from tests.build import address, position
from tests.conftest import LAB
from tests.planned import CONTRACT
from tests.test_bundle import ONLY_TREES

ROOT = LAB.parent.parent
REHEARSAL = incident_file.load("rehearsal")
TOPICS = find(REHEARSAL.system).topics
HERE = {*REHEARSAL.chain.contracts, *(market.amm for market in REHEARSAL.markets)}
LINES = gzip.decompress((ROOT / "queries" / "rehearsal" / "logs.jsonl.gz").read_bytes()).splitlines(keepends=True)
FEW = 40  # rows of a seed


@cache
def computed_run() -> Run:
    """A run of five made-up traders with every claim file."""
    (folder := Path(small.name) / "in").mkdir()
    rows = [row for n in range(1, 6) for row in position(n, address(n), 1, 30_000, 10_000 + n, 42_000)]
    return build.run(folder, rows, ONLY_TREES)


small = TemporaryDirectory()  # of that run, as long as this module is there


@cache
def published_run() -> Published:
    perpcomp.publish_run(computed_run(), Path(small.name) / "run")
    return perpcomp.published(Path(small.name) / "run")


def run_folder() -> Path:
    return published_run().folder


@cache
def run_files() -> dict[str, bytes]:
    """The files of that run by name."""
    return {path.relative_to(run_folder()).as_posix(): path.read_bytes() for path in run_folder().rglob("*") if path.is_file()}


def logs() -> list[bytes]:
    """The first logs, and those around a liquidation."""
    place = next(n for n, line in enumerate(LINES) if b"0x5225638a979dd133f201045ab4169ec2189874d864f2b5a10be72ac6e4b421b4" in line)
    return [b"".join(LINES[:FEW]), b"".join(LINES[place - FEW // 2 : place + FEW // 2])]


def exports(kind: str) -> list[bytes]:
    """Tables as other tools write them, in one of the kinds csv, parquet, json."""
    frames = [
        test_exports.as_etl(timed=True),
        test_exports.as_dune(),
        test_exports.as_long(),
        test_exports.as_cryo_events("PositionChanged"),
    ]
    if kind == "json":
        answer = {name: rows[:5] for name, rows in test_exports.as_answer().items()}
        raw = {"jsonrpc": "2.0", "id": 1, "result": [json.loads(line) for line in logs()[1].splitlines()]}
        return [json.dumps(one).encode() for one in (raw, answer, {"data": answer})]
    frames = [*frames, test_exports.as_cryo(True), *([test_exports.as_cryo()] if kind == "parquet" else [])]
    with TemporaryDirectory() as folder:
        return [test_exports.written(Path(folder), frame.slice(300, FEW), f"x.{kind}").read_bytes() for frame in frames]


def events(kind: str) -> list[bytes]:
    """Our own events table."""
    frame = perpcomp.events("rehearsal")[0].head(FEW)
    return [to_csv(frame, EVENTS) if kind == "csv" else to_parquet(frame)]


def incidents() -> list[bytes]:
    folders = (ROOT / "queries", ROOT / "tests" / "cases", ROOT / "tests" / "precedents", LAB)
    return [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.toml")) if b"[chain]" in path.read_bytes()]


def claim_files() -> list[bytes]:
    """Trees of every dialect, and vectors of others."""
    own = [data for name, data in run_files().items() if name.startswith("claims/") and name.endswith(".json")]
    return [*own, *(path.read_bytes() for path in sorted((LAB / "distribution").glob("tree_*.json")) if path.stat().st_size < 100_000)]


def tables() -> list[bytes]:
    return [data for name, data in sorted(run_files().items()) if name.endswith(".csv")]


@cache
def workbook() -> bytes:
    """A small one: two sheets of the run's workbook with their heads, and new adjustments; with a formula, a link and a name."""
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        for name, rows in (
            ("Payouts", [["account", "amount"], ["0x" + "11" * 20, 5.5], ["=1+1", "x"]]),
            ("Adjustments", [["kind", "trader", "amount", "reason"], ["deduct", address(1), "4000", "counted twice"]]),
        ):
            sheet = book.add_worksheet(name)
            for row, cells in enumerate(rows):
                sheet.write_row(row, 0, cells)
            sheet.write_formula(6, 0, "=SUM(B2:B3)", None, 5.5)
            sheet.write_url(7, 0, "https://example.org/x")
            sheet.freeze_panes(1, 0)
        book.define_name("Price", "=Payouts!$B$2")
    return made.getvalue()


def workbook_parts() -> list[bytes]:
    """The parts of that workbook, each after its name and a line feed."""
    with zipfile.ZipFile(io.BytesIO(workbook())) as opened:
        return [name.encode() + b"\n" + opened.read(name) for name in opened.namelist()]


def whole_workbooks() -> list[bytes]:
    return [workbook()]


def bundles() -> list[bytes]:
    """A whole one without its lock, which is long, and a small archive in the same form."""
    return [
        archive.pack({name: data for name, data in run_files().items() if name != "lock.txt"}),
        archive.pack({"manifest.json": run_files()["manifest.json"], "a/b.csv": b"1\n"}),
    ]


def manifests() -> list[bytes]:
    old = (ROOT / "tests" / "manifests" / "v1" / "rehearsal" / "manifest.json").read_bytes()
    return [run_files()["manifest.json"], old]


def answers() -> list[bytes]:
    """Replies of a node with the id 1: logs, a header, code, an error, a list of receipts."""
    vectors = json.loads((LAB / "audit" / "receipts.json").read_text())
    receipts = next(iter(vectors["receipts"].values()))
    results: list[Any] = [[json.loads(line) for line in LINES[:3]], vectors["headers"][0], "0x64", "0x6001", receipts[:2], []]
    errors = [{"code": -32005, "message": "query returned more than 10000 results"}, "too many requests"]
    return [
        json.dumps({"jsonrpc": "2.0", "id": 1, **one}).encode()
        for one in (*({"result": r} for r in results), *({"error": e} for e in errors))
    ]


def headers() -> list[bytes]:
    """The RLP of headers, of Ethereum and of AuRa."""
    vectors = json.loads((LAB / "audit" / "receipts.json").read_text())["headers"]
    aura = json.loads((LAB / "audit" / "aura-headers.json").read_text())
    found = [encode_header(one) for one in vectors[:3]]
    found += [encode_header(one["header"]) for one in aura["vectors"]]
    return [*found, b"".join(found)]


def receipts() -> list[bytes]:
    vectors = json.loads((LAB / "audit" / "receipts.json").read_text())["receipts"]
    return [encode_receipts(one) for one in list(vectors.values())[:4]]


def ranges() -> list[bytes]:
    """What a store states of its range, without the hash of the file."""
    stated = {"first": 13_500_000, "last": 13_500_378, "final": True, "asked": {"blocks": [13_500_000, 13_500_378]}}
    window = {"asked": {"window": ["2021-02-20T22:45:00Z", "2021-02-21T00:45:00Z", 13_500_000]}}
    proved = {"proved": {"all": [13_500_000, "0x" + "11" * 32]}, "from_time": 1_613_000_000, "until_time": 1_614_000_000}
    return [json.dumps(one).encode() for one in (stated, stated | window, stated | proved)]


def frame_of(lines: list[bytes]) -> pl.DataFrame:
    """The raw frame of log lines."""
    with TemporaryDirectory() as folder:
        (file := Path(folder) / "logs.jsonl").write_bytes(b"".join(lines))
        return pl.concat([piece() for piece in log_pieces([file], (), TOPICS, (), {}, TOPICS)])


def packed_logs() -> list[bytes]:
    return [gzip.compress(one, mtime=0) for one in logs()]


def blocks() -> list[bytes]:
    with TemporaryDirectory() as folder:
        return [test_exports.block_list(Path(folder)).read_bytes()]


def prices() -> list[bytes]:
    ours = b"time,market_name,price\n2021-02-20T22:45:00Z,BTCUSDC,55000.5\n1613861160,BTCUSDC,54000\n"
    return [ours, b"snapped_at,symbol,close\n2021-02-20 22:45:00 UTC,BTCUSDC,5.5e4\n", ours.replace(b",", b";")]


def payees() -> list[bytes]:
    head = f"account,to,share,reason\n{address(1)},{address(2)},0.5,a contract\n".encode()
    return [head, head + f"{address(1)},{address(3)},1/2,\n".encode()]


def codes() -> list[bytes]:
    return [f"address,code,kind\n{address(1)},0x6001,\n{address(2)},,safe\n{address(3)},0xef0100{'12' * 20},\n".encode()]


def excluded() -> list[bytes]:
    return [f"address,reason,evidence\n{address(1)},an insider,a post\n{address(2)},the fund,a list\n".encode()]


def ledgers() -> list[bytes]:
    lines = [
        {"kind": "deduct", "trader": address(1), "amount": "4000", "date": "2021-03-01T00:00:00Z"},
        {"kind": "add", "trader": address(2), "amount": "0.5", "date": "2021-03-02T00:00:00Z"},
        {"kind": "scale", "trader": address(3), "factor": "1/2", "date": "2021-03-03T00:00:00Z"},
    ]
    texts = {"reason": "counted twice", "evidence": "forum post 51", "author": "the committee", "ruling": "vote 17"}
    return [chain.to_csv(chain.extended([], [{**one, **texts} for one in lines]))]


def claims_tables() -> list[bytes]:
    return [path.read_bytes()[:5_000] for path in sorted((ROOT / "tests" / "precedents").glob("s0*.csv"))]


def claimed_logs() -> list[bytes]:
    values = test_claims_follow.VALUES
    return [b"".join(json.dumps(test_claims_follow.log(one, (), values, n)).encode() + b"\n" for n, one in enumerate(list(LAYOUTS)[:3]))]


def payments() -> list[bytes]:
    return [f"address,amount,token\n{address(1)},1000,{CONTRACT}\n{address(2)},5,{CONTRACT}\n".encode()]


def accepted() -> list[bytes]:
    return [f"address,signature\n{address(1)},0x{'11' * 65}\n{address(2)},\n".encode()]


def votes() -> list[bytes]:
    return [f"voter,voting_power,choice\n{address(1)},12.5,1\n{address(2)},0.000000000000000001,Yes\n".encode()]


def guards() -> list[bytes]:
    return [gzip.decompress((LAB / "guards" / "vectors.json.gz").read_bytes())[:60_000], (LAB / "guards" / "cases.json").read_bytes()]


def signed() -> list[bytes]:
    one = {"signer": address(1), "signature": "0x" + "11" * 64 + "1b"}
    return [json.dumps({"format": "perpcomp-signatures-v1", "manifest_sha256": "0" * 64, "signatures": [one]}).encode()]


def wallets() -> list[bytes]:
    """A signature over the run by the key 1, and two that nobody made."""
    typed = signatures.typed_data(dict(published_run().stated), "0" * 64)
    message = encode_typed_data(full_message=signatures._with_numbers(typed))
    return [Account.sign_message(message, bytes(31) + b"\1").signature.hex().encode(), b"0x" + b"11" * 64 + b"1b", b"11" * 64 + b"00"]


def named_tables() -> list[bytes]:
    """Every text of a run but its verifier and lock, after its name and a line feed."""
    kept = (".csv", ".toml", ".json", ".jsonl")
    return [name.encode() + b"\n" + data for name, data in run_files().items() if name.endswith(kept) and name != "manifest.json"]


def spoiled_folder(place: Path, name: str, data: bytes) -> Path:
    """The folder of that run with one file replaced, and its manifest left alone. What an earlier call replaced is put back."""
    folder = place / "run"
    if not folder.is_dir():
        shutil.copytree(run_folder(), folder)
    for path in _spoiled.pop(folder, ()):
        (folder / path).write_bytes(run_files()[path])
    (folder / name).write_bytes(data)
    _spoiled[folder] = [name]
    return folder


_spoiled: dict[Path, list[str]] = {}
