"""The kinds of values that only rules have: names without quotes in a sentence, numbers above 1 as fractions, pots."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

from perpcomp.incident.description import Kind
from perpcomp.incident.kinds import amount, amount_or_zero, text
from perpcomp.incident.toml import shown


def ratio(value: Any) -> Fraction:
    """A number of 0 or more: a decimal, or a fraction in quotes. It may exceed 1."""
    match = re.fullmatch(r"([0-9]{1,30})/(0*[1-9][0-9]{0,29})", value, re.ASCII) if isinstance(value, str) else None
    if match:
        return Fraction(int(match[1]), int(match[2]))
    if isinstance(value, str):
        raise ValueError(f"is {shown(value)}.", 'Write a number as 1.1 or as "11/10".')
    return Fraction(amount_or_zero(value))


def ratios(value: Any) -> tuple[Fraction, ...]:
    """A list of such numbers."""
    if not isinstance(value, list):
        raise ValueError(f"is {shown(value)}, not a list.", "Write numbers in brackets, as [1, 3].")
    return tuple(map(ratio, value))


def name(value: Any) -> str:
    """A name that a sentence can hold without quotes."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", value, re.ASCII):
        raise ValueError(f"is {shown(value)}, not a name.", "Write letters, digits and . _ - in quotes, at most 80.")
    return value


def names(value: Any) -> tuple[str, ...]:
    """One name, or a list of at least two different ones."""
    if not isinstance(value, list):
        return (name(value),)
    listed = tuple(map(name, value))
    if len(set(listed)) < max(2, len(listed)):
        raise ValueError(f"is {shown(value)}.", "List at least two different names, or write one name without brackets.")
    return listed


def pot(value: Any) -> Decimal | str:
    """An amount, or the name of a budget."""
    if not isinstance(value, str):
        return amount(value)
    if '"' in text(value):
        raise ValueError(f"is {shown(value)}.", "Name a [[budget]] whose name has no quotes: a rule is printed as a sentence.")
    return value


_NAME = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"}
_RATIO = {
    "anyOf": [
        {"type": "number", "minimum": 0, "exclusiveMaximum": 10**20},
        {"type": "string", "pattern": "^[0-9]{1,30}/0*[1-9][0-9]{0,29}$"},
    ]
}
_POT = {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10**20}, {"type": "string", "pattern": '^[^"]+$'}]}

RATIO = Kind("number", 'a number of 0 or more, or a fraction in quotes as "1/3"', ratio, shape=_RATIO)
RATIOS = Kind("numbers", "a list of numbers of 0 or more", ratios, shape={"type": "array", "items": _RATIO})
NAME = Kind("name", "letters, digits and . _ - in quotes", name, shape=_NAME)
NAMES = Kind(
    "names",
    "a name in quotes, or a list of at least two",
    names,
    shape={"anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 2}]},
)
POT = Kind("pot", "an amount above 0 without quotes, or the name of a [[budget]] in quotes", pot, shape=_POT)
