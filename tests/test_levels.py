"""The levels that ask more than the files: headers and receipts in a bundle, and nodes."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from eth_hash.auto import keccak

import perpcomp
from perpcomp.audit import bundle, checks, levels
from perpcomp.audit.in_child import Asked, absolute
from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.ingest.node.held import subject
from perpcomp.ingest.node.store import LOGS, RANGE, _parquet
from perpcomp.ingest.proof.evidence import _as_returned, folder_of
from perpcomp.ingest.proof.headers import encode_header
from perpcomp.ingest.proof.receipts import encode_receipts, ordered_root, receipt_values
from perpcomp.input import Input, pieces_of_any_contract
from perpcomp.publish.files import EVENTS_FILE
from perpcomp.systems.system import find
from tests.conftest import LAB
from tests.fake_node import FakeNode, installed

TEMPLATE = json.loads((LAB / "audit" / "receipts.json").read_text())["headers"][0]
OPENS_ALL = "0x" + "ff" * 256  # a Bloom filter that excludes nothing


def receipts_of(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The receipts of a block that holds these logs at their places; a log of nobody's where the recording left one out."""
    by_index = {int(log["logIndex"], 16): log for log in logs}
    receipts: list[dict[str, Any]] = []
    owner = max((int(log["transactionIndex"], 16) for log in logs), default=-1)
    for n in range(owner + 1):
        receipts.append({"type": "0x2", "status": "0x1", "cumulativeGasUsed": hex(21_000 * (n + 1)), "logsBloom": OPENS_ALL, "logs": []})
    for index in reversed(range(max(by_index, default=-1) + 1)):
        log = by_index.get(index, {"address": "0x" + "99" * 20, "topics": [], "data": "0x"})
        owner = int(log["transactionIndex"], 16) if index in by_index else owner
        receipts[owner]["logs"].insert(0, log)
    return receipts


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the rehearsal's logs on a chain of made-up headers that hold them, the run on it, and its bundle."""
    place = tmp_path_factory.mktemp("proved")
    incident = incident_file.load("rehearsal")
    assert incident.input is not None
    pieces = pieces_of_any_contract(Input(incident.folder / incident.input, None), find(incident.system))
    assert pieces is not None
    raw = pl.concat([piece() for piece in pieces]).filter(
        pl.col("address").is_in(subject(incident, sorted(find(incident.system).topics)).addresses)
    )
    by_block: dict[int, list[dict[str, Any]]] = {}
    for log in _as_returned(raw):
        by_block.setdefault(int(log["blockNumber"], 16), []).append(log)
    first, last, parent, hashes, headers = min(by_block), max(by_block), "0x" + "00" * 32, dict[int, str](), b""
    evidence = folder_of(place / "store", (first, last))
    (evidence / "receipts").mkdir(parents=True)
    time = 0
    for number in range(first, last + 1):
        here = by_block.get(number, [])
        receipts = encode_receipts(receipts_of(here))
        time = int(here[0]["blockTimestamp"], 16) if here else time + 1
        root = "0x" + ordered_root(receipt_values(receipts)).hex()
        header = encode_header(
            {**TEMPLATE, "number": hex(number), "parentHash": parent, "timestamp": hex(time), "receiptsRoot": root, "logsBloom": OPENS_ALL}
        )
        headers += header
        parent = hashes[number] = "0x" + keccak(header).hex()
        (evidence / "receipts" / f"{number}.bin").write_bytes(receipts)
    (evidence / "headers.bin").write_bytes(headers)
    numbers = list(hashes)
    moved = raw.with_columns(
        pl.col("block_number").replace_strict(numbers, [hashes[n] for n in numbers], return_dtype=pl.String).alias("block_hash")
    )
    data = _parquet(moved)
    (place / "store" / LOGS).write_bytes(data)
    stated = {"first": first, "last": last, "final": True, "sha256": hashlib.sha256(data).hexdigest(), "proved": {"all": [first, parent]}}
    (place / "store" / RANGE).write_text(json.dumps(stated))
    perpcomp.publish_run(perpcomp.compute("rehearsal", place / "store" / LOGS), place / "run")
    (place / "run.zip").write_bytes(bundle.bundle(place / "run", place / "store"))
    return place


