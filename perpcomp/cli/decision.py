"""What `perpcomp compare` prints for a vote: who beats whom, what would be elected, who gains and loses, and how fair each option is."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import polars as pl

from perpcomp import fixed
from perpcomp.cli import terminal
from perpcomp.decide.elections import in_words
from perpcomp.decide.preferences import winner
from perpcomp.run import RunTables
from perpcomp.systems.units import units

MOST = 5  # so many traders are named on each side
WITH_EXAMPLES = "fairness.csv and --table fairness --csv hold the fractions and examples."


def in_full(run: RunTables) -> dict[str, Any]:
    """All tables of a comparison for JSON, with the winner by pairs or the rings."""
    found = winner(run.preferences, run.elections)
    names = ("comparison", "differences", "preferences", "elections", "fairness", "capacity")
    tables = {name: terminal.plain_rows(getattr(run, name)) for name in names}
    return {**tables, "condorcet": {"winner": found.winner, "rings": [list(ring) for ring in found.rings]}}


def print_winner(run: RunTables) -> None:
    """Who beats whom by pairs, and what the kinds of vote would elect if every trader voted their own payout."""
    terminal.print_text([str(winner(run.preferences, run.elections))])
    if said := in_words(run.elections):
        terminal.say(said)


def print_elected(run: RunTables) -> None:
    """A row a voting type: what it elects if every trader votes their own payout, by either order of equal payouts."""
    rows = []
    for (kind,), part in run.elections.group_by("voting_type", maintain_order=True):
        by_name, in_reverse = (", ".join(part.filter(flag).get_column("option")) or "nobody" for flag in ("elected", "elected_in_reverse"))
        votes = terminal.readable(part.get_column("score").max(), 2)
        rows.append([str(kind), by_name, votes, "" if in_reverse == by_name else in_reverse])
    header = ["own payout voted", "elected", "votes", "if equal payouts rank in reverse"]
    terminal.print_grid(header, rows, (2,), elsewhere="elections.csv of a run holds all scores.")


def print_moved(run: RunTables, names: Sequence[str], against: str | None) -> None:
    """Against the formula that pays: the money that moves; and the traders with the largest gains and losses under one of the others."""
    chosen, quote = names[0], units(run.incident).quote
    of_name = {row["option"]: row for row in run.preferences.filter(other=chosen).iter_rows(named=True)}
    rows = [
        [
            name,
            f"{row['prefer']} of {row['prefer'] + row['prefer_other'] + row['indifferent']}",
            terminal.readable(row["money_moved"]),
            terminal.readable(row["money_moved_back"]),
        ]
        for name, row in ((name, of_name[name]) for name in names[1:] if name in of_name)
    ]
    header = [f"than {chosen}", "traders prefer", f"they gain ({quote})", f"others lose ({quote})"]
    terminal.print_grid(header, rows, (1, 2, 3), elsewhere="preferences.csv of a run holds every pair.")
    print()
    other = against or next(
        (name for name in (winner(run.preferences, run.elections).winner, *names[1:]) if name not in (None, chosen)), names[1]
    )
    own = run.differences.filter(option=other)
    gains = own.filter(pl.col("difference") > 0).sort("difference", "trader", descending=[True, False]).head(MOST)
    losses = own.filter(pl.col("difference") < 0).sort("difference", "trader").head(MOST)
    rows = [
        [str(trader), terminal.readable(amount)] for trader, amount in pl.concat([gains, losses]).select("trader", "difference").iter_rows()
    ]
    terminal.print_grid([f"{other} against {chosen}", f"gains or loses most ({quote})"], rows, (1,))
    terminal.say("--against NAME shows another one; differences.csv of a run holds every trader.")


def print_fairness(run: RunTables, names: Sequence[str]) -> None:
    """A row an option; fractions are cut to decimals."""
    rows = []
    of_name = {row["option"]: row for row in run.fairness.iter_rows(named=True)}
    for name in (name for name in names if name in of_name):
        row = of_name[name]
        counts = [_count(row["monotonicity_violations"], row["ordered_pairs"]), _count(row["envy_pairs"], row["equal_pairs"])]
        figures = ("recovery_median", "gini", "top_1", "recovery_min", "recovery_max")
        above = "" if row["paid_above_loss"] is None else str(row["paid_above_loss"])
        rows.append([name, *counts, above, *(_decimal(row[figure]) for figure in figures)])
    header = ["fairness", "lost more, gets less", "lost same, gets other", "above loss", "median recovery", "Gini", "top 1", "min", "max"]
    terminal.print_grid(header, rows, range(1, len(header)), elsewhere=WITH_EXAMPLES)


def _count(number: int | None, of: int | None) -> str:
    return "" if number is None else f"{number} of {of}"


def _decimal(fraction: str | None) -> str:
    """A fraction cut to three places."""
    if fraction is None:
        return ""
    value = Fraction(fraction)
    whole = fixed.truncate(value.numerator * fixed.ONE, value.denominator)
    return terminal.readable(fixed.from_integer(whole), 3) if abs(whole) < fixed.LIMIT else "above 1e20"
