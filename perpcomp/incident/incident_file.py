"""One TOML file -> one frozen Incident, or all problems at once, each with its table and key."""

import re
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from perpcomp import installed
from perpcomp.findings import InputError, refusal
from perpcomp.incident import toml
from perpcomp.incident.across import problems_across
from perpcomp.incident.from_claims import ABSENT, about_logs, starts_from_claims
from perpcomp.incident.incident import Incident
from perpcomp.incident.ledger_file import with_ledger
from perpcomp.incident.lists import with_lists
from perpcomp.incident.market import Market
from perpcomp.incident.places import lines
from perpcomp.incident.reader import Problem, TableReader
from perpcomp.incident.shelf import MAX_QUERY_BYTES, find
from perpcomp.incident.shelf import shelf as shelf
from perpcomp.incident.tables import tables
from perpcomp.incident.valuation import Valuation


def load(query: str) -> Incident:
    """The incident behind a path or a built-in name."""
    path = find(query)
    size = path.stat().st_size
    if size > MAX_QUERY_BYTES:
        what = f"The file is {size} bytes long; an incident file has at most {MAX_QUERY_BYTES}."
        raise refusal(path.name, what, "Check that it is the right file.")
    return parse(path.read_bytes(), path.stem, path.parent)


def check_name(name: str) -> None:
    """InputError where no incident may have this name."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,79}", name):
        what = "The name of an incident file has only lower-case letters, digits and hyphens, at most 80."
        raise refusal(f"{name}.toml", what, "Rename the file: results go to outputs/NAME.")


def parse(raw: bytes, name: str, folder: Path) -> Incident:
    """An Incident from the bytes of its file. InputError carries every problem found."""
    file = f"{name}.toml"
    check_name(name)
    document = toml.parse(raw, file)
    problems: list[Problem] = []
    systems = tuple(installed.names(installed.SYSTEMS))
    described = tables(systems, *_contract_key(document, systems))
    if starts_from_claims(document):
        problems += about_logs(document, {field: table.name for field, table in described.items()})
        about_claims = {field: table for field, table in described.items() if field not in ABSENT}
        rest = {name: value for name, value in document.items() if name not in {described[field].name for field in ABSENT}}
        read = {**ABSENT, **TableReader(rest, about_claims, problems).values()}
    else:
        read = TableReader(document, described, problems).values()
    if not problems:
        read, problems = with_lists(read, folder)
        read, of_ledger = with_ledger(read, folder)
        problems += of_ledger
    problems += problems_across(read)
    if problems:
        places = lines(raw.decode())
        raise InputError(problem.finding(file, places) for problem in problems)
    return _incident(read, raw, name, folder)


def _contract_key(document: dict[str, Any], systems: tuple[str, ...]) -> tuple[str, bool]:
    """How the file's system calls the contract of [chain], and whether it may list several; where it is not known, as the file does."""
    chain, system = document.get("chain"), document.get("system")
    loaded = [installed.load(installed.SYSTEMS, one) for one in ([system] if system in systems else systems)]
    known: list[tuple[str, bool]] = [(one.contract_key, one.several_contracts) for one in loaded]
    return next((found for found in known if isinstance(chain, dict) and found[0] in chain), known[0])


def _incident(read: dict[str, Any], raw: bytes, name: str, folder: Path) -> Incident:
    files, formula, allocation = read.pop("input"), read.pop("formula"), read.pop("allocation")
    claims = read.pop("claims")
    return Incident(
        **read | {"markets": tuple(_priced(market, read["valuation"]) for market in read["markets"])},
        name=name,
        input=files.file,
        blocks=files.blocks,
        published_table=files.table,
        formula=formula.name,
        formula_source=formula.source,
        rounding=allocation.rounding,
        rounding_to=allocation.rounded_off_to,
        allocation_source=allocation.source,
        claims=claims.period,
        claim_files=claims.files,
        raw=raw,
        folder=folder,
    )


def _priced(market: Market, valuation: Valuation) -> Market:
    """The market; an affected one with the one price of [valuation], where that states a number."""
    if not market.affected or valuation.one_price is None:
        return market
    sources = tuple(dict.fromkeys(market.source + valuation.source))
    return replace(market, reference_price=valuation.one_price, source=sources)
