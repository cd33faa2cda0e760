"""What the README, the report, the workbook and the proposal of a run say alike, worked out once: the same numbers in the same words on every page."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.eip55 import checksummed
from perpcomp.findings import Finding
from perpcomp.number_text import counted, per_cent
from perpcomp.publish.sentence import paid_accounts, short
from perpcomp.publish.summary import Line
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.totals import counts, total_of
from perpcomp.window import affected_in_window

TOP = 10  # accounts of the table of payouts
MOST_FINDINGS = 20  # errors and warnings that are shown
CUT = "Amounts on this page are cut to two places. The CSV files hold every digit."
NO_FUNDS = "The incident file names no money that could pay in these tokens."
WHO_PAYS = "The incident file names these sources. Which one pays is for the vote to say."
ALL_ACCOUNTS = "All accounts are in 3-payouts.csv; when each amount unlocks is in 4-claims.csv."
EACH_IN = "Each of them is in 2-liquidations.csv or left-out.csv, with its reason."
UNKNOWN_OTHERS = "Who has no row in the claims is not paid, and is not known here."
IN_FOLDER = "In this folder, with the version of perpcomp that manifest.json names:"
CHECKED = "computes everything again from inputs/. The other three check the hashes of the files and show them."
# Labels of the summary's lines that say what is not included, or why somebody gets less.
NOT_INCLUDED = ("Excluded by name", "UNPAYABLE", "Not paid", "Already received", "Adjusted", "Frozen", "Left over", "Rounded off")


class Fund(Struct, frozen=True):
    """A source of funds: what it holds, what the formula or rule that pays needs of it, and which part of it that is."""

    name: str
    holds: str
    needs: str
    share: str


class Group(Struct, frozen=True):
    """How many there are of one reason code, and what it means, or an example of it."""

    number: str
    code: str
    meaning: str


class Account(Struct, frozen=True):
    """An account of the payouts table: its entitlement (1e-18 of the quote asset), and what it is paid of each token (1e-18)."""

    address: str
    entitlement: int
    amounts: tuple[int, ...]


class Reasons(Struct, frozen=True):
    """A sentence that counts accounts or liquidations, and the reasons, the most frequent first."""

    said: str
    groups: tuple[Group, ...]


def to_pay(run: Run) -> list[str]:
    """The amount of each token with the price that converts it, as sentences."""
    paid = units(run.incident).paid
    return [
        f"To pay: {short(total_of(run.payouts, 'amount', leg.token))} {leg.token}, at {leg.price} {paid} per {leg.token} ({leg.price_policy})."
        for leg in run.incident.settlement
    ]


def funds(run: Run) -> list[Fund]:
    """Every source of funds that the incident file names."""
    found = []
    for row in run.capacity.filter(formula=run.formula.name).iter_rows(named=True):
        held, need, price = (fixed.to_integer(row[name]) for name in ("available_value", "to_cover", "price"))
        least = "at least " if row["unknown"] else ""
        holds = f"{short(fixed.to_integer(row['available']))} {row['token']}"
        needs = f"{least}{short(fixed.div_integers(need, price))} {row['token']}"
        found.append(Fund(row["source_of_funds"], holds, needs, least + _share(need, held)))
    return found


def _share(part: int, whole: int) -> str:
    return per_cent(part, whole) if whole > 0 else "there is nothing"


@lru_cache(maxsize=1)
def who_is_paid(run: Run) -> Reasons:
    """How many accounts are paid, how many get 0, and why."""
    payouts = run.payouts
    paid, accounts = paid_accounts(payouts), payouts.get_column("trader").n_unique()
    eligible = counts(run.liquidations.filter("eligible"))
    met = f"{counted(eligible.traders, 'trader')}, with {counted(eligible.liquidations, 'liquidation')}, may be paid by the rules."
    if run.incident.published_table is not None:
        met = f"{counted(accounts, 'account', 'has', 'have')} a claim."
    nothing = payouts.filter((pl.col("amount") > 0).any().over("trader").not_()).unique("trader", keep="first", maintain_order=True)
    reasons = nothing.get_column("reason").str.split_exact(": ", 1).struct.rename_fields(["reason_code", "reason"]).struct.unnest()
    zero = f"{accounts - paid:,} get{'s' if accounts - paid == 1 else ''} 0"
    return _reasons(f"{met} Of {counted(accounts, 'account')}, {paid:,} {_is(paid)} paid and {zero}", "account", reasons)


@lru_cache(maxsize=1)
def who_is_not(run: Run) -> list[Reasons]:
    """The liquidations in the window that are not paid, and the accounts that acted in it and are left out; of a run that starts from logs."""
    inside, left = affected_in_window(run.liquidations, run.incident).filter(~pl.col("eligible")), run.left_out
    return [
        _reasons(
            f"{counted(inside.height, 'liquidation')} in the window {_is(inside.height)} not paid by the rules", "liquidation", inside
        ),
        _reasons(f"{counted(left.height, 'account')} acted in the window and {_is(left.height)} left out", "account", left),
    ]


def _reasons(said: str, noun: str, rows: pl.DataFrame) -> Reasons:
    """The sentence, and how many rows there are of each reason_code, most first, with the reason of the first row."""
    groups = rows.group_by("reason_code", maintain_order=True).agg(pl.len(), pl.col("reason").first(), texts=pl.col("reason").n_unique())
    found = [
        Group(counted(number, noun), code, f"{'for example ' if texts > 1 else ''}{reason or ''}")
        for code, number, reason, texts in groups.sort("len", "reason_code", descending=[True, False]).iter_rows()
    ]
    return Reasons(said + (":" if found else "."), tuple(found))


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


@lru_cache(maxsize=1)
def ranked(run: Run) -> Sequence[Account]:
    """Every account of the payouts table, the largest entitlement first, equal ones by address. Amounts are in the order of [[settlement]]."""
    columns = (run.payouts.get_column(name) for name in ("trader", "token"))
    numbers = (fixed.to_integers(run.payouts.get_column(name)) for name in ("entitlement", "amount"))
    by_account: dict[str, tuple[int, dict[str, int]]] = {}
    for trader, token, entitlement, amount in zip(*columns, *numbers, strict=True):
        assert entitlement is not None
        assert amount is not None
        by_account.setdefault(trader, (entitlement, {}))[1][token] = amount
    tokens = [leg.token for leg in run.incident.settlement]
    found = [Account(who, owed, tuple(paid[token] for token in tokens)) for who, (owed, paid) in by_account.items()]
    return sorted(found, key=lambda one: (-one.entitlement, one.address))


@lru_cache(maxsize=1)
def input_hashes(run: Run) -> Mapping[str, str]:
    """The sha256 of each file of logs, and of the incident file, by its name."""
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in run.input.files}
    return files | {f"{run.incident.name}.toml": run.incident.sha256}


def added_up(accounts: Sequence[Account], tokens: int) -> list[int]:
    """The sums of some accounts: of entitlements, then of each of so many tokens."""
    return [sum(one.entitlement for one in accounts), *(sum(one.amounts[n] for one in accounts) for n in range(tokens))]


def largest(run: Run) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of payouts: the TOP accounts, all others in one row, and all together in the last."""
    accounts, tokens = ranked(run), [leg.token for leg in run.incident.settlement]
    rows = [[checksummed(one.address), *map(short, (one.entitlement, *one.amounts))] for one in accounts[:TOP]]
    if rest := accounts[TOP:]:
        rows.append([counted(len(rest), "other account"), *map(short, added_up(rest, len(tokens)))])
    rows.append([counted(len(accounts), "account"), *map(short, added_up(accounts, len(tokens)))])
    return ["account", f"entitlement ({units(run.incident).quote})", *(f"paid ({token})" for token in tokens)], rows


