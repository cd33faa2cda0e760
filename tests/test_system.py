"""Protocols: each is one object behind one interface, found by its entry point; and a third one in less than 80 lines."""

import json
import re
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path

import pytest
from eth_abi import encode

import perpcomp
from perpcomp.explain.explain import explain
from perpcomp.findings import InputError
from perpcomp.installed import FORMULAS, SYSTEMS, names
from perpcomp.systems.perpetual_v1.system import PERPETUAL_V1
from perpcomp.systems.synthetix_v2.system import SYNTHETIX_V2
from perpcomp.systems.system import System, find
from tests import build, toy_protocol

ALICE, BOB, CAROL = (build.address(n) for n in (1, 2, 3))
ETHER = 10**18
TOY = ("toy", "tests.toy_protocol:TOY")


def install(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    """As if these protocols were installed too."""
    more = [EntryPoint(name, target, SYSTEMS) for name, target in points]
    monkeypatch.setattr(
        "perpcomp.installed.entry_points", lambda: EntryPoints([*entry_points(group=SYSTEMS), *entry_points(group=FORMULAS), *more])
    )


def traded(n: int, minute: int, trader: str, exchanged: int, size: int, margin: int, price: int, liquidated: int = 0) -> dict[str, object]:
    """A log of the toy protocol's market, as eth_getLogs gives it."""
    values = [exchanged * ETHER, size * ETHER, margin * ETHER, price * ETHER, liquidated]
    return {
        "address": build.MARKET,
        "topics": [toy_protocol.TOPIC, "0x" + trader[2:].rjust(64, "0")],
        "data": "0x" + encode(["int256", "int256", "uint256", "uint256", "uint256"], values).hex(),
        "blockNumber": hex(n),
        "blockHash": f"0x{n:064x}",
        "blockTimestamp": hex(int(build.START.timestamp()) + 60 * minute),
        "transactionHash": f"0x{n:064x}",
        "transactionIndex": "0x0",
        "logIndex": "0x7",
        "removed": False,
    }


@pytest.fixture
def crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An incident of the toy protocol with its logs beside it: Alice and Bob are liquidated in the window, Carol is not."""
    install(monkeypatch, TOY)
    logs = [
        traded(1, -60, ALICE, 2, 2, 10_000, 50_000),
        traded(2, -50, BOB, -1, -1, 5_000, 50_000),
        traded(3, 5, ALICE, -2, 0, 0, 46_000, 1),
        traded(4, 6, CAROL, 1, 1, 9_000, 45_000),
        traded(5, 50, BOB, 1, 0, 0, 56_000, 1),
    ]
    (tmp_path / "logs.jsonl").write_text("".join(json.dumps(log) + "\n" for log in logs))
    query = build.QUERY.replace('system = "perpetual-v1"', 'system = "toy"').replace("clearing_house =", "exchange =")
    query = query.replace("[chain]", '[input]\nfile = "logs.jsonl"\n\n[chain]', 1)
    (tmp_path / "toy-crash.toml").write_text(query)
    return tmp_path / "toy-crash.toml"


def test_a_protocol_is_less_than_80_lines_and_pays_to_the_wei(crash: Path) -> None:
    assert len(Path(toy_protocol.__file__).read_text().splitlines()) < 80
    run = perpcomp.compute(str(crash))
    shown = run.liquidations.select("trader", "side", "margin", "open_notional", "realized_pnl", "remaining_margin", "bad_debt").rows()
    assert shown == [(ALICE, "long", 10_000, 100_000, -8_000, 2_000, 0), (BOB, "short", 5_000, 50_000, -6_000, 0, 1_000)]
    paid = dict(run.payouts.select("trader", "amount_base_units").iter_rows())
    assert paid == {ALICE: str(10_000 * ETHER // 7), BOB: str(5_000 * ETHER // 7)}, "margin-only at 7 USDC per PERP"
    assert run.left_out["trader"].to_list() == [CAROL]
    assert (run.flags, run.replayed) == (None, None)
    assert f"{ALICE}: a long in BTCUSDC" in explain(run, ALICE)[0]


def test_a_log_that_is_missing_is_found(crash: Path) -> None:
    logs = crash.with_name("logs.jsonl")
    lines = logs.read_text().splitlines(keepends=True)
    broken = traded(3, 4, ALICE, 1, 5, 10_000, 50_000)
    logs.write_text("".join([*lines[:2], json.dumps(broken) + "\n", *lines[3:]]))
    _, problems = perpcomp.events(str(crash))
    assert [p.code for p in problems if p.level == "error"] == ["gap-in-position"]


def test_a_protocol_without_a_replay_says_so(crash: Path) -> None:
    with pytest.raises(InputError, match=r"Positions cannot be replayed for the system toy\."):
        perpcomp.positions(str(crash))


@pytest.mark.parametrize("system", [PERPETUAL_V1, SYNTHETIX_V2], ids=lambda s: s.key)
def test_ours_are_found_by_their_key(system: System) -> None:
    assert find(system.key) is system
    assert system.key in names(SYSTEMS)


@pytest.mark.parametrize(
    ("point", "said"),
    [
        (("theirs", "no_such_module:it"), "system 'theirs': It cannot be loaded from no_such_module:it: ModuleNotFoundError("),
        (("theirs", TOY[1]), "system 'theirs': The object of its entry point has the key 'toy'."),
        (("theirs", "tests.toy_protocol:ZERO"), "system 'theirs': The object of its entry point has the key None."),
        (("perpetual-v1", TOY[1]), "system 'perpetual-v1': It is installed twice: as perpcomp.systems.perpetual_v1.system:PERPETUAL_V1"),
    ],
    ids=["no module", "another key", "another thing", "two of one name"],
)
def test_a_broken_entry_point_is_refused(monkeypatch: pytest.MonkeyPatch, point: tuple[str, str], said: str) -> None:
    install(monkeypatch, point)
    with pytest.raises(InputError) as caught:
        find(point[0])
    assert said in str(caught.value)


def test_an_unknown_protocol_gives_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"system 'perpetual-v2': No installed package provides it\. Did you mean 'perpetual-v1'\?"):
        find("perpetual-v2")


def test_no_protocol_is_named_outside_its_folder_and_the_guards() -> None:
    """The rest asks the System. Names of files in queries/ are no protocol's name."""
    package = Path(perpcomp.__file__).parent
    for path in package.rglob("*.py"):
        if path.relative_to(package).parts[0] not in ("systems", "guards"):
            text = re.sub(r"queries/perpetual-v1\.[\w.]+", "", path.read_text())
            assert not re.search(r"perpetual|synthetix", text, re.IGNORECASE), path
