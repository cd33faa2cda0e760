"""multisend: the data of MultiSend's one call, which a Safe executes by delegatecall: all transfers of a batch or none."""

from collections.abc import Sequence

from perpcomp.claims.dialect import account_bytes
from perpcomp.claims.made import BATCH, Made, Step, batches, calldata, file_name
from perpcomp.claims.payee_list import Row
from perpcomp.claims.plan import Plan
from perpcomp.claims.steps import TRANSFER, when
from perpcomp.claims.tokens import Token

SIGNATURE = "multiSend(bytes transactions)"


def multisend(plan: Plan) -> Made:
    """A numbered file for each 100 transfers of a tranche and token, with the data to execute."""
    made, contract = Made(), plan.files.contracts.multisend
    for tranche in plan.tranches:
        for token in plan.tokens:
            for number, rows in enumerate(batches(plan.of(token, tranche.rows), BATCH), 1):
                inner = packed(token, rows)
                file = file_name(token, plan, tranche, number, ".hex")
                made.add(file, f"{calldata(SIGNATURE, (inner,))}\n".encode(), token, tranche.number, rows)
                what = f"Execute {file} from the Safe by delegatecall (operation 1) to MultiSendCallOnly: {len(rows)} transfers of {token.symbol}."
                made.steps.append(
                    Step(what, when(tranche.unlocks_at), contract, SIGNATURE if contract else "", (inner,) if contract else ())
                )
    made.notes.append("Use MultiSendCallOnly of the Safe's own version, and operation 1. With operation 0 the call would revert.")
    return made


def packed(token: Token, rows: Sequence[Row]) -> bytes:
    """The transfers in MultiSend's packing: operation (0), to, value (0), length, data. `to` is never 0, which 1.5.0 takes for the Safe."""
    assert int(token.address, 16), "MultiSend 1.5.0 would call the Safe itself"
    calls = []
    for row in rows:
        data = bytes.fromhex(calldata(TRANSFER, (row.account, row.amount))[2:])
        calls.append(bytes(1) + account_bytes(token.address) + bytes(32) + len(data).to_bytes(32) + data)
    return b"".join(calls)
