"""How a person sees that work goes on: a bar on a terminal, a line every ten seconds elsewhere, nothing with --quiet. All on stderr.

A thread draws, so that a long call of another library does not stop the bar. Leaving the work waits for the thread: what is printed
after that finds a clean terminal.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread

from perpcomp.cli import terminal
from perpcomp.progress import Watcher, Work

PATIENCE = 1.0  # seconds of work before a bar is drawn
REDRAWN = 0.2  # seconds between two drawings
LINES = 10  # seconds between two lines


def watcher() -> Watcher:
    """The watcher for this terminal or pipe."""
    return partial(_watch, terminal.is_terminal(sys.stderr))


@contextmanager
def _watch(on_terminal: bool, work: Work) -> Iterator[None]:
    ended = Event()
    thread = Thread(target=_draw if on_terminal else _tell, args=(work, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _draw(work: Work, ended: Event) -> None:
    began = time.monotonic()
    if ended.wait(PATIENCE):
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[remark]}"))
    screen = terminal.console(stderr=True)
    with Progress(*columns, console=screen, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(work.what, total=None, remark="")
        while True:
            known = {"total": work.total, "completed": min(work.done, work.total)} if work.total else {"total": None}
            remark = ", ".join(filter(None, (work.remark, f"{time.monotonic() - began:.0f} s")))
            bar.update(task, description=terminal.printable(work.what), remark=remark, **known)
            if ended.wait(REDRAWN):
                return


def _tell(work: Work, ended: Event) -> None:
    began = time.monotonic()
    while not ended.wait(LINES):
        part = f", {min(100, 100 * work.done // work.total)} % done" if work.total else ""
        remark = f", {work.remark}" if work.remark else ""
        terminal.say(terminal.printable(f"{work.what}{part}{remark} ({time.monotonic() - began:.0f} seconds so far)."))
