"""Runs tests in forks of one process that has imported what they need besides perpcomp: a third of the cost of a new interpreter each.

Reads one job a line, the arguments of `Forks.run` as JSON, and answers with a `Done`.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

WALL_SECONDS = 1800


class Done(NamedTuple):
    """The exit code of pytest, below 0 where it was killed; the CPU time that it took, and what it printed."""

    code: int
    seconds: float
    output: str


class Forks:
    """The process, for `with`. `python` is the interpreter of the tests, `tree` the repository whose tests it runs."""

    def __init__(self, python: Path, tree: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(tree), "POLARS_MAX_THREADS": "1"}
        self._server = subprocess.Popen(
            [python, Path(__file__)], cwd=tree, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, tests: Sequence[str], seconds: int, environment: Mapping[str, str] | None = None, compiles: bool = False) -> Done:
        """Run pytest on these tests, for so many seconds of CPU time at most.

        `compiles`: byte code is written for the runs to come. A mutant's must not be: one of the same second and size would be taken for it.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        job = {"tests": [*tests], "seconds": seconds, "environment": {**(environment or {})}, "compiles": compiles}
        print(json.dumps(job), file=self._server.stdin, flush=True)
        return Done(**json.loads(self._server.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._server.communicate()


def _serve() -> None:
    import hypothesis.strategies
    import openpyxl
    import polars
    import pytest
    import web3

    assert pytest, (hypothesis, openpyxl, polars, web3)  # imported once, for every fork
    sys.setrecursionlimit(1000)  # a library of web3's raises it
    for line in sys.stdin:
        job = json.loads(line)
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if not child:
                _child(job, output.fileno())
            _, status, used = os.wait4(child, 0)
            output.seek(0)
            done = Done(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, output.read())
            print(json.dumps(done._asdict()), flush=True)


def _child(job: dict[str, Any], output: int) -> None:
    import pytest

    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    resource.setrlimit(resource.RLIMIT_CPU, (job["seconds"], job["seconds"]))
    signal.alarm(WALL_SECONDS)
    os.environ.update(job["environment"])
    sys.dont_write_bytecode = not job["compiles"]
    code = 3
    try:
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--tb=short", *job["tests"]]))
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
