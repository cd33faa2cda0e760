"""Numbers that somebody states of a table, and the table's own, as text in tokens or base units."""

import re
from dataclasses import dataclass

from perpcomp.findings import refusal

_NUMBER = re.compile(r"(?:[0-9]+|[0-9]{1,3}(?:[,_][0-9]{3})+)(?:\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True)
class Stated:
    """A number as it was written: `digits` is an integer of 10**-places."""

    text: str
    digits: int
    places: int


def read_stated(option: str, value: str) -> tuple[str, Stated]:
    """The column and the number of COLUMN=NUMBER. InputError where it has another form."""
    column, equals, number = value.rpartition("=")
    if not (equals and column.strip() and _NUMBER.fullmatch(number.strip())):
        raise refusal(option, f"{value!r} is not COLUMN=NUMBER.", f"Write the column and a plain number, as {option} amount=55,254.95.")
    whole, _, fraction = re.sub("[,_]", "", number.strip()).partition(".")
    return column.strip(), Stated(number.strip(), int(whole + fraction), len(fraction))


def in_units(stated: Stated, places: int, decimals: int) -> int:
    """The number in the units of a column with so many places, or of base units of a token with `decimals`; cut where it has more places."""
    power = (places or decimals) - stated.places
    factor: int = 10 ** abs(power)
    return stated.digits * factor if power >= 0 else stated.digits // factor


def met(total: int, stated: Stated, places: int, decimals: int) -> bool:
    """Whether a sum rounds or cuts to a number at the places that it was written with."""
    power = (places or decimals) - stated.places
    unit: int = 10 ** abs(power)
    if power <= 0:
        return total * unit == stated.digits
    return stated.digits in (total // unit, (2 * total + unit) // (2 * unit))


def shown(units: int, places: int, decimals: int = 0) -> str:
    """All digits with separators; a column of base units in tokens, where their decimals are known."""
    power = places or decimals
    whole, rest = divmod(abs(units), 10**power)
    fraction = f"{rest:0{power}d}".rstrip("0") if power else ""
    return f"{'-' if units < 0 else ''}{whole:,}" + (f".{fraction}" if fraction else "")
