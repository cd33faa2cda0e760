"""When payouts unlock: the schedule, its curve, and its dates."""

from collections.abc import Sequence

from perpcomp.fixed import to_integers
from perpcomp.publish.report.figures import Charts, figure
from perpcomp.publish.report.parts import Grid, Part, Section, Text, first_rows
from perpcomp.publish.sentence import short
from perpcomp.publish.summary import Line, cite
from perpcomp.run import Run
from perpcomp.vesting.schedule import date_in_words, schedule
from perpcomp.vesting.words import in_words

CLAIMS_END = "Claims end"


def section(run: Run, said: Sequence[Line], charts: Charts) -> Section:
    """The section."""
    vesting = run.incident.vesting
    words = in_words(vesting)
    parts: list[Part] = [Text(f"{words[:1].upper()}{words[1:]}. Source: {cite(run.incident, vesting.source)}."), *figure(charts, "vesting")]
    if run.claims.height and "vesting" not in charts:
        rows, more = first_rows(_rows(run), "4-claims.csv")
        parts += [Grid("What unlocks when, all accounts together", ("date", "token", "unlocks", "unlocked by then"), rows, (2, 3)), *more]
    parts.append(Text("What each account may claim at each date is in 4-claims.csv."))
    parts += [Text(f"{line.label}: {line.value}.") for line in said if line.label == CLAIMS_END]
    return Section("vesting", "When it unlocks", parts)


def _rows(run: Run) -> Sequence[Sequence[str]]:
    rows = []
    for leg in run.incident.settlement:
        sums: dict[int, list[int]] = {}
        own = run.claims.filter(token=leg.token)
        amounts = (to_integers(own.get_column(name)) for name in ("amount", "cumulative"))
        for tranche, amount, cumulative in zip(own.get_column("tranche"), *amounts, strict=True):
            now = sums.setdefault(tranche, [0, 0])
            now[0] += amount or 0
            now[1] += cumulative or 0
        dates = schedule(run.incident.vesting).rows
        rows += [[date_in_words(dates[k]), leg.token, *map(short, both)] for k, both in sorted(sums.items())]
    return rows
