"""What a formula gives each liquidation and each trader: the only place where entitlements are added up.

One rule holds for what cannot be valued, in every view (payouts, comparison, capacity, budgets, restore orders, explain, totals):
a trader's entitlement is the sum of the liquidations that can be valued, and the others are counted beside it. Every view that
shows an incomplete sum says so, and none calls money enough for it.

Why: what is unknown is never paid by a guess, and what is known must not become nothing because another liquidation of the same
trader is unknown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from perpcomp import fixed, formula
from perpcomp.formula import Formula
from perpcomp.number_text import counted

COMPLETE_FIRST = "Resolve the unpaid liquidations first: see findings.csv."


@dataclass(frozen=True)
class Entitlement:
    """One trader's entitlement: the sum of the known rows less what is `taken_off` (1e-18 USDC), and how many of its `liquidations` cannot be valued."""

    known: int
    unknown: int
    liquidations: int
    taken_off: int = 0  # of what the trader received already

    @property
    def amount(self) -> int | None:
        """The sum to show; None where not one liquidation can be valued."""
        return self.known if self.unknown < self.liquidations else None


def of_traders(chosen: Formula, liquidations: pl.DataFrame) -> dict[str, Entitlement]:
    """What a formula gives each trader with an eligible liquidation, by address. `liquidations` is the published table."""
    eligible = liquidations.filter("eligible")
    return per_trader(eligible.get_column("trader"), compensated(formula.entitlements(chosen, eligible), eligible))


def per_trader(traders: Iterable[str], values: Iterable[int | None]) -> dict[str, Entitlement]:
    """The rows' values (1e-18 USDC; None: unknown) added up by trader, sorted by address."""
    rows: dict[str, list[int | None]] = {}
    for trader, value in zip(traders, values, strict=True):
        rows.setdefault(trader, []).append(value)
    return {
        trader: Entitlement(sum(value or 0 for value in own), sum(value is None for value in own), len(own))
        for trader, own in sorted(rows.items())
    }


def net(owed: Mapping[str, Entitlement], received: Mapping[str, int]) -> dict[str, Entitlement]:
    """The entitlements less what each trader received already (1e-18 USDC). A trader who received more is owed 0."""
    return {
        trader: replace(own, known=own.known - taken, taken_off=taken)
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
    """Each row's value in 1e-18 USDC, times the share of its position that is compensated, truncated. Null stays None."""
    sizes, kept = (_amounts(liquidations, name) for name in ("size", "compensated_size"))
    return [
        amount if amount is None or part == abs(whole) else fixed.truncate(amount * part, abs(whole))
        for amount, whole, part in zip(fixed.to_integers(values), sizes, kept, strict=True)
    ]


def _amounts(frame: pl.DataFrame, column: str) -> list[int]:
    """The integers of a column of amounts that is never null."""
    return [value for value in fixed.to_integers(frame.get_column(column)) if value is not None]
