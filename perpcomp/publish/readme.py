"""README.md of a run's folder: what a visitor reads first. It is plain Markdown, so it can be pasted into a forum.

It names no version and no path, because the same run must give the same bytes everywhere.
"""

from collections import Counter
from collections.abc import Iterator

import polars as pl

from perpcomp import fixed
from perpcomp.eip55 import checksummed
from perpcomp.number_text import counted, per_cent
from perpcomp.publish.markdown import escaped, table
from perpcomp.publish.sentence import in_one_sentence, paid_accounts, short
from perpcomp.publish.summary import Line, summary
from perpcomp.run import Run, kind_in_words
from perpcomp.systems.units import units
from perpcomp.totals import counts, entitled, total_of
from perpcomp.window import affected_in_window

TOP = 10  # rows of the table of payouts
MOST_FINDINGS = 20
# Lines of the summary that say what is not included, or why somebody gets less.
NOT_INCLUDED = ("Excluded by name", "UNPAYABLE", "Not paid", "Already received", "Adjusted", "Frozen", "Left over", "Rounded off")


def readme(run: Run) -> bytes:
    """The file's bytes."""
    lines = [f"# {escaped(run.incident.title)}", ""]
    if run.incident.notice:
        lines += [f"> {escaped(run.incident.notice)}", ""]
    if run.overrides:
        lines += [f"**This is {escaped(kind_in_words(run.overrides))}, not the run that the incident file states.**", ""]
    said = summary(run)
    lines += ["**What is proposed.** " + escaped(in_one_sentence(run)), ""]
    lines += ["Amounts on this page are cut to two places. The CSV files hold every digit.", ""]
    for heading, part in (
        ("Who pays, and what it costs", _cost(run)),
        ("Who is paid", _paid(run)),
        ("What is not included", _not_included(run, said)),
        ("How far the input reaches", _coverage(run)),
        ("Findings", _findings(run)),
        ("How to check", _how_to_check(run, said)),
    ):
        lines += [f"## {heading}", "", *part, ""]
    return "\n".join(lines).encode()


def _cost(run: Run) -> Iterator[str]:
    """The amounts to pay, and for each source of funds how much of it they are."""
    unit, incident = units(run.incident), run.incident
    for leg in incident.settlement:
        by = f"at {leg.price} {unit.paid} per {leg.token} ({leg.price_policy})"
        yield f"- To pay: {short(total_of(run.payouts, 'amount', leg.token))} {escaped(leg.token)}, {escaped(by)}."
    yield ""
    rows = []
    for row in run.capacity.filter(formula=run.formula.name).iter_rows(named=True):
        held, need, price = (fixed.to_integer(row[name]) for name in ("available_value", "to_cover", "price"))
        least = "at least " if row["unknown"] else ""
        holds = f"{short(fixed.to_integer(row['available']))} {escaped(row['token'])}"
        needs = f"{least}{short(fixed.div_integers(need, price))} {escaped(row['token'])}"
        rows.append((escaped(row["source_of_funds"]), holds, needs, least + _share(need, held)))
    if not rows:
        yield "The incident file names no money that could pay in these tokens."
        return
    yield from table(("source of funds", "holds", "the formula needs", "share of it"), rows, right=(1, 2, 3))
    yield ""
    yield "The incident file names these sources. Which one pays is for the vote to say."


def _share(part: int, whole: int) -> str:
    """part / whole in percent, cut to two places."""
    return per_cent(part, whole) if whole > 0 else "there is nothing"


def _paid(run: Run) -> Iterator[str]:
    """How many accounts are paid, how many get 0 and why, and the largest payouts."""
    payouts, tokens = run.payouts, [leg.token for leg in run.incident.settlement]
    paid, accounts = paid_accounts(payouts), payouts.get_column("trader").n_unique()
    eligible = counts(run.liquidations.filter("eligible"))
    met = f"{counted(eligible.traders, 'trader')}, with {counted(eligible.liquidations, 'liquidation')}, may be paid by the rules."
    if run.incident.published_table is not None:
        met = f"{counted(accounts, 'account')} {'has' if accounts == 1 else 'have'} a claim."
    nothing = payouts.filter((pl.col("amount") > 0).any().over("trader").not_()).unique("trader", keep="first", maintain_order=True)
    reasons = nothing.get_column("reason").str.split_exact(": ", 1).struct.rename_fields(["reason_code", "reason"]).struct.unnest()
    zero = f"{accounts - paid:,} get{'s' if accounts - paid == 1 else ''} 0"
    yield from _by_reason(f"{met} Of {counted(accounts, 'account')}, {paid:,} {_is(paid)} paid and {zero}", "account", reasons)
    quote = units(run.incident).quote
    ranked = payouts.unique("trader").sort("entitlement", "trader", descending=[True, False])
    rows = [
        [f"`{checksummed(trader)}`", short(fixed.to_integer(owed)), *_amounts(payouts.filter(trader=trader), tokens)]
        for trader, owed in ranked.head(TOP).select("trader", "entitlement").iter_rows()
    ]
    if ranked.height > TOP:
        rest = payouts.join(ranked.tail(-TOP).select("trader"), on="trader", how="semi")
        rows.append([f"{counted(ranked.height - TOP, 'other account')}", short(entitled(rest)), *_amounts(rest, tokens)])
    rows.append(
        [f"**{counted(accounts, 'account')}**", f"**{short(entitled(payouts))}**", *(f"**{a}**" for a in _amounts(payouts, tokens))]
    )
    header = ["account", f"entitlement ({quote})", *(f"paid ({escaped(token)})" for token in tokens)]
    yield from table(header, rows, right=range(1, len(header)))
    yield ""
    yield "All accounts are in `3-payouts.csv`; when each amount unlocks is in `4-claims.csv`."


