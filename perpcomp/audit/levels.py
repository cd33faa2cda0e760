"""A bundle or a run checked level by level: hashes first, and nothing foreign is parsed before they hold."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perpcomp import progress
from perpcomp.audit import in_child, signatures
from perpcomp.audit.archive import unpack
from perpcomp.audit.compare import Difference
from perpcomp.audit.level import DOES_NOT_PROVE, Level, failed, skipped
from perpcomp.audit.verify import stray_files
from perpcomp.findings import INVALID_MANIFEST, refusal
from perpcomp.incident.kinds import address
from perpcomp.number_text import counted
from perpcomp.publish.read_back import input_hashes
from perpcomp.publish.stated import MANIFEST, Stated, parse_manifest, read_manifest

UNPARSED = "a file has another hash than the manifest states, so nothing was parsed"
WORST = (4, 1, 3, 2, 0)  # which exit code stands for several levels: what differs before what could not be checked


@dataclass(frozen=True)
class Asked:
    """What else to check than the files themselves: against nodes, a file of claims served elsewhere, a sheet that was passed on; and who
    must have signed, by which file of signatures (default: the one beside the bundle or the folder).
    """

    urls: Sequence[str] = ()
    published: Path | None = None
    sheet: Path | None = None
    signers: Sequence[str] = ()
    signatures: Path | None = None


@dataclass(frozen=True)
class Report:
    """What each level found, in order; the manifest's hash, which people sign, and who signed it."""

    levels: tuple[Level, ...]
    manifest_sha256: str
    signers: tuple[str, ...]

    @property
    def code(self) -> int:
        """The exit code."""
        codes = {level.code for level in self.levels}
        return next(code for code in WORST if code in codes or code == 0)

    @property
    def files(self) -> int:
        """The files that were compared."""
        return max(level.files for level in self.levels)

    @property
    def differences(self) -> list[Difference]:
        """Every difference, each once: cells before the hashes of files."""
        return list(dict.fromkeys(one for level in (*self.levels[1:], self.levels[0]) for one in level.differences))


def check_levels(path: Path, asked: Asked) -> Report:
    """Check a bundle (a file) or a run (a folder).

    InputError: exit code 4 where an archive or manifest is unsafe (nothing was parsed or written), 2 where the path is neither.
    """
    if not path.exists():
        raise refusal(str(path), "There is no such file or folder.", "Give a bundle, or the folder of a run such as outputs/rehearsal.")
    _refuse_odd_addresses(asked.signers)
    return _folder(path, asked) if path.is_dir() else _bundle(path, asked)


def _folder(path: Path, asked: Asked) -> Report:
    progress.now("Hashing the published files")
    stated = read_manifest(path)
    manifest_sha256 = _sha256((path / MANIFEST).read_bytes())
    found = {name: _sha256((path / name).read_bytes()) for name in _hashes(stated) if (path / name).is_file()}
    foreign, notes = stray_files(path, stated["files"])
    integrity, by = _integrity(path, asked, stated, manifest_sha256, found, foreign)
    integrity, run = replace(integrity, notes=tuple(notes)), str(path)
    if integrity.result == "PASS":
        return Report((integrity, *_in_child(asked, run)), manifest_sha256, by)
    if not all(found.get(name) == digest for name, digest in input_hashes(stated).items()):
        return Report((integrity, *_unparsed()), manifest_sha256, by)  # without its inputs the run cannot be made again
    recomputed = in_child.check(in_child.Asked(run, ("recompute",)))
    return Report((integrity, *recomputed, *_unparsed()[1:]), manifest_sha256, by)


