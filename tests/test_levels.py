"""The levels that ask more than the files: headers and receipts in a bundle, and nodes."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from eth_hash.auto import keccak

import perpcomp
from perpcomp.audit import bundle, checks, levels
from perpcomp.audit.in_child import Asked
from perpcomp.audit.level import Level
from perpcomp.audit.nodes import logs_of
from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.ingest.node.held import subject
from perpcomp.ingest.node.store import LOGS, RANGE, _parquet
from perpcomp.ingest.proof.evidence import _as_returned
from perpcomp.ingest.proof.headers import encode_header
from perpcomp.ingest.proof.kept import folder_of
from perpcomp.ingest.proof.receipts import encode_receipts, ordered_root, receipt_values
from perpcomp.input import Input, pieces_of_any_contract
from perpcomp.publish.files import EVENTS_FILE
from perpcomp.publish.stated import MANIFEST
from perpcomp.systems.perpetual_v1.events import POSITION_CHANGED
from perpcomp.systems.system import find
from tests.commands import call
from tests.conftest import LAB
from tests.fake_node import FakeNode, block_hash, installed

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
    (place / "run.zip").write_bytes(bundle.bundle(place / "run"))
    return place


def results(report: levels.Report) -> dict[str, str]:
    return {level.name: level.result for level in report.levels}


def test_headers_and_receipts_in_the_bundle_prove_its_logs(proved: Path) -> None:
    report = levels.check_levels(proved / "run.zip", levels.Asked())
    assert [results(report)[name] for name in ("integrity", "recompute", "proof")] == ["PASS"] * 3, report
    assert "logs proved complete and unaltered" in report.levels[2].said
    stated = json.loads((proved / "store" / RANGE).read_text())
    said = json.loads((proved / "run" / MANIFEST).read_text())["predicate"]["proof"]
    assert said == {"first": str(stated["first"]), "last": str(stated["last"]), "anchor": stated["proved"]["all"][1]}


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
    """The rewrite that making the run again cannot find, because the run was made of it, with every hash."""
    store = Path(shutil.copytree(proved / "store", tmp_path / "store"))
    data = _parquet(change(pl.read_parquet(store / LOGS)))
    (store / LOGS).write_bytes(data)
    stated = json.loads((store / RANGE).read_text())
    (store / RANGE).write_text(json.dumps({**stated, "sha256": hashlib.sha256(data).hexdigest()}))
    perpcomp.publish_run(perpcomp.compute("rehearsal", store / LOGS), tmp_path / "run")
    (tmp_path / "run.zip").write_bytes(bundle.bundle(tmp_path / "run"))
    report = levels.check_levels(tmp_path / "run.zip", levels.Asked())
    assert [results(report)[name] for name in ("integrity", "recompute", "proof")] == ["PASS", "PASS", "FAIL"]
    assert report.code == 1
    (difference,) = report.differences
    assert difference.where.startswith("block ")


def test_a_chain_that_was_rewritten_whole_is_told_by_the_anchor_alone(proved: Path, tmp_path: Path) -> None:
    """Another last header: its own chain is consistent, and only its hash, pinned elsewhere, is another."""
    inputs = Path(shutil.copytree(proved / "run", tmp_path / "run")) / "inputs"
    stated = json.loads((inputs / RANGE).read_text())
    (inputs / RANGE).write_text(json.dumps({**stated, "proved": {"all": [stated["first"], "0x" + "11" * 32]}}))
    level = checks.proof(Asked(str(tmp_path / "run"), ("proof",)))
    assert level.result == "FAIL"
    assert "0x" + "11" * 32 in level.differences[0].published


def test_a_proved_run_is_not_published_without_its_proof(proved: Path, tmp_path: Path) -> None:
    for name in (LOGS, RANGE):
        shutil.copy(proved / "store" / name, tmp_path)
    run = perpcomp.compute("rehearsal", tmp_path / LOGS)
    with pytest.raises(InputError, match=r"headers\.bin: The logs were proved, but their headers are not there"):
        perpcomp.publish_run(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Nodes.

LAST = 13_502_500  # the newest block of the nodes here


@dataclass
class Recorded(FakeNode):
    """A node of the rehearsal's chain. It has lost the logs at `lost` and made up another last digit of those at `altered`."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    lost: Collection[int] = ()
    altered: Collection[int] = ()
    other_hash: int | None = None
    empty: str = ""  # a contract without code

    def truth(self, method: str, params: list[Any]) -> Any:
        if method == "eth_blockNumber":
            return hex(LAST)
        if method == "eth_getCode":
            return "0x" if params[0] == self.empty else "0x6001"
        if method == "eth_getBlockByNumber":
            return self.header(int(params[0], 16))
        if method != "eth_getLogs":
            return super().truth(method, params)
        first, last = (int(params[0][key], 16) for key in ("fromBlock", "toBlock"))
        return [
            {**row, "data": row["data"][:-1] + "0123456789abcdef"[int(row["data"][-1], 16) ^ 1]} if n in self.altered else row
            for n, row in enumerate(self.rows)
            if first <= int(row["blockNumber"], 16) <= last and n not in self.lost
        ]

    @cached_property
    def blocks(self) -> dict[int, tuple[str, str]]:
        return {int(row["blockNumber"], 16): (row["blockHash"], row["blockTimestamp"]) for row in self.rows}

    def header(self, number: int) -> dict[str, Any]:
        before = max((n for n in self.blocks if n <= number), default=min(self.blocks))
        made_up = (block_hash(number), hex(int(self.blocks[before][1], 16) + 5 * (number - before)))
        hashed, time = self.blocks.get(number, made_up)
        if number == self.other_hash:
            hashed = "0x" + "22" * 32
        parent = self.blocks.get(number - 1, (block_hash(number - 1),))[0]
        return {"hash": hashed, "parentHash": parent, "number": hex(number), "timestamp": time}


