"""The formulas and rules side by side: totals, who prefers which, what a vote would elect, how fair each is."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from perpcomp import fixed
from perpcomp.decide.compare import totals, wide
from perpcomp.decide.elections import in_words
from perpcomp.decide.preferences import winner
from perpcomp.eip55 import checksummed
from perpcomp.number_text import in_full, per_cent
from perpcomp.publish.report.accounts import FEW
from perpcomp.publish.report.figures import Charts, figure
from perpcomp.publish.report.parts import Folded, Grid, Heading, Part, Section, Text
from perpcomp.publish.sentence import short
from perpcomp.run import Run
from perpcomp.systems.units import units

FIGURES = ("recovery_min", "recovery_median", "recovery_max", "gini", "top_1", "top_2", "top_10")
EXAMPLES = (("Lost more and gets less", "monotonicity_examples"), ("Lost the same and gets other", "envy_examples"))
READ = (
    "Recovery is what a formula gives an account over what it lost at the reference price. Gini is 0 % where all get the same, and near"
    " 100 % where one gets all. A pair of accounts stands out where one lost more and gets less, or both lost the same and get different"
    " amounts. They gain: what those who get more than under the one that pays get more; others lose: what the others get less."
)
MORE = "All fractions and more examples are in fairness.csv; every pair of formulas is in preferences.csv."


def section(run: Run, charts: Charts) -> Section:
    """The section."""
    sums = {name: total for name, total, *_ in totals(run.comparison)}
    names = sorted(sums, key=lambda name: (name != run.formula.name, -sums[name], name))
    parts: list[Part] = [*figure(charts, "formulas-compared")]
    if len(names) > 1:
        parts.append(Text(str(winner(run.preferences, run.elections))))
        parts += [Text(said)] if (said := in_words(run.elections)) else []
    parts += [Heading("How fair each is"), Text(READ), *_measures(run, names), *_accounts(run, names)]
    return Section("rules", "The rules side by side", parts)


def _measures(run: Run, names: Sequence[str]) -> Iterator[Part]:
    """Each formula and rule with its measures: shares in percent, then pairs, and the money that moves against the one that pays."""
    quote = units(run.incident).quote
    of_name = {row["option"]: row for row in run.fairness.iter_rows(named=True)}
    moved = {row["option"]: row for row in run.preferences.filter(other=run.formula.name).iter_rows(named=True)}
    shares, pairs = [], []
    for name in (name for name in names if name in of_name):
        row, against = of_name[name], moved.get(name)
        shares.append([name, *(_percent(row[key]) for key in FIGURES)])
        money = ["", ""] if against is None else [short(fixed.to_integer(against[key])) for key in ("money_moved", "money_moved_back")]
        above = "" if row["paid_above_loss"] is None else f"{row['paid_above_loss']:,}"
        counts = [_of(row["monotonicity_violations"], row["ordered_pairs"]), _of(row["envy_pairs"], row["equal_pairs"])]
        pairs.append([name, *counts, above, short(fixed.to_integer(row["total"])), *money])
    header = ["formula or rule", "recovery, lowest", "median", "highest", "Gini", "largest", "2 largest", "10 largest"]
    yield Grid("Recovery, and shares of the largest", header, shares, range(1, len(header)))
    header = ["formula or rule", "lost more, gets less (pairs)", "lost the same, gets other (pairs)", "paid above the loss"]
    header += [f"{name} ({quote})" for name in ("total", "they gain", "others lose")]
    yield Grid("Pairs that stand out, and the money that moves", header, pairs, range(1, len(header)))
    for words, column in EXAMPLES:
        if run.formula.name in of_name and of_name[run.formula.name][column]:
            yield Text(f"{words} under {run.formula.name}, for example: {of_name[run.formula.name][column]}.")
    if why := [f"{name}: {of_name[name]['why_not']}" for name in names if name in of_name and of_name[name]["why_not"]]:
        yield Text(f"Measures are missing where they are not defined. {'; '.join(why)}.")
    yield Text(MORE)


def _accounts(run: Run, names: Sequence[str]) -> Iterator[Part]:
    """What each formula and rule gives each account, where there are few."""
    if run.comparison.get_column("trader").n_unique() > FEW or not names:
        yield Text("What each formula and rule gives each account is in comparison-wide.csv.")
        return
    table = wide(run.comparison).select("trader", *names).sort(names[0], "trader", descending=[True, False], nulls_last=True)
    rows = [[checksummed(who), *("unknown" if a is None else in_full(a) for a in amounts)] for who, *amounts in table.iter_rows()]
    header = ["account", *(f"{name} ({units(run.incident).quote})" for name in names)]
    grid = Grid("What each formula and rule gives each account, exact", header, rows, range(1, len(header)))
    yield Folded("What each formula and rule gives each account", [grid])


def _percent(fraction: str | None) -> str:
    if fraction is None:
        return ""
    value = Fraction(fraction)
    return per_cent(value, 1) if value >= 0 else f"-{per_cent(-value, 1)}"


def _of(number: int | None, of: int | None) -> str:
    return "" if number is None else f"{number:,} of {of:,}"
