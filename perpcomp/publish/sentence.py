"""What a run proposes, in one sentence of plain words: the same in every file that a voter reads."""

import polars as pl

from perpcomp import fixed
from perpcomp.number_text import counted, cut, in_full
from perpcomp.rules.named import NamedRule, Paying
from perpcomp.rules.sentence import sentence
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.totals import total_of
from perpcomp.vesting.words import in_words


def in_one_sentence(run: Run) -> str:
    """Who is paid how much, for what, by which rule, and when it unlocks. Amounts are cut to two places."""
    markets = listed([market.name for market in run.incident.affected])
    if run.incident.published_table is not None:
        what = f"for the claims in {run.incident.published_table.file}"
    else:
        what = f"for positions that were liquidated in {markets} in the window ({run.incident.eligibility.window})"
    kind = "rule" if isinstance(run.formula, NamedRule) else "formula"
    if any(problem.stops for problem in run.problems):
        return f"Pay nothing yet {what}: a finding puts the amounts in doubt, and payment is stopped until it is resolved."
    accounts = paid_accounts(run.payouts)
    if not accounts:
        return f"Pay nothing {what}: the {kind} {run.formula.name} gives no account an amount that can be paid."
    legs = [leg.token for leg in run.incident.settlement]
    amounts = listed([f"{short(total_of(run.payouts, 'amount', token))} {token}" for token in legs])
    means = meaning(run.formula)
    rule = f"{run.formula.name} ({means[:1].lower()}{means[1:]})" if means else run.formula.name
    owed = f"{short(run.due.total)} {units(run.incident).quote}"
    return (
        f"Pay {amounts} to {counted(accounts, 'account')} {what}, for entitlements of {owed} by the {kind} {rule},"
        f" and unlock {in_words(run.incident.vesting)}."
    )


def meaning(one: Paying) -> str:
    """What a formula or rule gives, in one sentence without its full stop; "" where a formula says nothing of itself."""
    said = sentence(one.rule) if isinstance(one, NamedRule) else one.quote
    return " ".join(said.split("\n\n")[0].split()).rstrip(".")


def paid_accounts(payouts: pl.DataFrame) -> int:
    """How many accounts are paid more than 0 in any token."""
    return payouts.filter(pl.col("amount") > 0).get_column("trader").n_unique()


def short(value: int) -> str:
    """An amount (1e-18) cut to two places; in full where the cut would show 0 for a larger amount."""
    return in_full(value) if 0 < abs(value) < fixed.ONE // 100 else cut(value, 2)


def listed(words: list[str]) -> str:
    """Words as in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
