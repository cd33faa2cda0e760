"""One endpoint's replies: what is a result, and what is none."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from perpcomp.ingest.node.answers import read_logs_answer
from perpcomp.ingest.node.block_receipts import read_transactions
from perpcomp.ingest.node.results import BadAnswer, read_block_info, read_object, read_strictly
from perpcomp.ingest.node.rpc import Endpoint, RpcError


def answered(monkeypatch: pytest.MonkeyPatch, reply: str, status: int = 200) -> bytes:
    """What a call makes of this reply, in which ID stands for the request's id."""

    async def send(self: Endpoint, request: Any) -> tuple[int, bytes, None]:
        return status, reply.replace("ID", str(request["id"])).encode(), None

    monkeypatch.setattr(Endpoint, "_send", send)
    return bytes(asyncio.run(Endpoint("http://node").call("eth_getLogs", [])))


PLAIN = ['{"jsonrpc":"2.0","id":ID,"result":RESULT}', '{"jsonrpc":"2.0","result":RESULT,"id":ID}']  # as nodes write them
LIST = json.dumps([{"a": "0x1", "id": 5, "result": [1], "error": None}] * 3)


@pytest.mark.parametrize("result", [LIST, "[]", "{}", '"0x64"', "5", "false"])
@pytest.mark.parametrize("form", [*PLAIN, PLAIN[0] + "\n", '{ "result" : RESULT , "id" : ID }\n'])
def test_a_result_is_given_back_as_it_stands(monkeypatch: pytest.MonkeyPatch, form: str, result: str) -> None:
    """Also where keys of a reply stand inside it."""
    if result[:1] in "[{":
        assert answered(monkeypatch, form.replace("RESULT", result)).decode() == result
    else:
        assert json.loads(answered(monkeypatch, form.replace("RESULT", result))) == json.loads(result)


@pytest.mark.parametrize(
    "reply",
    [
        f'{{"id":ID,"result":{LIST},"result":{LIST}}}',
        f'{{"id":ID,"result":{LIST},"result":[]}}',
        f'{{"id":ID,"result":[],"result":{LIST}}}',
        '{"id":ID,"result":null,"result":[]}',
        '{"id":ID,"result":"0x1","result":"0x1"}',
        '{"id":ID,"result":"abc","result":","}',
        f'{{"id":0,"id":ID,"result":{LIST}}}',
        f'{{"id":ID,"error":null,"error":null,"result":{LIST}}}',
        '{"id":ID,"error":{"message":"no"},"error":null,"result":[]}',
        f'{{"id":ID,"result":{LIST},"re\\u0073ult":[]}}',
        f'{{"id":ID,"re\\u0073ult":[],"result":{LIST}}}',
        f'{{"id":0,"i\\u0064":ID,"result":{LIST}}}',
    ],
)
def test_a_duplicate_key_is_refused_also_when_escaped(monkeypatch: pytest.MonkeyPatch, reply: str) -> None:
    with pytest.raises(BadAnswer, match="duplicate"):
        answered(monkeypatch, reply)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ('{"id":5,"result":[]}', "another request's id"),
        ('{"result":[]}', "another request's id"),
        ('{"id":ID,"result":null}', "without a result"),
        ('{"id":ID}', "without a result"),
        ('{"id":ID,"result":[', "not a JSON-RPC reply, or was cut off"),
        ('{"id":ID,"result":[]}}', "not a JSON-RPC reply, or was cut off"),
        ("<html>", "not a JSON-RPC reply, or was cut off"),
        ("", "not a JSON-RPC reply, or was cut off"),
    ],
)
def test_a_reply_without_a_result_is_a_bad_answer(monkeypatch: pytest.MonkeyPatch, reply: str, said: str) -> None:
    with pytest.raises(BadAnswer, match=said):
        answered(monkeypatch, reply)


def logs(raw: bytes) -> Any:
    return read_logs_answer(raw, (0, 2**40), {LOG["address"]}, {LOG["topics"][0]})


LOG = {
    "address": "0x" + "ab" * 20,
    "topics": ["0x" + "cd" * 32],
    "data": "0x",
    "blockHash": "0x" + "ef" * 32,
    "blockNumber": "0x1",
    "transactionHash": "0x" + "12" * 32,
    "transactionIndex": "0x0",
    "logIndex": "0x0",
}
LOGS = json.dumps([LOG], separators=(",", ":"))
BEHIND = ['"result":[]', f'"result":{LOGS}', '"error":[]', '"error":{"message":"no"}', f'"x":{LOGS}', '"id":5,"x":[]', "", "[]"]


@pytest.mark.parametrize("form", PLAIN)
@pytest.mark.parametrize("result", ["[]", LOGS, "[5,]", "[,5]", '[{"a":1}', '["a]', "[1]]"])
@pytest.mark.parametrize("read", [logs, read_block_info, read_object, read_strictly, read_transactions])
def test_who_reads_a_list_refuses_what_stands_behind_it_or_is_no_json(
    monkeypatch: pytest.MonkeyPatch, form: str, result: str, read: Callable[[bytes], Any]
) -> None:
    """A reply that begins and ends well is handed over unread."""
    wrong = [f"{result},{more}" for more in BEHIND] if result in ("[]", LOGS) else [result]
    for instead in wrong:
        with pytest.raises((BadAnswer, RpcError)):
            read(answered(monkeypatch, form.replace("RESULT", instead)))


