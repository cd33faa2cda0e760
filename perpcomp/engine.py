"""Where the partitions of the work are computed: in this process, or by the workers of a Dask cluster, with the same results.

A partition is a piece of the logs, or all events of some positions. Its input and its result travel with the task, so that a worker
needs neither the files nor another worker. If a worker dies, another one repeats what it had not delivered. Dask is an optional extra
and is imported only when it is asked for.
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

from perpcomp.findings import NETWORK, refusal
from perpcomp.version import VERSION

if TYPE_CHECKING:
    from distributed import Client

Part = TypeVar("Part")
Result = TypeVar("Result")
SECONDS = 10  # to wait for the scheduler, and then for its first worker
AHEAD = 2  # partitions under way for each worker: more would only fill the scheduler's memory


@dataclass(frozen=True)
class Engine:
    """`map` gives function(part) for every part, in order. `partitions` is the number of parts worth cutting the work into."""

    partitions: int
    map: Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


LOCAL = Engine(1, map)


def open_engine(name: str, scheduler: str | None = None) -> AbstractContextManager[Engine]:
    """The engine `local` or `dask`. For dask: the cluster at the scheduler's address, or a new cluster on this machine.

    InputError: Dask is not installed, a worker has other versions (exit 2), or no scheduler answers at the address (exit 3).
    """
    return _dask_engine(scheduler) if name == "dask" else nullcontext(LOCAL)


@contextmanager
def _dask_engine(scheduler: str | None) -> Iterator[Engine]:
    try:
        from dask import config
        from distributed import Client, LocalCluster
    except ImportError:
        raise refusal("--engine dask", "Dask is not installed.", "Type: pip install 'perpcomp[dask]'") from None

    # A task holds its whole partition, some megabytes: only then can another worker repeat it. Dask would warn about the size.
    with config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
        if scheduler is None:
            one_thread = {"POLARS_MAX_THREADS": "1"}
            with (
                LocalCluster(threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", env=one_thread) as cluster,
                Client(cluster, set_as_default=False, direct_to_workers=True) as client,
            ):
                yield _engine_of(client, "of this machine")
            return
        address = _listening(scheduler)
        try:
            client = Client(scheduler, timeout=SECONDS, set_as_default=False, direct_to_workers=True)
        except Exception as error:  # Dask can raise anything at the answer of a server that is not a scheduler
            what = f"No Dask scheduler answers at this address within {SECONDS} seconds ({type(error).__name__})."
            raise refusal(f"the scheduler {address}", what, "Is it another server's port, or another version of Dask?", NETWORK) from None
        with client:
            yield _engine_of(client, address)


def _engine_of(client: "Client", address: str) -> Engine:
    """The engine of a client, once a worker is there and every worker has the versions of this process."""
    try:
        client.wait_for_workers(1, timeout=SECONDS)
    except TimeoutError:
        raise refusal(f"the scheduler {address}", "It has no workers.", f"Start some: `dask worker {address}`.", NETWORK) from None
    workers = client.run(versions, on_error="return")
    for worker, theirs in workers.items():
        if theirs != versions():
            has = theirs if isinstance(theirs, str) else f"no perpcomp: {theirs!r}"
            what = f"The worker has {has}; this process has {versions()}."
            raise refusal(f"the worker {worker}", what, "Install the same versions, with perpcomp[dask], on every worker.")

    def map_parts(function: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
        waiting = deque[Any]()
        for part in parts:
            waiting.append(client.submit(_compute, pack((function, part)), pure=False))
            if len(waiting) > AHEAD * len(workers):
                yield _result(waiting.popleft(), address)
        while waiting:
            yield _result(waiting.popleft(), address)

    return Engine(AHEAD * len(workers), map_parts)


def _result(future: Any, address: str) -> Any:
    """The result of a task. InputError (exit 3) if the cluster cannot give it; an InputError of the task itself is raised again."""
    from distributed import KilledWorker

    try:
        return unpack(future.result())
    except KilledWorker as error:
        what = f"The same partition ended {error.allowed_failures + 1} workers."
        advice = "Did they run out of memory? Give the workers more, or use --engine local."
        raise refusal(f"the cluster {address}", what, advice, NETWORK) from None
    except (CancelledError, OSError):
        raise refusal(
            f"the scheduler {address}", "The connection was lost.", "Start it again, then type the same command.", NETWORK
        ) from None
    finally:
        future.release()


def _compute(task: bytes) -> bytes:
    """One task, in the worker: a packed function and its part to the packed result."""
    function, part = unpack(task)
    return pack(function(part))


def pack(value: Any) -> bytes:
    """A value as bytes, its frames compressed: logs are full of zeros, and copying is the main cost of a cluster."""
    import polars as pl

    class Packer(pickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            if not isinstance(value, pl.DataFrame):
                return NotImplemented
            return _read_frame, (value.write_ipc(None, compression="lz4").getvalue(),)

    buffer = io.BytesIO()
    Packer(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def unpack(data: bytes) -> Any:
    """The value of `pack`. Only for bytes from a cluster that the user chose: unpickling runs code."""
    return pickle.loads(data)


def _read_frame(data: bytes) -> Any:
    import polars as pl

    return pl.read_ipc(io.BytesIO(data))


def versions() -> str:
    """What two machines must share to give the same results: the versions, and the hash by which duplicate logs are found."""
    import polars as pl

    example = pl.Series(["perpcomp"]).to_frame("a").select(pl.struct("a").hash(0)).item()
    return f"perpcomp {VERSION}, polars {pl.__version__}, hash {example:x}"


def _listening(scheduler: str) -> str:
    """The scheduler's address without credentials and query, so that it may be printed. InputError (exit 3) if nothing listens there."""
    parts = urlsplit(scheduler if "//" in scheduler else f"tcp://{scheduler}")
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
            # A scheduler sends the first byte. Dask would wait for a silent server without end.
            if parts.scheme == "tcp" and not connection.recv(1):
                raise ConnectionError(0, "it closed the connection")
    except (OSError, ValueError, TypeError) as error:  # ValueError and TypeError: the address has no valid host or port
        reason = "it sends nothing" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or "not a valid address"
        advice = "Is it running there? `dask scheduler` prints its address, such as tcp://HOST:8786."
        raise refusal(f"the scheduler {address}", f"It cannot be reached ({reason}).", advice, NETWORK) from None
    return address
