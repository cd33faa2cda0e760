"""A sensitivity table for people: its blocks with their headers, and of a long one the rows nearest to the reference price."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import polars as pl
from msgspec import Struct

NEAREST = 10  # rows of a kind that are shown: those nearest to the reference price
FRACTIONS = ("price", "to", "intercept", "slope")  # columns that hold a fraction


class Block(Struct, frozen=True):
    """The rows of one kind: the header, the column of the table under each, which are aligned to the right; how many rows there are in all."""

    kind: str
    header: Sequence[str]
    columns: Sequence[str]
    right: Sequence[int]
    rows: list[dict[str, str | None]]
    of: int


def blocks(table: pl.DataFrame, quote: str) -> Iterator[Block]:
    """The blocks of one market, of its rows of a sensitivity table. Up to NEAREST rows each."""
    reference = Fraction(table.item(0, "price") or 0)
    for kind, header, columns, right in (
        ("segment", ["price from", "to", f"total ({quote})", "+ per unit of price"], FRACTIONS, (0, 1, 2, 3)),
        ("jump", ["jump at", f"total there ({quote})"], ("price", "intercept"), (0, 1)),
        ("budget", ["budget", "at prices from", "to", "ends"], ("text", "price", "to", "ends"), (1, 2)),
        ("break-even", ["trader", "at price", "what happens"], ("trader", "price", "text"), (1,)),
        ("order-change", ["gets more above", "at price", "gets more below"], ("trader", "price", "other"), (1,)),
    ):
        rows = table.filter(kind=kind).select(columns).rows(named=True)
        if rows:
            yield Block(kind, header, columns, right, _nearest(rows, reference), len(rows))


def _nearest(rows: list[dict[str, str | None]], reference: Fraction) -> list[dict[str, str | None]]:
    if len(rows) <= NEAREST:
        return rows
    near = sorted(range(len(rows)), key=lambda n: (abs(Fraction(rows[n]["price"] or 0) - reference), n))[:NEAREST]
    return [rows[n] for n in sorted(near)]