def _bundle(path: Path, asked: Asked) -> Report:
    progress.now("Hashing the files of the bundle")
    files, stated = open_bundle(path)
    manifest_sha256 = _sha256(files[MANIFEST])
    found = {name: _sha256(data) for name, data in files.items() if name != MANIFEST}
    foreign = sorted(found.keys() - stated["files"].keys())
    integrity, by = _integrity(path, asked, stated, manifest_sha256, found, foreign)
    if integrity.result != "PASS":
        return Report((integrity, *_unparsed()), manifest_sha256, by)
    with tempfile.TemporaryDirectory(prefix="perpcomp-verify-") as place:
        for name, data in files.items():
            target = Path(place) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        levels = _in_child(asked, place, temporary=True)
    return Report((integrity, *levels), manifest_sha256, by)


def open_bundle(path: Path) -> tuple[dict[str, bytes], Stated]:
    """The files of a bundle and what its manifest states; no other file was parsed. InputError (exit 4) where one of the two is unsafe."""
    files = unpack(path)
    if MANIFEST not in files:
        what = f"The archive is no bundle: it has no {MANIFEST}."
        raise refusal(str(path), what, "Give a file that `perpcomp bundle` wrote.", INVALID_MANIFEST)
    return files, parse_manifest(files[MANIFEST], f"{path} {MANIFEST}")


def manifest_of(path: Path) -> tuple[Stated, str]:
    """What the manifest of a bundle or of a run's folder states, and its sha256. InputError (exit 4) where it is invalid."""
    if path.is_dir():
        return read_manifest(path), _sha256((path / MANIFEST).read_bytes())
    files, stated = open_bundle(path)
    return stated, _sha256(files[MANIFEST])


def _integrity(
    path: Path, asked: Asked, stated: Stated, manifest_sha256: str, found: Mapping[str, str], foreign: Sequence[str]
) -> tuple[Level, tuple[str, ...]]:
    """The level, and who signed. `found` are the hashes of the files that are there, `foreign` the files that nobody listed."""
    wrong = [
        Difference(name, f"sha256 {found[name]}", f"sha256 {digest} by the manifest")
        if name in found
        else Difference(name, "missing", "a file of the run")
        for name, digest in sorted(_hashes(stated).items())
        if found.get(name) != digest
    ]
    wrong += [Difference(name, "not in the manifest", "no such file") for name in foreign]
    said = f"{counted(len(stated['files']), 'file')} by the hashes of {MANIFEST}, sha256 {manifest_sha256}"
    required = asked.signatures is not None or bool(asked.signers)
    by, bad = signatures.signers_of(asked.signatures or signatures.beside(path), stated, manifest_sha256, required)
    wrong += [
        Difference(f"the signature of {one}", "none over this manifest", "asked for by --signer") for one in _lacking(asked.signers, by)
    ]
    wrong += bad
    said += f"; signed by {', '.join(by)}" if by else ""
    count = len(stated["files"])
    return failed("integrity", said, tuple(wrong), files=count) if wrong else Level("integrity", "PASS", said, files=count), by


def _hashes(stated: Stated) -> dict[str, str]:
    """File -> sha256, of everything that a manifest states."""
    return {**{name: entry["sha256"] for name, entry in stated["files"].items()}, **input_hashes(stated)}


def _in_child(asked: Asked, run: str, temporary: bool = False) -> list[Level]:
    progress.now("Making the run again in a process of its own")
    published, sheet = (None if path is None else str(path) for path in (asked.published, asked.sheet))
    levels = tuple(name for name in DOES_NOT_PROVE if name != "integrity")
    return in_child.check(in_child.Asked(run, levels, tuple(asked.urls), published, sheet, temporary))


def _unparsed() -> list[Level]:
    return [skipped(name, UNPARSED) for name in DOES_NOT_PROVE if name != "integrity"]


def _refuse_odd_addresses(signers: Sequence[str]) -> None:
    for one in signers:
        try:
            address(one)
        except ValueError as error:
            raise refusal("--signer", f"It {error.args[0]}", error.args[1]) from None


def _lacking(signers: Sequence[str], by: Sequence[str]) -> list[str]:
    return [one for one in signers if one.lower() not in {address.lower() for address in by}]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