def test_the_list_of_a_reply_with_another_id_or_status_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    for form in PLAIN:
        with pytest.raises(BadAnswer, match="another request's id"):
            answered(monkeypatch, form.replace("ID", "5").replace("RESULT", LOGS))
        with pytest.raises(RpcError, match="HTTP 500"):
            answered(monkeypatch, form.replace("RESULT", LOGS), 500)


def test_the_nodes_own_no_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RpcError, match="too many") as refused:
        answered(monkeypatch, '{"id":ID,"result":null,"error":{"code":-32005,"message":"too many"}}')
    assert refused.value.code == -32005
    with pytest.raises(RpcError, match="HTTP 502"):
        answered(monkeypatch, "<html>", 502)


# Batches


def batch(monkeypatch: pytest.MonkeyPatch, reply: str) -> list[Any]:
    """What a batch of two calls makes of this reply, in which ID and NEXT stand for their ids."""

    async def send(self: Endpoint, requests: Any) -> tuple[int, bytes, None]:
        one, two = (str(request["id"]) for request in requests)
        return 200, reply.replace("ID", one).replace("NEXT", two).encode(), None

    monkeypatch.setattr(Endpoint, "_send", send)
    return [json.loads(bytes(raw)) for raw in asyncio.run(Endpoint("http://node").call_many("eth_getBlockByNumber", [[], []]))]


ONE = [form.replace("RESULT", '{"a":[1]}') for form in PLAIN]
TWO = [form.replace("RESULT", "[[]]").replace("ID", "NEXT") for form in PLAIN]
GOOD = [f"[{one},{two}]{end}" for one, two in zip(ONE, TWO, strict=True) for end in ("", "\n")]


@pytest.mark.parametrize(
    "reply", [*GOOD, f"[{TWO[0]},{ONE[1]}]", f"[ {ONE[0]} , {TWO[0]} ]", f"[{ONE[0]},{TWO[0]}]".replace('"jsonrpc":"2.0",', "")]
)
def test_the_results_of_a_batch_come_in_the_order_asked(monkeypatch: pytest.MonkeyPatch, reply: str) -> None:
    assert batch(monkeypatch, reply) == [{"a": [1]}, [[]]]


@pytest.mark.parametrize("reply", GOOD)
def test_a_batch_that_is_as_long_as_what_was_read_holds_nothing_else(monkeypatch: pytest.MonkeyPatch, reply: str) -> None:
    def never(*_: object) -> None:
        raise AssertionError("counted")

    monkeypatch.setattr("perpcomp.ingest.node.rpc._check_keys", never)
    assert batch(monkeypatch, reply) == [{"a": [1]}, [[]]]


@pytest.mark.parametrize("duplicate", ['"result":[]', '"id":5', '"error":null,"error":null,"error":null'])
@pytest.mark.parametrize("without", ["", '"jsonrpc":"2.0",'])
def test_a_duplicate_key_in_a_batch_is_refused_at_any_length(monkeypatch: pytest.MonkeyPatch, duplicate: str, without: str) -> None:
    for good in GOOD:
        bare = good.replace(without, "")
        for spoilt in (bare.replace("[{", "[{" + duplicate + ",", 1), bare.replace("}]", "," + duplicate + "}]")):
            for blanks in range(40):
                with pytest.raises(BadAnswer, match="duplicate"):
                    batch(monkeypatch, spoilt.replace(":", ":" + " " * blanks, 1))


@pytest.mark.parametrize("escaped", ['"re\\u0073ult":[]', '"i\\u0064":NEXT', '"\\u0069d":5'])
def test_an_escaped_key_in_a_batch_is_refused(monkeypatch: pytest.MonkeyPatch, escaped: str) -> None:
    for good in GOOD:
        with pytest.raises(BadAnswer):
            batch(monkeypatch, good.replace("[{", "[{" + escaped + ",", 1))
        with pytest.raises(BadAnswer):
            batch(monkeypatch, good.replace("}]", "," + escaped + "}]"))


def test_an_error_message_in_a_batch_may_hold_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    no = '{"jsonrpc":"2.0","id":NEXT,"error":{"code":-32005,"message":"too \\"many\\""}}'
    with pytest.raises(RpcError, match='too "many"'):
        batch(monkeypatch, f"[{ONE[0]},{no}]")


def test_a_node_cannot_overflow_the_stack_with_a_deeply_nested_answer() -> None:
    """In a process of its own: the libraries that reach nodes and read messages raise Python's limit of recursion when they are imported."""
    script = """
import perpcomp.ingest.node.sockets
from perpcomp.claims.terms import Agreement, Claimant, Shape, messages
from perpcomp.ingest.node.results import BadAnswer, read_strictly
messages(Agreement("", "11" * 32, 1, "0x" + "c0" * 20, Shape()), [Claimant("0x" + "0a" * 20, "", ())])[0].digest
try:
    read_strictly(b"[" * 100_000)
except BadAnswer:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_a_node_over_http_is_asked_without_web3_and_without_what_proves() -> None:
    """Importing these takes longer than fetching 50,000 logs."""
    script = """
import sys
import perpcomp.ingest.node.pull
from perpcomp.ingest.node.providers import provider
provider("https://node.example", 1.0)
print({"web3", "eth_utils", "rlp"} & {*sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr
