"""Runs that were published by earlier versions stay verifiable: a frozen one of each manifest format."""

import hashlib
import json
from pathlib import Path

from tests.commands import call

FROZEN = Path(__file__).parent / "manifests"


def test_a_run_with_the_first_manifest_is_whole_and_verifies(tmp_path: Path) -> None:
    """The rehearsal as it was published with `perpcomp-run-v1`, byte for byte. It is never written again."""
    folder = FROZEN / "v1" / "rehearsal"
    stated = json.loads((folder / "manifest.json").read_text())
    assert stated["format"] == "perpcomp-run-v1"
    there = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del there["manifest.json"]
    assert {name: {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()} for name, data in there.items()} == stated["files"]
    done = call("verify", str(folder), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
