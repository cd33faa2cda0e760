"""Each fault does what it says, seen by plain HTTP: a client's tests are worth no more than these."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.chain.faults import KINDS, Fault
from tests.chain.fork import header_hash
from tests.chain.proxy import Proxy
from tests.chain.refusals import REFUSALS
from tests.chain.rpc import Rpc
from tests.chain.traded import LIQUIDATED, TradedChain
from tests.conftest import LAB

ALWAYS: dict[str, Any] = {"permanent": True}
ONCE: dict[str, Any] = {"times": 1, "within": 1}


def post(url: str, body: Any, timeout: float = 10) -> tuple[HTTPResponse, bytes]:
    """One POST on a connection of its own."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    try:
        connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def call(method: str, *params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}


def ask(proxy: Proxy, method: str, *params: Any) -> Any:
    """The whole JSON answer of one call."""
    response, body = post(proxy.url, call(method, *params))
    assert response.status == 200
    return json.loads(body)


@pytest.fixture(scope="module")
def every(crash_chain: TradedChain) -> dict[str, Any]:
    """The eth_getLogs parameter that takes in the whole chain."""
    return {"fromBlock": hex(crash_chain.first_block), "toBlock": hex(crash_chain.last_block)}


@pytest.fixture(scope="module")
def true_logs(crash_chain: TradedChain) -> list[dict[str, Any]]:
    return crash_chain.logs()


class Probe:
    """Makes proxies with one fault each, and reads the logs through them."""

    def __init__(self, chain: TradedChain, every: dict[str, Any], stack: ExitStack) -> None:
        self.chain, self.every, self._stack = chain, every, stack

    def __call__(self, kind: str, **terms: Any) -> Proxy:
        return self._stack.enter_context(Proxy(self.chain.url, [Fault(kind, **terms)]))

    def logs(self, proxy: Proxy) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = ask(proxy, "eth_getLogs", self.every)["result"]
        return result


@pytest.fixture
def probe(crash_chain: TradedChain, every: dict[str, Any]) -> Iterator[Probe]:
    with ExitStack() as stack:
        yield Probe(crash_chain, every, stack)


def test_without_faults_it_is_the_node(crash_chain: TradedChain, every: dict[str, Any], true_logs: list[dict[str, Any]]) -> None:
    with Proxy(crash_chain.url) as proxy:
        assert ask(proxy, "eth_getLogs", every) == {"jsonrpc": "2.0", "id": 7, "result": true_logs}
        assert ask(proxy, "eth_chainId")["result"] == "0x64"
        assert ask(proxy, "no_such_method")["error"]["code"] == -32601
        _, body = post(proxy.url, [call("eth_chainId"), call("eth_blockNumber")])
        assert [row["result"] for row in json.loads(body)] == ["0x64", hex(crash_chain.last_block)]
        assert proxy.counts == {"eth_getLogs": 1, "eth_chainId": 2, "no_such_method": 1, "eth_blockNumber": 1}
        assert proxy.requests[0].params == [every]
        assert not proxy.hits
        assert proxy.at_once == 1


def test_a_log_is_dropped_everywhere_the_same(probe: Probe, true_logs: list[dict[str, Any]]) -> None:
    proxy = probe("drop-log", seed=5, where=lambda log: log["topics"][0] == LIQUIDATED, **ALWAYS)
    logs = probe.logs(proxy)
    (missing,) = [log for log in true_logs if log not in logs]
    assert missing["topics"][0] == LIQUIDATED
    assert len(logs) == len(true_logs) - 1
    assert probe.logs(proxy) == logs
    one = ask(proxy, "eth_getLogs", {"blockHash": missing["blockHash"]})["result"]
    assert one == [log for log in logs if log["blockHash"] == missing["blockHash"]]
    assert proxy.hits == {"drop-log": 3}


def test_a_log_may_be_dropped_from_receipts_too(probe: Probe, true_logs: list[dict[str, Any]]) -> None:
    proxy = probe("drop-log", methods=("eth_getLogs", "eth_getBlockReceipts", "eth_getTransactionReceipt"), **ALWAYS)
    logs = probe.logs(proxy)
    (missing,) = [log for log in true_logs if log not in logs]
    receipts = ask(proxy, "eth_getBlockReceipts", missing["blockNumber"])["result"]
    assert missing["logIndex"] not in [log["logIndex"] for receipt in receipts for log in receipt["logs"]]
    receipt = ask(proxy, "eth_getTransactionReceipt", missing["transactionHash"])["result"]
    assert missing["logIndex"] not in [log["logIndex"] for log in receipt["logs"]]


