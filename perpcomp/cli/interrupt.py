"""What Ctrl-C does: before and after a command it ends the process at once, during one it lets the command clean up first."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

CODE = 130  # the shell's code for Ctrl-C: 128 + SIGINT
WORDS = "Interrupted. No file was left incomplete. Type the same command to start again."


def end_at_once() -> None:
    """From here on, Ctrl-C ends the process with a sentence. Only where nothing is being written: no clean-up runs."""
    signal.signal(signal.SIGINT, _end)


@contextmanager
def clean_up_first() -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    finally:
        end_at_once()


def nothing_left() -> None:
    """From here on, Ctrl-C changes nothing: all is done. Python's own end would restore the default, which kills without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(number: int, frame: object) -> NoReturn:
    os.write(2, f"{WORDS}\n".encode())
    os._exit(CODE)
