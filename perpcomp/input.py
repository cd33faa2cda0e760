"""From the files that a command or an incident file names to decoded events."""

import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from perpcomp import progress
from perpcomp.decoded import Events
from perpcomp.engine import LOCAL, Engine
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.incident.incident import Incident
from perpcomp.ingest.consistency import Consistency
from perpcomp.ingest.log_file import LOGS, is_log_file, log_pieces
from perpcomp.ingest.node.store import RANGE, own_pieces, read_range, states_range_of
from perpcomp.ingest.proof.kept import Proved, evidence_in, folder_of, proved_by
from perpcomp.ingest.raw_frame import Piece, no_logs
from perpcomp.ingest.spill import Spill
from perpcomp.number_text import counted
from perpcomp.object_store import located
from perpcomp.piece import decoder, of_file
from perpcomp.systems.system import System, find, topics
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import read

TABLES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".json", ".json.gz")


class Input(Struct, frozen=True):
    """What a run reads: one file of logs or events, or a folder of files as exporters write them; and the block list that dates logs
    without a timestamp. `members` names the files of a folder that are read; without it all are. `prices` is the file of prices that
    [valuation] names, `codes` the code at payees' addresses as a node of the chain that pays gave it. `instead` is the name of `file`
    where the command names it although the incident file names another input; else "".
    """

    file: Path
    blocks: Path | None
    members: tuple[str, ...] = ()
    prices: Path | None = None
    codes: Path | None = None
    instead: str = ""

    @property
    def files(self) -> list[Path]:
        """The files, in order."""
        if not self.file.is_dir():
            return [self.file]
        return [path for path in sorted(self.file.iterdir()) if path.is_file() and (not self.members or path.name in self.members)]

    @property
    def range(self) -> Path | None:
        """The statement of a store about the range of blocks that the file holds; None for any other file."""
        return self.file.with_name(RANGE) if states_range_of(self.file) else None

    @property
    def proved(self) -> Proved | None:
        """The blocks whose logs are proved, as the store states; None where it was filled without --prove, and for any other file."""
        return proved_by(read_range(self.file.parent), RANGE) if self.range is not None else None

    @property
    def evidence(self) -> list[Path]:
        """The headers and receipts of that proof. InputError where they are not in the store."""
        proved = self.proved
        return [] if proved is None else evidence_in(folder_of(self.file.parent, (proved.first, proved.last)))


def find_input(incident: Incident, given: Path | None) -> Input:
    """The input that the command names, or else the incident file; InputError (exit 3) where neither names one."""
    named, given = False, None if given is None else located(given)
    if incident.published_table is not None:
        return _claims(incident, incident.published_table.file, given)
    if given is not None:
        file = given
    elif incident.input is not None:
        file, named = incident.folder / incident.input, True
    elif (fetched := _fetched(incident)) is not None:
        file = fetched
    else:
        what = f"The incident names no input file; its logs are on chain {incident.chain.id}."
        advice = (
            "Fetch them with `perpcomp run QUERY --rpc URL`, or export them and pass --input FILE:"
            " rows of eth_getLogs (.jsonl, .jsonl.gz), or a table (.parquet, .csv)."
        )
        raise refusal(f"{incident.name}.toml", what, advice, exit_code=3)
    beside = {name: incident.folder / name for name in (incident.blocks, incident.valuation.series) if name}
    source = Input(
        file, beside.get(incident.blocks or ""), prices=beside.get(incident.valuation.series or ""), instead=instead_of_own(incident, given)
    )
    check_files(source)
    if source.prices is not None and not source.prices.is_file():
        raise refusal(
            f"{incident.name}.toml [valuation] price", f"The file {source.prices.name} does not exist.", "Put it beside the incident file."
        )
    for path in (file if named else None, source.blocks, source.prices):
        if path is not None and not path.resolve().is_relative_to(incident.folder.resolve()):
            raise refusal(path.name, "The file is a link to outside the incident file's folder.", "Put the file itself there.")
    return source


def _fetched(incident: Incident) -> Path | None:
    from perpcomp.ingest.node.held import stored  # incidents with a file of their own need no store

    return stored(incident)


def alone(file: Path) -> Input:
    """The input of this file or folder and nothing beside it. InputError as `find_input`."""
    source = Input(located(file), None)
    check_files(source)
    return source


def check_files(source: Input) -> None:
    """InputError where the input does not exist, is empty, or has an ending that is not read."""
    unknown = [path.name for path in source.files if not path.name.endswith(LOGS + TABLES)]
    if unknown or not source.files:
        what = f"Unsupported file type ({unknown[0].partition('.')[2] or 'no ending'})." if unknown else "The folder is empty."
        raise refusal(unknown[0] if unknown else source.file.name, what, f"Supported: {', '.join(LOGS + TABLES)}.")
    if not source.file.exists():
        raise refusal(str(source.file.name), "The file does not exist.", f"Looked in {source.file.parent.name or 'the current folder'}.")


