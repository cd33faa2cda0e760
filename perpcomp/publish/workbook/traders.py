"""The sheet Compare traders: what each formula and rule gives each trader, live, in the order of what the chosen one gives."""

from collections.abc import Sequence

import polars as pl
from msgspec import Struct

from perpcomp.incident.adjustments import ADD, DEDUCT, SCALE, SET, Adjustment
from perpcomp.publish.workbook.formulas import VALUES, Formulas
from perpcomp.publish.workbook.plan import FIRST_ROW, HEADER_ROW, ROW, Cell, Cells, Column, Sheet, apart, letter, literal, span, total
from perpcomp.publish.workbook.positions import Positions
from perpcomp.publish.workbook.rules import Given, Rule
from perpcomp.publish.workbook.series import UNKNOWN, addresses, chosen, column, numbers, or_text, ratios, row_numbers
from perpcomp.publish.workbook.spelled import LONGEST
from perpcomp.run import Run
from perpcomp.sheet_limits import held, shown_rows
from perpcomp.systems.units import units

TRADERS = "Compare traders"
FILE = "comparison-wide.csv"
LOST, FIRST_RULE = 1, 2  # columns


class Traders(Struct, frozen=True):
    """The sheet, and where other sheets find its columns: the traders, what each lost, and what the chosen formula or rule gives each."""

    sheet: Sheet
    trader: str
    lost: str
    chosen: str


def traders(run: Run, positions: Positions, formulas: Formulas, compared: Sequence[Rule], lost: Given) -> Traders:
    """One row a trader that the rules pay for. `lost` is what each trader's positions were worth."""
    quote, paying = units(run.incident).quote, next(rule for rule in compared if rule.name == run.formula.name).given
    owed, everybody = dict(zip(paying.traders, paying.amounts, strict=True)), sorted(known_traders(compared))
    ranked = sorted(everybody, key=lambda trader: -(owed.get(trader) or 0))
    rows = _Rows(ranked[: shown_rows(len(ranked))])
    whole, corrected = rows.height == len(ranked), bool(run.incident.adjustments or run.incident.received_by)
    columns = [
        column("trader", 40, addresses(rows.traders), Cell("Total", "bold")),
        column(f"lost ({quote})", 15, rows.owed(lost, f"SUMIFS({positions.equity},{positions.trader},A{ROW})")),
    ]
    for at, rule in enumerate(compared, FIRST_RULE):
        live = rule.name not in formulas.values_only
        own = f"SUMIFS({formulas.columns[rule.name]},{formulas.trader},A{ROW})" if live else ""
        above = total(at, rows.height, sum(rule.given.known)) if whole else None
        cells = rows.owed(rule.given, _corrected(own, rows.traders, run) if live and corrected else own)
        columns.append(column(f"{rule.name} ({quote}{'' if live else f', {VALUES}'})", 13, cells, above))
    columns += _of_chosen(paying, rows, len(columns), quote, whole)
    columns += _against_loss(paying, rows.traders, lost, len(columns) - 3, whole)
    heading = f"What each formula and rule gives each trader: {held(len(ranked), FILE)}"
    where = [span(TRADERS, at, rows.height) for at in (0, LOST, FIRST_RULE + len(compared))]
    return Traders(Sheet(TRADERS, heading, columns, key=(0,), filtered=True), *where)


def known_traders(compared: Sequence[Rule]) -> set[str]:
    """Everybody to whom any formula or rule gives something, also 0."""
    lists = {id(rule.given.traders): rule.given.traders for rule in compared}
    return {trader for one in lists.values() for trader in one}


