"""The manifest of a run: its inputs, versions, formulas, files and totals, by hashes. It holds no clock, path or host name."""

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from perpcomp.findings import refusal
from perpcomp.publish.files import CSV_FILES, INPUT_NAME, WORKBOOK_FILE
from perpcomp.publish.workbook import content_digest
from perpcomp.rules.named import Paying
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import row_hash
from perpcomp.totals import counts, entitled, total_of
from perpcomp.version import VERSION

FORMAT = "perpcomp-run-v1"
MANIFEST = "manifest.json"
LIBRARIES = ("polars", "XlsxWriter", "msgspec", "eth-utils")
ENTITLED = "entitlement_1e18_{}"  # the total of entitlements, by the quote asset in lower case
ALWAYS = ("files", "range", "blocks", "prices", "index")  # roles of inputs that a manifest lists even where a run has none
MOST_CHARACTERS = 16_000_000
DEEPEST = 20  # levels of nesting that a manifest may have
NAME = f"{INPUT_NAME}(/{INPUT_NAME}){{0,2}}"


def manifest(run: Run, files: Mapping[str, bytes]) -> bytes:
    """The manifest's bytes for a run and the files that it publishes. Numbers are texts, as many readers take JSON numbers as floats."""
    tables = {name: (getattr(run, attribute), table) for name, (attribute, table) in CSV_FILES.items()}
    if run.incident.published_table is None:
        tables["1-events.parquet"] = (run.events.table, EVENTS)
    paid = counts(run.liquidations.filter("eligible"))
    document = {
        "format": FORMAT,
        "tool": {"name": "perpcomp", "version": VERSION},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "query": {"file": f"{run.incident.name}.toml", "sha256": run.incident.sha256},
        "inputs": {
            role: [{"file": path.name, "sha256": hashlib.sha256(files[f"inputs/{path.name}"]).hexdigest()} for path in paths]
            for role, paths in _inputs(run).items()
            if paths or role in ALWAYS
        },
        "coverage": {} if run.coverage is None else run.coverage.members(),
        "formula": _describe(run.formula),
        "overrides": run.overrides,
        "compared": [_describe(one) for one in run.compared],
        "tables": {name: {"rows": str(frame.height), "row_sha256": row_hash(frame, table)} for name, (frame, table) in tables.items()},
        "files": {name: {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()},
        "workbook_content_sha256": content_digest(files[WORKBOOK_FILE]),
        "totals": {
            "accounts": str(paid.traders),
            "positions": str(paid.positions),
            "liquidations": str(run.liquidations.height),
            ENTITLED.format(units(run.incident).quote.lower()): str(entitled(run.payouts)),
            "amount_1e18": {leg.token: str(total_of(run.payouts, "amount", leg.token)) for leg in run.incident.settlement},
        },
    }
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _inputs(run: Run) -> dict[str, Sequence[Path]]:
    """Role -> its files, of everything that a run reads beside the incident file."""
    one_each = {
        "range": run.input.range,
        "blocks": run.input.blocks,
        "prices": run.input.prices,
        "index": run.incident.index_file,
        "codes": run.input.codes,
    }
    each: dict[str, Sequence[Path]] = {role: [path] if path is not None else [] for role, path in one_each.items()}
    return {"files": run.input.files, **each, "lists": run.incident.lists}


def _describe(one: Paying) -> dict[str, str]:
    return {"name": one.name, "source": one.source, "code_sha256": one.code_sha256}


class _Stated(msgspec.Struct):
    """A file with its hash."""

    sha256: str


class _Input(_Stated):
    file: str


class _Formula(msgspec.Struct):
    name: str
    source: str
    code_sha256: str


class _Manifest(msgspec.Struct):
    """What verify and the next run read of a manifest."""

    tool: dict[str, str]
    versions: dict[str, str]
    query: _Input
    inputs: dict[str, list[_Input]]
    formula: _Formula
    compared: list[_Formula]
    tables: dict[str, dict[str, str]]
    totals: dict[str, Any]
    files: dict[str, _Stated]
    overrides: dict[str, str] = {}  # msgspec copies it; version 0.1.0 did not state it


def _refuse_deep_nesting(text: str) -> None:
    """ValueError where brackets nest deeper than in any manifest: the JSON parser of CPython can overflow the stack on them."""
    depth = 0
    for bracket in re.findall(r"[\[{\]}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            raise ValueError(f"it nests deeper than {DEEPEST} levels")


def parse_strictly(text: str) -> Any:
    """The JSON value of a manifest. ValueError for a key that is listed twice, NaN, or more characters or levels than any manifest has."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, and at most {MOST_CHARACTERS:,} are read")
    _refuse_deep_nesting(text)
    return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a published run.

    InputError where there is none, and with exit code 4 where it has another format, a key that is listed twice, a field that is
    missing or of another type, or the name of a file outside the folder.
    """
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        document = parse_strictly(text)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else type(document).__name__
            raise ValueError(f"its format is {found!r}, not {FORMAT}")
        stated = msgspec.convert(document, _Manifest)
        for name in stated.files:
            if not re.fullmatch(NAME, name, re.ASCII):
                raise ValueError(f"{name!r} is not a valid file name of a run")
        for name in (stated.query.file, *(entry.file for entries in stated.inputs.values() for entry in entries)):
            if not re.fullmatch(INPUT_NAME, name, re.ASCII):
                raise ValueError(f"{name!r} is not a valid input name of a run")
    except (FileNotFoundError, NotADirectoryError):
        advice = "Give a folder that `perpcomp run` wrote, such as outputs/rehearsal."
        raise refusal(str(folder), f"The folder is not a published run: it has no {MANIFEST}.", advice) from None
    except (ValueError, RecursionError, OSError) as error:
        advice = "It was not written by perpcomp, or it was changed afterwards."
        raise refusal(str(path), f"The manifest is invalid: {error}.", advice, exit_code=4) from None
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is listed twice")
    return document


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"it contains {constant}")