def test_an_answer_is_capped_without_a_word(probe: Probe, true_logs: list[dict[str, Any]]) -> None:
    proxy = probe("silent-cap", limit=50, **ALWAYS)
    assert probe.logs(proxy) == true_logs[:50]
    one = {"blockHash": true_logs[0]["blockHash"]}
    assert ask(proxy, "eth_getLogs", one)["result"] == [log for log in true_logs if log["blockHash"] == one["blockHash"]]
    assert proxy.hits == {"silent-cap": 1}


def test_one_byte_of_data_is_altered(probe: Probe, true_logs: list[dict[str, Any]]) -> None:
    proxy = probe("alter-data", **ALWAYS)
    (pair,) = [(a, b) for a, b in zip(true_logs, probe.logs(proxy), strict=True) if a != b]
    before, after = (bytes.fromhex(log["data"][2:]) for log in pair)
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    assert {**pair[0], "data": ""} == {**pair[1], "data": ""}


def test_a_log_is_duplicated_removed_or_out_of_order(probe: Probe, true_logs: list[dict[str, Any]]) -> None:
    doubled = probe.logs(probe("duplicate-log", **ALWAYS))
    assert len(doubled) == len(true_logs) + 1
    assert [log for n, log in enumerate(doubled) if n == 0 or log != doubled[n - 1]] == true_logs
    marked = probe.logs(probe("removed-log", **ALWAYS))
    assert [log["removed"] for log in marked].count(True) == 1
    disordered = probe.logs(probe("out-of-order", **ALWAYS))
    assert disordered != true_logs
    assert sorted(disordered, key=lambda log: (log["blockNumber"], int(log["logIndex"], 16))) == true_logs


def test_an_answer_is_empty_null_or_another_one(probe: Probe, true_logs: list[dict[str, Any]]) -> None:
    assert probe.logs(probe("empty-range", **ALWAYS)) == []
    answer = ask(probe("null-result", **ALWAYS), "eth_getLogs", probe.every)
    assert answer == {"jsonrpc": "2.0", "id": 7, "result": None}
    other = probe("wrong-chain-id", **ALWAYS)
    assert ask(other, "eth_chainId")["result"] == "0x1"
    assert ask(other, "net_version")["result"] == "1"
    answer = ask(probe("wrong-id", **ALWAYS), "eth_getLogs", probe.every)
    assert answer == {"jsonrpc": "2.0", "id": 8, "result": true_logs}
    other = probe("other-type", **ALWAYS)
    assert ask(other, "eth_getLogs", probe.every)["result"] == {}
    assert ask(other, "eth_chainId")["result"] == []
    spoilt = probe("other-type-of-field", **ONCE)
    changed, true = (ask(spoilt, "eth_getBlockByNumber", hex(probe.chain.reference_block), False)["result"] for _ in range(2))
    assert sum(changed[name] != value for name, value in true.items()) == 1
    receipts = probe("null-receipts", **ALWAYS)
    assert ask(receipts, "eth_getBlockReceipts", true_logs[0]["blockNumber"])["result"] is None
    assert ask(receipts, "eth_getTransactionReceipt", true_logs[0]["transactionHash"])["result"] is None


def test_a_range_without_logs_is_no_place_for_a_fault_of_logs(probe: Probe) -> None:
    for kind in ("empty-range", "drop-log"):
        proxy = probe(kind, **ONCE)
        block = hex(probe.chain.reference_block)
        assert ask(proxy, "eth_getLogs", {"fromBlock": block, "toBlock": block})["result"] == []
        assert proxy.pending == [kind]


def test_keys_stand_twice(probe: Probe, true_logs: list[dict[str, Any]]) -> None:
    _, body = post(probe("doubled-keys", **ALWAYS).url, call("eth_getLogs", probe.every))
    pairs = json.loads(body, object_pairs_hook=lambda found: found)
    assert [name for name, _ in pairs] == ["jsonrpc", "id", "result", "result"]
    assert json.loads(body)["result"] == []
    _, body = post(probe("doubled-log-keys", **ALWAYS).url, call("eth_getLogs", probe.every))
    rows = dict(json.loads(body, object_pairs_hook=lambda found: found))["result"]
    assert sum([name for name, _ in row].count("data") == 2 for row in rows) == 1
    assert json.loads(body)["result"] != true_logs


