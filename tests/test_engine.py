"""The Dask engine: a cluster of real processes gives the same hashes, also when one of them is killed during the work."""

import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from msgspec.structs import replace

from perpcomp import engine, pipeline, shared_input
from perpcomp.engine import LOCAL, open_engine
from perpcomp.findings import InputError
from perpcomp.input import Input, read_events
from perpcomp.packing import pack, unpack
from perpcomp.publish.files import CSV_FILES
from perpcomp.run import Run
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import row_hash
from tests.commands import call, process
from tests.test_cli import ROOT


def hashes(run: Run) -> dict[str, str]:
    """The canonical hash of every table."""
    return {name: row_hash(getattr(run, attribute), table) for name, (attribute, table) in CSV_FILES.items()} | {
        "1-events": row_hash(run.events.table, EVENTS)
    }


def in_ranges(rehearsal: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Input:
    """The rehearsal's logs as plain text, which is read in some forty ranges."""
    monkeypatch.setattr(shared_input, "RANGE_BYTES", 40_000)
    monkeypatch.setattr(shared_input, "AT_ONCE", 50)
    (folder / "logs.jsonl").write_bytes(gzip.decompress(rehearsal.input.file.read_bytes()))
    return Input(folder / "logs.jsonl", None)


def test_a_killed_worker_changes_no_hash(scheduler: str, rehearsal: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL while partitions are under way: other workers repeat what the killed one had not delivered."""
    source = in_ranges(rehearsal, tmp_path, monkeypatch)
    with Client(scheduler, set_as_default=False) as client:
        pids = sorted(client.run(os.getpid).values())
    killed: list[int] = []
    with open_engine("dask", scheduler) as cluster:

        def killing(function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
            for result in cluster.map(function, parts):
                if not killed:
                    os.kill(pids[0], signal.SIGKILL)
                    killed.append(pids[0])
                yield result

        run = pipeline.compute(rehearsal.incident, source, engine=replace(cluster, map=killing))
        assert run.events.stored is not None, "the workers did not decode the input"
    assert hashes(run) == hashes(rehearsal)
    with Client(scheduler, set_as_default=False) as client:
        assert killed[0] not in client.run(os.getpid).values(), "the worker was not killed"


def run_of(folder: Path) -> dict[str, Any]:
    """A run's files by name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_command_on_a_cluster_writes_the_published_bytes(scheduler: str, tmp_path: Path) -> None:
    done = call("run", "--engine", "dask", "--scheduler", scheduler, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run_of(tmp_path / "out") == run_of(ROOT / "outputs" / "rehearsal")
    address = scheduler.partition("//")[2].encode()
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file() and address in p.read_bytes()]


def test_a_mistake_found_by_a_worker_is_reported_as_without_a_cluster(
    scheduler: str, rehearsal: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its row in the whole file, not in the worker's piece."""
    source, messages = in_ranges(rehearsal, tmp_path, monkeypatch), []
    raw = source.file.read_bytes()
    source.file.write_bytes(raw + b"{}\n")
    with open_engine("dask", scheduler) as cluster:
        for one in (LOCAL, cluster):
            with pytest.raises(InputError) as caught:
                read_events(source, rehearsal.incident, one)
            messages.append((str(caught.value), caught.value.problems, caught.value.exit_code))
    assert messages[0] == messages[1]
    assert re.search(rf"logs\.jsonl row {len(raw.splitlines()) + 1}\b", messages[0][0])


def test_workers_of_another_version_are_refused(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "VERSION", "9.9.9")
    with (
        pytest.raises(InputError, match=r"the worker tcp://.*: The worker has perpcomp .*; this process has perpcomp 9\.9\.9") as caught,
        open_engine("dask", scheduler),
    ):
        pass
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "tcp://me:secret@127.0.0.1:{port}", "nonsense://x?secret"])
def test_a_scheduler_that_cannot_be_reached_exits_with_3(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SECONDS", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(InputError) as caught, open_engine("dask", address.format(port=taken.getsockname()[1])):
            pass
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith("the scheduler ")
    assert "Is it running there?" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_a_scheduler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InputError, match=r"cannot be reached \(it sends nothing\)") as caught, open_engine("dask", address):
            pass
    assert caught.value.exit_code == 3


def test_a_scheduler_without_workers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SECONDS", 1)
    empty = LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs="ERROR")
    with empty as cluster, pytest.raises(InputError, match="has no workers") as caught, open_engine("dask", cluster.scheduler_address):
        pass
    assert caught.value.exit_code == 3


