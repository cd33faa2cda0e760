"""Where the partitions of the work are computed: in this process, or by the workers of a Dask cluster, with the same results.

A task says where its logs lie and what to do with them: it carries no logs. Input and intermediate tables lie on storage that this
process and every worker see under the same path. If a worker dies, another one repeats what it had not delivered. Dask is an optional
extra and is imported only when it is asked for.
"""

import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from msgspec import Struct

from perpcomp.findings import NETWORK, Finding, InputError, refusal
from perpcomp.packing import IN_MESSAGE, pack, unpack
from perpcomp.version import VERSION

if TYPE_CHECKING:
    from distributed import Client

Part = TypeVar("Part")
Result = TypeVar("Result")
SECONDS = 10  # to wait for the scheduler, and then for its first worker
AHEAD = 2  # partitions under way for each worker: more would only fill the scheduler's memory
OTHER_VERSION = "worker-of-another-version"  # the code of that refusal


def _no_check(_: Iterable[Path] | Path) -> None:
    """One process sees its own files."""


class Engine(Struct, frozen=True):
    """`map` gives function(part) for every part, in order. `partitions` is the number of parts worth cutting the work into.

    `scratch` is a folder that every worker sees, for intermediate tables; None where this process does all the work. `check_files` raises
    an InputError (exit 3) where a worker does not see one of these files, `check_folder` where one cannot write into this folder.
    """

    partitions: int
    map: Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
    scratch: Path | None = None
    check_files: Callable[[Iterable[Path]], None] = _no_check
    check_folder: Callable[[Path], None] = _no_check


LOCAL = Engine(1, map)


def open_engine(name: str, scheduler: str | None = None, scratch: Path | None = None) -> AbstractContextManager[Engine]:
    """The engine `local` or `dask`. For dask: the cluster at the scheduler's address, or a new cluster on this machine.

    `scratch` is a folder that this process and all workers see; without it, the folder of temporary files.
    InputError: Dask is not installed, a worker has other versions (exit 2), no scheduler answers at the address, or a worker does not see
    the folder (exit 3).
    """
    return _dask_engine(scheduler, scratch or Path(tempfile.gettempdir())) if name == "dask" else nullcontext(LOCAL)


