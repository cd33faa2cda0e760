"""Events pulled from a live chain by two worker processes: the files of one process to the byte, or a refusal that names the worker."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from msgspec import structs

from perpcomp.engine import Engine, open_engine
from perpcomp.findings import InputError
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node import pull
from perpcomp.ingest.node.by_workers import FetchPart
from perpcomp.ingest.node.fetch import AGAIN
from perpcomp.ingest.node.held import Options
from perpcomp.ingest.node.refusals import Range
from perpcomp.packing import pack
from perpcomp.systems.perpetual_v1.events import TOPICS
from tests.chain.faults import Fault
from tests.chain.proxy import Proxy
from tests.chain.test_fetch import KEY, options
from tests.chain.traded import TradedChain
from tests.commands import call

Urls = Sequence[str]
Change = Callable[[int, Urls, Range], Urls]  # the URLs that a worker is told, of the how manieth part, ours, and its blocks


@pytest.fixture
def cluster(scheduler: str) -> Iterator[Engine]:
    with open_engine("dask", scheduler) as engine:
        yield engine


def pulled(incident: Incident, url: str, how: Options, *engine: Engine) -> dict[str, bytes]:
    """The store's files by name, after a fetch."""
    pull.fetch(incident, sorted(TOPICS), [url], how, *engine)
    return files(how.store)


