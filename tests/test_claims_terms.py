"""Terms that claimants sign: what a message binds, and that nobody is paid by a signature of anything else."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode

from perpcomp.claims import signatures as given
from perpcomp.claims.payee_list import read_list
from perpcomp.claims.signatures import Checked, Status
from perpcomp.claims.terms import GMX, IDENTITY, Agreement, Claimant, Message, Shape, messages
from perpcomp.findings import InputError
from perpcomp.ingest.node.rpc import Endpoint, RpcError
from tests.commands import call
from tests.signers import signers

pytestmark = pytest.mark.money

ROOT = Path(__file__).parent.parent
CONTRACT, TOKEN, ATTESTOR = "0x" + "c0" * 20, "0x" + "ab" * 20, [*signers()][59]
ALICE, BOB = [*signers()][:2]
AGREEMENT = Agreement("A crash", "11" * 32, 1, CONTRACT, Shape())
PAID = ((TOKEN, 5 * 10**18),)


def message(account: str = ALICE, kind: str = "not-checked", agreement: Agreement = AGREEMENT, **changes: Any) -> Message:
    return messages(replace(agreement, **changes), [Claimant(account, kind, PAID)])[0]


def sign(one: Message, by: str | None = None) -> bytes:
    return bytes(signers()[by or one.signer].sign_message(one.signable).signature)


def status(one: Message, *signatures: bytes) -> Status:
    (checked,) = given.check([one], {one.claimant.account: list(signatures)} if signatures else {})
    return checked.status


@pytest.mark.parametrize(
    "other",
    [
        message(run="22" * 32),
        message(chain=100),
        message(contract="0x" + "c1" * 20),
        message(title="Another crash"),
        message(shape=Shape(terms="Other words")),
        messages(AGREEMENT, [Claimant(ALICE, "not-checked", ((TOKEN, 5 * 10**18 - 1),))])[0],
        messages(AGREEMENT, [Claimant(ALICE, "not-checked", (("0x" + "ac" * 20, 5 * 10**18),))])[0],
    ],
    ids=["run", "chain", "contract", "title", "terms", "amount", "token"],
)
def test_a_signature_counts_for_its_run_amount_token_chain_and_contract_only(other: Message) -> None:
    assert status(message(), sign(message())) is Status.SIGNED
    assert status(message(), sign(other)) is not Status.SIGNED


def test_a_hardware_wallets_last_byte_counts_from_0() -> None:
    signature = sign(message())
    assert status(message(), signature[:-1] + bytes([signature[-1] - 27])) is Status.SIGNED
    assert status(message(), signature[:-1] + b"\x07") is not Status.SIGNED
    assert status(message(), bytes(65)) is not Status.SIGNED


@pytest.mark.parametrize(
    ("kind", "signatures", "expected"),
    [
        ("externally-owned", [], Status.MISSING),
        ("externally-owned", [sign(message(), BOB)], Status.WRONG),
        ("externally-owned", [sign(message(), BOB), sign(message())], Status.SIGNED),
        ("not-checked", [], Status.MISSING),
        ("not-checked", [sign(message(), BOB)], Status.NEEDS_NODE),
        ("safe", [], Status.NEEDS_NODE),
        ("contract", [b"\x01" * 130], Status.NEEDS_NODE),
        ("delegated-eoa", [], Status.NEEDS_NODE),
        ("delegated-eoa", [sign(message())], Status.SIGNED),
    ],
)
def test_without_a_node_a_contract_is_never_missing_and_never_wrong(kind: str, signatures: list[bytes], expected: Status) -> None:
    assert status(message(kind=kind), *signatures) is expected


def test_gmx_reads_the_words_and_three_lines() -> None:
    """Its contract puts them together the same way and compares the signer."""
    one = message(shape=Shape(GMX, terms="I agree.", distribution=7))
    assert one.content == f"I agree.\ndistributionId 7\ncontract {CONTRACT}\nchainId 1"
    assert status(one, sign(one)) is Status.SIGNED


def test_an_identity_is_signed_by_the_attestor_for_the_account() -> None:
    one = message(shape=Shape(IDENTITY, attestor=ATTESTOR, expires=1_900_000_000), kind="safe")
    assert status(one, sign(one)) is Status.SIGNED
    assert status(one, sign(one, ALICE)) is Status.NEEDS_NODE


class Chain:
    """A node of chain 1, on which some accounts are contracts that accept some signatures."""

    def __init__(self, accepting: dict[str, bytes | None]) -> None:
        self.accepting = accepting

    async def call(self, _: Endpoint, method: str, params: Any) -> bytes:
        if method == "eth_chainId":
            return b'"0x1"'
        if method == "eth_getCode":
            return b'"0x6001"' if params[0] in self.accepting else b'"0x"'
        digest, signature = decode(["bytes32", "bytes"], bytes.fromhex(params[0]["data"][10:]))
        assert digest == message(params[0]["to"]).digest
        if signature != self.accepting[params[0]["to"]]:
            raise RpcError("execution reverted", 3, 200)
        return json.dumps("0x1626ba7e" + "00" * 28).encode()


@pytest.mark.parametrize(
    ("accepts", "signatures", "expected"),
    [
        ({ALICE: b"of its owners"}, [b"of its owners"], Status.SIGNED),
        ({ALICE: b"of its owners"}, [b"of somebody"], Status.WRONG),
        ({ALICE: b""}, [], Status.SIGNED),  # a Safe that signed on chain
        ({ALICE: None}, [], Status.MISSING),
        ({}, [], Status.MISSING),
        ({}, [b"\x01" * 65], Status.WRONG),
    ],
)
def test_a_node_decides_what_no_key_does(
    accepts: dict[str, bytes | None], signatures: list[bytes], expected: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(accepts)
    monkeypatch.setattr(Endpoint, "call", lambda self, method, params: chain.call(self, method, params))
    found = {ALICE: signatures} if signatures else {}
    (checked,) = given.ask_contracts(given.check([message()], found), found, "http://127.0.0.1:1", 1)
    assert checked.status is expected
    with pytest.raises(InputError, match="a node of chain 1, and the terms are of chain 5"):
        given.ask_contracts([checked], found, "http://127.0.0.1:1", 5)


def test_only_who_signed_is_in_the_list_that_is_paid(tmp_path: Path) -> None:
    checked = [Checked(message(), Status.SIGNED, ""), *(Checked(message(BOB), one, "") for one in [*Status][1:])]
    for name, paid, accounts in (("signed", True, [ALICE]), ("held", False, [BOB] * 3)):
        (tmp_path / f"{name}.csv").write_bytes(given.as_list(checked, paid))
        assert [(row.account, row.token, row.amount) for row in read_list(tmp_path / f"{name}.csv")] == [
            (one, *PAID[0]) for one in accounts
        ]


# As a user

RUN = (str(ROOT / "outputs" / "rehearsal"), "--contract", CONTRACT, "--chain", "1")


def test_a_published_run_is_signed_checked_and_paid_to_who_signed(tmp_path: Path) -> None:
    done = call("claims", "terms", *RUN, "--out", "messages.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = json.loads((tmp_path / "messages.json").read_text())
    published = {row["trader"]: row for row in csv.DictReader((ROOT / "outputs/rehearsal/3-payouts.csv").open())}
    owed = {trader: row["amount_base_units"] for trader, row in published.items() if row["amount_base_units"] != "0"}
    assert {one["account"].lower(): one["typedData"]["message"]["payments"][0]["amount"] for one in listed} == owed
    rows = ["address,signature"]
    for n, one in enumerate(listed):
        account = one["account"].lower()
        digest = bytes.fromhex(one["digest"][2:])
        by = signers()[next(iter(owed)) if n == 1 else account]  # the second account's is by the first one's key
        if n != 2:
            rows.append(f"{account},0x{by.unsafe_sign_hash(digest).signature.hex()}")
        else:
            rows.append(f"{account},")
    (tmp_path / "signatures.csv").write_text("\n".join([*rows, f"0x{'77' * 20},0x"]))
    done = call("claims", "signatures", RUN[0], "signatures.csv", *RUN[1:], "--out", "lists", "--json", cwd=tmp_path)
    found = {one["account"]: one["status"] for one in json.loads(done.stdout)}
    accounts = [one["account"].lower() for one in listed]
    assert found == dict.fromkeys(accounts, "signed") | {accounts[1]: "needs-a-node", accounts[2]: "missing"}
    assert f"{len(accounts) - 2} signed, 1 missing, 0 wrong, 1 needs-a-node, of {len(accounts)}." in done.stderr
    assert f"does not pay: 0x{'77' * 20}" in done.stderr
    assert f"their payments are held: {accounts[1]}" in done.stderr
    assert [row.account for row in read_list(tmp_path / "lists" / "held.csv")] == accounts[1:3]
    assert {row.account: str(row.amount) for row in read_list(tmp_path / "lists" / "signed.csv")} == {
        account: owed[account] for account in accounts if account not in accounts[1:3]
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shape", "gmxx"), "Did you mean 'gmx'"),
        (("--shape", "gmx"), "--distribution"),
        (("--shape", "sablier-identity", "--attestor", CONTRACT), "--expires"),
        (("--terms", "nowhere.txt"), "nowhere.txt cannot be read"),
        (("--terms", "empty.txt"), "accept nothing"),
        (("--contract", "0x12"), "--contract"),
    ],
)
def test_a_message_that_would_bind_nothing_is_refused(words: tuple[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    rest = RUN if "--contract" not in words else (RUN[0], "--chain", "1")
    done = call("claims", "terms", *rest, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_the_contract_must_be_named(tmp_path: Path) -> None:
    done = call("claims", "terms", RUN[0], cwd=tmp_path)
    assert (done.returncode, "--contract" in done.stderr, done.stdout) == (2, True, "")
    assert "object at" not in call("claims", "terms", "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("who,what\n1,2\n", "it needs address and signature"),
        ("address,signature\n0x12,0x00\n", "row 2"),
        (f"address,signature\n{ALICE},zz\n", "row 2: It has the signature 'zz'"),
        (f"address,signature\n{ALICE},0x123\n", "not 0x and whole bytes"),
    ],
)
def test_signatures_that_cannot_be_read_are_named_by_row(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        given.read_signatures(tmp_path / "s.csv")