@pytest.fixture(scope="module")
def recorded(published_rehearsal: Path) -> list[dict[str, Any]]:
    frame = logs_of(perpcomp.published(published_rehearsal))
    assert frame is not None
    return list(_as_returned(frame))


def asked_of(run: Path, *urls: str) -> Level:
    return checks.rpc(Asked(str(run), ("rpc",), urls))


def test_nodes_with_the_same_logs_pass_and_what_was_compared_is_counted(
    published_rehearsal: Path, recorded: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = installed(monkeypatch, Recorded(rows=recorded), Recorded(rows=recorded))
    level = asked_of(published_rehearsal, *urls)
    assert (level.result, level.differences) == ("PASS", ())
    last = int(recorded[-1]["blockNumber"], 16)
    said = re.fullmatch(
        r"chain 100, the hashes of 10 blocks, the code of (\d) contracts, ([\d,]+) logs of blocks (\d+) to (\d+), by 2 nodes", level.said
    )
    assert said is not None, level.said
    assert (int(said[1]), said[2]) == (len({row["address"] for row in recorded}), f"{len(recorded):,}")
    assert int(said[3]) <= int(recorded[0]["blockNumber"], 16) <= last <= int(said[4])


def test_a_node_that_says_otherwise_is_named_with_the_place(
    published_rehearsal: Path, recorded: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that it has not, one with another amount, a contract without code; and a log that the run's input lacks."""
    places = [f"block {int(row['blockNumber'], 16)} log {int(row['logIndex'], 16)}" for row in recorded]
    more = {**recorded[70], "logIndex": hex(900), "transactionIndex": hex(90)}
    liar = Recorded(rows=[*recorded[:71], more, *recorded[71:]], lost=[50], altered=[60], empty=recorded[0]["address"])
    (url,) = installed(monkeypatch, liar)
    level = asked_of(published_rehearsal, url)
    assert level.result == "FAIL"
    found = {one.where: (one.published, one.recomputed) for one in level.differences}
    assert found[f"code of {recorded[0]['address']}"] == ("a contract", "no code by http://node0.test")
    assert found[places[50]] == ("a log", "no such log by http://node0.test")
    assert found[places[70].partition(" log")[0] + " log 900"] == ("no such log", "a log by http://node0.test")
    assert found[f"{places[60]} data"][0] == recorded[60]["data"]
    assert len(found) == 4
    assert "secret" not in str(level)


def test_events_that_another_tool_decoded_are_compared_as_events(
    published_rehearsal: Path, recorded: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    perpcomp.publish_run(perpcomp.compute("rehearsal", published_rehearsal / "1-events.csv"), run)
    changed = next(n for n, row in enumerate(recorded) if row["topics"][0] == POSITION_CHANGED.topic0)
    urls = installed(monkeypatch, Recorded(rows=recorded), Recorded(rows=recorded, altered=[changed]))
    level = asked_of(run, urls[0])
    assert level.result == "PASS", level
    assert f", {pl.read_parquet(run / EVENTS_FILE).height} events of blocks 13500000 to " in level.said
    (difference,) = asked_of(run, urls[1]).differences
    place = f"block {int(recorded[changed]['blockNumber'], 16)} log {int(recorded[changed]['logIndex'], 16)}"
    assert difference.where == f"{place} funding_payment"


def test_another_block_at_the_end_is_another_chain(
    published_rehearsal: Path, recorded: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash of the last block with a trade stands for everything before it."""
    last = pl.read_parquet(published_rehearsal / EVENTS_FILE).get_column("block_number").max()
    moved = [{**row, "blockHash": "0x" + "22" * 32} if int(row["blockNumber"], 16) == last else row for row in recorded]
    (url,) = installed(monkeypatch, Recorded(rows=moved))
    level = asked_of(published_rehearsal, url)
    assert {one.where.split(" log")[0] for one in level.differences} == {f"block {last}"}
    assert f"block {last}" in {one.where for one in level.differences}


def test_a_node_of_another_chain_or_none_cannot_check(published_rehearsal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = FakeNode(spoil=lambda method, *_: {"result": "0x1"} if method == "eth_chainId" else None)
    urls = installed(monkeypatch, other)
    with pytest.raises(InputError, match="node of chain 1") as refused:
        asked_of(published_rehearsal, *urls)
    assert refused.value.exit_code == 3
    assert "secret" not in str(refused.value)


# A sheet that was passed on.


def test_a_sheet_that_was_passed_on_is_a_level(published_rehearsal: Path, packed: Path) -> None:
    same, other = packed.with_name("same.xlsx"), packed.with_name("payouts.csv")
    shutil.copy(published_rehearsal / "vote.xlsx", same)
    table = (published_rehearsal / "3-payouts.csv").read_text()
    other.write_text(table.replace("704968747833953461691", "704968747833953461692"))
    done = call("verify", "r.zip", "--sheet", "same.xlsx", cwd=packed.parent)
    assert done.returncode == 0
    assert "sheet PASS: same.xlsx is the file of the run, unchanged. It does not prove how" in done.stderr
    done = call("verify", "r.zip", "--sheet", "payouts.csv", "--json", cwd=packed.parent)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [one["result"] for one in found["levels"]] == ["PASS", "PASS", "SKIPPED", "SKIPPED", "SKIPPED", "FAIL"]
    (difference,) = found["differences"]
    assert difference["where"].startswith("payouts.csv ")
    assert (difference["published"][-1], difference["recomputed"][-1]) == ("2", "1")
    done = call("verify", "r.zip", "--sheet", "nowhere.xlsx", cwd=packed.parent)
    assert done.returncode == 2
    assert "nowhere.xlsx: There is no such file." in done.stderr
