"""One TOML file -> one frozen Incident.

A policy table without a source, an unknown key, a number that is not a plain decimal, an address with a wrong checksum: each is an
error that names the table and the key, and all of them come at once.
"""

import re
import tomllib
from fractions import Fraction
from pathlib import Path

from perpcomp.findings import InputError, near_miss, refusal
from perpcomp.incident import toml
from perpcomp.incident.chain import read_chain, read_market
from perpcomp.incident.eligibility import read_eligibility
from perpcomp.incident.expect import read_expectation
from perpcomp.incident.funds import FUND, read_budget, read_insurance_fund
from perpcomp.incident.guards import Guards, read_guards
from perpcomp.incident.incident import SYSTEMS, Incident
from perpcomp.incident.restore import read_restore
from perpcomp.incident.settlement import read_leg
from perpcomp.incident.sources import read_source, read_sources
from perpcomp.incident.toml import Section
from perpcomp.incident.valuation import Valuation, read_valuation
from perpcomp.incident.vesting import read_vesting

PACKAGE = Path(__file__).parent.parent
MAX_QUERY_BYTES = 2**20

RESERVED = ("profiles", "vectors")  # words of `perpcomp guards`, where a query's name stands


def shelf() -> Path:
    """The folder of the built-in incident files: in the wheel beside the code, in a checkout beside the package."""
    packaged = PACKAGE / "queries"
    return packaged if packaged.is_dir() else PACKAGE.parent / "queries"


def find(query: str) -> Path:
    """The file behind a path or a built-in name; InputError with the near miss."""
    path = Path(query)
    if path.stem in RESERVED:
        raise refusal(query, f"'{path.stem}' is a word of `perpcomp guards` and no name for an incident.", "Rename the file.")
    if path.suffix == ".toml" and path.is_file():
        return path
    built_in = {p.stem: p for p in shelf().glob("*.toml")}
    if query in built_in:
        return built_in[query]
    if path.suffix == ".toml" or "/" in query:
        raise refusal(
            query, "There is no such file.", "Give the path of an incident file, or a built-in name: " + ", ".join(sorted(built_in))
        )
    raise refusal(query, "is no incident file and no built-in query.", near_miss(query, built_in))


def load(query: str) -> Incident:
    """The incident behind a path or a built-in name."""
    path = find(query)
    if path.stat().st_size > MAX_QUERY_BYTES:
        raise refusal(
            path.name, f"is {path.stat().st_size} bytes long; an incident file has at most {MAX_QUERY_BYTES}.", "Is it the right file?"
        )
    return parse(path.read_bytes(), path.stem, path.parent)


def parse(raw: bytes, name: str, folder: Path) -> Incident:
    """An Incident from the bytes of its file. InputError carries every problem found."""
    file = f"{name}.toml"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,79}", name):
        raise refusal(file, "is no name for an incident.", "Use lower-case letters, digits and hyphens: results go to outputs/NAME.")
    try:
        document = tomllib.loads(raw.decode("utf-8"), parse_float=toml.exact)
    except tomllib.TOMLDecodeError as error:
        raise refusal(file, f"is not valid TOML: {error}.", "Correct the line named.") from None
    except UnicodeDecodeError as error:
        raise refusal(file, f"is not UTF-8 (byte {error.start}).", "Save it as UTF-8 text.") from None
    except (RecursionError, ValueError):
        raise refusal(file, "nests too deeply or holds a number of thousands of digits.", "Is it the right file?") from None
    top = Section(file, "", document, [])
    incident = _incident(top, raw, name, folder)
    top.close()
    if top.problems:
        raise InputError(top.problems)
    assert incident is not None
    return incident


