"""The manifest of a run: an in-toto Statement over every file, with its inputs, versions, formulas, proof and totals.

Its bytes are those of RFC 8785, so the same run has one sha256, which is what people sign. It holds no clock, path or host name, and not
the interpreter's version, because no file depends on it. Amounts are texts: that standard refuses integers above 2^53 - 1.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rfc8785

from perpcomp.publish.files import CSV_FILES, EVENTS_FILE, EVENTS_TEXT, WORKBOOK_FILE
from perpcomp.publish.stated import FORMAT, MANIFEST, PREDICATE, STATEMENT
from perpcomp.publish.workbook import content_digest
from perpcomp.rules.named import Paying
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import row_hash
from perpcomp.totals import counts, entitled, total_of
from perpcomp.version import VERSION

__all__ = ["MANIFEST", "manifest"]

LIBRARIES = ("polars", "XlsxWriter", "Jinja2", "svg.py", "msgspec", "eth-utils")
ENTITLED = "entitlement_1e18_{}"  # the total of entitlements, by the quote asset in lower case
ALWAYS = ("files", "range", "blocks", "prices", "index")  # roles of inputs that a manifest lists even where a run has none
CLAIMS_FILE = "4-claims.csv"


def manifest(run: Run, files: Mapping[str, bytes]) -> bytes:
    """The manifest's bytes for a run and the files that it publishes. Numbers are texts, as many readers take JSON numbers as floats."""
    hashes = {name: sha256(files[name]).hexdigest() for name in sorted(files)}
    document: Any = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in hashes.items()],
        "predicateType": PREDICATE,
        "predicate": _predicate(run, files, hashes),
    }
    return rfc8785.dumps(document)


def _predicate(run: Run, files: Mapping[str, bytes], hashes: Mapping[str, str]) -> dict[str, Any]:
    """What the manifest states of the run, beside its files."""
    # The rows of a table are identified by its canonical text, which its CSV file is.
    tables = {name: (getattr(run, attribute).height, hashes[name]) for name, (attribute, _) in CSV_FILES.items()}
    if run.incident.published_table is None:
        text = hashes.get(EVENTS_TEXT) or row_hash(run.events.table, EVENTS)
        tables[EVENTS_FILE] = (run.events.table.height, text)
    paid, proved = counts(run.liquidations.filter("eligible")), run.input.proved
    return {
        "format": FORMAT,
        "tool": {"name": "perpcomp", "version": VERSION},
        "versions": {name: version(name) for name in LIBRARIES},
        "chain_id": str(run.incident.chain.id),
        "block": _last_block(run),
        "query": {"file": f"{run.incident.name}.toml", "sha256": run.incident.sha256},
        "inputs": {
            role: [{"file": path.name, "sha256": hashes[f"inputs/{path.name}"]} for path in paths]
            for role, paths in _inputs(run).items()
            if paths or role in ALWAYS
        },
        "proof": None if proved is None else {"first": str(proved.first), "last": str(proved.last), "anchor": proved.anchor},
        "coverage": {} if run.coverage is None else run.coverage.members(),
        "formula": _describe(run.formula),
        "overrides": run.overrides,
        "compared": [_describe(one) for one in run.compared],
        "tables": {name: {"rows": str(rows), "row_sha256": digest} for name, (rows, digest) in tables.items()},
        "workbook_content_sha256": content_digest(files[WORKBOOK_FILE]),
        "legs": [leg_stated(leg.token, leg.decimals, files[CLAIMS_FILE]) for leg in run.incident.settlement],
        "totals": {
            "accounts": str(paid.traders),
            "positions": str(paid.positions),
            "liquidations": str(run.liquidations.height),
            ENTITLED.format(units(run.incident).quote.lower()): str(entitled(run.payouts)),
            "amount_1e18": {leg.token: str(total_of(run.payouts, "amount", leg.token)) for leg in run.incident.settlement},
        },
    }


def _last_block(run: Run) -> dict[str, str]:
    """The last block with a trade; number 0 for a run that starts from a published table, no hash where the input states none."""
    last = run.events.table.tail(1).select("block_number", "block_hash")
    number, block_hash = last.row(0) if last.height else (0, None)
    return {"number": str(number), "hash": block_hash or ""}


def leg_stated(token: str, decimals: int, claims: bytes) -> dict[str, str]:
    """What a token pays, in base units, and the sha256 of its rows of the claims table's canonical text, with the header line."""
    header, *lines = claims.decode().splitlines(keepends=True)
    token_at, units_at = (next(csv.reader([header])).index(name) for name in ("token", "amount_base_units"))
    own, total = [header], 0
    for line in lines:
        (cells,) = csv.reader(io.StringIO(line))
        if cells[token_at] == token:
            own.append(line)
            total += int(cells[units_at])
    return {
        "token": token,
        "decimals": str(decimals),
        "total_base_units": str(total),
        "claims_sha256": sha256("".join(own).encode()).hexdigest(),
    }


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
