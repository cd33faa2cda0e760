"""An incident that starts from a published table: which tables of the file say something about logs only, and what stands in their place."""

from collections.abc import Mapping
from typing import Any

from perpcomp.incident.chain import Chain
from perpcomp.incident.description import Table, keys
from perpcomp.incident.eligibility import Eligibility
from perpcomp.incident.guards import Guards
from perpcomp.incident.reader import Problem
from perpcomp.incident.valuation import Valuation


def _nobody_is_left_out() -> Eligibility:
    """No window and no rule: each key's default, and "include" for a policy, which has none."""
    described = {field: key for field, key in keys(Eligibility).items() if field != "source"}
    values: dict[str, Any] = {
        field: key.absent if isinstance(key, Table) else "include" if key.required else key.default for field, key in described.items()
    }
    return Eligibility(**values, as_written="", source=())


# What such a file does not have, by its name in the reader: its rows are claims already, found and valued by whoever published them.
ABSENT: Mapping[str, Any] = {
    "system": "",
    "chain": Chain(id=0, contracts=("",), genesis=None, first_block=None, liquidation_fee_ratio=None, source=()),
    "markets": (),
    "eligibility": _nobody_is_left_out(),
    "valuation": Valuation(),
    "restore": None,
    "insurance_fund": None,
    "guards": Guards(),
}


def starts_from_claims(document: Mapping[str, Any]) -> bool:
    """Whether a file, raw, names a published table."""
    files = document.get("input")
    return isinstance(files, dict) and "claims" in files


def about_logs(document: Mapping[str, Any], names: Mapping[str, str]) -> list[Problem]:
    """A problem for each table of the file that says something about logs. `names` are the tables' names in the file."""
    found = [names[table] for table in ABSENT if names[table] in document]
    what, advice = "says something about logs, but the run starts from claims.", "Remove it, or name the logs instead of claims."
    return [Problem("", 0, name if name == "system" else f"[{name}]", what, advice) for name in found]
