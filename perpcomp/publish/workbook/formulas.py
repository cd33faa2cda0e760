"""The sheet Formulas: each liquidated position with the terms that formulas read, and what every formula gives it, live."""

from collections.abc import Sequence

from msgspec import Struct

from perpcomp.formula import has_all
from perpcomp.publish.workbook import terms
from perpcomp.publish.workbook.listing import BY_TRADER, FILE, KEY, LOG, MARKET, SIDE, TRADER, Listing
from perpcomp.publish.workbook.plan import ROW, Cells, Column, Sheet, letter, span
from perpcomp.publish.workbook.rules import Rule
from perpcomp.publish.workbook.series import column, floats, or_text
from perpcomp.publish.workbook.spelled import spelled
from perpcomp.sheet_limits import held
from perpcomp.systems.units import units
from perpcomp.tables.liquidations import LIQUIDATIONS

FORMULAS = "Formulas"
VALUES = "amounts are values"
FIRST = len((TRADER, MARKET, SIDE, LOG))  # column of the first term
FLAGS = {one.name for one in LIQUIDATIONS.columns if one.kind == "flag"}


class Formulas(Struct, frozen=True):
    """The sheet, and where other sheets find its columns. `payable` is how many of the formulas may be paid: they are the first ones.

    `values_only` are formulas and rules whose amounts are values, because no formula of a spreadsheet can follow them.
    """

    sheet: Sheet
    trader: str
    log: str
    chosen: str
    columns: dict[str, str]  # formula -> the span of its column
    payable: int
    values_only: tuple[str, ...]


def formulas(listing: Listing, compared: Sequence[Rule]) -> Formulas:
    """Every liquidation in the input, and every formula that is compared."""
    run, shown = listing.run, listing.shown
    quote, live = units(run.incident).quote, [rule for rule in compared if rule.tree is not None]
    read = [name for rule in live for name in rule.terms if name not in ("trader", "market_name", "side")]
    names = terms.needed(run, read)
    of_terms, place = terms.columns(run, shown, names, FIRST)
    place |= {"trader": TRADER, "market_name": MARKET, "side": SIDE}
    part = letter(FIRST + len(names))

    def cell(name: str) -> str:
        return f'({place[name]}{ROW}="yes")' if name in FLAGS else f"{place[name]}{ROW}"

    columns = [*listing.columns, *of_terms, column("part compensated (/1)", 9, Cells("plain", listing.parts))]
    first, values_only = len(columns), [rule.name for rule in compared if rule.tree is None]
    for rule in live:
        text = None if rule.tree is None else spelled(rule.tree, cell)
        if text is None:
            values_only.append(rule.name)
        columns.append(_amounts(rule, listing, quote, "" if text is None else f"{text}*{part}{ROW}"))
    payable = sum(not rule.paying.negative for rule in live)
    picked = f'IF(formula_number<={payable},INDEX({letter(first)}{ROW}:{letter(len(columns) - 1)}{ROW},1,formula_number),"{BY_TRADER}")'
    given = or_text(floats(listing.amounts), "money", listing.lacking)._replace(form="money", formula=picked if payable else "")
    columns.append(column(f"chosen formula ({quote})", 13, given))
    heading = f"What every formula gives each liquidated position, and what it reads: {held(run.liquidations.height, FILE, links=True)}"
    height = shown.height

    def where(at: int) -> str:
        return span(FORMULAS, at, height)

    by_name = {rule.name: where(first + k) for k, rule in enumerate(live)}
    ordered = tuple(rule.name for rule in compared if rule.name in values_only)
    made = Sheet(FORMULAS, heading, columns, key=KEY, filtered=True)
    return Formulas(made, where(0), where(FIRST - 1), where(len(columns) - 1), by_name, payable, ordered)


def _amounts(rule: Rule, listing: Listing, quote: str, formula: str) -> Column:
    """What a formula gives each position: live where all its terms are known."""
    assert rule.values is not None
    cells = or_text(floats(rule.values.gather(listing.rows)), "money")
    values = "" if formula else f", {VALUES}"
    return column(
        f"{rule.name} ({quote}{values})", 13, cells._replace(formula=formula, live=listing.shown.select(has_all(rule.terms)).to_series())
    )
