"""Margin + unrealized PnL + funding: the community's correction of the first proposal."""

import polars as pl

from perpcomp.formula import Terms, formula


@formula(name="margin-upl-funding", source="forum F32, F34, F35")
def margin_upl_funding(terms: Terms) -> pl.Expr:
    """Give back what the margin ratio counts as the trader's, at the price and moment of [valuation]: by default one price for all.

    > "fair to treat every one the same way that Perp can use 'margin + UPL + funding payment' or RESTORE each position" (F34)
    > "UPL can be calculated using one BTC price, such as 50k" (F35)

    Funding that the trader paid is positive on chain, so it is taken off. A trader under water there is owed nothing. 1 BTC bought at 30,000 with a margin of 10,000, at 50,000: 10,000 + 20,000 - 0 = 30,000.
    """
    return (terms.margin_at_reference + terms.unrealized_pnl_at_reference - terms.funding_at_reference).clip(0)