@pytest.mark.parametrize("status", [401, 429, 500, 502])
def test_http_says_no(probe: Probe, status: int) -> None:
    proxy = probe(f"http-{status}", **ONCE)
    response, body = post(proxy.url, call("eth_chainId"))
    assert response.status == status
    assert response.getheader("Retry-After") is None
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert ask(proxy, "eth_chainId")["result"] == "0x64"
    assert proxy.pending == []


def test_who_comes_back_before_retry_after_is_turned_away_again(probe: Probe) -> None:
    proxy = probe("http-429-retry-after", retry_after=1, **ONCE)
    response, _ = post(proxy.url, call("eth_chainId"))
    assert (response.status, response.getheader("Retry-After")) == (429, "1")
    assert post(proxy.url, call("eth_chainId"))[0].status == 429
    time.sleep(1.05)
    assert ask(proxy, "eth_chainId")["result"] == "0x64"
    assert proxy.hits == {"http-429-retry-after": 2}


def test_an_answer_comes_late_or_never(probe: Probe) -> None:
    start = time.monotonic()
    assert ask(probe("late", delay=0.2, **ONCE), "eth_chainId")["result"] == "0x64"
    assert time.monotonic() - start >= 0.2
    proxy = probe("never", **ONCE)
    with pytest.raises(TimeoutError):
        post(proxy.url, call("eth_chainId"), timeout=0.2)
    assert ask(proxy, "eth_chainId")["result"] == "0x64"


