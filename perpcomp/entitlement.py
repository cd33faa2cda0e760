"""What a formula gives each liquidation and each trader: the only place where entitlements are added up.

One rule holds for what cannot be valued, in every view (payouts, comparison, capacity, budgets, restore orders, explain, totals):
a trader's entitlement is the sum of the liquidations that can be valued, and the others are counted beside it. Every view that
shows an incomplete sum says so, and none calls money enough for it.

Why: what is unknown is never paid by a guess, and what is known must not become nothing because another liquidation of the same
trader is unknown.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

import polars as pl

from perpcomp import fixed, formula
from perpcomp.formula import Formula
from perpcomp.number_text import counted

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

    def part(self, share: Fraction) -> int | Fraction:
        """A share of what is known: cut to whole 1e-18 where that is whole, exact where it is exact."""
        part = self.known * share
        return part.numerator // part.denominator if isinstance(self.known, int) else part


def of_traders(chosen: Formula, liquidations: pl.DataFrame) -> dict[str, Entitlement]:
    """What a formula gives each trader with an eligible liquidation, by address. `liquidations` is the published table."""
    eligible = liquidations.filter("eligible")
    return per_trader(eligible.get_column("trader"), given(chosen, eligible))


def given(chosen: Formula, eligible: pl.DataFrame) -> list[int | None]:
    """What a formula gives each liquidation of eligible rows (1e-18 USDC), for the part that is compensated; None where it is unknown."""
    return compensated(formula.entitlements(chosen, eligible), eligible)


def per_trader(traders: Iterable[str], values: Iterable[int | None]) -> dict[str, Entitlement]:
    """The rows' values (1e-18 of the quote asset; None: unknown) added up by trader, sorted by address.

    Each value is added in two halves, value = high * 1e18 + low, because Polars' own sum of so large integers wraps in silence.
    """
    value, base = pl.col("value"), pl.lit(fixed.ONE, dtype=pl.Int128)
    rows = pl.DataFrame({"trader": traders, "value": values}, schema={"trader": pl.String, "value": pl.Int128})
    sums = (
        rows.group_by("trader")
        .agg((value // base).sum().alias("high"), (value % base).sum().alias("low"), value.null_count().alias("unknown"), pl.len())
        .sort("trader")
    )
    return {trader: Entitlement(high * fixed.ONE + low, unknown, count) for trader, high, low, unknown, count in sums.iter_rows()}


def net(owed: Mapping[str, Entitlement], received: Mapping[str, int]) -> dict[str, Entitlement]:
    """The entitlements less what each trader received already (1e-18 of the quote asset). A trader who received more is owed 0."""
    return {
        trader: own._replace(known=own.known - taken, taken_off=taken)
        if (taken := min(max(own.known, 0), received.get(trader, 0)))
        else own
        for trader, own in owed.items()
    }


def incomplete(owed: Mapping[str, Entitlement]) -> dict[str, Entitlement]:
    """The traders of whom at least one liquidation cannot be valued."""
    return {trader: entitlement for trader, entitlement in owed.items() if entitlement.unknown}


def are_incomplete(traders: int) -> str:
    """How many traders' entitlements are incomplete: "1 trader is incomplete"."""
    return f"{counted(traders, 'trader')} {'is' if traders == 1 else 'are'} incomplete"


def compensated(values: pl.Series, liquidations: pl.DataFrame) -> list[int | None]:
    """Each row's value in 1e-18 of the quote asset, times the share of its position that is compensated, truncated. Null stays None."""
    amounts = fixed.to_integers(values)
    in_part = liquidations.select((pl.col("compensated_size") != pl.col("size").abs()).arg_true()).to_series()
    rows = liquidations[in_part].select("size", "compensated_size")
    sizes, kept = (fixed.to_integers(column) for column in rows.get_columns())
    for row, whole, part in zip(in_part, sizes, kept, strict=True):
        amount = amounts[row]
        if amount is not None and whole is not None and part is not None:
            amounts[row] = fixed.truncate(amount * part, abs(whole))
    return amounts
