"""JSON-RPC over one kept connection, and the ABI of a compiled contract."""

import json
from http.client import HTTPConnection
from pathlib import Path
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
    """A compiled contract: its bytecode, and calls to it as bytes."""

    def __init__(self, artifact: Path) -> None:
        loaded = json.loads(artifact.read_text())
        self._bytecode: str = loaded["bytecode"]
        self._functions = {e["name"]: e for e in loaded["abi"] if e["type"] == "function"}
        self._constructor: list[Any] = next((e["inputs"] for e in loaded["abi"] if e["type"] == "constructor"), [])

    def deployment(self, *args: Any) -> str:
        """The data of the transaction that creates it."""
        return self._bytecode + encode([_type(i) for i in self._constructor], args).hex()

    def data(self, name: str, *args: Any) -> str:
        """The data of a call."""
        types = [_type(i) for i in self._functions[name]["inputs"]]
        return "0x" + (keccak(text=f"{name}({','.join(types)})")[:4] + encode(types, args)).hex()

    def result(self, name: str, data: str) -> Any:
        """What a call returned; a tuple where it returns several values."""
        values = decode([_type(o) for o in self._functions[name]["outputs"]], bytes.fromhex(data[2:]))
        return values[0] if len(values) == 1 else values


def _type(argument: dict[str, Any]) -> str:
    kind: str = argument["type"]
    if kind.startswith("tuple"):
        return "(" + ",".join(_type(c) for c in argument["components"]) + ")" + kind[5:]
    return kind
