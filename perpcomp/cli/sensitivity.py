"""What `perpcomp sensitivity` prints: fractions cut to decimals; the file and --json hold them exactly."""

from fractions import Fraction

from perpcomp import fixed
from perpcomp.cli import terminal
from perpcomp.decide.sensitivity.shown import FRACTIONS, blocks
from perpcomp.run import RunTables
from perpcomp.systems.units import units

EXACT = "--csv and --json hold every row, as fractions."


def print_sensitivity(run: RunTables) -> None:
    """Each market: the class, the pieces of the total, budgets, jumps, break-even prices and changes of order."""
    quote = units(run.incident).quote
    for (market,), rows in run.sensitivity.group_by("market", maintain_order=True):
        first = rows.row(0, named=True)
        where = f"{market}, reference price {cut(first['price'])} {quote}. " if first["price"] else ""
        terminal.print_text([f"{where}{first['option']} is {first['text']}" if where else str(first["text"])])
        for block in blocks(rows, quote):
            shown = [[cut(row[c]) if c in FRACTIONS else str(row[c] or "") for c in block.columns] for row in block.rows]
            print()
            terminal.print_grid(block.header, shown, block.right, elsewhere=EXACT)
            if block.of > len(shown):
                terminal.say(f"{len(shown)} of {block.of}: those nearest to the reference price. {EXACT}")
        terminal.print_text(str(text) for text in rows.filter(kind="not-listed").get_column("text"))


def cut(fraction: str | None) -> str:
    """A fraction cut to two decimals."""
    if fraction is None:
        return ""
    value = Fraction(fraction)
    whole = fixed.truncate(value.numerator * fixed.ONE, value.denominator)
    return terminal.readable(fixed.from_integer(whole)) if abs(whole) < fixed.LIMIT else "1e20 or more"
