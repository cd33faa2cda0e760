"""Sablier Lockup on a local chain: streams created from our files, and every part of them withdrawn by every trader at its second."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from perpcomp.claims.files import of_format
from perpcomp.claims.payments.sablier import tranches_of
from perpcomp.claims.plan import Plan, plan
from perpcomp.incident import incident_file
from perpcomp.run import Run
from perpcomp.vesting.vest import unlocked_of, vest
from tests.chain.anvil import chain
from tests.chain.blocks import Blocks
from tests.chain.node import NodeTools
from tests.chain.rpc import Contract

PERP = "0xbc396689893d065f41bc2c6ecbee5e0085233447"
BEFORE = 1_614_500_000
ZERO = "0x" + "00" * 20


def artifact(path: Path, **libraries: str) -> Contract:
    """A contract as Foundry compiled it, its libraries at these addresses."""
    compiled = json.loads(path.read_text())
    code = compiled["bytecode"]["object"].removeprefix("0x")
    for file in compiled["bytecode"].get("linkReferences", {}).values():
        for name, places in file.items():
            for place in places:
                start = 2 * place["start"]
                code = code[:start] + libraries[name][2:] + code[start + 40 :]
    return Contract({"abi": compiled["abi"], "bytecode": code})


@dataclass
class Streams:
    """Lockup with a token in the hands of a payer."""

    blocks: Blocks
    payer: str
    token: str
    lockup: str
    run: Run

    def plan(self, binding: str, cliff_reading: str = "") -> Plan:
        """The rehearsal paid by Sablier in this token; with a reading, after a cliff of a month."""
        claims = f'[claims]\nformats = ["sablier"]\nchain = 100\npayer = "{self.payer}"\nsource = "F18"\n\n'
        raw = self.run.incident.raw.decode().replace(PERP, self.token).replace("[insurance_fund]", f"{claims}[insurance_fund]")
        cliff = f'cliff = 1\ncliff_reading = "{cliff_reading}"\n' if cliff_reading else ""
        raw = raw.replace('binding = "tranches"\n', f'binding = "{binding}"\n{cliff}')
        incident = incident_file.parse(raw.encode(), "rehearsal", self.run.incident.folder)
        assert incident.claim_files is not None
        return plan(incident, incident.claim_files, self.run.payouts, vest(self.run.payouts, incident))

    def create(self, function: str, account: str, amount: int, start: int, end: int, *rest: Any) -> None:
        params = (self.payer, account, amount, self.token, False, False, (start, end), "")
        data = self.blocks.abi["Lockup"].data(function, params, *rest)
        self.blocks.send(self.payer, self.lockup, data, account, gas=900_000)
        if len(self.blocks.queued) == 12:  # what a block holds
            self.blocks.step()

    def balances(self, accounts: list[str]) -> dict[str, int]:
        found = self.blocks.calls([("ERC20Fake", self.token, "balanceOf", (one,)) for one in accounts])
        return dict(zip(accounts, found, strict=True))

    def streamed(self, streams: dict[str, int], time: int) -> dict[str, int]:
        found = self.blocks.calls([("Lockup", self.lockup, "streamedAmountOf", (one,)) for one in streams.values()], time=time)
        return dict(zip(streams, found, strict=True))


@contextmanager
def lockup(node_tools: NodeTools, run: Run) -> Iterator[Streams]:
    modules = node_tools.modules
    own, utils = modules / "@sablier/lockup/artifacts", modules / "@sablier/evm-utils/artifacts"
    fake = json.loads((modules / "@perp/contract/build/contracts/ERC20Fake.json").read_text())
    abi = {
        "ERC20Fake": Contract(fake),
        "Comptroller": artifact(utils / "SablierComptroller.json"),
        "Proxy": artifact(utils / "ERC1967Proxy.json"),
        "Descriptor": artifact(own / "LockupNFTDescriptor.json"),
        **{name: artifact(own / f"libraries/{name}.json") for name in ("LockupMath", "LockupHelpers")},
    }
    with chain(node_tools.anvil, 1, BEFORE, 60, ("--code-size-limit", "60000"), hardfork="cancun") as url:
        blocks = Blocks(url, abi, BEFORE)
        payer = blocks.accounts()[0]
        token, descriptor, maths, helpers = (
            blocks.deploy(payer, one) for one in ("ERC20Fake", "Descriptor", "LockupMath", "LockupHelpers")
        )
        setup = abi["Comptroller"].data("initialize", payer, 0, 0, 0, 0, ZERO)  # no oracle, no fee
        comptroller = blocks.deploy(payer, "Proxy", blocks.deploy(payer, "Comptroller", payer), bytes.fromhex(setup[2:]))
        abi["Lockup"] = artifact(own / "SablierLockup.json", LockupMath=maths, LockupHelpers=helpers)
        at = blocks.deploy(payer, "Lockup", comptroller, descriptor)
        blocks.send(payer, token, abi["ERC20Fake"].data("initializeERC20Fake", 10**24, "Perpetual", "PERP", 18), "supply")
        blocks.send(payer, token, abi["ERC20Fake"].data("approve", at, 10**24), "approve")
        blocks.step()
        yield Streams(blocks, payer, token, at, run)


def listed(file: bytes) -> list[dict[str, str]]:
    return [*csv.DictReader(file.decode().splitlines())]


def units(text: str) -> int:
    return int(Decimal(text) * 10**18)


def unix(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp())


def withdraw_all(bank: Streams, made: Plan, streams: dict[str, int], due: dict[int, dict[str, int]]) -> None:
    """Every trader withdraws what is due at each time, and finds nothing more a second before where nothing flows; then the contract is empty.

    `due`: unix time -> account -> what it has in all from then on.
    """
    blocks, abi = bank.blocks, bank.blocks.abi["Lockup"]
    first, second = [*streams][:2]
    for number, (time, owed) in enumerate(due.items()):
        before = bank.streamed(streams, time - 1)
        assert before == {one: unlocked_before(bank, made, one, time - 1, owed) for one in streams}
        if all(before[one] == bank.balances([one])[one] for one in (first, second)):
            for one, stream in streams.items():
                blocks.send(one, bank.lockup, abi.data("withdrawMax", stream, one), one, must=False, gas=250_000)
            assert all(sent.reason for sent in blocks.step(at=time - 1)), "withdrawn a second too early"
        for one, stream in streams.items():
            blocks.send(one, bank.lockup, abi.data("withdrawMax", stream, one), one, gas=250_000)
        blocks.send(second, bank.lockup, abi.data("withdraw", streams[first], second, 1), "another's", must=False, gas=250_000)
        blocks.send(first, bank.lockup, abi.data("withdraw", streams[first], first, 1), "a unit more", must=False, gas=250_000)
        *paid, another, more = blocks.step(at=time)
        assert (len(paid), bool(another.reason), bool(more.reason)) == (len(streams), True, True), number
        assert bank.balances([*streams]) == owed
    assert bank.balances([bank.lockup]) == {bank.lockup: 0}


def unlocked_before(bank: Streams, made: Plan, account: str, time: int, owed: dict[str, int]) -> int:
    """What the schedule gives the account a second before a date."""
    total = next(row.amount for row in made.rows if row.account == account)
    if made.vesting.binding == "line":
        return unlocked_of(total, made.vesting, datetime.fromtimestamp(time, UTC))
    return bank.balances([account])[account]  # between tranches nothing flows


def test_a_line_is_withdrawn_by_every_trader_at_every_date(node_tools: NodeTools, rehearsal: Run) -> None:
    with lockup(node_tools, rehearsal) as bank:
        made = bank.plan("line")
        (name,) = [name for name in of_format(made, "sablier-streams") if name.endswith(".csv")]
        rows = listed(of_format(made, "sablier-streams")[name])
        for row in rows:
            amounts = (units(row["unlockAmount"]), 0)
            start, end = unix(row["startAt"]), unix(row["endAt"])
            bank.create("createWithTimestampsLL", row["address"].lower(), units(row["amount"]), start, end, amounts, 1, 0)
        bank.blocks.step()
        streams = {row["address"].lower(): n for n, row in enumerate(rows, 1)}
        assert bank.balances([bank.lockup])[bank.lockup] == made.totals[bank.token]
        due = {tranche.unlocks_at: {row.account: row.amount for row in tranche.so_far} for tranche in made.tranches}
        assert [*due] == sorted(due)
        assert len(due) == 4
        withdraw_all(bank, made, streams, due)


@pytest.mark.parametrize("reading", ["rest-from-cliff", "length-from-cliff"])
def test_a_line_after_a_cliff_is_withdrawn_by_every_trader(reading: str, node_tools: NodeTools, rehearsal: Run) -> None:
    """As a MerkleLL campaign creates the streams, from the list and the sheet of parameters."""
    with lockup(node_tools, rehearsal) as bank:
        made = bank.plan("line", reading)
        files = of_format(made, "sablier")
        rows, sheet = listed(files["perp.csv"]), json.loads(files["perp-parameters.json"])
        assert (sheet["campaign"], sheet["cliffDuration"]) == ("MerkleLL", 31 * 86_400)  # March 2021
        start = sheet["vestingStartTime"]
        for row in rows:
            amount = units(row["amount"])
            amounts = tuple(amount * int(sheet[name]) // 10**18 for name in ("startUnlockPercentage", "cliffUnlockPercentage"))
            cliff, end = start + sheet["cliffDuration"], start + sheet["totalDuration"]
            bank.create("createWithTimestampsLL", row["address"].lower(), amount, start, end, amounts, sheet["granularity"], cliff)
        bank.blocks.step()
        streams = {row["address"].lower(): n for n, row in enumerate(rows, 1)}
        for time in range(start - 1, start + sheet["totalDuration"] + 2, 86_399 * 5):
            at = datetime.fromtimestamp(time, UTC)
            assert bank.streamed(streams, time) == {row.account: unlocked_of(row.amount, made.vesting, at) for row in made.rows}
        due = {tranche.unlocks_at: {row.account: row.amount for row in tranche.so_far} for tranche in made.tranches}
        withdraw_all(bank, made, streams, due)


def test_tranches_are_withdrawn_by_every_trader_at_their_second(node_tools: NodeTools, rehearsal: Run) -> None:
    """As a MerkleLT campaign creates the streams, from the list and the sheet of parameters."""
    with lockup(node_tools, rehearsal) as bank:
        made = bank.plan("tranches")
        files = of_format(made, "sablier")
        rows, sheet = listed(files["perp.csv"]), json.loads(files["perp-parameters.json"])
        steps = sheet["tranchesWithPercentages"]
        times = [sheet["vestingStartTime"] + sum(one["duration"] for one in steps[: n + 1]) for n in range(len(steps))]
        assert times == [tranche.unlocks_at for tranche in made.tranches]
        due: dict[int, dict[str, int]] = {time: {} for time in times}
        for row in rows:
            account, amount = row["address"].lower(), units(row["amount"])
            parts = tranches_of(amount, [int(one["unlockPercentage"]) for one in steps])
            tranches = [*zip(parts, times, strict=True)]
            bank.create("createWithTimestampsLT", account, amount, sheet["vestingStartTime"], times[-1], tranches)
            for n, time in enumerate(times):
                due[time][account] = sum(parts[: n + 1])
        bank.blocks.step()
        assert bank.balances([bank.lockup])[bank.lockup] == int(sheet["aggregateAmount"])
        largest = sheet["largest difference of one tranche from 4-claims.csv (base units)"]
        for tranche in made.tranches:
            assert all(abs(due[tranche.unlocks_at][row.account] - row.amount) <= len(times) * largest for row in tranche.so_far)
        withdraw_all(bank, made, {row["address"].lower(): n for n, row in enumerate(rows, 1)}, due)
