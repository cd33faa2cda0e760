"""A formula's expression as a tree: refuses inexact operations, evaluates with Python integers, prints the arithmetic.

Polars computes the payouts. This module is a second, independent engine that must give the same result, and `explain` prints its
arithmetic. It knows the few operations that exact rules need. It refuses every other one by name before anything is computed: a
float (also one hidden by a cast), a Python function, an aggregate over other rows, a product that rounds half to even.
"""

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.number_text import exact

Value = int | str | bool | None  # an amount is an integer of 1e-18

INFIX = {"Plus": "+", "Minus": "-", "Gt": ">", "GtEq": ">=", "Lt": "<", "LtEq": "<=", "Eq": "==", "NotEq": "!=", "And": "and", "Or": "or"}


NAME_OR_TEXT = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*""")


class InexactError(ValueError):
    """The expression holds something that is not exact row-by-row arithmetic. The message says what, and what to write instead."""


class Node(Struct, frozen=True):
    """One operation, or a leaf. `op` is column, literal, one of INFIX, product, quotient, at_least and at_most (a clip: bound, value), max and min
    (which pass over nulls), negative, abs, not, is_null or if.
    """

    op: str
    inputs: tuple["Node", ...] = ()
    leaf: Value = None


def tree(expr: pl.Expr) -> Node:
    """The expression as a tree of known operations; InexactError where it has another."""
    try:
        serialized = expr.meta.serialize(format="json")
    except (pl.exceptions.PolarsError, ValueError) as error:
        what = "it calls a Python function or another operation without an exact form: use terms and operators"
        raise InexactError(what) from error
    return _node(json.loads(serialized))


def columns(node: Node) -> list[str]:
    """The terms it reads, in the order of reading."""
    own = [str(node.leaf)] if node.op == "column" else []
    return list(dict.fromkeys(own + [name for child in node.inputs for name in columns(child)]))


def _node(raw: Any) -> Node:
    raw = {raw: {}} if isinstance(raw, str) else raw  # pl.len() is the bare word "Len"
    (kind, body), *more = raw.items()
    assert not more, raw
    match kind:
        case "Column":
            return Node("column", leaf=body)
        case "Literal":
            return Node("literal", leaf=_literal(body))
        case "Alias":
            inner, name = body
            return _rounded_operation(inner, name) if name in (fixed.PRODUCT, fixed.QUOTIENT) else _node(inner)
        case "BinaryExpr":
            return _binary(body)
        case "Ternary":
            return Node("if", tuple(_node(body[part]) for part in ("predicate", "truthy", "falsy")))
        case "Cast":
            raise InexactError("it casts: a cast hides a float from the type check, and terms need none")
        case "Function":
            return _function(body["function"], [_node(i) for i in body["input"]])
        case "AnonymousFunction":
            raise InexactError("it calls a Python function: write it with terms and operators")
        case "Agg" | "Over" | "Window" | "Sort" | "Filter" | "Gather" | "Slice" | "Len":
            raise InexactError(f"it looks at other rows ({kind.lower()}): a formula says how much for one liquidation")
    raise InexactError(f"it uses {kind}, which is not among the exact operations")


def _literal(body: Any) -> Value:
    (kind, value), *_ = body.items()
    if (kind == "Dyn" and "Float" in value) or (kind == "Scalar" and any("Float" in key for key in value if isinstance(value, dict))):
        raise InexactError("a float literal slipped in: write pl.lit(Decimal('0.5')), or fixed.amount('0.5')")
    if isinstance(value, dict):
        (kind, value), *_ = value.items()
    if kind == "Int" or (isinstance(value, int) and not isinstance(value, bool)):
        return int(value) * fixed.ONE
    if kind == "Decimal":
        digits, _, scale = value
        if scale > 18:
            raise InexactError("a literal has more than 18 decimals")
        unit: int = 10 ** (18 - int(scale))
        return int(digits) * unit
    if kind in ("Str", "String", "StringOwned", "Boolean") and isinstance(value, str | bool):
        return value
    if kind == "Null":
        return None
    raise InexactError(f"it holds a literal of type {kind}")


def _binary(body: Any) -> Node:
    op, sides = body["op"], (_node(body["left"]), _node(body["right"]))
    if op in INFIX:
        return Node(op, sides)
    if op == "Multiply":
        raise InexactError("it multiplies with *, which rounds half to even: write fixed.mul(a, b), which truncates as the contracts do")
    if op in ("TrueDivide", "FloorDivide", "Divide"):
        raise InexactError("it divides with / or //, which rounds: write fixed.div(a, b), which truncates as the contracts do")
    raise InexactError(f"it uses {op}, which is not among the exact operations")


def _function(function: Any, inputs: list[Node]) -> Node:
    name = function if isinstance(function, str) else next(iter(function))
    if isinstance(function, dict) and name == "Clip":
        limits = function["Clip"]
        if limits["has_min"] and limits["has_max"]:
            raise InexactError(
                "it clips at both ends at once, whose meaning is unclear when they cross: write .clip(low).clip(upper_bound=high)"
            )
        low = inputs[1] if limits["has_min"] else None
        high = inputs[-1] if limits["has_max"] else None
        node = Node("at_least", (low, inputs[0])) if low else inputs[0]
        return Node("at_most", (high, node)) if high else node
    simple = {"MaxHorizontal": "max", "MinHorizontal": "min", "Negate": "negative", "Abs": "abs"}
    if name in simple:
        return Node(simple[name], tuple(inputs))
    if name == "Boolean":
        inner = function["Boolean"]
        name = inner if isinstance(inner, str) else next(iter(inner))
        if name in ("Not", "IsNull"):
            return Node({"Not": "not", "IsNull": "is_null"}[name], tuple(inputs))
    if name == "Reinterpret":
        raise InexactError("it reinterprets bits: use fixed.mul and fixed.div")
    raise InexactError(
        f"it calls {name}, which is not among the exact operations (+ - fixed.mul fixed.div clip abs max_horizontal min_horizontal when)"
    )


def _rounded_operation(inner: Any, mark: str) -> Node:
    """fixed.mul or fixed.div, recognised by its mark: its two sides stand in the first product or quotient inside."""
    op = "Multiply" if mark == fixed.PRODUCT else "TrueDivide"
    found = _first(inner, op)
    right = found["right"] if found else {}
    if op == "TrueDivide":  # the divisor is inside the test against 0
        right = right.get("Ternary", {}).get("truthy")
    if not found or not right:
        raise InexactError(f"something carries the name '{mark}', which belongs to perpcomp.fixed")
    left = _node(found["left"])
    return Node("product" if op == "Multiply" else "quotient", (left, _node(right)))


def _first(raw: Any, op: str) -> Any:
    """Depth first, left first: fixed puts the rounded operation before its residual."""
    if isinstance(raw, dict):
        if "BinaryExpr" in raw and raw["BinaryExpr"]["op"] == op:
            return raw["BinaryExpr"]
        children: Any = raw.values()
    else:
        children = raw if isinstance(raw, list) else ()
    return next((found for child in children if (found := _first(child, op)) is not None), None)


# How two values stand to each other.
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "Gt": operator.gt,
    "GtEq": operator.ge,
    "Lt": operator.lt,
    "LtEq": operator.le,
    "Eq": operator.eq,
    "NotEq": operator.ne,
}

# What an operation makes of one row's values, none of them null.
STEPS: dict[str, Callable[..., Value]] = {
    "Plus": operator.add,
    "Minus": operator.sub,
    **ORDER,
    "And": operator.and_,
    "Or": operator.or_,
    "product": fixed.mul_integers,
    "quotient": lambda a, b: fixed.div_integers(a, b) if b else None,
    "at_least": max,
    "at_most": min,
    "negative": operator.neg,
    "abs": abs,
    "not": operator.not_,
}


def evaluate(node: Node, row: Mapping[str, Any]) -> Value:
    """The value for one row of terms, by Python integers. An amount is an integer of 1e-18; null in, null out."""
    return evaluate_all(node, {name: [term(row[name])] for name in columns(node)}, 1)[0]


def evaluate_all(node: Node, terms: Mapping[str, Sequence[Value]], rows: int) -> list[Value]:
    """evaluate() for every row, given each term's values as `term` counts them: one walk of the tree, operation by operation."""
    match node.op:
        case "column":
            return [*terms[str(node.leaf)]]
        case "literal":
            return [node.leaf] * rows
    operands_of = [evaluate_all(child, terms, rows) for child in node.inputs]
    values = zip(*operands_of, strict=True)
    match node.op:
        case "if":
            return [yes if condition is True else no for condition, yes, no in values]
        case "is_null":
            return [value is None for (value,) in values]
        case "max" | "min":  # as Polars: a null among several is passed over
            largest = max if node.op == "max" else min
            return [largest((v for v in several if v is not None), default=None) for several in values]
    step = STEPS[node.op]
    if not any(None in operand for operand in operands_of):  # almost always: a third of the time of the lines below
        if node.op == "product":  # mul_integers without its two calls a row
            products = [a * b for a, b in zip(*operands_of, strict=True)]
            return [n // fixed.ONE if n >= 0 else -(-n // fixed.ONE) for n in products]
        return [*map(step, *operands_of)]
    match node.op:
        case "at_least" | "at_most":  # as Polars: no bound where that is null
            return [value if bound is None or value is None else step(bound, value) for bound, value in values]
        case "And" | "Or":  # as Polars: one side can decide whatever the other is
            decisive = node.op == "Or"
            return [decisive if decisive in both else None if None in both else step(*both) for both in values]
    return [None if None in operands else step(*operands) for operands in values]


def term(value: Any) -> Value:
    """A cell of a frame as this module counts: an amount as an integer of 1e-18, a whole number as that many units."""
    if isinstance(value, Decimal):
        return fixed.to_integer(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value * fixed.ONE
    return value if isinstance(value, str | bool) else None


def terms(column: pl.Series) -> list[Value]:
    """`term` of every cell of a column of texts, flags or amounts."""
    return column.to_list() if column.dtype in (pl.String, pl.Boolean) else [*fixed.to_integers(column)]


def text(node: Node) -> str:
    """The rule in words of arithmetic. It reads as Python: trunc, max, min, abs, `x if c else y`.

    trunc(x) cuts x towards zero at the 18th place.
    """
    match node.op:
        case "column":
            return str(node.leaf)
        case "literal":
            return number(node.leaf)
        case "if":
            condition, yes, no = (text(child) for child in node.inputs)
            return f"({yes} if {condition} else {no})"
    parts = [text(child) for child in node.inputs]
    match node.op:
        case "product":
            return f"trunc({parts[0]} * {parts[1]})"
        case "quotient":
            return f"trunc({parts[0]} / {parts[1]})"
        case "negative":
            return f"(-{parts[0]})"
        case "not":
            return f"(not {parts[0]})"
        case "max" | "min" | "abs" | "is_null" | "at_least" | "at_most":
            word = {"at_least": "max", "at_most": "min"}.get(node.op, node.op)
            return f"{word}({', '.join(parts)})"
    return f"({f' {INFIX[node.op]} '.join(parts)})"


def plain(value: Value) -> str:
    """A value as text that reads as Python: an amount with its decimals, trailing zeros cut; a text in quotes."""
    return repr(value) if value is None or isinstance(value, str | bool) else exact(value)


def number(value: Value) -> str:
    """A value as it is printed in arithmetic: `plain`, a negative amount in brackets."""
    return _bracketed(plain(value))


def filled(expression: str, values: Mapping[str, str]) -> str:
    """An expression with the text of its value in place of each name, a negative number in brackets. Quoted texts stay."""
    return NAME_OR_TEXT.sub(lambda word: _bracketed(values.get(word[0], word[0])), expression)


def _bracketed(text: str) -> str:
    return f"({text})" if text.startswith("-") else text
