"""What Ctrl-C does: before and after a command it ends the process at once, during one it lets the command clean up first."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from perpcomp import progress

if TYPE_CHECKING:
    from socket import socket

CODE = 130  # the shell's code for Ctrl-C: 128 + SIGINT
# Packages in whose code an exception is dropped, printed, or made another one of: Polars where Rust calls Python, and Python's import.
LOSE_IT = ("polars", "importlib", "_frozen_importlib", "_frozen_importlib_external")
MOMENT = 0.005  # seconds
ALARM = getattr(signal, "SIGALRM", None)  # Windows has none: there the next step of the work ends it
WORDS = "Interrupted. No file was left incomplete. Type the same command to start again."


def end_at_once() -> None:
    """From here on, Ctrl-C ends the process with a sentence. Only where nothing is being written: no clean-up runs."""
    signal.signal(signal.SIGINT, _end)


@contextmanager
def clean_up_first() -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt: at once, or as soon as code runs that does not lose it; at the latest at the next step of the work."""
    import socket  # --version and --help do without its 4 ms

    ours, told = socket.socketpair()
    with ours, told:
        ours.setblocking(False)
        told.setblocking(False)
        came = partial(_came, ours)
        signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        try:
            signal.signal(signal.SIGINT, _stop)
            if ALARM is not None:
                signal.signal(ALARM, _stop)
            with progress.stopped_where(came):
                yield
            progress.stop_where(came)
        except BaseException:
            progress.stop_where(came)
            raise
        finally:
            end_at_once()
            if ALARM is not None:
                signal.signal(ALARM, signal.SIG_IGN)
            signal.set_wakeup_fd(-1)


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; a moment later, where code that would lose it runs or has called what runs."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in LOSE_IT:
            if ALARM is not None:
                signal.setitimer(signal.ITIMER_REAL, MOMENT)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _came(told: "socket") -> bool:
    """Whether Ctrl-C was among the signals that Python told of so far. Then the work ends here, and an alarm must not disturb its clean-up."""
    from socket import MSG_PEEK

    with suppress(BlockingIOError):
        if signal.SIGINT in told.recv(1_000, MSG_PEEK):
            if ALARM is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)
            return True
    return False


def nothing_left() -> None:
    """From here on, Ctrl-C changes nothing: all is done. Python's own end would restore the default, which kills without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(number: int, frame: object) -> NoReturn:
    os.write(2, f"{WORDS}\n".encode())
    os._exit(CODE)
