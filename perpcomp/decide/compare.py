"""All installed formulas side by side, trader by trader: amounts, recovery and ranks."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import polars as pl

from perpcomp import fixed
from perpcomp.entitlement import Entitlement, Sums, compensated, per_trader, table_of
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
    if not owed:
        return COMPARISON.empty(), []
    sums, listed = worth(liquidations), list[pl.DataFrame]()
    whole, complete = pl.col("known"), pl.col("unknown") == 0
    losses = sums.table.select("trader", pl.when((whole > 0) & complete).then(whole).alias("lost"))
    amount = pl.when(pl.col("unknown") < pl.col("liquidations")).then(whole).reinterpret(dtype=fixed.AMOUNT)
    rank = pl.when(complete).then(amount).rank("min", descending=True).cast(pl.Int64)
    for name, owed_by in sorted(owed.items()):
        frame = table_of(owed_by)
        if frame.get_column("trader").equals(losses.get_column("trader")):  # nearly always: no join
            frame = frame.hstack(losses.select("lost"))
        else:
            frame = frame.join(losses, on="trader", how="left", maintain_order="left")
        cut = pl.lit(not isinstance(owed_by, Sums))  # an exact fraction, of which the column has the whole 1e-18
        listed.append(frame.select("trader", "unknown", "lost", amount.alias("amount"), rank.alias("rank"), formula=pl.lit(name), cut=cut))
    table, beyond = _with_ratios(pl.concat(listed), owed)
    notes = [
        _without_ratio(name, traders, sums.get(traders[0], NOTHING), owed[name][traders[0]], quote) for name, traders in beyond.items()
    ]
    return check(_by_trader(table.select(*COMPARISON.schema), listed), COMPARISON), notes


def _by_trader(table: pl.DataFrame, listed: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The table of all formulas, each `listed` by trader. Where they hold the same traders, it is sorted by trader and formula without a sort,
    which would cost more than the comparison.
    """
    frames = [frame.get_column("trader") for frame in listed if frame.height]
    if not all(own.equals(frames[0]) for own in frames):
        return table
    row = pl.int_range(table.height, eager=True)
    return table[row % len(frames) * len(frames[0]) + row // len(frames)] if frames else table


def _with_ratios(table: pl.DataFrame, owed: Mapping[str, Mapping[str, Entitlement]]) -> tuple[pl.DataFrame, dict[str, list[str]]]:
    """The table with each row's recovery_ratio: what is owed / `lost`, truncated; null where one of the two is unknown, and where it is 1e20
    or more: of these traders, by formula. `lost` is above 0.
    """
    lost = pl.col("lost")
    given = pl.when(pl.col("unknown") == 0).then("amount")
    divisor = pl.when(~pl.col("cut"), lost < pl.lit(fixed.LIMIT, dtype=pl.Int128)).then(lost).reinterpret(dtype=fixed.AMOUNT)
    # Lazily: Polars then computes once what the expression holds several times. For all formulas at once: planning it costs as much as 10,000 rows.
    table = table.lazy().with_columns(fixed.ratio(given, divisor).alias("recovery_ratio")).collect().with_row_index("n")
    # What is no column's, or near the limit of one, by Python.
    rest = table.filter(pl.col("recovery_ratio").is_null() & given.is_not_null() & lost.is_not_null())
    by_row, beyond = dict[int, int](), dict[str, list[str]]()
    for n, name, trader, loss in rest.select("n", "formula", "trader", "lost").iter_rows():
        exact = _ratio(owed[name][trader].known, loss)
        if abs(exact) < fixed.LIMIT:
            by_row[n] = exact
        else:
            beyond.setdefault(name, []).append(trader)
    if by_row:
        found = table.get_column("recovery_ratio").scatter([*by_row], fixed.from_integers([*by_row.values()]))
        table = table.with_columns(found)
    return table, beyond


def _ratio(given: int | Fraction, lost: int) -> int:
    return fixed.truncate(given.numerator * fixed.ONE, given.denominator * lost)


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
    units, base = pl.col("amount").reinterpret(dtype=pl.Int128), pl.lit(fixed.ONE, dtype=pl.Int128)
    sums = comparison.group_by("formula").agg(
        (units // base).sum().alias("high"),  # in two halves, as a sum of whole amounts may wrap
        (units % base).sum().alias("low"),
        (pl.col("amount") > 0).sum().alias("above"),
        (pl.col("amount") < 0).sum().alias("below"),
        INCOMPLETE.sum().alias("incomplete"),
    )
    return [(name, high * fixed.ONE + low, *counts) for name, high, low, *counts in sums.sort("formula").iter_rows()]
