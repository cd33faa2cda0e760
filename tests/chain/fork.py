"""Another end of the same chain: from one block on, other headers with other, valid hashes, each naming the one before it."""

import copy
from random import Random
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_utils.crypto import keccak

from tests.chain.rpc import Rpc

# In the order of the hashed header; the last one came with London and is left out where a block has none.
HASHES = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom")
NUMBERS = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")
SEAL = ("extraData", "mixHash", "nonce")
MARK = "0x" + b"another end".hex()


class Fork:
    """The blocks from `at` to the head as a reorg shows them: the same transactions, marked in the header's extraData."""

    def __init__(self, rpc: Rpc, random: Random, at: int | None) -> None:
        head = int(rpc("eth_blockNumber"), 16)
        self.at = at if at is not None else head - random.randint(5, 60)
        blocks = rpc.batch([("eth_getBlockByNumber", (hex(n), False)) for n in range(self.at, head + 1)])
        self._ours: dict[str, str] = {}  # hash on the chain -> hash on the fork
        parent = blocks[0]["parentHash"]
        for block in blocks:
            assert header_hash(block) == block["hash"], "this chain's headers hold more than is known here"
            parent = self._ours[block["hash"]] = header_hash({**block, "parentHash": parent, "extraData": MARK})
        self._theirs = {ours: theirs for theirs, ours in self._ours.items()}

    def touches(self, result: Any) -> bool:
        """Whether anything in a result names a block that the fork replaces."""
        if isinstance(result, dict):
            return any(map(self.touches, result.values()))
        if isinstance(result, list):
            return any(map(self.touches, result))
        return result in self._ours if isinstance(result, str) else False

    def instead(self, result: Any) -> Any:
        """The result as a node on the fork gives it."""
        if isinstance(result, list):
            return [self.instead(row) for row in result]
        if not isinstance(result, dict):
            return self._ours.get(result, result) if isinstance(result, str) else copy.deepcopy(result)
        changed = {name: self.instead(value) for name, value in result.items()}
        if "extraData" in result and result.get("hash") in self._ours:
            changed["extraData"] = MARK
        return changed

    def names(self, call: dict[str, Any]) -> bool:
        """Whether a call asks for a block of the fork by its hash."""
        return self.real(call) != call

    def real(self, call: dict[str, Any]) -> dict[str, Any]:
        """The call with the chain's hashes in place of the fork's."""
        changed: dict[str, Any] = self._back(call)
        return changed

    def _back(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._back(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._back(inner) for inner in value]
        return self._theirs.get(value, value) if isinstance(value, str) else value


def header_hash(block: dict[str, Any]) -> str:
    """The hash of a header as eth_getBlockByNumber shows it."""
    numbers = [int(block[name], 16) for name in NUMBERS]
    fields: list[Any] = [bytes.fromhex(block[name][2:]) for name in HASHES]
    fields += [n.to_bytes((n.bit_length() + 7) // 8) for n in numbers]
    fields += [bytes.fromhex(block[name][2:]) for name in SEAL]
    if "baseFeePerGas" in block:
        fee = int(block["baseFeePerGas"], 16)
        fields.append(fee.to_bytes((fee.bit_length() + 7) // 8))
    return "0x" + keccak(rlp.encode(fields)).hex()
