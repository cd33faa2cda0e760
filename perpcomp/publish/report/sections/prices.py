"""What other reference prices would do to the total and to accounts, exactly."""

from collections.abc import Iterator
from fractions import Fraction

import polars as pl

from perpcomp import fixed
from perpcomp.decide.sensitivity.shown import FRACTIONS, Block, blocks
from perpcomp.eip55 import checksummed
from perpcomp.publish.report.figures import Charts, figure
from perpcomp.publish.report.parts import Folded, Grid, Heading, Part, Section, Text
from perpcomp.publish.sentence import short
from perpcomp.run import Run
from perpcomp.systems.units import units

NAMES = {
    "segment": "Pieces of the total, {market}",
    "jump": "Jumps of the total, {market}",
    "budget": "Budgets, {market}",
    "break-even": "Prices at which an account's amount leaves 0, {market}",
    "order-change": "Prices at which two accounts change their order, {market}",
}
PIECES = (
    "Between two kinks the total is a straight line: what the column total says, plus the price times what is added per unit of price. Each"
    " number is a fraction, which sensitivity.csv holds exactly; here it is cut to two places."
)


def section(run: Run, charts: Charts) -> Section:
    """The section."""
    quote = units(run.incident).quote
    parts: list[Part] = [*figure(charts, "sensitivity")]
    several = run.sensitivity.get_column("market").n_unique() > 1
    for (market,), rows in run.sensitivity.group_by("market", maintain_order=True):
        parts += _market(str(market), rows, quote, several)
    return Section("prices", "At other prices", parts)


def _market(market: str, rows: pl.DataFrame, quote: str, several: bool) -> Iterator[Part]:
    first = rows.row(0, named=True)
    if several:
        yield Heading(market)
    if first["price"] is None:
        yield Text(first["text"])
        return
    yield Text(f"{market}, reference price {_cut(first['price'])} {quote}. {first['option']} is {first['text']}.")
    for row in rows.filter(kind="elasticity").iter_rows(named=True):
        yield Text(f"A reference price that is 1 % higher moves the total by about {_cut(row['intercept'])} %.")
    apart = rows.filter(kind="not-listed").get_column("text").to_list()  # of very many accounts, few changes of order are listed
    found = [block for block in blocks(rows, quote) if not (apart and block.kind == "order-change")]
    if any(block.kind == "segment" for block in found):
        yield Text(PIECES)
    for block in found:
        name = NAMES[block.kind].format(market=market)
        shown = [[_cut(row[c]) if c in FRACTIONS else _text(row[c]) for c in block.columns] for row in block.rows]
        yield Folded(f"{name}: {_held(block)}", [Grid(name, block.header, shown, block.right)])
    for text in apart:
        yield Text(f"{text[:1].upper()}{text[1:]}: see sensitivity.csv.")


def _held(block: Block) -> str:
    if block.of == len(block.rows):
        return f"{block.of:,}"
    return f"{len(block.rows)} of {block.of:,}, those nearest to the reference price; all are in sensitivity.csv"


def _text(value: str | None) -> str:
    return checksummed(value) if value is not None and value.startswith("0x") else value or ""


def _cut(fraction: str | None) -> str:
    """A fraction cut to two places, as every amount of the page."""
    if fraction is None:
        return "no end"
    value = Fraction(fraction)
    whole = fixed.truncate(value.numerator * fixed.ONE, value.denominator)
    return short(whole) if abs(whole) < fixed.LIMIT else "1e20 or more"