def test_headers_and_receipts_in_the_bundle_prove_its_logs(proved: Path) -> None:
    report = levels.check_levels(proved / "run.zip")
    found = {level.name: level for level in report.levels}
    assert [found[name].result for name in ("integrity", "recompute", "proof")] == ["PASS"] * 3, report
    assert "logs proved complete and unaltered" in found["proof"].said


def unpacked(proved: Path, tmp_path: Path) -> Asked:
    import zipfile

    with zipfile.ZipFile(proved / "run.zip") as opened:
        opened.extractall(tmp_path)
    return Asked(absolute(tmp_path / "run"), absolute(tmp_path), ("proof",))


def without_a_log(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_row_index("n").filter(pl.col("n") != 300).drop("n")


def with_another_amount(frame: pl.DataFrame) -> pl.DataFrame:
    data = frame["data"].to_list()
    data[300] = data[300][:-1] + bytes([data[300][-1] ^ 1])
    return frame.with_columns(pl.Series("data", data, dtype=pl.Binary))


@pytest.mark.parametrize("change", [without_a_log, with_another_amount])
def test_a_log_that_was_dropped_or_changed_before_the_run_is_found_by_the_proof(
    change: Callable[[pl.DataFrame], pl.DataFrame], proved: Path, tmp_path: Path
) -> None:
    """The rewrite that making the run again cannot find, because the run was made of it."""
    asked = unpacked(proved, tmp_path)
    inputs = tmp_path / "run" / "inputs"
    data = _parquet(change(pl.read_parquet(inputs / LOGS)))
    (inputs / LOGS).write_bytes(data)
    stated = json.loads((inputs / RANGE).read_text())
    (inputs / RANGE).write_text(json.dumps({**stated, "sha256": hashlib.sha256(data).hexdigest()}))
    level = checks.proof(asked)
    assert (level.result, level.code) == ("FAIL", 1)
    assert len(level.differences) == 1
    assert level.differences[0].where.startswith("block ")


def test_a_chain_that_was_rewritten_whole_is_told_by_the_anchor_alone(proved: Path, tmp_path: Path) -> None:
    """Another last header: its own chain is consistent, and only its hash, pinned elsewhere, is another."""
    asked = unpacked(proved, tmp_path)
    inputs = tmp_path / "run" / "inputs"
    stated = json.loads((inputs / RANGE).read_text())
    (inputs / RANGE).write_text(json.dumps({**stated, "proved": {"all": [stated["first"], "0x" + "11" * 32]}}))
    level = checks.proof(asked)
    assert level.result == "FAIL"
    assert "0x" + "11" * 32 in level.differences[0].published


def test_a_proved_run_is_not_packed_without_its_proof(proved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--store FOLDER"):
        bundle.bundle(proved / "run", tmp_path)


@pytest.mark.parametrize("lies", [False, True])
def test_a_node_is_asked_for_hashes_of_blocks(lies: bool, published_rehearsal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(pl.read_parquet(published_rehearsal / EVENTS_FILE).select("block_number", "block_hash").unique().iter_rows())
    last = max(known)

    def answer(method: str, params: list[Any], result: Any, batched: bool) -> dict[str, Any] | None:
        if method != "eth_getBlockByNumber":
            return None
        number = int(params[0], 16)
        return {"result": {**result, "hash": "0x" + "22" * 32 if lies and number == last else known.get(number)}}

    urls = installed(monkeypatch, FakeNode(spoil=answer), FakeNode(spoil=answer))
    level = checks.rpc(Asked(absolute(published_rehearsal), None, ("rpc",), tuple(urls)))
    assert level.said == "chain 100 and the hashes of 10 blocks by 2 nodes"
    assert level.result == ("FAIL" if lies else "PASS")
    assert {one.where for one in level.differences} == ({f"block {last}"} if lies else set())
    assert "secret" not in str(level)


def test_a_node_of_another_chain_or_none_cannot_check(published_rehearsal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = FakeNode(spoil=lambda method, *_: {"result": "0x1"} if method == "eth_chainId" else None)
    urls = installed(monkeypatch, other)
    with pytest.raises(InputError, match="node of chain 1") as refused:
        checks.rpc(Asked(absolute(published_rehearsal), None, ("rpc",), tuple(urls)))
    assert refused.value.exit_code == 3
    assert "secret" not in str(refused.value)
