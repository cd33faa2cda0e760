"""The range of blocks that a store holds for an incident, and the options of a fetch. No node is asked here."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from perpcomp.findings import NETWORK, refusal
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node.refusals import Range
from perpcomp.ingest.node.segments import Settings, grid
from perpcomp.ingest.node.store import LOGS, Store, Subject, read_range
from perpcomp.ingest.proof.kept import folder_of
from perpcomp.tables.schema import CSV_TIME


@dataclass(frozen=True)
class Options:
    """How to fetch.

    `blocks` replaces the range of the incident's window. `second` is the URL of another operator's node to compare with. `prove` is
    "window" or "all". `timeout` and `patience` (the first wait before another attempt) are in seconds.
    """

    store: Path
    blocks: Range | None = None
    second: str | None = None
    prove: str | None = None
    settings: Settings = field(default_factory=Settings)
    timeout: float = 60.0
    attempts: int = 6
    patience: float = 0.5
    at_once: int = 4


@dataclass(frozen=True)
class Fetched:
    """A range of blocks whose logs are all in `file`. `final` says that no reorganisation can reach the range."""

    first: int
    last: int
    final: bool
    file: Path
    requests: int
    proof: tuple[str, ...] = ()  # what was proved, in sentences


def default_store(incident: Incident) -> Path:
    """The folder of an incident's logs, unless another is given."""
    return Path("store") / incident.name


def subject(incident: Incident, topics: Sequence[str]) -> Subject:
    """Which logs an incident's store holds: chain, contracts and topics."""
    addresses = sorted({*incident.chain.contracts, *(market.amm for market in incident.markets)})
    return Subject(incident.chain.id, incident.chain.genesis or "", tuple(addresses), tuple(sorted(topics)))


def asked_for(incident: Incident, options: Options) -> dict[str, Any]:
    """What decides the range of a fetch: the incident's window, or the blocks given."""
    rules = incident.eligibility
    ends: list[Any] = [rules.from_block, rules.to_block]
    if rules.from_block is None:
        ends = [rules.start.strftime(CSV_TIME), rules.end.strftime(CSV_TIME)]
    window = [*ends, incident.chain.first_block]
    return {"blocks": list(options.blocks)} if options.blocks else {"window": window}


def held(incident: Incident, topics: Sequence[str], options: Options) -> Fetched | None:
    """The range that the store holds for this window, complete and final; None where something is missing. No node is asked."""
    stated = read_range(options.store)
    try:
        asked = (int(stated["first"]), int(stated["last"]))
    except (ValueError, KeyError, TypeError):
        return None
    if not (options.store / LOGS).is_file() or stated.get("asked") != asked_for(incident, options) or not stated.get("final"):
        return None
    store = Store(options.store, subject(incident, topics))
    if store.missing(grid(asked, options.settings.segment)):
        return None
    return Fetched(*asked, True, options.store / LOGS, 0)


def stored(incident: Incident) -> Path | None:
    """The file of logs that an earlier fetch left for this incident; None without one.

    InputError where the file does not hold the whole window or is not final: a victim could be missing.
    """
    options = Options(default_store(incident))
    file = options.store / LOGS
    if not file.is_file():
        return None
    stated = read_range(options.store)
    if stated.get("asked") != asked_for(incident, options) or not stated.get("final"):
        blocks = f"blocks {stated.get('first')} to {stated.get('last')}" if "first" in stated else "an unfinished range"
        what = f"The store holds {blocks}, not the complete and final range of the window of '{incident.name}'."
        advice = f"Fetch the rest with --rpc URL, or use these logs as they are with --input {file}."
        raise refusal(str(options.store), what, advice, NETWORK)
    return file


def proved(incident: Incident, topics: Sequence[str], options: Options, known: Fetched) -> Fetched | None:
    """The held range with the proof that `options` asks for, made again from the store's evidence; None where the evidence is missing."""
    if options.prove is None:
        return known
    stated = read_range(options.store).get("proved", {}).get(options.prove)
    if stated is None:
        return None
    from perpcomp.ingest.proof import evidence  # brings RLP and the client of nodes: only where there is something to prove

    start, anchor = stated
    about = subject(incident, topics)
    folder = folder_of(options.store, (start, known.last))
    logs = Store(options.store, about).logs(grid((known.first, known.last), options.settings.segment))
    proof = evidence.check(folder, (start, known.last), evidence.filters(about.addresses, about.topics), logs, anchor)
    return replace(known, proof=(str(proof),))
