"""A published ledger is only appended to: a run whose ledger lacks lines of the run that it replaces is refused."""

from collections.abc import Mapping
from pathlib import Path

from perpcomp.findings import refusal
from perpcomp.incident.incident import Incident
from perpcomp.ledger import chain


def refuse_cut_ledger(folder: Path, files: Mapping[str, bytes], incident: Incident) -> None:
    """InputError where the run in the folder has a ledger that this run's ledger does not begin with.

    The chain of hashes shows every change of a line, but not that the last lines were cut off.
    """
    if incident.ledger.file is None:
        return
    name = f"inputs/{Path(incident.ledger.file).name}"
    held = folder / name
    if not held.is_file() or files[name].startswith(held.read_bytes()):
        return
    counts = [len(chain.read(data)) for data in (held.read_bytes(), files[name])]
    what = f"The run in {folder} has a ledger of {counts[0]} lines, and this ledger of {counts[1]} does not begin with them."
    advice = "A ledger is only appended to: take the published one and append to that; or type --force to replace it for everybody to see."
    raise refusal(incident.ledger.file, what, advice)
