"""A recorded chain under another policy: its incident file with pieces of text put in or exchanged, computed anew."""

from collections.abc import Mapping
from pathlib import Path

from perpcomp import pipeline
from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.input import find_input
from perpcomp.run import Run

CODE = """
# The contracts of npm @perp/contract 1.1.0; events do not show what their margin ratio divides by.
[[chain.code]]
from_block = 13_500_000
meaning = 1
denominator = "open-notional"
source = "recording"
"""
NO_CODE = {CODE: ""}  # the rehearsal's own statement, taken away
NO_PRICE = {"reference_price = 50_000\n": ""}


def variant(query: str, tables: str = "", changes: Mapping[str, str] | None = None, folder: Path | None = None) -> Incident:
    """The incident of a query with `tables` of TOML added and pieces of its text exchanged; its files are looked for in `folder`."""
    path = incident_file.find(query)
    text = path.read_text()
    for old, new in (changes or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    text = text.replace("[sources]\n", f"{tables}\n[sources]\n", 1)
    return incident_file.parse(text.encode(), path.stem, folder or path.parent)


def computed(query: str, tables: str = "", changes: Mapping[str, str] | None = None, formula: str | None = None) -> Run:
    """The run of that variant."""
    changed = variant(query, tables, changes)
    return pipeline.compute(changed, find_input(changed, None), formula)
