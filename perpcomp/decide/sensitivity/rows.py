"""What a formula gives each liquidation as a function of one market's reference price: the formula's tree, walked with functions.

A formula cuts its result to whole 1e-18 for each liquidation. The function leaves that cut out, so that it is made of straight lines: a
total may differ from the payouts' by less than 1e-18 for each product or quotient of each liquidation.
"""

import operator
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import polars as pl

from perpcomp import fixed, formula
from perpcomp.arithmetic import ORDER, STEPS, Node, columns, term
from perpcomp.decide.sensitivity.pieces import Pieces, Truth, added, at_least, at_most, chosen, compared, line, times, where
from perpcomp.entitlement import given
from perpcomp.formula import Formula
from perpcomp.incident.incident import Incident
from perpcomp.systems.system import find

Value = int | Fraction | str | bool | None | Pieces | Truth
Row = Mapping[str, Value]

PRICED = ("reference_price", "notional_at_reference", "unrealized_pnl_at_reference", "restore_notional")


class NoClosedForm(ValueError):
    """Why an amount is no function of straight pieces; the message ends a sentence that begins with "because"."""


def functions(chosen_formula: Formula, eligible: pl.DataFrame, incident: Incident, market: str) -> list[Pieces | None]:
    """For each eligible liquidation what the formula gives at a price of `market` (by name); None where it is unknown.

    In other markets it is what it is. NoClosedForm where the formula multiplies or divides two amounts that follow the price.
    """
    tree = formula.tree(chosen_formula)
    now = given(chosen_formula, eligible).to_list()
    found = [None if value is None else line(value, 0) for value in now]
    if not priced(chosen_formula):
        return found
    names = [*dict.fromkeys([*columns(tree), "side", "size", "compensated_size", *_POSITION])]
    own = eligible.select("market_name", *names).with_row_index("place").filter(market_name=market)
    for row in own.iter_rows(named=True):
        if now[row["place"]] is not None:
            found[row["place"]] = _in_part(_pieces(evaluate(tree, _terms(row, incident))), row)
    return found


def priced(chosen_formula: Formula) -> bool:
    """Whether what the formula gives follows a reference price."""
    return bool({*columns(formula.tree(chosen_formula))} & {*PRICED})


_POSITION = ("size_at_reference", "open_notional_at_reference", "entry_price", "restore_notional")


def _terms(row: Mapping[str, Any], incident: Incident) -> dict[str, Value]:
    """The terms of one liquidation, those that follow the price as functions of it."""
    terms: dict[str, Value] = {name: term(cell) for name, cell in row.items()}
    size, opened, entry = (terms[name] for name in _POSITION[:3])
    if not isinstance(size, int):
        return terms
    notional = line(0, abs(size))
    terms["reference_price"] = line(0, fixed.ONE)
    terms["notional_at_reference"] = notional
    if find(incident.system).stores_entry_price:
        profit = None if not isinstance(entry, int) else line(-Fraction(size * entry, fixed.ONE), size)
    elif not isinstance(opened, int):
        profit = None
    else:
        profit = line(-opened, abs(size)) if terms["side"] == "long" else line(opened, -abs(size))
    terms["unrealized_pnl_at_reference"] = profit
    if incident.restore is None:
        terms["restore_notional"] = notional
    return terms


def _in_part(value: Pieces, row: Mapping[str, Any]) -> Pieces:
    """The part of the position that is compensated."""
    if row["compensated_size"] == abs(row["size"]):
        return value
    return times(value, Fraction(row["compensated_size"]) / Fraction(abs(row["size"])))


def _pieces(value: Value) -> Pieces:
    if isinstance(value, Pieces):
        return value
    assert isinstance(value, int | Fraction), value
    return line(value, 0)


