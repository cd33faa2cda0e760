"""init and check: from nothing but logs to an incident file that runs."""

import gzip
import json
import os
import pty
import re
import shutil
import subprocess
import tomllib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import perpcomp
from perpcomp.begin.fall import Fall, largest_fall, window
from perpcomp.run import Run
from tests.commands import PERPCOMP, call
from tests.fake_node import FakeNode, block_hash, installed

LAB = Path(__file__).parent / "lab"
LATER, JUNE, UPGRADE = LAB / "later-contracts", LAB / "perps-v2" / "june", LAB / "perps-v2" / "upgrade"
REHEARSAL = LAB.parent.parent / "queries" / "rehearsal"


def proposed(logs: Path, folder: Path, *more: str) -> dict[str, Any]:
    """The file that init writes of these logs, beside them."""
    shutil.copy(logs / "logs.jsonl.gz", folder)
    done = call("init", "mine", "--input", "logs.jsonl.gz", "--yes", *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    return tomllib.loads((folder / "mine.toml").read_text())


# What init proposes, against the recorded crash


@pytest.mark.parametrize(
    ("logs", "incident"),
    [
        (LATER, LAB / "later-contracts.toml"),
        (REHEARSAL, REHEARSAL.with_suffix(".toml")),
        (JUNE, JUNE / "incident.toml"),
        (UPGRADE, UPGRADE / "incident.toml"),
        (LAB / "large", LAB / "large.toml"),
    ],
    ids=lambda path: path.stem,
)
def test_the_proposed_window_holds_every_liquidation_of_the_crash(logs: Path, incident: Path, tmp_path: Path) -> None:
    """And the file names the contracts and the affected markets as the recording's own file does."""
    file, truth = proposed(logs, tmp_path), tomllib.loads(incident.read_text())
    paid = perpcomp.compute(str(incident)).liquidations.filter("eligible")
    assert file["eligibility"]["from"] <= paid["block_time"].min()
    assert paid["block_time"].max() < file["eligibility"]["to"]
    assert file["eligibility"]["to"] - file["eligibility"]["from"] < timedelta(hours=3)
    assert file["system"] == truth["system"]
    contract = "settings" if file["system"] == "synthetix_v2" else "clearing_house"
    named = file["chain"][contract]
    assert file["chain"]["id"] == truth["chain"]["id"]
    assert truth["chain"][contract] in ([named] if isinstance(named, str) else named)
    assert {m["amm"] for m in file["market"]} >= {m["amm"] for m in truth["market"]}
    assert {m["amm"] for m in file["market"] if m.get("affected")} == {m["amm"] for m in truth["market"] if m.get("affected")}


def test_on_later_contracts_the_window_is_the_recorded_one(tmp_path: Path) -> None:
    file, truth = proposed(LATER, tmp_path), tomllib.loads((LAB / "later-contracts.toml").read_text())
    assert [file["eligibility"][key] for key in ("from", "to")] == [truth["eligibility"][key] for key in ("from", "to")]
    assert file["chain"]["liquidation_fee_ratio"] == truth["chain"]["liquidation_fee_ratio"]
    assert file["chain"]["first_block"] == 16_000_012
    assert file["settlement"] == [
        {"token": "USDC", "decimals": 6, "share": 1, "price": 1, "price_policy": "one for one: paid in USDC", "source": "draft"}
    ]
    assert file["market"][0]["name"] == "BTCUSDC"


@pytest.mark.parametrize(("logs", "decimals"), [(LATER, 6), (JUNE, 18)], ids=["perpetual-v1", "synthetix_v2"])
def test_init_check_run(logs: Path, decimals: int, tmp_path: Path) -> None:
    """Without an edit: no problem, and somebody is paid."""
    file = proposed(logs, tmp_path)
    assert file["settlement"][0]["decimals"] == decimals
    checked = call("check", "mine.toml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "mine.toml: all tables and keys are as they must be" in checked.stderr
    assert "first log in block" in checked.stderr
    assert not (tmp_path / "outputs").exists()
    ran = call("run", "mine.toml", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "error" not in ran.stderr
    assert (tmp_path / "outputs" / "mine" / "3-payouts.csv").read_text().count("\n") > 5


def test_the_numbers_of_the_window_are_shown(tmp_path: Path) -> None:
    shutil.copy(LATER / "logs.jsonl.gz", tmp_path)
    done = call("init", "mine", "--input", "logs.jsonl.gz", cwd=tmp_path)
    assert re.search(r"BTCUSDC +40,299\.66 +33,758\.08 +16\.2 +17 +yes", done.stdout)
    assert "Proposed window: 2021-05-19T04:00:00Z to 2021-05-19T05:44:46Z, 17 liquidations; the largest fall, from 40,299.66" in done.stderr
    text = (tmp_path / "mine.toml").read_text()
    assert re.search(r'^clearing_house = "0x\w{40}"  # from the logs: check$', text, re.M)
    assert re.search(r"^from = 2021-05-19T04:00:00Z  # from the logs: check$", text, re.M)


def test_every_setting_that_is_commented_out_can_be_used(tmp_path: Path) -> None:
    """Each line with a commented key is a value that its key allows, under the header above it."""
    proposed(LATER, tmp_path)
    text = (tmp_path / "mine.toml").read_text()
    whole = re.sub(r"(?m)^#(?=[a-z_0-9]+ = |\[)", "", text)
    assert whole.count("\n") == text.count("\n")
    used = tomllib.loads(whole)
    assert {"guards", "payees", "restore", "quote", "insurance_fund", "expect"} <= used.keys()
    (tmp_path / "used.toml").write_text(whole)
    said = call("check", "used.toml", cwd=tmp_path)
    assert said.returncode == 2
    assert "is unknown" not in said.stderr
    assert "Allowed:" not in said.stderr


def test_logs_elsewhere_are_passed_by_hand(tmp_path: Path) -> None:
    logs = JUNE / "logs.jsonl.gz"
    done = call("init", "mine", "--input", str(logs), "--yes", cwd=tmp_path)
    assert f"`perpcomp run mine.toml --input {logs}`" in done.stderr
    assert "input" not in tomllib.loads((tmp_path / "mine.toml").read_text())
    assert call("check", "mine.toml", "--input", str(logs), cwd=tmp_path).returncode == 0


def test_without_logs_the_file_has_examples_and_passes_its_check(tmp_path: Path) -> None:
    for system, contract in (("perpetual-v1", "clearing_house"), ("synthetix_v2", "settings")):
        name = system.replace("_", "-")
        assert call("init", name, "--system", system, "--chain", "oeth", "--yes", cwd=tmp_path).returncode == 0
        file = tomllib.loads((tmp_path / f"{name}.toml").read_text())
        assert (file["system"], file["chain"]["id"], contract in file["chain"]) == (system, 10, True)
        done = call("check", f"{name}.toml", cwd=tmp_path)
        assert (done.returncode, "The file alone was checked." in done.stderr) == (0, True)
    assert (tmp_path / "incident.schema.json").read_text() == perpcomp.schema()


# From a node


class Recorded(FakeNode):
    """A node of chain 100 that serves a recorded chain, up to ten blocks after its last log."""

    def __init__(self, logs: Path) -> None:
        super().__init__()
        self.logs: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for line in gzip.decompress((logs / "logs.jsonl.gz").read_bytes()).splitlines():
            log = json.loads(line)
            self.logs[int(log["blockNumber"], 16)].append(log)
        self.times = {number: int(found[0]["blockTimestamp"], 16) for number, found in self.logs.items()}

    def header(self, number: int) -> dict[str, Any]:
        near = min(self.logs, key=lambda known: (abs(known - number), known))
        time = self.times[near] + min(max(number - near, -1), 1)
        return {
            "number": hex(number),
            "hash": self.hash(number),
            "parentHash": self.hash(number - 1),
            "timestamp": hex(time),
            "transactions": [],
        }

    def hash(self, number: int) -> str:
        return str(self.logs[number][0]["blockHash"]) if number in self.logs else block_hash(number)

    def truth(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_blockNumber":
                return hex(max(self.logs) + 50)
            case "eth_getBlockByNumber":
                return self.header(int(params[0], 16))
            case "eth_getLogs":
                asked = params[0]
                here = [number for number in sorted(self.logs) if int(asked["fromBlock"], 16) <= number <= int(asked["toBlock"], 16)]
                found = [log for number in here for log in self.logs[number] if log["topics"] and log["topics"][0] in asked["topics"][0]]
                return [log for log in found if log["address"] in asked.get("address", [log["address"]])]
        return super().truth(method, params)


def test_a_node_is_searched_for_contracts_that_nobody_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, later: Run) -> None:
    """And the file that comes of it runs from the same node, with the result of the recorded logs."""
    (url,) = installed(monkeypatch, Recorded(LATER))
    done = call("init", "mine", "--rpc", url, "--chain", "gno", "--yes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "of chain 100." in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"mine.toml", "incident.schema.json"}
    from_file = proposed(LATER, (tmp_path / "file").absolute()) if (tmp_path / "file").mkdir() is None else {}
    from_node = tomllib.loads((tmp_path / "mine.toml").read_text())
    assert {**from_file, "input": None, "sources": None} == {**from_node, "input": None, "sources": None}
    ran = call("run", "mine.toml", "--rpc", url, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "outputs" / "mine" / "2-liquidations.csv").read_text().count("\n") == later.liquidations.height + 1


def test_a_node_of_another_chain_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (url,) = installed(monkeypatch, Recorded(LATER))
    done = call("init", "mine", "--rpc", url, "--chain", "10", "--yes", cwd=tmp_path)
    assert done.returncode == 3
    assert "is a node of chain 100, but --chain is 10." in done.stderr
    assert not [*tmp_path.iterdir()]


def test_only_the_blocks_asked_for_are_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (url,) = installed(monkeypatch, Recorded(LATER))
    done = call("init", "mine", "--rpc", url, "--blocks", "16000012:16000050", "--yes", cwd=tmp_path)
    assert (done.returncode, "Searched blocks 16,000,012 to 16,000,050" in done.stderr) == (2, True)
    assert "The input holds no liquidation" in done.stderr
    future = call("init", "mine", "--rpc", url, "--blocks", "1:99000000", "--yes", cwd=tmp_path)
    assert (future.returncode, "Block 99000000 does not exist yet" in future.stderr) == (2, True)


# On a terminal


def test_a_terminal_is_asked_and_a_wrong_answer_is_asked_again(tmp_path: Path) -> None:
    shutil.copy(LATER / "logs.jsonl.gz", tmp_path)
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [PERPCOMP, "init", "mine", "--input", "logs.jsonl.gz"],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"},
        text=True,
    )
    os.close(theirs)
    os.write(ours, b'My "own" crash\n2021-05-19\n2021-05-19T04:10:00Z\n\nrealised-loss\nmargin-upl-funding\nDAO treasury\n')
    _, said = running.communicate(timeout=60)
    os.close(ours)
    assert running.returncode == 0, said
    file = tomllib.loads((tmp_path / "mine.toml").read_text())
    assert file["title"] == 'My "own" crash'
    assert file["eligibility"]["from"] == datetime(2021, 5, 19, 4, 10, tzinfo=UTC)
    assert file["eligibility"]["to"] == datetime(2021, 5, 19, 5, 44, 46, tzinfo=UTC)
    assert (file["formula"]["name"], file["allocation"]["rounded_off_to"]) == ("margin-upl-funding", "DAO treasury")
    assert "It is 2021-05-19, not a time. Write 2021-02-20T22:45:00Z, without quotes." in said
    assert "It is \"realised-loss\". Did you mean 'realized-loss'?" in said


def test_an_end_of_the_answers_writes_nothing(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    running = subprocess.Popen([PERPCOMP, "init", "mine"], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    os.write(ours, b"A title\n\x04")
    _, said = running.communicate(timeout=60)
    os.close(ours)
    assert (running.returncode, "Interrupted." in said, [*tmp_path.iterdir()]) == (130, True, [])


# What init refuses; it writes nothing then


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["Mine"], 2, "has only lower-case letters, digits and hyphens"),
        (["nowhere/mine"], 2, "There is no folder nowhere."),
        (["verdicts"], 2, "is a command of `perpcomp guards`"),
        (["mine", "--system", "perpetual"], 2, "Did you mean 'perpetual-v1'? Known: perpetual-v1, synthetix_v2."),
        (["mine", "--chain", "gnosi"], 2, "'gnosi' is neither the number of a chain nor a known short name."),
        (["mine", "--chain", "0"], 2, "'0' is neither the number of a chain"),
        (["mine", "--input", "nowhere.jsonl"], 2, "The file does not exist."),
        (["mine", "--input", "logs.txt"], 2, "Unsupported file type (txt)."),
        (["mine", "--input", "none.jsonl"], 2, "The input holds no trade of perpetual-v1 or synthetix_v2."),
        (["mine", "--input", "calm.jsonl"], 2, "The input holds no liquidation"),
        (["mine", "--input", "calm.jsonl", "--system", "synthetix_v2"], 2, "The input holds no trade of synthetix_v2."),
        (["mine", "--input", "calm.jsonl", "--rpc", "ipc:///x"], 2, "no node is asked"),
        (["mine", "--input", "1-events.csv"], 2, "does not say which contract logged them"),
        (["mine", "--blocks", "1:2"], 2, "No node is given"),
    ],
)
def test_a_wrong_init_says_what_to_type_and_writes_nothing(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    lines = gzip.decompress((LATER / "logs.jsonl.gz").read_bytes()).splitlines(keepends=True)
    (tmp_path / "calm.jsonl").write_bytes(b"".join(lines[:40]))
    (tmp_path / "none.jsonl").write_bytes(lines[0])
    (tmp_path / "logs.txt").write_bytes(lines[0])
    shutil.copy(LAB.parent.parent / "outputs" / "rehearsal" / "1-events.csv", tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    done = call("init", *words, "--yes", cwd=tmp_path)
    assert done.returncode == code
    assert said in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == before


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    for name in ("mine.toml", "incident.schema.json"):
        (tmp_path / name).write_text("kept")
    done = call("init", "mine.toml", "--yes", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: mine.toml: The file exists, and init overwrites nothing. Give another name, or move the file away.\n"
    assert call("init", "other", "--yes", cwd=tmp_path).returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.name != "other.toml"} == {
        "mine.toml": "kept",
        "incident.schema.json": "kept",
    }


# The largest fall

START = datetime(2021, 1, 1, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("prices", "found"),
    [
        ([(0, 100), (10, 90), (20, 95)], (100, 10, 90, 10)),
        ([(0, 100), (10, 100), (20, 90)], (100, 20, 90, 20)),  # the last of equal tops
        ([(0, 100), (1, 99), (122, 70), (130, 98)], (99, 122, 70, 122)),  # the top is more than two hours old
        ([(0, 100), (300, 70)], (100, 300, 70, 300)),  # but it stood until the fall
        ([(0, 100), (10, 90), (20, 200), (30, 181)], (100, 10, 90, 10)),  # by the share of the price, not by its amount
        ([(0, 100), (10, 90), (20, 200), (30, 179)], (200, 30, 179, 30)),
        ([(0, 100), (0, 80), (10, 60)], (100, 0, 60, 10)),
        ([(0, 100), (10, 110)], None),
        ([], None),
    ],
)
def test_the_largest_fall(prices: list[tuple[int, int]], found: tuple[int, int, int, int] | None) -> None:
    fall = largest_fall([(at(minutes), price * 10**18) for minutes, price in prices], [at(minutes) for minutes, _ in prices])
    expected = found and Fall(found[0] * 10**18, at(found[1]), found[2] * 10**18, at(found[3]))
    assert fall == expected


def test_a_fall_without_a_liquidation_near_it_is_no_crash() -> None:
    prices = [(at(0), 100), (at(10), 50), (at(300), 100), (at(310), 90)]
    found = Fall(100, at(310), 90, at(310))
    assert largest_fall(prices, [at(370)]) == largest_fall(prices, [at(250)]) == found
    assert largest_fall(prices, [at(371)]) is None
    assert largest_fall(prices, [at(371), at(70)]) == Fall(100, at(10), 50, at(10))


def test_the_window_takes_in_the_liquidations_around_the_fall() -> None:
    fall = Fall(2, at(100), 1, at(160))
    second = timedelta(seconds=1)
    assert window(fall, []) == (at(100), at(160) + second)
    assert window(fall, [at(120), at(150)]) == (at(100), at(160) + second)
    assert window(fall, [at(39), at(220), at(280), at(341)]) == (at(100), at(280) + second)
    assert window(fall, [at(-15), at(45), at(-76)]) == (at(-15), at(160) + second)


# check


def test_check_names_every_problem_with_its_line_and_writes_nothing(tmp_path: Path) -> None:
    proposed(LATER, tmp_path)
    path = tmp_path / "mine.toml"
    text = path.read_text()
    spoilt = text
    for old, new in (
        ("affected = true", "affected = 1"),
        ('name = "margin-only"', "nam = 1"),
        ("share = 1", "share = 2"),
        ("upfront", "upfrnt"),
    ):
        assert old in spoilt
        spoilt = spoilt.replace(f"\n{old}", f"\n{new}", 1)
    path.write_text(spoilt)
    before = {one.name for one in tmp_path.iterdir()}
    done = call("check", "mine.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    lines = dict(enumerate(spoilt.splitlines(), 1))
    told = {int(n): words for n, words in re.findall(r"^error: mine\.toml line ([0-9]+): (.*)$", done.stderr, re.M)}
    for words in (
        "[[market]] 1 affected is 1. Write true or false.",
        "[formula] nam is unknown.",
        "[[settlement]] 1 share is 2.",
        "[vesting] upfrnt",
    ):
        (line,) = [n for n, said in told.items() if words in said]
        assert lines[line].split(" = ")[0] == words.split()[-1 if words.endswith("upfrnt") else words.split().index("is") - 1]
    assert {one.name for one in tmp_path.iterdir()} == before


def test_check_finds_an_unknown_formula_with_its_line(tmp_path: Path) -> None:
    proposed(LATER, tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(path.read_text().replace('name = "margin-only"', 'name = "margin-onli"'))
    line = path.read_text().splitlines().index('name = "margin-onli"  # check') + 1
    done = call("check", "mine.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert f'error: mine.toml line {line}: [formula] name is "margin-onli".' in done.stderr
    assert "Did you mean 'margin-only'?" in done.stderr


def test_check_finds_what_a_run_would_find(tmp_path: Path) -> None:
    """An error-level finding of the input exits with 1; the file is named as sound."""
    proposed(LATER, tmp_path)
    rows = gzip.decompress((tmp_path / "logs.jsonl.gz").read_bytes()).splitlines(keepends=True)
    topic = b"0x4c7b764f428c13bbea8cc8da90ebe6eef4dafeb27a4e3d9041d64208c47ca7c2"
    trades = [n for n, row in enumerate(rows) if topic in row]
    del rows[trades[len(trades) // 3]]
    (tmp_path / "logs.jsonl.gz").write_bytes(gzip.compress(b"".join(rows)))
    checked, ran = call("check", "mine.toml", cwd=tmp_path), call("run", "mine.toml", "--quiet", cwd=tmp_path)
    assert (checked.returncode, ran.returncode) == (1, 1)
    assert "mine.toml: all tables and keys are as they must be" in checked.stderr
    assert {line for line in ran.stderr.splitlines() if line.startswith("error: ")} <= {*checked.stderr.splitlines()}


def test_check_says_which_formula_cannot_read_what(tmp_path: Path) -> None:
    """Without FundingRateUpdated and the pool's logs, what depends on them is empty."""
    proposed(LATER, tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(
        path.read_text()
        .replace("\n#[valuation]", '\n[valuation]\nprice = "index"\nat = 16_000_012\nsource = "draft"\n#[valuation]')
        .replace("\nreference_price", "\n#reference_price")
    )
    done = json.loads(call("check", "mine.toml", "--json", cwd=tmp_path).stdout)
    assert done["incident"] == "mine"
    by_name = {one["formula"]: one for one in done["formulas"]}
    assert by_name["margin-only"]["reads"] == ["margin_at_reference"]
    assert by_name["margin-upl-funding"]["liquidations"] == 17
    assert by_name["margin-upl-funding"]["empty"].get("unrealized_pnl_at_reference"), by_name


def test_the_json_of_a_check(tmp_path: Path) -> None:
    done = call("check", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document["incident"] == "rehearsal"
    assert document["coverage"]["first_block"].isdigit()
    assert {one["formula"] for one in document["formulas"]} >= {"margin-only", "restore-position"}
