"""What is to be paid: by token, in all and by tranche, from the tables of a run."""

from collections.abc import Sequence
from functools import cached_property

import polars as pl
from msgspec import Struct
from msgspec.structs import asdict

from perpcomp.claims.payee_list import Row, check, totals
from perpcomp.claims.tokens import Token, token
from perpcomp.findings import refusal
from perpcomp.incident.claims import ClaimFiles, ClaimPeriod
from perpcomp.incident.incident import Incident
from perpcomp.incident.vesting import Vesting


class Tranche(Struct, frozen=True):
    """What unlocks at one time (unix seconds): rows of base units above 0, and all that has unlocked by then."""

    number: int
    unlocks_at: int
    rows: Sequence[Row]
    so_far: Sequence[Row]


class Plan(Struct, frozen=True, dict=True):
    """Everything that the files of a run are made from. `rows` are whole payouts above 0, in the order of accounts."""

    name: str
    title: str
    sha256: str
    files: ClaimFiles
    vesting: Vesting
    period: ClaimPeriod | None
    tokens: tuple[Token, ...]
    rows: Sequence[Row]
    tranches: tuple[Tranche, ...]

    @cached_property
    def totals(self) -> dict[str, int]:
        """Token address -> base units of all payouts."""
        return totals(self.rows)

    def of(self, one: Token, rows: Sequence[Row]) -> list[Row]:
        """The rows that pay one token."""
        return [row for row in rows if row.token == one.address]


def plan(incident: Incident, files: ClaimFiles, payouts: pl.DataFrame, claims: pl.DataFrame) -> Plan:
    """The plan of a run. InputError for a token without an address, decimals that disagree, receivers that nobody may pay, and a lock."""
    where = f"{incident.name}.toml"
    if incident.vesting.lock_weeks is not None:
        what = "[vesting] lock_weeks pays claims into a lock only, and every format of [claims] pays the account itself."
        raise refusal(where, what, "Remove lock_weeks, or remove formats and let the lock's own contract pay.")
    tokens = tuple(token(leg, files.chain, where) for leg in incident.settlement)
    address = {one.symbol: one.address for one in tokens}
    if len(set(address.values())) < len(tokens):
        raise refusal(where, "Two entries of [[settlement]] have the same address.", "Correct one: a file would pay both as one token.")
    rows = _rows(payouts, address)
    check(rows, f"{where}, the payees,", fewest=0, tokens=True)
    contracts = {one: f"the contract of {name}" for name, one in asdict(files.contracts).items() if one is not None}
    for row in rows:
        if row.account in contracts or row.account == files.payer:
            what = f"{row.account} is a payee and {contracts.get(row.account, 'the payer')} of [claims]."
            raise refusal(where, what, "Name its payee in [[payee]], or correct [claims].")
    tranches = []
    so_far: dict[tuple[str, str], int] = {}
    for (number,), part in claims.sort("tranche", "trader", "token").group_by("tranche", maintain_order=True):
        due = _rows(part, address)
        for row in due:
            so_far[row.account, row.token] = so_far.get((row.account, row.token), 0) + row.amount
        reached = [Row(account, of, amount) for (account, of), amount in sorted(so_far.items())]
        tranches.append(Tranche(int(str(number)), int(part.get_column("unlocks_at_unix")[0]), due, reached))
    assert sorted(tranches[-1].so_far) == sorted(rows), "the tranches do not add up to the payouts"
    return Plan(incident.name, incident.title, incident.sha256, files, incident.vesting, incident.claims, tokens, rows, tuple(tranches))


def _rows(frame: pl.DataFrame, address: dict[str, str]) -> list[Row]:
    columns = frame.sort("trader", "token").select("trader", "token", "amount_base_units").iter_rows()
    return [Row(trader, address[symbol], int(units)) for trader, symbol, units in columns if int(units)]
