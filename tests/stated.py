"""Manifests of published runs, read and written again as a careful forger would: of both formats."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rfc8785

from perpcomp.publish.manifest import CLAIMS_FILE, leg_stated
from perpcomp.publish.stated import MANIFEST, PREDICATE, STATEMENT, parse_manifest

Stated = dict[str, Any]


def read(folder: Path) -> Stated:
    return parse_manifest((folder / MANIFEST).read_bytes(), MANIFEST)


def written(stated: Stated) -> bytes:
    """The manifest that states this: a statement, or the plain object of the first version."""
    if stated["format"] == "perpcomp-run-v1":
        return json.dumps(stated).encode()
    subject: Any = [{"name": name, "digest": {"sha256": entry["sha256"]}} for name, entry in sorted(stated["files"].items())]
    predicate = {key: value for key, value in stated.items() if key != "files"}
    return rfc8785.dumps({"_type": STATEMENT, "subject": subject, "predicateType": PREDICATE, "predicate": predicate})


def change(folder: Path, *changes: Callable[[Stated], object]) -> Stated:
    """Write the manifest of a folder again, changed. What it states."""
    stated = read(folder)
    for one in changes:
        one(stated)
    (folder / MANIFEST).write_bytes(written(stated))
    return stated


def in_line(stated: Stated, files: Mapping[str, bytes], inputs: bool = True) -> None:
    """Bring every hash and total that a manifest states of its files in line with them; with `inputs`, those of the inputs, too."""
    for name in stated["files"]:
        data = files[name]
        stated["files"][name] |= {"sha256": hashlib.sha256(data).hexdigest()}
        if "bytes" in stated["files"][name]:
            stated["files"][name]["bytes"] = str(len(data))
        if inputs and name in stated["tables"] and name.endswith(".csv"):
            stated["tables"][name]["row_sha256"] = stated["files"][name]["sha256"]
    if not inputs:
        return
    for entry in (stated["query"], *(one for entries in stated["inputs"].values() for one in entries)):
        entry["sha256"] = hashlib.sha256(files[f"inputs/{entry['file']}"]).hexdigest()
    stated["legs"] = [leg_stated(one["token"], int(one["decimals"]), files[CLAIMS_FILE]) for one in stated.get("legs", [])]


def restate(folder: Path, inputs: bool = False, **versions: str) -> None:
    """The manifest of a folder brought in line with its files; and other versions of libraries."""
    stated = read(folder)
    in_line(stated, {name: (folder / name).read_bytes() for name in stated["files"]}, inputs)
    stated["versions"] |= versions
    (folder / MANIFEST).write_bytes(written(stated))
