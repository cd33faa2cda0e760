"""A run that was fetched with --prove from a running chain: its bundle proves itself offline, and nodes confirm it or say otherwise."""

import hashlib
import json
import re
import shutil
from functools import partial
from pathlib import Path

import polars as pl
import pytest

import perpcomp
from perpcomp import pipeline
from perpcomp.audit import bundle, checks, levels, nodes
from perpcomp.audit.in_child import Asked
from perpcomp.audit.level import Level
from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node import pull as puller
from perpcomp.ingest.node.held import Options
from perpcomp.ingest.node.store import LOGS, RANGE, _parquet
from perpcomp.input import Input
from perpcomp.systems.perpetual_v1.events import FUNDING_RATE_UPDATED, TOPICS
from tests.chain.faults import KINDS, Fault
from tests.chain.proxy import Proxy
from tests.chain.test_fetch import SMALL
from tests.chain.traded import TradedChain


@pytest.fixture(scope="module")
def about(crash_chain: TradedChain, tmp_path_factory: pytest.TempPathFactory) -> Incident:
    folder = tmp_path_factory.mktemp("query")
    return incident_file.parse(re.sub(r"\[input\]\nfile = .*\n", "", crash_chain.incident()).encode(), "live", folder)


def fetched(about: Incident, url: str, chain: TradedChain, folder: Path, prove: str | None) -> Path:
    """The folder of a run on the logs that a node gives."""
    how = Options(folder / "store", (chain.first_block, chain.last_block), prove=prove, settings=SMALL)
    file = puller.fetch(about, sorted(TOPICS), [url], how).file
    return published(about, file, folder)


def published(about: Incident, file: Path, folder: Path) -> Path:
    perpcomp.publish_run(pipeline.compute(about, Input(file, None)), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def proved(crash_chain: TradedChain, about: Incident, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetched(about, crash_chain.url, crash_chain, tmp_path_factory.mktemp("proved"), "all")


def results(run: Path, *urls: str) -> tuple[dict[str, str], levels.Report]:
    """Of its bundle: the result of each level, and the report."""
    (packed := run.with_name("run.zip")).write_bytes(bundle.bundle(run))
    report = levels.check_levels(packed, levels.Asked(urls))
    return {level.name: level.result for level in report.levels}, report


def test_a_bundle_proves_its_logs_offline_and_a_node_confirms_it(crash_chain: TradedChain, proved: Path) -> None:
    found, report = results(proved, crash_chain.url)
    assert found == {"integrity": "PASS", "recompute": "PASS", "proof": "PASS", "rpc": "PASS", "claims": "SKIPPED", "sheet": "SKIPPED"}
    blocks = crash_chain.last_block - crash_chain.first_block + 1
    assert report.levels[2].said.startswith(
        f"{blocks} headers, blocks {crash_chain.first_block} to {crash_chain.last_block} with the hash 0x"
    )
    wanted = [log for log in crash_chain.logs() if log["address"].lower() in {crash_chain.clearing_house, *crash_chain.markets.values()}]
    said = re.search(r"([\d,]+) logs of blocks (\d+) to (\d+), by 1 node", report.levels[3].said)
    assert said is not None
    count = sum(log["topics"][0] in TOPICS for log in wanted)
    assert [int(n.replace(",", "")) for n in said.groups()] == [count, crash_chain.first_block, crash_chain.last_block]


def test_a_log_that_was_dropped_with_every_hash_brought_in_line_is_found_by_the_proof_alone(
    crash_chain: TradedChain, about: Incident, proved: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(proved.parent / "store", tmp_path / "store"))
    logs = pl.read_parquet(store / LOGS)
    lost = logs.row(logs.height // 2, named=True)
    data = _parquet(logs.filter(pl.col("row") != lost["row"]))
    (store / LOGS).write_bytes(data)
    said = json.loads((store / RANGE).read_text())
    (store / RANGE).write_text(json.dumps({**said, "sha256": hashlib.sha256(data).hexdigest()}))
    found, report = results(published(about, store / LOGS, tmp_path))
    assert (found["integrity"], found["recompute"], found["proof"]) == ("PASS", "PASS", "FAIL")
    assert report.code == 1
    (difference,) = report.differences
    assert difference.where == f"block {lost['block_number']} log {lost['log_index']}"
    assert difference.published.startswith(f"The log is missing: {lost['address']} logged topic0 {lost['topic0']} here.")


def test_a_run_on_the_logs_of_a_lying_node_is_told_by_an_honest_one(crash_chain: TradedChain, about: Incident, tmp_path: Path) -> None:
    """Without --prove, and without a contradiction in what is left."""
    lost = next(log for log in crash_chain.logs() if log["topics"][0] == FUNDING_RATE_UPDATED.topic0)
    place = (lost["blockNumber"], lost["logIndex"])
    fault = Fault("drop-log", permanent=True, where=lambda log: (log["blockNumber"], log["logIndex"]) == place)
    with Proxy(crash_chain.url, [fault]) as proxy:
        run = fetched(about, proxy.url, crash_chain, tmp_path, None)
    level = asked_of(run, crash_chain.url)
    assert level.result == "FAIL"
    (difference,) = level.differences
    assert difference.where == f"block {int(place[0], 16)} log {int(place[1], 16)}"
    assert difference.published == "no such log"


def asked_of(run: Path, *urls: str) -> Level:
    return checks.rpc(Asked(str(run), ("rpc",), urls))


def answer(run: Path, url: str) -> str:
    """The result, or SKIPPED and the exit code."""
    try:
        return asked_of(run, url).result
    except InputError as error:
        return f"SKIPPED {error.exit_code}"


LYING = ("drop-log", "alter-data", "empty-range", "reorg", "wrong-chain-id")  # the answer itself does not show it
REFUSED = ("wrong-chain-id", "http-401")
OF_OTHER_REQUESTS = ("refuse", "null-receipts", "silent-cap")  # test_fetch.py tries them


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - OF_OTHER_REQUESTS))
def test_a_node_that_lies_differs_and_one_that_stumbles_confirms_the_run(
    kind: str, crash_chain: TradedChain, proved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node of another chain is no witness. No fault is taken for the run's."""
    monkeypatch.setattr(nodes, "Options", partial(Options, settings=SMALL, timeout=0.4, patience=0.005, attempts=8))
    fault = Fault(kind, seed=1, delay=0.05, retry_after=1, limit=50, permanent=kind in LYING)
    with Proxy(crash_chain.url, [fault]) as proxy:
        assert answer(proved, proxy.url) == ("SKIPPED 3" if kind in REFUSED else "FAIL" if kind in LYING else "PASS")
        assert proxy.hits[kind]
