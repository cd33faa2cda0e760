"""What a formula gives each liquidation and each trader: the only place where entitlements are added up.

One rule holds for what cannot be valued, in every view (payouts, comparison, capacity, budgets, restore orders, explain, totals):
a trader's entitlement is the sum of the liquidations that can be valued, and the others are counted beside it. Every view that
shows an incomplete sum says so, and none calls money enough for it.

Why: what is unknown is never paid by a guess, and what is known must not become nothing because another liquidation of the same
trader is unknown.
"""

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from fractions import Fraction
from functools import cached_property
from itertools import compress
from typing import NamedTuple

import polars as pl

from perpcomp import fixed, formula
from perpcomp.formula import Formula
from perpcomp.number_text import counted

OF_EACH = {"trader": pl.String(), "known": pl.Int128(), "unknown": pl.Int64(), "liquidations": pl.Int64()}
COMPLETE_FIRST = "Resolve the unpaid liquidations first: see findings.csv."


class Entitlement(NamedTuple):
    """One trader's entitlement: the sum of the known rows less what is `taken_off` (1e-18 of the quote asset), and how many of its `liquidations` cannot be valued.

    What a formula gives is a whole number. What a rule gives is an exact fraction, which is cut once, to base units of a token.
    """

    known: int | Fraction
    unknown: int
    liquidations: int
    taken_off: int | Fraction = 0  # of what the trader received already
    adjusted: int | Fraction | None = None  # what rulings changed; None where there is none

    @property
    def amount(self) -> int | None:
        """The sum to show, in whole 1e-18; None where not one liquidation can be valued."""
        return int(self.known) if self.unknown < self.liquidations else None


def part_of(known: int | Fraction, share: Fraction) -> int | Fraction:
    """A share of what is known: cut down to whole 1e-18 where that is whole, exact where it is exact."""
    return known * share.numerator // share.denominator if isinstance(known, int) else known * share


class Sums(Mapping[str, Entitlement]):
    """Entitlements by address, kept as columns: the comparison reads columns, and an Entitlement for each of many traders and formulas
    costs more than adding them up (0.15 CPU-seconds for 100,000). One that is asked for by its address is made alone. Nothing is taken off
    these yet, and none is adjusted.
    """

    def __init__(self, traders: pl.Series, known: pl.Series | list[int], unknown: pl.Series, liquidations: pl.Series) -> None:
        """`known` is a column, or a list where a sum exceeds 128 bits."""
        self._columns = (traders, known, unknown, liquidations)

    @cached_property
    def traders(self) -> list[str]:
        """The addresses, in order."""
        return self._columns[0].to_list()

    @cached_property
    def known(self) -> list[int]:
        """The sum of each trader's known rows."""
        known = self._columns[1]
        return known if isinstance(known, list) else known.to_list()

    @cached_property
    def unknown(self) -> list[int]:
        """How many rows of each trader are unknown."""
        return self._columns[2].to_list()

    @cached_property
    def liquidations(self) -> list[int]:
        """How many rows each trader has."""
        return self._columns[3].to_list()

    @property
    def table(self) -> pl.DataFrame:
        """The same as a frame: OF_EACH. OverflowError where a sum exceeds 128 bits."""
        return pl.DataFrame(dict(zip(OF_EACH, self._columns, strict=True)), schema=OF_EACH)

    @cached_property
    def _rows(self) -> dict[str, Entitlement]:
        return dict(zip(self.traders, map(Entitlement, self.known, self.unknown, self.liquidations), strict=True))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {trader: n for n, trader in enumerate(self.traders)}

    def __getitem__(self, trader: str) -> Entitlement:
        n = self._places[trader]
        return Entitlement(self.known[n], self.unknown[n], self.liquidations[n])

    def __iter__(self) -> Iterator[str]:
        return iter(self.traders)

    def __len__(self) -> int:
        return len(self.traders)

    def items(self) -> ItemsView[str, Entitlement]:
        return self._rows.items()

    def values(self) -> ValuesView[Entitlement]:
        return self._rows.values()


def of_traders(chosen: Formula, liquidations: pl.DataFrame) -> Mapping[str, Entitlement]:
    """What a formula gives each trader with an eligible liquidation, by address. `liquidations` is the published table."""
    eligible = liquidations.filter("eligible")
    return per_trader(eligible.get_column("trader"), given(chosen, eligible))


def given(chosen: Formula, eligible: pl.DataFrame, read: formula.Read | None = None) -> pl.Series:
    """What a formula gives each liquidation of eligible rows (Int128, 1e-18 USDC), for the part that is compensated; null where it is unknown.

    `read` is what formulas before it read of the same rows.
    """
    return compensated(formula.entitlements(chosen, eligible, read), eligible)