def _incident(top: Section, raw: bytes, name: str, folder: Path) -> Incident | None:
    """The whole file. Values may be None where a problem was noted: the caller raises before anybody sees them."""
    known = read_sources(top.sub("sources"))
    given = top.sub("input", required=False)
    formula, allocation = top.sub("formula"), top.sub("allocation")
    valuation, one_price = read_valuation(top.sub("valuation"), known) if "valuation" in top.table else (Valuation(), None)
    incident = Incident(
        name=name,
        title=top.take("title", toml.text) or "",
        notice=top.take("notice", toml.text, "", required=False) or "",
        system=top.take("system", toml.choice(SYSTEMS)) or "",
        chain=read_chain(top.sub("chain"), known, "settings" if top.table.get("system") == "synthetix_v2" else "clearing_house"),
        input=given.take("file", toml.inside, required=False),
        blocks=given.take("blocks", toml.inside, required=False),
        markets=tuple(read_market(section, known, valuation, one_price) for section in top.each("market", required=True)),
        eligibility=read_eligibility(top.sub("eligibility"), known),
        valuation=valuation,
        restore=read_restore(top.sub("restore"), known) if "restore" in top.table else None,
        formula=formula.take("name", toml.text) or "",
        formula_source=read_source(formula, known),
        rounding_to=allocation.take("rounded_off_to", toml.text) or "",
        allocation_source=read_source(allocation, known),
        settlement=tuple(read_leg(section, known) for section in top.each("settlement", required=True)),
        vesting=read_vesting(top.sub("vesting"), known),
        budgets=tuple(read_budget(section, known) for section in top.each("budget")),
        insurance_fund=read_insurance_fund(top.sub("insurance_fund"), known) if "insurance_fund" in top.table else None,
        expectations=tuple(read_expectation(section, known) for section in top.each("expect")),
        guards=read_guards(top.sub("guards"), known) if "guards" in top.table else Guards(),
        sources=known,
        raw=raw,
        folder=folder,
    )
    for section in (given, formula, allocation):
        section.close()
    if not top.problems:
        _across(top, incident)
    return incident


def _across(top: Section, incident: Incident) -> None:
    """What no single key shows: shares that do not add up, names that stand twice, a window that ends before it starts."""
    if incident.system == "synthetix_v2" and (incident.replays or incident.restore or incident.fund_in_logs):
        what = (
            "has no pool, no fund and no replay: [valuation] at and price, [restore], [insurance_fund] and rules before the crash need one."
        )
        top.problem("system", f'"{incident.system}" {what}', "Remove them.")
    if sum((leg.share for leg in incident.settlement), Fraction()) != 1:
        top.problem("[[settlement]]", "shares do not add up to 1.", "Two legs of one half each: share = 0.5 in both.")
    for what, names in (
        ("[[market]] name", [m.name for m in incident.markets]),
        ("[[market]] amm", [m.amm for m in incident.markets]),
        ("[[settlement]] token", [leg.token for leg in incident.settlement]),
        ("[[eligibility.exclude]] address", [e.address for e in incident.eligibility.exclusions]),
        ("[[guards.limits]] market", [one.market or "every market" for one in incident.guards.limits]),
        ("[[budget]] name", [b.name for b in incident.budgets] + [FUND] * (incident.insurance_fund is not None)),
        ("[insurance_fund] address or token", _contracts(incident)),
    ):
        for twice in sorted({n for n in names if names.count(n) > 1}):
            top.problem(what, f'"{twice}" stands twice.', "Keep one.")
    if incident.valuation.price == "reference" and "price" in top.table.get("valuation", {}) and len(incident.affected) > 1:
        what = f"is one number for {len(incident.affected)} markets."
        top.problem("[valuation] price", what, "Give each affected [[market]] its own reference_price instead.")
    if incident.restore is not None:
        missing = [m.name for m in incident.affected if m.name not in incident.restore.pools]
        if incident.restore.at is None and missing:
            top.problem("[restore]", f"does not say at which pool {missing[0]} is opened again.", "Add at = BLOCK, or [[restore.pool]].")
        for name in incident.restore.pools:
            if name not in [m.name for m in incident.affected]:
                names = [m.name for m in incident.affected]
                top.problem("[[restore.pool]] market", f'"{name}" is no affected market.', near_miss(name, names))
    limited = [one.market for one in incident.guards.limits if one.market is not None]
    for name in sorted({n for n in limited if n not in [m.name for m in incident.markets]}):
        what = f'"{name}" is no market of this incident.'
        top.problem("[[guards.limits]] market", what, near_miss(name, [m.name for m in incident.markets]))
    if not incident.affected:
        top.problem("[[market]]", "none is affected.", "Set affected = true for the market that crashed.")
    if incident.eligibility.start >= incident.eligibility.end:
        written = incident.eligibility.as_written
        top.problem("[eligibility]", f"the window holds no second: {written}.", "Let it end after it starts; from is inside, to is not.")


def _contracts(incident: Incident) -> list[str]:
    """The contracts whose logs are told apart by address: with an insurance fund they must all differ."""
    fund = incident.fund_in_logs
    if fund is None:
        return []
    return [*{incident.chain.clearing_house, *(market.amm for market in incident.markets)}, fund.address, fund.token]
