"""Every tranche of the rehearsal, funded from our files and claimed as every trader from real contracts on a local chain."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from perpcomp.claims import sheet
from perpcomp.claims.claim_file import read_claim_file
from perpcomp.claims.claimed import from_file
from perpcomp.claims.files import of_format
from perpcomp.claims.follow import follow
from perpcomp.claims.on_chain import Question, meets
from perpcomp.claims.plan import Plan, Tranche, plan
from perpcomp.claims.verify import check_claims
from perpcomp.incident import incident_file
from perpcomp.run import Run
from tests.chain.anvil import chain
from tests.chain.blocks import Blocks
from tests.chain.javascript import HERE, ask
from tests.chain.node import NodeTools
from tests.chain.rpc import Contract
from tests.commands import call

PERP = "0xbc396689893d065f41bc2c6ecbee5e0085233447"
RUN = HERE.parent.parent / "outputs" / "rehearsal"
BEFORE = 1_614_500_000  # a time before the first tranche, 2021-03-01
Claim = dict[str, Any]


@dataclass
class Treasury:
    """A chain with the token in the hands of a payer, and what the rehearsal pays."""

    blocks: Blocks
    url: str
    payer: str
    token: str
    run: Run

    def plan(self, **contracts: str) -> Plan:
        """The rehearsal paid on this chain in this token, by these contracts."""
        stated = "\n".join(f'{name.replace("_", "-")} = "{at}"' for name, at in contracts.items())
        claims = (
            f'[claims]\nformats = ["cumulative"]\nchain = 100\npayer = "{self.payer}"\nsource = "F18"\n\n[claims.contracts]\n{stated}\n\n'
        )
        raw = self.run.incident.raw.decode().replace(PERP, self.token).replace("[insurance_fund]", f"{claims}[insurance_fund]")
        incident = incident_file.parse(raw.encode(), "rehearsal", self.run.incident.folder)
        assert incident.claim_files is not None
        return plan(incident, incident.claim_files, self.run.payouts, self.run.claims)

    def balance(self, account: str) -> int:
        found: int = self.blocks.calls([("ERC20Fake", self.token, "balanceOf", (account,))])[0]
        return found

    def pay_steps(self, files: Mapping[str, bytes], unix: int) -> None:
        """Queue the transactions of transactions.json that are due at a time, as the payer."""
        for step in json.loads(files[sheet.STEPS]):
            if step["data"] and f"(unix {unix})" in step["when"]:
                self.blocks.send(self.payer, step["to"].lower(), step["data"], step["what"])


@pytest.fixture(scope="module")
def abi(node_tools: NodeTools) -> dict[str, Contract]:
    modules = node_tools.modules
    perp, uniswap = modules / "@perp/contract/build/contracts", modules / "@uniswap/merkle-distributor/build"
    files = {name: perp / f"{name}.json" for name in ("ERC20Fake", "PerpRewardVesting")} | {"Uniswap": uniswap / "MerkleDistributor.json"}
    found = {name: Contract(json.loads(path.read_text())) for name, path in files.items()}
    compiled = ask("compile", file="Claims.sol", source=(HERE / "Claims.sol").read_text())
    return found | {name: Contract(one) for name, one in compiled.items()}


@contextmanager
def treasury(node_tools: NodeTools, abi: dict[str, Contract], run: Run) -> Iterator[Treasury]:
    with chain(node_tools.anvil, 1, BEFORE) as url:
        blocks = Blocks(url, abi, BEFORE)
        payer = blocks.accounts()[0]
        token = blocks.deploy(payer, "ERC20Fake")
        blocks.send(payer, token, abi["ERC20Fake"].data("initializeERC20Fake", 10**24, "Perpetual", "PERP", 18), "supply")
        blocks.step()
        yield Treasury(blocks, url, payer, token, run)


def proof_of(claim: Claim) -> list[bytes]:
    return [bytes.fromhex(node[2:]) for node in claim["proof"]]


def claims_in(file: bytes) -> list[Claim]:
    """The claims of a file: account, amount, proof, and its index where it has one."""
    document = json.loads(file)
    if "claims" not in document:
        loaded = ask("load", dump=document)
        values = [one["value"] for one in document["values"]]
        return [{"account": v[0].lower(), "amount": int(v[-1]), "proof": p} for v, p in zip(values, loaded["proofs"], strict=True)]
    if isinstance(document["claims"], list):
        return [
            {**one, "account": one["account"].lower(), "amount": sum(int(n) for _, n in one["tokenAmounts"])} for one in document["claims"]
        ]
    return [{**one, "account": who.lower(), "amount": int(one["amount"], 0)} for who, one in document["claims"].items()]


@dataclass(frozen=True)
class Kind:
    """How a dialect's contract is claimed from. `deploy` gives a new one for a root; None where one contract serves all tranches."""

    name: str
    contract: str
    data: Callable[[Contract, Claim, int], str]
    deploy: Callable[[str, bytes], tuple[Any, ...]] | None = None


