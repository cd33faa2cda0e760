"""A bundle or a run checked level by level: hashes first, and nothing foreign is parsed before they hold."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perpcomp import progress
from perpcomp.audit import in_child, signatures
from perpcomp.audit.archive import unpack
from perpcomp.audit.compare import Difference
from perpcomp.audit.level import DOES_NOT_PROVE, Level, failed, skipped
from perpcomp.audit.statement import RUN, Statement, read_statement
from perpcomp.audit.verify import stray_files
from perpcomp.findings import INVALID_MANIFEST, refusal
from perpcomp.incident.kinds import address
from perpcomp.number_text import counted
from perpcomp.publish.manifest import MANIFEST, read_manifest
from perpcomp.publish.read_back import altered, input_hashes

CHILD_LEVELS = ("recompute", "proof", "rpc", "claims")
UNPARSED = "a file has another hash than the manifest states, so nothing was parsed"
NO_SHEET = "no passed-on file was named: type `perpcomp check-sheet FILE RUN`; recompute compares the run's own vote.xlsx cell by cell"
WORST = (4, 1, 3, 2, 0)  # which exit code stands for several levels: what differs before what could not be checked


@dataclass(frozen=True)
class Report:
    """What each level found, in order; the bundle's manifest hash, which people sign, and who signed it."""

    levels: tuple[Level, ...]
    manifest_sha256: str | None = None
    signers: tuple[str, ...] = ()

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


def check_levels(
    path: Path, urls: Sequence[str] = (), published: Path | None = None, signers: Sequence[str] = (), signed: Path | None = None
) -> Report:
    """Check a bundle (a file) or a run (a folder). `signers` must have signed the bundle, by the file `signed` beside it.

    InputError: exit code 4 where an archive or manifest is unsafe (nothing was parsed or written), 2 where the path is neither.
    """
    if not path.exists():
        raise refusal(str(path), "There is no such file or folder.", "Give a bundle, or the folder of a run such as outputs/rehearsal.")
    _refuse_odd_addresses(signers)
    elsewhere = None if published is None else in_child.absolute(published)
    if not path.is_dir():
        return _bundle(path, urls, elsewhere, signers, signed)
    if signers or signed is not None:
        raise refusal(str(path), "A run's folder is not signed; a bundle is.", "Type `perpcomp bundle` and `perpcomp sign` first.")
    integrity, inputs_hold = _run_integrity(path)
    asked = in_child.Asked(in_child.absolute(path), None, CHILD_LEVELS, tuple(urls), elsewhere)
    if not inputs_hold:
        # Without its inputs the run cannot be made again.
        return Report((integrity, *_unparsed()))
    if integrity.result == "PASS":
        return Report((integrity, *_in_child(asked), _sheet()))
    recomputed = _in_child(in_child.Asked(asked.run, None, ("recompute",)))
    return Report((integrity, *recomputed, *_unparsed()[1:]))


def _refuse_odd_addresses(signers: Sequence[str]) -> None:
    for one in signers:
        try:
            address(one)
        except ValueError as error:
            raise refusal("--signer", f"It {error.args[0]}", error.args[1]) from None


def _in_child(asked: in_child.Asked) -> list[Level]:
    progress.now("Making the run again in a process of its own")
    return in_child.check(asked)


def _sheet() -> Level:
    return skipped("sheet", NO_SHEET)


def _unparsed() -> list[Level]:
    return [skipped(name, UNPARSED) for name in DOES_NOT_PROVE if name != "integrity"]


def _run_integrity(folder: Path) -> tuple[Level, bool]:
    """The level of a run's folder, and whether its inputs are those that the manifest states."""
    progress.now("Hashing the published files")
    stated = read_manifest(folder)
    hashes = {name: entry["sha256"] for name, entry in stated["files"].items()}
    inputs = input_hashes(stated)
    wrong = _differences({name: found or "" for name, found in altered(folder, {**hashes, **inputs})}, {**hashes, **inputs})
    foreign, notes = stray_files(folder, hashes)
    wrong += [Difference(name, "not in the manifest", "no such file") for name in foreign]
    said = f"{counted(len(hashes), 'file')} by the hashes of {MANIFEST}"
    if wrong:
        return failed("integrity", said, tuple(wrong), tuple(notes), len(hashes)), not any(
            difference.where in inputs for difference in wrong
        )
    return Level("integrity", "PASS", said, files=len(hashes), notes=tuple(notes)), True


def _differences(found: Mapping[str, str], stated: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(name, f"sha256 {sha256}", f"sha256 {stated[name]} by the manifest")
        if sha256
        else Difference(name, "missing", "a file of the run")
        for name, sha256 in found.items()
    ]


def _bundle(path: Path, urls: Sequence[str], published: str | None, signers: Sequence[str], signed: Path | None) -> Report:
    progress.now("Hashing the files of the bundle")
    files, read = open_bundle(path)
    manifest_sha256 = hashlib.sha256(files[MANIFEST]).hexdigest()
    stated = read.hashes
    present = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != MANIFEST}
    wrong = _differences({name: present.get(name, "") for name in stated if present.get(name) != stated[name]}, stated)
    wrong += [Difference(name, "not in the manifest", "no such file") for name in sorted(present.keys() - stated.keys())]
    said = f"{counted(len(present), 'file')} by the hashes of {MANIFEST}, sha256 {manifest_sha256}"
    by, bad = signatures.signers_of(signed or signatures.beside(path), read, manifest_sha256, required=signed is not None or bool(signers))
    wrong += [Difference(f"the signature of {one}", "none over this manifest", "asked for by --signer") for one in _lacking(signers, by)]
    wrong += bad
    if by:
        said += f"; signed by {', '.join(by)}"
    if wrong:
        levels = (failed("integrity", said, tuple(wrong), files=len(present)), *_unparsed())
        return Report(levels, manifest_sha256, by)
    with tempfile.TemporaryDirectory(prefix="perpcomp-verify-") as place:
        for name, data in files.items():
            target = Path(place) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        asked = in_child.Asked(in_child.absolute(Path(place) / RUN), in_child.absolute(Path(place)), CHILD_LEVELS, tuple(urls), published)
        found = _in_child(asked)
    return Report((Level("integrity", "PASS", said, files=len(present)), *found, _sheet()), manifest_sha256, by)


def _lacking(signers: Sequence[str], by: Sequence[str]) -> list[str]:
    return [one for one in signers if one.lower() not in {address.lower() for address in by}]


def open_bundle(path: Path) -> tuple[dict[str, bytes], Statement]:
    """The files of a bundle and its manifest; no other file was parsed or compared. InputError (exit 4) where one of the two is unsafe."""
    files = unpack(path)
    if MANIFEST not in files:
        what = f"The archive is no bundle: it has no {MANIFEST}."
        raise refusal(str(path), what, "Give a file that `perpcomp bundle` wrote.", INVALID_MANIFEST)
    return files, read_statement(files[MANIFEST], str(path))
