"""Margin + unrealized PnL: what the margin ratio counts, without funding."""

import polars as pl

from perpcomp.formula import Terms, formula


@formula(name="margin-upl", source="forum F32")
def margin_upl(terms: Terms) -> pl.Expr:
    """Give back the margin and the unrealized PnL at the price and moment of [valuation]. A trader under water there is owed nothing.

    > "treat everyone the SAME, such as (margin + unrealized pnl) which is used by Perp to calculate the margin ratio" (F32)

    1 BTC bought at 52,000 with a margin of 10,000, at 50,000: 10,000 - 2,000 = 8,000.
    """
    return (terms.margin_at_reference + terms.unrealized_pnl_at_reference).clip(0)
