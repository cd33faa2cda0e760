"""Writing files whole: also where two processes write one file, and over what a killed process left."""

import multiprocessing
from pathlib import Path

from perpcomp.writing import write_whole

TIMES, LENGTH = 200, 100_000


def writes(path: str, letter: bytes) -> None:
    for _ in range(TIMES):
        write_whole(Path(path), letter * LENGTH)


def test_two_processes_that_write_one_file_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    both = [multiprocessing.get_context("forkserver").Process(target=writes, args=(str(path), letter)) for letter in (b"a", b"b")]
    for one in both:
        one.start()
    while any(one.is_alive() for one in both):
        assert not path.exists() or path.read_bytes() in (b"a" * LENGTH, b"b" * LENGTH)
    assert [one.exitcode for one in both] == [0, 0]
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    (tmp_path / ".b.zip.partial").write_bytes(b"x" * LENGTH)
    write_whole(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