def _amounts(payouts: pl.DataFrame, tokens: list[str]) -> list[str]:
    return [short(total_of(payouts, "amount", token)) for token in tokens]


def _not_included(run: Run, said: list[Line]) -> Iterator[str]:
    if run.incident.published_table is not None:
        yield "Who has no row in the claims is not paid, and is not known here. Of those who have:"
        yield ""
        yield from _lines_not_included(said)
        return
    inside = affected_in_window(run.liquidations, run.incident).filter(~pl.col("eligible"))
    rows = counted(inside.height, "liquidation")
    yield from _by_reason(f"{rows} in the window {_is(inside.height)} not paid by the rules", "liquidation", inside)
    left = run.left_out.height
    yield from _by_reason(f"{counted(left, 'account')} acted in the window and {_is(left)} left out", "account", run.left_out)
    yield "Each of them is in `2-liquidations.csv` or `left-out.csv`, with its reason. Also:"
    yield ""
    yield from _lines_not_included(said)


def _lines_not_included(said: list[Line]) -> Iterator[str]:
    for line in said:
        if line.label in NOT_INCLUDED:
            yield f"- {escaped(line.label)}: {escaped(line.value)}."


def _by_reason(sentence: str, noun: str, rows: pl.DataFrame) -> Iterator[str]:
    """The sentence, then how many rows there are of each reason_code, most first, with the reason of the first row."""
    yield from (sentence + (":" if rows.height else "."), "")
    groups = rows.group_by("reason_code", maintain_order=True).agg(pl.len(), pl.col("reason").first(), texts=pl.col("reason").n_unique())
    for code, number, reason, texts in groups.sort("len", "reason_code", descending=[True, False]).iter_rows():
        yield f"- {counted(number, noun)} ({escaped(code)}): {'for example ' if texts > 1 else ''}{escaped(reason or '')}"
    if rows.height:
        yield ""


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _coverage(run: Run) -> Iterator[str]:
    if run.coverage is None:
        yield f"The run starts from the claims in `inputs/{run.input.file.name}`, as they were published: no logs were read."
        return
    yield f"The input: {escaped(str(run.coverage))}. Evidence of how far it reaches: {escaped(run.coverage.stated)}."


def _findings(run: Run) -> Iterator[str]:
    """How many there are, and every error and warning up to MOST_FINDINGS."""
    levels = Counter(problem.level for problem in run.problems)
    yield ", ".join(counted(levels[level], level) for level in ("error", "warning", "note")) + ". All are in `findings.csv`."
    grave = sorted((problem for problem in run.problems if problem.level != "note"), key=lambda problem: problem.level)
    if grave:
        yield ""
    for problem in grave[:MOST_FINDINGS]:
        yield f"- **{problem.level}** {escaped(str(problem))}"
    if len(grave) > MOST_FINDINGS:
        yield f"- {counted(len(grave) - MOST_FINDINGS, 'more finding')} in `findings.csv`."


def _how_to_check(run: Run, said: list[Line]) -> Iterator[str]:
    """Four commands, and the hashes by which two people see that they have the same tables."""
    largest = run.payouts.sort("entitlement", "trader", descending=[True, False]).get_column("trader").head(1)
    who = largest.item() if len(largest) else "ADDRESS"
    yield "In this folder, with the version of perpcomp that `manifest.json` names:"
    yield from (
        "",
        "```sh",
        "perpcomp verify .",
        f"perpcomp explain {who} --run .",
        "perpcomp payouts --run .",
        "perpcomp compare --run .",
        "```",
    )
    yield ""
    yield "`verify` computes everything again from `inputs/`. The other three check the hashes of the files and show them."
    yield ""
    for line in said:
        if line.label.endswith("row hash"):
            yield f"- {line.label}: `{line.value}`"
