"""What the liquidation alone cost: everything where the right price would not have liquidated, nothing where it would have too."""

import polars as pl

from perpcomp import fixed
from perpcomp.formula import Terms, formula


@formula(name="counterfactual", source="precedent P2")
def counterfactual(terms: Terms) -> pl.Expr:
    """Give back the equity of a position that the price of [valuation] would not have liquidated.

    > would not have been liquidated at the right price -> full damage; would have been anyway -> penalty difference only (P2)

    Liquidatable is an equity below 1/16 of the open notional, V1's maintenance margin of 6.25 %. V1 takes the whole margin at any price,
    so the difference of penalties is 0. 1 BTC bought at 52,000 with a margin of 10,000, at 50,000: 8,000 is above 3,250, so 8,000.
    """
    equity = terms.margin_at_reference + terms.unrealized_pnl_at_reference - terms.funding_at_reference
    healthy = fixed.mul(equity, fixed.amount(16)) >= terms.open_notional_at_reference
    return pl.when(healthy).then(equity).otherwise(fixed.amount(0))
