"""Numbers as text: exact, or to read."""

from perpcomp import fixed


def in_full(value: int) -> str:
    """An integer of 1e-18 as a plain decimal with separators and no trailing zeros."""
    whole, _, places = f"{fixed.from_integer(value):f}".partition(".")
    places = places.rstrip("0")
    return f"{int(whole):,}" + (f".{places}" if places else "")


def counted(number: int, noun: str) -> str:
    """A count with its noun: "1 trader", "2 traders"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
