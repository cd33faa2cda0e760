"""The penalty alone: what the liquidation took of the margin that was left."""

import polars as pl

from perpcomp.formula import Terms, formula


@formula(name="penalty-only", source="precedent P1, P14")
def penalty_only(terms: Terms) -> pl.Expr:
    """Give back the remaining margin that the liquidation took.

    > 8 % flat of the liquidated amount (= the penalty) (P1)

    In February's contracts the penalty is the whole remaining margin, so it is 0 for the worst hit, who ended in bad debt. A margin of
    10,000 with a realized loss of 2,000 pays 8,000.
    """
    return terms.remaining_margin
