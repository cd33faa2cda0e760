"""`perpcomp` without a process of its own: the same words, streams and exit code, and no second of imports each time.

`process` starts the installed program: for signals, pipes, imports, a path of its own, and that the program is there at all.
"""

import contextlib
import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from unittest import mock

from perpcomp.cli import panels
from perpcomp.cli.main import main

panels.load([])  # in the order of the help page, whatever is called first
PERPCOMP = str(Path(sys.executable).with_name("perpcomp"))


class Captured(io.TextIOWrapper):
    """A stream that remembers, and says whether it is a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def text(self) -> str:
        kept = self.buffer
        assert isinstance(kept, io.BytesIO)
        return kept.getvalue().decode()


def call(*arguments: str, cwd: Path, terminal: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `perpcomp` with these arguments does in that folder. An exception that would print a stack is raised to the test."""
    out, err = Captured(terminal), Captured(False)
    code: object = 0
    with (
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", ["perpcomp", *arguments]),
        mock.patch.object(sys.modules["__main__"], "__package__", None),  # else the help names pytest as the program
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            main()
        except SystemExit as ending:
            code = 0 if ending.code is None else ending.code
        finally:
            signal.signal(signal.SIGINT, on_interrupt)
    assert isinstance(code, int), f"an exit code is a number, not {code!r}"
    return subprocess.CompletedProcess(["perpcomp", *arguments], code, out.text, err.text)


def on_terminal(columns: int, *arguments: str, cwd: Path) -> str:
    """What a terminal of that width is shown, without colours."""
    done = call(*arguments, cwd=cwd, terminal=True, COLUMNS=str(columns), TERM="xterm", NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def terminal_of(columns: int) -> tuple[int, int]:
    """Our end and the program's end of a pseudo-terminal of so many columns and 24 rows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    return ours, theirs


def read_terminal(ours: int, plain: bool = True) -> str:
    """All that a program writes to a terminal until it closes it; without styles if `plain`."""
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    text = shown.decode().replace("\r\n", "\n")
    return re.sub(r"\x1b\[[0-9;]*m", "", text) if plain else text


def on_real_terminal(columns: int, *arguments: str, cwd: Path) -> str:
    """What the installed program shows on a real terminal of that width, without colours."""
    ours, theirs = terminal_of(columns)
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm", "NO_COLOR": "1"}
    running = subprocess.Popen([PERPCOMP, *arguments], cwd=cwd, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    text = read_terminal(ours)
    assert running.wait() == 0
    return text


def process(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same by the installed program, in a process of its own."""
    return subprocess.run([PERPCOMP, *arguments], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
