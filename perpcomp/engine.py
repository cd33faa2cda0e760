"""Where partitions of the work are done: in this process, or by the workers of a Dask cluster. Same functions, same order, same results.

A partition is a piece of the logs, or all events of some positions. Its input and its result travel, so that workers need neither
the files nor each other; one that dies is replaced, and what it had not handed over is done again. Dask is an optional extra and is
imported when it is asked for.
"""

import io
import pickle
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from perpcomp.findings import refusal
from perpcomp.version import VERSION

if TYPE_CHECKING:
    from distributed import Client

Part = TypeVar("Part")
Result = TypeVar("Result")
NETWORK = 3  # the exit code
SECONDS = 10  # to wait for the scheduler, and for its first worker
AHEAD = 2  # partitions a worker that are on their way: more would only fill the scheduler's memory


@dataclass(frozen=True)
class Engine:
    """`map` gives function(part) of every part, in order; `partitions` is how many parts a whole is worth being cut into."""

    partitions: int
    map: Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


LOCAL = Engine(1, map)


def opened(name: str, scheduler: str | None = None) -> AbstractContextManager[Engine]:
    """The engine `local` or `dask`; of the latter the scheduler's address, else a cluster of its own on this machine.

    InputError: Dask is not installed, workers with other versions (exit 2), or nobody answers at the address (exit 3).
    """
    if name == "dask":
        return _dask(scheduler)
    if scheduler is not None:
        raise refusal("--scheduler", "is the address of a Dask scheduler.", "Add --engine dask.")
    return nullcontext(LOCAL)


@contextmanager
def _dask(scheduler: str | None) -> Iterator[Engine]:
    try:
        from dask import config
        from distributed import Client, LocalCluster
    except ImportError:
        raise refusal("--engine dask", "needs Dask, which is not installed.", "Type: pip install 'perpcomp[dask]'") from None

    # A partition is some megabytes, whole in the task: only so can a task be done again wherever its worker died.
    with config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
        if scheduler is None:
            one_thread = {"POLARS_MAX_THREADS": "1"}
            with (
                LocalCluster(threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", env=one_thread) as cluster,
                Client(cluster, set_as_default=False, direct_to_workers=True) as client,
            ):
                yield _on(client, "of this machine")
            return
        place = _reached(scheduler)
        try:
            client = Client(scheduler, timeout=SECONDS, set_as_default=False, direct_to_workers=True)
        except Exception as error:  # another server's answer can be anything to Dask
            what = f"does not answer as one within {SECONDS} seconds ({type(error).__name__})."
            raise refusal(f"the scheduler {place}", what, "Is it another server's port, or another version of Dask?", NETWORK) from None
        with client:
            yield _on(client, place)


def _on(client: "Client", place: str) -> Engine:
    """The engine of a client whose workers are there and count as this process does."""
    try:
        client.wait_for_workers(1, timeout=SECONDS)
    except TimeoutError:
        raise refusal(f"the scheduler {place}", "has no workers.", f"Start some: `dask worker {place}`.", NETWORK) from None
    found = client.run(versions, on_error="return")
    for worker, theirs in found.items():
        if theirs != versions():
            what = f"has {theirs if isinstance(theirs, str) else 'no perpcomp: ' + repr(theirs)}, and here is {versions()}."
            raise refusal(f"the worker {worker}", what, "Install the same versions, with perpcomp[dask], on every worker.")

    def mapped(function: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
        waiting = deque[Any]()
        for part in parts:
            waiting.append(client.submit(_work, packed((function, part)), pure=False))
            if len(waiting) > AHEAD * len(found):
                yield _result(waiting.popleft(), place)
        while waiting:
            yield _result(waiting.popleft(), place)

    return Engine(AHEAD * len(found), mapped)


def _result(future: Any, place: str) -> Any:
    from distributed import KilledWorker

    try:
        return unpacked(future.result())
    except KilledWorker as error:
        what = f"lost {error.allowed_failures + 1} workers over one partition."
        raise refusal(f"the cluster {place}", what, "Was it their memory? Give the workers more, or use --engine local.", NETWORK) from None
    except (CancelledError, OSError):
        raise refusal(f"the scheduler {place}", "went away.", "Start it again, then type the same command.", NETWORK) from None
    finally:
        future.release()


def _work(task: bytes) -> bytes:
    """What a worker does."""
    function, part = unpacked(task)
    return packed(function(part))


def packed(thing: Any) -> bytes:
    """A thing as bytes, the frames in it compressed: logs are full of zeros, and copying them is what a cluster costs."""
    import polars as pl

    class Packer(pickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            if not isinstance(value, pl.DataFrame):
                return NotImplemented
            return _frame, (value.write_ipc(None, compression="lz4").getvalue(),)

    buffer = io.BytesIO()
    Packer(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(thing)
    return buffer.getvalue()


def unpacked(data: bytes) -> Any:
    """What was packed."""
    return pickle.loads(data)


def _frame(data: bytes) -> Any:
    import polars as pl

    return pl.read_ipc(io.BytesIO(data))


def versions() -> str:
    """What decides that two machines come to the same: versions, and a hash by which doubled logs are found."""
    import polars as pl

    mark = pl.Series(["perpcomp"]).to_frame("a").select(pl.struct("a").hash(0)).item()
    return f"perpcomp {VERSION}, polars {pl.__version__}, hash {mark:x}"


def _reached(address: str) -> str:
    """The address as it may be printed, without what stands before an @ or behind a ?; InputError where nobody listens there."""
    parts = urlsplit(address if "//" in address else f"tcp://{address}")
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as there:
            if parts.scheme == "tcp" and not there.recv(1):  # a scheduler speaks first; Dask would wait for a silent server for good
                raise ConnectionError(0, "it hangs up")
    except (OSError, ValueError, TypeError) as error:  # also a port that is none
        reason = "it says nothing" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or "there is no such address"
        advice = "Is it running there? `dask scheduler` prints its address, as tcp://HOST:8786."
        raise refusal(f"the scheduler {place}", f"cannot be reached ({reason}).", advice, NETWORK) from None
    return place
