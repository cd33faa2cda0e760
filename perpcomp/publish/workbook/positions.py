"""The sheet Positions: each liquidated position with the terms of the formulas, and what every formula gives it, live."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from perpcomp import fixed
from perpcomp.eip55 import checksummed
from perpcomp.publish.links import of_transaction
from perpcomp.publish.workbook.inputs import price_names
from perpcomp.publish.workbook.plan import FIRST_ROW, Cell, Column, Sheet, letter, number, span, within
from perpcomp.publish.workbook.rules import Rule, equities, shares
from perpcomp.publish.workbook.spelled import spelled
from perpcomp.run import Run
from perpcomp.sheet_limits import shown_rows, shown_text
from perpcomp.systems.system import find
from perpcomp.systems.units import units
from perpcomp.tables.liquidations import LIQUIDATIONS

POSITIONS = "Positions"
FILE = "2-liquidations.csv"
ALWAYS = (
    *("size_at_reference", "margin_at_reference", "open_notional_at_reference", "funding_at_reference", "reference_price"),
    *("notional_at_reference", "unrealized_pnl_at_reference"),
)  # what the equity of a position is made of
SHOWN_ANYWAY = ("trader", "market_name", "side")
BY_TRADER = "by trader"  # where a rule pays: it gives amounts to traders, not to positions
ROW = "\0"  # stands for the number of a row
EPOCH = datetime(1899, 12, 30)  # of a spreadsheet's dates
COLUMNS = {column.name: column for column in LIQUIDATIONS.columns}


@dataclass(frozen=True)
class Positions:
    """The sheet, and where other sheets find its columns."""

    sheet: Sheet
    trader: str
    equity: str
    rules: dict[str, str]  # formula -> the span of its column
    values_only: tuple[str, ...]  # formulas and rules whose amounts are values, because no formula of a spreadsheet can follow them


Maker = Callable[[int, int, dict[str, Any]], Cell]  # (row of the table, row of the sheet, the table's row)


def positions(run: Run, compared: Sequence[Rule]) -> Positions:
    """Every liquidation in the input: those that are paid first, largest first."""
    table, quote = run.liquidations, units(run.incident).quote
    chosen = next(rule for rule in compared if rule.name == run.formula.name)
    formulas = [rule for rule in compared if rule.tree is not None]
    payable = sum(not rule.paying.negative for rule in formulas)
    worth, _ = equities(run)
    parts = shares(run)
    terms = [name for name in dict.fromkeys([*ALWAYS, *(term for rule in formulas for term in rule.terms)]) if name not in SHOWN_ANYWAY]
    heads: list[tuple[str, int]] = [("trader", 44), ("market", 10), ("side", 6), ("liquidated (UTC)", 16), ("may be paid?", 7)]
    heads += [
        (f"{name.removesuffix('_at_reference').replace('_', ' ')} ({units(run.incident).of(COLUMNS[name].unit)})".replace(" ()", ""), 13)
        for name in terms
    ]
    heads += [("part compensated (/1)", 8), (f"equity ({quote})", 13)]
    place = {name: letter(5 + k) for k, name in enumerate(terms)} | {"side": "C", "market_name": "B", "trader": "A"}
    part, equity = letter(5 + len(terms)), letter(6 + len(terms))
    first = 7 + len(terms)
    heads += [(f"{rule.name} ({quote})", 13) for rule in formulas]
    live, exact, check = first + len(formulas), first + len(formulas) + 1, first + len(formulas) + 2
    heads += [(f"chosen formula ({quote})", 13), (f"exact, published (1e-18 {quote})", 26), ("live = exact?", 8), ("transaction", 22)]
    heads += [("reason", 50)]
    by_formula = _live_terms(run, place)
    order = _order(table, chosen)
    shown = order[: shown_rows(len(order))]
    spell = {
        rule.name: spelled(rule.tree, lambda name: f'({place[name]}{ROW}="yes")' if COLUMNS[name].kind == "flag" else f"{place[name]}{ROW}")
        for rule in formulas
        if rule.tree is not None
    }
    rows = []
    for at, (index, row) in enumerate(zip(shown, table[shown].iter_rows(named=True), strict=True), FIRST_ROW):
        cells = [
            Cell(checksummed(row["trader"]), "address"),
            Cell(row["market_name"], "text"),
            Cell(row["side"], "text"),
            Cell((row["block_time"].replace(tzinfo=None) - EPOCH).total_seconds() / 86_400, "time"),
            Cell("yes" if row["eligible"] else "no", "text"),
        ]
        cells += [_term(row, name, by_formula.get(name), at) for name in terms]
        cells.append(Cell(parts[index], "plain"))
        equity_text = f"({place['margin_at_reference']}{at}+{place['unrealized_pnl_at_reference']}{at}-{place['funding_at_reference']}{at})*{part}{at}"
        cells.append(_amount(worth[index], equity_text if _known(row, ALWAYS[1:4] + ALWAYS[6:]) else ""))
        for rule in formulas:
            text = spell[rule.name]
            formula = f"{text.replace(ROW, str(at))}*{part}{at}" if text is not None and _known(row, rule.terms) else ""
            cells.append(_amount(rule.values[index], formula))
        value = chosen.values[index] if chosen.values else None
        picked = f'IF(formula_number<={payable},INDEX({letter(first)}{at}:{letter(live - 1)}{at},1,formula_number),"{BY_TRADER}")'
        unknown = "unknown" if chosen.values else BY_TRADER
        cells.append(Cell(unknown if value is None else number(value), "money", picked if payable else ""))
        cells.append(Cell(unknown if value is None else str(value), "digits"))
        cells.append(
            Cell("ok", "text", within(f"{letter(live)}{at}", f"VALUE({letter(exact)}{at})/10^18", "0"))
            if value is not None
            else Cell(unknown, "text")
        )
        link = of_transaction(row["chain_id"], row["transaction_hash"])
        cells.append(Cell(f"{row['transaction_hash'][:12]}… log {row['log_index']}", "link" if link else "text", link=link))
        cells.append(Cell(shown_text(row["reason"], FILE), "text"))
        rows.append(cells)
    total = number(sum(value for value in chosen.values if value is not None))
    last = FIRST_ROW + max(len(rows), 1) - 1
    above = {live: Cell(total, "total", f"SUM({letter(live)}{FIRST_ROW}:{letter(live)}{last})")} if len(shown) == len(order) else {}
    columns = [Column(name, width, above.get(k)) for k, (name, width) in enumerate(heads)]
    held = f"{len(order):,}" if len(shown) == len(order) else f"{len(shown):,} of {len(order):,}; all are in {FILE}"
    made = Sheet(
        POSITIONS,
        f"Every liquidated position, what it was worth, and what each formula gives it: {held}",
        columns,
        rows,
        (0, 1, 3, check + 1),
        True,
        (check,),
    )
    where = {rule.name: span(POSITIONS, first + k, len(rows)) for k, rule in enumerate(formulas)}
    values_only = tuple(rule.name for rule in compared if spell.get(rule.name) is None)
    equity_at = 6 + len(terms)
    assert letter(equity_at) == equity
    return Positions(made, span(POSITIONS, 0, len(rows)), span(POSITIONS, equity_at, len(rows)), where, values_only)


def _live_terms(run: Run, place: dict[str, str]) -> dict[str, Callable[[dict[str, Any], int], str]]:
    """The terms that follow from the reference prices -> their formula in a row. Empty where each position has its own price: a value."""
    prices = price_names(run)
    if not prices:
        return {}
    size, notional, opened = (place[f"{name}_at_reference"] for name in ("size", "notional", "open_notional"))
    price, entry = place["reference_price"], place.get("entry_price")

    def profit(row: dict[str, Any], at: int) -> str:
        if row["market"] not in prices:
            return ""
        if find(run.incident.system).stores_entry_price:
            stated = f"{entry}{at}" if entry else f"{row['entry_price']:f}"
            return f"{size}{at}*({price}{at}-{stated})"
        return f'IF(C{at}="long",{notional}{at}-{opened}{at},{opened}{at}-{notional}{at})'

    found: dict[str, Callable[[dict[str, Any], int], str]] = {
        "reference_price": lambda row, at: prices.get(row["market"], ""),
        "notional_at_reference": lambda row, at: f"ABS({size}{at})*{price}{at}" if row["market"] in prices else "",
        "unrealized_pnl_at_reference": profit,
    }
    if run.incident.restore is None:  # else the openings move the pool, one after the other
        found["restore_notional"] = lambda row, at: f"{notional}{at}" if row["market"] in prices else ""
    return found


def _term(row: dict[str, Any], name: str, formula: Callable[[dict[str, Any], int], str] | None, at: int) -> Cell:
    value, kind = row[name], COLUMNS[name].kind
    if value is None:
        return Cell("unknown", "text")
    if kind == "flag":
        return Cell("yes" if value else "no", "text")
    if isinstance(value, Decimal):
        return Cell(float(value), "number", formula(row, at) if formula else "")
    return Cell(value if isinstance(value, int) else str(value), "text")


def _amount(value: int | None, formula: str) -> Cell:
    """An amount with its formula; a text where it is unknown, which no sum counts."""
    return Cell("unknown", "text") if value is None else Cell(number(value), "money", formula)


def _known(row: dict[str, Any], terms: Sequence[str]) -> bool:
    return all(row[name] is not None for name in terms)


def _order(table: pl.DataFrame, chosen: Rule) -> list[int]:
    """The rows of the table as the sheet shows them."""
    keyed = table.select("eligible", "trader", "block_number", "log_index").with_row_index("row")
    keyed = keyed.with_columns(fixed.from_integers(chosen.values or [None] * table.height).alias("value"))
    by = ["eligible", "value", "trader", "block_number", "log_index"]
    return keyed.sort(by, descending=[True, True, False, False, False], nulls_last=True).get_column("row").to_list()
