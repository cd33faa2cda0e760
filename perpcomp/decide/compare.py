"""All installed formulas side by side, trader by trader: amounts, recovery and ranks."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import polars as pl

from perpcomp import fixed
from perpcomp.entitlement import Entitlement, Sums, columns_of, compensated, per_trader
from perpcomp.findings import Finding
from perpcomp.number_text import counted, in_full
from perpcomp.tables.decide import COMPARISON
from perpcomp.tables.schema import check

# The equity by [valuation]: what a position was worth, whichever formula pays for it.
EQUITY = pl.col("margin_at_reference") + pl.col("unrealized_pnl_at_reference") - pl.col("funding_at_reference")

NOTHING = Entitlement(0, 0, 0)  # of a payee that was never liquidated itself, and of a claim in a published table

# The rows of a comparison table whose amount lacks a liquidation that cannot be valued.
INCOMPLETE = pl.col("rank").is_null()


def compare(owed: Mapping[str, Mapping[str, Entitlement]], liquidations: pl.DataFrame, quote: str) -> tuple[pl.DataFrame, list[Finding]]:
    """The comparison table: what each formula (by name) gives each trader of `liquidations`, the published table; and notes on it.

    recovery_ratio is amount / loss, truncated, loss being the trader's equity by [valuation] (summed over positions, then clamped at
    0); null without a loss, and where it is 1e20 or more, which no column holds: a note names such traders. Amounts are exact
    entitlements, before any rounding to tokens. Where a liquidation of the trader cannot be valued, amount is the sum of the others
    (null without any), and recovery_ratio and rank are null.
    """
    sums, listed, notes = worth(liquidations), [COMPARISON.empty()], list[Finding]()
    losses = [k if k > 0 and not u else None for k, u in zip(sums.known, sums.unknown, strict=True)]
    by_trader = dict(zip(sums.traders, losses, strict=True))
    for name, owed_by in sorted(owed.items()):
        traders, (known, unknown, number) = list(owed_by), columns_of(owed_by)
        given = [None if lacking else amount for amount, lacking in zip(known, unknown, strict=True)]
        lost = losses if traders == sums.traders else [by_trader.get(trader) for trader in traders]
        ratios = _ratios(given, lost)
        if beyond := [row for row, ratio in enumerate(ratios) if ratio is not None and abs(ratio) >= fixed.LIMIT]:
            names = [traders[row] for row in beyond]
            ratios = [None if ratio is None or abs(ratio) >= fixed.LIMIT else ratio for ratio in ratios]
            notes.append(_without_ratio(name, names, sums.get(names[0], NOTHING), owed_by[names[0]], quote))
        amounts = [int(k) if u < n else None for k, u, n in zip(known, unknown, number, strict=True)]
        frame = pl.DataFrame({"amount": fixed.from_integers(amounts), "unknown": pl.Series(unknown, dtype=pl.Int64)})
        whole = pl.when(pl.col("unknown") == 0).then("amount")
        columns = {
            "trader": traders,
            "formula": [name] * len(traders),
            "amount": frame["amount"],
            "recovery_ratio": fixed.from_integers(ratios),
            "rank": frame.select(whole.rank("min", descending=True).cast(pl.Int64)).to_series(),
        }
        listed.append(pl.DataFrame(columns, schema=COMPARISON.schema))
    return check(pl.concat(listed), COMPARISON), notes


def _ratios(given: Sequence[int | Fraction | None], lost: Sequence[int | None]) -> list[int | None]:
    """given / lost of each row, truncated; None where one of the two is. Every loss is above 0."""
    return [
        None if a is None or b is None else int(a * fixed.ONE // b if a >= 0 else -(-a * fixed.ONE // b))
        for a, b in zip(given, lost, strict=True)
    ]


def _without_ratio(name: str, traders: Sequence[str], lost: Entitlement, given: Entitlement, quote: str) -> Finding:
    """A note on a formula's recovery ratios of 1e20 or more: those of `traders`, of whom the first `lost` and is `given` so much."""
    what = (
        f"The recovery ratio under {name} is 1e20 or more for {counted(len(traders), 'trader')}, so it is empty. {traders[0]} lost"
        f" {in_full(int(lost.known))} {quote} at the reference price, and the formula gives {in_full(int(given.known))} {quote}."
    )
    advice = "Read the amount, not the ratio: such a loss is next to nothing."
    return Finding("note", "comparison.csv", what, advice, code="recovery-ratio-too-large")


def worth(liquidations: pl.DataFrame) -> Sums:
    """The equity by [valuation] that each eligible trader lost."""
    eligible = liquidations.filter("eligible")
    return per_trader(eligible.get_column("trader"), compensated(eligible.select(EQUITY).to_series(), eligible))


def wide(comparison: pl.DataFrame) -> pl.DataFrame:
    """The table for people: one row a trader, one column of amounts (quote asset) a formula, names in order."""
    names = comparison.get_column("formula").unique().sort().to_list()
    return comparison.pivot("formula", index="trader", values="amount").select("trader", *names).sort("trader")


def totals(comparison: pl.DataFrame) -> list[tuple[str, int, int, int, int]]:
    """By formula: (name, total in 1e-18 of the quote asset, traders above 0, traders below 0, traders whose amount is incomplete)."""
    result = []
    for (name,), rows in sorted(comparison.select("formula", "amount", "rank").group_by("formula"), key=lambda part: str(part[0])):
        amounts = rows.get_column("amount").drop_nulls()
        total, incomplete = sum(filter(None, fixed.to_integers(amounts))), rows.filter(INCOMPLETE).height
        result.append((str(name), total, int((amounts > 0).sum()), int((amounts < 0).sum()), incomplete))
    return result
