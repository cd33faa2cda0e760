"""A column of exact amounts: whole numbers over one denominator, so that a step is one pass over integers and nothing is rounded."""

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

from msgspec import Struct


class Amounts(Struct, frozen=True):
    """One amount a trader, in 1e-18 of the quote asset: `numerators` over one `denominator` above 0."""

    numerators: Sequence[int]
    denominator: int = 1

    @classmethod
    def of(cls, values: Sequence[Fraction]) -> "Amounts":
        """The column of these fractions."""
        common = lcm(*(value.denominator for value in values))
        return cls([value.numerator * (common // value.denominator) for value in values], common)

    def __len__(self) -> int:
        return len(self.numerators)

    def __getitem__(self, n: int) -> Fraction:
        return Fraction(self.numerators[n], self.denominator)

    @property
    def total(self) -> Fraction:
        """The exact sum."""
        return Fraction(sum(self.numerators), self.denominator)

    def over(self, denominator: int) -> list[int]:
        """The numerators over a multiple of the denominator."""
        factor = denominator // self.denominator
        return list(self.numerators) if factor == 1 else [value * factor for value in self.numerators]

    def times(self, factor: Fraction) -> "Amounts":
        """Each amount times a factor."""
        common = gcd(factor.numerator, self.denominator)
        by = factor.numerator // common
        return Amounts([value * by for value in self.numerators], self.denominator // common * factor.denominator)

    def cut(self) -> list[int]:
        """Each amount cut down to whole 1e-18, for tables. Amounts are not negative."""
        return list(self.numerators) if self.denominator == 1 else [value // self.denominator for value in self.numerators]


def together(*columns: Amounts) -> tuple[list[list[int]], int]:
    """The columns over their common denominator, and that."""
    common = lcm(*(column.denominator for column in columns))
    return [column.over(common) for column in columns], common


def with_limit(column: Amounts, limit: Fraction) -> tuple[list[int], int, int]:
    """The column and one limit over their common denominator, and that."""
    common = lcm(column.denominator, limit.denominator)
    return column.over(common), limit.numerator * (common // limit.denominator), common
