"""What is compared: each option's amount for each trader, exact, beside what the trader lost.

An option is a formula or a rule. Options are compared on unrounded amounts: the dust of a last digit is nobody's preference.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import combinations, compress

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.entitlement import Entitlement, Sums, columns_of
from perpcomp.rules.amounts import Amounts

NOBODY = Entitlement(0, 1, 1)  # of a trader whom an option does not know: nothing can be said


class Option(Struct, frozen=True, dict=True):
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
    def is_known(self) -> pl.Series:
        """`known` as a column."""
        return pl.Series(self.known, dtype=pl.Boolean)

    @cached_property
    def complete(self) -> bool:
        """Whether every trader's amount is known."""
        return all(self.known)

    @cached_property
    def adds_up(self) -> bool:
        """Whether `whole` is exact, and a sum of it stays below the limit of Int128, beyond which Polars wraps."""
        return self.amounts.denominator == 1 and fixed.largest(self.whole) * len(self.whole) < fixed.LIMIT

    @cached_property
    def _whole_decides(self) -> bool:
        """Whether the amounts cut down are in the same order as the exact ones, equal ones included."""
        return self.amounts.denominator == 1 or self.whole.n_unique() == len(self.whole)

    @cached_property
    def ascending(self) -> list[int]:
        """Places of the traders, the smallest amount first, equal ones by address."""
        if self._whole_decides:
            return self.whole.to_frame("whole").with_row_index("n").sort("whole", "n").get_column("n").to_list()
        return sorted(range(len(self.amounts)), key=self.amounts.numerators.__getitem__)

    @cached_property
    def ranks(self) -> pl.Series:
        """For each trader in order a number that is larger where the amount is larger, and equal where it is equal; from 1."""
        if self._whole_decides:
            return self.whole.rank("dense").cast(pl.Int64)
        place = {value: n for n, value in enumerate(sorted(set(self.amounts.numerators)), 1)}
        return pl.Series([place[value] for value in self.amounts.numerators], dtype=pl.Int64)

    @property
    def total(self) -> Fraction:
        """The exact sum of what is known."""
        return self.amounts.total


class Field(Struct, frozen=True, dict=True):
    """Options over the same traders, sorted by address. `lost` is each trader's signed equity (1e-18); None where it is not known."""

    traders: Sequence[str]
    options: Sequence[Option]
    lost: Sequence[int | None]

    @cached_property
    def better(self) -> dict[tuple[int, int], tuple[pl.Series, pl.Series]]:
        """For the places of every two options, the first one earlier: who gets more under the first, and who under the second."""
        return {(n, m): better(self.options[n], self.options[m]) for n, m in combinations(range(len(self.options)), 2)}

    def names(self) -> list[str]:
        """The names of all options, in order."""
        return [one.name for one in self.options]


def option(name: str, owed: Mapping[str, Entitlement], traders: Sequence[str], payable: bool = True) -> Option:
    """An option of exact entitlements by address. A trader whom it does not know is incomplete."""
    if isinstance(owed, Sums) and owed.traders == traders:  # nearly always
        return Option(name, Amounts(owed.known), [not lacking for lacking in owed.unknown], payable)
    if [*owed] == [*traders]:
        known, unknown, _ = columns_of(owed)
    else:
        own = [owed.get(trader, NOBODY) for trader in traders]
        known, unknown = [one.known for one in own], [one.unknown for one in own]
    exact = Fraction in {*map(type, known)}
    amounts = Amounts.of([Fraction(one) for one in known]) if exact else Amounts([int(one) for one in known])
    return Option(name, amounts, [not lacking for lacking in unknown], payable)


def better(one: Option, other: Option) -> tuple[pl.Series, pl.Series]:
    """Who gets more under `one`, and who under `other`, trader by trader, by exact amounts; only where both are known."""
    known = one.is_known & other.is_known
    more, less = (one.whole > other.whole) & known, (one.whole < other.whole) & known
    first, second = one.amounts, other.amounts
    if first.denominator != 1 or second.denominator != 1:
        same = (~more & ~less & known).arg_true().to_list()
        leads = [first.numerators[n] * second.denominator - second.numerators[n] * first.denominator for n in same]
        more[[n for n, lead in zip(same, leads, strict=True) if lead > 0]] = True
        less[[n for n, lead in zip(same, leads, strict=True) if lead < 0]] = True
    return more, less


def sum_where(one: Option, chosen: pl.Series) -> Fraction:
    """The exact sum of the amounts of some traders."""
    if one.adds_up:
        return Fraction(int(one.whole.filter(chosen).sum()))
    return Fraction(sum(compress(one.amounts.numerators, chosen.to_list())), one.amounts.denominator)
