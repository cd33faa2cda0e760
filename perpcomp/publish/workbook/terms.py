"""The terms of the formulas as columns of a sheet with one row a liquidation. Those that follow from the reference prices are live."""

from collections.abc import Mapping, Sequence

import polars as pl

from perpcomp.publish.workbook.inputs import price_names
from perpcomp.publish.workbook.listing import SIDE
from perpcomp.publish.workbook.plan import ROW, Cells, Column, letter
from perpcomp.publish.workbook.series import UNKNOWN, column, flags, floats, or_text
from perpcomp.run import Run
from perpcomp.systems.system import find
from perpcomp.systems.units import units
from perpcomp.tables.liquidations import LIQUIDATIONS

SIZE, MARGIN, OPENED, FUNDING = (f"{name}_at_reference" for name in ("size", "margin", "open_notional", "funding"))
PRICE, ENTRY, NOTIONAL, PROFIT, RESTORE = (
    *("reference_price", "entry_price", "notional_at_reference"),
    *("unrealized_pnl_at_reference", "restore_notional"),
)
OF_NAME = {one.name: one for one in LIQUIDATIONS.columns}


def needed(run: Run, names: Sequence[str]) -> list[str]:
    """These terms after those that the live ones of them follow from."""
    entry = (ENTRY,) if run.incident.published_table is None and find(run.incident.system).stores_entry_price else ()
    return [*dict.fromkeys((SIZE, OPENED, *entry, PRICE, NOTIONAL, PROFIT, *names))]


def columns(run: Run, shown: pl.DataFrame, names: Sequence[str], first: int) -> tuple[list[Column], dict[str, str]]:
    """The columns of terms, of which the first one is column `first` of the sheet; and the letter of each."""
    place = {name: letter(first + at) for at, name in enumerate(names)}
    live, markets, prices = _live(run, place), shown.get_column("market"), price_names(run)
    has_price, found = markets.is_in([*prices]), list[Column]()
    for name in names:
        about, values = OF_NAME[name], shown.get_column(name)
        if about.kind == "flag":
            cells = flags(values)
        elif about.kind == "amount":
            cells = or_text(floats(values), "number")
            if name == PRICE and prices:
                cells = cells._replace(formula=markets.replace_strict(prices, default="", return_dtype=pl.String))
            elif name in live:
                cells = cells._replace(formula=live[name], live=has_price & values.is_not_null())
        elif about.kind == "integer":
            cells = or_text(values, "text")
        else:
            cells = Cells("text", texts=values.cast(pl.String).fill_null(UNKNOWN))
        unit = units(run.incident).of(about.unit)
        header = f"{name.removesuffix('_at_reference').replace('_', ' ')} ({unit})".replace(" ()", "")
        found.append(column(header, 13, cells))
    return found, place


def _live(run: Run, place: Mapping[str, str]) -> dict[str, str]:
    """The terms that follow from the reference prices -> their formula. Empty where each position has a price of its own: a value."""
    if not price_names(run):
        return {}
    size, notional, opened, price = (f"{place[name]}{ROW}" for name in (SIZE, NOTIONAL, OPENED, PRICE))
    profit = f'IF({SIDE}{ROW}="long",{notional}-{opened},{opened}-{notional})'
    if ENTRY in place:
        profit = f"{size}*({price}-{place[ENTRY]}{ROW})"
    found = {NOTIONAL: f"ABS({size})*{price}", PROFIT: profit}
    if run.incident.restore is None:  # else the openings move the pool, one after the other
        found[RESTORE] = notional
    return found
