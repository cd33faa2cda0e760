"""The sensitivity table of one option: for each market that was valued by its reference price, what changes at which price, exactly."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.decide.sensitivity.pieces import Number, Pieces, added, crossing_of, line, times
from perpcomp.decide.sensitivity.rows import NoClosedForm, functions, priced
from perpcomp.decide.sensitivity.rules import Shape, of_rows, of_rule
from perpcomp.formula import find
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted
from perpcomp.rules.named import NamedRule, Paying, formulas_of
from perpcomp.rules.population import Population
from perpcomp.tables.decide import SENSITIVITY
from perpcomp.tables.schema import check, frame_of

EVERY_PAIR = 300  # up to so many traders every pair is looked at for changes of order; above, neighbours in the order
KINDS = ("class", "segment", "jump", "elasticity", "budget", "break-even", "order-change", "not-listed")

Row = dict[str, Any]


class Interval(Struct, frozen=True):
    """Prices from `low` to `high` (None: without end); whether the ends belong to it."""

    low: Fraction
    high: Fraction | None
    with_low: bool
    with_high: bool


def sensitivity(paying: Paying, liquidations: pl.DataFrame, incident: Incident, population: Population) -> pl.DataFrame:
    """The sensitivity table of one formula or rule, one market at a time."""
    eligible = liquidations.filter("eligible")
    valued = {market.name: market.reference_price for market in incident.markets if market.reference_price is not None}
    markets = [name for name in eligible.get_column("market_name").unique().sort() if name in valued]
    rows: list[Row] = []
    if incident.valuation.price != "reference":
        why = f"[valuation] price is {incident.valuation.price}: no market's reference price decides an amount."
        rows.append({"market": "none", "kind": "class", "text": why})
        markets = []
    shape: Shape | None = None
    for market in markets:
        price = valued[market]
        assert price is not None
        if shape is None or any(map(priced, formulas_of(paying))):  # else it is the same in every market
            shape = shape_of(paying, eligible, incident, population, market)
        budgets = {name: units * rate for name, (units, rate) in population.budgets.items()}
        found = [*described(shape, population.traders, Fraction(price), budgets)]
        rows += [{"market": market, **row} for row in sorted(found, key=lambda row: KINDS.index(row["kind"]))]
    every = dict.fromkeys(column.name for column in SENSITIVITY.columns)
    listed = [every | {"number": number, "option": paying.name} | row for number, row in enumerate(rows, 1)]
    return check(frame_of(listed, SENSITIVITY), SENSITIVITY)


def shape_of(paying: Paying, eligible: pl.DataFrame, incident: Incident, population: Population, market: str) -> Shape:
    """How a formula or rule follows the reference price of a market."""
    if not isinstance(paying, NamedRule):
        try:
            return of_rows(functions(paying, eligible, incident, market), population)
        except NoClosedForm as reason:
            return Shape("rational", None, None, why=str(reason))
    rules = {rule.name: rule for rule in paying.rules}
    return of_rule(paying.rule, rules, lambda name: functions(find(name), eligible, incident, market), population)


def described(shape: Shape, traders: Sequence[str], reference: Fraction, budgets: Mapping[str, Fraction]) -> Iterator[Row]:
    """The rows of one market."""
    yield {"kind": "class", "price": str(reference), "text": in_words(shape)}
    if shape.total is not None:
        yield from _of_total(shape.total, reference, budgets)
    if shape.traders is not None:
        for trader, one in zip(traders, shape.traders, strict=True):
            for price, words in break_evens(one):
                yield {"kind": "break-even", "price": str(price), "trader": trader, "text": words}
        yield from _order(shape.traders, traders, reference)


def in_words(shape: Shape) -> str:
    """The class, and what of it has no closed form."""
    said = shape.shape
    if shape.total is not None and not shape.total.cuts and not shape.total.lines[0][1]:
        said += "; the total does not depend on the price"
    if shape.traders is None:
        part = "each trader's amount has" if shape.total is not None else "it has"
        said += f"; {part} no closed form, because {shape.why}, and nothing is sampled"
    if shape.unknown:
        said += f"; {counted(shape.unknown, 'trader')} with an unknown liquidation: it is in no sum"
    return said


def _of_total(total: Pieces, reference: Fraction, budgets: Mapping[str, Fraction]) -> Iterator[Row]:
    ends = [Fraction(0), *total.cuts, None]
    for (low, high), (a, s) in zip(pairwise(ends), total.lines, strict=True):
        yield {"kind": "segment", "price": str(low), "to": _text(high), "ends": "[)", "intercept": _quote(a), "slope": _quote(s)}
    for price, before, value, after in total.jumps():
        words = f"from {_quote(before)} below the price to {_quote(after)} above it"
        yield {"kind": "jump", "price": str(price), "intercept": _quote(value), "text": words}
    if (steepness := elasticity(total, reference)) is not None:
        yield {"kind": "elasticity", "price": str(reference), "intercept": str(steepness)}
    for name, budget in budgets.items():
        within = fits(total, budget)
        for one in within:
            ends_text = ("[" if one.with_low else "(") + ("]" if one.with_high else ")")
            yield {"kind": "budget", "price": str(one.low), "to": _text(one.high), "ends": ends_text, "text": f"the total fits {name}"}
        if not within:
            yield {"kind": "budget", "text": f"the total fits {name} at no price"}


def elasticity(total: Pieces, price: Fraction) -> Fraction | None:
    """price * slope / total; None at a kink, and where the total is 0."""
    value = total.value(price)
    if price in total.cuts or not value:
        return None
    slope = total.lines[sum(cut < price for cut in total.cuts)][1]
    return Fraction(price * slope) / value


def fits(total: Pieces, budget: Number) -> list[Interval]:
    """The prices at which the total is at most the budget, as intervals in order."""
    found: list[Interval] = []

    def add(low: Fraction, high: Fraction | None, with_low: bool, with_high: bool) -> None:
        last = found[-1] if found else None
        if last is not None and last.high == low and (last.with_high or with_low):
            found[-1] = Interval(last.low, high, last.with_low, with_high)
        else:
            found.append(Interval(low, high, with_low, with_high))

    ends = [Fraction(0), *total.cuts, None]
    for n, ((low, high), part) in enumerate(zip(pairwise(ends), total.lines, strict=True)):
        assert low is not None
        if n and total.value_at(n - 1) <= budget:
            add(low, low, True, True)
        crossing = crossing_of(part, (budget, 0))
        first = n == 0  # the price 0 belongs to the first piece
        if crossing is None or crossing < low or (high is not None and crossing >= high) or (crossing == low and not first):
            middle = low + 1 if high is None else (low + high) / 2
            if part[0] + part[1] * middle <= budget:
                add(low, high, first, False)
        elif part[1] > 0:
            add(low, crossing, first, True)
        else:
            add(crossing, high, True, False)
    return found


def break_evens(one: Pieces) -> Iterator[tuple[Fraction, str]]:
    """The prices at which an amount leaves 0, with what happens as the price rises."""
    for n, cut in enumerate(one.cuts):
        below, above = one.lines[n] == (0, 0), one.lines[n + 1] == (0, 0)
        if below != above:
            yield cut, "starts to get something above it" if below else "gets nothing above it"


def _order(functions_of: Sequence[Pieces], traders: Sequence[str], reference: Fraction) -> Iterator[Row]:
    """Where two traders change their order. Above EVERY_PAIR traders only between neighbours at the reference price: the nearest changes."""
    if len(traders) > EVERY_PAIR:
        words = f"of {len(traders):,} traders, changes of order are listed between neighbours at the reference price only"
        yield {"kind": "not-listed", "text": words}
    moving = [bool(one.cuts or one.lines[0][1]) for one in functions_of]
    for n, m in _pairs(functions_of, reference) if any(moving) else ():
        if not (moving[n] or moving[m]):
            continue
        for price, rising in swaps(functions_of[n], functions_of[m]):
            more, less = (n, m) if rising else (m, n)
            yield {"kind": "order-change", "price": str(price), "trader": traders[more], "other": traders[less]}


def _pairs(functions_of: Sequence[Pieces], reference: Fraction) -> Iterator[tuple[int, int]]:
    """The places of every pair, or of neighbours, the smaller first."""
    places = range(len(functions_of))
    if len(places) <= EVERY_PAIR:
        yield from combinations(places, 2)
        return
    ordered = sorted(places, key=lambda n: functions_of[n].scaled(reference))  # equal ones stay in their order
    for n, m in pairwise(ordered):
        yield min(n, m), max(n, m)


def swaps(one: Pieces, other: Pieces) -> list[tuple[Fraction, bool]]:
    """The prices at which two amounts that are both above 0 there change their order; and whether the one is larger above the price."""
    inside = _crossings(one, other)
    if inside is not None:
        return inside
    apart = added([one, times(other, -1)])
    lead = sorted({*apart.cuts, *(price for price, _ in _crossings(apart, line(0, 0), touching=True) or ())})
    found = []
    for n, price in enumerate(lead):
        below = (lead[n - 1] if n else Fraction(0)) + price
        above = price + lead[n + 1] if n + 1 < len(lead) else 2 * price + 2
        before, after = (apart.value(at / 2) for at in (below, above))
        if one.value(price) > 0 and other.value(price) > 0 and ((before > 0 > after) or (before < 0 < after)):
            found.append((price, after > 0))
    return found


def _crossings(one: Pieces, other: Pieces, touching: bool = False) -> list[tuple[Fraction, bool]] | None:
    """Where two lines cross inside their pieces, both above 0 there; None where they meet at an end of a piece, or one jumps.

    `touching` lists all crossings, at any height.
    """
    if not touching and any(value is not None for value in (*one.at, *other.at)):
        return None
    found = []
    for n, part in enumerate(one.lines):
        for m, beside in enumerate(other.lines):
            crossing = crossing_of(part, beside) if touching or (part != (0, 0) and beside != (0, 0)) else None
            if crossing is None or crossing <= 0:
                continue
            ends = [cut for cuts, k in ((one.cuts, n), (other.cuts, m)) for cut in cuts[max(0, k - 1) : k + 1]]
            if not touching and crossing in ends:
                return None
            if _lies(crossing, one, n) and _lies(crossing, other, m) and (touching or part[0] + part[1] * crossing > 0):
                found.append((crossing, part[1] > beside[1]))
    return sorted(found)


def _lies(price: Fraction, one: Pieces, n: int) -> bool:
    """Whether a price lies inside the n-th piece."""
    return (n == 0 or one.cuts[n - 1] < price) and (n == len(one.cuts) or price < one.cuts[n])


def _quote(value: Number) -> str:
    """An amount of 1e-18 as a fraction of the quote asset."""
    return str(Fraction(value) / fixed.ONE)


def _text(price: Fraction | None) -> str | None:
    return None if price is None else str(price)
