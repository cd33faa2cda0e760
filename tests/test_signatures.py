"""Signatures over a bundle: the typed data by an independent hash, who signed, and what no wallet writes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.constants import SECPK1_N

from perpcomp.audit import levels, signatures
from perpcomp.audit.archive import pack
from perpcomp.audit.standalone import keccak
from tests.commands import call
from tests.test_bundle import members

ROOT = Path(__file__).parent.parent
KEYS = [bytes([n]) * 32 for n in (1, 2)]
WHO = [Account.from_key(key).address for key in KEYS]


def printed(packed: Path) -> Any:
    done = call("sign", "r.zip", cwd=packed.parent)
    assert done.returncode == 0
    assert "Verify the run before you sign it" in done.stderr
    return json.loads(done.stdout)


def signed(typed: Any, key: bytes) -> str:
    """As a wallet signs, which takes numbers from texts."""
    return "0x" + Account.sign_message(encode_typed_data(full_message=signatures._with_numbers(typed)), key).signature.hex().removeprefix(
        "0x"
    )


def test_what_is_signed_is_eip_712_over_manifest_block_and_legs(packed: Path, data: bytes) -> None:
    """The digest by hand, from the standard's text, with another keccak than the one of the library."""
    typed, stated = printed(packed), json.loads(members(data)["manifest.json"])["predicate"]
    message, (leg,) = typed["message"], typed["message"]["legs"]
    assert message["manifestSha256"] == "0x" + hashlib.sha256(members(data)["manifest.json"]).hexdigest()
    assert (message["toBlock"], message["toBlockHash"]) == (stated["block"]["number"], stated["block"]["hash"])
    assert leg == {
        "token": "PERP",
        "decimals": "18",
        "total": "8220331472917692825739",
        "claimsSha256": "0x" + stated["legs"][0]["claims_sha256"],
    }

    def word(n: str) -> bytes:
        return int(n).to_bytes(32)

    of_leg = b"Leg(string token,uint8 decimals,uint256 total,bytes32 claimsSha256)"
    of_manifest = b"Manifest(bytes32 manifestSha256,uint64 toBlock,bytes32 toBlockHash,Leg[] legs)" + of_leg
    of_domain = b"EIP712Domain(string name,string version,uint256 chainId)"
    inner = keccak(keccak(of_leg) + keccak(b"PERP") + word("18") + word(leg["total"]) + bytes.fromhex(leg["claimsSha256"][2:]))
    hashes = [bytes.fromhex(message[name][2:]) for name in ("manifestSha256", "toBlockHash")]
    body = keccak(keccak(of_manifest) + hashes[0] + word(message["toBlock"]) + hashes[1] + keccak(inner))
    domain = keccak(keccak(of_domain) + keccak(b"perpcomp") + keccak(b"1") + word("100"))
    by_library = encode_typed_data(full_message=signatures._with_numbers(typed))
    assert (by_library.header, by_library.body) == (domain, body)


def test_two_machines_sign_the_same_hash_and_the_report_shows_both(packed: Path) -> None:
    typed = printed(packed)
    for key, who in zip(KEYS, WHO, strict=True):
        done = call("sign", "r.zip", "--signature", signed(typed, key), cwd=packed.parent)
        assert done.returncode == 0
        assert f"{who} signed the manifest {typed['message']['manifestSha256'][2:]}" in done.stderr
    report = levels.check_levels(packed, levels.Asked(signers=[WHO[0].lower(), WHO[1]]))
    assert report.code == 0
    assert sorted(report.signers) == sorted(WHO)
    assert all(who in report.levels[0].said for who in WHO)
    stranger = "0x" + "12" * 20
    done = call("verify", "r.zip", "--signer", stranger, "--json", cwd=packed.parent)
    assert done.returncode == 1
    assert [one["where"] for one in json.loads(done.stdout)["differences"]] == [f"the signature of {stranger}"]


def test_a_signature_over_another_bundle_does_not_count(packed: Path, data: bytes) -> None:
    call("sign", "r.zip", "--signature", signed(printed(packed), KEYS[0]), cwd=packed.parent)
    held = json.loads((packed.parent / "r.zip.sig.json").read_text())
    files = members(data)
    document = json.loads(files["manifest.json"])
    document["predicate"]["legs"][0]["total_base_units"] = "1"
    files["manifest.json"] = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    packed.write_bytes(pack(files))
    report = levels.check_levels(packed, levels.Asked(signers=[WHO[0]]))
    assert (report.code, report.signers) == (1, ())
    held["manifest_sha256"] = report.manifest_sha256
    (packed.parent / "r.zip.sig.json").write_text(json.dumps(held))
    assert levels.check_levels(packed, levels.Asked(signers=[WHO[0]])).signers == ()
    done = call("sign", "r.zip", "--signature", held["signatures"][0]["signature"], cwd=packed.parent)
    assert WHO[0] not in done.stderr, "the signer of other typed data is nobody known"


def other_half(signature: str) -> str:
    s = SECPK1_N - int(signature[66:130], 16)
    return f"{signature[:66]}{s:064x}{'1c' if signature[130:] == '1b' else '1b'}"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_half, "its s is above n/2"),
        (lambda text: text[:-2] + "1d", "its last byte is 29"),
        (lambda text: text[:-2], "it is not 65 bytes"),
        (lambda text: text + "00", "it is not 65 bytes"),
        (lambda text: text.replace("0x", "0y"), "it is not 65 bytes"),
        (lambda text: "0x" + "00" * 64 + "1b", "no key can have made it"),
    ],
)
def test_what_no_wallet_writes_is_refused(spoil: Any, words: str, packed: Path) -> None:
    done = call("sign", "r.zip", "--signature", spoil(signed(printed(packed), KEYS[0])), cwd=packed.parent)
    assert done.returncode == 2
    assert words in done.stderr
    assert not (packed.parent / "r.zip.sig.json").exists()


def test_signers_without_signatures_cannot_be_checked(packed: Path) -> None:
    assert call("verify", "r.zip", "--signer", WHO[0], cwd=packed.parent).returncode == 2
    assert call("verify", str(ROOT / "outputs" / "rehearsal"), "--signer", WHO[0], cwd=packed.parent).returncode == 2
