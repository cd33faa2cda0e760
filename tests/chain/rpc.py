"""JSON-RPC over one kept connection, and the ABI of a compiled contract."""

import json
import re
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

BATCH = 400


class RpcError(RuntimeError):
    """The node answered with an error."""


class Rpc:
    """One endpoint."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = HTTPConnection(urlsplit(url).netloc, timeout=60)

    def __call__(self, method: str, *params: Any) -> Any:
        """The result of one call."""
        answer = self._post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if "error" in answer:
            raise RpcError(f"{method}: {answer['error']}")
        return answer["result"]

    def batch(self, calls: list[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """The results of many calls in their order; where one failed, its error object (a dict with a code)."""
        results: list[Any] = []
        for start in range(0, len(calls), BATCH):
            part = calls[start : start + BATCH]
            body = [{"jsonrpc": "2.0", "id": n, "method": method, "params": params} for n, (method, params) in enumerate(part)]
            results += [row.get("result", row.get("error")) for row in sorted(self._post(body), key=lambda row: row["id"])]
        return results

    def _post(self, body: Any) -> Any:
        self._http.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        return json.loads(self._http.getresponse().read())


class Contract:
    """A compiled contract: its bytecode, and its calls and events as bytes."""

    def __init__(self, compiled: Mapping[str, Any]) -> None:
        self._bytecode = "0x" + str(compiled["bytecode"]).removeprefix("0x")
        self._functions = {e["name"]: e for e in compiled["abi"] if e["type"] == "function"}
        self._constructor: list[Any] = next((e["inputs"] for e in compiled["abi"] if e["type"] == "constructor"), [])
        self._events = {_hash(e): e for e in compiled["abi"] if e["type"] == "event"}

    def link(self, library: str) -> None:
        """Put a library's address where the compiler left a place for one; every such place is this library's."""
        self._bytecode = re.sub(r"__.{38}", library[2:], self._bytecode)

    def selector(self, name: str) -> bytes:
        """The first four bytes of a call's data."""
        return bytes.fromhex(_hash(self._functions[name])[2:10])

    def deployment(self, *args: Any) -> str:
        """The data of the transaction that creates it."""
        return self._bytecode + encode([_type(i) for i in self._constructor], args).hex()

    def data(self, name: str, *args: Any) -> str:
        """The data of a call."""
        types = [_type(i) for i in self._functions[name]["inputs"]]
        return "0x" + (self.selector(name) + encode(types, args)).hex()

    def result(self, name: str, data: str) -> Any:
        """What a call returned; a tuple where it returns several values."""
        values = decode([_type(o) for o in self._functions[name]["outputs"]], bytes.fromhex(data[2:]))
        return values[0] if len(values) == 1 else values

    def event(self, log: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """A log's event and its arguments by name, in the order of the signature; None where the contract declares no such event."""
        entry = self._events.get(log["topics"][0])
        if entry is None:
            return None
        plain = [i for i in entry["inputs"] if not i["indexed"]]
        data = iter(decode([_type(i) for i in plain], bytes.fromhex(log["data"][2:])))
        topics = iter(log["topics"][1:])
        values = {
            i["name"]: decode([_type(i)], bytes.fromhex(next(topics)[2:]))[0] if i["indexed"] else next(data) for i in entry["inputs"]
        }
        return entry["name"], values


def _hash(entry: Mapping[str, Any]) -> str:
    return "0x" + keccak(text=f"{entry['name']}({','.join(_type(i) for i in entry['inputs'])})").hex()


def _type(argument: Mapping[str, Any]) -> str:
    kind: str = argument["type"]
    if kind.startswith("tuple"):
        return "(" + ",".join(_type(c) for c in argument["components"]) + ")" + kind[5:]
    return kind
