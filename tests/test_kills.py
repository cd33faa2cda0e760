"""kill -9 at random moments of a run and of packing it: what stands there afterwards is the old run or the new one, never a mixture.

The processes are forked from one that has imported everything: 1,000 kills in make fuzz, 20 in CI. tests/chain/test_fetch.py kills
while logs are fetched.
"""

import hashlib
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import perpcomp
from perpcomp.audit import archive, bundle
from perpcomp.publish import folder
from perpcomp.publish.stated import MANIFEST, parse_manifest
from perpcomp.run import Run
from perpcomp.writing import write_whole

KILLS = 1_000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 20
FORMULAS = ("margin-upl-funding", "margin-only")  # two runs of one incident, so that one replaces the other

Files = Mapping[str, bytes]


def works(formula: str, out: str, packed: str) -> None:
    """Compute, publish and pack a run, as the commands `run` and `bundle` do."""
    perpcomp.publish_run(perpcomp.compute("rehearsal", formula=formula), Path(out), force=True)
    bundle.write(Path(packed), bundle.bundle(Path(out)))


def rewrites(out: str, both: list[Files]) -> None:
    """Replace a run by another one, again and again."""
    while True:
        for files in both:
            with folder.reserve(Path(out)):
                folder.write(Path(out), files, force=True)


def repacks(packed: str, both: list[bytes]) -> None:
    while True:
        for data in both:
            write_whole(Path(packed), data)


@pytest.fixture(scope="module")
def forks() -> Any:
    """Where processes are forked."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "perpcomp.pipeline", "perpcomp.publish.files", "perpcomp.publish.manifest"])
    return context


def begin(ready: Any, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    ready.send(None)
    work(*arguments)


def killed(forks: Any, work: Callable[..., None], arguments: tuple[object, ...], seconds: float) -> None:
    """Kill the work so many seconds after it began, unless it is done."""
    begun, ready = forks.Pipe(duplex=False)
    process = forks.Process(target=begin, args=(ready, work, arguments))
    process.start()
    begun.recv()
    time.sleep(seconds)
    process.kill()
    process.join()


@pytest.fixture(scope="module")
def both(rehearsal: Run, published_rehearsal: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Files]:
    """The files of both runs."""
    other = tmp_path_factory.mktemp("other") / "run"
    perpcomp.publish_run(perpcomp.compute("rehearsal", formula=FORMULAS[1]), other)
    return [
        {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        for place in (published_rehearsal, other)
    ]


def run_in(out: Path, both: list[Files]) -> int | None:
    """Which of the two runs the folder holds, whole; None where it is no run, because it has no manifest."""
    if not (out / MANIFEST).exists():
        return None
    data = (out / MANIFEST).read_bytes()
    stated = parse_manifest(data, MANIFEST)["files"]
    wrong = [name for name in stated if hashlib.sha256((out / name).read_bytes()).hexdigest() != stated[name]["sha256"]]
    assert wrong == []
    return [files[MANIFEST] for files in both].index(data)


@pytest.mark.property
def test_runs_and_bundles_killed_at_any_moment_are_whole(forks: Any, both: list[Files], tmp_path: Path) -> None:
    """While logs are read, amounts are computed, files are written, and the bundle is packed."""
    out, packed, chance = tmp_path / "out", tmp_path / "b.zip", random.Random(5)
    begun = time.monotonic()
    works(FORMULAS[0], str(out), str(packed))
    whole = time.monotonic() - begun
    bundles, held = [archive.pack(files) for files in both], 0
    for n in range(1, KILLS + 1):
        killed(forks, works, (FORMULAS[n % 2], str(out), str(packed)), chance.random() * whole)
        now = run_in(out, both)
        assert now in (held, n % 2, None)
        held = held if now is None else now
        assert packed.read_bytes() in bundles
    works(FORMULAS[0], str(out), str(packed))
    assert run_in(out, both) == 0
    assert not list(out.rglob(".*")), "the next run clears what a killed one left"


@pytest.mark.property
def test_a_folder_killed_while_a_run_replaces_another_is_never_a_mixture(forks: Any, both: list[Files], tmp_path: Path) -> None:
    chance, out, seen = random.Random(4), tmp_path / "out", set[int | None]({None})
    for _ in range(KILLS):
        if run_in(out, both) is None:
            with folder.reserve(out):
                folder.write(out, both[0])
        killed(forks, rewrites, (str(out), both), chance.random() / 5)
        seen.add(run_in(out, both))
    assert seen > {None}, "most kills leave one of the two runs"


@pytest.mark.property
def test_a_bundle_killed_while_it_is_written_is_the_old_one_or_the_new_one(forks: Any, both: list[Files], tmp_path: Path) -> None:
    chance, packed, bundles = random.Random(3), tmp_path / "b.zip", [archive.pack(files) for files in both]
    for _ in range(KILLS):
        killed(forks, repacks, (str(packed), bundles), chance.random() / 10)
        assert not packed.exists() or packed.read_bytes() in bundles
    assert packed.exists()
    write_whole(packed, bundles[0])
    assert [path.name for path in tmp_path.iterdir()] == [packed.name], "the next bundle replaces what a killed one left"