class _Rows:
    """The traders of the sheet in its order, and where each of them is in the list of what a rule gives."""

    def __init__(self, traders: Sequence[str]) -> None:
        self.traders, self.height = pl.Series("trader", traders, dtype=pl.String), len(traders)
        self.places: dict[int, pl.Series] = {}

    def owed(self, given: Given, formula: str | pl.Series) -> Cells:
        """What each trader is given; nothing where a trader is not known there. The formula is of known amounts."""
        amounts = given.numbers.gather(at := self._place(given))
        known = amounts.is_not_null()
        cells = or_text(amounts, "money")
        if cells.texts is not None:
            cells = cells._replace(texts=chosen(~known & at.is_not_null(), UNKNOWN, None))
        if isinstance(formula, str):
            return cells._replace(formula=formula, live=known)
        return cells._replace(formula=pl.select(pl.when(known).then(formula).otherwise(pl.lit(""))).to_series())

    def _place(self, given: Given) -> pl.Series:
        key = id(given.traders)
        if key not in self.places:
            table = pl.DataFrame({"trader": given.traders}, schema={"trader": pl.String}).with_row_index("at")
            self.places[key] = self.traders.to_frame().join(table, on="trader", how="left", maintain_order="left").get_column("at")
        return self.places[key]


def _corrected(own: str, traders: pl.Series, run: Run) -> pl.Series:
    """The formula of each trader's entitlement: less what it received already (1e-18 of the quote asset), then after rulings; "" where no cell holds it."""
    rulings: dict[str, list[Adjustment]] = {}
    for one in run.incident.adjustments:
        rulings.setdefault(one.trader, []).append(one)
    found, taken = [], run.incident.received_by
    for trader, row in zip(traders, row_numbers(len(traders)), strict=True):
        formula, received = own.replace(ROW, row), taken.get(trader)
        if received:
            formula = f"({formula}-MIN(MAX({formula},0),{literal(received)}))"
        formula = _ruled(formula, rulings.get(trader, []))
        found.append(formula if len(formula) <= LONGEST else "")
    return pl.Series(found, dtype=pl.String)


def _ruled(formula: str, rulings: Sequence[Adjustment]) -> str:
    """The formula of an entitlement after rulings, in their order."""
    for one in rulings:
        amount = "" if one.amount is None else literal(one.amount)
        steps = {
            ADD: f"({formula}+{amount})",
            DEDUCT: f"MAX({formula}-{amount},MIN({formula},0))",
            SCALE: f"({formula})*{one.factor}",
            SET: amount,
        }
        formula = steps[one.kind]
    return formula


def _of_chosen(paying: Given, rows: _Rows, at: int, quote: str, whole: bool) -> list[Column]:
    """What the chosen formula gives, what the published one gave, and the change: columns from `at` on."""
    picked = f"INDEX({letter(FIRST_RULE)}{ROW}:{letter(at - 1)}{ROW},1,formula_number)"
    published, sum_of = rows.owed(paying, ""), total(at, rows.height, sum(paying.known)) if whole else None
    assert published.numbers is not None
    known = published.numbers.is_not_null()
    change = Cells("money", known.replace_strict({True: 0.0, False: None}, return_dtype=pl.Float64), None, "", known)
    return [
        column(f"chosen formula ({quote})", 13, published._replace(formula=picked, live=known), sum_of),
        column(f"as published ({quote})", 13, published),
        column(f"change ({quote})", 11, change._replace(formula=apart(f"{letter(at)}{ROW}", f"{letter(at + 1)}{ROW}")))._replace(
            against_published=True
        ),
    ]


def _against_loss(paying: Given, traders: pl.Series, lost: Given, at: int, whole: bool) -> list[Column]:
    """Recovery and rank by the chosen formula, which is column `at`; empty where an amount is incomplete."""
    owed = paying.by_trader
    known = lost.by_trader
    losses = [known.get(who) if who in owed else None for who in traders]
    amounts = numbers([owed.get(who) for who in traders])
    picked, loss = letter(at), letter(LOST)
    recovery = Cells(
        "percent",
        ratios([owed.get(who) for who in traders], losses),
        None,
        f'IF({loss}{ROW}>0,{picked}{ROW}/{loss}{ROW},"")',
        pl.Series([one is not None for one in losses], dtype=pl.Boolean),
    )
    rank = f"RANK({picked}{ROW},{picked}${FIRST_ROW}:{picked}${HEADER_ROW + max(len(traders), 1)})"
    ranks = Cells("whole", amounts.rank("min", descending=True).cast(pl.Int64), formula=rank if whole and all(paying.complete) else "")
    return [column("recovery: chosen / lost", 12, recovery), column("rank", 7, ranks._replace(live=amounts.is_not_null()))]
