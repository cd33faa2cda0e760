"""A target rate of return on the collateral: here 11 %, the first rate that Maker's holders could choose between."""

import polars as pl

from perpcomp import fixed
from perpcomp.formula import Terms, formula


@formula(name="target-return", source="precedent P3")
def target_return(terms: Terms) -> pl.Expr:
    """Give back 11 % of the margin.

    > max(0, t x collateral - returned), t from 1 to 25 % (P3)

    A full liquidation returns nothing; what came back otherwise is taken off by the step net-of-refund of a rule. Another rate is the
    step scale: 17.7 % is a factor of "177/110". A margin of 1,000 pays 110.
    """
    return fixed.mul(terms.margin_at_reference, fixed.amount("0.11"))
