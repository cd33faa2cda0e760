"""All installed formulas side by side, trader by trader: amounts, recovery, ranks, and who is better off under which."""

from collections import defaultdict
from collections.abc import Sequence

import polars as pl

from perpcomp import fixed, formula
from perpcomp.entitlement import compensated
from perpcomp.formula import Formula
from perpcomp.tables.decide import COMPARISON
from perpcomp.tables.schema import check

# The equity by [valuation]: what a position was worth, whichever formula pays for it.
EQUITY = pl.col("margin_at_reference") + pl.col("unrealized_pnl_at_reference") - pl.col("funding_at_reference")


def compare(formulas: Sequence[Formula], liquidations: pl.DataFrame) -> pl.DataFrame:
    """The comparison table over the eligible rows of the published liquidations table.

    recovery_ratio is amount / loss, loss being the trader's equity at the reference price (summed over positions, then clamped at
    0); null without a loss. Amounts are exact entitlements, before any rounding to tokens. An amount, and the ratio, is null where
    a row of the trader cannot be known.
    """
    eligible = liquidations.filter("eligible")
    traders = eligible.get_column("trader").to_list()
    equity = _per_trader(traders, compensated(eligible.select(EQUITY).to_series(), eligible))
    loss = fixed.from_integers([*equity.values()])
    ratio = fixed.div(pl.col("amount"), pl.when(loss > 0).then(loss))
    listed = [COMPARISON.empty()]
    for chosen in sorted(formulas, key=lambda f: f.name):
        amounts = _per_trader(traders, compensated(formula.entitlements(chosen, eligible), eligible))
        amount = fixed.from_integers([*amounts.values()]).alias("amount")
        columns = {
            "trader": [*amounts],
            "formula": [chosen.name] * len(amounts),
            "amount": amount,
            "recovery_ratio": amount.to_frame().select(ratio).to_series(),
            "rank": amount.rank("min", descending=True).cast(pl.Int64),
        }
        listed.append(pl.DataFrame(columns, schema=COMPARISON.schema))
    return check(pl.concat(listed), COMPARISON)


def _per_trader(traders: list[str], values: list[int | None]) -> dict[str, int | None]:
    sums: dict[str, int | None] = defaultdict(int)
    for trader, value in zip(traders, values, strict=True):
        so_far = sums[trader]
        sums[trader] = None if value is None or so_far is None else so_far + value
    return dict(sums)


def wide(comparison: pl.DataFrame) -> pl.DataFrame:
    """The table for people: one row a trader, one column of amounts (USDC) a formula, names in order."""
    names = comparison.get_column("formula").unique().sort().to_list()
    return comparison.pivot("formula", index="trader", values="amount").select("trader", *names).sort("trader")


def totals(comparison: pl.DataFrame) -> list[tuple[str, int, int, int]]:
    """(formula, total in 1e-18 USDC, traders with more than 0, traders below 0) by formula, summed in Python integers."""
    result = []
    for (name,), rows in sorted(comparison.group_by("formula"), key=lambda part: str(part[0])):
        amounts = [a for a in fixed.to_integers(rows.get_column("amount")) if a is not None]
        result.append((str(name), sum(amounts), sum(a > 0 for a in amounts), sum(a < 0 for a in amounts)))
    return result


def preferences(comparison: pl.DataFrame) -> dict[tuple[str, str], int]:
    """(f, g) -> how many traders get more under f than under g. Exact amounts: rounding to tokens makes nobody prefer anything."""
    amounts: dict[str, dict[str, object]] = defaultdict(dict)
    for trader, name, amount in comparison.select("trader", "formula", "amount").iter_rows():
        amounts[name][trader] = amount

    def better(f: str, g: str) -> int:
        pairs = ((amounts[f][trader], amounts[g][trader]) for trader in amounts[f])
        return sum(a > b for a, b in pairs if a is not None and b is not None)  # type: ignore[operator]

    return {(f, g): better(f, g) for f in sorted(amounts) for g in sorted(amounts) if f != g}
