"""The manifest: what a run was made of and what it came to, by hashes. No clock, no path, no host name."""

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from perpcomp.findings import refusal
from perpcomp.formula import Formula
from perpcomp.publish.files import CSV_FILES
from perpcomp.publish.workbook import content_digest
from perpcomp.run import Run
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import row_hash
from perpcomp.totals import counts, entitled, total_of
from perpcomp.version import VERSION

FORMAT = "perpcomp-run-v1"
MANIFEST = "manifest.json"
LIBRARIES = ("polars", "XlsxWriter", "msgspec", "eth-utils")
NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,119})?"


def manifest(run: Run, files: Mapping[str, bytes]) -> bytes:
    """The manifest's bytes for a run and everything it publishes. Every number is a text: JSON numbers are floats to many readers."""
    tables = {name: (getattr(run, attribute), table) for name, (attribute, table) in CSV_FILES.items()}
    tables["1-events.parquet"] = (run.events.table, EVENTS)
    paid = counts(run.liquidations.filter("eligible"))
    document = {
        "format": FORMAT,
        "tool": {"name": "perpcomp", "version": VERSION},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "query": {"file": f"{run.incident.name}.toml", "sha256": run.incident.sha256},
        "inputs": {
            role: [{"file": path.name, "sha256": hashlib.sha256(files[f"inputs/{path.name}"]).hexdigest()} for path in paths]
            for role, paths in (
                ("files", run.input.files),
                ("blocks", [run.input.blocks] if run.input.blocks else []),
                ("prices", [run.input.prices] if run.input.prices else []),
                ("index", [run.incident.index_file] if run.incident.index_file else []),
            )
        },
        "formula": _formula(run.formula),
        "compared": [_formula(one) for one in run.compared],
        "tables": {name: {"rows": str(frame.height), "row_sha256": row_hash(frame, table)} for name, (frame, table) in tables.items()},
        "files": {name: {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()},
        "workbook_content_sha256": content_digest(files["vote.xlsx"]),
        "totals": {
            "accounts": str(paid.traders),
            "positions": str(paid.positions),
            "liquidations": str(run.liquidations.height),
            "entitlement_1e18_usdc": str(entitled(run.payouts)),
            "amount_1e18": {leg.token: str(total_of(run.payouts, "amount", leg.token)) for leg in run.incident.settlement},
        },
    }
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _formula(one: Formula) -> dict[str, str]:
    return {"name": one.name, "source": one.source, "code_sha256": one.code_sha256}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run's folder, strictly: no doubled key, no NaN, a known format, names that stay inside."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands twice")
        return dict(pairs)

    def never(constant: str) -> None:
        raise ValueError(f"it holds {constant}")

    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once, parse_constant=never)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else type(document).__name__
            raise ValueError(f"its format is {found!r}, not {FORMAT}")
        unsafe = [name for name in document["files"] if not re.fullmatch(NAME, name, re.ASCII)]
        if unsafe:
            raise ValueError(f"it names {unsafe[0]!r}, which is no file of a run")
        for name in (document["query"]["file"], *(entry["file"] for entries in document["inputs"].values() for entry in entries)):
            if not re.fullmatch(NAME, name, re.ASCII) or "/" in name:
                raise ValueError(f"it names {name!r}, which is no input of a run")
    except FileNotFoundError:
        raise refusal(
            str(folder), f"holds no {MANIFEST}: it is no run.", "Give the folder that `perpcomp run` wrote, as outputs/rehearsal."
        ) from None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, OSError) as error:
        raise refusal(
            str(path), f"cannot be used: {error}.", "It was not written by this tool, or was changed since.", exit_code=4
        ) from None
    return document
