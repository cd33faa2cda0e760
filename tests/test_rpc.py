"""One endpoint's replies: what is a result, and what is none."""

import asyncio
import json
from typing import Any

import pytest

from perpcomp.ingest.rpc import Endpoint, Fault, Refused


def answered(monkeypatch: pytest.MonkeyPatch, reply: str, status: int = 200) -> bytes:
    """What a call makes of this reply, in which ID stands for the request's id."""

    async def send(self: Endpoint, request: Any) -> tuple[int, bytes, None]:
        return status, reply.replace("ID", str(request["id"])).encode(), None

    monkeypatch.setattr(Endpoint, "_send", send)
    return asyncio.run(Endpoint("http://node").call("eth_getLogs", []))


LIST = json.dumps([{"a": "0x1", "id": 5, "result": [1], "error": None}] * 3)


@pytest.mark.parametrize("result", [LIST, "[]", "{}", '"0x64"', "5", "false"])
@pytest.mark.parametrize("form", ['{"jsonrpc":"2.0","id":ID,"result":RESULT}', '{ "result" : RESULT , "id" : ID }\n'])
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
def test_a_key_that_stands_twice_is_refused_also_in_disguise(monkeypatch: pytest.MonkeyPatch, reply: str) -> None:
    with pytest.raises(Fault, match="doubled"):
        answered(monkeypatch, reply)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ('{"id":5,"result":[]}', "another request's id"),
        ('{"result":[]}', "another request's id"),
        ('{"id":ID,"result":null}', "with nothing"),
        ('{"id":ID}', "with nothing"),
        ('{"id":ID,"result":[', "no JSON-RPC reply, or was cut off"),
        ('{"id":ID,"result":[]}}', "no JSON-RPC reply, or was cut off"),
        ("<html>", "no JSON-RPC reply, or was cut off"),
        ("", "no JSON-RPC reply, or was cut off"),
    ],
)
def test_what_is_no_result_is_a_fault(monkeypatch: pytest.MonkeyPatch, reply: str, said: str) -> None:
    with pytest.raises(Fault, match=said):
        answered(monkeypatch, reply)


def test_the_nodes_own_no_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="too many") as refused:
        answered(monkeypatch, '{"id":ID,"result":null,"error":{"code":-32005,"message":"too many"}}')
    assert refused.value.code == -32005
    with pytest.raises(Refused, match="HTTP 502"):
        answered(monkeypatch, "<html>", 502)
