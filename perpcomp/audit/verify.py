"""Making a published run again, from its own inputs, and reporting every difference."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp import formula, pipeline
from perpcomp.findings import refusal
from perpcomp.incident import incident_file
from perpcomp.input import Input
from perpcomp.publish.files import files
from perpcomp.publish.folder import ASIDE
from perpcomp.publish.manifest import MANIFEST, manifest, read_manifest
from perpcomp.publish.workbook import content_digest
from perpcomp.run import Run


@dataclass(frozen=True)
class Difference:
    """One place where the published run is not what its inputs give."""

    where: str
    published: str
    recomputed: str


@dataclass(frozen=True)
class Verdict:
    """What verify found. `notes` do not count: other versions of the tool or its libraries."""

    files: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.differences


def verify(folder: Path) -> Verdict:
    """Recompute the run in a folder and compare every file, the first differing cell first.

    CSV files are compared cell by cell, Parquet by its rows, the workbook by its content digest, all else byte by byte. InputError
    where the folder is no run, or its inputs can no longer be read.
    """
    stated = read_manifest(folder)
    missing = sorted(name for name in stated["files"] if not (folder / name).is_file())
    unlisted = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
    unlisted = [name for name in unlisted if name not in stated["files"] and name != MANIFEST and not name.startswith(ASIDE)]
    changed_inputs = list(_changed_inputs(folder, stated))
    differences = [Difference(name, "missing", "a file of the run") for name in missing]
    if any(name.startswith("inputs/") for name in missing) or changed_inputs:
        # Without its inputs the run cannot be made again: say so, and compare nothing with a guess.
        return Verdict(len(stated["files"]), tuple(differences + changed_inputs), ())
    differences += [Difference(name, "not in the manifest", "no such file") for name in unlisted]

    again = _recompute(folder, stated)
    expected = files(again)
    document = manifest(again, expected)
    repacked = []
    for name in sorted(expected):
        if (folder / name).is_file() and (folder / name).read_bytes() != expected[name]:
            found = _compare(name, (folder / name).read_bytes(), expected[name])
            differences += found
            repacked += [] if found else [f"{name} has other bytes than a run here gives, and the same content"]
    surplus = sorted(set(stated["files"]) - set(expected))
    differences += [Difference(name, "listed in the manifest", "no such file") for name in surplus]
    differences += [Difference(name, "not in the manifest", "a file of the run") for name in sorted(set(expected) - set(stated["files"]))]

    recomputed = json.loads(document)
    notes = [
        f"{name} {stated_version} made it, {recomputed['versions'].get(name)} is installed"
        for name, stated_version in stated.get("versions", {}).items()
        if recomputed["versions"].get(name) != stated_version
    ]
    if stated.get("tool") != recomputed["tool"]:
        notes.append(f"perpcomp {stated.get('tool', {}).get('version')} made it, {recomputed['tool']['version']} is installed")
    skipped = {"versions", "tool"}
    if notes:  # bytes of Parquet and xlsx may differ between versions; their rows and contents were compared above
        skipped |= {"files", "workbook_content_sha256"}
    differences += _compare_json(
        MANIFEST, {k: v for k, v in stated.items() if k not in skipped}, {k: v for k, v in recomputed.items() if k not in skipped}
    )
    return Verdict(len(expected) + 1, tuple(differences), tuple(notes + repacked))


def _changed_inputs(folder: Path, stated: dict[str, Any]) -> Iterator[Difference]:
    hashes = {stated["query"]["file"]: stated["query"]["sha256"]}
    hashes |= {entry["file"]: entry["sha256"] for entries in stated["inputs"].values() for entry in entries}
    for name, digest in hashes.items():
        path = folder / "inputs" / name
        if path.is_file() and (found := sha256(path.read_bytes()).hexdigest()) != digest:
            yield Difference(f"inputs/{name}", f"sha256 {found}", f"sha256 {digest} by the manifest")


def _recompute(folder: Path, stated: dict[str, Any]) -> Run:
    """The run made of the folder's inputs, by the formulas that the manifest names."""
    query = folder / "inputs" / stated["query"]["file"]
    loaded = incident_file.parse(query.read_bytes(), query.stem, query.parent)
    names = {role: tuple(entry["file"] for entry in entries) for role, entries in stated["inputs"].items()}
    inputs = folder / "inputs"
    blocks, prices = (inputs / names[role][0] if names.get(role) else None for role in ("blocks", "prices"))
    one = len(names["files"]) == 1
    source = Input(inputs / names["files"][0] if one else inputs, blocks, () if one else names["files"], prices)
    compared = [entry["name"] for entry in stated["compared"]]
    absent = [name for name in {stated["formula"]["name"], *compared} if name not in formula.installed()]
    if absent:
        listed = ", ".join(sorted(absent))
        raise refusal(str(folder), f"was made with formulas that are not installed: {listed}.", "Install their package.")
    return pipeline.compute(loaded, source, stated["formula"]["name"], compared)