def per_trader(traders: Iterable[str], values: Iterable[int | None]) -> Sums:
    """The rows' values (1e-18 of the quote asset; None: unknown) added up by trader, sorted by address."""
    return each_per_trader(traders, {"": values})[""]


def each_per_trader(traders: Iterable[str], columns: Mapping[str, Iterable[int | None]]) -> dict[str, Sums]:
    """`per_trader` of several columns of values: the rows are grouped once.

    Polars' own sum of so large integers wraps in silence, so it adds up only values of which as many as there are rows stay below 1e38.
    Other values are added in two halves, value = high * 1e18 + low, which Python puts together.
    """
    names = [f"value {name}" for name in columns]  # of no other column
    rows = pl.DataFrame(
        {"trader": traders, **dict(zip(names, columns.values(), strict=True))},
        schema={"trader": pl.String, **dict.fromkeys(names, pl.Int128)},
    )
    base = pl.lit(fixed.ONE, dtype=pl.Int128)
    large = [name for name in names if fixed.largest(rows.get_column(name)) * rows.height >= fixed.LIMIT]
    small = [name for name in names if name not in large]
    sums = (
        rows.group_by("trader")
        .agg(
            pl.col(small).sum().name.prefix("sum "),
            (pl.col(large) // base).sum().name.prefix("high "),
            (pl.col(large) % base).sum().name.prefix("low "),
            pl.col(names).null_count().name.prefix("unknown "),
            pl.len(),
        )
        .sort("trader")
    )
    found = {}
    for key, name in zip(columns, names, strict=True):
        known: pl.Series | list[int]
        if name in large:
            halves = zip(sums[f"high {name}"].to_list(), sums[f"low {name}"].to_list(), strict=True)
            known = [high * fixed.ONE + low for high, low in halves]
        else:
            known = sums[f"sum {name}"]
        found[key] = Sums(sums["trader"], known, sums[f"unknown {name}"], sums["len"])
    return found


def table_of(owed: Mapping[str, Entitlement]) -> pl.DataFrame:
    """Every trader's entitlement as a row of OF_EACH, in their order; what is known is cut to whole 1e-18. OverflowError where it exceeds
    128 bits.
    """
    if isinstance(owed, Sums):
        return owed.table
    known, unknown, liquidations = columns_of(owed)
    return pl.DataFrame(dict(zip(OF_EACH, (list(owed), [*map(int, known)], unknown, liquidations), strict=True)), schema=OF_EACH)


def columns_of(owed: Mapping[str, Entitlement]) -> tuple[list[int | Fraction], list[int], list[int]]:
    """Of every trader, in their order: what is known, how many liquidations are unknown, and how many there are."""
    if isinstance(owed, Sums):
        return [*owed.known], owed.unknown, owed.liquidations
    rows = owed.values()
    return [own.known for own in rows], [own.unknown for own in rows], [own.liquidations for own in rows]


def net(owed: Mapping[str, Entitlement], received: Mapping[str, int]) -> Mapping[str, Entitlement]:
    """The entitlements less what each trader received already (1e-18 of the quote asset). A trader who received more is owed 0."""
    less = {
        trader: owed[trader]._replace(known=owed[trader].known - taken, taken_off=taken)
        for trader, amount in received.items()
        if trader in owed and (taken := min(max(owed[trader].known, 0), amount))
    }
    return {**owed, **less} if less else owed


def incomplete(owed: Mapping[str, Entitlement]) -> dict[str, Entitlement]:
    """The traders of whom at least one liquidation cannot be valued."""
    return {trader: owed[trader] for trader in compress(owed, columns_of(owed)[1])}


def are_incomplete(traders: int) -> str:
    """How many traders' entitlements are incomplete: "1 trader is incomplete"."""
    return f"{counted(traders, 'trader')} {'is' if traders == 1 else 'are'} incomplete"


def compensated(values: pl.Series, liquidations: pl.DataFrame) -> pl.Series:
    """Each row's value (Int128, 1e-18 of the quote asset), times the share of its position that is compensated, truncated. Null stays null."""
    in_part = (pl.col("compensated_size") != pl.col("size").abs()) & pl.lit(values).is_not_null()
    rows = liquidations.select(in_part.arg_true()).to_series()
    amounts = values.reinterpret(dtype=pl.Int128)
    if rows.is_empty():
        return amounts
    sizes = liquidations.select(pl.col("size", "compensated_size").reinterpret(dtype=pl.Int128))
    parts = sizes.with_columns(value=amounts)[rows].iter_rows()
    cut = [fixed.truncate(amount * part, abs(size)) for size, part, amount in parts]
    return amounts.scatter(rows, pl.Series(cut, dtype=pl.Int128))
