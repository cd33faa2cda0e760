"""The sheets Compare (the rules side by side, then tables of the decision) and Compare traders (what each rule gives each trader)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from perpcomp.decide.compare import NOTHING
from perpcomp.eip55 import checksummed
from perpcomp.entitlement import Entitlement
from perpcomp.incident.adjustments import ADD, DEDUCT, SCALE, SET, Adjustment
from perpcomp.publish.workbook.inputs import FORMULA
from perpcomp.publish.workbook.plan import FIRST_ROW, HEADER_ROW, Cell, Column, Sheet, letter, literal, number, span
from perpcomp.publish.workbook.positions import Positions
from perpcomp.publish.workbook.published import cell_of
from perpcomp.publish.workbook.rules import Rule, equities
from perpcomp.publish.workbook.spelled import LONGEST
from perpcomp.run import Run
from perpcomp.sheet_limits import shown_rows
from perpcomp.systems.units import units
from perpcomp.tables.decide import CAPACITY
from perpcomp.tables.schema import Table

COMPARE, TRADERS = "Compare", "Compare traders"
FILE = "comparison-wide.csv"
FIRST_RULE = 2  # column of Compare traders
LIVE, VALUES = "live formula", "amounts are values"

# Tables under the rules: (title, attribute of Run, its table). Their amounts are values.
BESIDE: tuple[tuple[str, str, Table], ...] = (("Capacity: whether the money is enough (as published)", "capacity", CAPACITY),)


@dataclass(frozen=True)
class Compared:
    """Both sheets, and where Claims finds what the rule that was chosen gives each trader."""

    rules: Sheet
    traders: Sheet
    trader: str
    proposal: str
    lost: str


def sheets(run: Run, positions: Positions, compared: Sequence[Rule]) -> Compared:
    """Both sheets."""
    traders = _traders(run, positions, compared)
    trader, lost, proposal = (span(TRADERS, at, len(traders.rows)) for at in (0, 1, FIRST_RULE + len(compared)))
    return Compared(_rules(run, positions, compared, len(traders.rows)), traders, trader, proposal, lost)


def _rules(run: Run, positions: Positions, compared: Sequence[Rule], traders: int) -> Sheet:
    """The rules side by side: totals, and how many accounts are above, at and below 0; then the other tables."""
    quote = units(run.incident).quote
    whole = traders == len(_everybody(compared))
    heads = (("formula", 24), (f"total ({quote})", 16), ("accounts above 0", 16), ("accounts at 0", 16), ("accounts below 0", 12))
    more = (
        (f"largest ({quote})", 16),
        ("accounts incomplete", 16),
        ("may be paid?", 14),
        ("in this workbook", 18),
        ("source", 22),
        ("", 16),
        ("", 16),
    )
    rows = []
    for k, rule in enumerate(compared):
        known = [int(one.known) for one in rule.owed.values() if one.amount is not None]
        column = span(TRADERS, FIRST_RULE + k, traders)
        cells = [Cell(rule.name, "bold")]
        facts: tuple[tuple[int | Fraction, str, str], ...] = (
            (sum(known), "money", f"SUM({column})"),
            (sum(amount > 0 for amount in known), "whole", f'COUNTIF({column},">0")'),
            (sum(amount == 0 for amount in known), "whole", f"COUNTIF({column},0)"),
            (sum(amount < 0 for amount in known), "whole", f'COUNTIF({column},"<0")'),
            (max(known, default=0), "money", f"MAX({column})"),
        )
        for value, form, formula in facts:
            cells.append(Cell(number(value) if form == "money" else int(value), form, formula if whole and known else ""))
        cells.append(Cell(sum(one.unknown > 0 for one in rule.owed.values()), "whole"))
        cells.append(Cell("only compared" if rule.paying.negative else "yes", "text"))
        cells.append(Cell(VALUES if rule.name in positions.values_only else LIVE, "text"))
        cells.append(Cell(rule.paying.source, "small"))
        rows.append(cells)
    for title, attribute, table in BESIDE:
        rows += _block(run, title, attribute, table)
    heading = "The formulas and rules side by side"
    return Sheet(COMPARE, heading, [Column(name, width) for name, width in (*heads, *more)], rows)


def _block(run: Run, title: str, attribute: str, table: Table) -> list[list[Cell]]:
    """A published table under its title, after an empty row."""
    frame = getattr(run, attribute)
    if frame.is_empty():
        return []
    unit = units(run.incident)
    heads = [Cell(f"{column.name.replace('_', ' ')} ({unit.of(column.unit)})".replace(" ()", ""), "header") for column in table.columns]
    rows = [[cell_of(column, row[column.name], f"{table.name}.csv") for column in table.columns] for row in frame.iter_rows(named=True)]
    return [[Cell()], [Cell(title, "bold")], heads, *rows]


def _traders(run: Run, positions: Positions, compared: Sequence[Rule]) -> Sheet:
    """One row a trader that the rules pay for, in the order of what the chosen formula gives."""
    quote, received = units(run.incident).quote, run.incident.received_by
    at_chosen = next(k for k, rule in enumerate(compared) if rule.name == run.formula.name)
    _, lost = equities(run)
    chosen = compared[at_chosen].owed
    ranked = sorted(_everybody(compared), key=lambda trader: (-chosen.get(trader, NOTHING).known, trader))
    shown = ranked[: shown_rows(len(ranked))]
    whole, proposal = len(shown) == len(ranked), FIRST_RULE + len(compared)
    last = HEADER_ROW + max(len(shown), 1)
    ranks = _ranks(chosen)
    by_trader: dict[str, list[Adjustment]] = {}
    for one in run.incident.adjustments:
        by_trader.setdefault(one.trader, []).append(one)
    ranked_live = whole and not any(one.unknown for one in chosen.values())
    rows = []
    for at, trader in enumerate(shown, FIRST_ROW):
        cells = [Cell(checksummed(trader), "address"), _owed(lost.get(trader), f"SUMIFS({positions.equity},{positions.trader},A{at})")]
        for rule in compared:
            live = rule.name not in positions.values_only
            formula = _live(positions.rules[rule.name], positions.trader, at, received.get(trader, 0)) if live else ""
            formula = _corrected(formula, by_trader.get(trader, [])) if live else ""
            cells.append(_owed(rule.owed.get(trader), formula))
        picked, own, worth = letter(proposal), chosen.get(trader), lost.get(trader)
        cells.append(_owed(own, f"INDEX({letter(FIRST_RULE)}{at}:{letter(proposal - 1)}{at},1,formula_number)"))
        if own is None or own.unknown:
            cells += [Cell("", "text"), Cell("", "text")]
        else:
            known = worth is not None and not worth.unknown
            ratio = float(own.known / Fraction(worth.known)) if known and worth is not None and worth.known > 0 else ""
            cells.append(Cell(ratio, "percent", f'IF(B{at}>0,{picked}{at}/B{at},"")' if known else ""))
            rank = f"RANK({picked}{at},{picked}${FIRST_ROW}:{picked}${last})"
            cells.append(Cell(ranks[trader], "whole", rank if ranked_live else ""))
        rows.append(cells)
    columns = [Column("trader", 44, Cell("Total", "bold")), Column(f"lost ({quote})", 15)]
    owed = [*((rule.name, rule.owed) for rule in compared), (f"the proposal: {FORMULA}", chosen)]
    for k, (name, amounts) in enumerate(owed, FIRST_RULE):
        total = Cell(number(sum(one.known for one in amounts.values())), "total", f"SUM({letter(k)}{FIRST_ROW}:{letter(k)}{last})")
        values = f", {VALUES}" if name in positions.values_only else ""
        columns.append(Column(f"{name} ({quote}{values})", 16, total if whole else None))
    columns += [Column("recovery: proposal / lost", 12), Column("rank", 7)]
    held = f"{len(ranked):,}" if whole else f"{len(shown):,} of {len(ranked):,}; all are in {FILE}"
    return Sheet(TRADERS, f"What each formula and rule gives each trader: {held}", columns, rows, (0,), True)


def _everybody(compared: Sequence[Rule]) -> set[str]:
    """Everybody to whom any formula or rule gives something, also 0."""
    return {trader for rule in compared for trader in rule.owed}


def _live(values: str, traders: str, at: int, received: int) -> str:
    """The formula of a trader's entitlement: its rows of a column added up, less what it received already (1e-18 of the quote asset)."""
    own = f"SUMIFS({values},{traders},A{at})"
    return own if not received else f"({own}-MIN(MAX({own},0),{literal(received)}))"


def _corrected(formula: str, rulings: Sequence[Adjustment]) -> str:
    """The formula of an entitlement after rulings, in their order; "" where no cell holds it."""
    for one in rulings:
        amount = "" if one.amount is None else literal(one.amount)
        steps = {
            ADD: f"({formula}+{amount})",
            DEDUCT: f"MAX({formula}-{amount},MIN({formula},0))",
            SCALE: f"({formula})*{one.factor}",
            SET: amount,
        }
        formula = steps[one.kind]
    return formula if len(formula) <= LONGEST else ""


def _owed(own: Entitlement | None, formula: str) -> Cell:
    if own is None:
        return Cell("", "text")
    return Cell("unknown", "text") if own.amount is None else Cell(number(own.known), "money", formula)


def _ranks(owed: Mapping[str, Entitlement]) -> dict[str, int]:
    """Trader -> rank: 1 is the largest; equal amounts have one rank."""
    amounts = sorted((one.known for one in owed.values() if not one.unknown), reverse=True)
    first: dict[int | Fraction, int] = {}
    for place, amount in enumerate(amounts, 1):
        first.setdefault(amount, place)
    return {trader: first[one.known] for trader, one in owed.items() if not one.unknown}
