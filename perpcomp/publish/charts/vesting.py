"""The chart of the vesting: what of each token is unlocked over time, by the function that makes the claims."""

from collections.abc import Sequence
from fractions import Fraction

import polars as pl
import svg

from perpcomp import fixed
from perpcomp.number_text import cut, in_full
from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.draw import LEFT, RIGHT, Scale, figure, label, round_steps, scale_left, tenths, told
from perpcomp.run import Run
from perpcomp.totals import total_of
from perpcomp.vesting.curves import curve
from perpcomp.vesting.schedule import Schedule, date_in_words, schedule

NAME, TITLE = "vesting", "What is unlocked over time"
TOP, HEIGHT, GAP = 30, 170, 76
BETWEEN = 120  # points of a line between its first and last date


def chart(run: Run) -> Chart | None:
    """The chart; None where nothing is paid, or all unlocks at once."""
    dates = schedule(run.incident.vesting)
    paid = [leg for leg in run.incident.settlement if total_of(run.payouts, "amount", leg.token)]
    if not paid or len(dates.rows) < 2:
        return None
    parts: list[svg.Element] = []
    rows = list[list[str]]()
    for n, leg in enumerate(paid):
        top = TOP + n * (HEIGHT + GAP)
        unlocked = _by_date(run.claims.filter(token=leg.token))
        parts += _panel(run, dates, leg.token, 10 ** (18 - leg.decimals), top)
        for date, amount in zip(dates.rows, unlocked, strict=True):
            rows.append([leg.token, date_in_words(date), in_full(amount)])
    sentence = _sentence(run, dates, [leg.token for leg in paid])
    svg_text = figure(NAME, TITLE, sentence, TOP + len(paid) * (HEIGHT + GAP), parts)
    return Chart(NAME, TITLE, sentence, svg_text, ["token", "date", "unlocked by then (token)"], rows)


def _by_date(claims: pl.DataFrame) -> list[int]:
    """What of one token is unlocked by each date, in 1e-18."""
    groups = claims.group_by("tranche").agg("cumulative").sort("tranche")
    return [sum(map(fixed.to_integer, column)) for column in groups.get_column("cumulative")]


def _sentence(run: Run, dates: Schedule, tokens: Sequence[str]) -> str:
    def all_of(at: int) -> str:
        sums = [(_by_date(run.claims.filter(token=token))[at], token) for token in tokens]
        return " and ".join(f"{cut(amount, 2)} {token}" for amount, token in sums)

    return f"{all_of(0)} unlock on {date_in_words(dates.rows[0])}, and all of {all_of(-1)} by {date_in_words(dates.rows[-1])}."


def _panel(run: Run, dates: Schedule, token: str, scale: int, top: int) -> list[svg.Element]:
    totals = [int(text) for text in run.payouts.filter(token=token).get_column("amount_base_units")]
    whole = sum(totals)
    first, last = dates.rows[0].step, dates.rows[-1].step
    x = Scale(Fraction(first), Fraction(last), LEFT, RIGHT - 20)
    y = Scale(Fraction(0), Fraction(whole * scale, fixed.ONE), top + HEIGHT, top)
    steps = {date.step - n for date in dates.rows for n in (0, 1)} | {first + (last - first) * n // BETWEEN for n in range(BETWEEN)}
    path: list[svg.PathData] = []
    for step in sorted(steps - {first - 1}):
        at = tenths(x(Fraction(step))), tenths(y(Fraction(sum(map(curve(run.incident.vesting, dates, step), totals)) * scale, fixed.ONE)))
        path.append(svg.LineTo(*at) if path else svg.MoveTo(*at))
    parts = scale_left(y, round_steps(Fraction(0), y.high, 5))
    parts.append(label(LEFT, top - 12, f"{token} unlocked", "strong"))
    parts.append(svg.Path(d=path, class_=["line-blue", "thick"]))
    for date in dates.rows:
        amount = sum(map(curve(run.incident.vesting, dates, date.step), totals)) * scale
        dot = svg.Circle(cx=tenths(x(Fraction(date.step))), cy=tenths(y(Fraction(amount, fixed.ONE))), r=4, class_=["fill-blue"])
        parts.append(told(dot, f"{in_full(amount)} {token} unlocked by {date_in_words(date)}"))
        parts.append(label(x(Fraction(date.step)), top + HEIGHT + 20, f"{date.time:%Y-%m-%d}", "quiet small", "middle"))
    return parts
