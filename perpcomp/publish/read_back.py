"""A published run read back from its folder: first verified against its manifest, then the tables as a run has them.

Nothing is computed from logs. Tables come from the CSV files, events from the Parquet files, policy from the incident file in `inputs`.
Where an explanation needs a market's pool at some block, the events are replayed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp import adjust, payees, payouts, pipeline, restore
from perpcomp import formula as formulas
from perpcomp.decoded import Events, no_events
from perpcomp.findings import INVALID_MANIFEST, WRONG_INPUT, Finding, InputError, refusal
from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.input import Input
from perpcomp.owed import Due, due_by, of_all
from perpcomp.publish.files import ADJUSTED_FILE, CSV_FILES, EVENTS_FILE, EVENTS_FOLDER, REDIRECTED_FILE
from perpcomp.publish.stated import MANIFEST, read_manifest
from perpcomp.rules.named import Paying, named
from perpcomp.rules.population import Population
from perpcomp.rules.sources import of_claims, of_liquidations
from perpcomp.systems.replay import Replay
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import read
from perpcomp.tables.payouts import ADJUSTED, REDIRECTED
from perpcomp.tables.schema import Table
from perpcomp.version import VERSION
from perpcomp.window import dated

FILE_OF = {attribute: (name, table) for name, (attribute, table) in CSV_FILES.items()}


def open_published(folder: Path) -> "Published":
    """The run in a folder. InputError where there is none; with exit code 4 where its manifest is invalid or its files do not fit it."""
    stated = read_manifest(folder)
    advice = f"Nothing was read. Get the folder again from who published it. `perpcomp verify {folder}` says more."
    hashes = {**{name: entry["sha256"] for name, entry in stated["files"].items()}, **input_hashes(stated)}
    found = [
        Finding("error", f"{folder}/{name}", f"The file {words}.", advice)
        for name, digest in altered(folder, hashes)
        for words in ["is missing" if digest is None else f"has the sha256 {digest}, but {MANIFEST} states {hashes[name]}"]
    ]
    if found:
        raise InputError(found, INVALID_MANIFEST)
    return Published(folder, stated)


def input_hashes(stated: Mapping[str, Any]) -> dict[str, str]:
    """File -> sha256 of everything that a run read, by its manifest."""
    return {f"inputs/{entry['file']}": entry["sha256"] for entry in (stated["query"], *chain(*stated["inputs"].values()))}


def altered(folder: Path, hashes: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """The files that have another sha256 than stated, each with what it has; None where it is missing."""
    for name, digest in sorted(hashes.items()):
        if not (folder / name).is_file():
            yield name, None
        elif (found := sha256((folder / name).read_bytes()).hexdigest()) != digest:
            yield name, found


def input_of(folder: Path, stated: Mapping[str, Any], incident: Incident) -> Input:
    """What the run read, as files of its folder."""
    inputs = folder / "inputs"
    names = {role: tuple(entry["file"] for entry in entries) for role, entries in stated["inputs"].items()}
    blocks, prices, codes = (inputs / names[role][0] if names.get(role) else None for role in ("blocks", "prices", "codes"))
    instead = stated.get("overrides", {}).get("input", "")
    if len(names["files"]) > 1:
        return Input(inputs, blocks, names["files"], prices, codes, instead)
    (file,) = names["files"]
    if incident.input is not None and file != Path(incident.input).name:
        instead = file  # whatever the manifest says
    return Input(inputs / file, blocks, (), prices, codes, instead)


def incident_of(folder: Path, stated: Mapping[str, Any]) -> Incident:
    """The incident as its file in the folder states it."""
    query = folder / "inputs" / stated["query"]["file"]
    return incident_file.parse(query.read_bytes(), query.stem, query.parent)


@dataclass(frozen=True)
class Published:
    """A run in a folder whose files fit its manifest. It has the RunTables of a run; each is read when it is asked for.

    InputError where a table is absent or has another form: as an earlier version published it, or (exit code 4) as no version did.
    """

    folder: Path
    stated: Mapping[str, Any]

    @cached_property
    def incident(self) -> Incident:
        incident = incident_of(self.folder, self.stated)
        return incident if incident.published_table is not None else dated(incident, self.events.logs)

    @cached_property
    def input(self) -> Input:
        return input_of(self.folder, self.stated, self.incident)

    @property
    def formula(self) -> Paying:
        """The formula or rule that paid."""
        return self.due.chosen

    @cached_property
    def due(self) -> Due:
        """What the formula or rule gives. InputError where it is not installed, or where it does not give the published payouts."""
        name = self.stated["formula"]["name"]
        if name not in {*formulas.installed(), *(rule.name for rule in self.incident.rules)}:
            raise refusal(str(self.folder), f"The run was paid by the formula {name}, which is not installed.", "Install its package.")
        chosen = named(self.incident, name)
        population = self._population()
        owed, _ = of_all([chosen], self.liquidations, self.incident, population)
        due = due_by(chosen, adjust.adjust(owed[name], self.incident), self.incident, population)
        unpayable = payees.unpayable(due.by_payee, payees.contracts(self.incident, self.liquidations))
        again = payouts.pay(due, unpayable, self.liquidations, any(problem.stops for problem in self.problems))
        if not again.equals(self.payouts):
            what = f"The installed formula {name} does not give the payouts in the folder, so it cannot explain them."
            same = chosen.code_sha256 == self.stated["formula"]["code_sha256"]
            advice = (
                "Type `perpcomp verify` with the folder." if same else "Install the version of the formula's package that made the run."
            )
            raise refusal(str(self.folder), what, advice, INVALID_MANIFEST if same else WRONG_INPUT)
        return due

    def _population(self) -> Population:
        if self.incident.published_table is not None:
            return of_claims(self.incident, self.input.file)
        return of_liquidations(self.liquidations, self.incident, restore.pools(self.incident, self.replayed))

    @cached_property
    def events(self) -> Events:
        if incident_of(self.folder, self.stated).claims is not None:
            return no_events()
        names = [name for name in self.stated["files"] if name.startswith(EVENTS_FOLDER)]
        table = self._scanned(EVENTS_FILE)
        if table.collect_schema() != EVENTS.schema:
            raise self._other_form(EVENTS_FILE, "its columns are not those of the events table")
        return Events(table, {Path(name).stem: self._scanned(name) for name in names})

    @cached_property
    def replayed(self) -> Replay | None:
        return pipeline.replayed(self.events, self.input, self.incident, self.liquidations) if self.incident.replays else None

    @cached_property
    def problems(self) -> tuple[Finding, ...]:
        rows = self._table("findings").drop("number").iter_rows(named=True)
        return tuple(Finding(**{**row, "what_to_do": row["what_to_do"] or ""}) for row in rows)

    @cached_property
    def redirected(self) -> pl.DataFrame:
        return self._read(REDIRECTED_FILE, REDIRECTED) if self.incident.payees else REDIRECTED.empty()

    @cached_property
    def adjusted(self) -> pl.DataFrame:
        return self._read(ADJUSTED_FILE, ADJUSTED) if self.incident.adjustments else ADJUSTED.empty()

    @cached_property
    def liquidations(self) -> pl.DataFrame:
        return self._table("liquidations")

    @cached_property
    def payouts(self) -> pl.DataFrame:
        return self._table("payouts")

    @cached_property
    def payees(self) -> pl.DataFrame:
        return self._table("payees")

    @cached_property
    def claims(self) -> pl.DataFrame:
        return self._table("claims")

    @cached_property
    def left_out(self) -> pl.DataFrame:
        return self._table("left_out")

    @cached_property
    def comparison(self) -> pl.DataFrame:
        return self._table("comparison")

    @cached_property
    def capacity(self) -> pl.DataFrame:
        return self._table("capacity")

    @cached_property
    def differences(self) -> pl.DataFrame:
        return self._table("differences")

    @cached_property
    def preferences(self) -> pl.DataFrame:
        return self._table("preferences")

    @cached_property
    def elections(self) -> pl.DataFrame:
        return self._table("elections")

    @cached_property
    def fairness(self) -> pl.DataFrame:
        return self._table("fairness")

    @cached_property
    def sensitivity(self) -> pl.DataFrame:
        return self._table("sensitivity")

    @cached_property
    def in_kind(self) -> pl.DataFrame:
        return self._table("in_kind")

    @cached_property
    def restore_orders(self) -> pl.DataFrame:
        return self._table("restore_orders")

    def _table(self, attribute: str) -> pl.DataFrame:
        return self._read(*FILE_OF[attribute])

    def _read(self, name: str, table: Table) -> pl.DataFrame:
        try:
            return read(self._path(name), table)
        except InputError as error:
            raise self._other_form(name, str(error)) from None

    def _scanned(self, name: str) -> pl.LazyFrame:
        try:
            table = pl.scan_parquet(self._path(name), glob=False)
            table.collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._other_form(name, str(error).splitlines()[0]) from None
        return table

    def _path(self, name: str) -> Path:
        """The file, if the manifest states it: only then was it verified."""
        if name not in self.stated["files"]:
            raise self._other_form(name, f"{MANIFEST} does not list it")
        return self.folder / name

    def _other_form(self, name: str, why: str) -> InputError:
        made = self.stated["tool"].get("version")
        what = f"The file cannot be read as this version of perpcomp publishes it: {why.rstrip('.')}."
        if made == VERSION:
            return refusal(f"{self.folder}/{name}", what, f"`perpcomp verify {self.folder}` says more.", INVALID_MANIFEST)
        inputs = self.folder / "inputs"
        file = f" --input {inputs / self.stated['inputs']['files'][0]['file']}" if len(self.stated["inputs"]["files"]) == 1 else ""
        again = f"perpcomp run {inputs / self.stated['query']['file']}{file} --out FOLDER"
        return refusal(f"{self.folder}/{name}", what, f"perpcomp {made} made the run. Make it again: `{again}`.")