def test_a_scheduler_without_the_engine_dask_is_refused(tmp_path: Path) -> None:
    done = call("run", "--scheduler", "tcp://127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 2
    assert "Add --engine dask." in done.stderr


def test_without_dask_the_command_says_what_to_install(tmp_path: Path) -> None:
    """The modules of Dask cannot be imported, as in an installation without the extra."""
    for module in ("dask", "distributed"):
        (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('No module named {module}')\n")
    done = process("liquidations", "--engine", "dask", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "pip install 'perpcomp[dask]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_of_local_logs_imports_neither_dask_nor_web3() -> None:
    script = "import sys, perpcomp; perpcomp.compute(); assert not {'dask', 'distributed', 'web3', 'aiohttp'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_packed_values_are_unpacked_unchanged(large: Run) -> None:
    things = (len, {"liquidations": large.liquidations, "events": large.events.table}, large.liquidations.clear(), "", None)
    function, tables, *rest = unpack(pack(things))
    assert function is len
    assert rest[1:] == ["", None]
    for name, frame in (("liquidations", large.liquidations), ("events", large.events.table)):
        assert tables[name].equals(frame)
        assert tables[name].schema == frame.schema
    assert rest[0].schema == large.liquidations.schema


def test_a_large_frame_is_left_on_the_shared_storage(large: Run, tmp_path: Path) -> None:
    """A task's result is read and removed; what many tasks read stays."""
    result = pack(large.liquidations, tmp_path)
    assert len(result) < 1_000 < large.liquidations.estimated_size()
    assert unpack(result).equals(large.liquidations)
    assert not [*tmp_path.iterdir()]
    shared = pack((sorted, large.liquidations), tmp_path, once=False)
    assert unpack(shared)[1].equals(unpack(shared)[1])


def test_a_worker_that_came_later_with_another_version_is_refused(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_engine("dask", scheduler) as cluster:
        monkeypatch.setattr(engine, "VERSION", "9.9.9")  # as of this process, so that no worker's is the same
        with pytest.raises(
            InputError, match=r"the worker tcp://.*: The worker has perpcomp .*; this process has perpcomp 9\.9\.9"
        ) as caught:
            next(cluster.map(len, ["abc"]))
    assert caught.value.exit_code == 2


def test_a_file_that_a_worker_does_not_see_is_named(scheduler: str, tmp_path: Path) -> None:
    said = r"the worker tcp://.*: It cannot use a file \(.*gone.*\)\. The input and .* --scratch"
    with open_engine("dask", scheduler, tmp_path) as cluster, pytest.raises(InputError, match=said) as caught:
        next(cluster.map(Path.read_bytes, [tmp_path / "gone"]))
    assert caught.value.exit_code == 3


def test_a_file_named_from_the_current_folder_is_seen_by_workers_of_another_one(scheduler: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "queries" / "rehearsal" / "logs.jsonl.gz", tmp_path)
    words = ("liquidations", "--input", "logs.jsonl.gz", "--csv")
    done = call(*words, "--engine", "dask", "--scheduler", scheduler, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, call(*words, cwd=tmp_path).stdout), done.stderr


class Elsewhere:
    """A cluster of two workers, of which one has storage of its own."""

    def run(self, function: Callable[..., Any], *arguments: Any, on_error: str) -> dict[str, Any]:
        assert on_error == "return"
        return {"tcp://one": function(*arguments), "tcp://other": FileNotFoundError(2, "No such file or directory", "/x")}


def test_a_folder_that_a_worker_does_not_see_is_refused(tmp_path: Path) -> None:
    cluster: Any = Elsewhere()
    with pytest.raises(
        InputError, match=r"the worker tcp://other: It does not see or cannot write the folder .*--scratch FOLDER"
    ) as caught:
        engine._check_shared(cluster, tmp_path, "--scratch")
    assert caught.value.exit_code == 3
    assert not [*tmp_path.iterdir()]
    (tmp_path / "logs.jsonl").write_text("x")
    with pytest.raises(InputError, match=r"the worker tcp://other: It does not see this process's file") as caught:
        engine._check_files(cluster, [tmp_path / "logs.jsonl"])
    assert caught.value.exit_code == 3


def test_a_file_of_another_size_is_another_file(tmp_path: Path) -> None:
    (tmp_path / "logs.jsonl").write_text("x")
    assert engine._unseen([(tmp_path / "logs.jsonl", 1)]) is None
    assert engine._unseen([(tmp_path / "logs.jsonl", 2)]) == tmp_path / "logs.jsonl"


def test_a_scheduler_that_is_lost_during_the_work_is_named(scheduler_process: tuple[str, subprocess.Popen[bytes]]) -> None:
    """And the run ends soon."""
    address, process = scheduler_process
    with open_engine("dask", address) as cluster:
        results = cluster.map(len, ["abc"] * 1_000)
        assert next(results) == 3
        process.kill()
        with pytest.raises(InputError, match=r"the scheduler tcp://.*: The connection was lost\.") as caught:
            deque(results)
    assert caught.value.exit_code == 3
