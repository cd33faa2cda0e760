"""Signatures over a run's manifest: EIP-712 typed data for any wallet to sign, and who signed. No key is ever held here.

What is signed names the manifest by its sha256, the block that the input ends at, and what each token pays. It does not say that the
events are complete.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from perpcomp.audit import bundle
from perpcomp.audit.compare import Difference
from perpcomp.findings import refusal
from perpcomp.installed import same_recursion_limit
from perpcomp.publish.stated import Stated, parse_strictly

ENDING = ".sig.json"
FORMAT = "perpcomp-signatures-v1"
SIGNATURE = re.compile(r"(?:0x)?([0-9a-fA-F]{130})", re.ASCII)
TYPES = {
    "EIP712Domain": (("name", "string"), ("version", "string"), ("chainId", "uint256")),
    "Leg": (("token", "string"), ("decimals", "uint8"), ("total", "uint256"), ("claimsSha256", "bytes32")),
    "Manifest": (("manifestSha256", "bytes32"), ("toBlock", "uint64"), ("toBlockHash", "bytes32"), ("legs", "Leg[]")),
}


class _One(msgspec.Struct, forbid_unknown_fields=True):
    signer: str
    signature: str


class _Signed(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    manifest_sha256: str
    signatures: list[_One]


def beside(path: Path) -> Path:
    """Where the signatures of a bundle or a run's folder are kept."""
    return bundle.beside(path, ENDING)


def typed_data(stated: Stated, manifest_sha256: str) -> dict[str, Any]:
    """The typed data to sign, as eth_signTypedData_v4 takes it. Numbers are texts; a block without a hash has 32 zero bytes.

    InputError for the manifest of a version that stated nothing to sign.
    """
    if "legs" not in stated:
        what = f"perpcomp {stated['tool'].get('version')} made the run. Its manifest states no block and no totals by token to sign."
        raise refusal(f"the manifest {manifest_sha256}", what, "Make the run again with this version, and sign that one.")
    legs = [
        {
            "token": leg["token"],
            "decimals": leg["decimals"],
            "total": leg["total_base_units"],
            "claimsSha256": f"0x{leg['claims_sha256']}",
        }
        for leg in stated["legs"]
    ]
    return {
        "types": {name: [{"name": field, "type": kind} for field, kind in fields] for name, fields in TYPES.items()},
        "primaryType": "Manifest",
        "domain": {"name": "perpcomp", "version": "1", "chainId": stated["chain_id"]},
        "message": {
            "manifestSha256": f"0x{manifest_sha256}",
            "toBlock": stated["block"]["number"],
            "toBlockHash": stated["block"]["hash"] or f"0x{bytes(32).hex()}",
            "legs": legs,
        },
    }


def signer(data: Mapping[str, Any], signature: str) -> str:
    """The address whose key made a signature over typed data. ValueError, with advice, for what no wallet writes.

    A second signature can be made of each without the key, with s above n/2; so only the lower one counts.
    """
    with same_recursion_limit():
        from eth_account import Account
        from eth_account.messages import encode_typed_data
        from eth_keys.constants import SECPK1_N
        from eth_keys.exceptions import BadSignature
        from eth_utils.exceptions import ValidationError

    match = SIGNATURE.fullmatch(signature.strip())
    if match is None:
        raise ValueError("it is not 65 bytes: write 0x and 130 hex digits, as the wallet shows them")
    value = bytes.fromhex(match[1])
    if value[64] not in (0, 1, 27, 28):
        raise ValueError(f"its last byte is {value[64]}, and must be 0, 1, 27 or 28")
    if int.from_bytes(value[32:64]) > SECPK1_N // 2:
        raise ValueError("its s is above n/2: anybody can make such a signature of a valid one")
    try:
        found: str = Account.recover_message(encode_typed_data(full_message=_with_numbers(data)), signature=value)
    except (BadSignature, ValidationError, ValueError) as error:
        raise ValueError(f"no key can have made it ({error})") from None
    return found


def _with_numbers(data: Mapping[str, Any]) -> dict[str, Any]:
    """The typed data with integers where the types say so: eth-account takes a text for bytes."""
    message, domain = dict(data["message"]), dict(data["domain"])
    domain["chainId"], message["toBlock"] = int(domain["chainId"]), int(message["toBlock"])
    message["legs"] = [{**leg, "decimals": int(leg["decimals"]), "total": int(leg["total"])} for leg in message["legs"]]
    return {**data, "domain": domain, "message": message}


def add(file: Path, stated: Stated, manifest_sha256: str, signature: str) -> tuple[str, bytes]:
    """Who made a signature, and the file of signatures with it. InputError where it is none, or where the file is of another manifest."""
    try:
        by = signer(typed_data(stated, manifest_sha256), signature)
    except ValueError as error:
        raise refusal(
            "--signature", f"This is no signature: {error}.", "Sign what `perpcomp sign` prints, and paste what the wallet gives."
        ) from None
    held = _read(file) if file.exists() else _Signed(FORMAT, manifest_sha256, [])
    if held.manifest_sha256 != manifest_sha256:
        what = f"The file holds signatures over the manifest {held.manifest_sha256}, and this one is {manifest_sha256}."
        raise refusal(str(file), what, "Another run was signed: move the file away, and ask its signers what they signed.")
    kept = [one for one in held.signatures if one.signer.lower() != by.lower()] + [
        _One(by, f"0x{signature.strip().removeprefix('0x').lower()}")
    ]
    held.signatures = sorted(kept, key=lambda one: one.signer.lower())
    return by, msgspec.json.format(msgspec.json.encode(held), indent=1) + b"\n"


def signers_of(file: Path, stated: Stated, manifest_sha256: str, required: bool) -> tuple[tuple[str, ...], list[Difference]]:
    """Who signed this manifest by a file of signatures, and what in the file does not hold. InputError where it is required and not there."""
    if not file.exists():
        if required:
            what = "There is no such file of signatures."
            raise refusal(str(file), what, "Name their file with --signatures, or type `perpcomp sign`.")
        return (), []
    held, data = _read(file), typed_data(stated, manifest_sha256)
    if held.manifest_sha256 != manifest_sha256:
        return (), [Difference(file.name, f"over the manifest {held.manifest_sha256}", manifest_sha256)]
    by, wrong = list[str](), list[Difference]()
    for one in held.signatures:
        try:
            found = signer(data, one.signature)
        except ValueError as error:
            wrong.append(Difference(f"{file.name} {one.signer}", str(error), "a signature over this manifest"))
            continue
        if found.lower() == one.signer.lower():
            by.append(found)
        else:
            wrong.append(Difference(f"{file.name} {one.signer}", f"signed by {found}, or over another manifest", one.signer))
    return tuple(by), wrong


def _read(file: Path) -> _Signed:
    try:
        read = msgspec.convert(parse_strictly(file.read_text(encoding="utf-8")), _Signed)
        if read.format != FORMAT:
            raise ValueError(f"its format is {read.format!r}, not {FORMAT}")
    except (OSError, ValueError, RecursionError) as error:
        raise refusal(str(file), f"The file holds no signatures: {error}.", "Give a file that `perpcomp sign` wrote.") from None
    return read
