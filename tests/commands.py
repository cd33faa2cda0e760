"""The command line without a process of its own: the same words, streams and exit code, and no second of imports each time."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from perpcomp.cli import main


def call(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `perpcomp` with these arguments does in that folder. An exception that would print a stack is raised to the test."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", ["perpcomp", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code: object = 0
        try:
            main()
        except SystemExit as ending:
            code = 0 if ending.code is None else ending.code
    assert isinstance(code, int), f"an exit code is a number, not {code!r}"
    said, words = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(["perpcomp", *arguments], code, said, words)
