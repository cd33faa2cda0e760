"""Who claims what: the rows that a rule begins with, from liquidations or from a published table."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property

from msgspec import Struct, field

from perpcomp.incident.payees import Payee

Column = Sequence[int | None]  # one value a row, in 1e-18; None where it is not known


class Population(Struct, frozen=True, dict=True):
    """Rows, each of one account: liquidations, or lines of a published table.

    `base` gives a formula's or a column's value of each row by its name, `term` another value of each row (bad_debt, leverage_at_open,
    size, ...). Both raise InputError for a name that is not there. `budgets` are amounts in 1e-18 of a token with its price in the quote
    asset, `pools` reserves (quote, base) in 1e-18, by the name of the market. `file` is the place that errors name.
    """

    accounts: Sequence[str]
    base: Callable[[str], Column]
    term: Callable[[str], Column]
    markets: Sequence[str] = ()
    received: Mapping[str, int] = field(default_factory=dict)
    payees: Sequence[Payee] = ()
    budgets: Mapping[str, tuple[int, Fraction]] = field(default_factory=dict)
    pools: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    file: str = "rules"

    @cached_property
    def traders(self) -> list[str]:
        """Every account once, by address."""
        return sorted(set(self.accounts))

    @cached_property
    def places(self) -> list[int]:
        """For each row, the place of its account in `traders`."""
        place = {trader: n for n, trader in enumerate(self.traders)}
        return [place[account] for account in self.accounts]

    @cached_property
    def rows_of_each(self) -> list[int]:
        """How many rows each trader has."""
        counts = [0] * len(self.traders)
        for place in self.places:
            counts[place] += 1
        return counts

    def added_up(self, rows: Column) -> tuple[list[int], list[int]]:
        """For each trader the sum of the rows that are known, and how many are not."""
        sums, unknown = [0] * len(self.traders), [0] * len(self.traders)
        for place, value in zip(self.places, rows, strict=True):
            if value is None:
                unknown[place] += 1
            else:
                sums[place] += value
        return sums, unknown