def files(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


@pytest.fixture
def by_one_process(crash_chain: TradedChain, about: Incident, tmp_path: Path) -> dict[str, bytes]:
    return pulled(about, crash_chain.url, options(crash_chain, tmp_path / "alone", prove="all"))


def told(engine: Engine, change: Change) -> Engine:
    """The engine, whose workers are told other URLs than this process was; parts are counted over all rounds."""
    numbers = count()

    def mapped(function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        if isinstance(function, FetchPart):
            assert KEY.encode() not in pack(function), "it may be written to a file"
            parts = [(change(next(numbers), urls, blocks), blocks) for urls, blocks in parts]
        return engine.map(function, parts)

    return structs.replace(engine, map=mapped)


def test_workers_leave_the_files_of_one_process(
    crash_chain: TradedChain,
    about: Incident,
    cluster: Engine,
    by_one_process: dict[str, bytes],
    tmp_path: Path,
) -> None:
    """And this process asks for no log."""
    workers = told(cluster, lambda n, urls, blocks: [crash_chain.url])
    with Proxy(crash_chain.url) as proxy:
        assert pulled(about, proxy.url, options(crash_chain, tmp_path, prove="all"), workers) == by_one_process
    assert "eth_getLogs" not in proxy.counts
    assert by_one_process["journal.jsonl"].count(b"last_hash") > 3, "there was something to share out"


def test_a_killed_worker_changes_no_file(
    crash_chain: TradedChain,
    about: Incident,
    scheduler: str,
    cluster: Engine,
    by_one_process: dict[str, bytes],
    tmp_path: Path,
) -> None:
    with Client(scheduler, set_as_default=False) as client:
        pids = sorted(client.run(os.getpid).values())
    asked = list[str]()

    def killing(function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        for result in cluster.map(function, parts):
            if not asked:
                os.kill(pids[0], signal.SIGKILL)
                asked.append("killed")
            yield result

    with Proxy(crash_chain.url, [Fault("late", permanent=True, delay=0.05)]) as proxy:
        assert (
            pulled(about, proxy.url, options(crash_chain, tmp_path, prove="all"), structs.replace(cluster, map=killing)) == by_one_process
        )
    with Client(scheduler, set_as_default=False) as client:
        assert pids[0] not in client.run(os.getpid).values(), "the worker was not killed"


def test_an_interrupted_fetch_goes_on_where_it_stopped(
    crash_chain: TradedChain,
    about: Incident,
    cluster: Engine,
    by_one_process: dict[str, bytes],
    tmp_path: Path,
) -> None:
    """After two parts; by the workers again, and by one process."""
    asked = list[Range]()

    def interrupted(n: int, urls: Urls, blocks: Range) -> Urls:
        asked.append(blocks)
        return urls if n < 2 else ["http://127.0.0.1:1"]

    for engines in ((cluster,), ()):
        how = options(crash_chain, tmp_path / str(len(engines)), prove="all", attempts=1)
        with pytest.raises(InputError, match="cannot be reached"):
            pulled(about, crash_chain.url, how, told(cluster, interrupted))
        listed = (how.store / "journal.jsonl").read_bytes()
        assert listed.count(b"last_hash") == 2
        with Proxy(crash_chain.url) as proxy:
            assert pulled(about, proxy.url, how, *engines) == by_one_process
        first = min(int(request.params[0]["fromBlock"], 16) for request in proxy.requests if request.method == "eth_getLogs")
        assert first == asked[2][0]


def test_a_scheduler_that_is_lost_is_named_and_what_was_fetched_stays(
    crash_chain: TradedChain,
    about: Incident,
    by_one_process: dict[str, bytes],
    scheduler_process: tuple[str, subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    address, process = scheduler_process
    how = options(crash_chain, tmp_path, prove="all")
    with open_engine("dask", address) as cluster:

        def losing(function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
            for result in cluster.map(function, parts):
                yield result
                process.kill()

        with pytest.raises(InputError, match=r"the scheduler tcp://.*: The connection was lost\.") as refused:
            pulled(about, crash_chain.url, how, structs.replace(cluster, map=losing))
    assert refused.value.exit_code == 3
    assert 1 <= (how.store / "journal.jsonl").read_bytes().count(b"last_hash") < 4
    assert pulled(about, crash_chain.url, how) == by_one_process


@pytest.mark.parametrize("fault", [Fault("reorg", permanent=True), Fault("empty-range", permanent=True)], ids=lambda f: f.kind)
def test_parts_by_nodes_that_differ_are_fetched_again_until_they_fit(
    fault: Fault,
    crash_chain: TradedChain,
    about: Incident,
    cluster: Engine,
    by_one_process: dict[str, bytes],
    tmp_path: Path,
) -> None:
    """One worker's node is on another end of the chain, or has lost its logs: once, and then always."""
    with Proxy(crash_chain.url, [replace(fault, at=crash_chain.first_block + 50)]) as other:
        once = told(cluster, lambda n, urls, blocks: [other.url] if n == 2 else urls)
        found = pulled(about, crash_chain.url, options(crash_chain, tmp_path / "once", prove="all"), once)
        assert found | by_one_process == found
        assert {name.partition("/")[0] for name in {*found} - {*by_one_process}} <= {"segments"}, "of a dead end, and not listed"
        assert other.hits[fault.kind]
        rounds = list[int]()

        def always(n: int, urls: Urls, blocks: Range) -> Urls:
            rounds.append(n)
            return [other.url] if blocks[0] > crash_chain.first_block + 60 else urls

        how = options(crash_chain, tmp_path / "always")
        with pytest.raises(InputError, match=f"did not fit together at each of {AGAIN} attempts") as refused:
            pulled(about, crash_chain.url, how, told(cluster, always))
    assert refused.value.exit_code == 3
    assert not (how.store / "logs.parquet").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1", r"eth_chainId failed 3 times; .* http://127\.0\.0\.1 cannot be reached"),
        (None, r"--rpc: .* is a node of chain \d+, but live is"),
    ],
    ids=["unreachable", "another-chain"],
)
def test_a_worker_that_cannot_ask_the_node_is_named_and_the_key_is_not(
    url: str | None,
    said: str,
    crash_chain: TradedChain,
    about: Incident,
    scheduler: str,
    cluster: Engine,
    tmp_path: Path,
) -> None:
    """Neither in the words, nor in what the workers and the scheduler log, nor in a file."""
    with Proxy(crash_chain.url, [Fault("wrong-chain-id", permanent=True)]) as other:
        workers = told(cluster, lambda n, urls, blocks: [f"{url or other.url}/v3/{KEY}?apikey={KEY}"])
        with pytest.raises(InputError, match=rf"^the worker tcp://127\.0\.0\.1:\d+, .*{said}") as refused:
            pulled(about, crash_chain.url, options(crash_chain, tmp_path, second=f"{crash_chain.url}?key={KEY}"), workers)
    assert refused.value.exit_code == 3
    with Client(scheduler, set_as_default=False) as client:
        logs = str([client.get_worker_logs(), client.get_scheduler_logs()])
    assert "Compute Failed" in logs, "there was something to read"
    assert KEY not in str(refused.value) + logs
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_a_worker_with_other_storage_is_refused(
    crash_chain: TradedChain,
    about: Incident,
    cluster: Engine,
    tmp_path: Path,
) -> None:
    """It joined later, so nobody asked it whether it sees the store."""

    def elsewhere(function: Any, parts: Iterable[Any]) -> Iterator[Any]:
        for n, part in enumerate(parts):
            yield from cluster.map(replace(function, options=replace(function.options, store=other)) if n else function, [part])

    for name, said in (
        ("missing", r"the worker tcp://.*: It cannot use a file \(.*No such file"),
        ("mine", r"segments: .*, is not here\."),
    ):
        other, how = tmp_path / name, options(crash_chain, tmp_path / f"with {name}")
        if name == "mine":
            (other / "segments").mkdir(parents=True)
        with pytest.raises(InputError, match=said) as refused:
            pulled(about, crash_chain.url, how, structs.replace(cluster, map=elsewhere))
        assert refused.value.exit_code == 3
        assert (how.store / "journal.jsonl").read_bytes().count(b"last_hash") == 1
        assert other.exists() is (name == "mine"), "no worker makes the store's folder"


def test_the_command_fetches_by_the_workers(
    crash_chain: TradedChain,
    about: Incident,
    scheduler: str,
    final: str,
    tmp_path: Path,
) -> None:
    """And decodes what they fetched, as without them."""
    told = []
    for folder, engine in (("alone", ()), ("shared", ("--engine", "dask", "--scheduler", scheduler))):
        (tmp_path / folder).mkdir()
        words = ("events", str(about.folder / "live.toml"), "--rpc", crash_chain.url, "--blocks", final, "--csv")
        done = call(*words, *engine, cwd=tmp_path / folder)
        assert done.returncode == 1, done.stderr
        assert "all final" in done.stderr
        told.append((done.stdout, re.sub(r"; \d+ requests;", "", done.stderr), files(tmp_path / folder / "store")))
    assert told[0] == told[1]
