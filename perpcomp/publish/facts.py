"""What the README and the report of a run both say, worked out once: the same numbers in the same words on every page."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from perpcomp import fixed
from perpcomp.eip55 import checksummed
from perpcomp.findings import Finding
from perpcomp.number_text import counted, per_cent
from perpcomp.publish.sentence import paid_accounts, short
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.totals import counts, entitled, total_of
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


@dataclass(frozen=True)
class Fund:
    """A source of funds: what it holds, what the formula or rule that pays needs of it, and which part of it that is."""

    name: str
    holds: str
    needs: str
    share: str


@dataclass(frozen=True)
class Group:
    """How many there are of one reason code, and what it means, or an example of it."""

    number: str
    code: str
    meaning: str


@dataclass(frozen=True)
class Reasons:
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


def ranked(run: Run) -> pl.DataFrame:
    """One row of the payouts an account, the largest entitlement first."""
    return run.payouts.unique("trader").sort("entitlement", "trader", descending=[True, False])


def largest(run: Run) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of payouts: the TOP accounts, all others in one row, and all together in the last."""
    payouts, tokens = run.payouts, [leg.token for leg in run.incident.settlement]
    order = ranked(run)
    rows = [
        [checksummed(trader), short(fixed.to_integer(owed)), *_amounts(payouts.filter(trader=trader), tokens)]
        for trader, owed in order.head(TOP).select("trader", "entitlement").iter_rows()
    ]
    if order.height > TOP:
        rest = payouts.join(order.tail(-TOP).select("trader"), on="trader", how="semi")
        rows.append([counted(order.height - TOP, "other account"), short(entitled(rest)), *_amounts(rest, tokens)])
    rows.append([counted(order.height, "account"), short(entitled(payouts)), *_amounts(payouts, tokens)])
    return ["account", f"entitlement ({units(run.incident).quote})", *(f"paid ({token})" for token in tokens)], rows


def _amounts(payouts: pl.DataFrame, tokens: Sequence[str]) -> list[str]:
    return [short(total_of(payouts, "amount", token)) for token in tokens]


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
    largest = ranked(run).get_column("trader").head(1)
    yield from ("perpcomp verify .", f"perpcomp explain {largest.item() if len(largest) else 'ADDRESS'} --run .")
    yield from ("perpcomp payouts --run .", "perpcomp compare --run .")
