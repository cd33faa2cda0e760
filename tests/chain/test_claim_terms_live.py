"""Terms as wallets sign them: digests and signatures of ethers, and a real Safe that says whether it signed."""

import json
from typing import Any

import pytest

from perpcomp.claims import signatures as given
from perpcomp.claims.signatures import Status
from perpcomp.claims.terms import GMX, IDENTITY, Agreement, Claimant, Message, Shape, messages
from tests.chain.anvil import chain
from tests.chain.blocks import Blocks
from tests.chain.javascript import ask
from tests.chain.node import NodeTools
from tests.chain.rpc import Contract
from tests.signers import signers

OWNER, OTHER = [*signers()][:2]
CONTRACT, ZERO = "0x" + "c0" * 20, "0x" + "00" * 20
PAID = (("0x" + "ab" * 20, 5 * 10**18), ("0x" + "ac" * 20, 2**255 + 1))
SHAPES = [
    Shape(terms="Ünïcode\nand two lines"),
    Shape(GMX, terms="I agree ✓", distribution=2**200),
    Shape(IDENTITY, attestor=OTHER, expires=2**39),
]


def message(account: str, shape: Shape, kind: str = "not-checked") -> Message:
    return messages(Agreement('A "crash"', "1f" * 32, 100, CONTRACT, shape), [Claimant(account, kind, PAID)])[0]


def content(one: Message) -> dict[str, Any]:
    plain = one.plain
    return {key: plain[key] for key in ("text", "typedData") if key in plain}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_ethers_gives_the_same_digest_and_a_signature_that_counts(shape: Shape, node_tools: NodeTools) -> None:
    one = message(OWNER, shape)
    assert ask("digest", **content(one)) == f"0x{one.digest.hex()}"
    signature = ask("sign", key=signers()[one.signer].key.hex(), **content(one))
    (checked,) = given.check([one], {OWNER: [bytes.fromhex(signature[2:])]})
    assert checked.status is Status.SIGNED


def test_a_safe_is_asked_whether_it_signed(node_tools: NodeTools) -> None:
    """By its owner's signature, and by a transaction of its own without one."""
    built = node_tools.modules / "@safe-global/safe-contracts/build/artifacts/contracts"
    places = {
        "Safe": "Safe.sol/Safe",
        "Factory": "proxies/SafeProxyFactory.sol/SafeProxyFactory",
        "Handler": "handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler",
        "SignMessage": "libraries/SignMessageLib.sol/SignMessageLib",
    }
    abi = {name: Contract(json.loads((built / f"{place}.json").read_text())) for name, place in places.items()}
    with chain(node_tools.anvil, 1, 1_614_500_000) as url:
        blocks = Blocks(url, abi, 1_614_500_000)
        singleton, factory, handler, signer = (blocks.deploy(OWNER, name) for name in abi)
        setup = bytes.fromhex(abi["Safe"].data("setup", [OWNER], 1, ZERO, b"", handler, ZERO, 0, ZERO)[2:])
        safes = []
        for salt in (1, 2):
            create = ("createProxyWithNonce", singleton, setup, salt)
            safes.append(str(blocks.calls([("Factory", factory, create[0], create[1:])])[0]).lower())
            blocks.send(OWNER, factory, abi["Factory"].data(*create), "create the Safe")
            blocks.step()
        by_owner, on_chain = (message(safe, Shape(), "safe") for safe in safes)
        (of_safe,) = blocks.calls([("Handler", safes[0], "getMessageHash", (by_owner.digest,))])
        signed = {safes[0]: [bytes(signers()[OWNER].unsafe_sign_hash(of_safe).signature)]}

        def statuses(found: dict[str, list[bytes]]) -> list[Status]:
            checked = given.check([by_owner, on_chain], found)
            assert [one.status for one in checked] == [Status.NEEDS_NODE] * 2
            return [one.status for one in given.ask_contracts(checked, found, url, 100)]

        assert statuses({}) == [Status.MISSING, Status.MISSING]
        assert statuses(signed) == [Status.SIGNED, Status.MISSING]
        assert statuses({safes[0]: [bytes(signers()[OTHER].unsafe_sign_hash(of_safe).signature)]}) == [Status.WRONG, Status.MISSING]
        data = bytes.fromhex(abi["SignMessage"].data("signMessage", on_chain.digest)[2:])
        approved = bytes(12) + bytes.fromhex(OWNER[2:]) + bytes(32) + b"\1"
        run = abi["Safe"].data("execTransaction", signer, 0, data, 1, 0, 0, 0, ZERO, ZERO, approved)
        blocks.send(OWNER, safes[1], run, "sign on chain")
        blocks.step()
        assert statuses(signed) == [Status.SIGNED, Status.SIGNED]
