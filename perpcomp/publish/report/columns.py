"""The columns of the table of accounts, and the formulas by which one follows from the others."""

import polars as pl
from msgspec import Struct

from perpcomp import arithmetic, formula
from perpcomp.rules.named import NamedRule, formulas_of
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.tables.liquidations import LIQUIDATIONS

UNITS = {column.name: column.unit for column in LIQUIDATIONS.columns}
ENTITLEMENT = "entitlement"


class Columns(Struct, frozen=True):
    """What stands in the table: the terms of the formulas, what each formula gives, the steps of the rule that pays, the tokens.

    `part` says that some positions are compensated in part, `values` that there are several tokens, of which each has its value beside it.
    `market` is the market of every position, "" where there are several. Where a formula pays, what it gives is the entitlement.
    """

    terms: tuple[str, ...]
    given: tuple[formula.Formula, ...]
    part: bool
    steps: tuple[str, ...]
    values: bool
    market: str

    @property
    def behind(self) -> int:
        """How many cells stand behind the position."""
        return len(self.terms) + (len(self.given) + len(self.steps) if self.steps else 0)


def columns(run: Run) -> Columns:
    """The columns of a run's table."""
    eligible = run.liquidations.filter("eligible")
    given = formulas_of(run.formula) if eligible.height else ()
    part = eligible.select((pl.col("compensated_size") != pl.col("size").abs()).any()).item() is True
    terms = [name for one in given for name in arithmetic.columns(formula.tree(one))] + (["compensated_size", "size"] if part else [])
    steps: list[str] = []
    if isinstance(run.formula, NamedRule):
        steps = ["base", *(f"after step {one.number}, {one.step.kind}" for one in run.due.outcomes[0].steps)]
    markets = eligible.get_column("market_name").unique()
    market = str(markets.item()) if len(markets) == 1 else ""
    return Columns(tuple(dict.fromkeys(terms)), given, part, tuple(steps), len(run.incident.settlement) > 1, market)


def header(run: Run, made: Columns) -> list[str]:
    """The names of the columns, with their units."""
    unit = units(run.incident)
    heads = ["account"]
    for leg in run.incident.settlement:
        heads += [f"paid ({leg.token})", *([f"value in {leg.token} ({unit.quote})"] if made.values else [])]
    heads += [f"{ENTITLEMENT} ({unit.quote})", f"position in {made.market}" if made.market else "position"]
    heads += [f"{name} ({unit.of(UNITS[name])})".replace(" ()", "") for name in made.terms]
    if made.steps:
        heads += [f"{name} ({unit.quote})" for name in (*(one.name for one in made.given), *made.steps)]
    return heads


def statements(run: Run, made: Columns) -> list[str]:
    """The formulas of the columns, which read as arithmetic: trunc(x) cuts towards zero at the 18th place."""
    said = []
    worth = "" if run.incident.quote_price == 1 else f"{run.incident.quote_price} * "
    for leg in run.incident.settlement:
        value = f"value in {leg.token}" if made.values else ENTITLEMENT
        said.append(f"paid in {leg.token} = floor({value} * {worth}10**{leg.decimals} / {leg.price}) / 10**{leg.decimals}")
    for one in made.given:
        text = arithmetic.text(formula.tree(one))
        text = f"trunc({text} * compensated_size / abs(size))" if made.part else text
        said.append(f"{one.name if made.steps else ENTITLEMENT} = {text}")
    return said