def _compare(name: str, published: bytes, expected: bytes) -> list[Difference]:
    """The differences of one file that is not byte for byte the same."""
    if name.endswith(".csv"):
        return list(_compare_csv(name, published, expected))
    if name.endswith(".parquet"):
        return list(_compare_parquet(name, published, expected))
    if name.endswith(".xlsx"):
        return list(_compare_workbook(name, published, expected))
    return [Difference(name, f"sha256 {sha256(published).hexdigest()}", f"sha256 {sha256(expected).hexdigest()}")]


def _compare_csv(name: str, published: bytes, expected: bytes) -> Iterator[Difference]:
    mine, theirs = (list(csv.reader(io.StringIO(data.decode("utf-8", "replace")))) for data in (expected, published))
    yield from _compare_rows(name, theirs, mine)


def _compare_rows(name: str, theirs: list[list[str]], mine: list[list[str]]) -> Iterator[Difference]:
    header = mine[0]
    found = 0
    for row, (theirs_row, mine_row) in enumerate(zip(theirs, mine, strict=False), 1):
        for column, (their, our) in enumerate(zip(theirs_row, mine_row, strict=False)):
            if their != our:
                found += 1
                yield Difference(f"{name} row {row} {header[column]}", their or "(empty)", our or "(empty)")
        if len(theirs_row) != len(mine_row):
            found += 1
            yield Difference(f"{name} row {row}", f"{len(theirs_row)} cells", f"{len(mine_row)} cells")
    if len(theirs) != len(mine):
        found += 1
        yield Difference(name, f"{len(theirs) - 1} rows", f"{len(mine) - 1} rows")
    if not found:
        yield Difference(name, "other bytes", "the same cells: line endings or quotes were changed")


def _compare_parquet(name: str, published: bytes, expected: bytes) -> Iterator[Difference]:
    try:
        theirs = pl.read_parquet(io.BytesIO(published))
    except (pl.exceptions.PolarsError, OSError) as error:
        yield Difference(name, f"cannot be read ({str(error).splitlines()[0]})", "a Parquet file")
        return
    mine = pl.read_parquet(io.BytesIO(expected))
    if theirs.equals(mine) and theirs.schema == mine.schema:
        return  # other bytes, the same rows: another version wrote it
    rows = [[list(frame.columns), *([str(cell) for cell in row] for row in frame.iter_rows())] for frame in (theirs, mine)]
    yield from _compare_rows(name, rows[0], rows[1])


def _compare_workbook(name: str, published: bytes, expected: bytes) -> Iterator[Difference]:
    try:
        if content_digest(published) == content_digest(expected):
            return
        mine, theirs = _cells(expected), _cells(published)
    except (zipfile.BadZipFile, OSError, KeyError, ValueError) as error:
        yield Difference(name, f"cannot be read ({error})", "a workbook")
        return
    differing = [place for place in {**mine, **theirs} if mine.get(place) != theirs.get(place)]
    for place in differing:
        yield Difference(f"{name} {place}", str(theirs.get(place, "(empty)")), str(mine.get(place, "(empty)")))
    if not differing:
        yield Difference(name, "another content digest", "the same cells: formats, names or properties were changed")


def _cells(data: bytes) -> dict[str, object]:
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(data))
    return {
        f"{sheet.title}!{cell.coordinate}": cell.value
        for sheet in book
        for row in sheet.iter_rows()
        for cell in row
        if cell.value is not None
    }


def _compare_json(where: str, theirs: Any, mine: Any) -> list[Difference]:
    if isinstance(theirs, dict) and isinstance(mine, dict):
        return [d for key in sorted({**theirs, **mine}) for d in _compare_json(f"{where} {key}", theirs.get(key), mine.get(key))]
    return [] if theirs == mine else [Difference(where, str(theirs), str(mine))]
