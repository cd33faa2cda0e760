"""The sheet Positions: each liquidated position, what it was worth, and what it gets by the formula that is chosen."""

from collections.abc import Mapping
from datetime import datetime

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.formula import has_all
from perpcomp.publish.workbook import terms
from perpcomp.publish.workbook.exactly import beside, same
from perpcomp.publish.workbook.formulas import Formulas
from perpcomp.publish.workbook.listing import BY_TRADER, FILE, KEY, LOG, TRADER, Listing
from perpcomp.publish.workbook.plan import ROW, Cell, Cells, Column, Sheet, letter, span, total
from perpcomp.publish.workbook.series import column, flags, floats, or_text, texts
from perpcomp.sheet_limits import held
from perpcomp.systems.units import units

POSITIONS = "Positions"
EPOCH = datetime(1899, 12, 30)  # of a spreadsheet's dates
DAY = 86_400


class Positions(Struct, frozen=True):
    """The sheet, and where other sheets find its columns."""

    sheet: Sheet
    trader: str
    equity: str


def positions(listing: Listing, formulas: Formulas, worth: pl.Series) -> Positions:
    """Every liquidation in the input: those that are paid first, largest first. `worth` is the equity of each row of the table."""
    run, shown = listing.run, listing.shown
    quote, height = units(run.incident).quote, shown.height
    since = (shown["block_time"].dt.epoch("s") - int((EPOCH - datetime(1970, 1, 1)).total_seconds())) / DAY
    trader, *others = listing.columns
    columns = [
        trader._replace(above=Cell("Total", "bold")),
        *others,
        column("liquidated (UTC)", 16, Cells("time", since)),
        column("may be paid?", 8, flags(shown["eligible"])),
    ]
    names = terms.needed(run, (terms.MARGIN, terms.FUNDING))
    found, place = terms.columns(run, shown, names, len(columns))
    columns += [*found, column("part compensated (/1)", 9, Cells("plain", listing.parts))]
    at_equity = len(columns)
    columns.append(column(f"equity ({quote})", 13, _equity(listing, worth, place, letter(at_equity - 1))))
    first = len(columns)
    columns += _paid(listing, formulas, first)
    columns.append(column("reason", 48, texts(shown["reason"], "wrapped", FILE)))
    heading = f"Every liquidated position, what it was worth and what it gets: {held(run.liquidations.height, FILE, links=True)}"
    sheet = Sheet(POSITIONS, heading, columns, key=KEY, filtered=True, checks=(first + 3,))
    return Positions(sheet, span(POSITIONS, 0, height), span(POSITIONS, at_equity, height))


def _equity(listing: Listing, worth: pl.Series, place: Mapping[str, str], part: str) -> Cells:
    """What each position was worth, in the compensated part: live where its terms are known."""
    read = (terms.MARGIN, terms.PROFIT, terms.FUNDING)
    margin, profit, funding = (f"{place[name]}{ROW}" for name in read)
    formula = f"({margin}+{profit}-{funding})*{part}{ROW}"
    return or_text(floats(worth.gather(listing.rows)), "money")._replace(
        formula=formula, live=listing.shown.select(has_all(read)).to_series()
    )


def _paid(listing: Listing, formulas: Formulas, first: int) -> list[Column]:
    """What the chosen formula gives, looked up on the sheet Formulas; beside it the exact amount, and whether the two are the same."""
    amounts, quote, lacking = listing.amounts, units(listing.run.incident).quote, listing.lacking
    found = f"SUMIFS({formulas.chosen},{formulas.log},{LOG}{ROW},{formulas.trader},{TRADER}{ROW})"
    picked = f'IF(formula_number<={formulas.payable},{found},"{BY_TRADER}")' if formulas.payable else ""
    given, known = or_text(floats(amounts), "money", lacking), amounts.is_not_null()
    if lacking == BY_TRADER:  # another choice may give numbers
        given = given._replace(form="money")
    above = None
    if len(amounts) == listing.run.liquidations.height:
        above = total(first, len(amounts), sum(filter(None, fixed.to_integers(amounts))))
    exact = amounts.reinterpret(dtype=pl.Int128).cast(pl.String)
    return [
        column(f"chosen formula ({quote})", 13, given._replace(formula=picked, live=None if lacking == BY_TRADER else known), above),
        *beside(first, quote, f"1e-18 {quote}", 18, exact, lacking),
        same([first + 2], known, lacking),
    ]
