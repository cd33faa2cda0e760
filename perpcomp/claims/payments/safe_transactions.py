"""safe-transactions: a batch of transfers for the Safe's Transaction Builder, format 1.0, with its checksum."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tiny_keccak import keccak256

from perpcomp.claims.made import BATCH, Made, batches, file_name
from perpcomp.claims.payee_list import Row
from perpcomp.claims.plan import Plan, Tranche
from perpcomp.claims.steps import dates
from perpcomp.claims.tokens import Token
from perpcomp.eip55 import checksummed

BUILDER = "2.0.1"  # Source: github safe-global/safe-wallet-monorepo apps/tx-builder
_METHOD = {
    "inputs": [
        {"internalType": "address", "name": "to", "type": "address"},
        {"internalType": "uint256", "name": "value", "type": "uint256"},
    ],
    "name": "transfer",
    "payable": False,
}


def safe_transactions(plan: Plan) -> Made:
    """A numbered file for each 100 transfers of a tranche and token."""
    made = Made()
    for tranche in plan.tranches:
        for token in plan.tokens:
            for number, rows in enumerate(batches(plan.of(token, tranche.rows), BATCH), 1):
                file = file_name(token, plan, tranche, number, ".json")
                data = json.dumps(batch(plan, tranche, token, rows, number), indent=1, ensure_ascii=False).encode()
                made.add(file, data, token, tranche.number, rows)
    made.steps = dates(plan, "Load the files of tranche {number} in the Safe's Transaction Builder, simulate, sign and execute each.")
    made.notes.append("The Transaction Builder only warns of a wrong checksum: stop where it does.")
    return made


def batch(plan: Plan, tranche: Tranche, token: Token, rows: Sequence[Row], number: int) -> dict[str, Any]:
    """A batch of transfers that the Transaction Builder loads. Its creation time is the tranche's date: a run reads no clock."""
    transfers = [
        {
            "to": checksummed(token.address),
            "value": "0",
            "data": None,
            "contractMethod": _METHOD,
            "contractInputsValues": {"to": checksummed(row.account), "value": str(row.amount)},
        }
        for row in rows
    ]
    meta = {
        "name": f"{plan.name} {token.symbol} tranche {tranche.number} part {number}",
        "description": plan.title,
        "txBuilderVersion": BUILDER,
        "createdFromSafeAddress": checksummed(plan.files.payer) if plan.files.payer else "",
        "createdFromOwnerAddress": "",
    }
    made = {
        "version": "1.0",
        "chainId": str(plan.files.chain),
        "createdAt": tranche.unlocks_at * 1000,
        "meta": meta,
        "transactions": transfers,
    }
    return made | {"meta": meta | {"checksum": checksum(made)}}


def checksum(made: Mapping[str, Any]) -> str:
    """The checksum of a batch: the keccak of its text without a checksum and without its name."""
    meta = {key: value for key, value in made["meta"].items() if key != "checksum"} | {"name": None}
    return "0x" + keccak256(_serialized({**made, "meta": meta}).encode()).hex()


def _serialized(value: Any) -> str:
    """JSON as the Transaction Builder writes it to be hashed: an object is its sorted keys, then its values in that order."""
    if isinstance(value, list):
        return f"[{','.join(map(_serialized, value))}]"
    if isinstance(value, Mapping):
        keys = sorted(value)
        return f"{{{_json(keys)}{''.join(f'{_serialized(value[key])},' for key in keys)}}}"
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
