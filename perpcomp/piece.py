"""One piece of an input: from its raw logs to checked, decoded events."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import polars as pl
from msgspec import Struct

from perpcomp.findings import InputError
from perpcomp.incident.funds import InsuranceFund
from perpcomp.incident.incident import Incident
from perpcomp.ingest.consistency import Consistency
from perpcomp.ingest.raw_frame import Piece
from perpcomp.systems.system import find


class Decoder(Struct, frozen=True):
    """What decoding the logs of an input called `name` depends on beside them. It can be sent to another process."""

    name: str
    system: str
    chain_id: int
    clearing_house: str
    fund: InsuranceFund | None

    def __call__(self, piece: Piece) -> tuple[Consistency, dict[str, pl.DataFrame]]:
        """A piece's part of the consistency check, and its events by name. InputError names rows."""
        raw, consistency = piece(), Consistency(self.name)
        consistency.add(raw)
        with of_file(self.name):
            return consistency, find(self.system).decode(raw, self.chain_id, self.clearing_house, self.fund)


def decoder(name: str, incident: Incident) -> Decoder:
    """The decoder of an incident's logs in an input of that name."""
    return Decoder(name, incident.system, incident.chain.id, incident.chain.clearing_house, incident.fund_in_logs)


@contextmanager
def of_file(name: str) -> Iterator[None]:
    """Put the file's name before the place of each finding: a protocol knows rows and transactions, but not files."""
    try:
        yield
    except InputError as error:
        raise InputError([replace(problem, where=f"{name} {problem.where}") for problem in error.problems], error.exit_code) from None
