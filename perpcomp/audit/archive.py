"""One archive of a bundle's files: the same bytes wherever it is made, and read only if it is what this module writes.

Entries are stored, sorted and dated 1980. So an archive can be checked by packing its files again: whatever else stands in it (another
date, a comment, a link, bytes between entries, a compressed entry that unpacks to more than it says) gives other bytes.
"""

import io
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from perpcomp.findings import InputError, refusal
from perpcomp.publish.stated import NAME
from perpcomp.sheet_parts import DAMAGED

UNSAFE = 4  # exit code: nothing of the archive was parsed
MOST_FILES = 100_000
MOST_BYTES = 2**31  # of the archive, and so of its files: they are stored
EPOCH = (1980, 1, 1, 0, 0, 0)
MODE = (stat.S_IFREG | 0o644) << 16
UNIX = 3  # the system whose modes an entry states; zipfile takes that of the machine otherwise


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive's bytes for relative name -> bytes. InputError where they are more than `unpack` reads."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = UNIX, MODE
            archive.writestr(entry, files[name])
    if len(files) > MOST_FILES or packed.tell() > MOST_BYTES:
        what = f"It would have {len(files):,} files and {packed.tell():,} bytes; at most {MOST_FILES:,} and {MOST_BYTES:,} are read."
        raise refusal("the bundle", what, "Publish the run's folder as it is.")
    return packed.getvalue()


def unpack(path: Path) -> dict[str, bytes]:
    """Relative name -> bytes. InputError (exit 4) where the archive is not one that `pack` made: nothing is parsed or written then."""
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise _unsafe(str(path), f"The archive has {size:,} bytes, and at most {MOST_BYTES:,} are read.")
        data = path.read_bytes()
    except OSError as error:
        raise refusal(str(path), f"The bundle cannot be read ({error.strerror}).", "Give a file that `perpcomp bundle` wrote.") from None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _refuse_odd_entries(path, entries, len(data))
            files = {}
            for entry in entries:
                try:
                    files[entry.filename] = archive.read(entry)
                except DAMAGED as error:
                    raise _unsafe(f"{path} {entry.filename}", f"The file was changed after it was packed ({error}).") from None
    except DAMAGED as error:
        raise _unsafe(str(path), f"The file is no whole archive ({error}).") from None
    if (again := pack(files)) != data:
        place = next((n for n, (one, other) in enumerate(zip(data, again, strict=False)) if one != other), min(len(data), len(again)))
        within = next((e.filename for e in reversed(entries) if e.header_offset <= place < archive.start_dir), "the directory at its end")
        raise _unsafe(f"{path} {within}", f"Byte {place:,} is not as `perpcomp bundle` writes it: something was added, or changed.")
    return files


def _refuse_odd_entries(path: Path, entries: list[zipfile.ZipInfo], size: int) -> None:
    """InputError for what must not even be read: names that lead elsewhere or occur twice, links, and entries that are not stored."""
    if len(entries) > MOST_FILES:
        raise _unsafe(str(path), f"The archive has {len(entries):,} entries, and at most {MOST_FILES:,} are read.")
    seen = set()
    for entry in entries:
        where = f"{path} {entry.orig_filename!r}"
        if not NAME.fullmatch(entry.orig_filename):
            raise _unsafe(where, "The name is not a valid one of a bundle: it could lead out of the folder.")
        if entry.filename.lower() in seen:
            raise _unsafe(where, "Two entries have this name, so readers would see different files.")
        seen.add(entry.filename.lower())
        if entry.external_attr != MODE:
            raise _unsafe(where, "The entry is no plain file, but a link or another kind.")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.file_size > size:
            raise _unsafe(where, f"The entry is compressed or says that it unpacks to {entry.file_size:,} bytes; a bundle's are stored.")


def _unsafe(where: str, what: str) -> InputError:
    advice = "Nothing was parsed and nothing was written. Get the bundle again from who published it."
    return refusal(where, what, advice, UNSAFE)