KINDS = [
    Kind("perp-redeem", "PerpRewardVesting", lambda c, one, week: c.data("claimWeek", one["account"], week, one["amount"], proof_of(one))),
    Kind(
        "uniswap",
        "Uniswap",
        lambda c, one, _: c.data("claim", one["index"], one["account"], one["amount"], proof_of(one)),
        lambda token, root: (token, root),
    ),
    Kind(
        "oz-standard",
        "StandardClaims",
        lambda c, one, _: c.data("claim", one["account"], one["amount"], proof_of(one)),
        lambda token, root: (token, root),
    ),
    Kind("cumulative", "CumulativeClaims", lambda c, one, _: c.data("claim", one["account"], one["token"], one["amount"], proof_of(one))),
    Kind(
        "multi-token",
        "MultiTokenClaims",
        lambda c, one, _: c.data("claim", one["index"], one["account"], [(one["token"], one["amount"])], proof_of(one)),
    ),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_tranche_is_claimed_by_every_trader_at_its_second_and_not_before(
    kind: Kind, node_tools: NodeTools, abi: dict[str, Contract], rehearsal: Run, tmp_path: Path
) -> None:
    with treasury(node_tools, abi, rehearsal) as bank:
        blocks, own, at = bank.blocks, abi[kind.contract], ""
        if kind.deploy is None:
            at = blocks.deploy(bank.payer, kind.contract)
            if kind.name == "perp-redeem":
                blocks.send(bank.payer, at, own.data("initialize", bank.token, 0), "initialize")
                blocks.step()
        made = bank.plan(**({} if kind.deploy else {kind.name.replace("-", "_"): at}))
        files, paid = of_format(made, kind.name), dict[str, int]()
        contracts: list[str] = []
        for tranche in made.tranches:
            name = f"tranche-{tranche.number}.json"
            file = files.get(name) or files[f"perp-{name}"]
            claims = [{**one, "token": bank.token} for one in claims_in(file)]
            if kind.name == "multi-token":  # the leaves of earlier tranches are in the tree, and claimed
                claims = claims[-len(tranche.rows) :]
            assert {one["account"] for one in claims} == {row.account for row in tranche.so_far}
            if kind.deploy is not None:
                at = blocks.deploy(bank.payer, kind.contract, *kind.deploy(bank.token, root_of(file)))
            contracts.append(at)

            def claim(one: Claim, at: str = at, number: int = tranche.number, **altered: Any) -> None:
                blocks.send(bank.payer, at, kind.data(own, {**one, **altered}, number + 1), one["account"], must=False, gas=400_000)

            for one in claims:
                claim(one)
            assert all(sent.reason for sent in blocks.step(at=tranche.unlocks_at - 1)), "claimed a second too early"

            (tmp_path / name).write_bytes(file)
            waiting = followed(bank, contracts, tranche.unlocks_at, tmp_path / name)
            assert {row[0]: row[1:] for row in waiting} == {
                row.account: (paid.get(row.account, 0), row.amount, tranche.unlocks_at) for row in tranche.rows
            }
            fund(bank, files, tranche, at if kind.deploy else None)
            for one in claims:
                claim(one)
            done = blocks.step(at=tranche.unlocks_at)
            assert [sent.reason for sent in done if sent.reason] == []
            for row in tranche.rows:
                paid[row.account] = paid.get(row.account, 0) + row.amount
            assert {account: bank.balance(account) for account in paid} == paid
            assert bank.balance(at) == 0

            first, second = claims[0], claims[1]
            claim(first)  # again
            claim(first, amount=first["amount"] + 1)
            claim(first, proof=second["proof"])
            claim(first, account=second["account"])
            assert all(sent.reason for sent in blocks.step()), "paid what it must not"
            claimed = followed(bank, contracts, tranche.unlocks_at, tmp_path / name)
            assert {row[0]: row[1:] for row in claimed} == {account: (amount, 0, None) for account, amount in paid.items()}
            verify_on_chain(tmp_path / name, bank.url, at, tranche.number + 1 if kind.name == "perp-redeem" else None, kind)
        assert paid == {row.account: row.amount for row in made.rows}
        named = [word for one in dict.fromkeys(contracts) for word in ("--contract", one)]
        if kind.name in ("perp-redeem", "uniswap"):  # their events name no token, so the published run's own address does not matter
            done = call("claims", "follow", str(RUN), "--rpc", bank.url, "--from-block", "1", *named, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert f"{len(paid)} of {len(paid)} accounts claimed everything; unclaimed: 0 PERP" in done.stderr


def followed(bank: Treasury, contracts: list[str], at: int, tree: Path) -> list[tuple[str, int, int, int | None]]:
    """(account, claimed, claimable, waiting since) at a time, in base units, from the events of real contracts as a node writes them."""
    logs = [
        log for one in set(contracts) for log in bank.blocks.rpc("eth_getLogs", {"address": one, "fromBlock": "0x0", "toBlock": "latest"})
    ]
    path = tree.with_name("logs.jsonl")
    path.write_text("".join(json.dumps(log) + "\n" for log in logs))
    raw = bank.run.incident.raw.decode().replace(PERP, bank.token).encode()
    incident = incident_file.parse(raw, "rehearsal", bank.run.incident.folder)
    leaves = {leaf.number: leaf for leaf in read_claim_file(tree).leaves}
    events = from_file(path, contracts) if logs else []
    found = follow(
        incident, bank.run.payouts, bank.run.claims, events, dict.fromkeys(contracts, "PERP"), leaves, datetime.fromtimestamp(at, UTC)
    )
    assert found.findings == []
    rows = found.table.select("trader", "claimed", "claimable", "unclaimed_since").iter_rows()
    return [(who, int(a.scaleb(18)), int(b.scaleb(18)), since and int(since.timestamp())) for who, a, b, since in rows]


def root_of(file: bytes) -> bytes:
    document = json.loads(file)
    return bytes.fromhex((document.get("merkleRoot") or document["tree"][0])[2:])


def fund(bank: Treasury, files: Mapping[str, bytes], tranche: Tranche, contract: str | None) -> None:
    """From our files: the transactions of that date; where each tranche has a contract of its own, the amount that they name."""
    if contract is None:
        bank.pay_steps(files, tranche.unlocks_at)
        return
    due = [step["what"] for step in json.loads(files[sheet.STEPS]) if f"(unix {tranche.unlocks_at})" in step["when"]]
    (amount,) = [int(said[1]) for what in due if (said := re.match(r"Send the contract ([0-9]+) base units", what))]
    bank.blocks.send(bank.payer, bank.token, bank.blocks.abi["ERC20Fake"].data("transfer", contract, amount), "fund")


def verify_on_chain(path: Path, url: str, at: str, week: int | None, kind: Kind) -> None:
    """`claims verify` meets the contract's own root, where it has a view of it."""
    if kind.name == "oz-standard":
        return
    file = read_claim_file(path)
    root, said = meets(file, Question(url=url, contract=at, week=week))
    assert root is not None
    assert check_claims(file, path.name, root).passed
    assert said[0].level == "note"


SAFES = {
    "1.3.0": ("@gnosis.pm/safe-contracts", "GnosisSafe", "GnosisSafeProxyFactory"),
    "1.4.1": ("@safe-global/safe-contracts", "Safe", "SafeProxyFactory"),
    "1.5.0": ("@safe-global/safe-smart-account", "Safe", "SafeProxyFactory"),
}
ZERO = "0x" + "00" * 20


@pytest.mark.parametrize("version", SAFES)
def test_a_safe_executes_our_multisend_batch_by_delegatecall(
    version: str, node_tools: NodeTools, abi: dict[str, Contract], rehearsal: Run
) -> None:
    package, safe_name, factory_name = SAFES[version]
    built = node_tools.modules / package / "build" / "artifacts" / "contracts"
    places = {"Safe": f"{safe_name}.sol/{safe_name}", "Factory": f"proxies/{factory_name}.sol/{factory_name}"}
    places["MultiSend"] = "libraries/MultiSendCallOnly.sol/MultiSendCallOnly"
    safes = {name: Contract(json.loads((built / f"{place}.json").read_text())) for name, place in places.items()}
    with treasury(node_tools, abi | safes, rehearsal) as bank:
        blocks = bank.blocks
        singleton, factory, multisend = (blocks.deploy(bank.payer, name) for name in ("Safe", "Factory", "MultiSend"))
        setup = safes["Safe"].data("setup", [bank.payer], 1, ZERO, b"", ZERO, ZERO, 0, ZERO)
        create = ("createProxyWithNonce", singleton, bytes.fromhex(setup[2:]), 1)
        (predicted,) = blocks.calls([("Factory", factory, create[0], create[1:])])
        safe = str(predicted).lower()
        blocks.send(bank.payer, factory, safes["Factory"].data(*create), "create the Safe")
        made = bank.plan(multisend=multisend)
        files = of_format(made, "multisend")
        total = sum(row.amount for row in made.rows)
        blocks.send(bank.payer, bank.token, abi["ERC20Fake"].data("transfer", safe, total), "fund the Safe")
        blocks.step()
        approved = bytes(12) + bytes.fromhex(bank.payer[2:]) + bytes(32) + b"\1"  # the one owner sends it, which counts as a signature
        for tranche in made.tranches:
            data = bytes.fromhex(files[f"perp-tranche-{tranche.number}-part-1.hex"].decode().strip()[2:])
            run = safes["Safe"].data("execTransaction", multisend, 0, data, 1, 0, 0, 0, ZERO, ZERO, approved)
            blocks.send(bank.payer, safe, run, f"tranche {tranche.number}", gas=5_000_000)
            blocks.step(at=tranche.unlocks_at)
            assert {row.account: bank.balance(row.account) for row in tranche.so_far} == {row.account: row.amount for row in tranche.so_far}
        assert bank.balance(safe) == 0
