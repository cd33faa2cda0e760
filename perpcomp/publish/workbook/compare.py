"""The sheet Compare: the formulas and rules side by side, then how fair each is, then what part of the money at hand each needs."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from perpcomp import fixed
from perpcomp.decide.fairness import TOP
from perpcomp.incident.funds import FUND
from perpcomp.publish.sentence import short
from perpcomp.publish.workbook.formulas import VALUES, Formulas
from perpcomp.publish.workbook.inputs import in_paid, share
from perpcomp.publish.workbook.plan import (
    EMPTY,
    FIRST_ROW,
    Cell,
    Column,
    Sheet,
    above_zero,
    apart,
    at_zero,
    below_zero,
    literal,
    number,
    span,
)
from perpcomp.publish.workbook.rules import Rule
from perpcomp.publish.workbook.traders import FIRST_RULE, TRADERS, known_traders
from perpcomp.run import Run
from perpcomp.systems.units import units

COMPARE = "Compare"
LIVE = "live formula"
HEADS = ("formula or rule", "total ({})", "less or more than the chosen one ({})", "accounts above 0", "accounts at 0", "accounts below 0")
MORE = ("largest ({})", "accounts incomplete", "may be paid?", "in this workbook", "source")
WIDTHS = (24, 16, 16, 14, 14, 14, 14, 14, 14, 18, 30)

# What a voter sees of the table fairness: its column -> header and format.
FAIR = {
    "recovery_min": ("smallest recovery: amount / lost", "percent"),
    "recovery_median": ("median recovery", "percent"),
    "recovery_max": ("largest recovery", "percent"),
    "paid_above_loss": ("accounts paid more than they lost", "whole"),
    "gini": ("Gini: 0 equal, 1 all to one (/1)", "ratio"),
    **{f"top_{k}": (f"share of the largest {k}" if k > 1 else "share of the largest", "percent") for k in TOP},
    "envy_pairs": ("pairs that lost the same, paid differently", "whole"),
    "monotonicity_violations": ("pairs where who lost more gets less", "whole"),
    "why_not": ("why empty", "small"),
}


def sheet(run: Run, formulas: Formulas, compared: Sequence[Rule], traders: Sheet) -> Sheet:
    """The three tables, one row a formula or rule in each. `traders` is the sheet Compare traders."""
    quote = units(run.incident).quote
    rows = [*_totals(run, formulas, compared, traders), *_fairness(run, compared), *_capacity(run, compared)]
    heads = [head.format(quote) for head in (*HEADS, *MORE)]
    width = max(map(len, rows), default=0)
    columns = [Column(name, wide) for name, wide in zip(heads, WIDTHS, strict=True)]
    columns += [Column("", 16)] * (width - len(columns))
    return Sheet(COMPARE, "The formulas and rules side by side", columns, rows)


def _totals(run: Run, formulas: Formulas, compared: Sequence[Rule], traders: Sheet) -> Iterator[list[Cell]]:
    """What each gives in all, and how many accounts are above, at and below 0."""
    whole, chosen = traders.height == len(known_traders(compared)), next(rule for rule in compared if rule.name == run.formula.name)
    totals, of_chosen = span(COMPARE, 1, len(compared)), sum(chosen.given.known)
    for k, rule in enumerate(compared):
        known, at = rule.given.known, FIRST_ROW + k
        amounts = rule.given.numbers
        column = span(TRADERS, FIRST_RULE + k, traders.height)
        live = whole and bool(known)
        facts: tuple[tuple[float | None, str, str], ...] = (
            (number(sum(known)), "money", f"SUM({column})"),
            (number(sum(known) - of_chosen), "money", apart(f"B{at}", f"INDEX({totals},formula_number)")),
            (int((amounts > 0).sum()), "whole", above_zero(column, 18)),
            (int((amounts == 0).sum()), "whole", at_zero(column, 18)),
            (int((amounts < 0).sum()), "whole", below_zero(column, 18)),
            (number(max(known, default=0)), "money", f"MAX({column})"),
        )
        cells = [Cell(value, form, formula if live else "") for value, form, formula in facts]
        unknown = [*rule.given.complete].count(False)
        payable = "only compared" if rule.paying.negative else "yes"
        where = VALUES if rule.name in formulas.values_only else LIVE
        texts = (Cell(payable, "text"), Cell(where, "text"), Cell(rule.paying.source, "small"))
        yield [Cell(rule.name, "bold"), *cells, Cell(unknown, "whole"), *texts]


def _fairness(run: Run, compared: Sequence[Rule]) -> Iterator[list[Cell]]:
    """The measures of fairness. No formula of a spreadsheet follows them."""
    of_name = {row["option"]: row for row in run.fairness.iter_rows(named=True)}
    rules = [rule for rule in compared if rule.name in of_name]
    if not rules:
        return
    yield from _title(f"How fair each is, over all accounts ({VALUES}, as published)")
    yield [Cell("formula or rule", "header"), *(Cell(head, "header") for head, _ in FAIR.values())]
    for rule in rules:
        yield [Cell(rule.name, "bold"), *(_measure(of_name[rule.name][name], form) for name, (_, form) in FAIR.items())]


def _measure(value: str | int | None, form: str) -> Cell:
    """A cell of the table fairness, whose ratios are fractions as text."""
    if value is None or form == "small":
        return Cell(value or "", "small")
    return Cell(value if isinstance(value, int) else float(Fraction(value)), form)


def _capacity(run: Run, compared: Sequence[Rule]) -> Iterator[list[Cell]]:
    """Which part of each source of funds each formula or rule needs: above 100 %, the money does not suffice."""
    sources = run.capacity.unique("source_of_funds", maintain_order=True).rows(named=True)
    if not sources:
        return
    yield from _title("Which part of the money each needs: above 100 % it does not suffice")
    heads = (f"part of {one['source_of_funds']} ({short(fixed.to_integer(one['available']))} {one['token']})" for one in sources)
    yield [Cell("formula or rule", "header"), *(Cell(head, "header") for head in heads)]
    of_both = {(row["formula"], row["source_of_funds"]): row for row in run.capacity.iter_rows(named=True)}
    for at, rule in enumerate(compared, FIRST_ROW):
        rows = [of_both.get((rule.name, one["source_of_funds"])) for one in sources]
        if any(rows):
            yield [Cell(rule.name, "bold"), *(_part(run, row, at) for row in rows)]


def _part(run: Run, row: dict[str, Any] | None, at: int) -> Cell:
    """The part of one source that the rule in row `at` needs, as far as its amounts are known."""
    if row is None:
        return Cell("", "text")
    legs, source, token = run.incident.settlement, row["source_of_funds"], row["token"]
    available, value, needed = (fixed.to_integer(row[name]) for name in ("available", "available_value", "to_cover"))
    if value <= 0:
        return Cell("there is nothing in it", "wrapped")
    leg = next((k for k, leg in enumerate(legs) if leg.token == token), None)
    if source == FUND:  # it holds the quote asset, and would cover all
        formula = f"B{at}/{literal(available)}"
    elif leg is None:  # a budget in the asset of the prices
        formula = f"B{at}{in_paid(run)}/{literal(available)}"
    else:
        formula = f"B{at}*{share(leg, run)}{in_paid(run)}/({literal(available)}*token_price_{leg + 1})"
    return Cell(needed / value, "percent", "" if run.due.legs else formula)


def _title(text: str) -> Iterator[list[Cell]]:
    yield [EMPTY]
    yield [Cell(text, "block")]