@contextmanager
def _dask_engine(scheduler: str | None, scratch: Path) -> Iterator[Engine]:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise refusal("--engine dask", "Dask is not installed.", "Type: pip install 'perpcomp[dask]'") from None

    if not scratch.is_dir():
        raise refusal(f"--scratch {scratch}", "The folder does not exist.", "Make it where this process and all workers see it.")
    if scheduler is None:
        one_thread = {"POLARS_MAX_THREADS": "1"}
        with (
            LocalCluster(threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", env=one_thread) as cluster,
            Client(cluster, set_as_default=False, direct_to_workers=True) as client,
            _engine_of(client, "of this machine", scratch) as engine,
        ):
            yield engine
        return
    address = _listening(scheduler)
    try:
        client = Client(scheduler, timeout=SECONDS, set_as_default=False, direct_to_workers=True)
    except Exception as error:  # Dask can raise anything at the answer of a server that is not a scheduler
        what = f"No Dask scheduler answers at this address within {SECONDS} seconds ({type(error).__name__})."
        raise refusal(f"the scheduler {address}", what, "Is it another server's port, or another version of Dask?", NETWORK) from None
    with client, _engine_of(client, address, scratch) as engine:
        yield engine


@contextmanager
def _engine_of(client: "Client", address: str, scratch: Path) -> Iterator[Engine]:
    """The engine of a client, once a worker is there, and every worker has the versions of this process and sees the folder."""
    try:
        client.wait_for_workers(1, timeout=SECONDS)
    except TimeoutError:
        raise refusal(f"the scheduler {address}", "It has no workers.", f"Start some: `dask worker {address}`.", NETWORK) from None
    workers = client.run(versions, on_error="return")
    for worker, theirs in workers.items():
        if theirs != versions():
            raise _other_version(worker, theirs if isinstance(theirs, str) else f"no perpcomp: {theirs!r}", versions())
    with tempfile.TemporaryDirectory(prefix="perpcomp-", dir=scratch, ignore_cleanup_errors=True) as place:
        folder = Path(place).resolve()
        _check_shared(client, folder, "--scratch")
        yield Engine(
            AHEAD * len(workers),
            partial(_map, client, address, len(workers), folder),
            scratch.resolve(),
            partial(_check_files, client),
            partial(_check_shared, client, option="--store"),
        )


def _map(
    client: "Client", address: str, workers: int, folder: Path, function: Callable[[Part], Result], parts: Iterable[Part]
) -> Iterator[Result]:
    """function(part) of every part, in order, by the workers."""
    waiting, packed = deque[Any](), pack(function, folder, once=False)
    task: bytes | Path = packed
    if len(packed) > IN_MESSAGE:  # such as an incident file with thousands of markets: each worker reads it from the storage
        task = folder / f"{uuid4().hex}.task"
        task.write_bytes(packed)
    try:
        for part in parts:
            waiting.append(_submit(client, address, task, pack(part, folder, once=False), folder))
            if len(waiting) > AHEAD * workers:
                yield _result(waiting.popleft(), address)
        while waiting:
            yield _result(waiting.popleft(), address)
    finally:
        for future in waiting:  # nobody asks for these any more
            future.release()


def _submit(client: "Client", address: str, task: bytes | Path, part: bytes, folder: Path) -> Any:
    try:
        return client.submit(_compute, versions(), task, part, folder, pure=False)
    except Exception:  # Dask raises several kinds where the scheduler is gone
        raise _lost(address) from None


def _result(future: Any, address: str) -> Any:
    """The result of a task. InputError (exit 3) if the cluster cannot give it; an InputError of the task itself is raised again."""
    from distributed import KilledWorker

    try:
        return unpack(future.result())
    except KilledWorker as error:
        what = f"The same partition ended {error.allowed_failures + 1} workers."
        advice = "Did they run out of memory, or is a file of the input damaged? Give the workers more, or use --engine local."
        raise refusal(f"the cluster {address}", what, advice, NETWORK) from None
    except (CancelledError, OSError):
        raise _lost(address) from None
    finally:
        future.release()


def _lost(address: str) -> InputError:
    return refusal(f"the scheduler {address}", "The connection was lost.", "Start it again, then type the same command.", NETWORK)


def _compute(theirs: str, task: bytes | Path, part: bytes, folder: Path) -> bytes:
    """One task, in the worker: a packed function and a packed part to the packed result.

    InputError where the worker's versions are not `theirs`, as of a worker that joined later, or where it cannot use a file (exit 3).
    """
    if theirs != (own := _own_versions()):
        raise _other_version(this_worker(), own, theirs)
    try:
        function = unpack(task if isinstance(task, bytes) else task.read_bytes())
        return pack(function(unpack(part)), folder)
    except OSError as error:
        raise refusal(f"the worker {this_worker()}", f"It cannot use a file ({error}).", SHARED, NETWORK) from None


def this_worker() -> str:
    """In a task: the address of the worker that computes it."""
    from distributed import get_worker

    return str(get_worker().address)


@cache
def _own_versions() -> str:
    return versions()


def _other_version(worker: str, theirs: str, ours: str) -> InputError:
    what = f"The worker has {theirs}; this process has {ours}."
    advice = "Install the same versions, with perpcomp[dask], on every worker."
    return InputError([Finding("error", f"the worker {worker}", what, advice, code=OTHER_VERSION)])


SHARED = "The input and the folders of --scratch and --store must lie on storage that this process and all workers see under the same path."


def _check_shared(client: "Client", folder: Path, option: str) -> None:
    """InputError (exit 3) where a worker does not see the folder of this process, or cannot write to it; `option` gives another."""
    token = folder / f".{uuid4().hex}"
    token.touch()
    try:
        for worker, answer in client.run(_answer, token, on_error="return").items():
            if not (isinstance(answer, Path) and answer.is_file()):
                said = f" ({answer})" if isinstance(answer, Exception) else ""
                what = f"It does not see or cannot write the folder {folder}{said}."
                raise refusal(f"the worker {worker}", what, f"{SHARED} Name such a folder: {option} FOLDER.", NETWORK)
    finally:
        for file in folder.glob(f"{token.name}*"):
            file.unlink()


def _answer(token: Path) -> Path:
    """In a worker: a file that it wrote beside the token."""
    token.stat()
    answer = token.with_name(f"{token.name}-{uuid4().hex}")
    answer.touch()
    return answer


def _check_files(client: "Client", paths: Iterable[Path]) -> None:
    sizes = [(path.resolve(), path.stat().st_size) for path in paths]  # a worker has another current folder
    for worker, unseen in client.run(_unseen, sizes, on_error="return").items():
        if unseen is not None:  # an exception where the worker has not what reads an object store
            which = f"files ({unseen})" if isinstance(unseen, Exception) else f"file {unseen}"
            raise refusal(f"the worker {worker}", f"It does not see this process's {which}.", SHARED, NETWORK)


def _unseen(sizes: list[tuple[Path, int]]) -> Path | None:
    """In a worker: the first of these files that it does not see with that size."""
    return next((path for path, size in sizes if not path.is_file() or path.stat().st_size != size), None)


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
