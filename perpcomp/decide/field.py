"""What is compared: each option's amount for each trader, exact, beside what the trader lost.

An option is a formula or a rule. Options are compared on unrounded amounts: the dust of a last digit is nobody's preference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import compress

import polars as pl

from perpcomp.entitlement import Entitlement
from perpcomp.rules.amounts import Amounts

NOBODY = Entitlement(0, 1, 1)  # of a trader whom an option does not know: nothing can be said


@dataclass(frozen=True)
class Option:
    """One formula or rule: its `amounts` (1e-18 of the quote asset) in the order of the field's traders, and whose amount is `known`.

    `payable` is False where it can be compared, but never paid.
    """

    name: str
    amounts: Amounts
    known: Sequence[bool]
    payable: bool = True

    @cached_property
    def whole(self) -> pl.Series:
        """The amounts cut down to whole 1e-18: where two of these differ, so do the exact ones, in the same direction."""
        return pl.Series(self.amounts.cut(), dtype=pl.Int128)

    @cached_property
    def complete(self) -> bool:
        """Whether every trader's amount is known."""
        return all(self.known)

    @cached_property
    def ascending(self) -> list[int]:
        """Places of the traders whose amount is known, the smallest amount first, equal ones by address."""
        values = self.amounts.numerators
        return sorted(compress(range(len(values)), self.known), key=values.__getitem__)

    @property
    def total(self) -> Fraction:
        """The exact sum of what is known."""
        return self.amounts.total


@dataclass(frozen=True)
class Field:
    """Options over the same traders, sorted by address. `lost` is each trader's signed equity (1e-18); None where it is not known."""

    traders: Sequence[str]
    options: Sequence[Option]
    lost: Sequence[int | None]

    def option(self, name: str) -> Option:
        """The option of that name; KeyError where there is none."""
        return {one.name: one for one in self.options}[name]

    def names(self) -> list[str]:
        """The names of all options, in order."""
        return [one.name for one in self.options]


def option(name: str, owed: Mapping[str, Entitlement], traders: Sequence[str], payable: bool = True) -> Option:
    """An option of exact entitlements by address. A trader whom it does not know is incomplete."""
    own = [owed.get(trader, NOBODY) for trader in traders]
    amounts = Amounts.of([Fraction(one.known) for one in own]) if any(isinstance(one.known, Fraction) for one in own) else None
    return Option(name, amounts or Amounts([int(one.known) for one in own]), [not one.unknown for one in own], payable)


def better(one: Option, other: Option) -> tuple[list[bool], list[bool]]:
    """Who gets more under `one`, and who under `other`, trader by trader, by exact amounts; only where both are known."""
    frame = pl.DataFrame({"a": one.whole, "b": other.whole, "known": [a and b for a, b in zip(one.known, other.known, strict=True)]})
    more = frame.select((pl.col("a") > pl.col("b")) & pl.col("known")).to_series().to_list()
    less = frame.select((pl.col("a") < pl.col("b")) & pl.col("known")).to_series().to_list()
    first, second = one.amounts, other.amounts
    if first.denominator != 1 or second.denominator != 1:
        same = frame.with_row_index("n").filter((pl.col("a") == pl.col("b")) & pl.col("known")).get_column("n").to_list()
        for n in same:
            left, right = first.numerators[n] * second.denominator, second.numerators[n] * first.denominator
            more[n], less[n] = left > right, left < right
    return more, less


def sum_where(amounts: Amounts, chosen: Sequence[bool]) -> Fraction:
    """The exact sum of the amounts of some traders."""
    return Fraction(sum(compress(amounts.numerators, chosen)), amounts.denominator)
