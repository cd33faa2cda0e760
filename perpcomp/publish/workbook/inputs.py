"""The sheet Inputs: each policy that a voter may try is one cell with a name, beside its original value and its source."""

from collections.abc import Sequence
from typing import NamedTuple

from perpcomp.publish.summary import cite
from perpcomp.publish.workbook.plan import FIRST_ROW, Cell, Column, Sheet, span
from perpcomp.publish.workbook.rules import Rule
from perpcomp.run import Run
from perpcomp.systems.units import units

INPUTS = "Inputs"
VALUE, ORIGINAL = 2, 4  # columns
FORMULA = "formula_name"
QUOTE_PRICE, UPFRONT = "quote_price", "upfront_share"
ABOVE_ZERO = {
    "validate": "decimal",
    "criteria": ">",
    "value": 0,
    "input_message": "A number above 0. Everything is computed again with it.",
}
SHARE: dict[str, object] = {
    "validate": "decimal",
    "criteria": "between",
    "minimum": 0,
    "maximum": 1,
    "input_message": "A share from 0 to 1.",
}


class Input(NamedTuple):
    """A policy: the name of its cell, what it is, its value by the incident file, and what the cell accepts."""

    name: str
    what: str
    value: str | float
    unit: str
    allowed: str
    source: str
    choice: dict[str, object]


def price_names(run: Run) -> dict[str, str]:
    """Market -> the name of its reference price's cell; empty where [valuation] takes another price, which is no single number."""
    if run.incident.valuation.price != "reference":
        return {}
    priced = [market for market in run.incident.affected if market.reference_price is not None]
    return {market.amm: f"reference_price_{k}" for k, market in enumerate(priced, 1)}


def share(leg: int, run: Run) -> str:
    """A leg's share of the value, as a formula: the last leg takes the rest."""
    last = len(run.incident.settlement) - 1
    if leg < last:
        return f"share_{leg + 1}"
    return "-".join(["(1", *(f"share_{k + 1}" for k in range(last))]) + ")" if last else "1"


def in_paid(run: Run) -> str:
    """What an amount of the quote asset is multiplied by to be one of the asset of the settlement's prices, as a formula."""
    return f"*{QUOTE_PRICE}" if run.incident.quote is not None and run.incident.quote.price is not None else ""


def inputs(run: Run, compared: Sequence[Rule]) -> list[Input]:
    """Every policy of a run that a cell can hold."""
    incident, unit = run.incident, units(run.incident)
    payable = sum(not rule.paying.negative for rule in compared)
    formulas: dict[str, object] = {
        "validate": "list",
        "source": "=" + span("Compare", 0, payable),
        "input_message": "Which formula or rule pays.",
    }
    source = f"{run.formula.source}; {cite(incident, incident.formula_source)}"
    found = [Input(FORMULA, "The formula or rule that pays", run.formula.name, "", "a name of the list", source, formulas)]
    names, above = price_names(run), f"a number above 0, in {unit.quote}"
    for market in incident.affected:
        if market.amm in names and market.reference_price is not None:
            what = f"Reference price of {market.name}"
            price = float(market.reference_price)
            found.append(Input(names[market.amm], what, price, f"{unit.quote} per base", above, cite(incident, market.source), ABOVE_ZERO))
    if incident.quote is not None and incident.quote.price is not None:
        what, of = f"Price of {unit.quote}", cite(incident, incident.quote.source)
        found.append(Input(QUOTE_PRICE, what, float(incident.quote.price), unit.paid, "a number above 0", of, ABOVE_ZERO))
    for k, leg in enumerate(incident.settlement, 1):
        of = cite(incident, leg.source)
        if k < len(incident.settlement) and leg.rule is None:
            found.append(Input(f"share_{k}", f"Share that is paid in {leg.token}", float(leg.share), "/1", "0 to 1", of, SHARE))
        price, policy = float(leg.price), f"{leg.price_policy}; {of}"
        found.append(
            Input(
                f"token_price_{k}", f"Price of {leg.token}", price, f"{unit.paid} per {leg.token}", "a number above 0", policy, ABOVE_ZERO
            )
        )
    if not incident.vesting.all_at_once:
        of = cite(incident, incident.vesting.source)
        found.append(Input(UPFRONT, "Share that unlocks at the start", float(incident.vesting.upfront), "/1", "0 to 1", of, SHARE))
    return found


def sheet(found: Sequence[Input]) -> Sheet:
    """The sheet of the policies."""
    columns = [
        Column(header, width)
        for header, width in (
            ("name", 20),
            ("what it is", 30),
            ("value: try another", 20),
            ("unit", 16),
            ("original value", 20),
            ("changed?", 12),
            ("allowed", 24),
            ("source", 70),
        )
    ]
    rows = []
    for at, one in enumerate(found, FIRST_ROW):
        form = "input_text" if isinstance(one.value, str) else "input"
        value = one.value
        original = Cell(value, "wrapped" if isinstance(value, str) else "plain")
        changed = Cell("no", "wrapped", f'IF(C{at}=E{at},"no","CHANGED")')
        texts = (Cell(one.name, "bold"), Cell(one.what, "wrapped"), Cell(value, form), Cell(one.unit, "wrapped"))
        rows.append((*texts, original, changed, Cell(one.allowed, "wrapped"), Cell(one.source, "small")))
    choices = {FIRST_ROW + k: one.choice for k, one in enumerate(found)}
    heading = "Inputs: the policies of the incident file. A yellow cell may be changed, and every live number follows"
    return Sheet(INPUTS, heading, columns, rows, choices=choices)


def names(found: Sequence[Input]) -> dict[str, str]:
    """Name -> the cell it stands for."""
    return {one.name: f"={INPUTS}!$C${row}" for row, one in enumerate(found, FIRST_ROW)}
