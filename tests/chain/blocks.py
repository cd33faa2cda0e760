"""Transactions that are queued and mined together, one block at a time, and calls of views at any block.

A block is mined at a time given in advance, with the transactions in the order they were queued: the same script gives the same chain to
the byte.
"""

from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode

from tests.chain.rpc import Contract, Rpc

GAS = 11_000_000
ERROR_STRING = "0x08c379a0"  # the selector of Error(string)
View = tuple[str, str, str, tuple[Any, ...]]  # contract, address, function, arguments


@dataclass(frozen=True)
class Sent:
    """A mined transaction; `reason` is the revert text of its own execution, None where it succeeded."""

    tag: str
    reason: str | None
    receipt: dict[str, Any]


class Blocks:
    """A chain as its script makes it."""

    def __init__(self, url: str, abi: dict[str, Contract], clock: int) -> None:
        self.rpc, self.abi, self.clock = Rpc(url), abi, clock
        self._nonce: dict[str, int] = {}
        self.queued: list[tuple[str, str, bool]] = []

    def accounts(self) -> list[str]:
        """The node's own accounts."""
        return [a.lower() for a in self.rpc("eth_accounts")]

    def send(self, sender: str, to: str | None, data: str, tag: str, must: bool = True, gas: int = 1_500_000) -> None:
        """Queue a transaction for the next block. `must`: a revert is an error of the script."""
        nonce = self._nonce.get(sender, 0)
        transaction = {"from": sender, "data": data, "gas": hex(gas), "gasPrice": hex(10**9), "nonce": hex(nonce)}
        sent = self.rpc("eth_sendTransaction", transaction | ({"to": to} if to else {}))
        self._nonce[sender] = nonce + 1
        self.queued.append((sent, tag, must))

    def step(self, seconds: int = 5, at: int | None = None) -> list[Sent]:
        """Mine one block with everything queued, so many seconds after the last one or at a unix time."""
        self.clock = at or self.clock + seconds
        self.rpc("evm_setNextBlockTimestamp", self.clock)
        self.rpc("evm_mine")
        receipts = self.rpc.batch([("eth_getTransactionReceipt", (sent,)) for sent, _, _ in self.queued])
        done = []
        for (sent, tag, must), receipt in zip(self.queued, receipts, strict=True):
            # A node that is slow to take in a transaction would leave it pending: the block would lack it without a word.
            assert receipt is not None, f"{tag} was left out of the block"
            done.append(Sent(tag, None if receipt["status"] == "0x1" else self._reason(sent), receipt))
            assert done[-1].reason is None or not must, f"{tag} reverted: {done[-1].reason}"
        self.queued = []
        return done

    def _reason(self, sent: str) -> str:
        output = self.rpc("debug_traceTransaction", sent, {"tracer": "callTracer"}).get("output") or "0x"
        if not output.startswith(ERROR_STRING):
            return f"it reverted with {output}"
        text: str = decode(["string"], bytes.fromhex(output[len(ERROR_STRING) :]))[0]
        return text

    def deploy(self, sender: str, name: str, *args: Any) -> str:
        """Deploy a contract in a block of its own, as its gas limit is nearly the block's; returns its address."""
        if self.queued:
            self.step()
        self.send(sender, None, self.abi[name].deployment(*args), f"deploy {name}", gas=GAS)
        (done,) = self.step()
        deployed: str = done.receipt["contractAddress"]
        return deployed.lower()

    def head(self) -> int:
        """The newest block's number."""
        return int(self.rpc("eth_blockNumber"), 16)

    def calls(self, items: list[View], block: int | None = None, time: int | None = None) -> list[Any]:
        """What each view answers on the state at the end of a block, at its own second or at `time`; None where it reverts."""
        at = "latest" if block is None else hex(block)
        moved = () if time is None else ({}, {"time": hex(time)})
        asked: list[tuple[str, tuple[Any, ...]]] = [
            ("eth_call", ({"to": to, "data": self.abi[name].data(function, *args)}, at, *moved)) for name, to, function, args in items
        ]
        answers = self.rpc.batch(asked)
        return [
            self.abi[name].result(function, answer) if isinstance(answer, str) else None
            for (name, _, function, _), answer in zip(items, answers, strict=True)
        ]
