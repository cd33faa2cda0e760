"""Margin + 20 % of the unrealized profit: most of an old position's loss is profit that was never realized."""

import polars as pl

from perpcomp import fixed
from perpcomp.formula import Terms, formula


@formula(name="margin-upl-haircut", source="april A7")
def margin_upl_haircut(terms: Terms) -> pl.Expr:
    """Give back the margin and a fifth of the unrealized profit at the price and moment of [valuation].

    > "margin + 20% of" unrealised profit (A7; the sentence is cut there)

    Reading: the fifth is of gains only, and a loss is ignored. Losses in full, or another share, are rules: the sum of the smaller of
    margin-only and margin-upl, and a scale over margin-upl less margin-only. A margin of 2,500 and a profit of 20,000 pay 6,500.
    """
    return terms.margin_at_reference + fixed.mul(terms.unrealized_pnl_at_reference.clip(0), fixed.amount("0.2"))
