"""Fetching without a chain: silent caps are exposed, and whatever a node refuses ends in the logs or in words."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from perpcomp.findings import InputError
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node import fetch as fetching
from perpcomp.ingest.node import pull
from perpcomp.ingest.node.fetch import may_be_capped
from perpcomp.ingest.node.held import Options
from perpcomp.ingest.node.segments import grid
from tests.build import made_up
from tests.fake_node import ADDRESS, HEAD, SETTINGS, TOPIC, FakeNode, Reply, installed, true_logs, windows

ALL = true_logs(FakeNode())


def places(frame: Any) -> list[tuple[int, int]]:
    return list(frame.select("block_number", "log_index").iter_rows())


# Silent caps


def capped_at(most: int) -> Any:
    return lambda method, _, result, __: {"result": result[:most]} if method == "eth_getLogs" else None


@pytest.mark.parametrize("cap", [50, 64, 100, 150, 200, 250, 300, 350])
@pytest.mark.parametrize("window", [50, 130, 400])
def test_a_silent_cap_loses_no_log(monkeypatch: pytest.MonkeyPatch, cap: int, window: int) -> None:
    urls = installed(monkeypatch, FakeNode(capped_at(cap)))
    assert places(windows(urls, settings=fetching.Settings(window, 400, 0))) == ALL


@pytest.mark.parametrize("cap", [50, 100, 1000])
def test_a_silent_cap_below_the_logs_of_one_block_loses_no_log(monkeypatch: pytest.MonkeyPatch, cap: int) -> None:
    node = FakeNode(capped_at(cap), logs_of=lambda number: {7: 1000, 8: 120, 9: 50, 250: 2500}.get(number, 0))
    assert places(windows(installed(monkeypatch, node))) == true_logs(node)


def test_many_capped_answers_in_one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode(capped_at(50), logs_of=lambda number: 40)
    asked = (1, 60)
    assert places(windows(installed(monkeypatch, node), asked, fetching.Settings(400, 400, 0))) == true_logs(node, asked)


def test_an_honest_answer_of_a_round_count_costs_one_more_request(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode(logs_of=lambda number: 1 if number <= 100 else 0)
    assert places(windows(installed(monkeypatch, node), (1, 400), fetching.Settings(400, 400, 0))) == true_logs(node)
    assert node.counts["eth_getLogs"] == 2


@pytest.mark.parametrize("count", [50, 100, 500, 1000, 1024, 2000, 5000, 10_000, 20_000, 50_000])
def test_round_counts(count: int) -> None:
    assert may_be_capped(count)
    assert not may_be_capped(count + 1)


def test_an_empty_answer_after_logs_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def once_empty(method: str, params: list[Any], _: Any, __: bool) -> dict[str, Any] | None:
        if method == "eth_getLogs" and params[0]["fromBlock"] == hex(101) and not seen:
            seen.append(params)
            return {"result": []}
        return None

    assert places(windows(installed(monkeypatch, FakeNode(once_empty)))) == ALL
    assert seen


def test_an_empty_answer_behind_what_an_earlier_fetch_stored_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, incident: Incident, tmp_path: Path
) -> None:
    held = grid((1, HEAD), SETTINGS.segment)[0][1]
    assert fetched(incident, installed(monkeypatch, FakeNode()), tmp_path, last=held) == true_logs(FakeNode(), (1, held))
    seen = []

    def once_empty(method: str, params: list[Any], _: Any, __: bool) -> dict[str, Any] | None:
        if method == "eth_getLogs" and params[0]["fromBlock"] == hex(held + 1) and not seen:
            seen.append(params)
            return {"result": []}
        return None

    assert fetched(incident, installed(monkeypatch, FakeNode(once_empty)), tmp_path, last=HEAD) == ALL
    assert seen


def test_a_node_that_lost_its_index_is_refused(monkeypatch: pytest.MonkeyPatch, incident: Incident, tmp_path: Path) -> None:
    """From block 51 on it answers nothing, also where the range begins at a block whose logs it gave."""

    def lost(method: str, params: list[Any], result: Any, _: bool) -> dict[str, Any] | None:
        return {"result": []} if method == "eth_getLogs" and int(params[0]["toBlock"], 16) > 50 else None

    urls = installed(monkeypatch, FakeNode(lost))
    with pytest.raises(InputError, match="answers differ") as refused:
        fetched(incident, urls, tmp_path)
    assert refused.value.exit_code == 3


# Refusals in any method


@pytest.fixture
def incident(tmp_path: Path) -> Incident:
    return made_up(tmp_path, {"0x" + "aa" * 20: ADDRESS, "id = 100": f'id = 100\ngenesis = "0x{10**6:064x}"'})


LAST = 60  # the last block of these ranges


def fetched(incident: Incident, urls: list[str], folder: Path, prove: str | None = None, last: int = LAST) -> list[tuple[int, int]]:
    options = Options(folder / "store", blocks=(1, last), settings=SETTINGS, patience=0.0005, prove=prove)
    file = pull.fetch(incident, [TOPIC], urls, options).file
    import polars as pl

    return places(pl.read_parquet(file))


ERRORS: list[tuple[Any, str]] = [
    *(
        ({"error": {"code": code, "message": words}}, words)
        for code, words in [
            (-32603, "Internal error"),
            (-32000, "no backend is currently healthy to serve traffic"),
            (-32000, "pruned headers are not available"),
            (-32601, "the method does not exist/is not available"),
            (-32600, "batch requests are not supported"),
            (-32000, "413 Request Entity Too Large"),
            (-32001, "invalid API key"),
            (-32005, "slow down"),
            (-32000, "query returned more than 10000 results"),
            (3, "the moon is in the wrong house"),
        ]
    ),
    ({"error": "Unauthorized: key missing"}, "key missing"),
    ({"error": {"code": "-32000", "message": None, "data": "trie node gone"}}, "trie node gone"),
    ({"message": "You have no plan"}, "You have no plan"),
    ({"result": None}, "without a result"),
    ((200, b'{"error":{"code":-32000,"message":"API key disabled"}}', None), "API key disabled"),
    ((200, b'{"message":"Invalid authentication credentials"}', None), "Invalid authentication credentials"),
    ((200, b"plain words instead of JSON", None), "plain words"),
    ((200, b"", None), "not a JSON-RPC reply"),
    ((204, b"", None), "not a JSON-RPC reply"),
    *(
        ((status, b"<html><body><h1>" + words + b"</h1></body></html>", None), words.decode())
        for status, words in [
            (400, b"Bad Request"),
            (401, b"Unauthorized"),
            (402, b"Payment Required"),
            (403, b"Forbidden"),
            (404, b"Not Found"),
            (405, b"Method Not Allowed"),
            (413, b"Request Entity Too Large"),
            (429, b"Too Many Requests"),
            (500, b"Oops"),
            (501, b"Not Implemented"),
            (502, b"Bad Gateway"),
            (503, b"Service Unavailable"),
            (504, b"Gateway Time-out"),
            (520, b"Unknown Error"),
            (530, b"Origin DNS error"),
        ]
    ),
]
METHODS = ["eth_chainId", "eth_blockNumber", "eth_getBlockByNumber", "eth_getLogs", "eth_getBlockReceipts", "eth_getTransactionReceipt"]
SIXTY = true_logs(FakeNode(), (1, LAST))
NAMES = [repr(error)[:60] for error, _ in ERRORS]


def refusing(method: str, error: Any) -> FakeNode:
    """A node that refuses this method always. Its block 7 has too many logs for one answer, so that receipts are asked."""

    def spoil(asked: str, params: list[Any], result: Any, _: bool) -> dict[str, Any] | Reply | None:
        if asked == method or method == "*":
            return error
        return {"result": result[:50]} if asked == "eth_getLogs" else None

    return FakeNode(spoil, logs_of=lambda number: 60 if number == 7 else number % 3)


HEALTHY = refusing("", None)
WHOLE = true_logs(HEALTHY, (1, LAST))


@pytest.mark.parametrize(("error", "words"), ERRORS, ids=NAMES)
@pytest.mark.parametrize("method", [*METHODS, "*"])
def test_a_refusing_node_ends_in_the_logs_or_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, incident: Incident, tmp_path: Path, method: str, error: Any, words: str
) -> None:
    urls = installed(monkeypatch, refusing(method, error))
    try:
        assert fetched(incident, urls, tmp_path) == WHOLE
        assert method in ("eth_getLogs", "eth_getBlockReceipts", "eth_getTransactionReceipt"), "logs without an answer"
        return  # receipts stand for logs, and both methods of receipts for each other
    except InputError as problem:
        refused = problem
    assert method != "eth_getTransactionReceipt"
    assert refused.exit_code == 3
    assert len(refused.problems) == 1
    assert words in str(refused)
    assert "secret" not in str(refused)


@pytest.mark.parametrize(("error", "words"), ERRORS, ids=NAMES)
@pytest.mark.parametrize("method", [*METHODS, "*"])
def test_a_healthy_second_node_serves_what_the_first_refuses(
    monkeypatch: pytest.MonkeyPatch, incident: Incident, tmp_path: Path, method: str, error: Any, words: str
) -> None:
    urls = installed(monkeypatch, refusing(method, error), refusing("", None))
    assert fetched(incident, urls, tmp_path) == WHOLE


@pytest.mark.parametrize(("error", "words"), ERRORS, ids=NAMES)
def test_batches_refused_become_single_requests(
    monkeypatch: pytest.MonkeyPatch, incident: Incident, tmp_path: Path, error: Any, words: str
) -> None:
    if "429" in words or (isinstance(error, tuple) and error[0] == 429) or "slow down" in words or "healthy" in words:
        return  # a node that asks to wait is waited for, in batches too
    one_reply = FakeNode(whole_batch=lambda _: error)
    assert fetched(incident, installed(monkeypatch, one_reply), tmp_path / "one") == SIXTY
    if isinstance(error, dict) and "error" in error:
        each = FakeNode(lambda _, __, ___, batched: error if batched else None)
        assert fetched(incident, installed(monkeypatch, each), tmp_path / "each") == SIXTY
        first = FakeNode(whole_batch=lambda _: (200, json.dumps([{"id": None, **error}]).encode(), None))
        assert fetched(incident, installed(monkeypatch, first), tmp_path / "first") == SIXTY


def test_a_batch_that_is_too_long_is_sent_in_parts(monkeypatch: pytest.MonkeyPatch, incident: Incident, tmp_path: Path) -> None:
    too_long = {"error": {"code": -32600, "message": "batch size too large, limit is 4"}}
    node = FakeNode(whole_batch=lambda size: too_long if size > 4 else None)
    assert fetched(incident, installed(monkeypatch, node), tmp_path) == SIXTY
    assert node.counts["batches"] == 11, "one of 40, ten of 4"


def test_a_node_that_answers_502_to_everything_is_asked_a_bounded_number_of_times(
    monkeypatch: pytest.MonkeyPatch, incident: Incident, tmp_path: Path
) -> None:
    node = refusing("*", (502, b"<h1>502 Bad Gateway</h1>", None))
    with pytest.raises(
        InputError, match=r"eth_chainId failed 3 times; the last time: http://node0.test answers: HTTP 502: 502 Bad Gateway"
    ):
        fetched(incident, installed(monkeypatch, node), tmp_path)
    assert node.counts == {"eth_chainId": 3}


def test_a_disk_that_fails_at_any_write_loses_no_log(incident: Incident, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The N-th write fails, for every N: no temporary file is left, and the next fetch goes on to the same logs."""
    urls, sync, calls, fails_at = installed(monkeypatch, FakeNode()), os.fsync, 0, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("tests.test_fetch_offline.SETTINGS", fetching.Settings(window=15, segment=20, confirmations=0))
    whole = fetched(incident, urls, tmp_path / "whole")
    writes, calls = calls, 0
    assert writes > 8
    for fails_at in range(1, writes + 1):
        calls, folder = 0, tmp_path / str(fails_at)
        with pytest.raises(OSError, match="No space left on device"):
            fetched(incident, urls, folder)
        assert not list(folder.rglob("*.partial")), fails_at
        assert fetched(incident, urls, folder) == whole, fails_at
