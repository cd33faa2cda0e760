"""Runs of the recorded chains, made once, and how many examples a property gets."""

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import perpcomp
from perpcomp.audit import bundle
from perpcomp.run import Run
from tests.browser.chromium import CHROMIUM
from tests.office import SOFFICE

LAB = Path(__file__).parent / "lab"

settings.register_profile("default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", settings.get_profile("default"), max_examples=10_000, derandomize=False)
# Under another interpreter: that the arithmetic is the same there shows in fewer examples.
settings.register_profile("brief", settings.get_profile("default"), max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


# What shares a node, a cluster or a costly fixture, and so stays in one process where there are several.
TOGETHER = (
    "tests/browser/",
    "tests/chain/",
    "tests/test_engine.py",
    "tests/test_guards_counterfactual.py",
    "tests/test_object_store.py",
    "tests/test_replay.py",
    "tests/test_report.py",
    "tests/test_synthetix_v2.py",
    "tests/test_terminal.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each place of TOGETHER as one piece of work, the largest first; every other test alone, to whichever process is free."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((place for place in TOGETHER if nodeid.startswith(place)), nodeid)

    return Together(config, log)


# Marker -> the program that its tests need, where the machine has it.
PROGRAMS = {"office": ("LibreOffice (soffice)", SOFFICE), "browser": ("Chromium (chromium)", CHROMIUM)}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests whose program is not here are left out; the summary says so, and .ci/run installs it."""
    absent = [marker for marker, (_, place) in PROGRAMS.items() if place is None]
    without = [item for item in items if any(item.get_closest_marker(marker) for marker in absent)]
    if without:
        items[:] = [item for item in items if item not in without]
        config.hook.pytest_deselected(items=without)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for marker, (program, place) in PROGRAMS.items():
        if place is None:
            terminalreporter.write_line(f"LEFT OUT: the tests marked {marker}, because there is no {program} here. .ci/run installs it.")


@cache
def truth(name: str) -> dict[str, Any]:
    """The contract views recorded with a chain: a check, never an input, and never changed by a test."""
    loaded: dict[str, Any] = json.loads(gzip.decompress((LAB / name / "truth.json.gz").read_bytes()))
    return loaded


@pytest.fixture(scope="session")
def rehearsal() -> Run:
    """The built-in rehearsal: the recorded february chain."""
    return perpcomp.compute("rehearsal")


@pytest.fixture(scope="session")
def later() -> Run:
    """The chain of the later contracts: partial liquidations, era 2."""
    return perpcomp.compute(str(LAB / "later-contracts.toml"))


@pytest.fixture(scope="session")
def large() -> Run:
    """2,000 traders, 1,179 liquidations."""
    return perpcomp.compute(str(LAB / "large.toml"))


@pytest.fixture(scope="session")
def published_rehearsal(rehearsal: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the rehearsal's run as this code publishes it. No test may change it."""
    where = tmp_path_factory.mktemp("published") / "rehearsal"
    perpcomp.publish_run(rehearsal, where)
    return where


@pytest.fixture(scope="session")
def data(published_rehearsal: Path) -> bytes:
    """The bundle of the rehearsal."""
    return bundle.bundle(published_rehearsal)


@pytest.fixture
def packed(data: bytes, tmp_path: Path) -> Path:
    (tmp_path / "r.zip").write_bytes(data)
    return tmp_path / "r.zip"


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster of two worker processes with their nannies, on loopback alone."""
    from distributed import LocalCluster  # takes half a second, and few tests need it

    quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": "ERROR"}
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", env={"POLARS_MAX_THREADS": "1"}, **quiet) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def scheduler_process(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler with one worker, for a test that ends it: its address, and its process."""
    file = tmp_path / "scheduler.json"
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    python = [sys.executable, "-m"]
    with subprocess.Popen([*python, "distributed.cli.dask_scheduler", *words], stderr=subprocess.DEVNULL) as process:
        while not file.exists():
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        words = [address, "--no-nanny", "--no-dashboard", "--nthreads", "1", "--host", "127.0.0.1"]
        worker = subprocess.Popen([*python, "distributed.cli.dask_worker", *words], stderr=subprocess.DEVNULL, cwd=tmp_path)
        try:
            yield address, process
        finally:
            worker.kill()
            worker.wait()
            process.kill()
