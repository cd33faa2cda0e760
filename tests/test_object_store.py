"""An input in an object store gives the bytes that the same input on disk gives, here and on a cluster, and every failure ends in words.

moto answers as S3 does. `Store` can stop answering after any number of requests.
"""

import logging
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import s3fs
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

import perpcomp
from perpcomp import pipeline
from perpcomp.engine import open_engine
from perpcomp.findings import InputError
from perpcomp.input import Input, find_input, read_events
from perpcomp.object_store import located, url
from perpcomp.packing import pack, unpack
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1.events import TOPICS
from tests.commands import call
from tests.raw_logs import read_logs

BUCKET = "s3://logs"


@dataclass
class Store:
    """A server of objects. It refuses what comes after `left` requests."""

    server: BaseWSGIServer = field(init=False)
    left: int = sys.maxsize
    asked: int = 0

    def __post_init__(self) -> None:
        answers = DomainDispatcherApplication(create_backend_app)

        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
            self.asked += 1
            if self.asked > self.left:
                start("403 Forbidden", [("Content-Type", "application/xml")])
                return [b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"]
            return answers(environ, start)

        self.server = make_server("127.0.0.1", 0, answer, threaded=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def answers(self, left: int) -> None:
        """Answer so many requests from now on. No process remembers earlier ones."""
        self.left, self.asked = left, 0
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def objects(rehearsal: Run) -> Iterator[Store]:
    """The rehearsal's logs as one file and as a folder of Parquet files."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = Store()
    thread = threading.Thread(target=store.server.serve_forever)
    thread.start()
    try:
        client = s3fs.S3FileSystem(key="x", secret="x", endpoint_url=store.endpoint)
        client.mkdir("logs")
        client.pipe("logs/packed/logs.jsonl.gz", rehearsal.input.file.read_bytes())
        for name, data in parts(rehearsal).items():
            client.pipe(f"logs/parts/{name}", data)
        yield store
    finally:
        store.server.shutdown()
        thread.join()
        store.server.server_close()


@pytest.fixture(autouse=True)
def credentials(objects: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": objects.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    objects.answers(sys.maxsize)
    yield
    objects.answers(sys.maxsize)


def parts(run: Run) -> dict[str, bytes]:
    """The rehearsal's logs as three Parquet files."""
    addresses = [run.incident.chain.clearing_house, *(market.amm for market in run.incident.markets)]
    raw = read_logs(run.input.file, addresses, TOPICS).drop("row")
    size = -(-raw.height // 3)
    return {f"{n}.parquet": parquet(raw.slice(n * size, size)) for n in range(3)}


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def on_disk(run: Run, name: str, folder: Path) -> Path:
    """The same input as an object of that name, on disk."""
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if name == "parts":
        place.mkdir()
        for part, data in parts(run).items():
            (place / part).write_bytes(data)
    else:
        shutil.copyfile(run.input.file, place)
    return place


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["parts", "packed/logs.jsonl.gz"])
def test_a_run_on_objects_publishes_the_bytes_of_a_run_on_files(name: str, rehearsal: Run, tmp_path: Path) -> None:
    place = on_disk(rehearsal, name, tmp_path / "disk")
    for given, out in ((f"{BUCKET}/{name}", "far"), (str(place), "near")):
        done = call("run", "--input", given, "--out", out, "--quiet", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert files(tmp_path / "far") == files(tmp_path / "near")
    assert call("verify", "far", cwd=tmp_path).returncode == 0, "the folder holds all that a verifier needs"


def test_workers_read_the_objects_themselves(objects: Store, rehearsal: Run, tmp_path: Path) -> None:
    source = find_input(rehearsal.incident, Path(f"{BUCKET}/parts"))
    with open_engine("dask", None, tmp_path) as cluster:
        shared = pipeline.compute(rehearsal.incident, source, engine=cluster)
        assert shared.events.stored is not None, "this process read the objects"
        alone = pipeline.compute(rehearsal.incident, Input(on_disk(rehearsal, "parts", tmp_path), None))
        assert shared.events.table.equals(alone.events.table)
        assert shared.payouts.equals(alone.payouts)


def test_a_place_in_a_store_travels_without_its_credentials() -> None:
    place = located(Path(f"{BUCKET}/parts/0.parquet"))
    packed = pack(place)
    assert b"AWS" not in packed
    assert b"secret" not in packed.lower()
    assert unpack(packed).read_bytes()[:4] == b"PAR1"


def test_a_url_keeps_both_slashes() -> None:
    assert url(Path("s3://logs/a")) == "s3://logs/a"
    assert url(Path("az://logs/s3:/a")) == "az://logs/s3:/a"
    assert url(Path("/here/s3:/a")) == "/here/s3:/a"


def test_a_local_file_with_such_a_name_is_read_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "logs").mkdir(parents=True)
    assert isinstance(located(Path("s3://logs")), Path)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("s3://logs/none.jsonl", 2, "s3://logs/none.jsonl: The object store holds nothing of this name."),
        ("s3://none/logs.jsonl", 2, "s3://none/logs.jsonl: The object store holds nothing of this name."),
        ("gs://logs/logs.jsonl", 2, "gs://logs/logs.jsonl: What reads this object store is not installed (Please install gcsfs"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, code: int, words: str, tmp_path: Path) -> None:
    done = call("liquidations", "--input", name, cwd=tmp_path)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = call("liquidations", "--input", f"{BUCKET}/parts", cwd=tmp_path, AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert done.returncode == 3
    assert "It did not give what was asked (Could not connect to the endpoint URL" in done.stderr


def test_absent_credentials_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    done = call("liquidations", "--input", f"{BUCKET}/parts", cwd=tmp_path)
    assert done.returncode == 3
    assert "Are bucket, region and credentials right?" in done.stderr


def test_without_the_extra_the_command_to_type_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upath", None)
    done = call("liquidations", "--input", f"{BUCKET}/parts", cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'perpcomp[cloud]'" in done.stderr


@pytest.mark.parametrize("name", ["parts", "packed/logs.jsonl.gz"])
def test_a_store_that_stops_answering_ends_the_run_in_words(name: str, objects: Store, tmp_path: Path) -> None:
    """After every number of requests: a sentence, a code, and no run."""
    assert call("run", "--input", f"{BUCKET}/{name}", "--out", "whole", "--quiet", cwd=tmp_path).returncode == 0
    needed = objects.asked
    assert needed > 3
    for left in range(needed):
        objects.answers(left)
        done = call("run", "--input", f"{BUCKET}/{name}", "--out", f"after-{left}", "--quiet", cwd=tmp_path)
        assert done.returncode in (2, 3), f"after {left} requests: {done.stdout}"
        assert re.match(r"error: (the object store|[\w.]+): (It did not give what was asked|The file cannot be read)", done.stderr), (
            done.stderr
        )
        assert not (tmp_path / f"after-{left}" / "manifest.json").exists()


def test_a_worker_without_access_is_named(objects: Store, rehearsal: Run, tmp_path: Path) -> None:
    source = find_input(rehearsal.incident, Path(f"{BUCKET}/parts"))
    with open_engine("dask", None, tmp_path) as cluster:
        assert source.files
        objects.left = 0
        with pytest.raises(InputError, match=r"the worker .*: It does not see this process's file s3://logs/parts/0.parquet") as caught:
            read_events(source, rehearsal.incident, cluster)
    assert caught.value.exit_code == 3


def test_a_worker_without_the_extra_is_named(
    scheduler_process: tuple[str, subprocess.Popen[bytes]], rehearsal: Run, tmp_path: Path
) -> None:
    (tmp_path / "upath.py").write_text("raise ImportError('no upath here')")  # in the worker's folder, so it comes first there
    source = find_input(rehearsal.incident, Path(f"{BUCKET}/parts"))
    with (
        open_engine("dask", scheduler_process[0], tmp_path) as cluster,
        pytest.raises(InputError, match=r"the worker .*: It does not see this process's files .*no upath here") as caught,
    ):
        read_events(source, rehearsal.incident, cluster)
    assert caught.value.exit_code == 3


def test_init_drafts_from_objects(tmp_path: Path) -> None:
    done = call("init", "mine", "--input", f"{BUCKET}/packed/logs.jsonl.gz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"perpcomp run mine.toml --input {BUCKET}/packed/logs.jsonl.gz" in done.stderr
    assert perpcomp.check(str(tmp_path / "mine.toml")) is not None
