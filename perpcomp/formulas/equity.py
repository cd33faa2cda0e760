"""The equity, also where it is below 0: what a rule adds up for each trader before it clamps."""

import polars as pl

from perpcomp.formula import Terms, formula


@formula(name="equity", source="shutdown S1, S2", negative=True)
def equity(terms: Terms) -> pl.Expr:
    """Margin + unrealized PnL - funding at the price and moment of [valuation], not clamped.

    > "Distribute remaining funds proportionally according to users' remaining margin and unrealised PnL" (S1)

    It may be below 0, so it can be compared, and never paid by itself. A rule with level = "trader" adds it up over the markets of a
    trader and clamps the sum at 0: 10,000 in one market and -4,000 in another are a claim of 6,000.
    """
    return terms.margin_at_reference + terms.unrealized_pnl_at_reference - terms.funding_at_reference
