"""The node comes, goes, and says why when it cannot come."""

import shutil
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import npm
from tests.chain.anvil import chain
from tests.chain.node import HERE, NodeTools, install
from tests.chain.rpc import Rpc
from tests.npm import NodeToolsMissing

ENDLESS = """
import sys, time
from pathlib import Path
from tests.chain.anvil import chain
with chain(Path(sys.argv[1]), 5, 1_600_000_000) as url:
    print(url, flush=True)
    time.sleep(60)
"""


def listens(url: str) -> bool:
    """Whether anything does, there."""
    try:
        HTTPConnection(urlsplit(url).netloc, timeout=1).connect()
    except ConnectionRefusedError:
        return False
    return True


def gone(url: str) -> bool:
    """Whether nothing listens there any more, within two seconds."""
    deadline = time.monotonic() + 2
    while listens(url) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not listens(url)


def test_a_chain_starts_as_told_and_ends_with_an_error_too(node_tools: NodeTools) -> None:
    seen = []

    def fail() -> None:
        with chain(node_tools.anvil, 5, 1_600_000_000) as url:
            rpc = Rpc(url)
            seen.extend([url, rpc("eth_chainId"), rpc("eth_blockNumber"), rpc("eth_getBlockByNumber", "latest", False)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    url, *answers, block = seen
    assert answers == ["0x64", "0x5"]
    assert "baseFeePerGas" not in block
    assert gone(url)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_no_node_outlives_the_process_that_started_it(node_tools: NodeTools, end: signal.Signals) -> None:
    command = [sys.executable, "-c", ENDLESS, str(node_tools.anvil)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent.parent) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert listens(url)
        process.send_signal(end)
    assert gone(url)


def test_a_registry_out_of_reach_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(HERE / "package.json", tmp_path)
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1/")
    monkeypatch.setattr(npm, "PATIENCE", ("--fetch-retries=0",))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(NodeToolsMissing, match=r"registry cannot be reached.*make test-offline"):
        install(tmp_path)
    assert not list(tmp_path.rglob(".installed"))