def test_a_body_ends_early_or_is_a_page(probe: Probe) -> None:
    response, body = post(probe("truncated-json", **ALWAYS).url, call("eth_getLogs", probe.every))
    assert response.status == 200
    assert body.startswith(b'{"jsonrpc"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    with pytest.raises(IncompleteRead):
        post(probe("cut-connection", **ALWAYS).url, call("eth_getLogs", probe.every))
    response, body = post(probe("html", **ALWAYS).url, call("eth_chainId"))
    assert response.getheader("Content-Type") == "text/html; charset=utf-8"
    assert body.startswith(b"<!DOCTYPE html>")


def refused(proxy: Proxy, first: int, last: int) -> tuple[str, list[dict[str, Any]]]:
    """(the words of the refusal or '', the logs)."""
    response, body = post(proxy.url, call("eth_getLogs", {"fromBlock": hex(first), "toBlock": hex(last)}))
    if response.status != 200:
        return body.decode(), []
    answer = json.loads(body)
    return (answer["error"]["message"], []) if "error" in answer else ("", answer["result"])


@pytest.mark.parametrize("wording", [name for name, refusal in REFUSALS.items() if refusal.rule == "width"])
def test_a_limit_of_width_is_kept(probe: Probe, wording: str) -> None:
    proxy, first = probe("refuse", wording=wording, limit=15), probe.chain.first_block
    said, _ = refused(proxy, first, first + 15)
    assert said
    assert "{" not in said
    assert refused(proxy, first, first + 14)[0] == ""
    assert refused(proxy, first + 1, first + 16)[0], "a limit stays in force"
    if wording == "alchemy-range":
        assert said.endswith(f"[{hex(first)}, {hex(first + 14)}]")
    if wording == "reth-own-width":
        assert said.endswith(" 16")


@pytest.mark.parametrize("wording", [name for name, refusal in REFUSALS.items() if refusal.rule == "results"])
def test_a_limit_of_results_is_kept(probe: Probe, wording: str, true_logs: list[dict[str, Any]]) -> None:
    limit = 60
    proxy, chain = probe("refuse", wording=wording, limit=limit), probe.chain
    said, _ = refused(proxy, chain.first_block, chain.last_block)
    assert said
    if "[" in said:  # what it suggests succeeds, and one block more would not
        first, last = (int(part.strip(" []."), 16) for part in said[said.index("[") :].split(","))
        assert first == chain.first_block
        assert refused(proxy, first, last)[0] == ""
        assert refused(proxy, first, last + 1)[0]
    numbers = [int(log["blockNumber"], 16) for log in true_logs]
    fullest = max(set(numbers), key=numbers.count)
    assert numbers.count(fullest) < limit
    tight = probe("refuse", wording=wording, limit=numbers.count(fullest) - 1)
    assert refused(tight, fullest, fullest)[0], "a single block can be too much"


@pytest.mark.parametrize("wording", [name for name, refusal in REFUSALS.items() if not refusal.always])
def test_other_refusals_pass(probe: Probe, wording: str) -> None:
    proxy, chain = probe("refuse", wording=wording, times=2, within=2), probe.chain
    assert [bool(refused(proxy, chain.first_block, chain.last_block)[0]) for _ in range(4)] == [True, True, False, False]


def test_the_wordings_are_those_of_the_catalogue() -> None:
    """Numbers apart, every case that was met in the wild can be played."""

    def shape(message: str) -> str:
        return re.sub(r"0[xX][0-9a-fA-F]+|\d[\d,]*", "#", message)

    numbers = {"limit": 5_000, "width": 10_000, "first": 1, "last": 2}
    ours = {shape(refusal.message.format(**numbers)) for refusal in REFUSALS.values()}
    cases = json.loads((LAB / "rpc-errors.json").read_text())["cases"]
    assert {shape(case["message"]) for case in cases} == ours


def test_a_reorg_shows_another_valid_end_and_then_the_chain(probe: Probe, true_logs: list[dict[str, Any]]) -> None:
    chain = probe.chain
    at = chain.last_block - 10
    proxy = probe("reorg", at=at, times=5, within=5)
    forked = [ask(proxy, "eth_getBlockByNumber", hex(n), False)["result"] for n in range(at - 1, chain.last_block + 1)[:4]]
    for before, block in pairwise(forked):
        assert header_hash(block) == block["hash"]
        assert block["parentHash"] == before["hash"]
    real = Rpc(chain.url)("eth_getBlockByNumber", hex(at), False)
    assert forked[0]["hash"] == real["parentHash"], "the block before is on both"
    assert forked[1]["hash"] != real["hash"]
    logs = probe.logs(proxy)
    assert [{**log, "blockHash": ""} for log in logs] == [{**log, "blockHash": ""} for log in true_logs]
    changed = {int(a["blockNumber"], 16) for a, b in zip(logs, true_logs, strict=True) if a != b}
    assert changed
    assert min(changed) >= at
    same = ask(proxy, "eth_getBlockByHash", forked[1]["hash"], False)["result"]
    assert same == forked[1]
    # Settled: the fork's blocks are not known any more.
    assert probe.logs(proxy) == true_logs
    assert ask(proxy, "eth_getBlockByHash", forked[1]["hash"], False)["result"] is None
    assert ask(proxy, "eth_getLogs", {"blockHash": forked[1]["hash"]})["error"]["message"] == "unknown block"
    assert proxy.pending == []


def test_the_seed_alone_says_when_and_what(crash_chain: TradedChain, every: dict[str, Any]) -> None:
    def pattern(seed: int) -> list[int]:
        lengths = []
        with Proxy(crash_chain.url, [Fault("drop-log", seed=seed, within=6), Fault("empty-range", seed=seed, within=6)]) as proxy:
            for _ in range(8):
                lengths.append(len(ask(proxy, "eth_getLogs", every)["result"]))
            assert proxy.pending == []
            assert 1 <= proxy.hits["drop-log"] <= 3
            assert 1 <= proxy.hits["empty-range"] <= 3
        return lengths

    found = [pattern(seed) for seed in range(6)]
    assert found == [pattern(seed) for seed in range(6)]
    assert len({tuple(lengths) for lengths in found}) > 3


def test_faults_come_together(crash_chain: TradedChain, every: dict[str, Any], true_logs: list[dict[str, Any]]) -> None:
    faults = [Fault("http-500", **ONCE), Fault("refuse", wording="any-429", **ONCE), Fault("drop-log", **ONCE)]
    with Proxy(crash_chain.url, faults) as proxy:
        statuses = [post(proxy.url, call("eth_getLogs", every))[0].status for _ in range(2)]
        assert statuses == [500, 429]
        assert len(ask(proxy, "eth_getLogs", every)["result"]) == len(true_logs) - 1
        assert ask(proxy, "eth_getLogs", every)["result"] == true_logs


def test_every_kind_is_tested_here() -> None:
    text = Path(__file__).read_text()
    assert not [kind for kind in KINDS if f'"{kind}"' not in text and not kind.startswith("http-")]
