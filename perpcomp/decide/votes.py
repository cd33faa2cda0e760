"""Who votes on their own money: the voting power of voters who are also paid, from a file of votes."""

from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp import fixed, text_file
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.number_text import exact, in_full
from perpcomp.tables.schema import KINDS

VOTER, POWER, CHOICE = "voter", "voting_power", "choice"
MOST = 20  # so many cells are named at once


@dataclass(frozen=True)
class Vote:
    """One voter, with the power (1e-18) and what it was cast for, where the file says so."""

    voter: str
    power: int
    choice: str


@dataclass(frozen=True)
class Conflict:
    """How many voters are also paid, and how much of the voting power (1e-18) is theirs; and the same by choice."""

    voters: int
    paid_voters: int
    power: int
    paid_power: int
    choices: tuple[tuple[str, int, int], ...]

    def __str__(self) -> str:
        share = f", {Fraction(self.paid_power, self.power)} of it" if self.power else ""
        said = (
            f"{self.paid_voters:,} of {self.voters:,} voters are paid by this run; they hold {in_full(self.paid_power)} of"
            f" {in_full(self.power)} of the voting power{share}."
        )
        return " ".join([said, *(f"{choice}: {in_full(paid)} of {in_full(power)}." for choice, power, paid in self.choices)])

    def fields(self) -> dict[str, Any]:
        """For JSON: powers as exact text."""
        choices = [{"choice": choice, "power": exact(power), "paid_power": exact(paid)} for choice, power, paid in self.choices]
        return asdict(self) | {"power": exact(self.power), "paid_power": exact(self.paid_power), "choices": choices}


def read_votes(path: Path) -> list[Vote]:
    """The votes of a CSV file with the columns voter and voting_power, and perhaps choice. InputError names each row that is wrong."""
    try:
        frame = text_file.read_csv(path)
    except text_file.UNREADABLE as error:
        raise refusal(path.name, f"The file of votes cannot be read ({text_file.reason(error)}).", "Save it as CSV in UTF-8.") from None
    for name in (VOTER, POWER):
        if name not in frame.columns:
            raise refusal(
                path.name, f"The file of votes has no column {name}.", f"Name the columns {VOTER} and {POWER}, and perhaps {CHOICE}."
            )
    votes, problems, seen = list[Vote](), list[Finding](), dict[str, int]()
    choices = frame[CHOICE].to_list() if CHOICE in frame.columns else [None] * frame.height
    for row, (voter, power, choice) in enumerate(zip(frame[VOTER], frame[POWER], choices, strict=True), 2):
        account, where = (voter or "").strip().lower(), f"{path.name} row {row}"
        matches = pl.Series([account, (power or "").strip()])
        if not matches.head(1).str.contains(KINDS["address"][1])[0]:
            problems.append(Finding("error", where, f"{VOTER} is {voter!r}.", "Write an address: 0x and 40 hex digits."))
        elif account in seen:
            problems.append(Finding("error", where, f"{account} votes in row {seen[account]}, too.", "Keep one row a voter."))
        seen.setdefault(account, row)
        if not matches.tail(1).str.contains(KINDS["amount"][1])[0] or matches[1].startswith("-"):
            problems.append(
                Finding("error", where, f"{POWER} is {power!r}.", "Write a plain number of 0 or more, with at most 18 decimals.")
            )
        elif not problems:
            votes.append(Vote(account, _integer(matches[1]), (choice or "").strip()))
    if problems:
        raise InputError(problems[:MOST])
    return votes


def _integer(text: str) -> int:
    whole, _, places = text.partition(".")
    return int(whole) * fixed.ONE + int(places.ljust(18, "0") or "0")


def conflict_of(votes: list[Vote], payouts: pl.DataFrame) -> Conflict:
    """What of the voting power belongs to voters who are paid by these payouts."""
    paid = set(payouts.filter(pl.col("amount") > 0).get_column("trader"))
    theirs = [vote for vote in votes if vote.voter in paid]
    named = sorted({vote.choice for vote in votes if vote.choice})
    choices = tuple(
        (name, sum(v.power for v in votes if v.choice == name), sum(v.power for v in theirs if v.choice == name)) for name in named
    )
    return Conflict(len(votes), len(theirs), sum(vote.power for vote in votes), sum(vote.power for vote in theirs), choices)