def evaluate(node: Node, terms: Row) -> Any:
    """The node's value for one row: a number, a function of the price, a truth that may depend on it, a text, or None for an unknown."""
    if node.op == "column":
        return terms[str(node.leaf)]
    if node.op == "literal":
        return node.leaf
    values = [evaluate(child, terms) for child in node.inputs]
    if not any(isinstance(value, Pieces | Truth) for value in values):
        return _constant(node.op, values)
    return _moving(node.op, values)


def _constant(op: str, values: Sequence[Any]) -> Any:
    """As arithmetic.py computes it for one row."""
    match op:
        case "if":
            return values[1] if values[0] is True else values[2]
        case "is_null":
            return values[0] is None
        case "max" | "min":
            known = [value for value in values if value is not None]
            return (max if op == "max" else min)(known, default=None)
        case "at_least" | "at_most" if values[0] is None:
            return values[1]
        case "And" | "Or" if (op == "Or") in values:
            return op == "Or"
    return None if None in values else STEPS[op](*values)


def _moving(op: str, values: Sequence[Value]) -> Value:
    """The operation where at least one side follows the price."""
    match op:
        case "is_null":
            return False
        case "if":
            condition, yes, no = values
            if not isinstance(condition, Truth):
                return yes if condition is True else no
            if yes is None or no is None:
                raise NoClosedForm("what it gives is unknown at some prices")
            return where(condition, _pieces(yes), _pieces(no))
        case "not":
            (one,) = values
            assert isinstance(one, Truth)
            return Truth(one.cuts, tuple(not part for part in one.parts), tuple(not value for value in one.at))
        case "And" | "Or":
            return _joined(op, values)
        case "max" | "min":
            known = [_pieces(value) for value in values if value is not None]
            result = known[0]
            for other in known[1:]:
                result = chosen(result, other, operator.ge if op == "max" else operator.le)
            return result
        case "at_least" | "at_most" if values[0] is None:
            return values[1]
    if None in values:
        return None
    if op in ORDER:
        return compared(_pieces(values[0]), _pieces(values[1]), ORDER[op])
    return _arithmetic(op, values)


def _joined(op: str, values: Sequence[Value]) -> Value:
    sides = [value for value in values if value is not (op == "And")]  # a side that decides nothing
    if (op == "Or") in [side for side in sides if isinstance(side, bool)]:
        return op == "Or"
    if None in sides:
        return None
    if len(sides) == 1:
        return sides[0]
    one, other = sides
    assert isinstance(one, Truth)
    assert isinstance(other, Truth)
    return one.joined(other, operator.or_ if op == "Or" else operator.and_)


def _arithmetic(op: str, values: Sequence[Value]) -> Value:
    first, *rest = values
    second = rest[0] if rest else None
    match op:
        case "Plus":
            return added([_pieces(first), _pieces(second)])
        case "Minus":
            return added([_pieces(first), times(_pieces(second), -1)])
        case "negative":
            return times(_pieces(first), -1)
        case "abs":
            one = _pieces(first)
            return chosen(one, times(one, -1), operator.ge)
        case "at_least" | "at_most":
            if isinstance(first, Pieces):
                return chosen(first, _pieces(second), operator.ge if op == "at_least" else operator.le)
            assert isinstance(first, int | Fraction)
            return (at_least if op == "at_least" else at_most)(_pieces(second), first)
        case "product":
            if isinstance(first, Pieces) and isinstance(second, Pieces):
                raise NoClosedForm("it multiplies two amounts that follow the price")
            moving, factor = (first, second) if isinstance(first, Pieces) else (second, first)
            assert isinstance(factor, int | Fraction)
            return times(_pieces(moving), Fraction(factor, fixed.ONE))
        case "quotient":
            if isinstance(second, Pieces):
                raise NoClosedForm("it divides by an amount that follows the price")
            assert isinstance(second, int | Fraction)
            return times(_pieces(first), Fraction(fixed.ONE) / second) if second else None
    raise NoClosedForm(f"it uses {op} of an amount that follows the price")
