"""What `perpcomp sensitivity` prints: fractions cut to decimals; the file and --json hold them exactly."""

from fractions import Fraction

import polars as pl

from perpcomp import fixed
from perpcomp.cli import terminal
from perpcomp.run import RunTables
from perpcomp.systems.units import units

NEAREST = 10  # rows of a kind that are shown: those nearest to the reference price
EXACT = "--csv and --json hold every row, as fractions."


def print_sensitivity(run: RunTables) -> None:
    """Each market: the class, the pieces of the total, budgets, jumps, break-even prices and changes of order."""
    quote = units(run.incident).quote
    for (market,), rows in run.sensitivity.group_by("market", maintain_order=True):
        first = rows.row(0, named=True)
        where = f"{market}, reference price {cut(first['price'])} {quote}. " if first["price"] else ""
        terminal.print_text([f"{where}{first['option']} is {first['text']}" if where else str(first["text"])])
        reference = Fraction(first["price"] or 0)
        for kind, header, columns, right in (
            (
                "segment",
                ["price from", "to", f"total ({quote})", "+ per unit of price"],
                ("price", "to", "intercept", "slope"),
                (0, 1, 2, 3),
            ),
            ("jump", ["jump at", f"total there ({quote})"], ("price", "intercept"), (0, 1)),
            ("budget", ["budget", "at prices from", "to", "ends"], ("text", "price", "to", "ends"), (1, 2)),
            ("break-even", ["trader", "at price", "what happens"], ("trader", "price", "text"), (1,)),
            ("order-change", ["gets more above", "at price", "gets more below"], ("trader", "price", "other"), (1,)),
        ):
            part = rows.filter(kind=kind)
            if part.height:
                _print(part, header, columns, right, reference)
        terminal.print_text(str(text) for text in rows.filter(kind="not-listed").get_column("text"))


def _print(part: pl.DataFrame, header: list[str], columns: tuple[str, ...], right: tuple[int, ...], reference: Fraction) -> None:
    rows = list(part.iter_rows(named=True))
    if len(rows) > NEAREST:
        near = sorted(range(len(rows)), key=lambda n: (abs(Fraction(rows[n]["price"] or 0) - reference), n))[:NEAREST]
        rows = [rows[n] for n in sorted(near)]
    fractions = ("price", "to", "intercept", "slope")
    print()
    terminal.print_grid(
        header, [[cut(row[c]) if c in fractions else str(row[c] or "") for c in columns] for row in rows], right, elsewhere=EXACT
    )
    if part.height > len(rows):
        terminal.say(f"{len(rows)} of {part.height}: those nearest to the reference price. {EXACT}")


def cut(fraction: str | None) -> str:
    """A fraction cut to two decimals."""
    if fraction is None:
        return ""
    value = Fraction(fraction)
    whole = fixed.truncate(value.numerator * fixed.ONE, value.denominator)
    return terminal.readable(fixed.from_integer(whole)) if abs(whole) < fixed.LIMIT else "1e20 or more"
