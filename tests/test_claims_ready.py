"""The last look before anybody signs: the clock, the chain, and earlier runs."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import perpcomp
from perpcomp.claims import ready
from perpcomp.claims.tokens import Token
from perpcomp.findings import InputError
from perpcomp.ingest.node.rpc import Endpoint, RpcError
from tests import build
from tests.build import address, position
from tests.commands import call
from tests.planned import CLAIMS, PERP, SAFE, WITH_FILES

pytestmark = pytest.mark.money

FORMATS = '["perp-redeem", "cumulative"]'
CHANGES = {**WITH_FILES, "[sources]": CLAIMS.replace(CLAIMS[CLAIMS.index("[", 8) : CLAIMS.index("]", 8) + 1], FORMATS)}
HELD = 10**24


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A run of three payouts, on chain 1, paid by a Safe."""
    (tmp_path / "in").mkdir()
    rows = [row for n in (1, 2, 3) for row in position(n, address(n), 1, 50_000, 5_000 + n * n, 45_501)]
    perpcomp.publish_run(build.run(tmp_path / "in", rows, {**CHANGES, "upfront = 0.5\n": "upfront = 0.45\n"}), tmp_path / "out")
    return tmp_path / "out"


def node(monkeypatch: pytest.MonkeyPatch, decimals: int | None = 18, held: int = HELD, chain: int = 1) -> None:
    """A node on which PERP counts so many decimals, and the Safe holds so much."""

    async def call(self: Endpoint, method: str, params: Any) -> bytes:
        if method == "eth_chainId":
            return json.dumps(hex(chain)).encode()
        assert params[0]["to"] == PERP
        if params[0]["data"] == "0x313ce567" and decimals is None:
            raise RpcError("execution reverted", 3)
        word = decimals if params[0]["data"] == "0x313ce567" else held
        assert params[0]["data"] in ("0x313ce567", "0x70a08231" + "0" * 24 + SAFE[2:])
        return json.dumps(f"0x{word:064x}").encode()

    monkeypatch.setattr(Endpoint, "call", call)


def asked(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[Any]:
    node(monkeypatch, **changes)
    return ready.by_the_chain("http://127.0.0.1:1", 1, [Token("PERP", PERP, 18, "test")], {PERP: HELD}, SAFE)


def test_the_chain_is_asked_for_decimals_and_money(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch) == []
    (poor,) = asked(monkeypatch, held=HELD - 1)
    assert (poor.level, f"holds {HELD - 1} base units" in str(poor)) == ("warning", True)
    (wrong,) = asked(monkeypatch, decimals=6)
    assert (wrong.level, wrong.code, "factor of 1e12" in str(wrong)) == ("error", "decimals-differ", True)
    with pytest.raises(InputError, match="No token answers decimals"):
        asked(monkeypatch, decimals=None)
    with pytest.raises(InputError, match=r"a node of chain 100, and \[claims\] pays on chain 1"):
        asked(monkeypatch, chain=100)


def test_the_clock_is_read_here_and_never_in_a_run(published: Path) -> None:
    incident = perpcomp.published(published).incident
    assert [one.code for one in ready.by_the_clock(incident, datetime(2021, 2, 28, tzinfo=UTC))] == []
    assert [one.code for one in ready.by_the_clock(incident, datetime(2021, 3, 2, tzinfo=UTC))] == ["start-in-the-past"]


def test_a_root_of_an_earlier_run_is_not_used_again(published: Path, tmp_path: Path) -> None:
    assert len(ready.roots(published)) == 8  # four tranches, in two formats
    shutil.copytree(published, tmp_path / "before")
    done = call("claims", "ready", str(published), "--earlier", str(tmp_path / "before"), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 4
    assert "every proof would pay twice" in done.stderr
    assert "NOT READY: by the clock, 1 earlier run; 8 roots." in done.stderr
    for file in (tmp_path / "before" / "claims" / "perp-redeem").glob("perp-*.json"):
        file.unlink()
    done = call("claims", "ready", str(published), "--earlier", str(tmp_path / "before"), cwd=tmp_path)
    assert (done.returncode, done.stderr.count("error: ")) == (0, 0)
    assert "READY, with warnings" in done.stderr


@pytest.mark.parametrize(("words", "said"), [(("--earlier", "out"), "is the run itself"), (("--earlier", "in"), "holds no claim tree")])
def test_a_folder_that_is_no_earlier_run_is_refused(words: tuple[str, ...], said: str, published: Path, tmp_path: Path) -> None:
    done = call("claims", "ready", "out", *words, cwd=tmp_path)
    assert (done.returncode, said in done.stderr) == (2, True)


def test_a_run_without_files_is_not_looked_at(tmp_path: Path) -> None:
    rehearsal = Path(__file__).parent.parent / "outputs" / "rehearsal"
    done = call("claims", "ready", str(rehearsal), cwd=tmp_path)
    assert (done.returncode, "has no files of claims" in done.stderr) == (2, True)
