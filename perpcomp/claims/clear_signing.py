"""Clear signing: ERC-7730 descriptors, by which a wallet shows a call in words instead of hex."""

import json
from collections.abc import Sequence
from typing import Any

from perpcomp.claims.made import Step
from perpcomp.claims.payments import disperse, trees
from perpcomp.claims.plan import Plan
from perpcomp.claims.steps import APPROVE, TRANSFER
from perpcomp.claims.tokens import Token
from perpcomp.eip55 import checksummed

SCHEMA = "erc7730-v2.schema.json"  # beside the registry's specification
_BYTES = {"format": "raw"}
_ACCOUNT = {"format": "addressName", "params": {"types": ["eoa", "wallet", "contract"]}}
_NUMBER = {"format": "raw"}

# What each call asks for: the intent, and for each parameter a label and how it is shown; "token" is an amount of the contract's token,
# "own" one of the token that is called.
_CALLS: dict[str, tuple[str, dict[str, tuple[str, Any]]]] = {
    TRANSFER: ("Send", {"to": ("To", _ACCOUNT), "value": ("Amount", "own")}),
    APPROVE: ("Approve", {"spender": ("Who may take", _ACCOUNT), "value": ("At most", "own")}),
    trees.SEED: (
        "Open a tranche of claims",
        {"week": ("Week", _NUMBER), "merkleRoot": ("Root", _BYTES), "totalAllocation": ("Takes", "token")},
    ),
    trees.SET_ROOT: ("Replace the root of claims", {"newRoot": ("Root", _BYTES), "newIpfsHash": ("IPFS hash", _BYTES)}),
    trees.UPDATE_ROOT: ("Replace the root of claims", {"newMerkleRoot": ("Root", _BYTES)}),
    disperse.SIGNATURE: (
        "Pay many",
        {
            "token": ("Token", {"format": "addressName", "params": {"types": ["token"]}}),
            "recipients.[]": ("To", _ACCOUNT),
            "values.[]": ("Amount", {"format": "tokenAmount", "params": {"tokenPath": "token"}}),
        },
    ),
}

# What claimants sign, by the contract of [claims.contracts].
CLAIMS: dict[str, tuple[str, dict[str, tuple[str, Any]], str]] = {
    "perp_redeem": (
        "claimWeek(address liquidityProvider,uint256 week,uint256 claimedBalance,bytes32[] merkleProof)",
        {"liquidityProvider": ("For", _ACCOUNT), "week": ("Week", _NUMBER), "claimedBalance": ("Amount", "token")},
        "merkleProof.[]",
    ),
    "uniswap": (
        "claim(uint256 index,address account,uint256 amount,bytes32[] merkleProof)",
        {"index": ("Number", _NUMBER), "account": ("For", _ACCOUNT), "amount": ("Amount", "token")},
        "merkleProof.[]",
    ),
    "cumulative": (
        "claim(address account,address reward,uint256 claimable,bytes32[] proof)",
        {
            "account": ("For", _ACCOUNT),
            "reward": ("Token", {"format": "addressName", "params": {"types": ["token"]}}),
            "claimable": ("Total so far", {"format": "tokenAmount", "params": {"tokenPath": "reward"}}),
        },
        "proof.[]",
    ),
}


def descriptors(plan: Plan, name: str, steps: Sequence[Step]) -> dict[str, bytes]:
    """A descriptor for each contract that the steps call, and of what claimants call on the format's own contract: name -> bytes.

    The registry of descriptors wants names that begin with calldata.
    """
    called: dict[str, dict[str, Any]] = {}
    for step in steps:
        if step.to is not None and step.signature in _CALLS:
            intent, shown = _CALLS[step.signature]
            called.setdefault(step.to, {})[step.signature] = _format(intent, shown, plan.tokens, step.to)
    own = name.replace("-", "_")
    contract = getattr(plan.files.contracts, own, None)
    if contract is not None and own in CLAIMS:
        signature, shown, hidden = CLAIMS[own]
        claim = _format("Claim", shown, plan.tokens, contract)
        claim["fields"].append({"path": hidden, "label": "Proof", "format": "raw", "visible": "never"})
        called.setdefault(contract, {})[signature] = claim
    return {f"calldata-{to[2:10]}.json": _descriptor(plan, to, formats) for to, formats in sorted(called.items())}


def _format(intent: str, shown: dict[str, tuple[str, Any]], tokens: Sequence[Token], to: str) -> dict[str, Any]:
    fields = []
    for path, (label, how) in shown.items():
        if how in ("token", "own"):
            of = {"tokenPath": "@.to"} if how == "own" else {"token": checksummed(tokens[0].address)}
            how = {"format": "tokenAmount", "params": of}
        fields.append({"path": path, "label": label, **how})
    return {"intent": intent, "fields": fields}


def _descriptor(plan: Plan, to: str, formats: dict[str, Any]) -> bytes:
    token = next((one for one in plan.tokens if one.address == to), None)
    metadata: dict[str, Any] = {"owner": plan.name, "contractName": token.symbol if token else "claims"}
    if token is not None:
        metadata["token"] = {"name": token.symbol, "ticker": token.symbol, "decimals": token.decimals}
    document = {
        "$schema": SCHEMA,
        "context": {"contract": {"deployments": [{"chainId": plan.files.chain, "address": checksummed(to)}]}},
        "metadata": metadata,
        "display": {"formats": formats},
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
