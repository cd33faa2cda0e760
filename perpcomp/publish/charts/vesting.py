"""The chart of the vesting: what of each token is unlocked over time, by the function that makes the claims."""

from collections.abc import Sequence
from fractions import Fraction

import polars as pl

from perpcomp import fixed
from perpcomp.incident.incident import Incident
from perpcomp.incident.settlement import Leg
from perpcomp.incident.vesting import Vesting
from perpcomp.number_text import counted, in_full
from perpcomp.publish.charts.axes import DAY, numbers_left, round_steps
from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.draw import (
    LEFT,
    RIGHT,
    WIDTH,
    Scale,
    between,
    circle,
    figure,
    label,
    shortened,
    tenths,
    that_fit,
    told,
    trace,
    whole,
)
from perpcomp.publish.charts.element import Element
from perpcomp.publish.sentence import listed, short
from perpcomp.run import Run
from perpcomp.totals import total_of
from perpcomp.vesting.curves import curve
from perpcomp.vesting.schedule import Instant, Schedule, date_in_words, schedule
from perpcomp.vesting.words import claims_end

NAME, TITLE = "vesting", "What is unlocked over time"
TOP, HEIGHT, GAP, FOOT = 44, 190, 72, 34
LEAPS = 150  # up to so many leaps of a line are drawn
DOTTED = 40  # up to so many dates have a mark each


def chart(run: Run) -> Chart | None:
    """The chart; None where nothing is paid, or all unlocks at once."""
    dates = schedule(run.incident.vesting)
    legs = [leg for leg in run.incident.settlement if total_of(run.payouts, "amount", leg.token)]
    if not legs or len(dates.rows) < 2:
        return None
    sums = {leg.token: unlocked_by_date(run.claims.filter(token=leg.token)) for leg in legs}
    parts, bottom = list[Element](), TOP
    for leg in legs:
        parts += _panel(run, leg, dates, sums[leg.token], bottom, bottom + HEIGHT)
        bottom += HEIGHT + GAP
    rows = [
        [token, date_in_words(date), in_full(amount)] for token, own in sums.items() for date, amount in zip(dates.rows, own, strict=True)
    ]
    sentence = _sentence(run.incident, dates, sums)
    header = ["token", "unlocks at (UTC)", "unlocked by then (token)"]
    return Chart(NAME, TITLE, sentence, figure(NAME, TITLE, sentence, bottom - GAP + FOOT, parts), header, rows)


def unlocked_by_date(claims: pl.DataFrame) -> list[int]:
    """What of one token's payouts is unlocked by each date, in 1e-18: the sums of the claims table."""
    dates = claims.sort("tranche").group_by("tranche", maintain_order=True).agg("cumulative")
    return [sum(map(fixed.to_integer, payouts)) for payouts in dates.get_column("cumulative")]


def _sentence(incident: Incident, dates: Schedule, sums: dict[str, list[int]]) -> str:
    def amounts(at: int) -> str:
        return listed([f"{short(own[at])} {token}" for token, own in sums.items()])

    first, last = date_in_words(dates.rows[0]), date_in_words(dates.rows[-1])
    begin = f"{amounts(0)} unlock at {first}" if any(own[0] for own in sums.values()) else f"Nothing unlocks at {first}"
    said = f"{begin}, and by {last} all of {amounts(-1)}."
    if incident.vesting.lock_weeks:
        said += f" A claim is paid only into a lock of at least {counted(incident.vesting.lock_weeks, 'week')}."
    return f"{said} Claims end {claims_end(incident.claims)}." if incident.claims is not None else said


def _panel(run: Run, leg: Leg, dates: Schedule, sums: Sequence[int], top: int, bottom: int) -> list[Element]:
    x = Scale(Fraction(0), Fraction(dates.end), LEFT, RIGHT - 40)
    y = Scale(Fraction(0), whole(sums[-1]), bottom, top)
    by = "by block; the dates are estimates" if run.incident.vesting.estimated else "by date in UTC"
    parts = numbers_left(y, round_steps(y.low, y.high, 4))
    parts.append(label(LEFT, top - 18, f"{shortened(leg.token, 40)} unlocked, {by}", "strong"))
    steps = [f"M {tenths(x(0))} {tenths(bottom)}"]
    if run.incident.vesting.binding == "line":
        totals = [int(text) for text in run.payouts.filter(token=leg.token).get_column("amount_base_units")]
        for step in corners(run.incident.vesting, dates):
            unlocked = sum(map(curve(run.incident.vesting, dates, step), totals)) * 10 ** (18 - leg.decimals)
            steps.append(f"L {tenths(x(step))} {tenths(y(whole(unlocked)))}")
    else:
        for date, amount in zip(dates.rows, sums, strict=True):
            steps += [f"H {tenths(x(date.step))}", f"V {tenths(y(whole(amount)))}"]
    parts.append(trace([*steps, f"H {tenths(RIGHT)}"], "path", "thick", "line-blue"))
    return [*parts, *_dates(leg.token, dates.rows, sums, x, y)]


def corners(vesting: Vesting, dates: Schedule) -> list[int]:
    """The steps at which a line that binds changes its direction: before and at the cliff and the end, and where it moves by leaps."""
    leaps = {0, dates.cliff, dates.end}
    if vesting.granularity > 1 and (dates.end - dates.base) <= LEAPS * vesting.granularity:
        leaps |= {*range(dates.base, dates.end, vesting.granularity)}
    return sorted({step - before for step in leaps for before in (0, 1) if step >= before})


def _dates(token: str, rows: Sequence[Instant], sums: Sequence[int], x: Scale, y: Scale) -> list[Element]:
    """A mark at each date, and below the plot the dates, above the line the amounts, as far as they fit."""
    shown = rows if len(rows) <= DOTTED else [rows[0], rows[-1]]
    amounts = {date: amount for date, amount in zip(rows, sums, strict=True) if date in shown}
    parts: list[Element] = []
    for date, amount in amounts.items():
        dot = circle(x(date.step), y(whole(amount)), "fill-blue")
        parts.append(told(dot, f"{in_full(amount)} {token} unlocked by {date_in_words(date)}"))
    within_a_day = rows[-1].unix - rows[0].unix < 2 * DAY
    days = [(x(date.step), f"{date.time:%m-%d %H:%M}" if within_a_day else f"{date.time:%Y-%m-%d}") for date in shown]
    parts += [label(place, y.start + 20, text, "quiet", "small", anchor="middle") for place, text in that_fit(days)]
    said = {between(x(date.step), short(amount), LEFT, WIDTH): amount for date, amount in amounts.items()}
    for place, text in that_fit([(place, short(amount)) for place, amount in said.items()]):
        parts.append(label(place, y(whole(said[place])) - 10, text, "small", "halo", anchor="middle"))
    return parts
