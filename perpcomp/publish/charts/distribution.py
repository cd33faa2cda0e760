"""The chart of the payouts: how many accounts are paid how much, and how much of all the largest get."""

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import polars as pl

from perpcomp import fixed
from perpcomp.number_text import counted, in_full, per_cent
from perpcomp.publish.charts.axes import numbers_left, power_below, round_steps, tick_text
from perpcomp.publish.charts.chart import Chart
from perpcomp.publish.charts.draw import LEFT, RIGHT, WIDTH, Scale, bar, between, figure, label, line, that_fit, told, whole
from perpcomp.publish.charts.element import Element
from perpcomp.publish.sentence import short
from perpcomp.run import Run
from perpcomp.systems.units import units

NAME, TITLE = "payout-distribution", "How many accounts are paid how much"
TOP, BOTTOM, HEIGHT = 48, 268, 322
STEPS = (1, 2, 5)  # edges within a power of ten
MOST = 18  # columns; more, and each is a power of ten
SHARES = (1, 3, 10)  # of so many per cent of the accounts the part in all is said


def chart(run: Run) -> Chart | None:
    """The chart; None where nobody is paid, or one account only."""
    unit = units(run.incident).paid
    paid = sorted(paid_by_account(run.payouts), reverse=True)
    if len(paid) < 2:
        return None
    edges = edges_around(paid[-1], paid[0])
    rising = paid[::-1]
    columns = [rising[begin:end] for begin, end in pairwise(bisect_left(rising, edge) for edge in edges)]
    numbers = [*map(len, columns)]
    nothing = run.payouts.get_column("trader").n_unique() - len(paid)
    sentence = _sentence(paid, nothing, unit)
    header = [f"from ({unit})", f"to below ({unit})", "accounts", f"paid to them ({unit})"]
    rows = [["0", "0", f"{nothing:,}", "0"]] if nothing else []
    for (low, high), amounts in zip(pairwise(edges), columns, strict=True):
        rows.append([in_full(low), in_full(high), f"{len(amounts):,}", in_full(sum(amounts))])
    return Chart(NAME, TITLE, sentence, figure(NAME, TITLE, sentence, HEIGHT, _parts(edges, numbers, unit)), header, rows)


def paid_by_account(payouts: pl.DataFrame) -> list[int]:
    """What each account is paid in all tokens, in 1e-18 of the asset of the prices; nothing of an account that is paid 0.

    At least 1: one base unit may be worth less than a column of values holds.
    """
    rows = payouts.filter(pl.col("amount") > 0)
    sums = dict[str, int]()
    for trader, value in zip(rows.get_column("trader").to_list(), fixed.to_integers(rows.get_column("value")), strict=True):
        sums[trader] = sums.get(trader, 0) + (value or 0)
    return [max(1, value) for value in sums.values()]


def edges_around(smallest: int, largest: int) -> list[int]:
    """The edges of columns around amounts above 0: 1, 2 and 5 times powers of ten, or powers of ten alone where that is too many."""
    low, high = (power_below(Fraction(amount)) for amount in (smallest, largest))
    for steps in (STEPS, STEPS[:1]):
        edges = [10**power * step for power in range(low, high + 2) for step in steps]
        edges = edges[max(n for n, edge in enumerate(edges) if edge <= smallest) :]
        edges = edges[: next(n for n, edge in enumerate(edges) if edge > largest) + 1]
        if len(edges) <= MOST + 1:
            break
    return edges


def _sentence(paid: Sequence[int], nothing: int, unit: str) -> str:
    total, largest = sum(paid), {-(-len(paid) * share // 100): share for share in SHARES}  # how many -> of how many per cent
    parts = [
        f"{'the largest account' if number == 1 else f'the largest {number:,}'} (top {share} %) {'gets' if number == 1 else 'get'}"
        f" {per_cent(sum(paid[:number]), total)}"
        for number, share in largest.items()
    ]
    said = f"Of {short(total)} {unit} to {counted(len(paid), 'account')}, {'; '.join(parts)}."
    said += f" Half of the accounts get {short(paid[len(paid) // 2])} {unit} or less."
    return f"{said} {counted(nothing, 'account', 'gets 0 and is', 'get 0 and are')} not drawn." if nothing else said


def _parts(edges: Sequence[int], numbers: Sequence[int], unit: str) -> list[Element]:
    across = Scale(Fraction(0), Fraction(len(numbers)), LEFT, RIGHT - 10)
    up = Scale(Fraction(0), Fraction(max(numbers)), BOTTOM, TOP)
    parts: list[Element] = [label(LEFT, 22, "accounts", "strong")]
    parts += numbers_left(up, [step for step in round_steps(up.low, up.high, 5) if step.denominator == 1])
    for n, number in enumerate(numbers):
        text = f"{counted(number, 'account')} from {tick_text(whole(edges[n]))} to below {tick_text(whole(edges[n + 1]))} {unit}"
        parts.append(told(bar(across(n) + 1, up(number), across(n + 1) - 1, BOTTOM, "fill-blue"), text))
        parts.append(label(across(n + Fraction(1, 2)), up(number) - 6, f"{number:,}", "small", anchor="middle"))
    texts = [tick_text(whole(edge)) for edge in edges]
    parts += [line(across(n), BOTTOM, across(n), BOTTOM + 5, "line-muted") for n in range(len(edges))]
    places = that_fit([(between(across(n), text, 0, WIDTH), text) for n, text in enumerate(texts)])
    parts += [label(x, BOTTOM + 20, text, "quiet", "small", anchor="middle") for x, text in places]
    parts.append(
        label(LEFT, BOTTOM + 42, f"paid in all tokens, in {unit}; each column is one step of a logarithmic axis", "quiet", "small")
    )
    return parts
