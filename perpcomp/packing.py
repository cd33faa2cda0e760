"""Values as bytes that travel to the workers of a cluster and back; a large frame is left on the storage that all share."""

import io
from pathlib import Path
from typing import Any
from uuid import uuid4

IN_MESSAGE = 64_000  # bytes of a frame or a task that travel through the scheduler; what is larger is left on the shared storage


def pack(value: Any, folder: Path | None = None, once: bool = True) -> bytes:
    """A value as bytes. A frame of more than IN_MESSAGE bytes is left in the folder where there is one, to be read `once` or many times."""
    import pickle  # every run imports this module, and a run in one process packs nothing

    import polars as pl

    class Packer(pickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            if not isinstance(value, pl.DataFrame):
                return NotImplemented
            if folder is None or value.estimated_size() <= IN_MESSAGE:
                return _read_frame, (value.write_ipc(None, compression="lz4").getvalue(),)
            file = folder / f"{uuid4().hex}.arrow"
            value.write_ipc(file, compression="lz4")
            return _read_file, (file, once)

    buffer = io.BytesIO()
    Packer(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def unpack(data: bytes) -> Any:
    """The value of `pack`. Only for bytes from a cluster that the user chose: unpickling runs code."""
    import pickle

    return pickle.loads(data)


def _read_frame(data: bytes) -> Any:
    import polars as pl

    return pl.read_ipc(io.BytesIO(data))


def _read_file(file: Path, once: bool) -> Any:
    import polars as pl

    frame = pl.read_ipc(file)
    if once:
        file.unlink()
    return frame
