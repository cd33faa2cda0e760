"""A formula's tree as the text of a spreadsheet's formula, in the functions that every spreadsheet program has."""

from collections.abc import Callable

from perpcomp.arithmetic import Node
from perpcomp.publish.workbook.plan import literal

LONGEST = 8_000  # characters; a spreadsheet refuses a formula of more than 8,192
INFIX = {
    "Plus": "+",
    "Minus": "-",
    "Gt": ">",
    "GtEq": ">=",
    "Lt": "<",
    "LtEq": "<=",
    "Eq": "=",
    "NotEq": "<>",
    "product": "*",
    "quotient": "/",
}
FUNCTIONS = {
    "And": "AND",
    "Or": "OR",
    "max": "MAX",
    "min": "MIN",
    "at_least": "MAX",
    "at_most": "MIN",
    "abs": "ABS",
    "not": "NOT",
    "if": "IF",
}


def spelled(node: Node, place: Callable[[str], str]) -> str | None:
    """The formula's text, or None where a spreadsheet cannot hold it. `place` names the cell of a term.

    It is for rows whose terms are all known. It does not cut at the 18th place, as a cell holds 15 digits.
    """
    text = _spelled(node, place)
    return text if len(text) <= LONGEST else None


def _spelled(node: Node, place: Callable[[str], str]) -> str:
    match node.op:
        case "column":
            return place(str(node.leaf))
        case "literal":
            return _literal(node.leaf)
        case "is_null":
            return "FALSE()"
    parts = [_spelled(child, place) for child in node.inputs]
    if node.op == "negative":
        return f"(-{parts[0]})"
    if node.op in INFIX:
        return f"({INFIX[node.op].join(parts)})"
    return f"{FUNCTIONS[node.op]}({','.join(parts)})"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE()" if value else "FALSE()"
    if isinstance(value, int):
        return literal(value) if value >= 0 else f"({literal(value)})"
    if value is None:
        return '""'
    return '"' + str(value).replace('"', '""') + '"'