def pieces_of_any_contract(source: Input, system: System) -> Iterator[Piece] | None:
    """The raw logs of a protocol's events in an input, whichever contract logged them; None where they were decoded by another tool."""
    if all(file.name.endswith(LOGS) and is_log_file(file) for file in source.files):
        return log_pieces(source.files, (), system.topics, (), {}, system.topics)
    if (own := own_pieces(source.file, None)) is not None:
        return own
    from perpcomp.ingest.exports.read import foreign_pieces

    wanted = replace(system.wanted(0, "", (), None), anywhere=system.topics, topics=system.topics)
    found = foreign_pieces(source.files, wanted, {})
    return None if found is None or isinstance(found, dict) else found


def instead_of_own(incident: Incident, given: Path | None) -> str:
    """The name of a given input that is not the one that the incident file names."""
    if given is None or incident.input is None:
        return ""
    own = incident.folder / incident.input
    return "" if own.exists() and given.exists() and own.samefile(given) else given.name


def _claims(incident: Incident, name: str, given: Path | None) -> Input:
    """The published table that the incident names, or the command instead of it."""
    file = incident.folder / name if given is None else given
    if not file.is_file():
        raise refusal(file.name, "The file of claims does not exist.", "Put it beside the incident file, or give it with --input.")
    if given is None and not file.resolve().is_relative_to(incident.folder.resolve()):
        raise refusal(file.name, "The file is a link to outside the incident file's folder.", "Put the file itself there.")
    return Input(file, None)


def read_events(source: Input, incident: Incident, engine: Engine = LOCAL) -> Events:
    """The decoded events of the input, each piece checked and decoded by the engine; InputError names file and row."""
    contract, fund, system = incident.chain.clearing_house, incident.fund_in_logs, find(incident.system)
    addresses, name, files = incident.addresses_of_logs, source.file.name, source.files
    progress.now(f"Reading {name}", sum(file.stat().st_size for file in files if file.is_file()))
    if engine.scratch is not None:
        from perpcomp.shared_input import decoded  # by Dask's workers

        folder = tempfile.TemporaryDirectory(prefix="perpcomp-", dir=engine.scratch, ignore_cleanup_errors=True)
        if (shared := decoded(source.file, files, source.blocks, incident, engine, Path(folder.name))) is not None:
            if not shared.rows:
                raise _nothing(name, system, contract)
            about = (_no_index(name, *shared.shared_index),) if shared.shared_index else ()
            return Events(*shared.stored.whole(), None, about, engine, shared.stored, folder)
        progress.now(f"Reading {name} in this process")
    found: Iterable[Piece] | dict[str, pl.DataFrame] | None
    times: dict[int, int] = {}
    if source.blocks is not None:
        from perpcomp.ingest.exports.read import times_of_blocks  # with a module for each exporter, which logs as nodes give them need not

        times = times_of_blocks(source.blocks)
    if all(file.name.endswith(LOGS) and is_log_file(file) for file in files):
        found = log_pieces(files, addresses, topics(system, fund), system.old_layouts, times, system.market_topics)
    elif (found := own_pieces(source.file, addresses)) is None:
        from perpcomp.ingest.exports.read import foreign_pieces

        found = foreign_pieces(files, system.wanted(incident.chain.id, contract, addresses, fund), times)
    if found is None:  # our own events table
        table = read(files[0], EVENTS)
        consistency = Consistency(name)
        consistency.add(table.with_row_index("row", 1 if files[0].suffix == ".parquet" else 2).cast({"row": pl.Int64}))
        consistency.check()
        with of_file(name):
            events = Events(system.recheck(table, incident.chain.id).lazy(), {})
    else:
        events = _decoded(name, found, incident)
    if events.lazy.select("block_number").head(1).collect().is_empty():
        raise _nothing(name, system, contract)
    return events


def _nothing(name: str, system: System, contract: str) -> InputError:
    what = f"The input holds no {system.required_event.format(contract=contract)}."
    return refusal(name, what, "Is it the right file, and are chain and addresses of the incident right?")


def _decoded(name: str, found: Iterable[Piece] | dict[str, pl.DataFrame], incident: Incident) -> Events:
    """Raw pieces decoded one by one, or tables that an export had decoded already."""
    spill, system, consistency, logs = Spill(), find(incident.system), Consistency(name), 0
    if isinstance(found, dict):
        for table in found.values():
            consistency.add(table)
        spill.add({event: table.drop("row") for event, table in found.items()})
    else:
        pieces = iter(found)
        first = next(pieces, no_logs)  # one piece at least, so that every table is there
        for part, decoded_part in map(decoder(name, incident), chain((first,), pieces)):
            consistency.join(part)
            spill.add(decoded_part)
            logs += sum(table.height for table in decoded_part.values())
            progress.advance(0, counted(logs, "log"))
    progress.now(f"Checking {name}")
    consistency.check()
    tables, findings = spill.tables(), []
    if shared := consistency.shared_index():
        findings.append(_no_index(name, *shared))
        tables = {event: table.with_columns(transaction_index=pl.lit(None, dtype=pl.Int64)) for event, table in tables.items()}
    with of_file(name):
        return Events(system.events_table(tables), tables, spill, tuple(findings))


def _no_index(name: str, block: int, index: int) -> Finding:
    what = f"Two transactions of block {block} have the index {index}, so the column transaction_index of the events is left empty."
    advice = "No amount depends on it. A node that numbers the transactions of a block gives the column."
    return Finding("warning", name, what, advice, code="shared-transaction-index")
