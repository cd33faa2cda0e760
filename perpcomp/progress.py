"""What a long computation is doing just now, for whoever watches. The command line shows it; it changes no result.

Work is what one call of the library does. It says `now` at each of its steps, and `advance` within one whose end it knows.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext


class Work:
    """The step under way: `what` it is, how much of what `total` counts is `done` (0: nobody knows), and a `remark` on it."""

    def __init__(self) -> None:
        self.what, self.total, self.done, self.remark = "Starting", 0, 0, ""


Watcher = Callable[[Work], AbstractContextManager[None]]
_watcher: Watcher = lambda _: nullcontext()  # noqa: E731
_under_way: Work | None = None
_asked: Callable[[], bool] = lambda: False  # noqa: E731


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Inside, `watcher(work)` is entered when work begins and left when it ends. It may read the Work at any time, and never writes it."""
    global _watcher
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = before


@contextmanager
def work() -> Iterator[None]:
    """Inside, and in functions that this decorates, work is under way. Work inside work is a part of it."""
    global _under_way
    if _under_way is not None:
        yield
        return
    _under_way = Work()
    try:
        with _watcher(_under_way):
            yield
    finally:
        _under_way = None


@contextmanager
def stopped_where(asked: Callable[[], bool]) -> Iterator[None]:
    """Inside, work ends with KeyboardInterrupt at the next step that begins once `asked` is true."""
    global _asked
    before, _asked = _asked, asked
    try:
        yield
    finally:
        _asked = before


def stop_where(asked: Callable[[], bool]) -> None:
    """KeyboardInterrupt if the user asked to stop."""
    if asked():
        raise KeyboardInterrupt from None


def now(what: str, total: int = 0) -> None:
    """A step of the work begins: in words for people, such as "Reading logs.jsonl", with what `advance` will add up to."""
    stop_where(_asked)
    if _under_way is not None:
        _under_way.what, _under_way.total, _under_way.done, _under_way.remark = what, total, 0, ""


def advance(by: int, remark: str = "") -> None:
    """So much more of the step is done."""
    if _under_way is not None:
        _under_way.done += by
        _under_way.remark = remark or _under_way.remark
