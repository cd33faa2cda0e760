"""The table [input]: the files of the incident."""

from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Condition, Key, Table
from perpcomp.incident.kinds import DECIMALS, PATH, TEXT
from perpcomp.incident.reader import TableReader
from perpcomp.incident.rule_kinds import NAME

_OF_CLAIMS = Condition("claims is given", lambda table, _: "claims" in table, {"required": ["claims"]})


class ClaimColumn(Struct, frozen=True):
    """A column of a published table under the name by which rules call it. With `decimals` its numbers are whole base units."""

    name: Annotated[str, Key(NAME, "The name by which rules call the column.", '"claim"')]
    column: Annotated[str, Key(TEXT, "The column's title in the file.", '"dai_units_8pct"')]
    decimals: Annotated[
        int | None,
        Key(DECIMALS, "The decimals of the base units that the column counts; without it, it holds plain numbers.", "18", default=None),
    ] = None


class PublishedTable(Struct, frozen=True):
    """A published table instead of logs: its account column, its market column where it has one, its amounts, and their unit."""

    file: str
    account: str
    market: str | None
    unit: str
    columns: tuple[ClaimColumn, ...]


class InputFiles(Struct, frozen=True):
    """The files beside the incident file; without one, --input or --rpc gives the logs. `table` is a published table instead of logs."""

    file: Annotated[str | None, Key(PATH, "The logs or events, or a folder of them.", '"rehearsal/logs.jsonl.gz"', default=None)] = None
    blocks: Annotated[
        str | None, Key(PATH, "A list of block numbers and times, where the logs state no times.", '"blocks.csv"', default=None)
    ] = None
    claims: Annotated[
        str | None, Key(PATH, "A .csv with one claim a row, which a run starts from instead of logs.", '"claims.csv"', default=None)
    ] = None
    account: Annotated[
        str | None, Key(TEXT, "The title of the column of accounts in the claims.", '"user"', default=None, required_if=_OF_CLAIMS)
    ] = None
    market: Annotated[str | None, Key(TEXT, "The title of the column of markets in the claims.", '"market"', default=None)] = None
    unit: Annotated[str | None, Key(TEXT, "What the claims are counted in.", '"USDC"', default=None, required_if=_OF_CLAIMS)] = None
    columns: Annotated[
        tuple[ClaimColumn, ...],
        Table(ClaimColumn, "names a column of numbers in the claims", required=False, many=True, absent=(), name="column"),
    ] = ()

    @property
    def table(self) -> PublishedTable | None:
        """The published table that the run starts from."""
        if self.claims is None or self.account is None or self.unit is None:
            return None
        return PublishedTable(self.claims, self.account, self.market, self.unit, self.columns)


def read_input(table: TableReader) -> InputFiles | None:
    """The files; a published table beside logs, without a column, or with two columns of one name is refused."""
    values = table.values()
    columns = values.get("columns", ())
    if "claims" in table.raw:
        for key in [key for key in ("file", "blocks") if key in table.raw]:
            table.problem(key, "is given beside claims.", "Keep one: a run starts from logs or from a published table.")
        if not table.raw.get("column"):
            table.problem("column", "is missing.", 'Add [[input.column]] with name = "claim" and column, the title in the file.')
    else:
        for key in [key for key in ("account", "market", "unit", "column") if key in table.raw]:
            table.problem(key, "belongs to claims, and there are none.", 'Add claims = "claims.csv", or remove the key.')
    names = [one.name for one in columns]
    for name in sorted({name for name in names if names.count(name) > 1}):
        table.problem("column", f'gives the name "{name}" twice.', "Give each column its own name.")
    return table.build(InputFiles, values)