def also(said: Sequence[Line]) -> list[str]:
    """Of a summary: what else is not included, or makes somebody get less, as sentences."""
    return [f"{line.label}: {line.value.removesuffix('.')}." for line in said if line.label in NOT_INCLUDED]


def coverage_in_words(run: Run) -> str:
    """How far the input reaches, and by what evidence."""
    if run.coverage is None:
        return f"The run starts from the claims in inputs/{run.input.file.name}, as they were published: no logs were read."
    return f"The input: {run.coverage}. Evidence of how far it reaches: {run.coverage.stated}."


def findings_in_words(run: Run) -> str:
    """How many findings of each level there are."""
    levels = Counter(problem.level for problem in run.problems)
    return ", ".join(counted(levels[level], level) for level in ("error", "warning", "note")) + ". All are in findings.csv."


def grave(run: Run) -> tuple[list[Finding], str]:
    """The errors, then the warnings, up to MOST_FINDINGS; and a sentence on the others, "" where there are none."""
    found = sorted((problem for problem in run.problems if problem.level != "note"), key=lambda problem: problem.level)
    more = len(found) - MOST_FINDINGS
    return found[:MOST_FINDINGS], f"{counted(more, 'more finding')} in findings.csv." if more > 0 else ""


def commands(run: Run) -> Iterator[str]:
    """Four commands that check the run, typed in its folder."""
    largest = next((one.address for one in ranked(run)), "ADDRESS")
    yield from ("perpcomp verify .", f"perpcomp explain {largest} --run .")
    yield from ("perpcomp payouts --run .", "perpcomp compare --run .")
