"""Running chains, made once a session. Everything under this folder is marked `chain`: `pytest -m "not chain"` needs no node."""

import re
from collections.abc import Iterator

import pytest

from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from tests.chain.crash import crash, later_crash
from tests.chain.node import NodeTools, install
from tests.chain.perps_v2_crash import CrashV2, perps_v2_crash
from tests.chain.traded import TradedChain


def pytest_configure(config: pytest.Config) -> None:
    """The marker is known also where only this folder is collected."""
    config.addinivalue_line("markers", "chain: needs a local node and the contracts, from the npm registry")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Called for the tests of this folder only."""
    item.add_marker(pytest.mark.chain)


@pytest.fixture(scope="session")
def node_tools() -> NodeTools:
    """The anvil program and the compiled contracts, installed on the first use."""
    return install()


@pytest.fixture(scope="session")
def crash_chain(node_tools: NodeTools) -> Iterator[TradedChain]:
    """The contracts of February 2021 after a small crash; its node runs until the session ends. Do not send it transactions."""
    with crash(node_tools) as chain:
        yield chain


@pytest.fixture(scope="session")
def later_chain(node_tools: NodeTools) -> Iterator[TradedChain]:
    """The later contracts, with partial liquidations, after a smaller crash."""
    with later_crash(node_tools) as chain:
        yield chain


@pytest.fixture(scope="session")
def perps_v2_chain(node_tools: NodeTools) -> Iterator[CrashV2]:
    """Perps V2 after a small crash; its node runs until the session ends. Do not send it transactions."""
    with perps_v2_crash(node_tools) as chain:
        yield chain


@pytest.fixture(scope="module")
def about(crash_chain: TradedChain, tmp_path_factory: pytest.TempPathFactory) -> Incident:
    """The live chain's incident, without an input of its own."""
    folder = tmp_path_factory.mktemp("query")
    (folder / "live.toml").write_text(re.sub(r"\[input\]\nfile = .*\n", "", crash_chain.incident()))
    return incident_file.load(str(folder / "live.toml"))


@pytest.fixture
def final(crash_chain: TradedChain) -> str:
    """A range that is final by the default distance. It ends inside the window: every command that reads it ends with that error."""
    return f"{crash_chain.first_block}:{crash_chain.last_block - 40}"
